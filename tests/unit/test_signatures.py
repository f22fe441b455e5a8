"""Which deliveries count as coming from the platform."""

import base64
import dataclasses
import datetime
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from harness.senders import ISO, MILLISECONDS, NOW, SECONDS, SENDERS, TEXT, USER, Sender, b64, mac
from whop_sync.errors import Unauthentic
from whop_sync.receiving.platforms import PLATFORMS
from whop_sync.receiving.signature_settings import configured_scheme
from whop_sync.receiving.signatures import (
    MAX_TOKEN_LIFE_SECONDS,
    MIN_SECRET_LENGTH,
    TOLERANCE_SECONDS,
    Hmac,
    Jwt,
    Proof,
    Scheme,
    Standard,
    Token,
    looks_like,
    parse_secrets,
)
from whop_sync.standard_webhooks import sign, signing_key

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"o" * 24).decode()
KEY = signing_key(SECRET)
BODY = b'{"type":"user.created"}'


def headers(
    *, key: bytes = KEY, body: bytes = BODY, at: float = NOW, family: str = "webhook-", delivery_id: str = "msg_1"
) -> dict[str, str]:
    signature = "v1," + sign(key, delivery_id, str(int(at)), body)
    return {family + "id": delivery_id, family + "timestamp": str(int(at)), family + "signature": signature}


def accepted(given_headers: Mapping[str, str], body: bytes = BODY, keys: tuple[bytes, ...] = (KEY,)) -> bool:
    try:
        Standard().verify(body, given_headers, keys, now=NOW)
    except Unauthentic:
        return False
    return True


@pytest.mark.parametrize("family", ["webhook-", "svix-"])
def test_a_genuine_delivery_is_known_by_its_id(family: str) -> None:
    assert Standard().verify(BODY, headers(family=family), [KEY], now=NOW) == Proof("msg_1", int(NOW))


@given(
    body=st.binary(max_size=200),
    delivery_id=st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1),
)
def test_what_the_reference_library_signs_is_accepted_and_what_we_sign_it_accepts(
    body: bytes, delivery_id: str
) -> None:
    text = body.decode("latin-1")
    moment = datetime.datetime.fromtimestamp(int(datetime.datetime.now(datetime.UTC).timestamp()), datetime.UTC)
    theirs = Webhook(SECRET).sign(delivery_id, moment, text)
    signed = {"webhook-id": delivery_id, "webhook-timestamp": str(int(moment.timestamp())), "webhook-signature": theirs}
    assert Standard().verify(text.encode(), signed, [KEY], now=moment.timestamp()).delivery_id == delivery_id
    ours = {**signed, "webhook-signature": "v1," + sign(KEY, delivery_id, signed["webhook-timestamp"], text.encode())}
    Webhook(SECRET).verify(text, ours, json_parse=False)


def test_a_body_that_is_no_text_is_verified_as_bytes() -> None:
    body = b"\xff\xfe\x00"
    assert accepted(headers(body=body), body)


@pytest.mark.parametrize("missing", ["id", "timestamp", "signature"])
@pytest.mark.parametrize("emptied", [True, False])
def test_no_header_may_be_missing_or_empty(missing: str, emptied: bool) -> None:
    given_headers = headers()
    if emptied:
        given_headers["webhook-" + missing] = ""
    else:
        del given_headers["webhook-" + missing]
    assert not accepted(given_headers)


def test_the_two_header_families_are_never_mixed() -> None:
    mixed = headers()
    mixed["svix-id"] = mixed.pop("webhook-id")
    assert not accepted(mixed)


@pytest.mark.parametrize(
    ("age", "expected"), [(-TOLERANCE_SECONDS - 1, False), (-299, True), (299, True), (302, False)]
)
def test_a_timestamp_counts_within_five_minutes_both_ways(age: int, expected: bool) -> None:
    assert accepted(headers(at=NOW - age)) is expected


@pytest.mark.parametrize(
    "timestamp",
    [
        " 1772359200",
        "1_772_359_200",
        "1772359200.9",
        "1772359200e0",
        "+1772359200",
        "-1",
        "١٧٧٢٣٥٩٢٠٠",
        "nan",
        "9" * 5000,
    ],
)
def test_a_timestamp_is_nothing_but_digits(timestamp: str) -> None:
    given_headers = headers()
    signature = "v1," + sign(KEY, "msg_1", timestamp, BODY)
    assert not accepted({**given_headers, "webhook-timestamp": timestamp, "webhook-signature": signature})


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(int(NOW) - 1)},
        {"webhook-signature": "v1," + base64.b64encode(b"x" * 32).decode()},
        {"webhook-signature": ""},
    ],
)
def test_whatever_is_changed_after_signing_is_refused(wrong: dict[str, str]) -> None:
    assert accepted(headers())
    assert not accepted({**headers(), **wrong})
    assert not accepted(headers(), BODY + b" ")
    assert not accepted(headers(), keys=(signing_key(OLD_SECRET),))


@pytest.mark.parametrize(
    "around",
    [
        "v1,AAAA {good}",
        "{good} v1,AAAA",
        "v1a,AAAA {good}",
        "v1,AAAA, {good}",
        "v1,AAAA,{good}",
        "{good},",
        "  {good}  ",
        "v1,AAAA  {good}",
        "nocomma {good}",
        "v1,a,b {good}",
        "v1,!!! {good}",
        "v1,é {good}",
        "v2,AAAA {good}",
    ],
)
def test_one_good_signature_among_others_is_enough_whatever_the_others_look_like(around: str) -> None:
    good = headers()["webhook-signature"]
    assert accepted({**headers(), "webhook-signature": around.format(good=good)})
    assert not accepted({**headers(), "webhook-signature": around.format(good="v1," + "A" * 43 + "=")})


@pytest.mark.parametrize(
    "spoilt",
    ["v1{good}", "xv1,{sig}", "v1,{sig}x", "v1,{sig}=", "v2,{sig}", "{sig}", "V1,{sig}", "v1, {sig}", "v1a,{sig}"],
)
def test_a_signature_counts_only_as_it_was_written(spoilt: str) -> None:
    good = headers()["webhook-signature"]
    signature = good.removeprefix("v1,")
    assert not accepted({**headers(), "webhook-signature": spoilt.format(good=good, sig=signature)})


def test_while_a_secret_is_rotated_both_are_accepted() -> None:
    old = signing_key(OLD_SECRET)
    for signed_with in (KEY, old):
        assert accepted(headers(key=signed_with), keys=(KEY, old))
    assert not accepted(headers(key=b"z" * 32), keys=(KEY, old))


def test_without_any_secret_nothing_is_accepted() -> None:
    assert not accepted(headers(), keys=())


@given(st.dictionaries(st.sampled_from(list(headers())), st.text(max_size=80)), st.binary(max_size=50))
def test_no_header_whatsoever_makes_anything_but_a_refusal(noise: dict[str, str], body: bytes) -> None:
    assert not accepted({**headers(), **noise, "webhook-id": noise.get("webhook-id", "msg_other")}, body)


@pytest.mark.parametrize("written", [SECRET, f"  {SECRET}\n", f"v1,{SECRET}"])
def test_a_secret_is_read_as_senders_print_it(written: str) -> None:
    assert signing_key(written) == b"k" * 32


@pytest.mark.parametrize(
    ("secret", "hint"),
    [
        ("", "whsec_"),
        (base64.b64encode(b"k" * 32).decode(), "whsec_"),
        ("ab12" * 16, "whsec_"),
        ("whsec_" + "not base64 at all", "base64"),
        ("whsec_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(), "base64"),
        ("whsec_" + base64.urlsafe_b64encode(b"k" * 24 + b"\xff" * 3).decode(), "base64"),
        ("whsec_" + base64.b64encode(b"k" * 23).decode(), "24 to 64"),
        ("whsec_" + base64.b64encode(b"k" * 65).decode(), "24 to 64"),
        ("whsec_", "24 to 64"),
        ("whsec_" + "ab12" * 16, "hex"),
        ("whsec_" + "AB12" * 8, "hex"),
        ("v1a,whpk_" + base64.b64encode(b"k" * 32).decode(), "asymmetric"),
        ("whsk_" + base64.b64encode(b"k" * 64).decode(), "asymmetric"),
    ],
)
def test_a_secret_that_cannot_be_right_is_refused_in_words_that_do_not_hold_it(secret: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as refusal:
        signing_key(secret)
    key = secret.removeprefix("whsec_")
    assert not key or key not in str(refusal.value)


def test_supabases_secrets_stand_in_one_text_and_sign_in_one_header() -> None:
    """Supabase writes `v1,whsec_A|v1,whsec_B`, and joins the signatures of both with a comma and a blank."""
    keys = Standard().keys(f"v1,{OLD_SECRET}|v1,{SECRET}")
    assert keys == (b"o" * 24, KEY)
    signatures = ", ".join("v1," + sign(key, "msg_1", str(int(NOW)), BODY) for key in keys)
    assert accepted({**headers(), "webhook-signature": signatures}, keys=keys)
    assert accepted({**headers(), "webhook-signature": signatures}, keys=keys[1:])


# -- schemes of the platforms' own ---------------------------------------------------------------------------------


def verified(
    scheme: Scheme, given_headers: Mapping[str, str], body: bytes = BODY, secrets: Sequence[str] = (TEXT,)
) -> str | None:
    """None if the delivery counts as genuine, else the reason for the refusal."""
    keys = parse_secrets(json.dumps(list(secrets)), scheme)
    try:
        scheme.verify(body, given_headers, keys, now=NOW)
    except Unauthentic as error:
        return error.reason
    return None


def digest(content: bytes = BODY, secret: str = TEXT) -> bytes:
    return hmac.new(secret.encode(), content, hashlib.sha256).digest()


def hexadecimal(content: bytes = BODY, secret: str = TEXT) -> str:
    return digest(content, secret).hex()


def in_base64(content: bytes = BODY, secret: str = TEXT) -> str:
    return base64.b64encode(digest(content, secret)).decode()


BY_BODY = {
    "hex": (Hmac(header="x-signature"), hexadecimal, "{}"),
    "prefix": (Hmac(header="x-hub-signature-256", prefix="sha256="), hexadecimal, "sha256={}"),
    "prefix and blank": (Hmac(header="x-signature", prefix="HMAC "), hexadecimal, "HMAC {}"),
    "base64": (Hmac(header="x-signature", encoding="base64"), in_base64, "{}"),
}
by_body = pytest.mark.parametrize(("scheme", "write", "form"), BY_BODY.values(), ids=BY_BODY)


def test_githubs_published_example_is_accepted() -> None:
    scheme = Hmac(header="x-hub-signature-256", prefix="sha256=")
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secrets = ["It's a Secret to Everybody"]
    assert verified(scheme, {"x-hub-signature-256": signature}, b"Hello, World!", secrets) is None


@by_body
def test_a_signature_of_the_body_is_accepted_and_of_any_other_is_not(scheme: Hmac, write: Any, form: str) -> None:
    assert verified(scheme, {scheme.header: form.format(write())}) is None
    assert verified(scheme, {scheme.header: form.format(write(BODY + b" "))}) == "wrong_signature"
    assert verified(scheme, {scheme.header: form.format(write(secret=TEXT + "!"))}) == "wrong_signature"


@by_body
def test_each_of_several_secrets_and_signatures_may_be_the_one(scheme: Hmac, write: Any, form: str) -> None:
    other = "another secret, the older one"
    for signed_with in (TEXT, other):
        signed = {scheme.header: form.format(write(secret=signed_with))}
        assert verified(scheme, signed, secrets=[TEXT, other]) is None
    both = ", ".join(form.format(write(secret=secret)) for secret in ("of another sender, really", TEXT))
    assert verified(scheme, {scheme.header: both}) is None
    assert verified(scheme, {scheme.header: both.replace(", ", ",")}) is None


@by_body
def test_a_signature_counts_only_in_the_form_that_is_configured(scheme: Hmac, write: Any, form: str) -> None:
    good = form.format(write())
    for spoilt in ("x" + good, good + "x", good[:-2], good + "=", good.replace(write(), ""), "é", "=", f"v0={good}"):
        assert verified(scheme, {scheme.header: spoilt}) in ("malformed_signature", "missing_header"), spoilt
    assert verified(scheme, {}) == "missing_header"
    assert verified(scheme, {scheme.header: ""}) == "missing_header"
    assert verified(scheme, {scheme.header + "-2": good}) == "missing_header"


def test_hex_may_be_written_in_capitals() -> None:
    assert verified(Hmac(header="x-signature"), {"x-signature": hexadecimal().upper()}) is None


def timed(at: float = NOW, *, factor: int = 1, secret: str = TEXT) -> tuple[str, str]:
    timestamp = str(int(at * factor))
    return timestamp, hexadecimal(timestamp.encode() + b"." + BODY, secret)


BY_TIME = Hmac(header="x-signature", content="timestamp.body")


@pytest.mark.parametrize(
    "form",
    [
        "t={t},v1={v}",
        "t={t}, v1={v}",
        "v1={v},t={t}",
        "t={t},v1=" + "0" * 64 + ",v1={v}",
        "t={t},v1={v},v1=short",
        "t={t},v1={v},v0=" + "0" * 64,
        "t={t},x=,,v1={v}, ",
    ],
)
def test_time_and_signatures_are_found_in_one_header(form: str) -> None:
    timestamp, signature = timed()
    assert verified(BY_TIME, {"x-signature": form.format(t=timestamp, v=signature)}) is None
    assert verified(BY_TIME, {"x-signature": form.format(t=timestamp, v="0" * 64)}) == "wrong_signature"


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("v1={v}", "malformed_timestamp"),
        ("t=,v1={v}", "malformed_timestamp"),
        ("t= {t},v1={v}", "malformed_timestamp"),
        ("t={t}.0,v1={v}", "malformed_timestamp"),
        ("t={t},t={t}1,v1={v}", "malformed_timestamp"),
        ("at={t},v1={v}", "malformed_timestamp"),
        ("t={t},v0={v}", "malformed_signature"),
        ("t={t},{v}", "malformed_signature"),
        ("t={t}", "malformed_signature"),
        ("t={t}1,v1={v}", "timestamp_in_future"),
    ],
)
def test_a_header_of_another_form_is_refused(form: str, reason: str) -> None:
    timestamp, signature = timed()
    assert verified(BY_TIME, {"x-signature": form.format(t=timestamp, v=signature)}) == reason


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000)])
@pytest.mark.parametrize("tolerance", [60, 300])
def test_the_signed_time_counts_within_the_tolerance_both_ways(unit: Any, factor: int, tolerance: int) -> None:
    scheme = Hmac(header="x-signature", content="timestamp.body", unit=unit, tolerance=tolerance)
    for age, expected in {
        tolerance - 1: None,
        1 - tolerance: None,
        tolerance + 2: "timestamp_too_old",
        -tolerance - 1: "timestamp_in_future",
    }.items():
        timestamp, signature = timed(NOW - age, factor=factor)
        assert verified(scheme, {"x-signature": f"t={timestamp},v1={signature}"}) == expected


def test_milliseconds_are_never_taken_for_seconds_nor_seconds_for_milliseconds() -> None:
    for unit, factor, reason in (("s", 1000, "timestamp_in_future"), ("ms", 1, "timestamp_too_old")):
        scheme: Any = Hmac(header="x-signature", content="timestamp.body", unit=unit)  # type: ignore[arg-type]
        timestamp, signature = timed(factor=factor)
        assert verified(scheme, {"x-signature": f"t={timestamp},v1={signature}"}) == reason


def test_the_time_may_have_a_header_of_its_own() -> None:
    scheme = Hmac(header="x-signature", prefix="v0=", content="timestamp.body", timestamp_header="x-request-time")
    timestamp, signature = timed()
    assert verified(scheme, {"x-signature": f"v0={signature}", "x-request-time": timestamp}) is None
    assert verified(scheme, {"x-signature": f"v0={signature}"}) == "missing_header"
    later = str(int(timestamp) + 1)
    assert verified(scheme, {"x-signature": f"v0={signature}", "x-request-time": later}) == "wrong_signature"
    bare = dataclasses.replace(scheme, prefix="")
    assert verified(bare, {"x-signature": signature, "x-request-time": timestamp}) is None
    assert verified(bare, {"x-signature": f"v1={signature}", "x-request-time": timestamp}) == "malformed_signature"


TOKEN = "dXNlcjphIGxvbmcgcGFzc3dvcmQh"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (TOKEN, TOKEN),
        (f"Bearer {TOKEN}", TOKEN),
        (f"bearer  {TOKEN}", TOKEN),
        (f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
        (f"Basic {TOKEN}", TOKEN),
        (f"Basic {TOKEN}", f"Basic {TOKEN}"),
        (f"Basic {TOKEN}", base64.b64decode(TOKEN).decode()),
        ("Basic not base64 at all", "not base64 at all"),
    ],
)
def test_a_token_is_known_with_and_without_the_word_before_it(sent: str, stored: str) -> None:
    assert verified(Token(), {"authorization": sent}, secrets=["some other token", stored]) is None


@pytest.mark.parametrize(
    "sent", [TOKEN[:-1], TOKEN + "x", f"Bearer {TOKEN}x", f"Digest {TOKEN}", "Bearer ", "é" * 20, f"{TOKEN},{TOKEN}"]
)
def test_any_other_token_is_refused(sent: str) -> None:
    assert verified(Token(), {"authorization": sent}, secrets=[TOKEN])


def test_what_stands_before_a_token_may_be_configured_and_is_needed_then() -> None:
    scheme = Token(header="x-hook", prefix="ApiKey")
    assert verified(scheme, {"x-hook": f"ApiKey {TOKEN}"}, secrets=[TOKEN]) is None
    assert verified(scheme, {"x-hook": TOKEN}, secrets=[TOKEN]) == "malformed_token"
    assert verified(scheme, {"x-hook": f"Bearer {TOKEN}"}, secrets=[TOKEN]) == "malformed_token"
    assert verified(scheme, {"authorization": f"ApiKey {TOKEN}"}, secrets=[TOKEN]) == "missing_header"


def test_a_secret_may_begin_with_the_word_before_it() -> None:
    scheme, secret = Token(prefix="Token"), "token_live_abcdefgh1234"
    assert verified(scheme, {"authorization": f"Token {secret}"}, secrets=[secret]) is None
    assert verified(scheme, {"authorization": f"Token {secret}"}, secrets=[f"Token {secret}"]) is None
    assert verified(scheme, {"authorization": "Token live_abcdefgh1234"}, secrets=[secret])


@pytest.mark.parametrize("password", ["", "x", "elevenchars"])
def test_a_password_that_can_be_guessed_is_refused_behind_a_long_name(password: str) -> None:
    credential = base64.b64encode(f"alongusername:{password}".encode()).decode()
    with pytest.raises(ValueError, match="can be guessed"):
        Token().keys(f"Basic {credential}")
    assert Token().keys("Basic " + base64.b64encode(b"u:twelve chars").decode())


def test_what_is_encoded_counts_only_behind_the_word_basic() -> None:
    decoded = base64.b64decode(TOKEN).decode()
    assert verified(Token(), {"authorization": f"Bearer {TOKEN}"}, secrets=[decoded]) == "wrong_signature"
    assert verified(Token(), {"authorization": f"Basic {TOKEN}!"}, secrets=[decoded]) == "wrong_signature"


def jwt(secret: str = TEXT, **claims: Any) -> str:
    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    stated = {"iat": int(NOW), "exp": int(NOW) + 300, **claims}
    signed = f"{part(b'{"alg":"HS256","typ":"JWT"}')}.{part(json.dumps(stated).encode())}"
    return f"{signed}.{part(digest(signed.encode(), secret))}"


def test_a_json_web_token_is_taken_until_it_expires() -> None:
    scheme = Jwt(header="x-webhook-secret")
    assert verified(scheme, {"x-webhook-secret": jwt()}) is None
    assert verified(scheme, {"x-webhook-secret": f"Bearer {jwt()}"}) is None
    assert verified(scheme, {"x-webhook-secret": jwt(exp=int(NOW) - 1)}) == "timestamp_too_old"
    assert verified(scheme, {"x-webhook-secret": jwt(iat=NOW + 301)}) == "timestamp_in_future"
    assert verified(scheme, {"x-webhook-secret": jwt(secret=TEXT + "!")}) == "wrong_signature"


def test_a_json_web_token_that_says_no_end_is_refused() -> None:
    scheme = Jwt(header="x-webhook-secret")
    wrong: list[dict[str, Any]] = [{"exp": None}, {"iat": None}, {"exp": "never"}, {"exp": []}, {"exp": 10**400}]
    for claims in wrong:
        assert verified(scheme, {"x-webhook-secret": jwt(**claims)}) == "malformed_token"
    for content in ("{}", f'{{"iat": {NOW}}}', f'{{"exp": {NOW}}}', "[]", "5", "null", "[" * 9000, '{"iat": 1, "exp":'):
        assert verified(scheme, {"x-webhook-secret": jwt_of(content)}) == "malformed_token"


def test_a_json_web_token_from_a_clock_a_little_ahead_is_taken_and_one_without_a_clock_is_not() -> None:
    scheme = Jwt(header="h")
    assert verified(scheme, {"h": jwt(iat=NOW + 299)}) is None
    assert verified(scheme, {"h": jwt(exp=NOW)}) == "timestamp_too_old"
    assert verified(scheme, {"h": jwt(iat=float("nan"))}) == "timestamp_in_future"
    assert verified(scheme, {"h": jwt(exp=float("nan"))}) == "timestamp_too_old"


def jwt_of(content: str) -> str:
    """A rightly signed token with any content."""
    part = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    return f"{part}.{part}.{base64.urlsafe_b64encode(digest(f'{part}.{part}'.encode())).decode().rstrip('=')}"


@pytest.mark.parametrize("digits", ["9" * 17, "9" * 310, "9" * 5000, "1" * 400])
def test_a_time_of_many_digits_is_no_time(digits: str) -> None:
    for unit in ("s", "ms"):
        scheme: Any = Hmac(header="x-signature", content="timestamp.body", unit=unit)
        assert verified(scheme, {"x-signature": f"t={digits},v1={'a' * 64}"}) == "malformed_timestamp"


@pytest.mark.parametrize("signature", ["a" * 63, "a" * 65, "a" * 66, "g" * 64, "a" * 64 + "."])
def test_a_signature_of_another_length_is_none(signature: str) -> None:
    assert verified(Hmac(header="x-signature"), {"x-signature": signature}) == "malformed_signature"


def test_a_prefix_means_itself_and_is_no_pattern() -> None:
    scheme = Hmac(header="x-signature", prefix="v.=")
    assert verified(scheme, {"x-signature": f"v.={hexadecimal(BODY)}"}) is None
    assert verified(scheme, {"x-signature": f"v0={hexadecimal(BODY)}"}) == "malformed_signature"


@pytest.mark.parametrize("secret", ["whpk_" + "A" * 44, "whsk_" + "A" * 44, "v1a,whpk_" + "A" * 44])
def test_keys_of_asymmetric_signatures_are_refused_by_name(secret: str) -> None:
    with pytest.raises(ValueError, match="asymmetric"):
        signing_key(secret)


def test_half_a_surrogate_pair_can_be_signed_by_no_sender_and_breaks_nothing() -> None:
    headers = {"webhook-id": "m\ud800", "webhook-timestamp": str(int(NOW)), "webhook-signature": "v1," + "A" * 43 + "="}
    with pytest.raises(Unauthentic, match="wrong_signature"):
        Standard().verify(BODY, headers, [b"k" * 32], now=NOW)


def test_a_json_web_token_never_chooses_its_own_algorithm() -> None:
    head, body, _ = jwt().split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for token in (f"{unsigned}.{body}.", f"{head}.{body}.", f"{head}.{body}", "..", ".", "a.b.c.d", "é.é.é", "x"):
        assert verified(Jwt(header="h"), {"h": token}) in ("wrong_signature", "malformed_token")


SCHEMES: list[Scheme] = [
    *(platform.scheme for platform in PLATFORMS.values()),
    Hmac(header="authorization", prefix="sha256=", encoding="base64"),
    Hmac(header="authorization", content="timestamp.body", timestamp_header="webhook-timestamp"),
    *(configured_scheme(Hmac(), sender.settings) for sender in SENDERS.values()),
    Token(prefix="Bearer"),
]
READ_HEADERS = ("header", "timestamp_header", "id_header")
"""The settings that name headers a scheme reads."""


@given(
    scheme=st.sampled_from(SCHEMES),
    value=st.text(max_size=80) | st.from_regex(r"(t=|v1=|v1,|Basic |Bearer |sha256=|\.|,| ){0,6}[0-9a-f]{0,64}"),
    body=st.binary(max_size=30),
)
def test_whatever_stands_in_the_headers_makes_nothing_but_a_refusal(scheme: Scheme, value: str, body: bytes) -> None:
    names = {"webhook-id", "webhook-timestamp", "webhook-signature", "svix-id"}
    names |= {getattr(scheme, setting, "") for setting in READ_HEADERS}
    with pytest.raises(Unauthentic):
        scheme.verify(body, dict.fromkeys(names, value), [KEY], now=NOW)


@pytest.mark.parametrize("filler", [" ", ",", "v1=", "v1,", "t=", "sha256=", "a", ".", "Bearer ", "t=1, v1= "])
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_the_time_taken_grows_with_the_headers_length_and_not_with_its_square(scheme: Scheme, filler: str) -> None:
    names = {"webhook-id", "webhook-timestamp", "webhook-signature"}
    names |= {getattr(scheme, setting, "") for setting in READ_HEADERS}
    with pytest.raises(Unauthentic):
        scheme.verify(b"", dict.fromkeys(names, "x" + filler * 200_000 + "x"), [KEY], now=NOW)


def secret_of(platform: str) -> str:
    scheme = PLATFORMS[platform].scheme
    return (
        SECRET if isinstance(scheme, Standard) else "whsec_abcdefghij" if platform == "stripe" else "shpss_abcdefghij"
    )


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platforms_secret_is_a_key(platform: str) -> None:
    assert len(parse_secrets(json.dumps([secret_of(platform)] * 2), PLATFORMS[platform].scheme)) == 2


def test_stripes_secret_is_text_and_not_base64_although_it_looks_so() -> None:
    assert PLATFORMS["stripe"].scheme.keys(SECRET) == (SECRET.encode(),)


def test_a_secret_of_hex_is_text_and_not_base64_although_it_looks_so() -> None:
    assert PLATFORMS["shopify"].scheme.keys("ab12" * 8) == (b"ab12" * 8,)


@pytest.mark.parametrize(
    ("platform", "secret", "hint"),
    [
        ("stripe", "sk_live_abcdefghijklmnop", "start with whsec_"),
        ("stripe", "rk_test_abcdefghijklmnop", "API keys"),
        ("workos", SECRET, "Standard Webhooks"),
        ("workos", "sk_test_abcdefghijklmnop", "API keys"),
        ("shopify", f"v1,{SECRET}", "Standard Webhooks"),
        ("logto", "too short", f"{MIN_SECRET_LENGTH} or more"),
        ("auth0", "too short", f"{MIN_SECRET_LENGTH} or more"),
        ("auth0", "Bearer too short", f"{MIN_SECRET_LENGTH} or more"),
        ("frontegg", "too short", f"{MIN_SECRET_LENGTH} or more"),
        ("keycloak", "two lines of\na secret text", "printable"),
        ("clerk", "ab12" * 16, "whsec_"),
    ],
)
def test_a_secret_of_another_kind_is_refused_in_words_that_do_not_hold_it(
    platform: str, secret: str, hint: str
) -> None:
    scheme = PLATFORMS[platform].scheme
    with pytest.raises(ValueError, match=re.escape(hint)) as refusal:
        parse_secrets(json.dumps([secret_of(platform), secret]), scheme)
    assert "secret 2 of 2" in str(refusal.value)
    assert secret not in str(refusal.value)


@pytest.mark.parametrize(
    "pasted",
    [
        f'["{SECRET}"]',
        SECRET,
        f" {SECRET}\n",
        f"\ufeff{SECRET}",
        f'"{SECRET}"',
        f"'{SECRET}'",
        f"\u201c{SECRET}\u201d",
        f"WEBHOOK_SECRET={SECRET}",
        f'export WEBHOOK_SECRET="{SECRET}"',
        f"SECRET={SECRET}",
        f"webhook_secret = '{SECRET}'",
        f"signing-key: {SECRET}",
        f'"webhookSecret": "{SECRET}"',
        f'$env:WEBHOOK_SECRET="{SECRET}"',
        f"set WEBHOOK_SECRET={SECRET}",
        json.dumps({"signing_secret": f"'{SECRET}'"}),
        json.dumps({"signing_secret": f"WEBHOOK_SECRET={SECRET}"}),
        json.dumps({"signing_secret": SECRET}),
        json.dumps({"signing_secret": [SECRET]}),
        json.dumps({"signing_secret": json.dumps([SECRET])}),
        json.dumps(json.dumps([SECRET])),
    ],
)
def test_a_secret_is_taken_out_of_what_people_put_around_it(pasted: str) -> None:
    assert parse_secrets(pasted, Standard()) == (KEY,)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "empty text"),
        ('[""]', "empty text"),
        ('{"key": ""}', "pasted as the key"),
        ("{}", "0 keys"),
        (json.dumps({"one": SECRET, "other": SECRET}), "2 keys"),
        ("[]", "JSON list"),
        ("[1]", "JSON list"),
        (f'["{SECRET}", null]', "JSON list"),
        ('{"key": {"key": 1}}', "JSON list"),
        (f'["{SECRET}"', "begins like JSON"),
        ("[" * 100_000, "begins like JSON"),
        (b"\xff\x00binary".decode("utf-8", "surrogateescape"), "SecretBinary"),
        *((f"{SECRET}{between}{SECRET}", "several signing secrets") for between in ("\n", ",", ", ", " ")),
        ("short", "must start with whsec_"),
        ("WEBHOOK_SECRET=", "without a value"),
    ],
)
def test_secrets_that_cannot_be_right_are_refused_with_the_mistake_named(text: str, mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake) as refusal:
        parse_secrets(text, Standard())
    assert SECRET not in str(refusal.value)


def test_a_secret_in_a_list_is_meant_as_it_stands() -> None:
    """Who writes a list knows JSON, and a secret of symbols may look like anything."""
    for secret in ("'a quoted secret'", "A_NAME=and its value", "{a secret of symbols}"):
        assert parse_secrets(json.dumps([secret]), Hmac(header="x")) == (secret.encode(),)


@pytest.mark.parametrize(
    "secret", ["monkey=lantern-12345", "apikey:12345-abcdef", "c2VjcmV0LWtleQ==", "keykeykeykeykey=", "key value 12345"]
)
def test_a_secret_that_may_be_meant_as_it_stands_stays_as_it_is(secret: str) -> None:
    assert parse_secrets(secret, Hmac(header="x")) == (secret.encode(),)


# -- senders that no preset names, signed as their documents describe -----------------------------------------------


@pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)
def test_a_sender_that_no_preset_names_needs_settings_and_no_code(sender: Sender) -> None:
    scheme = configured_scheme(Hmac(), sender.settings)
    keys = parse_secrets(json.dumps([sender.secret]), scheme)
    assert scheme.verify(USER, sender.sent, keys, now=NOW) == sender.proof
    # Then whatever is signed cannot be changed
    with pytest.raises(Unauthentic, match="wrong_signature"):
        scheme.verify(USER + b" ", sender.sent, keys, now=NOW)
    assert isinstance(scheme, Hmac)
    for header in filter(None, (scheme.id_header, scheme.timestamp_header)):
        with pytest.raises(Unauthentic):
            scheme.verify(USER, {**sender.sent, header: sender.sent[header][:-1] + "7"}, keys, now=NOW)
    # And a time counts for minutes only
    if scheme.is_replayable:
        assert scheme.verify(USER, sender.sent, keys, now=NOW + 10**9) == sender.proof
    else:
        for wrong in (NOW - 310, NOW + 310):
            with pytest.raises(Unauthentic) as refusal:
                scheme.verify(USER, sender.sent, keys, now=wrong)
            assert refusal.value.reason in ("timestamp_too_old", "timestamp_in_future")


@pytest.mark.parametrize(
    "wrong",
    ["2026-03-01", "2026-03-01T10:00:00", "2026-02-30T10:00:00Z", "20260301T100000Z", "2026-03-01T10:00:00Z ", SECONDS],
)
def test_an_iso_time_is_a_moment_with_a_zone(wrong: str) -> None:
    scheme = Hmac(header="x-s", content="{timestamp}{body}", unit="iso", timestamp_header="x-t")
    signed = {"x-s": mac(wrong.encode() + USER).hex(), "x-t": wrong}
    assert verified(scheme, signed, USER) == "malformed_timestamp"


@pytest.mark.parametrize(
    ("value", "guess"),
    [
        ("a" * 40, "hex of sha1"),
        ("a" * 128, "hex of sha512"),
        (b64(b"x" * 20), "base64 of sha1"),
        (base64.urlsafe_b64encode(b"\xfb" * 32).decode().rstrip("="), "base64 of sha256"),
        (b64(b"x" * 32), "base64 of sha256"),
        (b64(b"x" * 64), "base64 of sha512"),
        ("sha1=" + "a" * 40, "hex of sha1 .* with the prefix sha1="),
        ("t=1772359200,v1=" + "a" * 64, "hex of sha256 .* with the prefix v1="),
        ("v1," + b64(b"x" * 32), "Standard Webhooks"),
        ("eyJhbGciOi.eyJpYXQiOj.abcdefghij", "JSON Web Token"),
        ("Bearer abc", "a token"),
        ("secret=" + "a" * 64, "hex of sha256 \\(SignatureEncoding hex, SignatureAlgorithm sha256\\)$"),
    ],
)
def test_a_signature_of_another_form_is_refused_with_what_it_looks_like(value: str, guess: str) -> None:
    scheme = Hmac(header="x-s", prefix="v9=")
    with pytest.raises(Unauthentic, match=guess) as refusal:
        scheme.verify(USER, {"x-s": value}, [b"k" * 32], now=NOW)
    assert refusal.value.reason == "malformed_signature"
    assert value not in refusal.value.explanation


@pytest.mark.parametrize("scheme", [Standard(), Hmac(header="x-acme"), Token(header="x-acme"), Jwt(header="x-acme")])
def test_a_missing_header_is_named_with_those_of_other_schemes_that_came_instead(scheme: Scheme) -> None:
    sent = {"x-hub-signature-256": "sha256=" + "a" * 64, "x-unknown-signature": "b"}
    with pytest.raises(Unauthentic, match=r"is missing; there is x-hub-signature-256$"):
        scheme.verify(USER, sent, [b"k" * 32], now=NOW)


@pytest.mark.parametrize(("age", "sentence"), [(7200, "is 7200 seconds old, and 300"), (-400, "is 400 seconds ahead")])
def test_a_signature_of_another_time_is_refused_with_how_far_off_it_is(age: int, sentence: str) -> None:
    with pytest.raises(Unauthentic, match=sentence):
        Standard().verify(BODY, headers(at=int(NOW) - age), [KEY], now=int(NOW))


def test_what_looks_like_nothing_known_is_not_described() -> None:
    assert looks_like("some text of the sender") == ""


@pytest.mark.parametrize(
    ("unit", "sent", "guess"),
    [
        ("s", MILLISECONDS, "SignatureTimestampUnit ms"),
        ("ms", SECONDS, "SignatureTimestampUnit s"),
        ("s", ISO, "SignatureTimestampUnit iso"),
        ("iso", MILLISECONDS, "SignatureTimestampUnit ms"),
    ],
)
def test_a_time_in_another_unit_is_refused_with_what_it_looks_like(unit: Any, sent: str, guess: str) -> None:
    scheme = Hmac(header="x-s", content="timestamp.body", unit=unit, timestamp_header="x-t")
    with pytest.raises(Unauthentic, match=guess):
        scheme.verify(USER, {"x-s": "a" * 64, "x-t": sent}, [b"k" * 32], now=NOW)


@pytest.mark.parametrize(
    ("form", "secret", "hint"),
    [
        ("hex", "not hexadecimal at all", "SignatureKey is hex"),
        ("base64", "not base64 at all!!!!!", "SignatureKey is base64"),
        ("base64", "ab12" * 8, "this secret is hex"),
        ("hex", "ab" * 11, "can be guessed"),
        ("base64", b64(b"x" * 11), "can be guessed"),
    ],
)
def test_a_key_of_another_form_is_refused_in_words_that_do_not_show_it(form: Any, secret: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as refusal:
        Hmac(header="x", key_form=form).keys(secret)
    assert secret not in str(refusal.value)


# -- JSON Web Tokens, held against PyJWT ----------------------------------------------------------------------------


@given(
    issued=st.integers(int(NOW) - 4000, int(NOW) + 4000),
    life=st.integers(-10, MAX_TOKEN_LIFE_SECONDS + 4000),
    algorithm=st.sampled_from(["HS256", "HS384", "HS512"]),
    secret=st.sampled_from([TEXT * 3, TEXT * 3 + "!"]),
)
def test_of_json_web_tokens_those_are_taken_that_pyjwt_takes_but_for_those_that_live_too_long(
    issued: int, life: int, algorithm: str, secret: str
) -> None:
    token = pyjwt.encode({"iat": issued, "exp": issued + life}, secret, algorithm=algorithm)
    ours = verified(Jwt(header="h"), {"h": token}, secrets=[TEXT * 3])
    try:
        signed = pyjwt.decode(token, TEXT * 3, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
    except pyjwt.InvalidTokenError:
        assert ours == "wrong_signature"
        return
    alive = signed["iat"] < NOW + TOLERANCE_SECONDS and signed["exp"] > NOW
    assert (ours is None) is (alive and life <= MAX_TOKEN_LIFE_SECONDS)


def test_a_token_that_lives_for_years_is_refused() -> None:
    decade = 10 * 365 * 86400
    assert verified(Jwt(header="h"), {"h": jwt(iat=NOW - decade, exp=NOW + decade)}) == "token_too_long_lived"
    assert verified(Jwt(header="h"), {"h": jwt(iat=NOW, exp=NOW + MAX_TOKEN_LIFE_SECONDS)}) is None
    assert verified(Jwt(header="h"), {"h": jwt(iat=NOW, exp=NOW + MAX_TOKEN_LIFE_SECONDS + 1)}) is not None


def test_a_token_proves_when_it_was_made_and_other_schemes_prove_no_time() -> None:
    keys = Jwt().keys(TEXT)
    assert Jwt(header="h").verify(BODY, {"h": jwt()}, keys, now=NOW) == Proof(signed_at=int(NOW))
    assert Token().verify(BODY, {"authorization": TOKEN}, [TOKEN.encode()], now=NOW) == Proof()

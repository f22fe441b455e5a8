"""Which deliveries count as coming from the platform."""

import base64
import datetime
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from whop_sync.errors import Unauthentic
from whop_sync.signatures import TOLERANCE_SECONDS, sign, signing_key, verify

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"o" * 24).decode()
KEY = signing_key(SECRET)
NOW = 1_772_359_200.5
BODY = b'{"type":"user.created"}'


def headers(
    *, key: bytes = KEY, body: bytes = BODY, at: float = NOW, family: str = "webhook-", delivery_id: str = "msg_1"
) -> dict[str, str]:
    signature = "v1," + sign(key, delivery_id, str(int(at)), body)
    return {family + "id": delivery_id, family + "timestamp": str(int(at)), family + "signature": signature}


def accepted(given_headers: Mapping[str, str], body: bytes = BODY, keys: tuple[bytes, ...] = (KEY,)) -> bool:
    try:
        verify(body, given_headers, keys, now=NOW)
    except Unauthentic:
        return False
    return True


@pytest.mark.parametrize("family", ["webhook-", "svix-"])
def test_a_genuine_delivery_is_known_by_its_id(family: str) -> None:
    assert verify(BODY, headers(family=family), [KEY], now=NOW) == "msg_1"


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
    assert verify(text.encode(), signed, [KEY], now=moment.timestamp()) == delivery_id
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
        ("whsec_" + base64.b64encode(b"k" * 23).decode(), "24 to 64"),
        ("whsec_" + base64.b64encode(b"k" * 65).decode(), "24 to 64"),
        ("whsec_", "24 to 64"),
    ],
)
def test_a_secret_that_cannot_be_right_is_refused_in_words_that_do_not_tell_it(secret: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as refusal:
        signing_key(secret)
    key = secret.removeprefix("whsec_")
    assert not key or key not in str(refusal.value)

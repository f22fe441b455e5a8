"""What each platform posts, from its documents, and what a platform of one's own can be made of by settings alone."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cloudformation import template
from local_stack import ROOT
from whop_sync import assembly, config
from whop_sync.errors import Malformed, Unauthentic
from whop_sync.events import UserEvent
from whop_sync.receiving.payloads import check, identify, parse, read
from whop_sync.receiving.platforms import MAX_OVERRIDES_BYTES, PLATFORMS, Platform, configured
from whop_sync.receiving.signatures import Hmac, Jwt, Standard, Token
from whop_user_sync.preview import header_lines

NOW = 1_772_500_000.0
FOLDER = ROOT / "tests" / "payloads"
SAMPLES = {f"{path.parent.name}/{path.stem}": path for path in sorted(FOLDER.glob("*/*.json"))}

ADA = "ada@people.test"
PICTURE = "https://pictures.shop.test/ada.png"
DAY_1, DAY_2 = 1_772_359_200_100_000, 1_772_445_600_100_000
RECEIPT = int(NOW * 1_000_000)
SUPABASE_ID = "0c9a4d8e-2f0b-4a1c-8a55-3f2f6c9f7a10"
KEYCLOAK_ID = "c0ffee00-2f0b-4a1c-8a55-3f2f6c9f7a10"
WORKOS_ID = "user_01E4ZCR3C56J083X43JQXF3JK5"

# Kind, user id, e-mail, version, profile.
EXPECTED: dict[str, tuple[str, str, str | None, int, dict[str, str | None]]] = {
    "standard/created": ("created", "12345", ADA, DAY_1, {"name": "Ada Lovelace", "picture": PICTURE}),
    "standard/updated": ("updated", "12345", None, DAY_2, {"name": "Ada King", "picture": None}),
    "own/created": ("created", "12345", ADA, DAY_1, {"name": "Ada Lovelace", "picture": PICTURE}),
    "own/updated": ("updated", "12345", None, DAY_2, {"name": "Ada King"}),
    "ory/created": ("created", "9f425a8d-7efc-4768-8f23-7647a74fdf13", ADA, DAY_1, {"name": "Ada Lovelace"}),
    "ory/updated": ("updated", "9f425a8d-7efc-4768-8f23-7647a74fdf13", ADA, DAY_2, {"name": "Ada King"}),
    "clerk/created": (
        "created",
        "user_29w83sxmDNGwOuEthce5gg56FcC",
        ADA,
        DAY_1,
        {"name": "Ada Lovelace", "picture": "https://img.clerk.test/ada"},
    ),
    "clerk/updated": (
        "updated",
        "user_29w83sxmDNGwOuEthce5gg56FcC",
        ADA,
        DAY_2,
        {"name": "Ada King", "picture": None},
    ),
    "workos/created": ("created", WORKOS_ID, ADA, DAY_1, {"name": "Ada Lovelace", "picture": PICTURE}),
    "workos/updated": ("updated", WORKOS_ID, ADA, DAY_2, {"name": "Ada King", "picture": None}),
    "supabase-auth/created": (
        "created",
        SUPABASE_ID,
        ADA,
        DAY_1 + 123,
        {"name": "Ada Lovelace", "picture": PICTURE},
    ),
    "supabase-db/created": ("created", SUPABASE_ID, ADA, RECEIPT, {"name": "Ada Lovelace", "picture": PICTURE}),
    "supabase-db/updated": ("updated", SUPABASE_ID, ADA, DAY_2 + 120, {"name": "Ada King", "picture": PICTURE}),
    "auth0/created": ("created", "auth0|507f1f77bcf86cd799439020", ADA, DAY_1, {"name": None, "picture": None}),
    "auth0/updated": (
        "updated",
        "auth0|507f1f77bcf86cd799439020",
        ADA,
        DAY_2,
        {"name": "Ada King", "picture": PICTURE},
    ),
    "stytch/created": ("created", "user-test-16d9ba61", ADA, DAY_1 + 123, {"name": "Ada Lovelace"}),
    "stytch/updated": ("updated", "user-test-16d9ba61", ADA, DAY_2 + 123, {"name": None}),
    "fusionauth/created": (
        "created",
        "00000000-0000-0001-0000-000000000000",
        ADA,
        DAY_1,
        {"name": "Ada Lovelace", "picture": PICTURE},
    ),
    "fusionauth/updated": (
        "updated",
        "00000000-0000-0001-0000-000000000000",
        ADA,
        DAY_2,
        {"name": "Ada King", "picture": None},
    ),
    "logto/created": ("created", "hd9pk3xq1bzn", ADA, DAY_1, {"name": "Ada Lovelace", "picture": PICTURE}),
    "logto/created_by_sign_up": (
        "created",
        "hd9pk3xq1bzn",
        ADA,
        DAY_1 + 150_000,
        {"name": "Ada Lovelace", "picture": PICTURE},
    ),
    "logto/updated": ("updated", "hd9pk3xq1bzn", ADA, DAY_2, {"name": "Ada King", "picture": None}),
    "logto/updated_part_of_user": ("updated", "hd9pk3xq1bzn", None, DAY_2 + 86_400_050_000, {}),
    "keycloak/created": ("created", KEYCLOAK_ID, ADA, DAY_1, {"name": "Ada Lovelace", "picture": PICTURE}),
    "keycloak/created_by_sign_up": ("created", KEYCLOAK_ID, ADA, DAY_1, {"name": "Ada Lovelace"}),
    "keycloak/updated": ("updated", KEYCLOAK_ID, ADA, DAY_2, {"name": "Ada King"}),
    "keycloak/updated_by_user": ("updated", KEYCLOAK_ID, None, DAY_2, {"name": "Ada King"}),
    "propelauth/created": (
        "created",
        "31c41c16-c281-44ae-9602-8a047e3bf33d",
        ADA,
        RECEIPT,
        {"name": "Ada Lovelace", "picture": None},
    ),
    "propelauth/updated": ("updated", "31c41c16-c281-44ae-9602-8a047e3bf33d", None, RECEIPT, {}),
    "frontegg/created": ("created", "f7a0d5a3", ADA, RECEIPT, {"name": "Ada Lovelace", "picture": None}),
    "frontegg/updated": ("updated", "f7a0d5a3", ADA, RECEIPT, {"name": "Ada King", "picture": PICTURE}),
    "shopify/created": ("created", "706405506930370084", ADA, DAY_1 - 100_000, {"name": "Ada Lovelace"}),
    "shopify/updated": ("updated", "706405506930370084", None, DAY_2 - 100_000, {"name": "Ada King"}),
    "stripe/created": ("created", "cus_NffrFeUfNV2Hib", ADA, DAY_1 - 100_000, {"name": "Ada Lovelace"}),
    "stripe/updated": ("updated", "cus_NffrFeUfNV2Hib", ADA, DAY_2 - 100_000, {"name": "Ada King"}),
}


def sample(name: str) -> Any:
    return json.loads(SAMPLES[name].read_text())


def headers_of(path: Path) -> dict[str, str]:
    headers = path.with_suffix(".headers")
    return header_lines(headers.read_text()) if headers.exists() else {}


def understood(name: str, body: Any) -> UserEvent | None:
    """`name` of the sample whose platform and headers the body has."""
    preset = PLATFORMS[name.partition("/")[0]].preset
    document = parse(json.dumps(body).encode(), headers_of(SAMPLES[name]), received_at=NOW)
    return read(document, preset, event_id=identify(document, preset) or "of the delivery")


def changed(name: str, path: str, value: Any) -> UserEvent:
    """The event in a sample where what stands at a path like `data.id` is set, or taken away for `...`."""
    body = sample(name)
    *way, last = path.split(".")
    inner = body
    for key in way:
        inner = inner[key]
    if value is ...:
        inner.pop(last)
    else:
        inner[last] = value
    event = understood(name, body)
    assert event
    return event


@pytest.mark.parametrize("name", SAMPLES)
def test_each_platforms_samples_are_read_whole(name: str) -> None:
    event = understood(name, sample(name))
    assert event
    assert (event.kind, event.user_id, event.email, event.version, event.profile) == EXPECTED[name]


def test_every_platform_has_samples_of_all_it_posts() -> None:
    assert set(EXPECTED) == set(SAMPLES)
    for name, platform in PLATFORMS.items():
        assert f"{name}/created" in SAMPLES
        assert (f"{name}/updated" in SAMPLES) == bool(platform.preset.updated)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_row_of_the_table_can_be_evaluated(platform: str) -> None:
    check(PLATFORMS[platform].preset)
    assert configured({"PAYLOAD_PRESET": platform}) == PLATFORMS[platform]


@pytest.mark.parametrize(
    ("name", "event_id"),
    [
        ("clerk/created", "of the delivery"),
        ("workos/created", "event_01HYGDA8PVTNW0M9P5K5JTSCTA"),
        ("supabase-auth/created", "8b4f8d2e-6c1b-4f2e-9a9d-7f6f2f1d5c3b"),
        ("supabase-db/created", "of the delivery"),
        ("auth0/created", "evt_8k2NQ1"),
        ("stytch/created", "event-test-5b9e0a5e"),
        ("fusionauth/created", "e502168a-b469-45d9-a079-fd45f83e0406"),
        ("logto/created", "of the delivery"),
        ("keycloak/created", "31b7a9f0-0000-4000-8000-000000000001"),
        ("shopify/created", "98880550-7158-44d4-b7cd-2c97c8a091b5"),
        ("stripe/created", "evt_1NG8Du2eZvKYlo2CUI79vXWy"),
        ("own/created", "evt_1"),
    ],
)
def test_an_event_is_known_by_what_the_platform_calls_it(name: str, event_id: str) -> None:
    event = understood(name, sample(name))
    assert event
    assert event.event_id == event_id


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("standard/created", "type", "user.deleted"),
        ("workos/created", "event", "dsync.user.created"),
        ("supabase-auth/created", "metadata.name", "send-email"),
        ("supabase-db/updated", "type", "DELETE"),
        ("supabase-db/updated", "table", "orders"),
        ("supabase-db/updated", "schema", "private"),
        ("auth0/created", "type", "user.deleted"),
        ("auth0/created", "a0purpose", "test"),
        ("stytch/created", "action", "DELETE"),
        ("stytch/created", "object_type", "organization"),
        ("fusionauth/created", "event.type", "user.create"),
        ("logto/created", "event", "User.Deleted"),
        ("keycloak/created", "type", "admin.USER-DELETE"),
        ("keycloak/created", "type", "access.LOGIN"),
        ("propelauth/created", "event_type", "user.enabled"),
        ("frontegg/created", "eventKey", "frontegg.user.invitedToTenant"),
        ("stripe/created", "type", "customer.deleted"),
        # Another body that the same secret signs, sent again as if it were a customer.
        ("shopify/created", "admin_graphql_api_id", "gid://shopify/Order/820982911946154508"),
    ],
)
def test_whatever_tells_of_no_new_or_changed_user_is_ignored(name: str, path: str, value: str) -> None:
    body = sample(name)
    *way, last = path.split(".")
    inner = body
    for key in way:
        inner = inner[key]
    inner[last] = value
    assert understood(name, body) is None


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("clerk/created", "data.primary_email_address_id", None),
        ("clerk/created", "data.email_addresses", []),
        ("clerk/created", "data.email_addresses", None),
        ("supabase-auth/created", "user.email", ""),
        ("supabase-db/created", "record.email", None),
        ("auth0/created", "data.object.email", ...),
        ("stytch/created", "user.emails", []),
        ("shopify/created", "email", None),
        ("stripe/created", "data.object.email", None),
        ("logto/created", "data.primaryEmail", None),
        ("fusionauth/created", "event.user.email", ...),
    ],
)
def test_a_user_may_have_no_email(name: str, path: str, value: Any) -> None:
    assert changed(name, path, value).email is None


@pytest.mark.parametrize(
    ("name", "path", "value", "profile"),
    [
        ("clerk/created", "data.first_name", None, {"name": "Lovelace"}),
        ("clerk/created", "data.has_image", False, {"picture": None}),
        ("clerk/created", "data.has_image", ..., {"picture": ...}),
        ("clerk/created", "data.image_url", ..., {"picture": ...}),
        ("clerk/created", "data.image_url", None, {"picture": None}),
        ("workos/created", "data.first_name", ..., {"name": "Lovelace"}),
        ("supabase-auth/created", "user.user_metadata", {}, {"name": ..., "picture": ...}),
        ("supabase-auth/created", "user.user_metadata", {"given_name": "Ada", "picture": "p"}, {"name": "Ada"}),
        ("supabase-auth/created", "user.user_metadata", {"given_name": "Ada", "picture": "p"}, {"picture": "p"}),
        ("supabase-db/updated", "record.avatar_url", None, {"picture": None}),
        ("supabase-db/updated", "record.full_name", None, {"name": "ada"}),
        ("auth0/updated", "data.object.picture", ..., {"picture": ...}),
        ("auth0/updated", "data.object.picture", "https://cdn.auth0.com/avatars/ad.png", {"picture": None}),
        ("auth0/updated", "data.object.picture", "https://www.gravatar.com/avatar/5a3c", {"picture": "https://www.gravatar.com/avatar/5a3c"}),
        ("auth0/updated", "data.object.family_name", ..., {"name": "Ada"}),
        ("stytch/created", "user.providers", [{"type": "GitHub"}, {"profile_picture_url": "p"}], {"picture": "p"}),
        ("fusionauth/created", "event.user.imageUrl", ..., {"picture": ...}),
        ("fusionauth/created", "event.user.imageUrl", None, {"picture": None}),
        ("fusionauth/created", "event.user.firstName", ..., {"name": "Lovelace"}),
        ("logto/updated", "data.name", None, {"name": "Ada Lovelace"}),
        ("keycloak/created", "representation", ..., {"name": ..., "picture": ...}),
        ("keycloak/created", "representation", "", {"name": ..., "picture": ...}),
        ("keycloak/updated_by_user", "details", {"updated_email": "new@people.test"}, {"name": ...}),
        ("propelauth/created", "first_name", None, {"name": "Lovelace"}),
        ("propelauth/created", "picture_url", PICTURE, {"picture": PICTURE}),
        ("shopify/created", "first_name", None, {"name": "Lovelace"}),
        ("stripe/created", "data.object.name", None, {"name": None}),
        ("stripe/created", "data.object.name", ADA, {"name": None}),
    ],
)  # fmt: skip
def test_a_field_is_told_cleared_or_not_spoken_of(name: str, path: str, value: Any, profile: dict[str, Any]) -> None:
    """`...` on the right: the event does not speak of the field."""
    told = dict(changed(name, path, value).profile)
    for field, expected in profile.items():
        assert told.get(field, ...) == expected  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("name", "path", "value", "version"),
    [
        ("clerk/created", "data.updated_at", ..., DAY_1 + 50_000),
        ("workos/updated", "data.updated_at", ..., DAY_2 + 50_000),
        ("auth0/created", "data.object.updated_at", ..., DAY_1 + 473_000),
        ("fusionauth/created", "event.user.lastUpdateInstant", ..., DAY_1 + 50_000),
        ("logto/created", "data.updatedAt", ..., DAY_1 + 50_000),
        ("ory/created", "data.updated_at", "0001-01-01T00:00:00Z", RECEIPT),
        ("supabase-db/updated", "record.updated_at", ..., RECEIPT),
    ],
)
def test_without_the_users_own_time_that_of_the_event_counts_and_last_that_of_receipt(
    name: str, path: str, value: Any, version: int
) -> None:
    assert changed(name, path, value).version == version


def test_auth0_writes_its_event_types_in_two_ways() -> None:
    for kind in ("created", "updated"):
        assert changed("auth0/created", "type", f"com.auth0.user.{kind}").kind == kind


def test_stytchs_first_verified_address_counts_and_without_one_the_first() -> None:
    assert changed("stytch/created", "user.emails", [{"email": ADA, "verified": False}]).email == ADA


def test_stytchs_member_is_a_user_too() -> None:
    body = sample("stytch/created")
    del body["user"]
    body |= {
        "object_type": "member",
        "member": {"member_id": "member-1", "email_address": ADA, "name": "Ada Lovelace"},
    }
    event = understood("stytch/created", body)
    assert event
    assert (event.user_id, event.email, event.profile) == ("member-1", ADA, {"name": "Ada Lovelace"})


def test_logtos_answers_about_a_part_of_a_user_are_never_taken_for_the_user() -> None:
    for part in ({}, {"name": "x"}, {"id": "another", "name": "x", "avatar": "y", "primaryEmail": "z@x.test"}):
        event = changed("logto/updated", "data", part)
        assert (event.user_id, event.email, event.profile) == ("hd9pk3xq1bzn", None, {})


def test_keycloaks_administrator_is_never_taken_for_the_user() -> None:
    assert changed("keycloak/updated", "resourceId", ...).user_id == KEYCLOAK_ID
    body = sample("keycloak/updated")
    del body["resourceId"], body["details"]
    with pytest.raises(Malformed, match="the user's id"):
        understood("keycloak/updated", body)


def test_keycloaks_representation_that_is_no_json_is_malformed() -> None:
    with pytest.raises(Malformed, match="cannot be read"):
        changed("keycloak/created", "representation", "{")


def test_keycloaks_new_address_counts() -> None:
    event = changed("keycloak/updated_by_user", "details", {"previous_email": ADA, "updated_email": "new@people.test"})
    assert event.email == "new@people.test"


def test_shopify_without_its_header_is_malformed_and_not_lost() -> None:
    document = parse(SAMPLES["shopify/created"].read_bytes(), {}, received_at=NOW)
    with pytest.raises(Malformed, match="no event type"):
        read(document, PLATFORMS["shopify"].preset, event_id="")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.just("user.created"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "name", "email"]), inner),
    max_leaves=5,
)


@given(data=st.data(), name=st.sampled_from(sorted(SAMPLES)))
def test_any_body_is_read_or_refused_and_nothing_else(data: st.DataObject, name: str) -> None:
    """Given a body that a platform might send, when any one of its values is any other, then nothing crashes."""
    body = copy.deepcopy(sample(name))
    inner = body
    while True:
        key = data.draw(st.sampled_from(sorted(inner)))
        if isinstance(inner[key], dict) and inner[key] and data.draw(st.booleans()):
            inner = inner[key]
            continue
        inner[key] = data.draw(json_values)
        break
    try:
        event = understood(name, body)
    except Malformed:
        return
    assert event is None or UserEvent.from_json(event.to_json()) == event


# -- settings ------------------------------------------------------------------------------------------------------

ACME = {
    "PAYLOAD_PRESET": "own",
    "SIGNATURE_HEADER": "X-Acme-Signature",
    "SIGNATURE_PREFIX": "sha256=",
    "PAYLOAD_OVERRIDES": json.dumps(
        {
            "event": "action",
            "created": "member.joined",
            "updated": ["member.changed", "member.renamed"],
            "event_id": "delivery.headers.\"x-acme-delivery\"",
            "user_id": "member.uuid",
            "email": "find_by(member.contacts, 'kind', 'email').value",
            "name": ["member.display", "member.[given, family]"],
            "picture": "member.photo.large",
            "version": "member.modified",
            "default_pictures": ["https://acme\\.test/blank"],
            "whop_user_id": "member.whop",
        }
    ),
}  # fmt: skip


def test_a_platform_that_is_not_in_the_table_takes_settings_and_no_code() -> None:
    platform = configured(ACME)
    assert platform.scheme == Hmac(header="x-acme-signature", prefix="sha256=")
    member = {
        "uuid": 7,
        "contacts": [{"kind": "phone", "value": "1"}, {"kind": "email", "value": ADA}],
        "display": None,
        "given": "Ada",
        "family": "King",
        "photo": {"large": "https://acme.test/blank.png"},
        "modified": "2026-03-01T10:00:00.1Z",
        "whop": "user_w1",
    }
    document = parse(
        json.dumps({"action": "member.renamed", "member": member}).encode(),
        {"x-acme-delivery": "d-1"},
        received_at=NOW,
    )
    assert identify(document, platform.preset) == "d-1"
    assert read(document, platform.preset, event_id="d-1") == UserEvent(
        kind="updated",
        event_id="d-1",
        user_id="7",
        version=DAY_1,
        email=ADA,
        profile={"name": "Ada King", "picture": None},
        whop_user_id="user_w1",
    )


@pytest.mark.parametrize(
    ("settings", "scheme"),
    [
        ({"PAYLOAD_PRESET": "clerk"}, Standard()),
        ({"PAYLOAD_PRESET": "clerk", "SIGNATURE_TOLERANCE_SECONDS": "60"}, Standard(tolerance=60)),
        ({"PAYLOAD_PRESET": "clerk", "SIGNATURE_SCHEME": "token"}, Token()),
        ({"PAYLOAD_PRESET": "ory", "SIGNATURE_HEADER": "X-Api-Key"}, Token(header="x-api-key")),
        ({"PAYLOAD_PRESET": "supabase-db", "SIGNATURE_SCHEME": "standard"}, Standard()),
        ({"PAYLOAD_PRESET": "own", "SIGNATURE_SCHEME": "jwt"}, Jwt()),
        ({"PAYLOAD_PRESET": "own", "SIGNATURE_SCHEME": "", "SIGNATURE_HEADER": " "}, Hmac(header="x-signature")),
        (
            {
                "PAYLOAD_PRESET": "standard",
                "SIGNATURE_SCHEME": "hmac",
                "SIGNATURE_HEADER": "x-s",
                "SIGNATURE_ENCODING": "base64",
                "SIGNATURE_CONTENT": "timestamp.body",
                "SIGNATURE_TIMESTAMP_HEADER": "X-T",
                "SIGNATURE_TIMESTAMP_UNIT": "ms",
                "SIGNATURE_TOLERANCE_SECONDS": "180",
            },
            Hmac(
                header="x-s",
                encoding="base64",
                content="timestamp.body",
                timestamp_header="x-t",
                unit="ms",
                tolerance=180,
            ),
        ),
    ],
)
def test_the_preset_names_the_scheme_and_what_is_set_explicitly_counts_more(
    settings: dict[str, str], scheme: object
) -> None:
    assert configured(settings).scheme == scheme


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PAYLOAD_PRESET": ""}, "PAYLOAD_PRESET must be one of standard, clerk"),
        ({"PAYLOAD_PRESET": "klerk"}, "PAYLOAD_PRESET must be one of .* not klerk"),
        ({"SIGNATURE_SCHEME": "none"}, "SIGNATURE_SCHEME must be one of standard, hmac, token, jwt"),
        ({"SIGNATURE_SCHEME": "hmac"}, "SIGNATURE_HEADER must name"),
        ({"SIGNATURE_HEADER": "x-s"}, "SIGNATURE_HEADER means nothing to the signature scheme standard"),
        ({"SIGNATURE_SCHEME": "token", "SIGNATURE_ENCODING": "hex"}, "SIGNATURE_ENCODING means nothing"),
        ({"SIGNATURE_SCHEME": "jwt", "SIGNATURE_PREFIX": "x"}, "SIGNATURE_PREFIX means nothing"),
        ({"PAYLOAD_PRESET": "own", "SIGNATURE_HEADER": "x s"}, "SIGNATURE_HEADER must be the name of a header"),
        ({"PAYLOAD_PRESET": "own", "SIGNATURE_ENCODING": "hexa"}, "SIGNATURE_ENCODING must be hex or base64, not hexa"),
        ({"PAYLOAD_PRESET": "own", "SIGNATURE_CONTENT": "t.body"}, "SIGNATURE_CONTENT must be body or timestamp.body"),
        ({"PAYLOAD_PRESET": "own", "SIGNATURE_TIMESTAMP_UNIT": "ms"}, "SIGNATURE_TIMESTAMP_UNIT means nothing while"),
        ({"PAYLOAD_PRESET": "stripe", "SIGNATURE_TIMESTAMP_UNIT": "us"}, "SIGNATURE_TIMESTAMP_UNIT must be s or ms"),
        ({"SIGNATURE_TOLERANCE_SECONDS": "5 min"}, "SIGNATURE_TOLERANCE_SECONDS must be a whole number"),
        ({"SIGNATURE_TOLERANCE_SECONDS": "0"}, "SIGNATURE_TOLERANCE_SECONDS must be a whole number"),
        ({"PAYLOAD_OVERRIDES": "{"}, "PAYLOAD_OVERRIDES is not JSON"),
        ({"PAYLOAD_OVERRIDES": "[]"}, "PAYLOAD_OVERRIDES must be a JSON object"),
        ({"PAYLOAD_OVERRIDES": '{"mail": "a"}'}, "PAYLOAD_OVERRIDES: there is no mail, only event, created"),
        ({"PAYLOAD_OVERRIDES": '{"email": ["a"]}'}, "PAYLOAD_OVERRIDES: email must be a text"),
        ({"PAYLOAD_OVERRIDES": '{"name": [1]}'}, "PAYLOAD_OVERRIDES: name must be a text or a list of texts"),
        ({"PAYLOAD_OVERRIDES": '{"name": null}'}, "PAYLOAD_OVERRIDES: name must be a text or a list of texts"),
        ({"PAYLOAD_OVERRIDES": '{"name": "a."}'}, "PAYLOAD_OVERRIDES: name: a. is not a JMESPath expression"),
        ({"PAYLOAD_OVERRIDES": '{"email": "nope(a)"}'}, "PAYLOAD_OVERRIDES: email: .*no function"),
        ({"PAYLOAD_OVERRIDES": '{"created": []}'}, "PAYLOAD_OVERRIDES: created"),
        ({"PAYLOAD_OVERRIDES": '{"email": "' + "é" * MAX_OVERRIDES_BYTES + '"}'}, "Lambda's environment holds 4 KB"),
        (
            {"PAYLOAD_PRESET": "own", "PAYLOAD_OVERRIDES": '{"version": ["a", "b || delivery.received_at"]}'},
            "sent again for ever",
        ),
        ({"PAYLOAD_PRESET": "propelauth", "SIGNATURE_SCHEME": "hmac", "SIGNATURE_HEADER": "x"}, "sent again for ever"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_right_is_named_with_what_to_do(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        configured({"PAYLOAD_PRESET": "standard", **settings})


@given(st.text(max_size=40) | json_values.map(json.dumps))
def test_whatever_stands_in_the_overrides_is_a_platform_or_a_sentence(overrides: str) -> None:
    try:
        platform = configured({"PAYLOAD_PRESET": "clerk", "PAYLOAD_OVERRIDES": overrides})
    except ValueError as error:
        sentence = str(error)
    else:
        sentence = "PAYLOAD_OVERRIDES are fine" if isinstance(platform, Platform) else ""
    assert sentence.startswith("PAYLOAD_OVERRIDES")


def test_the_receiver_starts_with_what_is_set_and_not_with_anything_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    queues = [f"{queue}_QUEUE_URL" for queue in ("USER_CREATED", "PROFILE_UPDATED", "PARKED_DELIVERIES")]
    settings = {**dict.fromkeys(["WEBHOOK_SIGNING_SECRETS_ARN", *queues], "somewhere"), **ACME}
    for name, value in {**settings, "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    config.receiver_config.cache_clear()
    assert assembly.receiver().platform == configured(ACME)
    monkeypatch.setenv("SIGNATURE_ENCODING", "hexa")
    with pytest.raises(ValueError, match="SIGNATURE_ENCODING"):
        assembly.receiver()
    config.receiver_config.cache_clear()


# -- the template --------------------------------------------------------------------------------------------------


def test_the_template_offers_the_platforms_of_the_table() -> None:
    assert template()["Parameters"]["PayloadPreset"]["AllowedValues"] == list(PLATFORMS)
    for platform in PLATFORMS.values():
        assert platform.scheme.name in template()["Parameters"]["SignatureScheme"]["AllowedValues"]


def test_the_template_hands_every_setting_to_the_receiver() -> None:
    variables = template()["Resources"]["ReceiveWebhookFunction"]["Properties"]["Environment"]["Variables"]
    settings = [name for name in variables if name.startswith(("PAYLOAD_", "SIGNATURE_"))]
    assert len(settings) == 14
    for name in settings:
        parameter = name.title().replace("_", "")
        assert variables[name] == {"Ref": parameter}
        assert template()["Parameters"][parameter]["Default"] == ("standard" if name == "PAYLOAD_PRESET" else "")
    assert template()["Parameters"]["PayloadOverrides"]["MaxLength"] == MAX_OVERRIDES_BYTES


def test_no_row_takes_an_unsigned_delivery() -> None:
    for platform in PLATFORMS.values():
        with pytest.raises(Unauthentic):
            platform.scheme.verify(b"{}", {}, [b"k" * 32], now=NOW)

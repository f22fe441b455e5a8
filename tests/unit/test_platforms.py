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
from whop_sync import assembly
from whop_sync.errors import Malformed, Unauthentic
from whop_sync.events import UserEvent
from whop_sync.receiving.deliveries import MisconfiguredReceiver, Receiver
from whop_sync.receiving.payloads import check, identify, parse, read, user_id_of
from whop_sync.receiving.platforms import MAX_OVERRIDES_BYTES, PLATFORMS, Platform, configured
from whop_sync.receiving.signatures import Hmac, Jwt, Standard, Token
from whop_user_sync.preview.captured import header_lines

NOW = 1_772_540_000.0
FOLDER = ROOT / "tests" / "payloads"
SAMPLES = {f"{path.parent.name}/{path.stem}": path for path in sorted(FOLDER.glob("*/*.json"))}

ADA = "ada@people.test"
PICTURE = "https://pictures.shop.test/ada.png"
DAY_1, DAY_2, DAY_3 = 1_772_359_200_100_000, 1_772_445_600_100_000, 1_772_532_000_100_000
RECEIPT = int(NOW * 1_000_000)
SUPABASE_ID = "0c9a4d8e-2f0b-4a1c-8a55-3f2f6c9f7a10"
KEYCLOAK_ID = "c0ffee00-2f0b-4a1c-8a55-3f2f6c9f7a10"
WORKOS_ID = "user_01E4ZCR3C56J083X43JQXF3JK5"
ORY_ID = "9f425a8d-7efc-4768-8f23-7647a74fdf13"
CLERK_ID = "user_29w83sxmDNGwOuEthce5gg56FcC"
AUTH0_ID = "auth0|507f1f77bcf86cd799439020"
FUSIONAUTH_ID = "00000000-0000-0001-0000-000000000000"
ZITADEL_ID = "336494809936035843"
GHOST_ID = "63d0f1b2c3d4e5f607182930"
AUTHGEAR_ID = "338deafa-400b-4589-a922-2c92d670b757"
PROPELAUTH_ID = "31c41c16-c281-44ae-9602-8a047e3bf33d"

# Kind, user id, e-mail, version, profile.
EXPECTED: dict[str, tuple[str, str, str | None, int, dict[str, str | None]]] = {
    "standard/created": ("created", "12345", ADA, DAY_1, {"name": "Ada Lovelace", "picture": PICTURE}),
    "standard/updated": ("updated", "12345", ADA, DAY_2, {"name": "Ada King", "picture": PICTURE}),
    "standard/picture_removed": ("updated", "12345", None, DAY_2, {"name": "Ada King", "picture": None}),
    "own/created": ("created", "12345", ADA, DAY_1, {"name": "Ada Lovelace", "picture": PICTURE}),
    "own/updated": ("updated", "12345", ADA, DAY_2, {"name": "Ada King"}),
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
        {"name": "Ada King", "picture": "https://img.clerk.test/ada"},
    ),
    "clerk/picture_removed": (
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
    "woocommerce/created": ("created", "25", ADA, DAY_1 - 100_000, {"name": "Ada Lovelace", "picture": None}),
    "woocommerce/updated": ("updated", "25", ADA, DAY_2 - 100_000, {"name": "Ada King", "picture": PICTURE}),
    "zitadel/created": ("created", ZITADEL_ID, ADA, DAY_1 + 123, {"name": "Ada Lovelace"}),
    "zitadel/updated": ("updated", ZITADEL_ID, None, DAY_2 + 123, {"name": "Ada King"}),
    "zitadel/updated_address": ("updated", ZITADEL_ID, ADA, DAY_2 + 123, {}),
    "ghost/created": ("created", GHOST_ID, ADA, DAY_1 - 100_000, {"name": "Ada Lovelace", "picture": None}),
    "ghost/updated": ("updated", GHOST_ID, ADA, DAY_2 - 100_000, {"name": "Ada King", "picture": None}),
    "hasura/created": ("created", SUPABASE_ID, ADA, DAY_1 + 123, {"name": "Ada Lovelace", "picture": PICTURE}),
    "hasura/updated": ("updated", SUPABASE_ID, ADA, DAY_2 + 123, {"name": "Ada King", "picture": PICTURE}),
    "hasura/updated_without_time": (
        "updated",
        SUPABASE_ID,
        ADA,
        DAY_2 + 50_123,
        {"name": "Ada King", "picture": PICTURE},
    ),
    "nhost/created": ("created", SUPABASE_ID, ADA, DAY_1 + 123, {"name": "Ada Lovelace", "picture": None}),
    "nhost/updated": ("updated", SUPABASE_ID, ADA, DAY_2 + 123, {"name": "Ada King", "picture": PICTURE}),
    "authgear/created": ("created", AUTHGEAR_ID, ADA, DAY_1 + 123, {"name": "Ada Lovelace", "picture": PICTURE}),
    "authgear/updated": ("updated", AUTHGEAR_ID, ADA, DAY_2 + 123, {"name": "Ada King", "picture": PICTURE}),
    "appwrite/created": ("created", "63d0f1b2c3d4e5f60718", ADA, DAY_1, {"name": "Ada Lovelace"}),
    "appwrite/updated": ("updated", "63d0f1b2c3d4e5f60718", ADA, DAY_2, {"name": "Ada King"}),
    "memberstack/created": ("created", "mem_sb_cl5k1", ADA, DAY_1, {"name": "Ada Lovelace", "picture": None}),
    "memberstack/updated": ("updated", "mem_sb_cl5k1", ADA, DAY_2, {"name": "Ada King", "picture": PICTURE}),
    "userfront/created": ("created", "12345", ADA, DAY_1, {"name": "Ada Lovelace", "picture": None}),
    "userfront/updated": ("updated", "12345", ADA, RECEIPT, {"name": "Ada King", "picture": PICTURE}),
    "userfront/updated_with_time": ("updated", "12345", ADA, DAY_2, {"name": "Ada King", "picture": PICTURE}),
}

# What is said of a user's standing: kind, user id, version, event time, standing. None: not a user event, or (as the
# standing) not spoken of.
EVENT_3 = DAY_3 + 50_000
LIFE: dict[str, tuple[str, str, int, int, str | None] | None] = {
    "standard/suspended": ("suspended", "12345", EVENT_3, EVENT_3, "suspended"),
    "standard/restored": ("restored", "12345", EVENT_3, EVENT_3, "active"),
    "standard/deleted": ("deleted", "12345", EVENT_3, EVENT_3, "deleted"),
    "standard/suspended_by_flag": ("updated", "12345", DAY_3, EVENT_3, "suspended"),
    "own/suspended": ("suspended", "12345", EVENT_3, EVENT_3, "suspended"),
    "own/restored": ("restored", "12345", EVENT_3, EVENT_3, "active"),
    "own/deleted": ("deleted", "12345", EVENT_3, EVENT_3, "deleted"),
    "ory/suspended": ("suspended", ORY_ID, EVENT_3, EVENT_3, "suspended"),
    "ory/restored": ("restored", ORY_ID, EVENT_3, EVENT_3, "active"),
    "ory/deleted": ("deleted", ORY_ID, EVENT_3, EVENT_3, "deleted"),
    "clerk/deleted": ("deleted", CLERK_ID, EVENT_3, EVENT_3, "deleted"),
    "clerk/banned": ("updated", CLERK_ID, DAY_3, EVENT_3, "suspended"),
    "clerk/locked": ("updated", CLERK_ID, DAY_3, EVENT_3, "active"),  # a lock is temporary
    "workos/deleted": ("deleted", WORKOS_ID, EVENT_3, EVENT_3, "deleted"),
    "supabase-db/deleted": ("deleted", SUPABASE_ID, RECEIPT, RECEIPT, "deleted"),
    "supabase-db/soft_deleted_address": ("updated", SUPABASE_ID, DAY_3 + 120, RECEIPT, "active"),
    "supabase-db/soft_deleted": ("deleted", SUPABASE_ID, RECEIPT, RECEIPT, "deleted"),
    "supabase-db/soft_deleted_metadata": ("deleted", SUPABASE_ID, RECEIPT, RECEIPT, "deleted"),
    "supabase-db/restored": ("restored", SUPABASE_ID, RECEIPT, RECEIPT, "active"),
    "supabase-db/banned": ("updated", SUPABASE_ID, DAY_3 + 120, RECEIPT, "suspended"),
    "supabase-db/ban_is_over": ("updated", SUPABASE_ID, DAY_3 + 120, RECEIPT, "active"),
    "supabase-db/updated_without_time": ("updated", SUPABASE_ID, RECEIPT, RECEIPT, None),
    "auth0/deleted": ("deleted", AUTH0_ID, EVENT_3, EVENT_3, "deleted"),
    "auth0/blocked": ("updated", AUTH0_ID, DAY_3, EVENT_3, "suspended"),
    "stytch/deleted": ("deleted", "user-test-16d9ba61", EVENT_3 + 123, EVENT_3 + 123, "deleted"),
    "stytch/locked": ("updated", "user-test-16d9ba61", EVENT_3 + 123, EVENT_3 + 123, None),
    "fusionauth/suspended": ("suspended", FUSIONAUTH_ID, EVENT_3, EVENT_3, "suspended"),
    "fusionauth/restored": ("restored", FUSIONAUTH_ID, EVENT_3, EVENT_3, "active"),
    "fusionauth/deleted": ("deleted", FUSIONAUTH_ID, EVENT_3, EVENT_3, "deleted"),
    "fusionauth/deleted_in_bulk": ("deleted", FUSIONAUTH_ID, EVENT_3, EVENT_3, "deleted"),
    "logto/suspended": ("suspended", "hd9pk3xq1bzn", EVENT_3, EVENT_3, "suspended"),
    "logto/restored": ("restored", "hd9pk3xq1bzn", EVENT_3, EVENT_3, "active"),
    "logto/deleted": ("deleted", "hd9pk3xq1bzn", EVENT_3, EVENT_3, "deleted"),
    "keycloak/deleted": ("deleted", KEYCLOAK_ID, EVENT_3, EVENT_3, "deleted"),
    "keycloak/deleted_by_user": ("deleted", KEYCLOAK_ID, EVENT_3, EVENT_3, "deleted"),
    "keycloak/disabled": ("updated", KEYCLOAK_ID, EVENT_3, EVENT_3, "suspended"),
    "keycloak/locked_out": ("suspended", KEYCLOAK_ID, EVENT_3, EVENT_3, "suspended"),
    "keycloak/linked": None,  # a social login is no user
    "keycloak/unlinked": None,
    "propelauth/suspended": ("suspended", PROPELAUTH_ID, RECEIPT, 0, "suspended"),
    "propelauth/restored": ("restored", PROPELAUTH_ID, RECEIPT, 0, "active"),
    "propelauth/deleted": ("deleted", PROPELAUTH_ID, RECEIPT, 0, "deleted"),
    "propelauth/locked": None,
    "frontegg/deleted": ("deleted", "f7a0d5a3", RECEIPT, 0, "deleted"),
    "shopify/deleted": ("deleted", "706405506930370084", RECEIPT, 0, "deleted"),
    "shopify/redacted": ("deleted", "706405506930370084", RECEIPT, 0, "deleted"),
    "shopify/data_request": None,
    "shopify/created_without_store_account": ("created", "706405506930370084", DAY_1 - 100_000, 0, "active"),
    "shopify/disabled": None,  # has the shape of an update, and the topic is not signed
    "stripe/deleted": ("deleted", "cus_NffrFeUfNV2Hib", DAY_3 - 100_000, 0, "deleted"),
    "woocommerce/deleted": ("deleted", "25", RECEIPT, 0, "deleted"),
    "woocommerce/deleted_order": None,
    "zitadel/suspended": ("suspended", ZITADEL_ID, DAY_3 + 123, DAY_3 + 123, "suspended"),
    "zitadel/restored": ("restored", ZITADEL_ID, DAY_3 + 123, DAY_3 + 123, "active"),
    "zitadel/deleted": ("deleted", ZITADEL_ID, DAY_3 + 123, DAY_3 + 123, "deleted"),
    "zitadel/locked": None,
    "ghost/deleted": ("deleted", GHOST_ID, RECEIPT + 499_999, RECEIPT + 499_999, "deleted"),
    "ghost/published": None,
    "hasura/deleted": ("deleted", SUPABASE_ID, DAY_3 + 50_123, DAY_3 + 50_123, "deleted"),
    "nhost/disabled": ("updated", SUPABASE_ID, DAY_3 + 123, DAY_3 + 50_123, "suspended"),
    "nhost/deleted": ("deleted", SUPABASE_ID, DAY_3 + 50_123, DAY_3 + 50_123, "deleted"),
    "authgear/suspended": ("suspended", AUTHGEAR_ID, DAY_3 + 900_000, DAY_3 + 900_000, "suspended"),
    "authgear/restored": ("restored", AUTHGEAR_ID, DAY_3 + 900_000, DAY_3 + 900_000, "active"),
    "authgear/deletion_scheduled": ("suspended", AUTHGEAR_ID, DAY_3 + 900_000, DAY_3 + 900_000, "suspended"),
    "authgear/deleted": ("deleted", AUTHGEAR_ID, DAY_3 + 900_000, DAY_3 + 900_000, "deleted"),
    "appwrite/blocked": ("updated", "63d0f1b2c3d4e5f60718", DAY_3, 0, "suspended"),
    "appwrite/deleted": ("deleted", "63d0f1b2c3d4e5f60718", RECEIPT, 0, "deleted"),
    "appwrite/session": None,
    "memberstack/deleted": ("deleted", "mem_sb_cl5k1", DAY_3, DAY_3, "deleted"),
    "userfront/deleted": ("deleted", "12345", RECEIPT, RECEIPT, "deleted"),
    "userfront/tenant": None,
}


def sample(name: str) -> Any:
    return json.loads(SAMPLES[name].read_text())


def headers_of(path: Path) -> dict[str, str]:
    headers = path.with_suffix(".headers")
    return header_lines(headers.read_text()) if headers.exists() else {}


def understood(name: str, body: Any) -> UserEvent | None:
    """`name` of the sample whose platform and headers the body has."""
    preset = PLATFORMS[name.partition("/")[0]].preset
    signed_at = NOW if "delivery.signed_at" in preset.life_cycle_version else None
    document = parse(json.dumps(body).encode(), headers_of(SAMPLES[name]), received_at=NOW, signed_at=signed_at)
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


@pytest.mark.parametrize("name", EXPECTED)
def test_each_platforms_samples_are_read_whole(name: str) -> None:
    event = understood(name, sample(name))
    assert event
    assert (event.kind, event.user_id, event.email, event.version, event.profile) == EXPECTED[name]


@pytest.mark.parametrize("name", LIFE)
def test_each_platforms_samples_of_a_users_life_are_read_as_what_they_are(name: str) -> None:
    event = understood(name, sample(name))
    assert (event and (event.kind, event.user_id, event.version, event.event_time, event.standing)) == LIFE[name]


@pytest.mark.parametrize("name", [name for name, life in LIFE.items() if life and life[0] == "deleted"])
def test_a_deletion_shows_nothing_of_how_the_user_was_before(name: str) -> None:
    event = understood(name, sample(name))
    assert event
    assert (event.email, event.profile, event.whop_user_id) == (None, {}, None)


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected[0] == "created"])
def test_a_new_user_is_active(name: str) -> None:
    event = understood(name, sample(name))
    assert event
    assert event.standing == "active"


@pytest.mark.parametrize("name", [*EXPECTED, *(name for name, life in LIFE.items() if life)])
def test_the_id_is_found_by_itself_whatever_else_is_wrong(name: str) -> None:
    document = parse(SAMPLES[name].read_bytes(), {}, received_at=NOW)
    event = understood(name, sample(name))
    assert event
    assert user_id_of(document, PLATFORMS[name.partition("/")[0]].preset) == event.user_id
    assert user_id_of(parse(b"{}", {}, received_at=NOW), PLATFORMS["standard"].preset) is None


def test_every_platform_has_samples_of_all_it_posts() -> None:
    assert {*EXPECTED, *LIFE} == set(SAMPLES)
    found: dict[tuple[str, str], set[str]] = {}
    for name in SAMPLES:
        event = understood(name, sample(name))
        if event:
            found.setdefault((name.partition("/")[0], event.kind), set()).add(name)
    for name, platform in PLATFORMS.items():
        for kind in ("created", "updated", "suspended", "restored", "deleted"):
            assert bool(found.get((name, kind))) == bool(getattr(platform.preset, kind)), (name, kind)


# -- traps of the life cycle -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "value", "standing"),
    [
        ("clerk/updated", "data.banned", True, "suspended"),
        ("clerk/updated", "data.banned", False, "active"),
        ("clerk/updated", "data.locked", True, None),
        ("auth0/updated", "data.object.blocked", True, "suspended"),
        ("auth0/updated", "data.object.blocked", False, "active"),
        ("auth0/updated", "data.object.created_at", "2026-03-01T10:00:00.100Z", None),
        ("logto/updated", "data.isSuspended", True, "suspended"),
        ("logto/updated", "data.isSuspended", ..., None),
        ("logto/updated_part_of_user", "data.isSuspended", True, None),
        ("fusionauth/updated", "event.user.active", False, "suspended"),
        ("fusionauth/updated", "event.user.active", ..., None),
        ("fusionauth/created", "event.user.active", False, "suspended"),
        ("keycloak/updated", "representation", '{"enabled": false}', "suspended"),
        ("keycloak/updated", "representation", '{"enabled": true}', "active"),
        ("keycloak/updated", "representation", '{"firstName": "Ada"}', None),
        ("keycloak/created", "representation", '{"enabled": false}', "suspended"),
        ("supabase-db/updated", "record.banned_until", None, "active"),
        ("supabase-db/updated", "record.banned_until", "2026-03-03T12:13:19Z", "active"),  # one second before NOW
        ("supabase-db/updated", "record.banned_until", "2026-03-03T12:13:21Z", "suspended"),
        ("standard/updated", "data.suspended", False, "active"),
        ("standard/updated", "data.suspended", None, "active"),
        ("standard/created", "data.suspended", True, "suspended"),
        ("shopify/updated", "state", "disabled", None),
        ("frontegg/updated", "user.isLocked", True, None),
        ("propelauth/updated", "locked", True, None),
    ],
)
def test_a_flag_of_the_user_is_a_standing_and_a_lock_is_none(
    name: str, path: str, value: Any, standing: str | None
) -> None:
    assert changed(name, path, value).standing == standing


def test_supabases_ban_is_compared_with_the_clock_of_the_receiver() -> None:
    body = json.dumps(sample("supabase-db/banned")).encode()
    ends_at = 1_804_068_000  # 2027-03-03T10:00:00Z
    for received_at, standing in ((ends_at - 1, "suspended"), (ends_at + 1, "active")):
        parked = parse(body, {}, received_at=NOW, judged_at=received_at)
        for document in (parse(body, {}, received_at=received_at), parked):
            event = read(document, PLATFORMS["supabase-db"].preset, event_id="")
            assert event
            assert event.standing == standing


def test_supabases_soft_delete_never_hands_on_the_hash_as_an_address() -> None:
    for name in ("soft_deleted_address", "soft_deleted", "soft_deleted_metadata"):
        event = understood(f"supabase-db/{name}", sample(f"supabase-db/{name}"))
        assert event
        assert event.email is None


def test_auth0s_social_user_who_returns_with_the_same_id_is_newer_than_the_deletion() -> None:
    deleted = understood("auth0/deleted", sample("auth0/deleted"))
    old = understood("auth0/created", sample("auth0/created"))
    body = sample("auth0/created")
    body["time"] = "2026-03-03T11:00:00.573Z"
    body["data"]["object"] |= {"created_at": "2026-03-03T11:00:00.100Z", "updated_at": "2026-03-03T11:00:00.100Z"}
    returned = understood("auth0/created", body)
    assert deleted
    assert old
    assert returned
    assert old.version < deleted.version < returned.version


@pytest.mark.parametrize("name", ["workos/deleted", "auth0/deleted", "fusionauth/suspended", "logto/deleted"])
def test_an_event_that_shows_the_user_as_last_updated_is_newer_than_that_update(name: str) -> None:
    event = understood(name, sample(name))
    update = understood(f"{name.partition('/')[0]}/updated", sample(f"{name.partition('/')[0]}/updated"))
    assert event
    assert update
    assert event.version > update.version


@pytest.mark.parametrize("topic", ["customers/delete", "customers/redact"])
def test_shopifys_update_that_is_sent_again_under_another_topic_deletes_no_user(topic: str) -> None:
    document = parse(SAMPLES["shopify/updated"].read_bytes(), {"x-shopify-topic": topic}, received_at=NOW)
    assert read(document, PLATFORMS["shopify"].preset, event_id="") is None


@pytest.mark.parametrize("topic", ["customers/create", "customers/update", None])
def test_shopifys_deletion_is_one_under_whatever_topic_it_is_sent(topic: str | None) -> None:
    headers = {"x-shopify-topic": topic} if topic else {}
    for name in ("deleted", "redacted"):
        document = parse(SAMPLES[f"shopify/{name}"].read_bytes(), headers, received_at=NOW)
        event = read(document, PLATFORMS["shopify"].preset, event_id="")
        assert event
        assert event.kind == "deleted"


@pytest.mark.parametrize("resource_id", [KEYCLOAK_ID, "google", ...])
@pytest.mark.parametrize("operation", ["CREATE", "DELETE", "UPDATE"])
def test_keycloaks_event_about_a_part_of_a_user_is_none_of_the_user(resource_id: Any, operation: str) -> None:
    body = sample("keycloak/unlinked")
    body |= {"type": f"admin.USER-{operation}", "operationType": operation, "details": {"userId": "117"}}
    if resource_id is ...:
        del body["resourceId"]
    else:
        body["resourceId"] = resource_id
    assert understood("keycloak/unlinked", body) is None


def test_keycloaks_user_of_a_federation_provider_is_a_user() -> None:
    body = sample("keycloak/deleted")
    federated = "f:8a1c:ada"
    body |= {"resourceId": federated, "resourcePath": f"users/{federated}"}
    del body["details"]
    event = understood("keycloak/deleted", body)
    assert event
    assert (event.kind, event.user_id) == ("deleted", federated)


def test_woocommerces_deletion_is_an_id_and_its_topic_together() -> None:
    bodies = {name: SAMPLES[f"woocommerce/{name}"].read_bytes() for name in ("updated", "deleted", "deleted_order")}
    for name, topic, kind in (
        ("updated", "customer.deleted", None),
        ("deleted_order", "order.deleted", None),
        ("deleted", "customer.deleted", "deleted"),
    ):
        document = parse(bodies[name], {"x-wc-webhook-topic": topic}, received_at=NOW)
        event = read(document, PLATFORMS["woocommerce"].preset, event_id="")
        assert (event.kind if event else None) == kind


def test_zitadels_user_is_never_the_one_who_made_the_change() -> None:
    body = sample("zitadel/updated")
    del body["aggregateID"]
    with pytest.raises(Malformed, match="the user's id"):
        understood("zitadel/updated", body)


def test_zitadels_payload_may_be_an_object_too() -> None:
    assert changed("zitadel/updated", "event_payload", {"displayName": "Ada"}).profile == {"name": "Ada"}
    with pytest.raises(Malformed, match="cannot be read"):
        changed("zitadel/updated", "event_payload", "not base64")


def test_appwrites_event_is_of_the_user_in_the_body_or_of_none() -> None:
    body = SAMPLES["appwrite/updated"].read_bytes()
    for events, kind in (
        ("users.63d0f1b2c3d4e5f60718.update.email", "updated"),
        ("users.63d0f1b2c3d4e5f60718.verification.1.update", None),
        ("users.another.delete", None),
        ("", None),
    ):
        document = parse(body, {"x-appwrite-webhook-events": events}, received_at=NOW)
        event = read(document, PLATFORMS["appwrite"].preset, event_id="")
        assert (event.kind if event else None) == kind


def test_appwrites_user_without_the_header_that_names_the_event_is_parked_and_not_lost() -> None:
    document = parse(SAMPLES["appwrite/updated"].read_bytes(), {}, received_at=NOW)
    with pytest.raises(Malformed, match="names no event type"):
        read(document, PLATFORMS["appwrite"].preset, event_id="")


@pytest.mark.parametrize("name", ["keycloak/linked", "keycloak/unlinked"])
def test_keycloaks_social_login_is_no_user_by_its_path_alone(name: str) -> None:
    assert understood(name, {**sample(name), "resourceId": None, "details": {}}) is None


def test_logtos_suspension_that_does_not_say_which_way_is_ignored() -> None:
    body = sample("logto/suspended")
    del body["data"]["isSuspended"]
    assert understood("logto/suspended", body) is None


# -- when an event happened ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "event_time"),
    [
        ("standard/updated", DAY_2 + 50_000),
        ("own/updated", DAY_2 + 50_000),
        ("clerk/updated", DAY_2 + 50_000),
        ("workos/updated", DAY_2 + 50_000),
        ("supabase-auth/created", DAY_1 + 123),
        ("supabase-db/updated", RECEIPT),
        ("auth0/updated", DAY_2 + 473_000),
        ("stytch/updated", DAY_2 + 123),
        ("fusionauth/updated", DAY_2 + 50_000),
        ("logto/updated", DAY_2 + 50_000),
        ("keycloak/updated", DAY_2),
        # Where the body names no time, that of the signature.
        ("propelauth/updated", None),
        ("frontegg/updated", None),
        ("stripe/updated", None),
        # Where the signature covers none either, nothing.
        ("shopify/updated", 0),
    ],
)
def test_when_an_event_happened_is_said_by_something_signed(name: str, event_time: int | None) -> None:
    signed_at = None if event_time == 0 else NOW
    document = parse(SAMPLES[name].read_bytes(), headers_of(SAMPLES[name]), received_at=NOW, signed_at=signed_at)
    event = read(document, PLATFORMS[name.partition("/")[0]].preset, event_id="")
    assert event
    expected = document["delivery"]["signed_at"] if event_time is None else event_time
    assert event.event_time == expected


def test_of_stripes_changes_in_one_second_the_one_that_was_delivered_last_is_the_newest() -> None:
    events = []
    for signed_at, received_at in ((NOW, NOW + 0.2), (NOW, NOW + 0.25), (NOW + 1, NOW + 1.1)):
        document = parse(SAMPLES["stripe/updated"].read_bytes(), {}, received_at=received_at, signed_at=signed_at)
        events.append(read(document, PLATFORMS["stripe"].preset, event_id=""))
    assert len({event.version for event in events if event}) == 1
    times = [event.event_time for event in events if event]
    assert times == sorted(set(times))


@given(
    signed_at=st.integers(1_773_000_000, 1_800_000_000) | st.sampled_from([1_773_000_000.25, 1_773_000_000.001]),
    lags=st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000)),
)
def test_a_copy_that_is_sent_again_never_gets_past_what_was_signed_later(
    signed_at: float, lags: tuple[float, float]
) -> None:
    later = signed_at + (1 if signed_at == int(signed_at) else 0.001)

    def event_time(signed: float, lag: float) -> int:
        document = parse(SAMPLES["stripe/updated"].read_bytes(), {}, received_at=signed + lag, signed_at=signed)
        event = read(document, PLATFORMS["stripe"].preset, event_id="")
        assert event
        return event.event_time

    assert event_time(signed_at, lags[0]) < event_time(later, lags[1])


def test_supabases_update_whose_updated_at_stands_still_counts_from_receipt() -> None:
    body = sample("supabase-db/updated")
    body["old_record"]["updated_at"] = body["record"]["updated_at"]
    event = understood("supabase-db/updated", body)
    assert event
    assert event.version == RECEIPT


def test_updates_whose_own_time_stands_still_are_ordered_by_what_says_when_they_happened() -> None:
    """Given ten updates of a table without updated_at, or six with a fixed one, each is newer than the last."""

    def position(name: str, body: Any, received_at: float) -> tuple[int, int]:
        preset = PLATFORMS[name.partition("/")[0]].preset
        event = read(parse(json.dumps(body).encode(), {}, received_at=received_at), preset, event_id="")
        assert event
        return event.version, event.event_time

    body = sample("supabase-db/updated")
    del body["record"]["updated_at"], body["old_record"]["updated_at"]
    of_table = [position("supabase-db/updated", body, NOW + 60 * minute) for minute in range(10)]
    assert of_table == sorted(set(of_table))

    body = sample("standard/updated")
    of_envelope = []
    for minute in range(6):
        body["timestamp"] = f"2026-03-02T10:0{minute}:00Z"
        of_envelope.append(position("standard/updated", body, NOW - minute))  # however late each arrives
    assert of_envelope == sorted(set(of_envelope))
    assert len({version for version, _ in of_envelope}) == 1


def test_fusionauths_name_that_was_taken_away_is_cleared() -> None:
    body = sample("fusionauth/updated")
    for field in ("firstName", "lastName", "fullName"):
        del body["event"]["user"][field]
    event = understood("fusionauth/updated", body)
    assert event
    assert event.profile == {"name": None, "picture": None}
    for field in ("firstName", "lastName", "fullName"):
        del body["event"]["original"][field]
    event = understood("fusionauth/updated", body)
    assert event
    assert event.profile == {"picture": None}  # there was none


def test_supabases_created_at_is_the_version_of_a_new_row_only() -> None:
    inserted = sample("supabase-db/created")
    inserted["record"]["created_at"] = "2026-03-01T10:00:00.1Z"
    event = understood("supabase-db/created", inserted)
    assert event
    assert event.version == DAY_1
    event = understood("supabase-db/updated_without_time", sample("supabase-db/updated_without_time"))
    assert event
    assert event.version == RECEIPT


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
        ("standard/created", "type", "user.merged"),
        ("workos/created", "event", "dsync.user.created"),
        ("workos/created", "event", "dsync.user.deleted"),
        ("stytch/deleted", "object_type", "organization"),
        ("fusionauth/created", "event.type", "user.bulk.create"),
        ("shopify/deleted", "admin_graphql_api_id", "gid://shopify/Order/820982911946154508"),
        ("supabase-auth/created", "metadata.name", "send-email"),
        ("supabase-db/updated", "table", "orders"),
        ("supabase-db/updated", "schema", "private"),
        ("auth0/created", "a0purpose", "test"),
        ("stytch/created", "object_type", "organization"),
        ("fusionauth/created", "event.type", "user.create"),
        ("keycloak/created", "type", "access.LOGIN"),
        ("frontegg/created", "eventKey", "frontegg.user.invitedToTenant"),
        # Another body that the same secret signs, sent again as if it were a customer.
        ("shopify/created", "admin_graphql_api_id", "gid://shopify/Order/820982911946154508"),
    ],
)
def test_whatever_is_about_no_new_or_changed_user_is_ignored(name: str, path: str, value: str) -> None:
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
def test_a_field_is_set_cleared_or_not_spoken_of(name: str, path: str, value: Any, profile: dict[str, Any]) -> None:
    """`...` on the right: the event does not speak of the field."""
    actual = dict(changed(name, path, value).profile)
    for field, expected in profile.items():
        assert actual.get(field, ...) == expected  # type: ignore[call-overload]


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
        ({"ENROLL_IF": "data.role =="}, "ENROLL_IF: data.role == is not a JMESPath expression"),
        ({"ENROLL_IF": 'delivery.headers."x-role"'}, "ENROLL_IF: .* reads a header, which no signature covers"),
        ({"ENROLL_IF": "delivery.received_at"}, "ENROLL_IF: delivery.received_at reads"),
        ({"ENROLL_IF": "nope(data)"}, "ENROLL_IF: .*no function"),
        ({"PAYLOAD_OVERRIDES": "[]"}, "PAYLOAD_OVERRIDES must be a JSON object"),
        ({"PAYLOAD_OVERRIDES": '{"updated": "a", "updated": "b"}'}, "PAYLOAD_OVERRIDES: updated stands twice"),
        ({"PAYLOAD_OVERRIDES": '{"mail": "a"}'}, "PAYLOAD_OVERRIDES: there is no mail, only event, created"),
        ({"PAYLOAD_OVERRIDES": '{"email": ["a"]}'}, "PAYLOAD_OVERRIDES: email must be a text"),
        ({"PAYLOAD_OVERRIDES": '{"name": [1]}'}, "PAYLOAD_OVERRIDES: name must be a text or a list of texts"),
        ({"PAYLOAD_OVERRIDES": '{"name": null}'}, "PAYLOAD_OVERRIDES: name must be a text or a list of texts"),
        ({"PAYLOAD_OVERRIDES": '{"name": "a."}'}, "PAYLOAD_OVERRIDES: name: a. is not a JMESPath expression"),
        ({"PAYLOAD_OVERRIDES": '{"email": "nope(a)"}'}, "PAYLOAD_OVERRIDES: email: .*no function"),
        ({"PAYLOAD_OVERRIDES": '{"created": []}'}, "PAYLOAD_OVERRIDES: created"),
        ({"PAYLOAD_OVERRIDES": '{"deleted": "user.updated"}'}, "user.updated cannot stand in both updated and deleted"),
        ({"PAYLOAD_OVERRIDES": '{"event_time": ["a."]}'}, "PAYLOAD_OVERRIDES: event_time: a. is not a JMESPath"),
        ({"PAYLOAD_PRESET": "own", "PAYLOAD_OVERRIDES": '{"event_time": "delivery.received_at"}'}, "for ever"),
        (
            {"PAYLOAD_PRESET": "own", "PAYLOAD_OVERRIDES": '{"life_cycle_version": "delivery.received_at"}'},
            "life_cycle_version must not fall back",
        ),
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
    receiver = assembly.receiver()
    assert isinstance(receiver, Receiver)
    assert receiver.platform == configured(ACME)
    for name, value in {"SIGNATURE_ENCODING": "hexa", "PAYLOAD_OVERRIDES": "{\\", "PAYLOAD_PRESET": "klerk"}.items():
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            broken = assembly.receiver()
        assert isinstance(broken, MisconfiguredReceiver)
        assert name in broken.problem
        assert broken.answer({})["statusCode"] == 503


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

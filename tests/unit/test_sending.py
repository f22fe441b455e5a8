"""What the tool posts is what the receiver takes: every preset's samples, about any user, under every scheme."""

import base64
import json

import pytest

from whop_sync.receiving.deliveries import id_of
from whop_sync.receiving.payloads import parse, read
from whop_sync.receiving.platforms import PLATFORMS, configured
from whop_sync.receiving.signatures import Hmac, Jwt, Scheme, Standard, Token, parse_secrets
from whop_user_sync.sending import (
    SAMPLES,
    Person,
    UnknownSampleError,
    about,
    id_at_receiver,
    remarks,
    sample,
    signed_headers,
)

NOW = 1_795_000_000.0
TEXT_SECRET = "a secret of enough characters"
BASE64_SECRET = base64.b64encode(b"a secret of enough bytes").decode()

PERSON = Person(user_id="4711", email="bea@shop.test", name="Bea Cee", picture="https://cdn.shop.test/bea.png")


@pytest.mark.parametrize("preset", sorted(folder.name for folder in SAMPLES.iterdir() if folder.is_dir()))
def test_a_sample_is_made_about_one_user_and_true_now(preset: str) -> None:
    platform = PLATFORMS[preset]
    for kind in ("created", "updated"):
        try:
            found = sample(preset, platform, kind, now=NOW)
        except UnknownSampleError:
            assert kind == "updated"  # a hook that is called at a sign-up only
            continue
        webhook = about(found, platform, PERSON, now=NOW)
        document = parse(webhook.body, webhook.headers, received_at=NOW)
        event = read(document, platform.preset, event_id="msg_1")
        assert event is not None
        assert (event.kind, event.user_id) == (kind, "4711")
        assert event.email in ("bea@shop.test", None)
        assert event.profile.get("name") in ("Bea Cee", None)  # some samples clear it
        assert abs(event.version / 1_000_000 - NOW) <= 1


@pytest.mark.parametrize("preset", sorted(folder.name for folder in SAMPLES.iterdir() if folder.is_dir()))
def test_no_id_of_an_event_is_used_twice_be_it_in_the_body_or_in_a_header(preset: str) -> None:
    found = sample(preset, PLATFORMS[preset], "created", now=NOW)
    first, second = (about(found, PLATFORMS[preset], PERSON, now=NOW).event_id for _ in range(2))
    assert (first is None) == (found.event_id is None)
    assert first is None or len({found.event_id, first, second}) == 3


@pytest.mark.parametrize("preset", sorted(folder.name for folder in SAMPLES.iterdir() if folder.is_dir()))
@pytest.mark.parametrize("kind", ["updated", "suspended", "restored"])
def test_a_change_says_what_was_given_and_nothing_else(preset: str, kind: str) -> None:
    platform = PLATFORMS[preset]
    try:
        found = sample(preset, platform, kind, now=NOW)
    except UnknownSampleError:
        return
    silent = about(found, platform, Person(user_id="4711"), now=NOW)
    assert silent.event is not None
    assert (silent.event.kind, silent.event.email, silent.event.profile) == (kind, None, {})
    named = Person(user_id="4711", name="Bea Cee")
    renamed = about(found, platform, named, now=NOW)
    assert renamed.event is not None
    if renamed.event.profile != {"name": "Bea Cee"}:  # a form, or a sample of it, without a place for it
        assert renamed.event.profile == {}
        assert [*remarks(renamed, named)] == ["This webhook has no place for the name, so it is left out."]


def test_an_empty_text_empties_a_field_and_a_special_case_says_what_it_is_there_to_say() -> None:
    platform = PLATFORMS["clerk"]
    changed = sample("clerk", platform, "user.updated", now=NOW)
    emptied = about(changed, platform, Person(user_id="4711", name="", picture=""), now=NOW)
    assert emptied.event is not None
    assert emptied.event.profile == {"name": None, "picture": None}
    removed = about(sample("clerk", platform, "picture_removed", now=NOW), platform, Person(user_id="4711"), now=NOW)
    assert removed.event is not None
    assert removed.event.profile == {"name": "Ada King", "picture": None}
    assert [*remarks(removed, Person(user_id="4711"))] == []


def test_a_form_that_cannot_be_silent_on_a_field_is_named() -> None:
    overrides = json.dumps({"name": "data.name || 'someone'"})
    platform = configured({"PAYLOAD_PRESET": "standard", "PAYLOAD_OVERRIDES": overrides})
    person = Person(user_id="4711", picture=PERSON.picture)
    webhook = about(sample("standard", platform, "updated", now=NOW), platform, person, now=NOW)
    assert webhook.event is not None
    assert webhook.event.profile == {"name": "Ada King", "picture": PERSON.picture}
    assert [*remarks(webhook, person)] == [
        "This webhook cannot be silent on the name, so it sets the one of the sample, or none."
    ]


@pytest.mark.parametrize("user_id", ["4711", "auth0|5f", 'a "b" $c', "Jörg"])
def test_each_new_user_has_an_address_of_their_own(user_id: str) -> None:
    platform = PLATFORMS["standard"]
    created = sample("standard", platform, "created", now=NOW)
    first, second = (about(created, platform, Person(user_id=each), now=NOW) for each in (user_id, "4712"))
    assert first.event is not None
    assert second.event is not None
    assert first.event.user_id == user_id
    assert first.event.email != second.event.email


def test_an_event_is_found_by_the_name_that_its_sender_gives_it() -> None:
    webhook = sample("clerk", PLATFORMS["clerk"], "user.deleted", now=NOW)
    assert json.loads(webhook.body)["type"] == "user.deleted"
    updated = sample("standard", PLATFORMS["standard"], "user.updated", now=NOW)
    assert updated == sample("standard", PLATFORMS["standard"], "updated", now=NOW)  # not one of a special case
    with pytest.raises(UnknownSampleError, match=r"user\.created"):
        sample("clerk", PLATFORMS["clerk"], "user.renamed", now=NOW)


@pytest.mark.parametrize(
    ("scheme", "secret"),
    [
        (Standard(), "whsec_" + base64.b64encode(b"0123456789abcdef0123456789").decode()),
        (Hmac(header="x-signature"), TEXT_SECRET),
        (Hmac(header="x-signature", prefix="sha256=", encoding="base64"), TEXT_SECRET),
        (Hmac(header="x-signature", content="timestamp.body"), TEXT_SECRET),
        (Hmac(header="x-signature", content="timestamp.body", timestamp_prefix="ts=", prefix="h1="), TEXT_SECRET),
        (
            Hmac(header="x-sig", content="v0:{timestamp}:{body}", timestamp_header="x-time", prefix="v0=", unit="ms"),
            TEXT_SECRET,
        ),
        (Hmac(header="x-sig", content="{body}{timestamp}", timestamp_header="x-time", unit="iso"), TEXT_SECRET),
        (
            Hmac(header="x-sig", content="{id}.{timestamp}.{body}", timestamp_header="x-t", id_header="x-id"),
            TEXT_SECRET,
        ),
        (Hmac(header="x-sig", algorithm="sha512", key_form="base64"), BASE64_SECRET),
        (Hmac(header="x-sig", algorithm="sha1"), TEXT_SECRET),
        (Token(), TEXT_SECRET),
        (Token(header="x-token", prefix="Key "), TEXT_SECRET),
        (Jwt(), TEXT_SECRET),
    ],
)
def test_the_headers_prove_the_body_to_the_receiver_and_no_other_body(scheme: Scheme, secret: str) -> None:
    headers = signed_headers(scheme, b'{"a":1}', secret, delivery_id="msg_1", now=NOW)
    keys = parse_secrets(json.dumps([secret]), scheme)
    proof = scheme.verify(b'{"a":1}', headers, keys, now=NOW)
    assert id_at_receiver(scheme, b'{"a":1}', "msg_1") == (proof.delivery_id or id_of(b'{"a":1}'))
    if isinstance(scheme, (Standard, Hmac)):
        with pytest.raises(Exception, match="signature"):
            scheme.verify(b'{"a":2}', headers, keys, now=NOW)


def test_a_secret_that_cannot_be_one_is_refused_without_a_part_of_it() -> None:
    with pytest.raises(ValueError, match="whsec_") as refusal:
        signed_headers(configured({"PAYLOAD_PRESET": "clerk"}).scheme, b"{}", "hunter2", delivery_id="m", now=NOW)
    assert "hunter2" not in str(refusal.value)

"""What a webhook body says about a user."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whop_sync.errors import Malformed
from whop_sync.events import UserEvent
from whop_sync.payloads import PRESETS, microseconds, read

NOW = 1_772_359_300.0
UPDATED_AT = "2026-03-01T10:00:00.123456Z"
MICROSECONDS = 1_772_359_200_123_456


def standard(*, event: str = "user.updated", **data: Any) -> UserEvent | None:
    user = {"id": "u1", "email": "ann@shop.test", "updated_at": UPDATED_AT, **data}
    body = {"type": event, "timestamp": "2026-03-01T10:00:05Z", "data": user}
    return read(json.dumps(body).encode(), PRESETS["standard"], event_id="msg_1", now=NOW)


def clerk(**data: Any) -> UserEvent | None:
    user = {
        "id": "user_1",
        "primary_email_address_id": "idn_2",
        "email_addresses": [
            {"id": "idn_1", "email_address": "old@shop.test"},
            {"id": "idn_2", "email_address": "ann@shop.test"},
        ],
        "first_name": "Ann",
        "last_name": None,
        "username": "annie",
        "has_image": True,
        "image_url": "https://img.shop.test/x",
        "updated_at": 1_772_359_200_123,
        **data,
    }
    body = {"type": "user.updated", "object": "event", "timestamp": 1_772_359_200_999, "data": user}
    return read(json.dumps(body).encode(), PRESETS["clerk"], event_id="msg_1", now=NOW)


def test_a_user_is_read_whole() -> None:
    event = standard(
        event="user.created", name="Ann Bee", avatar_url="https://cdn.shop.test/a.png", whop_user_id="user_w1"
    )
    assert event == UserEvent(
        kind="created",
        event_id="msg_1",
        user_id="u1",
        version=MICROSECONDS,
        email="ann@shop.test",
        profile={"name": "Ann Bee", "picture": "https://cdn.shop.test/a.png"},
        whop_user_id="user_w1",
    )


@given(
    st.builds(
        UserEvent,
        kind=st.sampled_from(["created", "updated"]),
        event_id=st.text(),
        user_id=st.text(),
        version=st.integers(0),
        email=st.none() | st.text(),
        profile=st.dictionaries(st.sampled_from(["name", "picture"]), st.none() | st.text()),
        whop_user_id=st.none() | st.text(),
    )
)
def test_an_event_survives_its_time_in_the_queue(event: UserEvent) -> None:
    assert UserEvent.from_json(event.to_json()) == event
    assert event.to_json().isascii()


@pytest.mark.parametrize("event", ["user.deleted", "order.paid", "USER.CREATED"])
def test_an_event_of_another_type_is_none_of_ours(event: str) -> None:
    assert standard(event=event) is None


@pytest.mark.parametrize(
    ("data", "profile"),
    [
        ({}, {}),
        ({"name": None}, {"name": None}),
        ({"name": ""}, {"name": None}),
        ({"name": "  "}, {"name": None}),
        ({"name": " Ann "}, {"name": "Ann"}),
        ({"first_name": "Ann", "last_name": "Bee"}, {"name": "Ann Bee"}),
        ({"first_name": "Ann", "last_name": None}, {"name": "Ann"}),
        ({"first_name": None, "last_name": "Bee"}, {"name": "Bee"}),
        ({"first_name": "", "last_name": ""}, {"name": None}),
        ({"name": None, "first_name": "Ann"}, {"name": "Ann"}),
        ({"name": "Annie", "first_name": "Ann"}, {"name": "Annie"}),
        ({"avatar_url": None}, {"picture": None}),
        ({"avatar_url": ""}, {"picture": None}),
        ({"name": "Ann", "avatar_url": "https://a.test/1"}, {"name": "Ann", "picture": "https://a.test/1"}),
    ],
)
def test_an_absent_field_is_unknown_and_an_empty_one_cleared(data: dict[str, Any], profile: dict[str, Any]) -> None:
    event = standard(**data)
    assert event
    assert event.profile == profile


@pytest.mark.parametrize("email", [None, "", " "])
def test_an_empty_email_is_no_email(email: str | None) -> None:
    event = standard(email=email)
    assert event
    assert event.email is None


def test_a_number_as_id_keeps_all_its_digits() -> None:
    event = standard(id=706405506930370084)
    assert event
    assert event.user_id == "706405506930370084"


def test_without_updated_at_the_time_of_the_event_counts() -> None:
    for absent in (None, "", "0001-01-01T00:00:00Z"):
        event = standard(updated_at=absent)
        assert event
        assert event.version == 1_772_359_205_000_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"id": None}, "no_user_id"),
        ({"id": ""}, "no_user_id"),
        ({"id": True}, "no_user_id"),
        ({"id": 1.5}, "no_user_id"),
        ({"id": ["u1"]}, "no_user_id"),
        ({"id": "x" * 256}, "no_user_id"),
        ({"id": "\ud800"}, "no_user_id"),
        ({"email": 5}, "not_text"),
        ({"email": "a\udc00@shop.test"}, "not_text"),
        ({"name": {"first": "Ann"}}, "not_text"),
        ({"avatar_url": 5}, "not_text"),
        ({"updated_at": "yesterday"}, "bad_time"),
        ({"updated_at": True}, "bad_time"),
        ({"updated_at": "2027-01-01T00:00:00Z"}, "version_in_future"),
        ({"updated_at": 10**30}, "version_in_future"),
        ({"whop_user_id": "../users/me"}, "bad_whop_user_id"),
        ({"whop_user_id": "biz_1"}, "bad_whop_user_id"),
        ({"whop_user_id": 5}, "bad_whop_user_id"),
    ],
)
def test_what_cannot_be_right_is_refused_without_quoting_it(data: dict[str, Any], reason: str) -> None:
    with pytest.raises(Malformed) as refusal:
        standard(**data)
    assert refusal.value.reason == reason
    (value,) = data.values()
    assert str(value) not in refusal.value.explanation or value in ("", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        '{"type":"user.created"}'.encode("utf-16"),
        b'{"type":NaN}',
        b"[" * 200_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b"{}",
        b'{"type":5}',
        b'{"type":"user.created"}',
        b'{"type":"user.created","data":null}',
        b'{"type":"user.created","data":[]}',
        b'{"type":"user.created","data":{"id":"u1"}}',
    ],
)
def test_a_body_that_tells_no_user_is_refused(body: bytes) -> None:
    for preset in PRESETS.values():
        with pytest.raises(Malformed):
            read(body, preset, event_id="msg_1", now=NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["id", "name", "email", "image_url"]) | st.text(), inner)
    ),
    max_leaves=8,
)


@given(
    preset=st.sampled_from(sorted(PRESETS)),
    data=st.dictionaries(
        st.sampled_from(
            [
                "id",
                "email",
                "name",
                "first_name",
                "avatar_url",
                "updated_at",
                "email_addresses",
                "has_image",
                "image_url",
                "primary_email_address_id",
                "username",
                "whop_user_id",
            ]
        ),
        json_values,
    ),
)
def test_any_json_is_read_or_refused_and_nothing_else(preset: str, data: dict[str, Any]) -> None:
    body = json.dumps({"type": "user.updated", "timestamp": 1_772_359_200, "data": data}).encode()
    try:
        event = read(body, PRESETS[preset], event_id="msg_1", now=NOW)
    except Malformed:
        return
    assert event
    assert UserEvent.from_json(event.to_json()) == event


def test_clerk_names_the_primary_address_by_its_id() -> None:
    event = clerk()
    assert event
    assert (event.email, event.profile["name"]) == ("ann@shop.test", "Ann")
    assert event.version == 1_772_359_200_123_000


@pytest.mark.parametrize(
    "data", [{"primary_email_address_id": None}, {"email_addresses": []}, {"email_addresses": None}]
)
def test_a_clerk_user_may_have_no_email(data: dict[str, Any]) -> None:
    event = clerk(**data)
    assert event
    assert event.email is None


def test_clerks_generated_picture_is_no_picture() -> None:
    event = clerk(has_image=False)
    assert event
    assert event.profile["picture"] is None


def test_a_clerk_user_without_names_goes_by_the_username() -> None:
    event = clerk(first_name=None)
    assert event
    assert event.profile["name"] == "annie"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-03-01T10:00:00.123456Z", MICROSECONDS),
        ("2026-03-01T12:00:00.123456+02:00", MICROSECONDS),
        ("2026-03-01 10:00:00.123456", MICROSECONDS),
        ("2026-03-01T10:00:00.123456789Z", MICROSECONDS),
        (1_772_359_200, 1_772_359_200_000_000),
        (1_772_359_200.123456, MICROSECONDS),
        (1_772_359_200_123, 1_772_359_200_123_000),
        (MICROSECONDS, MICROSECONDS),
        ("1772359200123", 1_772_359_200_123_000),
        (None, None),
        ("", None),
        (0, None),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_times_are_understood_in_every_form_that_senders_use(written: object, expected: int | None) -> None:
    assert microseconds(written) == expected

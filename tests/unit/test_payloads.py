"""What a webhook body says about a user: the rules that hold for every platform."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whop_sync.errors import Malformed
from whop_sync.events import MAX_MICROSECONDS, UserEvent
from whop_sync.receiving.expressions import find
from whop_sync.receiving.payloads import (
    Preset,
    check,
    check_times,
    identify,
    parse,
    read,
)
from whop_sync.receiving.platforms import PLATFORMS

NOW = 1_772_359_300.0
UPDATED_AT = "2026-03-01T10:00:00.123456Z"
MICROSECONDS = 1_772_359_200_123_456
STANDARD = PLATFORMS["standard"].preset


def standard(*, event: str = "user.updated", **data: Any) -> UserEvent | None:
    user = {"id": "u1", "email": "ann@shop.test", "updated_at": UPDATED_AT, **data}
    body = {"type": event, "timestamp": "2026-03-01T10:00:05Z", "data": user}
    return understood(body)


def understood(body: object, preset: Preset = STANDARD) -> UserEvent | None:
    document = parse(json.dumps(body).encode(), {}, received_at=NOW)
    return read(document, preset, event_id="msg_1")


def test_a_user_is_read_whole() -> None:
    event = standard(
        event="user.created", name="Ann Bee", avatar_url="https://cdn.shop.test/a.png", whop_user_id="user_w1"
    )
    assert event == UserEvent(
        kind="created",
        event_id="msg_1",
        user_id="u1",
        version=MICROSECONDS,
        event_time=1_772_359_205_000_000,
        standing="active",
        email="ann@shop.test",
        profile={"name": "Ann Bee", "picture": "https://cdn.shop.test/a.png"},
        whop_user_id="user_w1",
    )


@given(
    st.builds(
        UserEvent,
        kind=st.sampled_from(["created", "updated", "suspended", "restored", "deleted"]),
        event_id=st.text(),
        user_id=st.text(),
        version=st.integers(0, MAX_MICROSECONDS - 1),
        event_time=st.integers(0, MAX_MICROSECONDS - 1),
        standing=st.sampled_from([None, "active", "suspended", "deleted"]),
        email=st.none() | st.text(),
        profile=st.dictionaries(st.sampled_from(["name", "picture"]), st.none() | st.text()),
        whop_user_id=st.none() | st.text(),
    )
)
def test_an_event_survives_its_time_in_the_queue(event: UserEvent) -> None:
    assert UserEvent.from_json(event.to_json()) == event
    assert event.to_json().isascii()


@pytest.mark.parametrize("event", ["user.merged", "order.paid", "USER.CREATED"])
def test_an_event_of_another_type_is_no_user_event(event: str) -> None:
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
        ({"id": 1.5}, "bad_user_id"),
        ({"id": 43.0}, "bad_user_id"),
        ({"email": "not-an-email"}, "bad_email"),
        ({"id": ["u1"]}, "no_user_id"),
        ({"id": "x" * 256}, "no_user_id"),
        ({"id": "\ud800"}, "no_user_id"),
        ({"email": 5}, "not_text"),
        ({"email": "a\udc00@shop.test"}, "not_text"),
        ({"name": {"first": "Ann"}}, "not_text"),
        ({"name": [["Ann"]]}, "not_text"),
        ({"email": json.loads("[" * 900 + "]" * 900)}, "not_text"),
        ({"avatar_url": 5}, "not_text"),
        ({"updated_at": "yesterday"}, "bad_time"),
        ({"updated_at": True}, "bad_time"),
        ({"updated_at": "20260302"}, "bad_time"),
        ({"updated_at": 10**400}, "bad_time"),
        ({"updated_at": "9" * 5000}, "bad_time"),
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
    ],
)
def test_a_body_that_names_no_event_is_refused(body: bytes) -> None:
    for name, platform in PLATFORMS.items():
        with suppress(Malformed):
            assert read(parse(body, {}, received_at=NOW), platform.preset, event_id="msg_1") is None
            assert name in ("ghost", "appwrite")  # whose events show in what the body has


@pytest.mark.parametrize("rest", [{}, {"data": None}, {"data": []}, {"data": {"updated_at": 1}}])
def test_a_body_that_names_no_user_is_refused(rest: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="the user's id"):
        understood({"type": "user.created", **rest})


def test_a_body_that_names_no_time_is_refused() -> None:
    with pytest.raises(Malformed, match=r"no time at data\.updated_at or timestamp"):
        understood({"type": "user.created", "data": {"id": "u1"}})


@pytest.mark.parametrize("name", ["ann@shop.test", "a.b+c@mail.shop.test"])
def test_an_email_address_in_place_of_a_name_is_not_shown_to_anybody(name: str) -> None:
    event = standard(name=name)
    assert event
    assert event.profile == {"name": None}
    event = standard(name=name, first_name="Ann")
    assert event
    assert event.profile == {"name": "Ann"}


@pytest.mark.parametrize("name", ["Ann @ Shop", "@ann", "ann@", "Ann Bee ann@shop.test", "a@" + ".x" * 100_000 + " !"])
def test_a_name_with_an_at_sign_is_a_name(name: str) -> None:
    event = standard(name=name)
    assert event
    assert event.profile == {"name": name[:100]}


def test_false_is_as_empty_as_null() -> None:
    """So that `has_picture && url` can say all there is to say."""
    preset = replace(STANDARD, picture=("data.has_picture && data.avatar_url",))
    for data, expected in (
        ({"has_picture": True, "avatar_url": "https://a.test"}, {"picture": "https://a.test"}),
        ({"has_picture": False, "avatar_url": "https://a.test"}, {"picture": None}),
        ({"avatar_url": "https://a.test"}, {}),
    ):
        event = understood({"type": "user.updated", "data": {"id": "u1", "updated_at": 1, **data}}, preset)
        assert event
        assert event.profile == expected


def test_pictures_that_stand_for_none_are_none() -> None:
    preset = replace(STANDARD, default_pictures=(r"https://cdn\.shop\.test/default-",))
    for url, expected in (("https://cdn.shop.test/default-7.png", None), ("https://cdn.shop.test/7.png",) * 2):
        event = understood({"type": "user.updated", "data": {"id": "u1", "updated_at": 1, "avatar_url": url}}, preset)
        assert event
        assert event.profile == {"picture": expected}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("evt_1", "evt_1"),
        (17, "17"),
        (None, None),
        ("", None),
        (True, None),
        ({}, None),
        ("two words", None),
        ("line\nbreak", None),
        ("é", None),
        ("x" * 256, None),
    ],
)
def test_an_event_is_known_by_the_senders_id_if_that_can_be_kept(found: object, expected: str | None) -> None:
    document = parse(json.dumps({"id": found}).encode(), {}, received_at=NOW)
    assert identify(document, replace(STANDARD, event_id="id")) == expected
    assert identify(document, STANDARD) is None


def test_headers_and_the_time_of_receipt_stand_beside_the_body() -> None:
    document = parse(b'{"delivery":"of the body"}', {"x-event": "user.created"}, received_at=NOW)
    preset = replace(STANDARD, event='delivery.headers."x-event"', user_id="'u1'", version=("delivery.received_at",))
    event = read(document, preset, event_id="msg_1")
    assert event
    assert (event.kind, event.version) == ("created", int(NOW * 1_000_000))


HEADER_READS = [
    'delivery.headers."x-a"',
    'delivery."headers"."x-a"',
    '"delivery".headers."x-a"',
    'delivery | headers | "x-a"',
    '(delivery || data).headers."x-a"',
    '(data && delivery.headers)."x-a"',
    "not_null(delivery.headers.xa, data.id)",
    "[delivery.headers.xa][0]",
    "{a: delivery.headers.xa}.a",
    "delivery.headers.xa == '1' && data.id",
    "(delivery.headers.xa && data).id",
    "(delivery.headers.xa || data).id",
    "!(delivery.headers.xa) && data.id",
    "@.delivery.headers.xa",
]
ALL_READS = [
    "delivery.*",
    "delivery.headers.*",
    "*",
    "*.headers.xa",
    "*.*",
    "@",
    "delivery",
    "delivery.headers",
    "values(@)",
    "values(delivery.headers)[0]",
    "keys(delivery.headers)[0]",
    "to_string(@)",
    "to_string(delivery)",
    "[@][0].delivery.headers.xa",
    "{a: delivery}.a.headers.xa",
    "merge(@, data).delivery.headers.xa",
    "map(&headers.xa, [delivery])",
]


@pytest.mark.parametrize("expression", HEADER_READS)
def test_what_no_signature_covers_decides_nothing_but_the_kind_of_an_event(expression: str) -> None:
    for allowed in ("event", "event_id"):
        change: dict[str, Any] = {allowed: expression}
        check(replace(STANDARD, **change))
    for field in ("user_id", "email", "whop_user_id", "blocked", "active", "deleted_user_id"):
        change = {field: expression}
        with pytest.raises(ValueError, match=f"^{field}: .*no signature covers"):
            check(replace(STANDARD, **change))


@pytest.mark.parametrize("expression", ALL_READS)
def test_an_expression_that_reaches_everything_is_refused_for_every_field(expression: str) -> None:
    for field in ("event", "user_id", "email"):
        change: dict[str, Any] = {field: expression}
        with pytest.raises(ValueError, match=f"^{field}: .*(at once|no signature covers)"):
            check(replace(STANDARD, **change))


def test_the_condition_of_a_filter_sees_the_members_of_a_list_and_no_delivery() -> None:
    expression = "data.list[?delivery.headers.xa || headers.xa] | [0].id"
    check(replace(STANDARD, user_id=expression))
    body = b'{"data": {"list": [{"id": "u1"}, {"id": "u2", "headers": {"xa": 1}}]}}'
    assert find(expression, parse(body, {"xa": "1"}, received_at=NOW)) == "u2"


@given(
    expression=st.sampled_from([*HEADER_READS, *ALL_READS])
    | st.text(st.sampled_from("delivryhas.*@[]|&!\"'()?,{}:`10xa -"), max_size=40)
)
def test_no_expression_that_passes_finds_a_header(expression: str) -> None:
    try:
        check(replace(STANDARD, user_id=expression))
    except ValueError:
        return
    document = parse(b'{"data": {"id": "u1", "list": [1]}, "a": 1}', {"xa": "FORGED", "x-a": "FORGED"}, received_at=NOW)
    try:
        found = find(expression, document)
    except Malformed:
        return
    assert "FORGED" not in str(found)


@pytest.mark.parametrize("expression", ["delivery.received_at", 'delivery."received_at"', "delivery.signed_at"])
def test_the_time_of_a_delivery_is_no_id(expression: str) -> None:
    with pytest.raises(ValueError, match="which only version, event_time and life_cycle_version may"):
        check(replace(STANDARD, user_id=expression))
    check(replace(STANDARD, version=(f"data.updated_at || {expression}",)))


@pytest.mark.parametrize(
    "expression", ['delivery."received_at"', "a || delivery.received_at", "delivery | received_at"]
)
def test_receipt_orders_nothing_where_a_copy_can_be_sent_for_ever_however_it_is_spelt(expression: str) -> None:
    for field in ("version", "event_time", "life_cycle_version"):
        change: dict[str, Any] = {field: (expression,)}
        check_times(replace(STANDARD, **change), replayable=False)
        with pytest.raises(ValueError, match=f"^{field} must not fall back"):
            check_times(replace(STANDARD, **change), replayable=True)


def test_a_header_in_capitals_and_a_place_that_does_not_exist_are_refused_with_that_sentence() -> None:
    with pytest.raises(ValueError, match="X-Topic, which can never be found: names of headers are in lower case"):
        check(replace(STANDARD, event='delivery.headers."X-Topic"'))
    with pytest.raises(ValueError, match="which does not exist"):
        check(replace(STANDARD, version=("delivery.time",)))


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("", "the empty text"),
        ("data.", "not a JMESPath expression"),
        ("data[", "not a JMESPath expression"),
        ("'open", "not a JMESPath expression"),
        ("find_bi(data, 'a', 'b')", "find_bi.., which is no function"),
        ("find_by(data, 'a')", "2 arguments in place of 3"),
        ("a || (b && from_json())", "0 arguments in place of 1"),
        ("list[?nope(@)].x", "nope.., which is no function"),
        ("merge()", "0 arguments"),
        ("(" * 2000 + "a" + ")" * 2000, "not a JMESPath expression"),
        ("||".join("a" * 1200), "not a JMESPath expression"),
    ],
)
def test_an_expression_that_can_never_be_evaluated_is_known_before_a_body_comes(expression: str, hint: str) -> None:
    for change in ({"user_id": expression}, {"name": ("data.name", expression)}):
        with pytest.raises(ValueError, match=f"^{next(iter(change))}: .*{hint}"):
            check(replace(STANDARD, **change))


@pytest.mark.parametrize(
    "expression",
    [
        "a[1:2].b",
        "merge(a, b, c)",
        "sort_by(a, &b.c)",
        "a.{x: b, y: c}",
        "a.*.b[]",
        "keys(@)",
        "a[?b > `1`] | [0].c",
        "!(a.b)",
    ],
)
def test_any_other_expression_is_fine(expression: str) -> None:
    check(replace(STANDARD, user_id=expression))


@pytest.mark.parametrize(
    "change",
    [{"created": ()}, {"version": ()}, {"created": ("a", "b"), "updated": ("b",)}, {"default_pictures": ("(",)}],
)
def test_a_preset_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(change))):
        check(replace(STANDARD, **change))


@pytest.mark.parametrize(
    ("expression", "body", "expected"),
    [
        ("find_by(a, 'id', '2').v", {"a": [{"id": "1", "v": 1}, "2", {"v": 3}, {"id": "2", "v": 2}]}, 2),
        ("find_by(a, 'id', b).v", {"a": [{"v": 1}, {"id": None, "v": 2}]}, None),
        ("find_by(a, 'id', b).v", {"a": [{"id": None, "v": 2}], "b": None}, None),
        ("find_by(a, 'id', b).v", {"a": [{"id": 7, "v": 2}], "b": 7}, 2),
        ("find_by(a, 'id', '1').v", {"a": None}, None),
        ("find_by(a, 'id', '1').v", {}, None),
        ("from_json(a).b", {"a": '{"b": 1}'}, 1),
        ("from_json(a).b", {"a": '{"b": null}'}, ""),
        ("from_json(a).b", {"a": None}, None),
        ("from_json(a).b", {}, None),
        ("from_base64_json(a).b", {"a": "eyJiIjogMX0="}, 1),
        ("from_base64_json(a).b", {"a": {"b": 1}}, 1),
        ("from_base64_json(a).b", {"a": None}, None),
        ("from_base64_json(a).b", {}, None),
    ],
)
def test_three_functions_say_what_plain_jmespath_cannot(expression: str, body: object, expected: object) -> None:
    assert find(expression, parse(json.dumps(body).encode(), {}, received_at=NOW)) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "from_json('{')",
        "from_base64_json('e')",
        "from_base64_json('e30')",
        "from_json(`1`)",
        "find_by('x', `1`, 'a')",
        "avg(a)",
        "length(`1`)",
        "join(a, b)",
    ],
)
def test_a_function_on_what_it_is_not_made_for_is_malformed(expression: str) -> None:
    document = parse(b'{"a": [1' + b"0" * 400 + b"]}", {}, received_at=NOW)
    with pytest.raises(Malformed, match="cannot be read"):
        find(expression, document)


@pytest.mark.parametrize(
    ("found", "blocked"),
    [(True, True), (1, True), ("true", True), ("1", True), (False, False), (0, False), ("False", False), (None, False)],
)
def test_a_flag_is_read_as_databases_spell_it_too(found: object, blocked: bool) -> None:
    event = standard(suspended=found)
    assert event
    assert event.standing == ("suspended" if blocked else "active")


def test_a_flag_that_is_neither_true_nor_false_nor_a_time_is_refused() -> None:
    with pytest.raises(Malformed) as refusal:
        standard(suspended="perhaps")
    assert refusal.value.reason == "bad_time"


# -- a clock that is ahead -------------------------------------------------------------------------------------------

AHEAD = {"type": "user.created", "data": {"id": "u1", "updated_at": "2026-03-03T10:00:00Z"}}


@pytest.mark.parametrize("ahead", ["2026-03-01T10:01:41Z", "2026-03-03T10:00:00Z", "9999-01-01T00:00:00Z", 10**30])
def test_a_time_ahead_counts_as_the_time_of_receipt(ahead: object) -> None:
    event = understood({"type": "user.created", "timestamp": ahead, "data": {"id": "u1", "updated_at": ahead}})
    assert event
    assert (event.version, event.event_time) == (int(NOW * 1_000_000), int(NOW * 1_000_000))


def test_of_a_delivery_that_was_parked_the_time_is_judged_by_now() -> None:
    week_later = NOW + 7 * 86_400
    document = parse(json.dumps(AHEAD).encode(), {}, received_at=NOW, judged_at=week_later)
    event = read(document, STANDARD, event_id="")
    assert event
    assert event.version == 1_772_532_000_000_000


def test_a_time_ahead_never_makes_a_copy_that_can_be_sent_for_ever_the_newest() -> None:
    def versions(timestamp: str, updated_at: str) -> list[int]:
        body = {"type": "user.updated", "timestamp": timestamp, "data": {"id": "u1", "updated_at": updated_at}}
        found = []
        for received_at in (NOW, NOW + 3600):
            document = parse(json.dumps(body).encode(), {}, received_at=received_at, replayable=True)
            event = read(document, STANDARD, event_id="")
            assert event
            found.append(event.version)
        return found

    # The time of the event bounds that of the user
    assert versions("2026-03-01T10:00:00Z", "2026-03-09T10:00:00Z") == [1_772_359_200_000_000] * 2
    # And without an honest one, no more than a day ahead is taken, as it is
    assert versions("2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z") == [1_772_445_600_000_000] * 2
    with pytest.raises(Malformed, match="more than a day ahead"):
        versions("2026-03-09T10:00:00Z", "2026-03-09T10:00:00Z")


# -- pictures inside a body ------------------------------------------------------------------------------------------


def test_of_a_picture_in_the_body_no_more_is_read_than_that_there_is_one() -> None:
    body = {
        "type": "user.updated",
        "timestamp": 1,
        "data": {"id": "u1", "name": "Ann", "avatar_url": "data:image/png;base64,AA"},
    }
    document = parse(json.dumps(body).encode(), {}, received_at=NOW)
    event = read(document, STANDARD, event_id="")
    assert event
    assert event.profile == {"name": "Ann", "picture": "data:,"}

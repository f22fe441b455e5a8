"""Single values as platforms and files write them: read, or refused by name, never passed on as something else."""

import contextlib
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whop_sync import values
from whop_sync.errors import Malformed
from whop_sync.events import MAX_NAME_LENGTH

MICROSECONDS = 1_772_359_200_123_456
WHOLE = 1_772_359_200_000_000


# -- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("u1", "u1"),
        (7, "7"),
        (706405506930370084, "706405506930370084"),
        ("u1   ", "u1"),
        ("\t u1\r\n", "u1"),
        ("\ufeffu1", "u1"),
        ("\u200bu1\u00a0", "u1"),
        ("two words", "two words"),
        ("shop/12 3%", "shop/12 3%"),
        ("12e4", "12e4"),  # hexadecimal, not 120,000
        ("1.5", "1.5"),
        ("v1.0-rc", "v1.0-rc"),
        ("ünï", "ünï"),
    ],
)
def test_an_id_is_kept_to_the_letter_but_for_what_stands_around_it(found: object, expected: str) -> None:
    assert values.user_id(found) == expected


@pytest.mark.parametrize(
    ("found", "reason", "sentence"),
    [
        (42.0, "bad_user_id", "such as 42.0"),
        (1.5, "bad_user_id", "fraction"),
        (1e20, "bad_user_id", "exponent"),
        ("42.0", "bad_user_id", "spreadsheets"),
        ("12345.000", "bad_user_id", "spreadsheets"),
        ("1.23457E+14", "bad_user_id", "spreadsheets"),
        ("1e+20", "bad_user_id", "spreadsheets"),
        ("12345,0", "bad_user_id", "spreadsheets"),
        ("1,23457E+14", "bad_user_id", "spreadsheets"),
        ("u\n1", "bad_user_id", "control character"),
        ("u\x001", "bad_user_id", "control character"),
        ("", "no_user_id", "1 to 255 characters"),
        ("  ", "no_user_id", "1 to 255 characters"),
        ("\ufeff\u200b", "no_user_id", "1 to 255 characters"),
        ("x" * 256, "no_user_id", "1 to 255 characters"),
        ("\ud800", "no_user_id", "1 to 255 characters"),
        (None, "no_user_id", "1 to 255 characters"),
        (True, "no_user_id", "1 to 255 characters"),
        (["u1"], "no_user_id", "1 to 255 characters"),
        ({}, "no_user_id", "1 to 255 characters"),
    ],
)
def test_what_cannot_be_an_id_is_refused_with_the_sentence_that_says_why(
    found: object, reason: str, sentence: str
) -> None:
    with pytest.raises(Malformed, match=sentence) as refusal:
        values.user_id(found)
    assert refusal.value.reason == reason


# -- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, None),
        ("", None),
        (" ", None),
        (False, None),
        ([], None),
        ([None, ""], None),
        ("ann@shop.test", "ann@shop.test"),
        (" ann@shop.test\n", "ann@shop.test"),
        ("\ufeffann@shop.test", "ann@shop.test"),
        ("Ann.O'Neil+whop@mail.shop.test", "Ann.O'Neil+whop@mail.shop.test"),
        ("a@x", "a@x"),
        ("ann@xn--bcher-kva.test", "ann@xn--bcher-kva.test"),
        ("änn@bücher.test", "änn@bücher.test"),
        ('"ann"@shop.test', '"ann"@shop.test'),
        (["a@x", "b@x"], "a@x"),
        (["not-an-email", "b@x"], "b@x"),
        (["", None, "b@x"], "b@x"),
    ],
)
def test_an_address_is_read_and_of_a_list_the_first_that_can_be_one(found: object, expected: str | None) -> None:
    assert values.email(found) == expected


@pytest.mark.parametrize(
    "found",
    [
        "not-an-email",
        "@shop.test",
        "bob@",
        "ann@shop@test",
        "b@x;c@x",
        "b@x,c@x",
        "a@x b@x",
        "Ann Bee <ann@shop.test>",
        "<ann@shop.test>",
        "mailto:ann@shop.test",
        "ann @shop.test",
        "ann\u200b@shop.test",
        "ann@shop\u00a0.test",
        "ann@sh\u00adop.test",
        "ann@shop\x00.test",
        "ann@shop..test",
        "ann@shop.test.",
        "ann@-shop.test",
        "ann@.test",
        "Zq3rX0vH1mN8sT5uK2wY7bC4dE9fG6jL-pA_oI3xQzR",
        "a" * 65 + "@shop.test",
        "ann@" + "shop." * 60 + "test",
        "ann@shop.test/",
        "ann@shop.test?",
        "ann@sh!op.test",
        "ann@shop-.test",
        "ann@192.168.1.1",
        ["not-an-email", "neither this"],
    ],
)
def test_what_cannot_be_an_address_is_refused_by_name_and_not_quoted(found: object) -> None:
    with pytest.raises(Malformed) as refusal:
        values.email(found)
    assert refusal.value.reason == "bad_email"
    assert str(found) not in refusal.value.explanation


@pytest.mark.parametrize("found", [5, {}, True, [[["a@x"]]], "a\udc00@shop.test", [5]])
def test_what_is_no_text_is_no_address(found: object) -> None:
    with pytest.raises(Malformed, match="the e-mail is neither text nor null"):
        values.email(found)


# -- names -----------------------------------------------------------------------------------------------------------

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([None], None),
        ([None, "Ann"], "Ann"),
        (["", "Ann"], "Ann"),
        ([""], ""),
        (["\u200b\u2060"], ""),
        (["\u3164"], ""),
        (["\u2800\u00a0\ufe0f"], ""),
        (["\x07"], ""),
        (["\u200b", "Ann"], "Ann"),
        (["An\x00n\x07 B\x1bee"], "Ann Bee"),
        (["two\r\nlines"], "two lines"),
        (["a\tb"], "a b"),
        (["\ufeffAnn"], "Ann"),
        (["\u200b\u3164 Ann"], "Ann"),
        (["\u200bann@shop.test"], ""),
        (["Ann \u202egnp.exe"], "Ann gnp.exe"),
        (["a  b"], "a  b"),
        ([FAMILY], FAMILY),
        (["می‌خواهم"], "می‌خواهم"),  # with a joiner inside a word
        (["ann@shop.test", "Ann"], "Ann"),
        (["ann@shop.test"], ""),
        (["NULL"], "NULL"),  # a name, but for files, which know no other null
    ],
)
def test_a_name_is_what_a_reader_sees(found: list[object], expected: str | None) -> None:
    assert values.name(found) == expected


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("ab cd", 3, "ab"),
        ("ab\r\ncd", 2, "ab"),
        ("abe\u0301", 3, "ab"),  # an e with its accent
        ("ab" + FAMILY, 4, "ab"),
        ("ab" + FAMILY, 7, "ab" + FAMILY),
        ("ab\U0001f44d\U0001f3fd", 3, "ab"),  # a thumb and its colour
        ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", 3, "\U0001f1e9\U0001f1ea"),  # two flags
        ("\U0001f1e6\U0001f1f9" * 2, 3, "\U0001f1e6\U0001f1f9"),  # the first letter that flags are made of
        ("\U0001f1ff\U0001f1e6" * 2, 3, "\U0001f1ff\U0001f1e6"),  # and the last one
        ("ab\u2764\ufe0f", 3, "ab"),  # a heart and its form
        ("a\u1112\u1161\u11ab", 3, "a"),  # one syllable
        ("a\u0915\u094d\u0937", 3, "a"),  # one conjunct
        ("\u0e01\u0e33\u0e17\u0e33", 3, "\u0e01\u0e33"),  # Thai vowels behind their consonants
        ("ab\u0600\u0661", 3, "ab"),  # a sign around a number
        ("a\ua960\u1161", 2, "a"),  # an old syllable
        ("a\u1112\ud7b0", 2, "a"),  # one with an old vowel
        ("a\u1100\u1100\u1161", 2, "a"),  # one with a doubled consonant
        ("e" + "\u0301" * 200, 100, "e" + "\u0301" * 99),  # no character ends before
    ],
)
def test_a_cut_leaves_no_half_of_what_a_reader_sees_as_one(text: str, length: int, expected: str) -> None:
    assert values.cut(text, length) == expected


def test_a_name_is_cut_to_what_whop_takes() -> None:
    assert values.name(["x" * 99 + FAMILY]) == "x" * 99
    assert values.name(["x" * 300]) == "x" * 100


@given(st.text(max_size=300))
def test_whatever_the_name_is_it_can_be_sent(text: str) -> None:
    name = values.name([text]) if not any("\ud800" <= each <= "\udfff" for each in text) else ""
    assert name is not None
    assert len(name) <= MAX_NAME_LENGTH
    assert name == name.strip()
    assert not any(each < " " for each in name)


# -- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([None], None),
        ([""], ""),
        (["https://a.test/1"], "https://a.test/1"),
        (["data:image/png;base64,AAAA"], "data:,"),
        ([None, " DATA:image/png;base64,AAAA"], "data:,"),
        (["DATA:image/png;base64,AAAA", "https://a.test/1"], "https://a.test/1"),
        (["", "data:image/png;base64,AAAA"], "data:,"),
    ],
)
def test_a_picture_is_an_address_and_never_the_picture_itself(found: list[object], expected: str | None) -> None:
    assert values.picture(found) == expected


# -- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-03-01T10:00:00.123456Z", MICROSECONDS),
        ("2026-03-01t10:00:00.123456z", MICROSECONDS),
        ("2026-03-01T12:00:00.123456+02:00", MICROSECONDS),
        ("2026-03-01T12:00:00.123456+0200", MICROSECONDS),
        ("2026-03-01 10:00:00.123456", MICROSECONDS),
        ("2026-03-01 10:00:00.123456 UTC", MICROSECONDS),
        ("2026-03-01 10:00:00.123456 GMT", MICROSECONDS),
        ("2026-03-01 10:00:00.123456 +0000", MICROSECONDS),
        ("2026-03-01 12:00:00.123456 +0200 CEST", MICROSECONDS),
        ("2026-03-01 10:00:00,123456Z", MICROSECONDS),
        ("2026-03-01T10:00:00.123456789Z", MICROSECONDS),
        ("2026-03-01T10:00Z", WHOLE),
        (" 2026-03-01T10:00:00Z\n", WHOLE),
        ("2026-03-01", WHOLE - 36_000_000_000),
        ("Sun, 01 Mar 2026 10:00:00 GMT", WHOLE),
        ("Sun, 01 Mar 2026 12:00:00 +0200", WHOLE),
        ("1 Mar 2026 10:00:00 -0000", WHOLE),
        ("Sun, 01 Mar 2026 10:00:00 +0000 (UTC)", WHOLE),
        ("sun, 01 mar 2026 05:00 est", WHOLE),
        (1_772_359_200, WHOLE),
        (1_772_359_200.123456, MICROSECONDS),
        (1_772_359_200_123, 1_772_359_200_123_000),
        (1_772_359_200_123.456, MICROSECONDS),
        (MICROSECONDS, MICROSECONDS),
        (1_772_359_200_123_456_789, MICROSECONDS),
        ("1772359200", WHOLE),
        ("1772359200.5", WHOLE + 500_000),
        ("1772359200.123456", MICROSECONDS),
        ("1772359200123", 1_772_359_200_123_000),
        ("1772359200123456789", MICROSECONDS),
        (1, 1_000_000),
        (None, None),
        ("", None),
        ("  ", None),
        (0, None),
        (-62135596800, None),
        ("-62135596800", None),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_times_are_read_in_every_form_that_senders_use(written: object, expected: int | None) -> None:
    assert values.microseconds(written) == expected


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("20260301", "a date without hyphens"),
        (20260301, "a date without hyphens"),
        (20260301.0, "a date without hyphens"),
        ("20260301100000", "a date without hyphens"),
        ("20260301100000123", "a date without hyphens"),
        ("Sun, 01 Mar 2026 12:00:00 CEST", "neither ISO 8601"),
        (202603011000, "a date without hyphens"),
        ("yesterday", "neither ISO 8601"),
        ("01.03.2026 10:00", "neither ISO 8601"),
        ("03/01/2026", "neither ISO 8601"),
        ("2026-13-01T10:00:00Z", "neither ISO 8601"),
        ("32 Mar 2026 10:00:00 GMT", "neither ISO 8601"),
        (True, "neither ISO 8601"),
        ([], "neither ISO 8601"),
        (float("inf"), "neither ISO 8601"),
        (10**400, "neither ISO 8601"),
        ("9" * 5000, "neither ISO 8601"),
        ("1_772_359_200", "neither ISO 8601"),
        ("1772359200e0", "neither ISO 8601"),
    ],
)
def test_what_is_no_time_is_refused(written: object, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence) as refusal:
        values.microseconds(written)
    assert refusal.value.reason == "bad_time"


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_one_moment_is_the_same_however_it_is_written(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    seconds = int(whole.timestamp())
    expected = seconds * 1_000_000
    written: list[object] = [
        whole.isoformat(),
        format_datetime(whole),
        f"{whole:%Y-%m-%d %H:%M:%S} UTC",
        f"{seconds}.0",
    ]
    if not 19_000_000 < seconds < 22_000_000 * 10:  # may look like a date
        written += [seconds, str(seconds)]
    assert [values.microseconds(each) for each in written] == [expected] * len(written)


@given(st.text(max_size=40) | st.integers() | st.floats() | st.booleans() | st.none())
def test_whatever_stands_for_a_value_is_read_or_refused(found: object) -> None:
    for reader in (values.user_id, values.email, values.whop_user_id, values.microseconds):
        with contextlib.suppress(Malformed):
            reader(found)

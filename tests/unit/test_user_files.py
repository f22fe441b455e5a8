"""What a file of users says, row by row, whatever is wrong with it."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whop_sync.errors import Malformed, Reason
from whop_sync.events import UNDATED, UserEvent
from whop_sync.importing.rows import Source, import_rows
from whop_sync.importing.user_files import (
    COLUMNS,
    LONG_AGO,
    MAX_ROW_BYTES,
    FileRow,
    Format,
    Offset,
    event,
    open_users,
    parts,
    rows,
    user_id,
)
from whop_sync.values import microseconds

NOW = 1_772_359_300.0
HEADER = b"id,email,name\n"


def read(content: bytes, name: str) -> tuple[Format, list[FileRow]]:
    stream = io.BytesIO(content)
    file_format, start = open_users(stream, name)
    return file_format, list(rows(stream, file_format, start))


def test_a_row_without_a_time_has_the_version_that_means_so() -> None:
    assert microseconds(LONG_AGO) == UNDATED


def outcomes(content: bytes, name: str = "users.csv", as_of: str = LONG_AGO) -> list[UserEvent | str]:
    """For each row its event, or the reason why there is none."""
    file_format, found = read(content, name)
    results: list[UserEvent | str] = []
    for row in found:
        try:
            results.append(event(row, file_format, source=name, as_of=as_of, now=NOW))
        except Malformed as error:
            results.append(error.reason)
    return results


def only(content: bytes, name: str = "users.csv", as_of: str = LONG_AGO) -> UserEvent:
    [found] = outcomes(content, name, as_of)
    assert isinstance(found, UserEvent)
    return found


def ids(content: bytes, name: str = "users.csv") -> list[str]:
    """For each row its user's id, or the reason why there is no event."""
    return [each if isinstance(each, str) else each.user_id for each in outcomes(content, name)]


WHOLE = {
    "id": "u1",
    "email": "ann@shop.test",
    "first_name": "Ann",
    "last_name": "Bee",
    "avatar_url": "https://cdn.shop.test/a.png",
    "updated_at": "2026-03-01T10:00:00.123456Z",
    "whop_user_id": "user_w1",
}


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_row_is_read_whole(form: str) -> None:
    as_csv = ",".join(WHOLE) + "\n" + ",".join(WHOLE.values()) + "\n"
    content = as_csv if form == "csv" else json.dumps(WHOLE)
    assert only(content.encode(), f"users.{form}") == UserEvent(
        kind="created",
        event_id=f"users.{form}:{2 if form == 'csv' else 1}",
        user_id="u1",
        version=1_772_359_200_123_456,
        standing="active",
        email="ann@shop.test",
        profile={"name": "Ann Bee", "picture": "https://cdn.shop.test/a.png"},
        whop_user_id="user_w1",
    )


def test_a_row_without_a_time_is_older_than_any_webhook_unless_the_files_time_is_given() -> None:
    assert only(b'{"id":"u1"}', "users.ndjson").version == 1_000_000
    assert only(b'{"id":"u1"}', "users.ndjson", "2026-03-01T10:00Z").version == 1_772_359_200_000_000
    assert (
        only(b'{"id":"u1","updated_at":1772359100}', "u.ndjson", "2026-03-01T10:00Z").version == 1_772_359_100_000_000
    )


def test_what_is_absent_is_not_spoken_of_and_what_is_empty_is_cleared() -> None:
    assert only(b'{"id":"u1"}', "users.ndjson").profile == {}
    assert only(b'{"id":"u1","name":null,"avatar_url":""}', "users.ndjson").profile == {"name": None, "picture": None}
    assert only(b"id,name\nu1,\n").profile == {"name": None}


def test_each_column_that_is_said_to_be_read_is() -> None:
    cells = {
        "id": "u1",
        "email": "ann@people.test",
        "first_name": "Ann",
        "last_name": "Bee",
        "avatar_url": "https://cdn.test/a.png",
        "updated_at": "2026-01-01",
        "whop_user_id": "user_1",
        "status": "suspended",
    }

    def found(cells: dict[str, str]) -> list[UserEvent | str]:
        return outcomes(f"{','.join(cells)}\n{','.join(cells.values())}\n".encode(), name="users.csv")

    for name in COLUMNS:
        if name == "id":
            continue  # without it there is no file of users
        if name == "name":
            assert found({**cells, "name": "Ann King"}) != found(cells)
        else:
            assert found({column: cells[column] for column in cells if column != name}) != found(cells), name


def test_csv_as_spreadsheets_write_it() -> None:
    # Given a byte order mark, CRLF, quotes, commas and line ends inside of cells, blank lines, spaces in the header
    content = (
        b'\xef\xbb\xbfID , email,name\r\n\r\nu1,a@shop.test,"Bee, ""Ann"""\r\n'
        b'u2,b@shop.test,"two\r\nlines"\r\nu3,c@shop.test,5" tall\r\n'
    )
    found = [each for each in outcomes(content) if isinstance(each, UserEvent)]
    assert [each.profile["name"] for each in found] == ['Bee, "Ann"', "two lines", '5" tall']
    # And each event names the line where its row begins
    assert [each.event_id for each in found] == ["users.csv:3", "users.csv:4", "users.csv:6"]


def test_ndjson_may_have_a_byte_order_mark_blank_lines_and_no_last_line_end() -> None:
    assert ids(b'\xef\xbb\xbf{"id":"u1"}\r\n\n  \n{"id":2}', "users.jsonl") == ["u1", "2"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'{"id":"u1"', "not_json"),
        (b"[1]", "not_an_object"),
        (b'{"id":"u1","name":NaN}', "not_json"),
        (b'{"id":"\xff"}', "not_utf8"),
        ('{"id":"u1"}'.encode("utf-16-le"), "not_utf8"),
        (b'{"id":"u1"}\r{"id":"u2"}', "bad_line_ends"),
        (b'{"email":"a@shop.test"}', "no_user_id"),
        (b'{"id":true}', "no_user_id"),
        (b'{"id":"u1","name":7}', "not_text"),
        (b'{"id":"u1","email":{}}', "not_text"),
        (b'{"id":"u1","name":"\\ud800"}', "not_text"),
        (b'{"id":"u1","updated_at":"soon"}', "bad_time"),
        (b'{"id":"u1","updated_at":' + b"9" * 400 + b"}", "bad_time"),
        (b'{"id":"u1","updated_at":"' + b"9" * 5000 + b'"}', "bad_time"),
        (b'{"id":"u1","updated_at":"20260301"}', "bad_time"),
        (b'{"id":12345.0}', "bad_user_id"),
        (b'{"id":"1.23457E+14"}', "bad_user_id"),
        (b'{"id":"u1","email":"not-an-email"}', "bad_email"),
        (b'{"id":"u1","email":"b@x;c@x"}', "bad_email"),
        (b'{"id":"u1","email":"D <d@x>"}', "bad_email"),
        (b'{"id":"u1","status":"gone"}', "bad_status"),
        (b'{"id":"u1","whop_user_id":"biz_1"}', "bad_whop_user_id"),
        (b"[" * 50_000, "not_json"),
        (b'{"id":"u1","name":"' + b"x" * MAX_ROW_BYTES + b'"}', "too_long"),
    ],
)
def test_a_bad_line_of_ndjson_costs_itself_and_no_other(row: bytes, reason: str) -> None:
    assert ids(b'{"id":"before"}\n' + row + b'\n{"id":"after"}\n', "users.ndjson") == ["before", reason, "after"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"u1,a@shop.test", "wrong_columns"),
        (b"u1,a@shop.test,Ann,more", "wrong_columns"),
        (b',a@shop.test,"Ann"', "no_user_id"),
        (b"NULL,a@shop.test,Ann", "no_user_id"),
        (b"1.23457E+14,a@shop.test,Ann", "bad_user_id"),
        (b"12345.0,a@shop.test,Ann", "bad_user_id"),
        (b"u1,not-an-email,Ann", "bad_email"),
        (b"u1,a@shop.test,\xff\xfe", "not_utf8"),
        (b'u1,a@shop.test,"never closed', "not_csv"),
        (b'u1,a@shop.test,"closed" too soon', "not_csv"),
        (b"u1,a@shop.test,return\rinside", "not_csv"),
        (b"u1,a@shop.test," + b"x" * MAX_ROW_BYTES, "too_long"),
        (b'u1,a@shop.test,"' + b"x" * MAX_ROW_BYTES + b'"', "too_long"),
    ],
)
def test_a_bad_row_of_csv_costs_itself_and_no_other(row: bytes, reason: str) -> None:
    around = HEADER + b"before,b@shop.test,B\n%b\nafter,c@shop.test,C\n" + b'last,"d@shop.test",D\n' * 1000
    assert ids(around % row)[:3] == ["before", reason, "after"]
    assert ids(around % row)[3:] == ["last"] * 1000


def test_a_rejected_row_shows_its_id_if_it_has_one() -> None:
    file_format, found = read(
        b'{"id":"u1","name":7}\n{"id":2,"name":7}\n{"id":true}\n{"id":"u4"\n{"id":"' + b"x" * 300 + b'"}', "u.jsonl"
    )
    assert [user_id(row, file_format) for row in found] == ["u1", "2", None, None, "x" * 255]
    file_format, found = read(b'{"id":12345.0}\n', "u.jsonl")
    assert [user_id(row, file_format) for row in found] == ["12345.0"]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "u.csv"),
        (b"\n\n", "u.csv"),
        (b"email,name\n", "u.csv"),
        (b"id,id\n", "u.csv"),
        (b'id,"open\n', "u.csv"),
        (b"\xff\xfei\x00d\x00\n", "u.csv"),
        (b"{}", "users.json"),
        (b"", "users.xlsx"),
    ],
)
def test_a_file_that_is_none_of_users_is_refused_as_a_whole(content: bytes, name: str) -> None:
    with pytest.raises(Malformed):
        open_users(io.BytesIO(content), name)


@pytest.mark.parametrize(
    ("content", "reason", "sentence"),
    [
        (b"", "bad_header", "there is none"),
        (b"12345,ann@shop.test\n", "bad_header", "one of them must be called id"),
        (b"id,email,name,email\n", "bad_header", "two columns are called email"),
        ("id,email\nu1,a@x\n".encode("utf-16"), "not_utf8", "UTF-16: save it as UTF-8"),
        ("id,email\nu1,a@x\n".encode("utf-16-be"), "not_utf8", "UTF-16"),
        (b"PK\x03\x04\x14\x00\x06\x00", "unknown_format", "Excel workbook"),
        ("id,email,prénom\n".encode("latin-1"), "not_utf8", "not in UTF-8"),
        (b"id,email\ru1,a@x\ru2,b@x\r", "bad_line_ends", "CR alone"),
        (b"sep=;\nid,email\n", "bad_header", "one of them must be called id"),
    ],
)
def test_a_file_is_refused_with_what_is_wrong_with_it(content: bytes, reason: str, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence) as refusal:
        open_users(io.BytesIO(content), "u.csv")
    assert refusal.value.reason == reason


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("named", [False, True])
def test_cells_are_separated_by_what_the_header_shows(separator: str, named: bool) -> None:
    lines = [["id", "email", "name"], ["u1", "a@x", '"Bee, Ann; and | more\t"'], ["u2", "b@x", ""]]
    content = "\r\n".join(separator.join(line) for line in lines)
    found = outcomes((f"sep={separator}\r\n" if named else "").encode() + content.encode())
    assert [each.user_id for each in found if isinstance(each, UserEvent)] == ["u1", "u2"]
    assert isinstance(found[0], UserEvent)
    assert found[0].profile == {"name": "Bee, Ann; and | more"}


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfsep=^\nid^email\nu1^a@x\n",
        b"sep=;;;\nid;email;name;\nu1;a@x;Ann;\n",
        b"sep=\\t\nid\temail\nu1\ta@x\n",
    ],
)
def test_a_line_that_names_the_separator_is_read_as_spreadsheets_write_it(content: bytes) -> None:
    assert ids(content) == ["u1"]


def test_an_id_is_taken_out_of_what_keeps_its_zeros_in_excel() -> None:
    assert ids(b'id,email\n="00123",a@x\n"=""00124""",b@x\n') == ["00123", "00124"]


@pytest.mark.parametrize("row", [b"u1,a@x,Ann,,", b"u1,a@x,Ann,", b"u1,a@x,Ann", b"u1,a@x,Ann, , ,"])
def test_empty_columns_at_the_end_count_for_nothing(row: bytes) -> None:
    event = only(b"id,email,name,,\n" + row + b"\n")
    assert (event.user_id, event.profile) == ("u1", {"name": "Ann"})


def test_a_column_without_a_name_is_not_read() -> None:
    assert only(b"id,,email\nu1,x,a@x\n").email == "a@x"
    assert ids(b"id,,,email\nu1,x,y,a@x\n") == ["u1"]


@pytest.mark.parametrize("blank", [b",,", b" , ,", b"   ", b'"","",""', b"", b",,,,"])
def test_a_blank_row_is_none(blank: bytes) -> None:
    assert ids(HEADER + b"u1,a@x,A\n" + blank + b"\nu2,b@x,B\n") == ["u1", "u2"]


def test_a_row_whose_last_cells_are_missing_says_how_many_there_are() -> None:
    file_format, [row] = read(HEADER + b"u1,a@x\n", "users.csv")
    with pytest.raises(Malformed, match="the row has 2 cells and the header 3: empty cells count too"):
        event(row, file_format, source="", as_of=LONG_AGO, now=NOW)


@pytest.mark.parametrize("content", [HEADER, b"", b"\n"])
def test_a_file_without_rows_has_none(content: bytes) -> None:
    assert ids(content, "users.csv" if content == HEADER else "users.ndjson") == []


@pytest.mark.parametrize("identifier", ["u1   ", "  u1", "\ufeffu1", "u1\u00a0", "\u200bu1"])
def test_blanks_around_an_id_make_no_other_user(identifier: str) -> None:
    assert ids(f"id,email\n{identifier},a@x\n".encode()) == ["u1"]
    assert ids(json.dumps({"id": identifier}).encode(), "u.ndjson") == ["u1"]
    file_format, [row] = read(f"id,email\n{identifier},a@x\n".encode(), "u.csv")
    assert user_id(row, file_format) == "u1"


@pytest.mark.parametrize("null", ["NULL", "\\N", " NULL "])
def test_the_nulls_of_exports_are_empty(null: str) -> None:
    event = only(f"id,email,name,avatar_url,updated_at,whop_user_id\nu1,{null},{null},{null},{null},{null}\n".encode())
    assert (event.email, event.profile, event.version, event.whop_user_id) == (
        None,
        {"name": None, "picture": None},
        1_000_000,
        None,
    )
    assert only(json.dumps({"id": "u1", "name": null}).encode(), "u.ndjson").profile == {"name": None}


def test_a_time_ahead_counts_as_none() -> None:
    row = b'{"id":"u1","updated_at":"2030-01-01T00:00:00Z"}'
    assert only(row, "u.ndjson").version == 1_000_000
    assert only(row, "u.ndjson", "2026-03-01T10:00Z").version == 1_772_359_200_000_000


@pytest.mark.parametrize(
    ("status", "kind", "standing"),
    [
        ("", "created", "active"),
        ("active", "created", "active"),
        ("Suspended", "created", "suspended"),
        ("deleted", "deleted", "deleted"),
        ("NULL", "created", "active"),
    ],
)
def test_a_status_is_a_standing(status: str, kind: str, standing: str) -> None:
    event = only(f"id,email,status\nu1,a@x,{status}\n".encode())
    assert (event.kind, event.standing) == (kind, standing)
    assert event.email == (None if kind == "deleted" else "a@x")


# -- what is sent on ---------------------------------------------------------------------------------------------------


class Remembering:
    def __init__(self) -> None:
        self.bodies: list[str] = []

    def send_all(self, bodies: Iterable[str]) -> None:
        self.bodies += bodies


def imported(content: bytes, name: str = "users.csv") -> tuple[list[str], list[tuple[int, Reason]]]:
    """The users who were sent, and line and reason of each rejection."""
    file_format, found = read(content, name)
    sink = Remembering()
    source = Source(format=file_format, name=name, as_of=LONG_AGO)
    chunks = list(import_rows(found, source, sink, clock=lambda: NOW))
    rejections = [(each.line, each.reason) for chunk in chunks for each in chunk.rejections]
    assert sum(chunk.sent for chunk in chunks) == len(sink.bodies)
    return [UserEvent.from_json(body).user_id for body in sink.bodies], rejections


def test_of_two_users_with_one_email_the_first_is_sent() -> None:
    content = HEADER + b"u1,a@x,A\nu2,A@X,B\nu1,a@x,A\nu3,c@x,C\n"
    assert imported(content) == (["u1", "u1", "u3"], [(3, "duplicate_email")])


def test_who_has_a_whop_user_may_share_an_email() -> None:
    content = b"id,email,whop_user_id\nu1,a@x,\nu2,a@x,user_1\n"
    assert imported(content) == (["u1", "u2"], [])


def test_a_user_without_an_email_is_rejected_unless_they_are_deleted() -> None:
    content = b"id,email,status\nu1,,active\nu2,,deleted\nu3,,\n"
    assert imported(content) == (["u2"], [(2, "no_email"), (4, "no_email")])


# -- whatever a file holds -----------------------------------------------------------------------------------------

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), max_size=20)
good_rows = st.lists(st.tuples(st.integers(0, 9999).map(str), cells, cells), max_size=20)


@given(good_rows, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_what_a_writer_of_csv_wrote_is_read_back(table: list[tuple[str, str, str]], end: str, quoting: Any) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=quoting).writerows([("id", "email", "name"), *table])
    _, found = read(text.getvalue().encode(), "users.csv")
    assert [row.content for row in found] == [list(each) for each in table]


# Pieces that meet in bad files, in any order.
pieces = st.sampled_from(
    [
        *(b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"\\", b" ", b"\xff", b"\x00", b'{"id":', b"}", "é".encode()),
        *(b"u1,a@shop.test,Ann\n", b'u2,,"two\nlines"\n', b'{"id":"u3","email":"c@shop.test"}\n'),
        *(b"x" * 70_000, b"1" * 5000),
    ]
)
bad_files = st.lists(pieces | st.binary(max_size=8), max_size=40).map(b"".join)


@given(bad_files, st.sampled_from(["users.csv", "users.ndjson"]))
def test_any_bytes_become_events_or_reasons_and_no_byte_is_read_twice(content: bytes, name: str) -> None:
    content = HEADER + content if name == "users.csv" else content
    assert all(isinstance(each, (UserEvent, str)) for each in outcomes(content, name))
    # And rows follow one another, each beginning where its line does
    _, found = read(content, name)
    end = 0
    for row in found:
        assert end <= row.start.byte < row.end.byte <= len(content)
        assert content.count(b"\n", 0, row.start.byte) == row.start.line - 1
        end = row.end.byte


@given(bad_files, st.sampled_from(["users.csv", "users.ndjson"]), st.integers(1, 300))
def test_a_file_in_parts_or_resumed_anywhere_says_the_same(content: bytes, name: str, size: int) -> None:
    content = HEADER + content if name == "users.csv" else content
    file_format, whole = read(content, name)
    # When it is cut up and each part is read by itself
    pieced: list[FileRow] = []
    for start, end in parts(whole, size):
        pieced += rows(io.BytesIO(content[start.byte : end]), file_format, start)
    assert list(map(repr, pieced)) == list(map(repr, whole))
    # And when it is read from any row on to the end
    for index, row in enumerate(whole):
        rest = rows(io.BytesIO(content[row.start.byte :]), file_format, row.start)
        assert list(map(repr, rest)) == list(map(repr, whole[index:]))


def test_parts_are_about_as_large_as_asked_for() -> None:
    content = b'{"id":"u1"}\n' * 1000
    file_format, found = read(content, "users.ndjson")
    cut = list(parts(found, 1200))
    assert [(start.byte, end) for start, end in cut] == [(offset, offset + 1200) for offset in range(0, 12_000, 1200)]
    assert [start.line for start, _ in cut] == list(range(1, 1000, 100))
    assert Offset() == cut[0][0]
    assert file_format.columns is None

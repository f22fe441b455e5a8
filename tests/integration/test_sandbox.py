"""`make sandbox` against a fake that stands in for Whop: it finds every difference, and cleans up behind itself."""

from collections.abc import Iterator

import pytest

from fake_whop import ALL_SCOPES, PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop, Switches
from sandbox.__main__ import SETTINGS, main

MAILBOX = "me@shop.test"


@pytest.fixture
def whop() -> Iterator[FakeWhop]:
    with FakeWhop() as running:
        yield running


def environment(key: str = PLATFORM_KEY) -> dict[str, str]:
    return dict(zip(SETTINGS, (key, PLATFORM_COMPANY, MAILBOX), strict=True))


def different(printed: str) -> set[str]:
    """The questions of the rows that are marked."""
    rows = [line.strip().removeprefix("≠").strip() for line in printed.splitlines() if line.strip().startswith("≠")]
    return {row.split("  ")[0] for row in rows}


def test_a_whop_that_answers_as_assumed_shows_no_difference_and_keeps_no_account(
    whop: FakeWhop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(environment(), api_url=whop.api_url) == 0
    printed = capsys.readouterr().out
    assert "0 of " in printed
    assert "Left behind at Whop: no account, the users of the addresses me+wus" in printed
    assert whop.companies() == []
    assert PLATFORM_KEY not in printed


@pytest.mark.parametrize(
    ("switch", "value", "questions"),
    [
        ("companies_at_late_versions", "gone", {"GET /companies at 2026-09-23"}),
        ("duplicate_title_status", 422, {
            "POST /companies with a title in use", "POST /companies again under one Idempotency-Key",
        }),
        ("legacy_idempotency", True, {"POST /companies again under one Idempotency-Key"}),
        ("undeliverable_email_status", 422, {"POST /companies for example.com"}),
        ("unique_title_on_accounts", True, {"POST /accounts with a title in use"}),
        ("metadata_external_id_counts", False, {"metadata.external_id with another e-mail"}),
        ("attached_file_is_readable", True, {"GET /files/{id} once it is a user's picture"}),
        ("existing_account_status", 201, {"The same once more"}),
        ("external_id_filter", "ignored", {"GET /accounts by an external_id of no account"}),
        ("metadata_update", "merge", {"PATCH /accounts/{id} with other metadata"}),
        ("update_shows", "global", {"PATCH /users/{id} answers whose name"}),
        ("null_clears", False, {
            "PATCH /users/{id} with name null", "PATCH /users/{id} with profile_picture null",
        }),
        ("attach_unready_file", True, {"PATCH /users/{id} with a file not uploaded"}),
        ("legacy_files", "refused", {"POST /files at 2026-07-20"}),
        ("token_account_field", "either", {
            "POST /access_tokens with company_id at 2026-09-23",
            "POST /access_tokens with account_id at 2026-08-21-1",
        }),
        ("unknown_action", "refused", {"GET /permissions of an unknown action"}),
        ("request_id_header", None, {"Header with the request's id"}),
    ],
)  # fmt: skip
def test_each_assumption_that_does_not_hold_is_marked(
    whop: FakeWhop, capsys: pytest.CaptureFixture[str], switch: str, value: object, questions: set[str]
) -> None:
    assert hasattr(Switches(), switch)
    setattr(whop.switches, switch, value)
    assert main(environment(), api_url=whop.api_url) == 1
    assert different(capsys.readouterr().out) == questions
    assert whop.companies() == []


def test_what_cannot_be_deleted_is_named(whop: FakeWhop, capsys: pytest.CaptureFixture[str]) -> None:
    whop.add_api_key("apik_narrow", scopes=ALL_SCOPES - {"company:delete_child"})
    main(environment("apik_narrow"), api_url=whop.api_url)
    left = capsys.readouterr().out.partition("Left behind at Whop: ")[2]
    assert whop.companies()
    assert all(company.id in left for company in whop.companies())


@pytest.mark.parametrize("missing", SETTINGS)
def test_without_a_key_it_says_what_to_set(missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main({**environment(), missing: ""}) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert all(name in printed.err for name in SETTINGS)
    assert len(printed.err.splitlines()) == 1


def test_a_key_that_whop_refuses_is_said_in_a_sentence(whop: FakeWhop, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(environment("apik_unknown"), api_url=whop.api_url) == 2
    assert "Whop answered 401 unauthorized" in capsys.readouterr().err


def test_a_whop_that_is_not_there_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(environment(), api_url="http://127.0.0.1:1/api/v1") == 2
    assert "Whop did not answer" in capsys.readouterr().err

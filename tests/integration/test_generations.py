"""Enrollment by Whop's newer call, POST /accounts, and the move of a stack from one generation to the other."""

import pytest

from fake_whop import Fault
from harness import World, created, event
from local_stack.pictures import png
from whop_sync.errors import OperatorNeeded, Permanent, Transient
from whop_sync.syncing.deadlines import Deadline
from whop_sync.syncing.enrollment import ORPHAN_WAIT_SECONDS


def external_ids(world: World) -> list[str | None]:
    return [account.external_id for account in world.fake.companies()]


@pytest.mark.parametrize("enrollment", ["accounts"])
class TestAccounts:
    def test_an_account_carries_the_users_id_where_both_generations_find_it(self, world: World) -> None:
        assert world.handle(created(name="Ann Bee")).outcome == "enrolled"
        (account,) = world.fake.companies()
        assert (account.title, account.email, account.external_id) == ("Ann Bee (u1)", "u1@shop.test", "u1")
        assert account.metadata == {"internal_user_id": "u1", "external_id": "u1"}
        row = world.row()
        assert (row["whop_user_id"], row["whop_company_id"], row["status"]) == (account.owner_id, account.id, "synced")

    def test_a_whop_that_has_retired_companies_is_not_asked_for_them(self, world: World) -> None:
        world.fake.switches.companies_at_late_versions = "gone"
        world.fake.fault(Fault("POST /accounts", "timeout_after"))
        world.settle(created(name="Ann"))
        assert not [operation for operation in world.operations() if "/companies" in operation]

    def test_the_key_of_another_company_maps_no_user(self, world: World) -> None:
        """Whop refuses nothing, since the key alone says whose the account is to be."""
        world.fake.add_api_key("apik_other", company_id="biz_other")
        world.api_key = "apik_other"
        error = world.failure(created(name="Ann"))
        assert (type(error), error.reason) == (OperatorNeeded, "whop_key_rejected")
        assert "whop_user_id" not in world.row()
        world.api_key = world.whop.api_key
        world.settle(created(name="Ann"))
        assert world.row()["status"] == "synced"
        assert world.shown()[0] == "Ann"

    @pytest.mark.parametrize("kind", ["error_500_after", "truncated_json", "error_500_before"])
    def test_after_a_lost_answer_the_call_is_repeated_at_once(self, world: World, kind: str) -> None:
        world.fake.fault(Fault("POST /accounts", kind))  # type: ignore[arg-type]
        started = world.clock()
        (result,) = world.settle(created(name="Ann"))

        assert not isinstance(result, Permanent)
        assert result.outcome == "enrolled"
        assert external_ids(world) == ["u1"]
        assert world.clock() - started < 10
        assert "GET /accounts" not in world.operations()

    @pytest.mark.parametrize("kind", ["timeout_after", "timeout_before", "connection_reset", "late_commit"])
    def test_a_call_that_may_be_under_way_leads_to_one_account(self, world: World, kind: str) -> None:
        world.fake.fault(Fault("POST /accounts", kind, delay=30))  # type: ignore[arg-type]
        world.settle(created(name="Ann"))
        world.clock.sleep(60)
        assert external_ids(world) == ["u1"]
        assert world.row()["status"] == "synced"

    def test_a_key_that_whop_keeps_for_a_lost_call_does_not_hold_the_user_up(self, world: World) -> None:
        """Documented: a key whose outcome is unknown answers 409 until it expires after a day."""
        world.fake.fault(Fault("POST /accounts", "stuck_idempotency"))
        started = world.clock()
        world.settle(created(name="Ann"))
        assert external_ids(world) == ["u1"]
        assert world.clock() - started < 3600

    @pytest.mark.parametrize("lag", [0, 30])
    def test_an_email_that_changed_between_two_tries_leads_to_the_same_account(self, world: World, lag: float) -> None:
        world.fake.switches.list_lag = lag
        world.fake.fault(Fault("POST /accounts", "error_500_after"))
        world.failure(created(version=1, email="old@shop.test", name="Ann"))
        (result,) = world.settle(event(version=2, email="new@shop.test", name="Anna"))

        assert not isinstance(result, Permanent)
        assert result.outcome == "adopted"
        assert external_ids(world) == ["u1"]
        assert world.shown()[0] == "Anna"

    def test_an_account_of_any_age_is_found_by_its_external_id(self, world: World) -> None:
        """Given accounts and a table that was lost, when a user has another e-mail now, then no user is listed."""
        for number in range(12):
            world.handle(created(f"other{number}", name="Other"))
        world.handle(created(name="Ann"))
        owner = world.row()["whop_user_id"]
        world.dynamodb.delete_item(TableName=world.table, Key={"key": {"S": "user#u1"}})
        world.clock.sleep(30 * 86400)

        assert world.handle(created(email="new@shop.test", name="Ann")).outcome == "adopted"
        assert world.row()["whop_user_id"] == owner
        (search,) = world.fake.calls_to("GET /accounts")
        assert "external_id=u1" in search.query

    def test_a_conflict_about_an_account_that_is_not_listed_is_refused_for_good(self, world: World) -> None:
        world.fake.fault(Fault("POST /accounts", "error_null", status=409, times=None))
        (result,) = world.settle(created(name="Ann"))
        assert isinstance(result, Permanent)
        assert result.reason == "external_id_taken"
        assert world.row()["status"] == "failed"

    def test_a_worker_that_dies_in_the_middle_leaves_an_account_that_is_adopted(self, world: World) -> None:
        event_ = created(name="Ann")
        claim = world.claim(event_)
        world.synchronization.enrollment.locate(event_, claim, Deadline(at=claim.deadline, clock=world.clock))

        world.settle(event_)
        assert external_ids(world) == ["u1"]
        assert world.row()["status"] == "synced"

    @pytest.mark.parametrize("user_id", ["50%", "~tilde", "u/1?x=#2", "🦊", "a" * 255])
    def test_any_text_may_be_a_users_id(self, world: World, user_id: str) -> None:
        """Given that Whop takes no % in external ids, then each user has an account of their own all the same."""
        world.handle(created(user_id, email="one@shop.test", name="Ann"))
        world.handle(created(user_id.replace("%", "~1") + "x", email="two@shop.test", name="Bob"))
        assert len(set(external_ids(world))) == 2
        assert not any("%" in str(external_id) for external_id in external_ids(world))
        assert world.shown(user_id)[0] == "Ann"

    def test_an_id_with_a_percent_sign_is_not_the_one_it_is_written_as(self, world: World) -> None:
        world.handle(created("50%", email="one@shop.test", name="Ann"))
        world.handle(created("50~1", email="two@shop.test", name="Bob"))
        assert (world.shown("50%")[0], world.shown("50~1")[0]) == ("Ann", "Bob")

    def test_an_owner_who_claims_another_users_id_is_not_taken_for_them(self, world: World) -> None:
        """The metadata of an account may be changed by its owner; the external id by the platform only."""
        world.handle(created("eve", name="Eve"))
        headers = {"Authorization": f"Bearer {world.api_key}", "Api-Version-Date": "2026-09-23"}
        url = f"{world.fake.api_url}/accounts/{world.row('eve')['whop_company_id']}"
        forged = {"internal_user_id": "u1"}
        world.http.patch(url, json={"metadata": forged}, headers=headers).raise_for_status()

        assert world.synchronization.mappings.claim(created(), deadline=world.clock() + 120)  # and dies
        world.settle(created(name="Ann"))
        assert world.row()["whop_user_id"] != world.row("eve")["whop_user_id"]

    def test_pictures_go_through_the_newer_files(self, world: World) -> None:
        world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        assert world.shown() == ("Ann", png("ff0000"))


class TestMoving:
    def test_a_stack_that_moves_keeps_its_mappings(self, world: World) -> None:
        world.handle(created(version=1, name="Ann"))
        mapped = world.row()["whop_user_id"]
        world.move_to("accounts")

        assert world.handle(event(version=2, name="Anna", picture=world.pictures.url("ff0000"))).outcome == "synced"
        assert world.handle(created(version=1, name="Ann")).outcome == "stale"
        assert world.handle(created(version=3, name="Anne", email="new@shop.test")).outcome == "synced"
        assert world.shown() == ("Anne", png("ff0000"))
        assert world.row()["whop_user_id"] == mapped
        assert world.fake.calls_to("POST /accounts") == []

    def test_a_stack_that_moves_back_keeps_them_too(self, world: World) -> None:
        world.move_to("accounts")
        world.handle(created(version=1, name="Ann"))
        world.move_to("companies")
        assert world.handle(event(version=2, name="Anna")).outcome == "synced"
        assert world.shown()[0] == "Anna"
        assert len(world.fake.companies()) == 1

    @pytest.mark.parametrize("lag", [0, ORPHAN_WAIT_SECONDS - 20])
    def test_an_account_that_the_older_call_left_behind_is_adopted_by_the_newer(self, world: World, lag: float) -> None:
        """It has no external id, so the newer call would make a second one."""
        world.fake.switches.list_lag = lag
        world.fake.fault(Fault("POST /companies", "error_500_after"))
        world.failure(created(version=1, name="Ann"))
        world.move_to("accounts")

        (result,) = world.settle(event(version=2, name="Anna"))
        assert not isinstance(result, Permanent)
        assert result.outcome == "adopted"
        assert len(world.fake.companies()) == 1

    def test_an_account_that_the_newer_call_left_behind_is_adopted_by_the_older(self, world: World) -> None:
        world.move_to("accounts")
        world.fake.fault(Fault("POST /accounts", "error_500_after"))
        error = world.failure(created(name="Ann"))
        assert isinstance(error, Transient)
        world.move_to("companies")

        (result,) = world.settle(created(name="Ann"))
        assert not isinstance(result, Permanent)
        assert result.outcome == "adopted"
        assert len(world.fake.companies()) == 1

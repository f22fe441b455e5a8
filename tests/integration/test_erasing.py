"""A person who asks to be forgotten, and a Whop user whose platform never sends deletions."""

import pytest

from fake_whop import Fault
from harness import World, created, event
from whop_sync.aws.queues import Queue
from whop_sync.errors import AwaitsTurn, OperatorNeeded, Transient
from whop_sync.events import UserEvent
from whop_sync.users.mappings import LEASE_SECONDS
from whop_user_sync.erasing import Erasure, Receipt

DELETED = "Deleted user"


def erasure(world: World, queue_url: str = "nowhere") -> Erasure:
    synchronization = world.synchronization
    return Erasure(
        enrollment=synchronization.enrollment,
        deleted_user_name=DELETED,
        queue=Queue(world.client("sqs"), queue_url),
    )


def enrolled(world: World) -> tuple[str, str]:
    world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
    row = world.row()
    return row["whop_user_id"], row["whop_company_id"]


def test_an_erased_user_leaves_a_tombstone_and_no_account(world: World) -> None:
    whop_user, account = enrolled(world)
    receipt = erasure(world).erase("u1")
    assert receipt == Receipt(
        user_id="u1",
        is_known=True,
        whop_user_id=whop_user,
        whop_company_id=account,
        profile_blanked=True,
        account="removed",
    )
    assert world.fake.companies() == []
    assert world.whop.user(whop_user)["name"] == DELETED
    assert world.owner(whop_user) is None
    # Only the row of the user is left in the table
    assert [each["key"]["S"] for each in world.dynamodb.scan(TableName=world.table)["Items"]] == ["user#u1"]
    row = world.row()
    allowed = {"key", "user_id", "status", "standing", "standing_since", "updated_at"}
    assert {name for name in row if not name.endswith("_position")} == allowed
    assert not any(len(value) == 32 for value in "".join(str(each) for each in row.values()).split("."))
    # And no old event brings them back, and a second time changes nothing
    assert world.handle(created(name="Ann")).outcome == "stale"
    assert erasure(world).erase("u1") == Receipt(user_id="u1", is_known=True)


def test_who_returns_after_an_erasure_is_enrolled_anew(world: World) -> None:
    enrolled(world)
    erasure(world).erase("u1")
    world.clock.sleep(10)
    assert world.handle(created(version=int(world.clock() * 1e6), name="Ann")).outcome == "enrolled"
    assert len(world.fake.companies()) == 1


@pytest.mark.parametrize("enrollment", ["companies", "accounts"])
@pytest.mark.parametrize("status", [400, 403])
def test_an_account_that_whop_does_not_remove_no_longer_names_the_user(world: World, status: int) -> None:
    _, account = enrolled(world)
    world.fake.fault(Fault("DELETE /accounts/{id}", "error_null", status=status))
    receipt = erasure(world).erase("u1")
    assert receipt.account == "blanked"
    assert receipt.why == ("whop_refused" if status == 400 else "whop_key_rejected")
    (left,) = world.fake.companies()
    assert (left.id, left.metadata, left.external_id) == (account, {}, None)
    assert "Ann" not in left.title
    assert "u1" not in left.title


def test_a_whop_that_knows_no_external_ids_still_takes_the_title_away(world: World) -> None:
    enrolled(world)
    world.fake.fault(Fault("DELETE /accounts/{id}", "error_null", status=400))
    world.fake.fault(Fault("PATCH /accounts/{id}", "error_null", status=400))
    assert erasure(world).erase("u1").account == "blanked"
    assert [left.metadata for left in world.fake.companies()] == [{}]


def test_a_failure_halfway_is_made_good_by_the_next_run(world: World) -> None:
    enrolled(world)
    world.fake.fault(Fault("DELETE /accounts/{id}", "error_500_after"))
    with pytest.raises(Transient):
        erasure(world).erase("u1")
    world.clock.sleep(200)
    assert erasure(world).erase("u1").account == "gone"
    assert "whop_user_id" not in world.row()


@pytest.mark.parametrize("call", ["PATCH /users/{id}", "PATCH /accounts/{id}"])
def test_a_failure_of_whop_is_not_taken_for_its_refusal(world: World, call: str) -> None:
    _, account = enrolled(world)
    world.fake.fault(Fault("DELETE /accounts/{id}", "error_null", status=400, times=None))
    world.fake.fault(Fault(call, "error_500_before", times=None))
    with pytest.raises(Transient, match="whop_failed"):
        erasure(world).erase("u1")
    assert world.row()["whop_company_id"] == account


def test_a_key_that_may_do_nothing_leaves_the_row_as_it_is(world: World) -> None:
    whop_user, _ = enrolled(world)
    world.api_key = "apik_wrong"
    with pytest.raises(OperatorNeeded):
        erasure(world).erase("u1")
    assert world.row()["whop_user_id"] == whop_user


def test_who_is_in_a_workers_hands_is_not_erased(world: World) -> None:
    enrolled(world)
    world.claim(event(version=2, name="Anna"))
    with pytest.raises(AwaitsTurn, match="a worker has this user"):
        erasure(world).erase("u1")
    assert len(world.fake.companies()) == 1


def test_a_user_of_whop_sign_in_keeps_what_is_theirs(world: World) -> None:
    known = world.fake.add_user(email="ann@home.test", name="Global Ann", member_of=world.whop.company_id)
    world.handle(created(whop_user_id=known.id, name="Ann"))
    receipt = erasure(world).erase("u1")
    assert (receipt.account, receipt.whop_user_id) == ("none", known.id)
    assert world.whop.user_everywhere_else(known.id)["name"] == "Global Ann"


def test_a_deleted_user_can_be_erased_too(world: World) -> None:
    enrolled(world)
    world.handle(event(version=2, kind="deleted", email=None))
    assert erasure(world).erase("u1").account == "removed"
    assert world.dynamodb.scan(TableName=world.table)["Count"] == 1
    assert not {"former_whop_user_id", "enrolled_email"} & set(world.row())


def test_who_has_the_whop_user_since_keeps_name_and_picture(world: World) -> None:
    whop_user, account = enrolled(world)
    world.handle(event(version=2, kind="deleted", email=None))
    picture = world.pictures.url("00ff00")
    world.handle(created("u2", version=3, email="u1@shop.test", name="Bob", picture=picture))
    before = world.shown("u2")
    receipt = erasure(world).erase("u1")
    assert (receipt.whop_user_id, receipt.profile_blanked, receipt.account) == (whop_user, None, "removed")
    assert [company.id for company in world.fake.companies()] == [world.row("u2")["whop_company_id"]] != [account]
    assert (world.shown("u2"), world.owner(whop_user)) == (before, "u2")
    assert not {"whop_user_id", "former_whop_user_id"} & set(world.row())


@pytest.mark.parametrize("enrollment", ["companies", "accounts"])
@pytest.mark.parametrize("is_deleted", [False, True])
def test_the_account_of_a_create_whose_answer_was_lost_is_erased_too(world: World, *, is_deleted: bool) -> None:
    world.fake.switches.list_lag = 60
    world.fake.fault(Fault(world.create_call, "error_500_after"))
    world.failure(created(name="Ann"))
    if is_deleted:
        assert world.failure(event(version=2, kind="deleted", email=None)).reason == "orphan_not_listed"
    with pytest.raises(AwaitsTurn, match="may still show up"):
        erasure(world).erase("u1")
    world.clock.sleep(LEASE_SECONDS + 1)
    assert erasure(world).erase("u1").account == "removed"
    assert world.fake.companies() == []
    assert world.dynamodb.scan(TableName=world.table)["Count"] == 1


def test_an_unknown_user_gets_no_row(world: World) -> None:
    assert erasure(world).erase("u1") == Receipt(user_id="u1", is_known=False)
    assert world.row() == {}


def test_a_released_users_whop_user_is_free_for_another(world: World) -> None:
    world.handle(created("u1", email="a@shop.test", name="Ann"))
    sqs = world.client("sqs")
    url = sqs.create_queue(QueueName=f"release-{world.table}")["QueueUrl"]
    for _ in range(2):
        erasure(world, url).release("u1")
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]:
        world.settle(UserEvent.from_json(message["Body"]))
    assert world.handle(created("u2", email="a@shop.test", name="Bob")).outcome == "enrolled"
    assert world.shown("u2")[0] == "Bob"

"""Senders send again for days. What was done is known for good, not for as long as some memory of deliveries lasts."""

from harness import World, created, event

DAY = 86400


def test_a_delivery_that_comes_again_after_weeks_changes_nothing(world: World) -> None:
    first, second = created(version=1, name="Ann"), event(version=2, name="Anna")
    world.settle(first, second)
    asked = world.operations()
    for _ in range(4):
        world.clock.sleep(7 * DAY)
        assert [world.handle(each).outcome for each in (first, second)] == ["stale", "stale"]
    assert world.operations() == asked
    assert world.shown()[0] == "Anna"


def test_what_an_operator_redrives_never_undoes_a_newer_change(world: World) -> None:
    """A parked event that is redriven after its user has changed is an old one."""
    world.settle(created(version=1, name="Ann"), event(version=3, name="Anne"))
    parked = event(version=2, name="Anna")
    assert [world.handle(parked).outcome for _ in range(2)] == ["stale", "stale"]
    assert world.shown()[0] == "Anne"

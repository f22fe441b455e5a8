"""A few hundred stories of the simulation, and that it finds, shortens and prints what goes wrong."""

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from local_stack import IMPORT_PATH
from simulate import TRAITS, Finding, Story, generate, lived
from simulate.report import written
from simulate.shrinking import shrink
from simulate.story import Arrival, Decision, Point, Settings, Written
from whop_sync.events import UserEvent
from whop_sync.syncing.profiles import Profiles

STORIES = 600
GROUPS = 6


def failures(seeds: range) -> dict[int, list[Finding]]:
    return {seed: findings for seed in seeds if (findings := lived(generate(seed, TRAITS))[1])}


@pytest.mark.parametrize("group", range(GROUPS))
def test_every_story_ends_as_its_events_say(group: int) -> None:
    size = STORIES // GROUPS
    wrong = failures(range(group * size, (group + 1) * size))
    assert not wrong, "\n\n".join(written(shrink(generate(seed, TRAITS))) for seed in list(wrong)[:1])


def test_the_stories_are_full_of_events() -> None:
    """Were nothing to happen in them, nothing would go wrong."""
    lives = [(story := generate(seed, TRAITS), lived(story)[0]) for seed in range(60)]
    assert sum(len(story.arrivals) for story, _ in lives) > 4 * len(lives)
    assert sum(history.calls for _, history in lives) > 20 * len(lives)
    faults = {decision.fault for _, history in lives for decision in history.decisions.values()}
    assert len(faults) > 15
    assert any(decision.frozen for _, history in lives for decision in history.decisions.values())
    trace = [what for _, history in lives for _, _, what in history.trace]
    announced = {each.type for _, history in lives for each in history.announced}
    assert announced > {"user.enrolled", "user.suspended", "user.restored", "user.deleted", "user.email_differs"}
    for word in ("DIES", "enrolled", "stale", "delivers", "adopted", "mapped", "busy", "deleted", "parked", "no_email"):
        assert any(word in line for line in trace), word


def test_one_seed_gives_one_story_to_the_letter() -> None:
    printed = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": IMPORT_PATH, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-m", "simulate", "--seed", "8"]
        printed.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert printed[0] == printed[1]
    history, _ = lived(generate(8, TRAITS))
    assert history.trace[-1][2] in printed[0]


def broken_story() -> Story:
    """Two updates whose order a worker that looks at nothing but arrival gets wrong, among much else."""
    events = [
        UserEvent(
            kind="updated",
            event_id=f"e{number}",
            user_id=user,
            version=version,
            email=f"{user}@shop.test",
            profile={"name": f"{user} {version}"},
        )
        for number, (user, version) in enumerate([("u1", 1), ("u2", 1), ("u1", 3), ("u1", 2), ("u2", 2), ("u1", 1)])
    ]
    arrivals = [Arrival(3.0 * number, event) for number, event in enumerate(events)]
    settings = Settings(workers={"created": 1, "updated": 2}, switches={"list_lag": 20.0})
    return Story(
        seed=1,
        settings=settings,
        arrivals=arrivals,
        chance=Written({Point("e0", 1, 2): Decision(before=3.0), Point("e2", 1, 1): Decision(fault="dies after")}),
    )


def test_a_wrong_ending_is_found_and_printed_in_its_shortest_form(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not lived(broken_story())[1]
    apply = Profiles.apply

    def applied(self: Profiles, values: Mapping[str, str | None], *rest: object, **more: object) -> object:
        shown = {name: "wrong" if value == "u1 3" else value for name, value in values.items()}
        return apply(self, shown, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Profiles, "apply", applied)
    shrunk = shrink(broken_story())
    assert [arrival.event.event_id for arrival in shrunk.story.arrivals] == ["e2"]
    assert shrunk.history.decisions == {}
    assert shrunk.story.settings.switches == {}
    assert set(shrunk.story.settings.workers.values()) == {1}
    printed = written(shrunk)
    assert "name: Whop shows 'wrong' for u1, not 'u1 3'" in printed
    assert "u1 updated, version 3: name 'u1 3', e-mail u1@shop.test" in printed
    assert len(printed.splitlines()) < 30


def test_nothing_is_shortened_where_nothing_is_wrong() -> None:
    with pytest.raises(ValueError, match="nothing is wrong"):
        shrink(broken_story())

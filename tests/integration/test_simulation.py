"""A few hundred stories of the simulation, and that it finds, shortens and prints what goes wrong."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import pytest

from fake_whop import PLATFORM_COMPANY
from local_stack import IMPORT_PATH
from simulate import TRAITS, Finding, History, Story, generate, lived
from simulate.oracle import Wrong, judge
from simulate.report import written
from simulate.shrinking import shrink
from simulate.story import Arrival, Decision, Point, Settings, Written
from simulate.world import World, numbered_ids
from whop_sync.events import Kind, ProfileField, UserEvent
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


# -- what the oracle sees ------------------------------------------------------------------------------------------

PICTURE = "https://pictures.test/1.png"


def calm_story() -> Story:
    """One user is there with name and picture, another one was there. Nothing goes wrong, and all is announced."""
    happens: list[tuple[Kind, str, dict[ProfileField, str | None]]] = [
        ("created", "u1", {"name": "Ann", "picture": PICTURE}),
        ("created", "u2", {"name": "Bob"}),
        ("deleted", "u2", {}),
    ]
    events = [
        UserEvent(
            kind=kind,
            event_id=f"e{number}",
            user_id=user,
            version=number,
            email=f"{user}@shop.test" if kind == "created" else None,
            standing="deleted" if kind == "deleted" else "active",
            profile=profile,
        )
        for number, (kind, user, profile) in enumerate(happens, 1)
    ]
    arrivals = [Arrival(60.0 * number, event) for number, event in enumerate(events)]
    return Story(seed=1, settings=Settings(announces=True), arrivals=arrivals, chance=Written({}))


def with_row(user: str, **changes: str | None) -> Callable[[World, History], None]:
    """A row in which these attributes say something else, or nothing."""

    def spoil(_: World, history: History) -> None:
        row = {name: value for name, value in history.items[f"user#{user}"].items() if name not in changes}
        row |= {name: {"S": text} for name, text in changes.items() if text is not None}
        history.items = {**history.items, f"user#{user}": row}

    return spoil


def without_items(prefix: str) -> Callable[[World, History], None]:
    def spoil(_: World, history: History) -> None:
        assert any(key.startswith(prefix) for key in history.items)
        history.items = {key: item for key, item in history.items.items() if not key.startswith(prefix)}

    return spoil


def with_override(user: str, **changes: str | None) -> Callable[[World, History], None]:
    """Whop shows something else for the user, or for whom it has kept since."""

    def spoil(world: World, _: History) -> None:
        state = world.platform.settled()
        found = state.find_user(f"{user}@shop.test")
        assert found is not None
        shown = state.overrides[PLATFORM_COMPANY, found.id]
        state.set_override(PLATFORM_COMPANY, found.id, replace(shown, **changes))

    return spoil


def with_another_account(world: World, _: History) -> None:
    companies = world.platform.settled().companies
    account = next(each for each in companies.values() if each.parent_id)
    companies["biz_second"] = replace(account, id="biz_second")


def set_on(name: str, value: object) -> Callable[[World, History], None]:
    return lambda _, history: setattr(history, name, value)


SPOILT: Sequence[tuple[Wrong, str, Callable[[World, History], None]]] = [
    ("circling", "go round in circles", set_on("circling", True)),
    ("crash", "KeyError", set_on("crashes", ["KeyError"])),
    ("lost", "e1 is still not done", set_on("unfinished", ["e1"])),
    ("lost", "e1 vanished", set_on("endings", [])),
    ("parked", "e1 is parked for whop_refused", set_on("parked", {"e1": ["whop_refused"]})),
    ("parked", "e1 is parked for whop_user_taken", set_on("parked", {"e1": ["whop_user_taken"]})),
    ("announced", "u1", set_on("announced", [])),
    ("account doubled", "u1 has 2 connected accounts", with_another_account),
    ("account left over", "no row knows of", with_row("u1", whop_company_id=None)),
    ("mapping", "which is not theirs", with_row("u1", whop_company_id="biz_other")),
    ("mapping", "whose reverse item names None", without_items("whop_user#")),
    ("mapping", "and its item names None", without_items("whop_account#")),
    ("mapping", "who has it not", with_row("u1", whop_user_id=None)),
    ("mapping", "a stranger", with_row("u1", whop_user_id="user_other")),
    ("not enrolled", "u1 is not enrolled", with_row("u1", whop_user_id=None)),
    ("row", "u1 has no row", without_items("user#u1")),
    ("row", "u1's row says failed", with_row("u1", status="failed")),
    ("row", "keeps an attempt", with_row("u1", enrollment_attempt="a", lease_id=None)),
    ("row", "u1's row says email_differs True", with_row("u1", email_differs="yes")),
    ("standing", "u1 is suspended", with_row("u1", standing="suspended")),
    ("standing", "u2 left, and the row says active", with_row("u2", standing="active")),
    ("standing", "u2 left, and is mapped", with_row("u2", whop_user_id="user_other")),
    ("name", "Whop shows 'Eve' for u1", with_override("u1", name="Eve")),
    ("name", "u2 left, and Whop shows 'Bob'", with_override("u2", name="Bob")),
    ("picture", "Whop shows None for u1", with_override("u1", picture_file=None)),
    ("picture", "u2 left, and Whop shows their picture", with_override("u2", picture_file="file_1")),
]


def judged(spoil: Callable[[World, History], None]) -> list[Finding]:
    with numbered_ids():
        world = World(story := calm_story())
        history = world.live()
        spoil(world, history)
        return judge(story, world, history)


@pytest.mark.parametrize(("wrong", "sentence", "spoil"), SPOILT, ids=[sentence for _, sentence, _ in SPOILT])
def test_what_is_spoilt_afterwards_is_found(
    wrong: Wrong, sentence: str, spoil: Callable[[World, History], None]
) -> None:
    found = [finding.sentence for finding in judged(spoil) if finding.wrong == wrong]
    assert any(sentence in each for each in found), found


def test_nothing_is_found_where_nothing_is_spoilt_and_each_kind_of_finding_is_tried() -> None:
    assert judged(lambda *_: None) == []
    assert {wrong for wrong, _, _ in SPOILT} == {*get_args(Wrong.__value__)}


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

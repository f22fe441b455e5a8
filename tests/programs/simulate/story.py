"""What one simulation is made of: who works, which events arrive when, and what goes wrong at which call."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol

from whop_sync.events import Kind, ProfileField, UserEvent

type Fault = Literal[
    # of a worker
    "dies before",
    "dies after",
    # of a call to AWS
    "refused",
    "answer lost",
    "answer lost, sent again",
    "carried out late",
    # of a call to Whop: what the fake can do
    "unreachable",
    "timeout_before",
    "timeout_after",
    "late_commit",
    "error_500_before",
    "error_500_after",
    "connection_reset",
    "connection_reset_after",
    "html_error",
    "html_error_after",
    "truncated_json",
    "rate_limited",
    "unauthorized",
    # of a picture's host
    "unavailable",
]

_DEATHS: tuple[Fault, ...] = ("dies before", "dies after")
_AWS_FAULTS: tuple[Fault, ...] = (*_DEATHS, "refused", "answer lost", "answer lost, sent again", "carried out late")
_WHOP_FAULTS: tuple[Fault, ...] = (
    *_DEATHS,
    "unreachable",
    "timeout_before",
    "timeout_after",
    "late_commit",
    "error_500_before",
    "error_500_after",
    "connection_reset",
    "connection_reset_after",
    "html_error",
    "html_error_after",
    "truncated_json",
    "rate_limited",
    "unauthorized",
)
FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "aws": _AWS_FAULTS,
    "whop": _WHOP_FAULTS,
    "picture": (*_DEATHS, "unavailable"),
}
"""What can go wrong with a call, by whom it goes to."""

MAX_LATE_SECONDS = 40.0
"""So much later than its caller gave up, a call may be carried out all the same."""

MAX_LIST_LAG = 110.0
"""Until Whop's list shows an account: less than the two minutes that a worker gives it."""

MAX_SKEW = 35.0
"""How far a worker's clock may be from Whop's, in seconds."""

SLOW_CREATE_SECONDS = 19.0
"""So long a create is on its way where the wait for it has to count from its end: a worker waits a second longer."""

CROWD = 400
"""Accounts of others, eight pages of Whop's list."""

REFUSED_PICTURE = "https://img.test/none"
"""No host has this one, for good."""

FAULTY_SECONDS = 2 * 3600.0
"""Nothing goes wrong later than that, so that every story ends."""


class Point(NamedTuple):
    """The nth call, from 1, within one delivery of an event."""

    event_id: str
    delivery: int
    call: int


class Decision(NamedTuple):
    """What is special about one call. Seconds before it arrives, seconds until its answer is read, and a fault.

    `frozen`: the worker stands still after the answer, and what would end it for its time-out as well.
    """

    before: float = 0.0
    after: float = 0.0
    fault: Fault | None = None
    late: float = 0.0
    frozen: bool = False


ORDINARY = Decision()


_CREATES = frozenset({"POST /companies", "POST /accounts"})
"""What is done there cannot be undone, so it goes wrong more often than the rest, and mostly after it was done."""

_LOST_CREATES: tuple[Fault, ...] = (
    "dies after",
    "timeout_after",
    "error_500_after",
    "connection_reset_after",
    "late_commit",
)

_REPEATED_CREATES: tuple[Fault, ...] = ("error_500_before", "dies after")
"""What makes a worker ask for an account again, and what leaves of that no more than its note before the call."""


class Chance(Protocol):
    def decide(self, point: Point, to: str, name: str, elapsed: float) -> Decision:
        """What happens to a call. `to` is aws, whop or picture, `elapsed` seconds since the beginning."""


@dataclass(frozen=True, slots=True)
class Seeded:
    """Decides by a seed and the point alone, so that a call fares alike whatever else is left out of a story.

    Each is the share of calls: that fail, of creates that do, that take longer, and after which a worker stands still.
    `create_faults` are the faults of creates, any where it is empty; every create is on its way for `create_seconds`.
    """

    seed: int
    faults: float
    creates: float
    delays: float
    pauses: float
    create_faults: tuple[Fault, ...] = ()
    create_seconds: float = 0.0

    def decide(self, point: Point, to: str, name: str, elapsed: float) -> Decision:
        if elapsed > FAULTY_SECONDS:
            return ORDINARY
        chance = random.Random(hash((self.seed, *point[1:], *map(ord, point.event_id))))
        roll = chance.random
        before = after = 0.0
        frozen = False
        if roll() < self.delays:
            before, after = chance.choice((0.0, 0.05, 0.3, 1.0, 4.0, 12.0)), chance.choice((0.0, 0.05, 0.3, 2.0, 15.0))
        if roll() < self.pauses:
            frozen = roll() < 0.5
            after = chance.choice((40.0, 100.0, 190.0, 400.0))
        fault: Fault | None = None
        late = 0.0
        if roll() < (self.creates if name in _CREATES else self.faults):
            fault = chance.choice(_LOST_CREATES if name in _CREATES and roll() < 0.6 else FAULTS[to])
            late = chance.choice((1.0, 10.0, MAX_LATE_SECONDS))
        if name in _CREATES:
            before = max(before, self.create_seconds)
            fault = chance.choice(self.create_faults) if fault and self.create_faults else fault
        return Decision(round(before, 3), round(after, 3), fault, late if fault else 0.0, frozen)


@dataclass(frozen=True, slots=True)
class Written:
    """Decides as is written, for stories that are shrunk."""

    decisions: Mapping[Point, Decision]

    def decide(self, point: Point, to: str, name: str, elapsed: float) -> Decision:  # noqa: ARG002 - as the others
        return self.decisions.get(point, ORDINARY)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event gets into its queue, `at` seconds after the beginning. `echo`: SQS delivers it once more so much later,
    whatever became of it until then."""

    at: float
    event: UserEvent
    echo: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`skews` are the workers' clocks against Whop's, in seconds."""

    enrollment: str = "companies"
    workers: Mapping[str, int] = field(default_factory=lambda: {"created": 1, "updated": 1})
    batch: int = 10
    skews: Sequence[float] = (0.0,)
    calls_per_minute: int = 600
    switches: Mapping[str, Any] = field(default_factory=dict)
    crowd: int = 0
    """So many accounts of others are made right after the beginning, and Whop's list takes seconds a page, so that no
    delivery can read it to its end."""
    members: Sequence[str] = ()
    """E-mail addresses of people who are on Whop and in the company already: those who sign in with Whop."""
    announces: bool = False
    """Whether changes are announced to the platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    seed: int
    settings: Settings
    arrivals: Sequence[Arrival]
    chance: Chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What may occur in a story."""

    kinds: tuple[Kind, ...] = ("created", "updated")
    no_email: bool = False
    new_email: bool = False
    shared_email: bool = False
    sign_in: bool = False
    refused_nulls: bool = False
    event_times: bool = False
    bare: bool = False
    """Events that speak of no field."""
    crowds: bool = False
    title_limits: bool = False
    refused_pictures: bool = False
    strains: bool = False
    """Clocks, the list and lost creates at the edge of what enrollment by /companies promises to bear."""
    announcements: bool = False
    hand_ons: bool = False
    """A user leaves, and another one signs up with their address meanwhile."""
    flags: bool = False
    """Created and updated events that say whether the user is suspended."""


def sign_in_id(address: str) -> str:
    """How a story names the Whop user of an address before there is one; the world puts the real id in its place."""
    return f"whop:{address}"


def generate(seed: int, traits: Traits) -> Story:
    chance = random.Random(seed)
    crowded = chance.random() < 0.4  # one user, several events within seconds, and creates that get lost
    users = [f"u{number}" for number in range(1, (1 if crowded else chance.choice((1, 2, 2, 3))) + 1)]
    addresses = {user: f"{user}@shop.test" for user in users}
    if traits.shared_email and len(users) > 1 and chance.random() < 0.5:
        addresses[users[1]] = addresses[users[0]]
    gap = chance.choice((0.2, 3.0, 20.0, 200.0) if crowded else (0.0, 0.2, 3.0, 40.0, 400.0))
    numbers = chance.randint(2, 5 if crowded else 9)
    versions = dict.fromkeys(users, 0)
    started: set[str] = set()
    arrivals: list[Arrival] = []
    for number in range(1, numbers + 1):
        user = chance.choice(users)
        versions[user] += chance.choice((0, 1, 1, 1, 2))
        if traits.new_email and user in started and chance.random() < (0.35 if crowded else 0.15):
            addresses[user] = f"{user}.{number}@shop.test"
        event = _event(
            chance,
            traits,
            user=user,
            address=addresses[user],
            number=number,
            version=max(versions[user], 1),
            first=user not in started,
        )
        started.add(user)
        arrivals.append(Arrival(round(number * gap + chance.random() * gap, 3), event))
    if chance.random() < 0.5:  # the sender or the queue mixed them up
        times = [arrival.at for arrival in arrivals]
        chance.shuffle(times)
        arrivals = [Arrival(at, arrival.event) for at, arrival in zip(times, arrivals, strict=True)]
    for arrival in list(arrivals):
        if chance.random() < 0.08:  # the sender repeats itself
            arrivals.append(Arrival(arrival.at + chance.choice((0.1, 5.0, 700.0)), arrival.event))
        if chance.random() < 0.08:
            arrivals[arrivals.index(arrival)] = Arrival(
                arrival.at, arrival.event, chance.choice((0.3, 5.0, 200.0, 4000.0))
            )
    arrivals.sort(key=lambda arrival: arrival.at)
    settings = Settings(
        enrollment=chance.choice(("companies", "accounts")),
        workers={"created": chance.choice((1, 1, 2)), "updated": chance.choice((1, 1, 2))},
        batch=chance.choice((1, 3, 10)),
        skews=[round(chance.uniform(-MAX_SKEW, MAX_SKEW), 1) for _ in range(4)] if chance.random() < 0.3 else (0.0,),
        calls_per_minute=chance.choice((600, 600, 60)),
        switches=_switches(chance, traits),
        members=[f"{user}@home.test" for user in users] if traits.sign_in else (),
    )
    rough = chance.choice((0.0, 0.03, 0.08, 0.15))
    delays, pauses = chance.choice((0.0, 0.2, 0.5)), chance.choice((0.0, 0.01, 0.03))
    lost = chance.choice((0.3, 0.6)) if crowded else 2 * rough
    seeded = Seeded(seed, faults=rough, creates=lost, delays=delays, pauses=pauses)
    return _seasoned(Story(seed=seed, settings=settings, arrivals=arrivals, chance=seeded), traits)


def _seasoned(story: Story, traits: Traits) -> Story:
    """Drawn from chances of their own, so that the rest of a story is what it was without these traits."""
    chance = random.Random(f"{story.seed} seasoned")
    settings, arrivals = story.settings, story.arrivals
    if traits.crowds and chance.random() < 0.06:
        settings = replace(settings, crowd=CROWD)
    if traits.title_limits and chance.random() < 0.15:
        settings = replace(settings, switches={**settings.switches, "title_limit": chance.choice((4, 8))})
    if traits.refused_pictures and chance.random() < 0.2:
        arrivals = [
            replace(arrival, event=_with_picture(arrival.event, REFUSED_PICTURE))
            if "picture" in arrival.event.profile and chance.random() < 0.5
            else arrival
            for arrival in arrivals
        ]
        by_id = {arrival.event.event_id: arrival.event for arrival in arrivals}
        arrivals = [replace(arrival, event=by_id[arrival.event.event_id]) for arrival in arrivals]
    seeded = story.chance
    if traits.strains and chance.random() < 0.08 and isinstance(seeded, Seeded):
        settings = replace(
            settings,
            enrollment="companies",
            skews=(-MAX_SKEW, MAX_SKEW, -MAX_SKEW, MAX_SKEW),
            workers={"created": 1, "updated": 2},
            calls_per_minute=600,
            switches={**settings.switches, "list_lag": MAX_LIST_LAG, "legacy_idempotency": False},
        )
        seeded = replace(seeded, creates=0.6, faults=0.0, pauses=0.0)
        if chance.random() < 0.5:  # one create after the other is lost, and the next worker is there before the list
            settings = replace(settings, skews=(MAX_SKEW, -MAX_SKEW), workers={"created": 1, "updated": 1})
            seeded = replace(seeded, creates=0.7, create_faults=_REPEATED_CREATES, create_seconds=SLOW_CREATE_SECONDS)
            arrivals = _renamed_each_minute(chance)
    if traits.announcements and random.Random(f"{story.seed} announced").random() < 0.5:
        settings = replace(settings, announces=True)
    handing = random.Random(f"{story.seed} handed on")
    if traits.hand_ons and handing.random() < 0.03:
        arrivals = _handed_on(handing)
    flagging = random.Random(f"{story.seed} flagged")
    if traits.flags and flagging.random() < 0.3:
        arrivals = _flagged(arrivals, flagging)
    return replace(story, settings=settings, arrivals=arrivals, chance=seeded)


def _handed_on(chance: random.Random) -> list[Arrival]:
    """One user's deletion is older or newer than their changes, and another one's sign-up comes before or after it."""
    kinds: list[Kind] = ["deleted", *(chance.choice(("created", "updated", "updated")) for _ in range(3))]
    versions = chance.sample(range(1, 20), len(kinds))
    events = [_of_u1(kind, version) for kind, version in zip(kinds, versions, strict=True)]
    second = replace(events[0], kind="created", event_id="e20", user_id="u2", version=20, standing="active")
    events.append(replace(second, email="u1@shop.test", profile={"name": "u2 A"}))
    chance.shuffle(events)
    gap = chance.choice((0.2, 3.0, 20.0, 300.0))
    return [Arrival(round((number + chance.random()) * gap, 3), event) for number, event in enumerate(events)]


def _renamed_each_minute(chance: random.Random) -> list[Arrival]:
    """A user whose connected account would have another title by each event."""
    kinds: list[Kind] = [chance.choice(("created", "updated", "updated")) for _ in range(6)]
    return [
        Arrival(round((number + chance.random()) * 60.0, 3), _of_u1(kind, number))
        for number, kind in enumerate(kinds, start=1)
    ]


def _of_u1(kind: Kind, version: int) -> UserEvent:
    """With an address and another name by each version, but for a deletion."""
    return UserEvent(
        kind=kind,
        event_id=f"e{version}",
        user_id="u1",
        version=version,
        standing=STANDINGS.get(kind),
        email=None if kind == "deleted" else "u1@shop.test",
        profile={} if kind == "deleted" else {"name": f"u1 {version}"},
    )


def _flagged(arrivals: Sequence[Arrival], chance: random.Random) -> list[Arrival]:
    events = {arrival.event.event_id: arrival.event for arrival in arrivals}
    for event_id, event in events.items():
        if event.kind == "updated" and chance.random() < 0.5:
            events[event_id] = replace(event, standing=chance.choice(("active", "suspended")))
        elif event.kind == "created" and chance.random() < 0.15:
            events[event_id] = replace(event, standing="suspended")
    return [replace(arrival, event=events[arrival.event.event_id]) for arrival in arrivals]


def _with_picture(event: UserEvent, url: str) -> UserEvent:
    return replace(event, profile={**event.profile, "picture": url})


def _event(
    chance: random.Random, traits: Traits, *, user: str, address: str, number: int, version: int, first: bool
) -> UserEvent:
    kind: Kind = "created" if first and chance.random() < 0.7 else chance.choice(traits.kinds)
    if kind != "created" and "updated" in traits.kinds and chance.random() < 0.3:
        kind = "updated"
    email: str | None = address
    if kind == "deleted" or (traits.no_email and chance.random() < 0.3):
        email = None
    profile: dict[ProfileField, str | None] = {}
    if kind in ("created", "updated") or (kind != "deleted" and chance.random() < 0.3):
        if chance.random() < 0.8:
            profile["name"] = None if chance.random() < 0.08 else f"{user} {chance.choice('ABCD')}"
        if chance.random() < 0.35 or not (profile or traits.bare):
            profile["picture"] = None if chance.random() < 0.15 else f"https://img.test/{chance.choice('rgbxy')}"
    return UserEvent(
        kind=kind,
        event_id=f"e{number}",
        user_id=user,
        version=version,
        event_time=chance.choice((0, version, version, number)) if traits.event_times else 0,
        standing=STANDINGS.get(kind),
        email=email,
        profile=profile,
        whop_user_id=sign_in_id(f"{user}@home.test") if traits.sign_in and chance.random() < 0.15 else None,
    )


STANDINGS: Mapping[str, Any] = {
    "created": "active",
    "restored": "active",
    "suspended": "suspended",
    "deleted": "deleted",
}
"""What the kinds say of the standing by themselves."""


def _switches(chance: random.Random, traits: Traits) -> dict[str, Any]:
    def maybe(value: Any, otherwise: Any) -> Any:
        return value if chance.random() < 0.3 else otherwise

    return {
        "list_lag": chance.choice((0.0, 0.0, 1.0, 20.0, MAX_LIST_LAG)),
        "list_order": maybe("asc", "desc"),
        "legacy_idempotency": maybe(True, False),
        "idempotency_stores_5xx": maybe(True, False),
        "idempotency_stores_429": maybe(True, False),
        "idempotency_compares": maybe("json", "bytes"),
        "unique_title_on_accounts": maybe(True, False),
        "existing_account_status": maybe(201, 200),
        "duplicate_title_status": chance.choice((400, 409, 422)),
        "processing_polls": chance.choice((0, 1, 3)),
        "files_ready_at_once": maybe(True, False),
        "retry_after_header": maybe(True, False),
        "null_clears": not traits.refused_nulls or chance.random() < 0.7,
    }

"""What must hold when a story has ended, computed from its events alone. Design: "The life of a user".

Positions are compared by version, event time and rank; where those are equal, either value may be the last one, since
the fingerprint that decides then only makes every order of arrival end alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from fake_whop import PLATFORM_COMPANY
from harness.announcements import believed, first_missed, flaws, said
from simulate.expressions import Item
from simulate.story import REFUSED_PICTURE, Arrival, Story
from simulate.table import plain
from simulate.world import History, World, picture_of
from whop_sync.events import Kind, ProfileField, UserEvent
from whop_sync.whop.generations import external_id

if TYPE_CHECKING:
    from fake_whop.state import Company, State

type Wrong = Literal[
    "account doubled",
    "account left over",
    "announced",
    "circling",
    "crash",
    "lost",
    "mapping",
    "name",
    "not enrolled",
    "parked",
    "picture",
    "row",
    "standing",
]

RANKS: Mapping[Kind, int] = {"created": 0, "updated": 1, "restored": 2, "suspended": 3, "deleted": 4}
DELETED_NAME = "Deleted user"
HOUR = 3600.0
"""So long an event waits for another one that may be on its way: the one with the e-mail, the return of a user."""


BEGINNING = 1800.0
"""So long it may take until a worker has an event for the first time with nothing going wrong with it: other events of
the user may keep the lease of a worker that died."""


class Finding(NamedTuple):
    wrong: Wrong
    about: str
    sentence: str


class Order(NamedTuple):
    version: int
    event_time: int
    rank: int


def order(event: UserEvent) -> Order:
    return Order(event.version, event.event_time, RANKS[event.kind])


@dataclass(frozen=True, slots=True)
class Life:
    """What the events of one user add up to.

    `standings` is the newest that is said of the standing, `gone` whether that is a deletion. `alive` are the events
    that count: those after the newest deletion.
    """

    user: str
    events: Sequence[UserEvent]
    standings: frozenset[str]
    alive: Sequence[UserEvent]
    was_deleted: bool

    @property
    def gone(self) -> bool:
        return self.standings == {"deleted"}

    @property
    def enrolling(self) -> Sequence[UserEvent]:
        """The events that lead to an account. One that suspends a user does not."""
        return [event for event in self.alive if event.kind != "suspended" and (event.email or event.whop_user_id)]

    @property
    def waits(self) -> bool:
        """Whether some event of this user has to wait for another one, so that an hour matters."""
        return self.was_deleted or any(
            event.kind == "suspended" or not (event.email or event.whop_user_id) for event in self.events
        )

    def said(self, field: ProfileField) -> set[str | None]:
        return {event.profile[field] for event in self.events if field in event.profile}

    def newest(self, field: ProfileField) -> set[str | None]:
        """The values that the field may end with."""
        speaking = [event for event in self.alive if field in event.profile]
        if not speaking:
            return {None}
        top = max(map(order, speaking))
        return {event.profile[field] for event in speaking if order(event) == top}


def lives(arrivals: Iterable[Arrival]) -> dict[str, Life]:
    events: dict[str, dict[str, UserEvent]] = {}
    for arrival in arrivals:
        events.setdefault(arrival.event.user_id, {})[arrival.event.event_id] = arrival.event
    return {user: _life(user, list(theirs.values())) for user, theirs in events.items()}


def _life(user: str, events: Sequence[UserEvent]) -> Life:
    # A flag inside an update is older or newer than what else is said of a standing, but it never revives the deleted.
    standings = _newest((event, event.standing) for event in events if event.kind != "updated")
    if standings != {"deleted"}:
        standings = _newest((event, event.standing) for event in events)
    deletions = [order(event) for event in events if event.standing == "deleted"]
    last = max(deletions, default=None)
    alive = [event for event in events if last is None or order(event) > last]
    return Life(user, events, frozenset(standings or {"active"}), alive, was_deleted=bool(deletions))


def judge(story: Story, world: World, history: History) -> list[Finding]:
    """All that is wrong; nothing, if all is well."""
    return list(_Judge(story, world, history).findings())


class _Judge:
    def __init__(self, story: Story, world: World, history: History) -> None:
        self._story = story
        self._history = history
        self._state: State = world.platform.settled()
        self._lives = lives(history.arrivals)
        self._nulls = world.platform.switches.null_clears
        self._no_content = world.platform.switches.files_ready_at_once
        self._rows = {key.removeprefix("user#"): row for key, row in history.items.items() if key.startswith("user#")}
        self._owners = {
            key.removeprefix("whop_user#"): item["user_id"]["S"]
            for key, item in history.items.items()
            if key.startswith("whop_user#")
        }

    def findings(self) -> Iterable[Finding]:
        if self._history.circling:
            yield Finding("circling", "", "the workers go round in circles")
            return
        yield from (Finding("crash", "", crash) for crash in self._history.crashes)
        yield from self._messages()
        yield from self._reverse_items()
        for life in self._lives.values():
            row = plain(self._rows.get(life.user, {}))
            yield from self._accounts(life, row)
            yield from self._row(life, row)
            yield from self._announced(life, row)
            if life.gone:
                yield from self._tombstone(life, row)
            elif "deleted" not in life.standings:
                yield from self._enrolled(life, row)

    # -- nothing is lost -------------------------------------------------------------------------------------------

    def _messages(self) -> Iterable[Finding]:
        history = self._history
        for event_id in history.unfinished:
            yield Finding("lost", event_id, f"{event_id} is still not done after {history.now:.0f} s")
        ended = {ending.event_id for ending in history.endings}
        for arrival in history.arrivals:
            event = arrival.event
            if event.event_id not in ended | set(history.unfinished):
                yield Finding("lost", event.event_id, f"{event.event_id} vanished: it is neither done nor parked")
            for reason in history.parked.get(event.event_id, []):
                if not self._may_park(arrival, reason):
                    yield Finding("parked", event.event_id, f"{event.event_id} is parked for {reason}")

    def _may_park(self, arrival: Arrival, reason: str) -> bool:
        life = self._lives[arrival.event.user_id]
        if reason == "whop_user_taken":
            return any(self._holds_on(other, arrival) for other in self._rivals(life))
        return False

    def _rivals(self, life: Life) -> list[Life]:
        """Other users who may have the same Whop user."""
        mine = self._candidates(life.events)
        return [
            other for other in self._lives.values() if other.user != life.user and mine & self._candidates(other.events)
        ]

    def _holds_on(self, rival: Life, arrival: Arrival) -> bool:
        """Whether a rival could keep the Whop user for as long as an event has patience: the hour, and until a deletion
        that is under way by then is done."""
        if not rival.gone:
            return True
        last = max(order(event) for event in rival.events if event.standing == "deleted")
        deletions = {event.event_id for event in rival.events if order(event) == last}
        done = [ending.at for ending in self._history.endings if ending.event_id in deletions]
        if not done:
            return True
        begun = min(each.at for each in self._history.arrivals if each.event.event_id in deletions)
        if not any(
            point.event_id in deletions and decision.fault for point, decision in self._history.decisions.items()
        ):
            return begun + BEGINNING > arrival.at + HOUR
        return min(done) > arrival.at + HOUR

    def _candidates(self, events: Iterable[UserEvent]) -> set[str]:
        """The Whop users that these events may lead to: by e-mail, or brought along."""
        found = set()
        for event in events:
            if event.whop_user_id:
                found.add(event.whop_user_id)
            if event.email and (user := self._state.find_user(event.email)):
                found.add(user.id)
        return found

    def _took_long(self, life: Life) -> bool:
        """Whether events of a user waited for each other longer than they have patience, so that what they said may be
        gone: the row holds no names."""
        ids = {event.event_id for event in life.events}
        first = min(arrival.at for arrival in self._history.arrivals if arrival.event.event_id in ids)
        last = max((ending.at for ending in self._history.endings if ending.event_id in ids), default=first)
        return life.waits and last - first > HOUR

    # -- nothing is doubled ----------------------------------------------------------------------------------------

    def _reverse_items(self) -> Iterable[Finding]:
        mapped = {user: row["whop_user_id"]["S"] for user, row in self._rows.items() if "whop_user_id" in row}
        for user, whop_user in mapped.items():
            if self._owners.get(whop_user) != user:
                owner = self._owners.get(whop_user)
                yield Finding("mapping", user, f"{user} has {whop_user}, whose reverse item names {owner}")
        for whop_user, user in self._owners.items():
            if mapped.get(user) != whop_user:
                yield Finding("mapping", user, f"the reverse item of {whop_user} names {user}, who has it not")
        for user, row in self._rows.items():
            company = plain(row).get("whop_company_id")
            item = plain(self._history.items.get(f"whop_account#{company}", {}))
            if company is not None and item.get("user_id") != user:
                yield Finding("mapping", user, f"{company} is {user}'s, and its item names {item.get('user_id')}")

    def _accounts(self, life: Life, row: Mapping[str, object]) -> Iterable[Finding]:
        own = self._own(life.user)
        if len(own) > 1:
            yield Finding("account doubled", life.user, f"{life.user} has {len(own)} connected accounts")
        ids = {company.id for company in own}
        company_id = row.get("whop_company_id")
        if company_id is not None and company_id not in ids:
            yield Finding("mapping", life.user, f"{life.user}'s row names {company_id}, which is not theirs")
        if own and not life.was_deleted and "whop_user_id" in row and company_id is None and not self._rivals(life):
            yield Finding("account left over", life.user, f"{life.user} has a connected account that no row knows of")
        if own and not any(event.kind != "suspended" and event.email for event in life.events):
            yield Finding("account left over", life.user, f"{external_id(life.user)} has an account without reason")

    def _own(self, user: str) -> "list[Company]":
        """The connected accounts that name a user."""
        children = self._state.children(PLATFORM_COMPANY)
        return [company for company in children if (company.metadata or {}).get("internal_user_id") == user]

    # -- the row ---------------------------------------------------------------------------------------------------

    def _row(self, life: Life, row: Mapping[str, object]) -> Iterable[Finding]:
        if not row:
            yield Finding("row", life.user, f"{life.user} has no row")
            return
        parked = any(event.event_id in self._history.parked for event in life.events)
        status = row.get("status")
        allowed = {"failed"} if parked else set()
        if life.gone:
            allowed |= {"deleted"}
        elif "whop_user_id" in row:
            allowed |= {"synced"}
        else:
            allowed |= {"failed"} if life.enrolling and self._rivals(life) else {"no_email"}
            if any(event.kind == "suspended" for event in life.events):
                allowed |= {"enrolling"}  # they may be enrolled, and a suspension enrolls no user
        if status not in allowed:
            yield Finding("row", life.user, f"{life.user}'s row says {status}, not {' or '.join(sorted(allowed))}")
        if "whop_user_id" in row and "enrollment_attempt" in row and "lease_id" not in row:
            yield Finding("row", life.user, f"{life.user} is enrolled, and the row keeps an attempt")

    # -- what the platform was sent --------------------------------------------------------------------------------

    def _announced(self, life: Life, row: Mapping[str, object]) -> Iterable[Finding]:
        sent = [each for each in self._history.announced if each.user_id == life.user]
        for flaw in flaws(row, sent):
            yield Finding("announced", life.user, f"{life.user}: {flaw}")
        if not self._story.settings.announces:
            return
        right, believed_ = said(row), believed(sent)
        if right.state is None and life.was_deleted:  # who returns without an account is announced once they have one
            return
        if right.state == "failed":  # the row may say since what went wrong at the last try, for a while
            right = replace(right, reason=believed_.reason)
        if believed_ != right:
            yield Finding("announced", life.user, f"the platform takes {life.user} for {believed_}, not {right}")
        past = [plain(item) for item in self._history.past.get(f"user#{life.user}", [])]
        if missed := first_missed(past, sent):
            yield Finding("announced", life.user, f"{life.user} was {missed} at some time, and that was not announced")

    # -- those who left --------------------------------------------------------------------------------------------

    def _tombstone(self, life: Life, row: Mapping[str, object]) -> Iterable[Finding]:
        if row.get("standing") != "deleted":
            yield Finding("standing", life.user, f"{life.user} left, and the row says {row.get('standing')}")
        if "whop_user_id" in row:
            yield Finding("standing", life.user, f"{life.user} left, and is mapped to {row['whop_user_id']}")
        for whop_user in self._candidates(life.events) - set(self._owners):
            override = self._state.overrides.get((PLATFORM_COMPANY, whop_user))
            if override and override.name not in (None, DELETED_NAME) and self._nulls:
                yield Finding("name", life.user, f"{life.user} left, and Whop shows {override.name!r}")
            if override and override.picture_file is not None and self._nulls:
                yield Finding("picture", life.user, f"{life.user} left, and Whop shows their picture")
        for company in self._own(life.user):
            override = self._state.overrides.get((PLATFORM_COMPANY, company.owner_id))
            is_anothers = company.owner_id in self._owners
            if not is_anothers and (override is None or override.name != DELETED_NAME):
                yield Finding(
                    "name", life.user, f"{life.user} left, and Whop shows the owner of {company.id} as before"
                )

    # -- those who are there ---------------------------------------------------------------------------------------

    def _enrolled(self, life: Life, row: Mapping[str, object]) -> Iterable[Finding]:
        if row.get("standing", "active") not in life.standings:
            yield Finding("standing", life.user, f"{life.user} is {row.get('standing')}, not {set(life.standings)}")
        whop_user = row.get("whop_user_id")
        if whop_user is None:
            if life.enrolling and not self._rivals(life) and not self._took_long(life):
                yield Finding("not enrolled", life.user, f"{life.user} is not enrolled")
            elif life.enrolling and not self._is_beaten(life) and not self._took_long(life):
                yield Finding("not enrolled", life.user, f"{life.user} is not enrolled, though the other one left")
            return
        if not life.enrolling and not life.was_deleted:  # who returns gets the account they had
            yield Finding("mapping", life.user, f"{life.user} is enrolled without an event that enrolls")
        if whop_user not in self._candidates(life.events):
            yield Finding("mapping", life.user, f"{life.user} is mapped to {whop_user}, a stranger")
            return
        override = self._state.overrides.get((PLATFORM_COMPANY, str(whop_user)))
        yield from self._differences(life, row)
        yield from self._profile(life, override.name if override else None, self._shown(override))

    def _differences(self, life: Life, row: Mapping[str, object]) -> Iterable[Finding]:
        """Whether the row says that the newest e-mail, or the newest Whop user, is another one than that at Whop.

        Whop's older list names no e-mail. So of an account that was found there after a fault it is not known.
        """
        if life.was_deleted or any(event.event_id in self._history.parked for event in life.events):
            return
        company = self._state.companies.get(str(row.get("whop_company_id")))
        emails = _newest((event, event.email) for event in life.events)
        users = _newest((event, event.whop_user_id) for event in life.events)
        was_smooth = not any(decision.fault for decision in self._history.decisions.values())
        if company is not None and len(emails) == 1 and was_smooth:
            differs = emails != {self._state.users[company.owner_id].email}
            if bool(row.get("email_differs")) != differs:
                yield Finding("row", life.user, f"{life.user}'s row says email_differs {not differs}")
        if len(users) == 1:
            differs = users != {row["whop_user_id"]}
            if bool(row.get("sign_in_differs")) != differs:
                yield Finding("row", life.user, f"{life.user}'s row says sign_in_differs {not differs}")

    def _shown(self, override: object) -> bytes | None:
        file_id = getattr(override, "picture_file", None)
        return None if file_id is None else self._state.files[file_id].content

    def _is_beaten(self, life: Life) -> bool:
        """Whether each try of a user to enroll met a rival who held on."""
        arrivals = [arrival for arrival in self._history.arrivals if arrival.event in life.enrolling]
        return all(any(self._holds_on(rival, arrival) for rival in self._rivals(life)) for arrival in arrivals)

    def _profile(self, life: Life, name: str | None, picture: bytes | None) -> Iterable[Finding]:
        names, urls = life.newest("name"), life.newest("picture")
        if self._took_long(life):
            names, urls = names | life.said("name") | {None}, urls | life.said("picture") | {None}
        if None in names and (life.was_deleted or self._rivals(life)):
            names = names | {DELETED_NAME}
        if name not in names and (None not in names or self._nulls):
            right = " or ".join(sorted(map(repr, names)))
            yield Finding("name", life.user, f"Whop shows {name!r} for {life.user}, not {right}")
        if REFUSED_PICTURE in urls:  # what was shown before stays
            urls = (urls | life.said("picture") | {None}) - {REFUSED_PICTURE}
        pictures = {None if url is None else picture_of(url) for url in urls}
        if self._no_content and pictures - {None}:
            pictures = {content and b"" for content in pictures}  # a file that needs no upload is empty at the fake
        if picture not in pictures and (None not in urls or self._nulls):
            yield Finding("picture", life.user, f"Whop shows {picture!r} for {life.user}, not {pictures}")


def _newest(said: Iterable[tuple[UserEvent, str | None]]) -> set[str]:
    """What the newest event says that says anything; more than one where two are equally new."""
    values = [(order(event), value) for event, value in said if value is not None]
    top = max((place for place, _ in values), default=None)
    return {value for place, value in values if place == top}


def row_of(items: Mapping[str, Item], user: str) -> dict[str, object]:
    return plain(items.get(f"user#{user}", {}))

"""What the platform sends: which users, which events, in which order, and what Whop has to show in the end."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from local_stack.sending import Delivery, body

_FIRST_EVENT = datetime(2026, 3, 1, 9, tzinfo=UTC)
_COLOURS = ("c2410c", "336699", "2f855a", "6b46c1")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """`repeated` is the share of deliveries that come a second time."""

    webhooks: int = 5000
    users: int = 1000
    repeated: float = 0.2
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a user. `version` is in microseconds; `profile` holds only the fields that it speaks of."""

    user_id: str
    version: int
    profile: dict[str, str | None]
    delivery: Delivery


@dataclass(slots=True)
class User:
    """`expected` is what the newest event about each field says: the name, and a picture's colour."""

    id: str
    events: list[Event] = field(default_factory=list)

    @property
    def expected(self) -> dict[str, str | None]:
        newest: dict[str, str | None] = {}
        for event in sorted(self.events, key=lambda event: event.version):
            newest |= event.profile
        return newest


@dataclass(frozen=True, slots=True)
class Traffic:
    """`deliveries` are in the order of sending, repetitions included."""

    users: Sequence[User]
    deliveries: Sequence[Event]


def planned(sizes: Sizes, picture_url: Callable[[str], str]) -> Traffic:
    """The same traffic for the same sizes. Every user signs up, the rest are changes.

    One user in ten has pictures. One change in ten brings no e-mail, so that alone it could not enroll anybody.
    """
    chance = random.Random(sizes.seed)
    users = [User(f"load-{sizes.seed}-{number}") for number in range(sizes.users)]
    different = round(sizes.webhooks * (1 - sizes.repeated))
    for number in range(different):
        user = users[number] if number < sizes.users else chance.choice(users)
        user.events.append(_event(user, len(user.events), chance, picture_url))
    # Where an event stands in the order of sending: its round, spread over two rounds more, so that changes overtake
    # each other and some of them the sign-up.
    order = [(number + chance.uniform(0, 2), event) for user in users for number, event in enumerate(user.events)]
    repetitions = chance.choices(order, k=sizes.webhooks - different)
    order += [(place + chance.uniform(0, 2), event) for place, event in repetitions]
    return Traffic(users, [event for _, event in sorted(order, key=lambda entry: entry[0])])


def _event(user: User, number: int, chance: random.Random, picture_url: Callable[[str], str]) -> Event:
    at = _FIRST_EVENT + timedelta(minutes=number, milliseconds=chance.randrange(1000))
    name = f"{user.id} the {number}."
    data: dict[str, Any] = {"id": user.id, "email": f"{user.id}@people.test", "name": name}
    profile: dict[str, str | None] = {"name": name}
    if int(user.id.rpartition("-")[2]) % 10 == 0:
        colour = chance.choice((*_COLOURS, None))
        data["avatar_url"] = picture_url(colour) if colour else None
        profile["picture"] = colour
    if number and chance.random() < 0.1:
        del data["email"]
    delivery = Delivery(body("updated" if number else "created", data, at=at))
    return Event(user.id, round(at.timestamp() * 1000) * 1000, profile, delivery)

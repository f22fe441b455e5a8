"""What a webhook body means: JMESPath expressions find in it what a user event is made of."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from whop_sync import values
from whop_sync.errors import Malformed
from whop_sync.events import Kind, Standing, UserEvent
from whop_sync.receiving.expressions import DeliveryFacts, Document, find, problem, reads

MAX_CLOCK_LEAD = timedelta(days=1)
"""A time further ahead than this is a wrong unit or clock. Taken as it is, it would outrank every later change."""

_EVENT_ID = re.compile(r"[!-~]{1,255}", re.ASCII)
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
"""As columns of databases and form fields spell them."""
_LONGEST_LAG = 600.0
"""Seconds between signing and receipt. Beyond them it no longer matters how long it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A platform's webhook body: JMESPath expressions, but for the lists of events and `default_pictures`.

    They are evaluated on the body, beside whose own keys stands `delivery`: its `headers`, with lower-case names, and
    two times, `received_at` and, where the signature covers one, `signed_at`. No signature covers the headers, so only
    `event` and `event_id` may read them.
    A null in the body reads as empty text. So an expression that finds nothing says that the body does not speak of
    a field, and one that finds empty text or false says that the field is empty.
    """

    event: str
    created: tuple[str, ...]
    """The values of `event` that mean a new user. An event whose value stands in none of these lists is ignored."""
    updated: tuple[str, ...]
    """Those that mean a changed user."""
    suspended: tuple[str, ...] = ()
    """Those that mean a user who must not chat for now."""
    restored: tuple[str, ...] = ()
    """Those that mean a suspended or deleted user who is back."""
    deleted: tuple[str, ...] = ()
    """Those that mean a user who is gone."""
    event_id: str = "`null`"
    """For people who search. Where it finds none, the signed id of the delivery serves, else a hash of the body."""
    user_id: str
    deleted_user_id: str = ""
    """In deletions, where the id stands elsewhere than in other events. Empty: `user_id`."""
    email: str
    name: tuple[str, ...]
    """The first that is filled counts; a list means its members joined with blanks."""
    picture: tuple[str, ...]
    version: tuple[str, ...]
    """The user's own updated-at first, then the time of the event; the first that is filled counts."""
    event_time: tuple[str, ...] = ()
    """When the event happened, which orders events of one version. Where none is filled, `delivery.signed_at` counts:
    a delivery that is sent again unchanged keeps it."""
    life_cycle_version: tuple[str, ...] = ()
    """In place of `version` where a user is suspended, restored or deleted: the user's own updated-at is often that of
    the update before. Empty: `event_time`, then `version`."""
    blocked: str = "`null`"
    """A flag of the user in created and updated events: true, or a time ahead, is suspended; false, empty, or a time
    that is over, is active; nothing says nothing."""
    active: str = "`null`"
    """The same the other way round, for platforms whose flag says that the user is allowed."""
    default_pictures: tuple[str, ...] = ()
    """Regular expressions for the beginnings of picture URLs that stand for no picture."""
    whop_user_id: str = "`null`"

    def kind(self, event: str) -> Kind | None:
        """What an event means, None for one that is not about a user's life."""
        kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
            ("created", self.created),
            ("updated", self.updated),
            ("suspended", self.suspended),
            ("restored", self.restored),
            ("deleted", self.deleted),
        )
        return next((kind for kind, events in kinds if event in events), None)


STANDARD = Preset(
    event="type",
    created=("user.created",),
    updated=("user.updated",),
    suspended=("user.suspended",),
    restored=("user.restored",),
    deleted=("user.deleted",),
    user_id="data.id",
    email="data.email",
    name=("data.name", "data.[first_name, last_name]"),
    picture=("data.avatar_url",),
    version=("data.updated_at", "timestamp"),
    event_time=("timestamp",),
    life_cycle_version=("timestamp", "data.deleted_at", "data.updated_at"),
    blocked="data.suspended",
    whop_user_id="data.whop_user_id",
)
"""The form that the Standard Webhooks specification recommends, and that we recommend to a platform's own backend."""

_EVENT_LISTS = ("created", "updated", "suspended", "restored", "deleted")
_OPTIONAL = ("deleted_user_id",)


def check(preset: Preset) -> None:
    """Raises ValueError if a setting can never be right, with a sentence that names it and says why."""
    for field in dataclasses.fields(preset):
        setting = getattr(preset, field.name)
        if field.name in (*_EVENT_LISTS, "default_pictures") or (field.name in _OPTIONAL and not setting):
            continue
        for expression in (setting,) if isinstance(setting, str) else setting:
            wrong = problem(
                expression,
                headers=field.name in ("event", "event_id"),
                times=field.name in ("version", "event_time", "life_cycle_version"),
            )
            if wrong:
                raise ValueError(f"{field.name}: {expression or 'the empty text'} {wrong}")
    for pattern in preset.default_pictures:
        try:
            re.compile(pattern)
        except re.PatternError as error:
            raise ValueError(f"default_pictures: {pattern} is not a regular expression: {error}") from None
    if not preset.created:
        raise ValueError("created: at least one event must mean a new user")
    if not preset.version:
        raise ValueError("version: at least one expression must find a time")
    seen: dict[str, str] = {}
    for kind in _EVENT_LISTS:
        for event in getattr(preset, kind):
            if seen.setdefault(event, kind) != kind:
                raise ValueError(f"{kind}: {event} cannot stand in both {seen[event]} and {kind}")


def checked_enroll_if(setting: str) -> str:
    """The expression of ENROLL_IF, empty if there is none. Raises ValueError with a sentence that names the setting."""
    expression = setting.strip()
    wrong = problem(expression, headers=False, times=False) if expression else None
    if wrong:
        raise ValueError(f"ENROLL_IF: {expression} {wrong}")
    return expression


def check_times(preset: Preset, *, replayable: bool) -> None:
    """Raises ValueError if a replay could become the newest event. `replayable` means that the signature covers the
    body alone, so that a captured delivery can be sent again for ever."""
    if not replayable:
        return
    for name in ("version", "event_time", "life_cycle_version"):
        if name == "life_cycle_version" and not (preset.suspended or preset.restored):
            continue  # a deletion that is repeated changes nothing where ids are never given again
        if any("delivery.received_at" in reads(expression) for expression in getattr(preset, name)):
            raise ValueError(
                f"{name} must not fall back to delivery.received_at where SIGNATURE_CONTENT holds no {{timestamp}}:"
                " such a delivery can be sent again for ever, and each time it would be the newest"
            )


def parse(
    body: bytes,
    headers: Mapping[str, str],
    *,
    received_at: float,
    signed_at: float | None = None,
    judged_at: float | None = None,
    replayable: bool = False,
) -> Document:
    """A body with what is known of its delivery. Raises Malformed if the body is no object.

    Args:
        headers: with lower-case names.
        received_at: Unix seconds of when the delivery came.
        signed_at: Unix seconds that the signature covers, None where it covers none.
        judged_at: Unix seconds of now, where that is not `received_at`: of a delivery that was parked meanwhile.
        replayable: whether the signature covers the body alone, so that a copy can be sent again at any time.
    """
    facts: DeliveryFacts = {
        "headers": headers,
        "received_at": received_at,
        "judged_at": received_at if judged_at is None else judged_at,
        "signed_at": None if signed_at is None else _signed_microseconds(signed_at, received_at),
        "replayable": replayable,
    }
    return cast("Document", {**values.json_object(body), "delivery": facts})


def identify(document: Document, preset: Preset) -> str | None:
    """The sender's id of the event, None if the document names none that can be kept. Raises Malformed."""
    found = find(preset.event_id, document)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return found if isinstance(found, str) and _EVENT_ID.fullmatch(found) else None


def read(document: Document, preset: Preset, *, event_id: str) -> UserEvent | None:
    """The user event in a webhook body, or None for an event of another type.

    Raises Malformed, whose explanation names the field and holds no value of it.
    """
    event = find(preset.event, document)
    if not isinstance(event, str) or not event:
        raise Malformed("no_event_type", f"the body names no event type at {preset.event}")
    kind = preset.kind(event)
    if kind is None:
        return None
    if kind == "deleted":
        # What it shows of the user, if anything, is how they were before.
        return UserEvent(
            kind=kind,
            event_id=event_id,
            user_id=values.user_id(find(preset.deleted_user_id or preset.user_id, document)),
            version=_version(document, preset, _life_cycle_version(preset)),
            event_time=_event_time(document, preset),
            standing="deleted",
        )
    return UserEvent(
        kind=kind,
        event_id=event_id,
        user_id=values.user_id(find(preset.user_id, document)),
        version=_version(
            document, preset, preset.version if kind in ("created", "updated") else _life_cycle_version(preset)
        ),
        event_time=_event_time(document, preset),
        standing=_standing(kind, document, preset),
        email=values.email(find(preset.email, document)),
        profile=values.profile(
            values.name(find(expression, document) for expression in preset.name),
            values.picture((find(expression, document) for expression in preset.picture), preset.default_pictures),
        ),
        whop_user_id=values.whop_user_id(find(preset.whop_user_id, document)),
    )


def is_chosen(document: Document, enroll_if: str) -> bool:
    """Whether the user of a document is one to enroll. `enroll_if` finds that out; false is what finds nothing, false
    in the spelling of a database too, or what is empty. Raises Malformed."""
    found = find(enroll_if, document)
    return _FLAGS.get(str(found).strip().lower(), bool(found))


def suspension_in(event: UserEvent) -> UserEvent | None:
    """The suspension in an event about a user who is not to be enrolled, without what could enroll them; None if there
    is none. It counts, since they may be enrolled from before."""
    if event.standing == "suspended" and event.kind != "created":
        return dataclasses.replace(event, email=None, profile={}, whop_user_id=None)
    return None


def user_id_of(document: Document, preset: Preset) -> str | None:
    """The user's id in a document of which something else cannot be read; None where the id cannot be read either."""
    for expression in dict.fromkeys((preset.user_id, preset.deleted_user_id or preset.user_id)):
        try:
            return values.user_id(find(expression, document))
        except Malformed:
            continue
    return None


def _standing(kind: Kind, document: Document, preset: Preset) -> Standing | None:
    if kind == "suspended":
        return "suspended"
    if kind == "restored":
        return "active"
    blocked = _flag(find(preset.blocked, document), document)
    allowed = _flag(find(preset.active, document), document)
    if blocked or allowed is False:
        return "suspended"
    if kind == "created" or blocked is False or allowed:
        return "active"
    return None


def _flag(found: object, document: Document) -> bool | None:
    """None if the body does not speak of it. A time means true until then, by the clock of the receiver."""
    if found is None or isinstance(found, bool):
        return found
    written = _FLAGS.get(str(found).strip().lower())
    if written is not None:
        return written
    until = values.microseconds(found)
    return until is not None and until > document["delivery"]["judged_at"] * 1_000_000


def _life_cycle_version(preset: Preset) -> tuple[str, ...]:
    return preset.life_cycle_version or (*preset.event_time, *preset.version)


def _version(document: Document, preset: Preset, expressions: Sequence[str]) -> int:
    """Microseconds. A time ahead is that of a wrong clock and counts as the time of receipt: taken as it is, it would
    outrank all that happens until then.

    Not so where a copy can be sent again for ever and each would be received later: there it counts as the time of the
    event, else up to a day ahead as it is.
    """
    version = _first_time(document, expressions)
    if version is None:
        raise Malformed("no_version", f"the body holds no time at {' or '.join(expressions)}")
    now = _now(document)
    if version <= now or version == document["delivery"]["signed_at"]:
        return version
    if not document["delivery"]["replayable"]:
        return now
    event_time = _first_time(document, preset.event_time)
    if event_time is not None and event_time <= now:
        return event_time
    if version > now + MAX_CLOCK_LEAD // timedelta(microseconds=1):
        raise Malformed("version_in_future", "the user's updated-at lies more than a day ahead")
    return version


def _event_time(document: Document, preset: Preset) -> int:
    """Microseconds, 0 if nothing that is signed names a time. A time ahead is treated as in a version."""
    signed_at = document["delivery"]["signed_at"] or 0
    found = _first_time(document, preset.event_time)
    if found is None or found == signed_at:
        return signed_at
    now = _now(document)
    if not document["delivery"]["replayable"]:
        return min(found, now)
    return found if found <= now + MAX_CLOCK_LEAD // timedelta(microseconds=1) else 0


def _now(document: Document) -> int:
    return int(document["delivery"]["judged_at"] * 1_000_000)


def _first_time(document: Document, expressions: Iterable[str]) -> int | None:
    """Of the first expression that finds a time."""
    for expression in expressions:
        found = values.microseconds(find(expression, document))
        if found is not None:
            return found
    return None


def _signed_microseconds(signed_at: float, received_at: float) -> int:
    """The signed time, where what was signed at the same time differs by the time of receipt.

        signed_at ──────────────────────────────────────── the next time that could be signed
           └ received ten minutes before it … ten minutes after it ┘

    So a copy that is sent again never gets past what was signed later.
    """
    unit = 1_000_000 if signed_at == int(signed_at) else 1000
    lag = min(max(received_at - signed_at, -_LONGEST_LAG), _LONGEST_LAG)
    return round(signed_at * 1_000_000) + int((lag + _LONGEST_LAG) / (2 * _LONGEST_LAG) * (unit - 1))

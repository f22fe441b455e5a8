"""Compares what Whop was given, by a stack's rows, with what Whop shows, and lets it be sent again.

The rows hold hashes only. So a name that Whop shows is compared by its hash, and what was lost can be sent again only
if the file at hand knows it: if its value has the row's hash, or is newer than the row. A picture is known to be the
company's own if it is another one than that of the user's global profile; which one it is cannot be known.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from whop_sync.accounts import Account
from whop_sync.aws.queues import Queue
from whop_sync.errors import Permanent, Transient
from whop_sync.events import MAX_NAME_LENGTH, Position, ProfileField, UserEvent, content_hash
from whop_sync.syncing.enrollment import titles
from whop_sync.users.mappings import Mappings
from whop_sync.users.schema import Row
from whop_sync.whop.client import Whop

MAX_PATIENCE_SECONDS = 120.0
"""A longer wait than this is not a matter of pace: an operator has to fix the key or the version."""

_TRIES = 5

type DriftKind = Literal[
    "not_enrolled",
    "not_applied",
    "name_differs",
    "picture_missing",
    "picture_left",
    "picture_not_taken",
    "title_differs",
    "gone",
]
"""No mapping; the file knows better than the row; Whop shows another name than it was given, no picture although it was
given one, one although it was cleared; the picture could not be fetched when its turn came; the account has a title
that its user's name does not give; Whop does not know the user or the account any more."""

_NOT_FETCHED = ("picture_not_found", "picture_unavailable", "picture_untrusted")
"""What a row says of a picture whose host did not hand it out. An address may have expired during an outage of Whop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """`cure` is the event that repairs it, None if the file does not know what is right."""

    user_id: str
    kind: DriftKind
    field: ProfileField | None = None
    cure: UserEvent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """`title_format` is that of the stack; None leaves the titles of accounts out, which not every key may read."""

    whop: Whop
    company: str
    mappings: Mappings
    queue: Queue
    title_format: str | None
    sleep: Callable[[float], None]

    def drifts(self, event: UserEvent) -> Iterator[Drift]:
        """What is not as it should be with the user of a file's row. Raises Transient when it cannot be known now."""
        row = self.mappings.row(event.user_id)
        newer = row.outranked_fields(event)
        if row.standing == "deleted" and "standing" not in newer:
            return
        is_other_standing = event.standing not in (None, row.standing) and "standing" in newer
        if event.standing == "deleted":  # a user who was never enrolled has nothing left to delete
            if is_other_standing and row.account:
                yield Drift(user_id=event.user_id, kind="not_applied", cure=event)
            return
        if row.account is None:
            enrollable = event.email or event.whop_user_id
            yield Drift(user_id=event.user_id, kind="not_enrolled", cure=event if enrollable else None)
            return
        behind = [name for name in event.profile if name in newer]
        if behind or is_other_standing:
            yield Drift(user_id=event.user_id, kind="not_applied", cure=event)
        try:
            shown = self._user(row.account.whop_user_id, self.company)
            everywhere = self._user(row.account.whop_user_id, None) if _is_global_needed(row) else {}
            titled_otherwise = self._is_titled_otherwise(row.account, row, event, is_newer="name" in behind)
        except Permanent:
            yield Drift(user_id=event.user_id, kind="gone")
            return
        if "name" not in behind and _name_differs(row, event, shown, everywhere):
            yield self._differing(event, row, "name", "name_differs")
        if "picture" not in behind and (kind := _picture_differs(row, shown, everywhere)):
            yield self._differing(event, row, "picture", kind)
        if titled_otherwise:
            yield Drift(user_id=event.user_id, kind="title_differs")

    def repair(self, drift: Drift) -> bool:
        """Sends the cure on its way; False if there is none, or if the row has changed meanwhile. Raises Transient."""
        if drift.cure is None:
            return False
        if drift.field and not self.mappings.allow_reapply(
            drift.user_id, drift.field, drift.cure.positions[drift.field]
        ):
            return False
        self.queue.send(drift.cure.to_json())
        return True

    @staticmethod
    def _differing(event: UserEvent, row: Row, name: ProfileField, kind: DriftKind) -> Drift:
        """The cure repeats the very event that the row holds, so that it outranks nothing that the row did not."""
        position = row.positions[name]
        # Where a deletion cleared the field, no event of a file stands at its place.
        if position.kind == "deleted" or name not in event.profile or not _was_given(position, event.profile[name]):
            return Drift(user_id=event.user_id, kind=kind, field=name)
        cure = dataclasses.replace(
            event,
            kind=position.kind,
            version=position.version,
            event_time=position.event_time,
            standing=None,
            profile={name: event.profile[name]},
        )
        return Drift(user_id=event.user_id, kind=kind, field=name, cure=cure)

    def _is_titled_otherwise(self, account: Account, row: Row, event: UserEvent, *, is_newer: bool) -> bool:
        """A file whose name is older than the row's does not know which title is right."""
        name = event.profile.get("name")
        position = row.positions.get("name")
        if not name or self.title_format is None or account.company_id is None:
            return False
        if not is_newer and (position is None or not _was_given(position, name)):
            return False
        company_id = account.company_id
        title = self._asked(lambda: self.whop.account(company_id)).get("title")
        return title not in {*titles(self.title_format, event)}

    def _user(self, whop_user_id: str, company: str | None) -> dict[str, Any]:
        return self._asked(lambda: self.whop.user(whop_user_id, company=company))

    def _asked[Document](self, ask: Callable[[], Document]) -> Document:
        for attempt in range(_TRIES):
            try:
                return ask()
            except Transient as error:
                wait = error.retry_after if error.retry_after is not None else 2.0**attempt
                if attempt == _TRIES - 1 or wait > MAX_PATIENCE_SECONDS:
                    raise
                self.sleep(wait)
        raise AssertionError


def _was_given(position: Position, value: str | None) -> bool:
    """Whether the row's hash is that of the value, be it doubted by an earlier run or not."""
    return position.content in (content_hash(value), content_hash(value)[:-1])


def _is_global_needed(row: Row) -> bool:
    name = row.positions.get("name")
    return "picture" in row.positions or (name is not None and _was_given(name, None))


def _name_differs(row: Row, event: UserEvent, shown: dict[str, Any], everywhere: dict[str, Any]) -> bool:
    position = row.positions.get("name")
    if position is None:
        return False
    name = shown.get("name")
    if _was_given(position, None):
        return bool(name != everywhere.get("name"))
    given = event.profile.get("name")
    if given and _was_given(position, given):
        return bool(name != given[:MAX_NAME_LENGTH].rstrip())
    # Of a name that was cut for Whop, the row has the hash of the whole.
    return not name or (len(name) < MAX_NAME_LENGTH and content_hash(name) != position.content)


def _picture_differs(row: Row, shown: dict[str, Any], everywhere: dict[str, Any]) -> DriftKind | None:
    position = row.positions.get("picture")
    if position is None:
        return None
    own = _picture(shown) is not None and _picture(shown) != _picture(everywhere)
    if _was_given(position, None):
        return "picture_left" if own else None
    if row.last_error in _NOT_FETCHED:
        return "picture_not_taken"
    attached = row.shown.avatar is not None and row.shown.avatar.attached
    if attached and not own:
        return "picture_missing"
    # Of what is no picture at all the row says so, until something else of the user changes.
    return None if own or attached or row.last_error else "picture_not_taken"


def _picture(user: dict[str, Any]) -> str | None:
    picture = user.get("profile_picture")
    return picture.get("url") if isinstance(picture, dict) else None

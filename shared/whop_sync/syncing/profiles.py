"""A user's company-specific name and picture: the newest event wins, and Whop is only asked for what has to change."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from whop_sync.accounts import Account
from whop_sync.errors import Permanent, Transient
from whop_sync.events import ProfileField, UserEvent, content_hash
from whop_sync.pictures.errors import PictureRefused, PictureUnavailable
from whop_sync.pictures.fetching import Avatars, Picture
from whop_sync.syncing.deadlines import Deadline
from whop_sync.syncing.retries import RETRIES, RetryPolicy
from whop_sync.users.mappings import Avatar, Changes, Claim, Row
from whop_sync.whop.client import MAX_NAME_LENGTH, File, Whop

POLL_SECONDS = 1.0
POLL_TIMEOUT_SECONDS = 20.0
"""How often and how long a worker waits for Whop to process an upload (Whop's own client polls every second)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    whop: Whop
    avatars: Avatars
    company: str
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    retries: RetryPolicy = RETRIES

    def apply(
        self, event: UserEvent, account: Account, claim: Claim, changes: Changes, *, age: float, deadline: Deadline
    ) -> None:
        """Brings Whop to what the event says, where it is newer than the row. `age` of the event is in seconds.

        `changes` tells what was achieved, also after an error. Raises Transient and Permanent. A picture that cannot
        be had never holds back the name: it is told in `changes.picture_refused`, or raised after the name was set, as
        is whatever else goes wrong with a picture.
        """
        newer: set[ProfileField] = {name for name in event.profile if claim.row.outranked_by(event, name)}
        body: dict[str, Any] = {}
        postponed: Transient | Permanent | None = None
        if "name" in newer:
            self._name(event, claim.row, body)
        if "picture" in newer:
            try:
                self._picture(event, claim, changes, body, deadline)
            except PictureRefused as error:
                changes.picture_refused = error
            except PictureUnavailable as error:
                if self._is_down_for_long(claim.row, changes, age):
                    changes.picture_refused = PictureRefused(error.reason, error.explanation)
                else:
                    postponed = error
            except (Transient, Permanent) as error:
                postponed = error
            if postponed:
                newer.discard("picture")
            else:
                changes.picture_unavailable_since = None
        self._update(account, claim, changes, body, deadline)
        changes.applied |= {name: event.position(name) for name in newer}
        if changes.picture_refused:
            newer.discard("picture")  # Whop goes on showing what it did, known or not
        changes.unsettled -= newer
        if postponed:
            raise postponed

    def _is_down_for_long(self, row: Row, changes: Changes, age: float) -> bool:
        """Notes since when the picture's host fails: not longer than the event is known, since the row's note may be
        about another picture."""
        now = self.clock()
        noted = now if row.picture_unavailable_since is None else row.picture_unavailable_since
        changes.picture_unavailable_since = max(noted, now - age)
        return now - changes.picture_unavailable_since > self.retries.picture_patience

    def _name(self, event: UserEvent, row: Row, body: dict[str, Any]) -> None:
        name = event.profile["name"]
        if not _shows(row, "name", content_hash(name)):
            body["name"] = name[:MAX_NAME_LENGTH].rstrip() if name else None

    def _picture(
        self, event: UserEvent, claim: Claim, changes: Changes, body: dict[str, Any], deadline: Deadline
    ) -> None:
        url = event.profile["picture"]
        if url is None:
            if not _shows(claim.row, "picture", content_hash(None)):
                body["profile_picture"] = None
            return
        deadline.ensure_a_call()
        picture = self.avatars.fetch(url)
        changes.picture_unavailable_since = None
        known = claim.row.avatar
        if known and known.sha256 == picture.sha256:
            if known.attached and "picture" not in claim.row.unsettled:
                return
            deadline.ensure_a_call()
            file = self._uploaded(known.file_id)
        else:
            file = None
        file = file or self._upload(picture, claim, changes, deadline)
        changes.avatar = Avatar(picture.sha256, file.id, attached=False)
        self._await_ready(file, claim, changes, deadline)
        body["profile_picture"] = {"id": file.id}

    def _uploaded(self, file_id: str) -> File | None:
        """The file of an earlier upload, None if it never got to Whop or is there no more."""
        try:
            file = self.whop.file(file_id)
        except Permanent:
            return None
        return None if file.status in ("pending", "failed") else file

    def _upload(self, picture: Picture, claim: Claim, changes: Changes, deadline: Deadline) -> File:
        deadline.ensure_a_call()
        file = self.whop.create_file(f"avatar.{picture.extension}")
        if file.status != "ready":  # Whop may know the bytes already
            deadline.ensure_a_call()
            changes.avatar = Avatar(picture.sha256, file.id, attached=False)  # it may get there without an answer
            try:
                self.whop.upload(file, picture.content)
            except Permanent as error:
                changes.avatar = claim.row.avatar
                raise PictureRefused("picture_refused", "Whop refused the upload", answer=error.answer) from None
        return file

    def _await_ready(self, file: File, claim: Claim, changes: Changes, deadline: Deadline) -> None:
        """Attaching is documented to work at once in one place, and only when ready in another: ready serves both."""
        last_poll = self.clock() + POLL_TIMEOUT_SECONDS
        while file.status != "ready":
            deadline.ensure_a_call()
            try:
                file = self.whop.file(file.id)
            except Permanent as error:  # another key made it, or Whop's reads lag behind: the next try will tell
                raise Transient("picture_not_ready", "Whop does not show the upload", answer=error.answer) from None
            if file.status == "failed":
                changes.avatar = claim.row.avatar
                raise PictureRefused("picture_failed", "Whop could not process the picture")
            if file.status != "ready":
                if self.clock() >= last_poll:
                    raise Transient("picture_not_ready", "Whop is still processing the picture")
                self.sleep(POLL_SECONDS)

    def _update(
        self, account: Account, claim: Claim, changes: Changes, body: dict[str, Any], deadline: Deadline
    ) -> None:
        if not body:
            return
        try:
            self._patch(account, changes, body, deadline)
        except Permanent as error:
            if "profile_picture" not in body or (error.answer and error.answer.status == 404):  # noqa: PLR2004
                raise
            # Whop may dislike the picture: the name must get through all the same.
            rest = {name: value for name, value in body.items() if name != "profile_picture"}
            if rest:
                self._patch(account, changes, rest, deadline)
            changes.picture_refused = PictureRefused("picture_refused", "Whop refused the picture", answer=error.answer)
            changes.avatar = claim.row.avatar
            return
        if "profile_picture" in body and body["profile_picture"] is None:
            changes.avatar = None
        elif "profile_picture" in body and changes.avatar:
            changes.avatar = replace(changes.avatar, attached=True)

    def _patch(self, account: Account, changes: Changes, body: dict[str, Any], deadline: Deadline) -> None:
        deadline.ensure_a_call()
        try:
            self.whop.update_user(account.whop_user_id, company=self.company, changes=body)
        except Transient as error:
            if error.effect != "none":
                fields: dict[str, ProfileField] = {"name": "name", "profile_picture": "picture"}
                changes.unsettled |= {fields[key] for key in body}
            raise


def _shows(row: Row, name: ProfileField, content: str) -> bool:
    """Whether Whop is known to show this already. What was never set is clear."""
    position = row.positions.get(name)
    return name not in row.unsettled and content == (position.content if position else content_hash(None))

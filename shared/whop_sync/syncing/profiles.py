"""A user's company-specific name and picture: the newest event wins, and Whop is only asked for what has to change.

What has to change is decided first, then the picture is fetched and uploaded, then one call sets both. Each step
returns what it found out; what they came to is one value, `Applied`.
"""

from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from whop_sync.accounts import Account
from whop_sync.batches.retries import RETRIES, RetryPolicy
from whop_sync.errors import Permanent, SyncError, Transient
from whop_sync.events import MAX_NAME_LENGTH, ProfileField, content_hash
from whop_sync.pictures.errors import PictureRefused, PictureUnavailable
from whop_sync.pictures.fetching import Picture, PictureFetcher
from whop_sync.syncing.deadlines import Deadline
from whop_sync.users.schema import Avatar, Row, Shown
from whop_sync.whop.client import File, ProfileRefused, Whop

FIRST_POLL_SECONDS = 0.25
MAX_POLL_SECONDS = 2.0
"""The pause before a file is asked for again. It doubles from the first to the longest. How long Whop takes to process
an upload is not documented; Whop's own client asks every second."""

POLL_TIMEOUT_SECONDS = 20.0
"""How long a worker waits for Whop to process an upload. No poll begins later."""

type Body = Mapping[str, Any]
"""The body of PATCH /users/{id}: `name`, `profile_picture`, both or none."""

type Fetched = Callable[[], Picture]
"""The picture of an event, as soon as it is there. Raises PictureRefused and PictureUnavailable."""

_FIELDS: Mapping[str, ProfileField] = {"name": "name", "profile_picture": "picture"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of the profile of an event.

    Attributes:
        settled: the fields that are done with, applied or refused for good.
        shown: what is known now of what Whop shows.
        refused: why Whop, or the picture's host, refused a value for good.
        failure: why the rest is not done.
    """

    settled: frozenset[ProfileField] = frozenset()
    shown: Shown
    refused: Mapping[ProfileField, SyncError] = field(default_factory=dict)
    failure: SyncError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pictured:
    """What became of a picture before it is set: what to set, or why not."""

    body: Body = field(default_factory=dict)
    avatar: Avatar | None = None
    unavailable_since: float | None = None
    refused: SyncError | None = None
    failure: SyncError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patched:
    """What became of the call that sets the fields. `doubtful` are those that it may have set without saying so."""

    refused: Mapping[str, SyncError] = field(default_factory=dict)
    doubtful: frozenset[str] = frozenset()
    failure: SyncError | None = None


class Future[Found](Protocol):
    def result(self) -> Found: ...


class Pool(Protocol):
    """What a ThreadPoolExecutor can do."""

    def submit[Found](self, call: Callable[[str], Found], argument: str, /) -> Future[Found]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """`pool` fetches pictures beside other work: one for each event that is under way, at most."""

    whop: Whop
    pictures: PictureFetcher
    pool: Pool
    company: str
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    deleted_user_name: str = "Deleted user"
    retries: RetryPolicy = RETRIES

    @contextmanager
    def fetching(self, url: str) -> Iterator[Fetched]:
        """Fetches a picture while other things are done in the block. A fetch changes nothing anywhere.

        The block ends no sooner than the fetch, so that no fetch outlives its event, and no more pictures are held at
        once than events.
        """
        future = self.pool.submit(self.pictures.fetch, url)
        try:
            yield future.result
        finally:
            with suppress(PictureRefused, PictureUnavailable):
                future.result()

    def apply(
        self,
        values: Mapping[ProfileField, str | None],
        account: Account,
        row: Row,
        deadline: Deadline,
        *,
        age: float,
        fetched: Fetched | None = None,
    ) -> Applied:
        """Brings Whop to the values of the fields. `age` of the event that says so is in seconds, `fetched` its
        picture if it was fetched before.

        A refused name never costs the picture, and neither a refused nor an unavailable picture the name.
        """
        pictured = _Pictured(avatar=row.shown.avatar, unavailable_since=row.shown.picture_unavailable_since)
        if "picture" in values:
            pictured = self._picture(values["picture"], row, deadline, age, fetched)
        body = {**(_name_change(values["name"], row) if "name" in values else {}), **pictured.body}
        patched = self._patch(account, body, deadline)
        return _applied(row.shown, values.keys(), body, pictured, patched)

    def blank(self, account: Account, deadline: Deadline) -> SyncError | None:
        """Shows the user as deleted: the placeholder in place of the name, no picture. Raises Transient and Permanent.

        Returns what Whop refused for good, if anything. A null name would show the global name, whose handle comes
        from the e-mail.
        """
        body = {"name": self.deleted_user_name, "profile_picture": None}
        patched = self._patch(account, body, deadline)
        if patched.failure is not None:
            raise patched.failure
        return next(iter(patched.refused.values()), None)

    def lift_placeholder(self, account: Account, deadline: Deadline) -> None:
        """Takes the placeholder of a deleted user from a Whop user who gets no name now: the same person who is back,
        or another user with the same e-mail. Raises Transient and Permanent."""
        deadline.ensure_a_call()
        if self.whop.user(account.whop_user_id, company=self.company).get("name") != self.deleted_user_name:
            return
        patched = self._patch(account, {"name": None}, deadline)
        if patched.failure is not None:
            raise patched.failure

    # -- the picture -----------------------------------------------------------------------------------------------

    def _picture(  # noqa: PLR0911 - one way out for each thing that may be wrong
        self, url: str | None, row: Row, deadline: Deadline, age: float, fetched: Fetched | None
    ) -> _Pictured:
        """Gets the picture to Whop, where it has to be."""
        known = row.shown.avatar
        if url is None:
            change = {} if _shows(row, "picture", None) else {"profile_picture": None}
            return _Pictured(body=change, avatar=known)
        is_shown = known is not None and known.attached and "picture" not in row.shown.unsettled
        avatar, since = known, row.shown.picture_unavailable_since
        try:
            deadline.ensure_a_call()
            picture = fetched() if fetched else self.pictures.fetch(url)
            since = None
            file = None
            if known and known.sha256 == picture.sha256:
                if is_shown:
                    return _Pictured(avatar=known)
                deadline.ensure_a_call()
                file = self._uploaded(known.file_id)
            if file is None:
                deadline.ensure_a_call()
                file = self.whop.create_file(f"avatar.{picture.extension}")
                if file.status != "ready":  # Whop may know the bytes already
                    deadline.ensure_a_call()
                    avatar = Avatar(picture.sha256, file.id, attached=False)  # it may get there without an answer
                    self._upload(file, picture)
            avatar = Avatar(picture.sha256, file.id, attached=False)
            self._await_ready(file, deadline)
        except PictureRefused as error:
            # A URL that has expired since the picture was taken from it, unless it was refused for the same then.
            is_taken = is_shown and _is_last(row, "picture", url) and row.last_error != error.reason
            return _Pictured(avatar=known, refused=None if is_taken else error)
        except PictureUnavailable as error:
            if error.reason == "picture_not_found" and is_shown and _is_last(row, "picture", url):
                return _Pictured(avatar=known)  # a URL that has expired since the picture was taken from it
            # Not longer than the event is known, since the row's note may be about another picture.
            now = self.clock()
            since = max(now if since is None else since, now - age)
            if now - since > self.retries.picture_patience:
                return _Pictured(avatar=known, refused=PictureRefused(error.reason, error.explanation))
            return _Pictured(avatar=known, unavailable_since=since, failure=error)
        except (Transient, Permanent) as error:
            return _Pictured(avatar=avatar, unavailable_since=since, failure=error)
        return _Pictured(body={"profile_picture": {"id": file.id}}, avatar=avatar)

    def _uploaded(self, file_id: str) -> File | None:
        """The file of an earlier upload, None if it never got to Whop or is there no more."""
        try:
            file = self.whop.file(file_id)
        except Permanent:
            return None
        return None if file.status in ("pending", "failed") else file

    def _upload(self, file: File, picture: Picture) -> None:
        try:
            self.whop.upload(file, picture.content)
        except Permanent as error:
            raise PictureRefused("picture_refused", "Whop refused the upload", answer=error.answer) from None

    def _await_ready(self, file: File, deadline: Deadline) -> None:
        """Attaching is documented to work at once in one place, and only when ready in another: ready serves both."""
        last_poll, pause = self.clock() + POLL_TIMEOUT_SECONDS, FIRST_POLL_SECONDS
        while file.status != "ready":
            deadline.ensure_a_call()
            try:
                file = self.whop.file(file.id)
            except Permanent as error:  # another key made it, or Whop's reads lag behind: the next try will show
                raise Transient("picture_not_ready", "Whop does not show the upload", answer=error.answer) from None
            if file.status == "failed":
                raise PictureRefused("picture_failed", "Whop could not process the picture")
            if file.status != "ready":
                if self.clock() + pause > last_poll:
                    raise Transient("picture_not_ready", "Whop is still processing the picture")
                self.sleep(pause)
                pause = min(2 * pause, MAX_POLL_SECONDS)

    # -- the call --------------------------------------------------------------------------------------------------

    def _patch(self, account: Account, body: Body, deadline: Deadline) -> _Patched:
        """Sets the fields. Those that Whop refuses are left out, and the others set without them."""
        refused: dict[str, SyncError] = {}
        rest = dict(body)
        while rest:
            culprits: frozenset[str] = frozenset()
            try:
                deadline.ensure_a_call()
                self.whop.update_user(account.whop_user_id, company=self.company, changes=rest)
                return _Patched(refused=refused)
            except ProfileRefused as error:
                culprits = error.fields & rest.keys()
                if len(culprits) > 1 or not culprits:
                    return self._patch_one_by_one(account, rest, error, deadline)
                refused |= {name: _refusal(name, error) for name in culprits}
            except (Transient, Permanent) as error:
                return _Patched(refused=refused, doubtful=_doubtful(rest, error), failure=error)
            rest = {name: value for name, value in rest.items() if name not in culprits}
        return _Patched(refused=refused)

    def _patch_one_by_one(self, account: Account, body: Body, refusal: ProfileRefused, deadline: Deadline) -> _Patched:
        """Finds out which of the fields it was that Whop refused. Of two, it is the other one if the first is taken."""
        if len(body) == 1:
            return _Patched(refused={name: _refusal(name, refusal) for name in body})
        name = "name"
        others = {each: value for each, value in body.items() if each != name}
        first = self._patch(account, {name: body[name]}, deadline)
        if first.failure is not None:
            return first
        if not first.refused:
            return _Patched(refused={each: _refusal(each, refusal) for each in others})
        second = self._patch(account, others, deadline)
        return replace(second, refused={**first.refused, **second.refused})


def _name_change(name: str | None, row: Row) -> Body:
    if _shows(row, "name", name):
        return {}
    return {"name": name[:MAX_NAME_LENGTH].rstrip() if name else None}


def _shows(row: Row, name: ProfileField, value: str | None) -> bool:
    """Whether Whop is known to show this already. What was never set is clear."""
    position = row.positions.get(name)
    content = position.content if position else content_hash(None)
    return name not in row.shown.unsettled and content == content_hash(value)


def _is_last(row: Row, name: ProfileField, value: str | None) -> bool:
    """Whether the newest event said the same of the field."""
    position = row.positions.get(name)
    return position is not None and position.content == content_hash(value)


def _refusal(name: str, error: ProfileRefused) -> SyncError:
    if name == "name":
        return Permanent("name_refused", "Whop refused the name", answer=error.answer)
    return PictureRefused("picture_refused", "Whop refused the picture", answer=error.answer)


def _doubtful(body: Body, error: Transient | Permanent) -> frozenset[str]:
    return frozenset(body) if isinstance(error, Transient) and error.effect != "none" else frozenset()


def _applied(before: Shown, newer: Set[ProfileField], body: Body, pictured: _Pictured, patched: _Patched) -> Applied:
    """What the steps came to."""
    refused: dict[ProfileField, SyncError] = {_FIELDS[key]: error for key, error in patched.refused.items()}
    if pictured.refused is not None:
        refused["picture"] = pictured.refused
    settled = set(newer)
    if pictured.failure is not None:
        settled.discard("picture")
    if patched.failure is not None:
        # The name alone may have been set before the call for the picture failed; the next try will find out.
        settled = {name for name in settled if name in refused} if body else settled
    # Whop goes on showing what it did in place of what it refused. For a picture that is known by its file.
    unknown = {_FIELDS[key] for key in patched.refused if key == "name" or body[key] is None} | {
        _FIELDS[key] for key in patched.doubtful
    }
    unsettled = (before.unsettled - (settled - refused.keys())) | unknown
    avatar = pictured.avatar
    if "picture" in refused:
        avatar = before.avatar
    elif "profile_picture" in body and patched.failure is None:
        avatar = None if body["profile_picture"] is None else avatar and replace(avatar, attached=True)
    return Applied(
        settled=frozenset(settled),
        shown=Shown(
            unsettled=frozenset(unsettled), avatar=avatar, picture_unavailable_since=pictured.unavailable_since
        ),
        refused=refused,
        failure=patched.failure or pictured.failure,
    )

"""Whop's own webhooks: a genuine event about a connected account becomes an announcement to the platform.

    HTTP event ──▶ Standard Webhooks ──▶ read() ──▶ Announcement   the queue of announcements
                    │ Unauthentic         ├─▶ NotAnnounced        nowhere: not one of the events below
                    ▼                     └─▶ Malformed           nowhere: logged, counted, an alarm
                   401

What is announced is an allow-list: the ids and the status words of `EVENTS`. Whop's bodies hold names, e-mail and
postal addresses, dates of birth and parts of bank accounts; nothing else of them leaves this module.

Whose account it is, the function that delivers announcements looks up. The facts about Whop are from its guide
(https://docs.whop.com/developer/guides/webhooks), those about the objects from the types of its SDK for Python 2.6.0
(https://pypi.org/project/whop-sdk/), where nothing else is named.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from whop_sync.announcements import Announcement
from whop_sync.aws.api_gateway import HttpAnswer, HttpEvent
from whop_sync.aws.queues import Queue
from whop_sync.errors import Malformed, OperatorNeeded, Permanent, SyncError, Transient, Unauthentic
from whop_sync.journal import Journal
from whop_sync.receiving.requests import CLAIMED_ID, loggable_event_type, lower_case, raw_body, response, try_again
from whop_sync.receiving.signatures import Proof, Standard, parse_secrets
from whop_sync.values import json_object, microseconds

type Paths = tuple[str, ...]
"""Where a value may stand in `data`, keys with dots between; the first that is filled counts."""

_IDENTITY_PROFILE: Mapping[str, Paths] = {"identity_profile_id": ("id",), "status": ("status",)}
_PAYOUT: Mapping[str, Paths] = {
    "payout_id": ("id",),
    "payout_request_id": ("payout_request_id",),
    "status": ("status",),
    "status_detail": ("status_detail",),
}

EVENTS: Mapping[str, Mapping[str, Paths]] = {
    # `owner_user` before 2026-08-21, when accounts were called companies.
    "account.updated": {"whop_user_id": ("owner.id", "owner_user.id"), "status": ("status",)},
    "verification.succeeded": {"verification_id": ("id",), "status": ("status",)},
    # At newer versions Whop sends the id alone; the three others left its list, and older webhooks still get them.
    "identity_profile.approved": _IDENTITY_PROFILE,
    "identity_profile.rejected": _IDENTITY_PROFILE,
    "identity_profile.needs_action": _IDENTITY_PROFILE,
    "identity_profile.updated": _IDENTITY_PROFILE,
    "payout_account.status_updated": {
        "payout_account_id": ("id",),
        "status": ("status",),
        "verification_id": ("latest_verification.id",),
        "verification_status": ("latest_verification.status",),
    },
    "payout_method.created": {"payout_method_id": ("id",), "status": ("status",)},
    "payout.created": _PAYOUT,
    "payout.updated": _PAYOUT,
    "payout.reversed": _PAYOUT,
}
"""Those of Whop's events that matter to the platform of a connected account, and what is announced of each beside the
account: ids, whose names end in `_id`, and words of Whop's."""

_NAMES_ITS_ACCOUNT: Mapping[str, str] = {"account.updated": "id", "payout_method.created": "company.id"}
"""Where an event's object itself names the account that it is about."""

_ACCOUNT_ID = re.compile(r"biz_[A-Za-z0-9_-]{1,124}", re.ASCII)
_USER_ID = re.compile(r"user_[A-Za-z0-9_-]{1,123}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
# Whop's guide shows `ws_` and 64 hexadecimal digits, and promises no length.
_SECRET = re.compile(r"ws_[!-~]{16,}", re.ASCII)

_MAX_CLOCK_LEAD_SECONDS = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class WhopSignature(Standard):
    """Standard Webhooks, but that the key is the whole secret as text and not what a `whsec_` encodes: Whop signs with
    the bytes of the `ws_...` that it shows (lib/verify_webhook.py of its SDK for Python)."""

    def keys(self, secret: str) -> tuple[bytes, ...]:
        text = secret.strip()
        if not _SECRET.fullmatch(text):
            raise ValueError("a secret of Whop's webhooks is one text that starts with ws_: copy it once more")
        return (text.encode(),)


SIGNATURE = WhopSignature()


@lru_cache(maxsize=1)
def whop_webhook_keys(text: str) -> tuple[bytes, ...]:
    """The keys in the text of the secrets, two while one is rotated. Raises OperatorNeeded: Whop sends again."""
    try:
        return parse_secrets(text, SIGNATURE)
    except ValueError as error:
        raise OperatorNeeded("whop_webhook_secrets_invalid", str(error)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAnnounced:
    """Not announced: another kind of event, or, with a `reason`, one that names no account."""

    event_type: str
    reason: SyncError | None = None


def read(body: bytes, proof: Proof) -> Announcement | NotAnnounced:
    """What a genuine webhook says. Raises Malformed if it is not the envelope that Whop documents."""
    envelope = json_object(body)
    event_type, data = envelope.get("type"), envelope.get("data")
    if not isinstance(event_type, str) or not event_type:
        raise Malformed("no_event_type", "the body has no type")
    if event_type not in EVENTS:
        return NotAnnounced(event_type=event_type)
    if not isinstance(data, dict):
        raise Malformed("unexpected_shape", "data is not an object")
    account = account_of(event_type, envelope, data)
    if account is None:
        return NotAnnounced(event_type=event_type, reason=Permanent("no_account", "the event names no account"))
    found = {name: _value(name, data, paths) for name, paths in EVENTS[event_type].items()}
    return Announcement(
        id=announcement_id(proof.delivery_id or ""),
        type=f"whop.{event_type}",
        user_id=None,
        version=None,
        occurred_at=occurred_at(envelope, proof),
        data={"whop_company_id": account, **{name: value for name, value in found.items() if value}},
    )


def account_of(event_type: str, envelope: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
    """The account (biz_...) that an event is about.

    Documented: the envelope has `account_id`, or `company_id` in webhooks that are pinned to a version before
    2026-08-14 or to none; either may be null. Not documented is whether the envelope of a webhook for connected
    accounts (`child_resource_events`) names the connected account; that it does is assumed. So the object itself comes
    first where it is the account or names it.
    """
    path = _NAMES_ITS_ACCOUNT.get(event_type)
    for found in (path and _at(data, path), envelope.get("account_id"), envelope.get("company_id")):
        if isinstance(found, str) and _ACCOUNT_ID.fullmatch(found):
            return found
    return None


def occurred_at(envelope: Mapping[str, Any], proof: Proof) -> float:
    """When the event happened, in Unix seconds.

    Documented: `timestamp` is when Whop sent the webhook, in ISO 8601; that a retry keeps it is assumed. Without one
    that can be right the time of the signature counts.
    """
    signed_at = proof.signed_at or 0.0
    try:
        moment = (microseconds(envelope.get("timestamp")) or 0) / 1_000_000
    except Malformed:
        return signed_at
    return moment if 0 < moment < signed_at + _MAX_CLOCK_LEAD_SECONDS else signed_at


def announcement_id(delivery_id: str) -> str:
    """Made of the webhook-id, which is the same for every retry: a repetition is announced under the same id."""
    if _ID.fullmatch(delivery_id):
        return f"whop_{delivery_id}"
    return f"whop_{hashlib.sha256(delivery_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhopReceiver:
    """`queue` is that of the announcements."""

    keys: Callable[[], Sequence[bytes]]
    queue: Queue
    journal: Journal
    clock: Callable[[], float]

    def answer(self, http_event: HttpEvent) -> HttpAnswer:
        """The HTTP answer to a webhook. A 200 means: stored for good, or nothing to announce.

        401 not genuine, without detail; 503 with Retry-After when it could not be stored; 500 after a defect. Whop
        sends again for three days whatever is no 2xx, and disables a webhook that goes on failing: so an event that no
        retry can make readable is answered 200, logged and counted.
        """
        return self.journal.guarded(lambda: self._answer(http_event), after_crash=response(500))

    def _answer(self, http_event: HttpEvent) -> HttpAnswer:
        headers = lower_case(http_event)
        proof = Proof()
        try:
            body = raw_body(http_event)
            proof = SIGNATURE.verify(body, headers, self.keys(), now=self.clock())
            found = read(body, proof)
            if isinstance(found, Announcement):
                self.queue.send(found.to_json())
        except Unauthentic as error:
            self.journal.whop_webhook("rejected", error=error, claimed_event_id=_claimed_id(headers))
            return response(401)
        except Malformed as error:
            self.journal.whop_webhook("unreadable", event_id=_loggable(proof.delivery_id), error=error)
            return response(200)
        except Transient as error:
            self.journal.whop_webhook("deferred", event_id=_loggable(proof.delivery_id), error=error)
            return try_again()
        if isinstance(found, Announcement):
            self.journal.whop_webhook(
                "accepted",
                event_id=found.id,
                event_type=found.type.removeprefix("whop."),
                whop_company_id=found.data["whop_company_id"],
            )
        else:
            shown = loggable_event_type(found.event_type)
            self.journal.whop_webhook(
                "ignored", event_id=_loggable(proof.delivery_id), event_type=shown, error=found.reason
            )
        return response(200)


@dataclass(frozen=True, slots=True, kw_only=True)
class MisconfiguredWhopReceiver:
    """Stands in for one whose settings are wrong: Whop sends again while an operator corrects them.

    `problem` is a sentence that names the setting.
    """

    problem: str
    journal: Journal

    def answer(self, http_event: HttpEvent) -> HttpAnswer:
        del http_event
        self.journal.whop_webhook("deferred", error=OperatorNeeded("settings_invalid", self.problem))
        self.journal.flush()
        return try_again()


def _value(name: str, data: Mapping[str, Any], paths: Paths) -> str | None:
    """The first value that has the form of its name, None if there is none."""
    form = _USER_ID if name == "whop_user_id" else _ID if name.endswith("_id") else _WORD
    for path in paths:
        found = _at(data, path)
        # The id of a verification is documented as a number.
        text = str(found) if isinstance(found, int) and not isinstance(found, bool) else found
        if isinstance(text, str) and form.fullmatch(text):
            return text
    return None


def _at(data: Mapping[str, Any], path: str) -> Any:
    """What stands at keys with dots between, None if nothing does."""
    found: Any = data
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _claimed_id(headers: Mapping[str, str]) -> str | None:
    """The id that an unproven webhook claims, for an operator who searches it."""
    claimed = SIGNATURE.claimed_id(headers)
    return announcement_id(claimed) if claimed and CLAIMED_ID.fullmatch(claimed) else None


def _loggable(delivery_id: str | None) -> str | None:
    return announcement_id(delivery_id) if delivery_id else None

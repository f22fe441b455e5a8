"""The body of `PUT /users/{user_id}`: the recommended webhook, sent by the platform's backend while it waits.

AWS has let the caller in by a signature that covers the body and the time, so such a request is as good as a delivery
that was signed now. Whatever preset the webhooks have, it is read as `standard`: the backend writes it itself.
"""

from dataclasses import dataclass

from whop_sync.aws.api_gateway import HttpEvent
from whop_sync.errors import Malformed, Unauthentic
from whop_sync.events import UserEvent
from whop_sync.receiving.deliveries import (
    Accepted,
    Delivery,
    Ignored,
    Unreadable,
    id_of,
    understood,
    within_limit,
)
from whop_sync.receiving.payloads import STANDARD
from whop_sync.receiving.requests import raw_body

_KINDS = ("created", "updated")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReader:
    """`enroll_if` is as in `Platform`."""

    enroll_if: str

    def read(self, http_event: HttpEvent, *, now: float) -> UserEvent:
        """The event in a request. `now` is in Unix seconds.

        Raises:
            Malformed: it is not the body of a user who is new or changed. The explanation is a sentence.
            Permanent: not_chosen, EnrollIf is not true of this user.
        """
        try:
            body = within_limit(raw_body(http_event))
            delivery = Delivery(body=body, headers={}, event_id=id_of(body), received_at=now, signed_at=now)
            verdict = understood(delivery, STANDARD, enroll_if=self.enroll_if, replayable=False, now=now)
        except (Malformed, Unauthentic) as error:
            raise _malformed(error) from None
        match verdict:
            case Unreadable(error=unreadable):
                raise _malformed(unreadable)
            case Ignored(reason=reason) if reason is not None:
                raise reason
            case Ignored(event=event) if event is not None:
                raise Malformed("bad_request", "The body names a user and says nothing about them.")
            case Accepted(event=event) if event.kind in _KINDS:
                return event
        raise Malformed(
            "bad_request",
            "type must be user.created or user.updated: suspensions and deletions are sent as webhooks.",
        )


def _malformed(error: Malformed | Unauthentic) -> Malformed:
    explanation = error.explanation or "the body is not what its encoding says"
    return Malformed(error.reason, f"{explanation[0].upper()}{explanation[1:]}.")

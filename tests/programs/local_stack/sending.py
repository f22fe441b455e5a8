"""The platform's side: webhooks as a platform sends them, signed by the Standard Webhooks project's own library."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import httpx
from standardwebhooks import Webhook

from whop_sync.times import iso

SECRET = "whsec_ZGVtbyBzZWNyZXQsIG5ldmVyIHVzZSBpdCBmb3IgcmVhbCE="
"""Base64 of "demo secret, never use it for real!"."""


def new_delivery_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


def body(
    kind: Literal["created", "updated", "deleted"], user: Mapping[str, Any], *, at: datetime | None = None
) -> bytes:
    """A webhook body about `user`, whose keys are those of its `data`."""
    moment = iso(at or datetime.now(UTC))
    data = {"updated_at": moment, **user}
    return json.dumps({"type": f"user.{kind}", "timestamp": moment, "data": data}, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook. Sent again it keeps its id and body; the signature is made at each sending."""

    content: bytes
    id: str = field(default_factory=new_delivery_id)

    def headers(self, *, secret: str = SECRET, at: datetime | None = None) -> dict[str, str]:
        """The headers that prove the body; `at` is the time of the attempt."""
        moment = at or datetime.now(UTC)
        return {
            "content-type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(secret).sign(self.id, moment, self.content.decode()),
        }

    def send(self, url: str, *, secret: str = SECRET) -> httpx.Response:
        return httpx.post(url, content=self.content, headers=self.headers(secret=secret), timeout=120, trust_env=False)

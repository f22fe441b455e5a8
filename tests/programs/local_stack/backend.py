"""The platform's backend: asks the deployed API about users, each request signed with AWS's own signer."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_stack.deployment import Deployment
from local_stack.processes import NO_ACCOUNT


@dataclass(frozen=True, slots=True)
class Backend:
    """`credentials` are those of the engine's root, who may do everything, unless others are given."""

    deployment: Deployment
    credentials: Credentials = field(
        default=Credentials(NO_ACCOUNT["AWS_ACCESS_KEY_ID"], NO_ACCOUNT["AWS_SECRET_ACCESS_KEY"]), repr=False
    )

    def look_up(self, user_id: str) -> httpx.Response:
        return self.ask("GET", f"/users/{quote(user_id, safe='')}")

    def enroll(self, user_id: str, webhook: dict[str, Any]) -> httpx.Response:
        """Enrolls or updates a user with the body of a webhook."""
        return self.ask("PUT", f"/users/{quote(user_id, safe='')}", webhook)

    def look_up_whop_user(self, whop_user_id: str) -> httpx.Response:
        return self.ask("GET", f"/whop-users/{whop_user_id}")

    def chat_token(self, user_id: str, **wishes: object) -> httpx.Response:
        return self.ask("POST", f"/users/{quote(user_id, safe='')}/chat-token", wishes)

    def look_up_whop_account(self, company_id: str) -> httpx.Response:
        return self.ask("GET", f"/whop-accounts/{company_id}")

    def account_link(self, user_id: str, **wishes: object) -> httpx.Response:
        return self.ask("POST", f"/users/{quote(user_id, safe='')}/account-link", wishes)

    def payout_token(self, user_id: str, **wishes: object) -> httpx.Response:
        return self.ask("POST", f"/users/{quote(user_id, safe='')}/payout-token", wishes)

    def ask(self, method: str, path: str, wishes: dict[str, Any] | None = None) -> httpx.Response:
        content = json.dumps(wishes).encode() if wishes else b""
        return self.ask_unsigned(method, path, content, self._signed(method, path, content))

    def ask_with_another_body(self, method: str, path: str, wishes: dict[str, Any]) -> httpx.Response:
        """As an attacker does who has seen a signed request."""
        return self.ask_unsigned(method, path, json.dumps(wishes).encode(), self._signed(method, path, b"{}"))

    def _signed(self, method: str, path: str, content: bytes) -> dict[str, str]:
        headers = {"content-type": "application/json"} if content else {}
        request = AWSRequest(method, self.url(path), headers, content)
        SigV4Auth(self.credentials, "execute-api", NO_ACCOUNT["AWS_DEFAULT_REGION"]).add_auth(request)
        return dict(request.headers.items())

    def ask_unsigned(
        self, method: str, path: str, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        return httpx.request(method, self.url(path), content=content, headers=headers, timeout=120, trust_env=False)

    def url(self, path: str) -> str:
        return self.deployment.webhook_url.removesuffix("/webhooks") + path

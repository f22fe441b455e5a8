"""Who a user is on Whop."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """A user's Whop user (user_...) and, if this application enrolled them, their connected account (biz_...)."""

    whop_user_id: str
    company_id: str | None

"""A stateful fake of Whop's REST API over real HTTP.

What it does is documented by Whop or was observed; what is unknown is a switch (see `Switches`).

    with FakeWhop(switches=Switches(list_lag=30)) as whop:
        whop.fault(Fault("POST /companies", "timeout_after"))
        ...  # a client talks to whop.api_url with PLATFORM_KEY
        assert len(whop.companies()) == 1
"""

from fake_whop.server import FakeWhop
from fake_whop.state import ALL_SCOPES, PLATFORM_COMPANY, PLATFORM_KEY, Company, File, User
from fake_whop.switches import Fault, FaultKind, Switches
from fake_whop.webhooks import Sent
from fake_whop.whop import Call

__all__ = [
    "ALL_SCOPES",
    "PLATFORM_COMPANY",
    "PLATFORM_KEY",
    "Call",
    "Company",
    "FakeWhop",
    "Fault",
    "FaultKind",
    "File",
    "Sent",
    "Switches",
    "User",
]

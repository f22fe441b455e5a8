"""Permissions: which actions an API key may do on a resource."""

from fake_whop.protocol import Answer, Json, answer, check_query, invalid, missing
from fake_whop.state import ALL_SCOPES, Ask

# Documented: the kinds of resources that may be asked about. This fake has accounts only.
_RESOURCES = ("biz_", "prod_", "exp_", "app_")


def list_permissions(ask: Ask) -> Answer:
    """GET /permissions. Documented: needs no scope, and grants nothing on a resource that the key cannot see."""
    check_query(ask.query, {"resource_id", "actions"})
    resource = ask.query.get("resource_id", "")
    if not resource:
        raise missing("resource_id")
    if not resource.startswith(_RESOURCES):
        raise invalid("resource_id", "not the id of such a resource")
    company = ask.state.companies.get(resource)
    visible = company is not None and ask.state.reachable(ask.credential, company)
    asked = ask.query.get("actions")
    actions = sorted(ALL_SCOPES) if not asked else asked.split(",")
    if ask.switches.unknown_action == "refused" and (unknown := set(actions) - ALL_SCOPES):
        raise invalid("actions", f"no such action: {min(unknown)}")
    data: list[Json] = [
        {"action": action, "granted": visible and action in ask.credential.scopes} for action in actions
    ]
    return answer({"data": data})

"""The routes of the page. Each reads from `sources` and renders one template; all forms work without JavaScript."""

import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from whop_sync.errors import Transient
from whop_sync.users.schema import Status
from whop_user_sync.console.charts import HEIGHT, WIDTH, columns
from whop_user_sync.console.security import Guard, GuardMiddleware, origin, policy
from whop_user_sync.console.sources import MAX_REJECTED, Sources
from whop_user_sync.output import age, printable
from whop_user_sync.stack import explained

OUTCOMES = {
    "accepted": "plain",
    "synced": "good",
    "enrolled": "good",
    "adopted": "good",
    "mapped": "good",
    "restored": "good",
    "stale": "plain",
    "suspended": "plain",
    "deleted": "plain",
    "no_email": "plain",
    "ignored": "plain",
    "discarded": "plain",
    "delivered": "good",
    "repeated": "plain",
    "unknown_account": "plain",
    "retried": "late",
    "deferred": "late",
    "rejected": "bad",
    "unreadable": "bad",
    "parked": "bad",
}
"""What an outcome looks like: a class of the style sheet. Never by colour alone, since its word stands beside it."""

HOURS = (1.0, 6.0, 24.0, 72.0)
DAYS = 14.0
"""How far back one delivery and one user are searched."""

STATUSES: tuple[str, ...] = get_args(Status.__value__)
"""Of rows, to list users by."""

type Page = Callable[[Request], Awaitable[Response]]


class Pages:
    """`reasons` are the docs' sentences by reason, `tabs` other pages by name, such as that of the fake Whop."""

    def __init__(
        self,
        sources: Sources,
        guard: Guard,
        *,
        write: bool,
        reasons: Mapping[str, str],
        tabs: Mapping[str, str],
    ) -> None:
        self._sources = sources
        self._guard = guard
        self._write = write
        self._reasons = reasons
        self._tabs = tabs
        self._templates = Environment(
            loader=PackageLoader("whop_user_sync.console"), autoescape=True, undefined=StrictUndefined
        )
        self._templates.filters["printable"] = printable
        self._templates.filters["age"] = age
        self._templates.filters["moment"] = _moment

    def routes(self) -> list[Route | Mount]:
        return [
            Route("/", self._shown(self.overview)),
            Route("/deliveries", self._shown(self.deliveries)),
            Route("/deliveries/{event_id:path}", self._shown(self.delivery)),
            Route("/users", self._shown(self.users)),
            Route("/parked", self._shown(self.parked)),
            Route("/parked/body", self._shown(self.parked_body)),
            Route("/parked/redrive", self._shown(self.redrive), methods=["POST"]),
            Route("/parked/discard", self._shown(self.discard), methods=["POST"]),
            Route("/imports", self._shown(self.imports)),
            Route("/imports/{run}", self._shown(self.rejected_rows)),
            Route("/tabs/{name:path}", self._shown(self.tab)),
            Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
        ]

    async def overview(self, request: Request) -> Response:
        hours = _hours(request)
        found = await run_in_threadpool(self._sources.overview, hours=hours)
        totals: Counter[str] = Counter()
        for _, counts in found.outcomes:
            totals.update(counts)
        bars = columns(found.outcomes, OUTCOMES)
        chart = {"bars": bars, "width": WIDTH, "height": HEIGHT, "spans": found.outcomes}
        return self._page("overview.html", request, overview=found, hours=hours, totals=totals, chart=chart)

    async def deliveries(self, request: Request) -> Response:
        hours = _hours(request)
        names = ("outcome", "reason", "user_id")
        wanted = {name: text for name in names if (text := request.query_params.get(name, "").strip())}
        found = await run_in_threadpool(self._sources.deliveries, hours=hours, wanted=wanted)
        template = "delivery_rows.html" if request.headers.get("hx-request") else "deliveries.html"
        return self._page(template, request, deliveries=found[:500], wanted=wanted, hours=hours)

    async def delivery(self, request: Request) -> Response:
        event_id = request.path_params["event_id"]
        found = await run_in_threadpool(self._sources.delivery, event_id, days=DAYS)
        status = 200 if found else 404
        return self._page("delivery.html", request, status=status, event_id=event_id, delivery=found, days=DAYS)

    async def users(self, request: Request) -> Response:
        wanted, with_status = (request.query_params.get(name, "").strip() for name in ("id", "status"))
        found = await run_in_threadpool(self._sources.user, wanted, days=DAYS) if wanted else None
        listed = with_status if with_status in STATUSES and not wanted else ""
        users = await run_in_threadpool(self._sources.users, status=listed) if listed else []
        shown = {"wanted": wanted, "user": found, "days": DAYS, "statuses": STATUSES, "listed": listed}
        status = 404 if wanted and found is None else 200
        return self._page("users.html", request, status=status, users=users[:500], count=len(users), **shown)

    async def parked(self, request: Request) -> Response:
        hidden = await run_in_threadpool(self._sources.hidden)
        found = await run_in_threadpool(self._sources.parked)
        reason = request.query_params.get("reason", "")
        chosen = [event for event in found if reason in ("", event.reason)]
        counts = Counter(event.reason for event in found)
        said, every = (request.query_params.get(name, "") for name in ("said", "all"))
        shown: dict[str, Any] = {
            "events": chosen,
            "reasons": counts,
            "reason": reason,
            "now": time.time(),
            "hidden": hidden,
        }
        shown |= {"said": said, "all": every}
        return self._page("parked.html", request, **shown)

    async def parked_body(self, request: Request) -> Response:
        event_id = request.query_params.get("event_id", "")
        body = await run_in_threadpool(self._sources.parked_body, event_id)
        return self._page("parked_body.html", request, status=200 if body else 404, event_id=event_id, body=body)

    async def redrive(self, request: Request) -> Response:
        event_ids = await self._form(request)
        if isinstance(event_ids, Response):
            return event_ids
        outcomes = Counter(what for _, what in await run_in_threadpool(self._sources.redrive, event_ids))
        said = ", ".join(f"{count} {what}" for what, count in outcomes.items()) or "none chosen"
        return RedirectResponse(request.url_for("parked").include_query_params(said=f"Redriven: {said}."), 303)

    async def discard(self, request: Request) -> Response:
        event_ids = await self._form(request)
        if isinstance(event_ids, Response):
            return event_ids
        why = str((await request.form()).get("why", "")).strip()
        if not why:
            return PlainTextResponse("Say why: the reason is logged with each event.", 400)
        count = await run_in_threadpool(self._sources.discard, event_ids, why)
        return RedirectResponse(request.url_for("parked").include_query_params(said=f"Deleted: {count}."), 303)

    async def imports(self, request: Request) -> Response:
        template = "import_rows.html" if request.headers.get("hx-request") else "imports.html"
        return self._page(template, request, runs=await run_in_threadpool(self._sources.imports))

    async def rejected_rows(self, request: Request) -> Response:
        run = request.path_params["run"]
        rows = await run_in_threadpool(self._sources.rejected_rows, run)
        shown = {"run": run, "rows": rows, "max_rejected": MAX_REJECTED}
        return self._page("rejected_rows.html", request, status=404 if rows is None else 200, **shown)

    async def tab(self, request: Request) -> Response:
        """Another page inside this one. It is of another origin, so neither can read the other."""
        name = request.path_params["name"]
        url = self._tabs.get(name)
        if url is None:
            return PlainTextResponse("There is no such page.", 404)
        answer = self._page("tab.html", request, name=name, url=url)
        answer.headers["content-security-policy"] = policy(frames=origin(url))
        return answer

    async def _form(self, request: Request) -> list[str] | Response:
        """The chosen events of a form that changes something, or why it is refused."""
        if not self._write:
            return PlainTextResponse("The page is read-only: start it with --write.", 403)
        form = await request.form()
        if not self._guard.is_form_ours(form.get("form_token")):
            return PlainTextResponse("This form is not of this page.", 403)
        return [str(each) for each in form.getlist("event_id")]

    def _shown(self, page: Page) -> Page:
        """A page whose troubles with AWS are shown as a sentence."""

        async def shown(request: Request) -> Response:
            try:
                return await page(request)
            except (ClientError, BotoCoreError) as error:
                sentence = explained(error, stack=self._sources.stack.name, needed="what the page shows.")
            except Transient as error:
                sentence = f"{error.reason}: {error.explanation}"
            return self._page("trouble.html", request, status=502, sentence=sentence)

        shown.__name__ = page.__name__
        return shown

    def _page(self, template: str, request: Request, *, status: int = 200, **found: Any) -> Response:
        common = {
            "stack": self._sources.stack,
            "path": request.url.path,
            "write": self._write,
            "form_token": self._guard.form_token,
            "classes": OUTCOMES,
            "reasons_of_docs": self._reasons,
            "tabs": [(each, f"/tabs/{quote(each)}") for each in self._tabs],
            "tab": request.path_params.get("name"),
            "all_hours": HOURS,
        }
        return HTMLResponse(self._templates.get_template(template).render(common | found), status)


def application(
    sources: Sources, guard: Guard, *, write: bool, reasons: Mapping[str, str], tabs: Mapping[str, str]
) -> Starlette:
    pages = Pages(sources, guard, write=write, reasons=reasons, tabs=tabs)
    return Starlette(routes=pages.routes(), middleware=[Middleware(GuardMiddleware, guard=guard)])


def documented_reasons(text: str) -> dict[str, str]:
    """What docs/troubleshooting.md says of each reason: the first paragraph below its heading, without markup."""
    found = re.findall(r"^### `([a-z_]+)`\n\n(.+?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return {reason: " ".join(re.sub(r"[`*]|\]\([^)]*\)|\[", "", words).split()) for reason, words in found}


def _moment(text: str) -> str:
    """An ISO time as a person reads it: 2026-11-25 10:00:05 UTC."""
    return f"{text[:10]} {text[11:19]} UTC" if text else ""


def _hours(request: Request) -> float:
    try:
        found = float(request.query_params.get("hours", HOURS[0]))
    except ValueError:
        return HOURS[0]
    return found if found in HOURS else HOURS[0]

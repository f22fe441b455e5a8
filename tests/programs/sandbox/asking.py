"""One run: an account is made, the questions are asked about it, and what was made is deleted again."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from local_stack.asking_whop import WhopAccess
from sandbox.calls import ACCOUNTS, Probe
from sandbox.questions import Subject, questions

_SECONDS = 30.0


class ProbeError(Exception):
    """Nothing can be asked, and the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """`answers` are texts by question. `left` are titles of accounts that could not be deleted again; all that the run
    made has `run` in its title."""

    run: str
    answers: dict[str, str]
    left: Sequence[str]


def findings(whop: WhopAccess, mailbox: str) -> Findings:
    """Raises ProbeError if the account that the questions are about cannot be made."""
    with httpx.Client(timeout=_SECONDS, trust_env=whop.sandbox) as http:
        probe = Probe(whop=whop, http=http, run=f"wus{uuid.uuid4().hex[:8]}", mailbox=mailbox)
        try:
            answers = _asked(probe)
        finally:
            left = _removed(probe)
    return Findings(run=probe.run, answers=answers, left=left)


def _asked(probe: Probe) -> dict[str, str]:
    title = f"Probe {probe.run}"
    try:
        made = probe.company(title, "a", key=probe.run)
    except httpx.HTTPError as error:
        raise ProbeError(f"Whop did not answer ({type(error).__name__}).") from None
    owner = made.body.get("owner_user") or made.body.get("owner") or {}
    if not made.is_success or "id" not in owner:
        raise ProbeError(f"Whop answered {made} to POST /companies, so there is no account to ask about.")
    answers: dict[str, str] = {}
    for question in questions(Subject(str(made.body["id"]), str(owner["id"])), title):
        try:
            answers[question.text] = question.ask(probe)
        except httpx.HTTPError as error:
            answers[question.text] = f"no answer ({type(error).__name__})"
    return answers


def _removed(probe: Probe) -> list[str]:
    left = []
    for account, title in probe.created.items():
        try:
            gone = probe.call("DELETE", f"/accounts/{account}", version=ACCOUNTS).is_success
        except httpx.HTTPError:
            gone = False
        if not gone:
            left.append(f"{title} ({account})")
    return left

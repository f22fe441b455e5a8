"""A custom resource of CloudFormation: a step of a deployment that a function carries out.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

import hashlib
import json
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from whop_sync.journal import Journal

MAX_REASON_LENGTH = 1000
"""The whole answer may have 4096 bytes."""


class Request(TypedDict):
    """What CloudFormation hands over. ResourceProperties are the template's, numbers and truth values as text."""

    RequestType: Literal["Create", "Update", "Delete"]
    ResponseURL: str
    StackId: str
    RequestId: str
    LogicalResourceId: str
    PhysicalResourceId: NotRequired[str]
    ResourceProperties: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A resource that is nothing but a check of its properties.

    Args:
        problem: returns a sentence that says what is wrong with the properties, or None.
        put: sends bytes to a URL that is signed in advance, and raises OSError.
    """

    problem: Callable[[Mapping[str, object]], str | None]
    journal: Journal
    put: Callable[[str, bytes], None]

    def handle(self, request: Request) -> None:
        """Answers CloudFormation in every case: without an answer a deployment waits for an hour."""
        known = request.get("PhysicalResourceId")
        passed = _id_of(request["ResourceProperties"])
        # Nothing is checked when the resource goes, nor when a failed deployment goes back to what has passed before: a
        # check that is stricter by now must not stand in the way of a rollback.
        problem = None if request["RequestType"] == "Delete" or known == passed else self._problem(request)
        answer = {
            "Status": "FAILED" if problem else "SUCCESS",
            "Reason": (problem or "")[:MAX_REASON_LENGTH],
            "PhysicalResourceId": known or "unchecked" if problem or request["RequestType"] == "Delete" else passed,
            "StackId": request["StackId"],
            "RequestId": request["RequestId"],
            "LogicalResourceId": request["LogicalResourceId"],
        }
        self.put(request["ResponseURL"], json.dumps(answer).encode())
        self.journal.flush()

    def _problem(self, request: Request) -> str | None:
        try:
            return self.problem(request["ResourceProperties"])
        except Exception as error:  # noqa: BLE001 - CloudFormation has to be answered
            self.journal.crash(error)
            return f"The settings could not be checked ({type(error).__name__}): see the log of the function"


def put(url: str, body: bytes) -> None:
    """Raises OSError. S3, where the URL leads, takes no other content type than the empty one that was signed."""
    request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 - CloudFormation's own
    with urllib.request.urlopen(request, timeout=20):  # noqa: S310
        pass


def _id_of(properties: Mapping[str, object]) -> str:
    """An id that equal properties have in common."""
    text = json.dumps(properties, sort_keys=True)
    return f"checked-{hashlib.sha256(text.encode()).hexdigest()[:32]}"

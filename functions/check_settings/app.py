"""A custom resource of CloudFormation: fails a deployment whose settings the functions would refuse."""

from typing import Any

from whop_sync import assembly

check = assembly.settings_check()


def handler(event: Any, _context: object) -> None:
    check.handle(event)

"""Two steps of the state machine that imports a file of users: plans the parts of the file, and imports one part."""

from typing import Any

from whop_sync import assembly

imports = assembly.stored_imports()


def handler(event: Any, _context: object) -> Any:
    return imports.send_part(event) if "part" in event else imports.plan(event)

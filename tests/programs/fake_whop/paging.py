"""Pages of a list.

Documented: cursors name the ends of a page; `first` with `after` pages forward, `last` with `before` back.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fake_whop.protocol import Answer, Body, answer, invalid

# Documented for GET /accounts, assumed for the other lists.
PAGE_DEFAULT, PAGE_LIMIT = 10, 50

PAGE_QUERY = frozenset({"first", "last", "after", "before"})


class Listed(Protocol):
    @property
    def id(self) -> str: ...


def page[Entity: Listed](
    query: Mapping[str, str],
    found: Sequence[Entity],
    item: Callable[[Entity], Body],
    *,
    default: int = PAGE_DEFAULT,
    limit: int = PAGE_LIMIT,
) -> Answer:
    """One page of what was found, which is in its order."""

    def size(name: str) -> int:
        wanted = query.get(name, str(default))
        if not re.fullmatch("[0-9]{1,6}", wanted) or int(wanted) < 1:
            raise invalid(name, "a positive number")
        return min(int(wanted), limit)

    ids = [each.id for each in found]
    start = _position(ids, query["after"], "after") + 1 if "after" in query else 0
    end = _position(ids, query["before"], "before") if "before" in query else len(found)
    if "last" in query and "first" not in query:
        start = max(start, end - size("last"))
    else:
        end = min(end, start + size("first"))
    shown = found[start:end]
    return answer(
        {
            "data": [item(each) for each in shown],
            "page_info": {
                "start_cursor": _cursor(shown[0].id) if shown else None,
                "end_cursor": _cursor(shown[-1].id) if shown else None,
                "has_next_page": end < len(found),
                "has_previous_page": start > 0,
            },
        }
    )


def _cursor(entity_id: str) -> str:
    return base64.urlsafe_b64encode(entity_id.encode()).decode()


def _position(ids: list[str], cursor: str, param: str) -> int:
    try:
        return ids.index(base64.urlsafe_b64decode(cursor.encode()).decode())
    except ValueError:
        raise invalid(param, "not a cursor of this list") from None

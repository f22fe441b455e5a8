"""The page for people: what the platform's users look like on this Whop."""

from html import escape

from fake_whop.protocol import Body, Json

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c1e21; --line: #8884; --soft: #8882; }
:root { --accent: #c8320b; --good: #146c2e; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --back: #141517; --text: #e6e7ea; --accent: #ff6a40; --good: #6dd58c; --bad: #f2887f; }
}
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h1 span { color: var(--accent); }
h2 { font-size: 1rem; margin: 2rem 0 .5rem; } h2 small { font-weight: normal; opacity: .8; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line); vertical-align: middle; }
th { font-weight: 600; opacity: .8; font-size: .85rem; }
tbody td:empty::after { content: "-"; }
code { font-size: .85em; border: 1px solid var(--line); padding: 0 .3em; border-radius: .3em; }
img, .faceless { width: 2.5rem; height: 2.5rem; border-radius: 50%; object-fit: cover; display: block; }
.faceless { background: var(--soft); }
.bad { color: var(--bad); } .good { color: var(--good); }
@media (max-width: 640px) {
  body { margin: .5rem auto; }
  thead { display: none; }
  tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--line); }
  td { display: flex; gap: .5rem; padding: .1rem 0; border: 0; overflow-wrap: anywhere; }
  td > * { min-width: 0; }
  td[data-label]::before { content: attr(data-label); flex: 0 0 7em; opacity: .8; }
}
"""

# Renews the content in place, so that scrolling and selecting are not disturbed by a reload.
_SCRIPT = """
setInterval(async () => {
  if (document.hidden || String(getSelection())) return;
  const page = new DOMParser().parseFromString(await (await fetch('/')).text(), 'text/html');
  document.querySelector('main').replaceWith(page.querySelector('main'));
}, 2000);
"""


def render(state: Body) -> str:
    """The whole page, from the snapshot that GET /_fake/state gives."""
    accounts = [account for account in _rows(state["accounts"]) if account["parent_id"] is not None]
    sections = [
        _section(
            "Connected accounts",
            ("", "shown as", "title", "Whop user", "e-mail", "metadata"),
            [
                (
                    _picture(account["picture_file"]),
                    _text(account["shown_name"]),
                    f"{_text(account['title'])}<br>{_code(account['id'])}",
                    _owner(account["owner"]),
                    _text(account["email"]),
                    "<br>".join(f"{_text(key)} {_code(value)}" for key, value in _items(account["metadata"])),
                )
                for account in reversed(accounts)
            ],
        ),
        _section(
            "Users",
            ("", "id", "username", "e-mail", "global name", "shown per company"),
            [
                (
                    _picture(user["picture_file"]),
                    _code(user["id"]),
                    _text(user["username"]),
                    _text(user["email"]),
                    _text(user["name"]),
                    "<br>".join(
                        f"{_code(override['company_id'])} {_text(override['name'])}"
                        for override in _rows(user["overrides"])
                    ),
                )
                for user in reversed(_rows(state["users"]))
            ],
        ),
        _section(
            "Mail to owners: what Whop may send them for a new account",
            ("at", "account", "to"),
            [
                (_text(mail["at"]), _code(mail["account_id"]), _text(mail["email"]))
                for mail in reversed(_rows(state["owner_mails"]))
            ],
        ),
        _section(
            "Webhooks that were sent: POST /_fake/events sends one",
            ("id", "event", "account", "answers"),
            [
                (
                    _code(sent["id"]),
                    _text(sent["event"]),
                    _code(sent["account_id"]),
                    " ".join(_status(status) for status in _list(sent["attempts"])),
                )
                for sent in reversed(_rows(state["sent_webhooks"]))
            ],
        ),
        _section(
            "Files",
            ("", "id", "filename", "type", "status", "bytes"),
            [
                (
                    _picture(file["id"] if file["status"] == "ready" else None),
                    _code(file["id"]),
                    _text(file["filename"]),
                    _text(file["content_type"]),
                    _text(file["status"]),
                    _text(file["size"]),
                )
                for file in reversed(_rows(state["files"]))
            ],
        ),
        _section(
            "Last calls",
            ("at", "operation", "path", "status", "fault"),
            [
                (
                    _text(call["at"]),
                    _text(call["operation"]),
                    _code(call["path"]),
                    _status(call["status"]),
                    _text(call["fault"]),
                )
                for call in reversed(_rows(state["calls"]))
            ],
        ),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Fake Whop</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body><header><h1>Fake <span>Whop</span></h1>"
        "<p>A stand-in for Whop's API on this machine. Nothing here has reached Whop.</p></header>"
        f"<main>{''.join(sections)}</main><script>{_SCRIPT}</script></body></html>"
    )


def _section(title: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' if name else "<td></td>" for name in heads)
    body = "".join(f"<tr>{''.join(map(_cell, heads, row))}</tr>" for row in rows)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    region = f'<div class="wide" tabindex="0" role="region" aria-label="{title}">{whole}</div>'
    table = region if rows else "<p>none yet</p>"
    return f"<h2>{title} <small>{len(rows)}</small></h2>{table}"


def _cell(head: str, cell: str) -> str:
    """On a phone a row is a card, and `data-label` names its cells."""
    inner = f"<span>{cell}</span>" if cell else ""
    return f'<td data-label="{head}">{inner}</td>' if head else f"<td>{cell}</td>"


def _rows(value: Json) -> list[Body]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _items(value: Json) -> list[tuple[str, Json]]:
    return list(value.items()) if isinstance(value, dict) else []


def _text(value: Json) -> str:
    return "" if value is None else escape(str(value))


def _code(value: Json) -> str:
    return f"<code>{_text(value)}</code>"


def _picture(file_id: Json) -> str:
    if file_id is None:
        return '<span class="faceless"></span>'
    return f'<img src="/_fake/pictures/{_text(file_id)}" alt="">'


def _owner(value: Json) -> str:
    return "<br>".join(_code(part) if name == "id" else _text(part) for name, part in _items(value) if part is not None)


def _status(value: Json) -> str:
    if value is None:
        return '<span class="bad">no answer</span>'
    kind = "good" if isinstance(value, int) and value < 400 else "bad"
    return f'<span class="{kind}">{_text(value)}</span>'

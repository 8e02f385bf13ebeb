"""The catcher's pages: what a person sees who wants to read the mails."""

from datetime import UTC, datetime
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: #f5f6f8;
       color: #1c2430; }
main { max-width: 52rem; margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; }
a { color: inherit; text-decoration: none; }
.mail, .card { display: block; background: #fff; border: 1px solid #e2e5ea;
       border-radius: 8px; padding: .8rem 1.1rem; margin-bottom: .6rem; }
.mail:hover { border-color: #7a9cf0; }
.subject { font-weight: 600; }
.facts { color: #667080; font-size: .875rem; }
pre { white-space: pre-wrap; font: inherit; margin: 0; }
iframe { width: 100%; height: 32rem; border: 0; }
@media (prefers-color-scheme: dark) {
  body { background: #14181f; color: #e4e8ee; }
  .mail, .card { background: #1d232c; border-color: #2c3440; }
  iframe { background: #fff; }
}
"""


def list_page(mails: list[dict[str, Any]]) -> str:
    """All mails, newest first."""
    rows = "".join(
        f'<a class="mail" href="/messages/{escape(mail["id"])}">'
        f'<div class="subject">{escape(mail["subject"]) or "(no subject)"}</div>'
        f"{_facts(mail)}</a>"
        for mail in mails
    )
    empty = '<p class="facts">No mail yet. This page renews itself.</p>'
    refresh = '<meta http-equiv="refresh" content="3">'
    return _page(f"Mail ({len(mails)})", rows or empty, refresh)


def message_page(mail: dict[str, Any]) -> str:
    """One mail; its HTML in a frame that may run nothing."""
    body = f"<pre>{escape(mail['text'] or '')}</pre>"
    if mail["html"]:
        body = f'<iframe sandbox srcdoc="{escape(mail["html"])}"></iframe>'
    back = '<p><a class="facts" href="/">&larr; all mails</a></p>'
    title = mail["subject"] or "(no subject)"
    return _page(title, f'{back}{_facts(mail)}<div class="card">{body}</div>')


def _facts(mail: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(mail["at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    to = ", ".join(mail["to"])
    return f'<div class="facts">to {escape(to)} &middot; {at}</div>'


def _page(title: str, body: str, head: str = "") -> str:
    title = escape(title)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">{head}'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{title}</h1>{body}</main></body></html>"
    )

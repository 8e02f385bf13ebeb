"""How the inbox looks at the terminal. Colours are off when it is not one."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from workers.cli.inbox import PAGE
from workers.cli.terminal import printer
from workers.signs import SIGNS

_ACTS = {
    "retry": "retry",
    "correct": "set right, then retry",
    "skip": "skip",
    "abort_item": "abort the item",
    "abort_order": "abort the order",
    "wait": "nothing: it goes on by itself",
}
_RETURNS = {
    "refunded": "given back",
    "settled": "of that by hand, as an operator said",
    "returning": "on their way back",
    "failed": "could not be given back: do it by other means",
}
_STATES = {"present": "[green]✓[/]", "intended": "[yellow]?[/]", "removed": "[dim]-[/]"}


class View:
    """Tables for people, or the answer as it came."""

    def __init__(self, console: Console | None = None) -> None:
        self._out = console or printer()

    def plain(self, answer: dict[str, Any]) -> None:
        """For programs."""
        sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")

    def groups(self, answer: dict[str, Any]) -> None:
        """By cause."""
        still = answer["standstill"]
        if still:
            self._out.print(f"[bold red]{'!':>4}[/]  [bold]{escape(still['title'])}[/]")
            for words in (still["means"], still["advice"]):
                self._out.print(Padding(escape(words), (0, 0, 0, 6)))
            self._out.print()
        if not answer["items"]:
            nothing = "Nothing else" if still else "[green]✓[/] Nothing"
            self._out.print(f"{nothing} waits for anybody.")
            return
        for group in answer["items"]:
            cause, count = group["cause"], group["count"]
            jobs = "1 job" if count == 1 else f"{count} jobs"
            self._out.print(
                f"[bold red]{count:>4}[/]  [bold]{escape(cause['title'])}[/]"
                f"  [dim]{jobs}, the longest for {age(group['oldest'])}[/]"
            )
            self._out.print(Padding(escape(cause["advice"]), (0, 0, 0, 6)))
            self._out.print(f"      [dim]{cause['id']}[/]\n", soft_wrap=True)
        first = answer["items"][0]["cause"]["id"]
        self._out.print(
            f"[dim]See the jobs: mpanel inbox list --cause {first}[/]", soft_wrap=True
        )

    def entries(self, answer: dict[str, Any], *, page: int = 1) -> None:
        """Jobs, one a line."""
        if not answer["items"]:
            if answer.get("hint"):
                self._out.print(escape(answer["hint"]), soft_wrap=True)
                return
            self._out.print("Nothing is found.")
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("Job", "Customer", "About", "Taken", "Since", "Why"):
            table.add_column(name, overflow="fold", no_wrap=name in ("Job", "Since"))
        for entry in answer["items"]:
            job, cause = entry["job"], entry["cause"]
            why = cause["title"] if cause else job["status"]
            table.add_row(
                job["id"],
                escape(customer(entry)),
                escape(entry["domain"] or job["type"].replace("_", " ")),
                taken(entry),
                age(job["updatedAt"]),
                Text(why, style="red" if cause else "dim"),
            )
        self._out.print(table)
        self._more(answer, page)

    def detail(self, told: dict[str, Any]) -> None:
        """One job, from why to what to do."""
        job = told["job"]
        kind = job["type"].replace("_", " ")
        self._out.print(
            f"[bold]{kind}[/] {escape(told['domain'] or '')}  [dim]{job['id']}[/]",
            soft_wrap=True,
        )
        self._out.print(self._why(told))
        self._out.print(self._facts(told))
        self._section("What exists", self._effects(told))
        self._section("Steps", steps(told["steps"]))
        self._section("Decided so far", self._decisions(told))
        for option in told["acts"]:
            self._option(option, told)

    def before(self, act: str, told: dict[str, Any]) -> None:
        """What an act would do to one job."""
        (option,) = [one for one in told["acts"] if one["act"] == act]
        self._out.print(
            f"[bold]{told['job']['type'].replace('_', ' ')}[/]"
            f" {escape(told['domain'] or '')} of {escape(customer(told))}",
            soft_wrap=True,
        )
        self._option(option, told)

    def before_all(self, act: str, found: dict[str, Any]) -> None:
        """What an act is about to be done to."""
        cause = found["items"][0]["cause"]
        verb = act.replace("_", " ")
        self._out.print(
            f"[bold]{verb}[/] for all {found['total']} jobs of:"
            f" {escape(cause['title'])}\n[dim]{escape(cause['advice'])}[/]"
        )

    def outcomes(self, made: dict[str, Any]) -> None:
        """What became of a decision, job by job."""
        for one in made["items"]:
            if one["refused"]:
                self._out.print(
                    f"[red]✗[/] {one['jobId']}  {escape(one['refused']['message'])}",
                    soft_wrap=True,
                )
            else:
                act = one["decision"]["act"].replace("_", " ")
                self._out.print(f"[green]✓[/] {one['jobId']}  {act}", soft_wrap=True)
        if len(made["items"]) == 1 and made["decided"]:
            job_id = made["items"][0]["decision"]["jobId"]
            self._out.print(
                f"[dim]Follow it: mpanel inbox watch {job_id}[/]", soft_wrap=True
            )
        elif len(made["items"]) > 1:
            self._out.print(f"{made['decided']} decided, {made['refused']} refused.")

    def orphans(self, answer: dict[str, Any], *, page: int = 1) -> None:
        """What nobody owns, and what nobody is sure of."""
        if not answer["unknown"] and not answer["unsure"]["items"]:
            self._out.print("[green]✓[/] Providers and ledger agree.")
            return
        for one in answer["unknown"]:
            self._out.print(f"[red]![/] {escape(one['message'])}")
        for one in answer["unsure"]["items"]:
            effect = one["effect"]
            self._out.print(
                f"[yellow]?[/] {effect['kind']} {effect['reference']} at"
                f" {effect['provider']}: begun by job {one['job']['id']}, which is"
                f" {one['job']['state']}",
                soft_wrap=True,
            )
        self._more(answer["unsure"], page)

    def payments(self, answer: dict[str, Any], *, page: int = 1) -> None:
        """Payments that nobody claimed."""
        if not answer["items"]:
            self._out.print("[green]✓[/] Every payment has its order.")
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("Id", "Payment", "Customer", "Amount", "Paid"):
            table.add_column(name, no_wrap=True)
        for one in answer["items"]:
            table.add_row(
                one["id"],
                one["stripePaymentIntentId"],
                one["stripeCustomerId"] or "",
                money(one["amount"], one["currency"]),
                f"{age(one['paidAt'])} ago",
            )
        self._out.print(table)
        self._more(answer, page)

    def _more(self, answer: dict[str, Any], page: int) -> None:
        left = answer["total"] - (page - 1) * PAGE - len(answer["items"])
        if answer["items"] and left > 0:
            self._out.print(f"[dim]... and {left} more: --page {page + 1}[/]")

    def _why(self, told: dict[str, Any]) -> Panel | str:
        job, cause = told["job"], told["cause"]
        if cause is None:
            return f"Nothing is wrong with it: it is {job['status']}."
        lines = Table.grid(padding=(0, 1))
        lines.add_column(style="dim", no_wrap=True)
        lines.add_column(overflow="fold")
        lines.add_row("means", escape(cause["means"]))
        lines.add_row("said", escape(job["message"] or ""))
        lines.add_row("where", escape(_place(told)))
        lines.add_row("likely", escape(cause["origin"]))
        for number, check in enumerate(cause["checks"]):
            lines.add_row("" if number else "check", escape(check))
        lines.add_row("", "")
        advice = f"[bold]{escape(cause['advice'])}[/]"
        lines.add_row(Text("do", style="bold green"), advice)
        title = f"[bold red]{escape(cause['title'])}[/]"
        return Panel(lines, title=title, title_align="left", border_style="red")

    def _facts(self, told: dict[str, Any]) -> Table:
        facts = Table.grid(padding=(0, 1))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        facts.add_row("customer", escape(customer(told)))
        facts.add_row("since", f"{age(told['job']['updatedAt'])}")
        if order := told["order"]:
            total = money(order["total"], order["currency"])
            facts.add_row("order", f"{order['id']}  {order['state']}, {total}")
        if paid := told["money"]:
            held = money(paid["taken"], paid["currency"]) or "nothing"
            of = f"  of {paid['paymentIntentId']}" if paid["paymentIntentId"] else ""
            facts.add_row("taken", f"[bold]{held}[/]{of}")
            for one in paid["unclaimed"]:
                amount = money(one["amount"], one["currency"])
                of = one["paymentIntentId"]
                facts.add_row("paid", f"[bold]{amount}[/]  of {of}, not claimed yet")
            for key, words in _RETURNS.items():
                if paid[key]:
                    facts.add_row(key, f"{money(paid[key], paid['currency'])} {words}")
            for line in paid["lines"]:
                facts.add_row("", f"[dim]{_line(line, paid['currency'])}[/]")
        return facts

    def _effects(self, told: dict[str, Any]) -> Table:
        table = Table.grid(padding=(0, 1))
        for one in told["effects"]:
            there = " ".join(filter(None, (one["provider"], one["account"])))
            table.add_row(
                _STATES[one["state"]],
                one["kind"],
                escape(one["remoteId"] or one["reference"]),
                Text(f"{there}  {one['state']}", style="dim"),
            )
        return table

    def _decisions(self, told: dict[str, Any]) -> Table:
        table = Table.grid(padding=(0, 1))
        for one in told["decisions"]:
            table.add_row(
                Text(f"{age(one['createdAt'])} ago", style="dim"),
                one["act"].replace("_", " "),
                escape(one["author"]),
                Text(f"{one['why']} ({one['status']})", style="dim"),
            )
        return table

    def _section(self, title: str, table: Table) -> None:
        if table.row_count:
            self._out.print(f"\n[bold]{title}[/]")
            self._out.print(Padding(table, (0, 0, 0, 2)))

    def _option(self, option: dict[str, Any], told: dict[str, Any]) -> None:
        name = option["act"].replace("_", " ")
        suggested = told["cause"] and told["cause"]["act"] == option["act"]
        if not option["allowed"]:
            self._out.print(f"\n[dim]✗ {name}: {escape(option['whyNot'])}[/]")
            return
        mark = "  [green]← as a rule the right one[/]" if suggested else ""
        self._out.print(f"\n[bold]{name}[/]{mark}")
        for sentence in option["would"]:
            self._out.print(Padding(escape(sentence), (0, 0, 0, 2)))


def steps(told: list[dict[str, Any]]) -> Table:
    """A timeline."""
    table = Table.grid(padding=(0, 1))
    for step in told:
        table.add_row(
            SIGNS.get(step["status"], " "),
            step["name"].replace("_", " "),
            Text(_step(step), style="dim"),
        )
    return table


def live(state: dict[str, Any]) -> Group:
    """A job as it is this moment."""
    job = state["job"]
    status = job["state"].replace("_", " ")
    title = Text.assemble(
        (job["type"].replace("_", " "), "bold"),
        "  ",
        (status, "red" if job["status"] == "needs_attention" else "dim"),
    )
    said = [Text(job["message"], style="red")] if job["message"] else []
    return Group(title, steps(state["steps"]), *said)


def customer(entry: dict[str, Any]) -> str:
    """Name and address."""
    whose = entry["customer"]
    if whose is None:
        return "nobody"
    return f"{whose['name']} <{whose['email']}>" if whose["name"] else whose["email"]


def money(amount: float, currency: str | None) -> str:
    """49.99 USD; nothing where there is none."""
    return f"{amount:.2f} {currency}" if currency and amount else ""


def taken(entry: dict[str, Any]) -> str:
    """Of the order's money: what we hold, and what is paid and not claimed yet."""
    told = [money(entry["taken"], entry["currency"])]
    told += [
        f"{money(one['amount'], one['currency'])} unclaimed"
        for one in entry["unclaimed"]
    ]
    return ", ".join(filter(None, told))


def age(moment: str) -> str:
    """Since then: 40 s, 12 min, 3 h, 5 d."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _place(told: dict[str, Any]) -> str:
    words = [told["job"]["step"], told["provider"], told["errorCode"]]
    return ", ".join(word for word in words if word)


def _line(line: dict[str, Any], currency: str) -> str:
    words = f"{line['code']} {line['amount']:.2f} {currency}, {line['state']}"
    if line["refunded"]:
        words += f", {line['refunded']:.2f} refunded"
    return escape(words)


def _step(step: dict[str, Any]) -> str:
    words = []
    if step["endedAt"] and step["startedAt"]:
        began, ended = (
            datetime.fromisoformat(step[key]) for key in ("startedAt", "endedAt")
        )
        words.append(f"{(ended - began).total_seconds() * 1000:.0f} ms")
    if (step["tries"] or 1) > 1:
        words.append(f"{step['tries']} tries")
    if step["status"] in ("retrying", "parked", "skipped") and step["message"]:
        words.append(str(step["message"]))
    return "  ".join(words)

"""`mpanel inbox`: what waits for people, and what they decide. A client of the API."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from workers.cli.client import Api

PAGE = 50
app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
payments_app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode="markdown",
    help="Payments that nobody claimed: make the order, or the refund.",
)
app.add_typer(payments_app, name="payments")

AsJson = Annotated[
    bool, typer.Option("--json", help="The API's own answer, for programs.")
]
Job = Annotated[
    str | None,
    typer.Argument(help="The job's id, or any word that finds it.", metavar="JOB"),
]
Cause = Annotated[
    str | None, typer.Option(help="All jobs of this cause, by its id.", metavar="ID")
]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit log.")]
Step = Annotated[str | None, typer.Option(help="One of several steps that wait.")]
Page = Annotated[int, typer.Option(help="Of fifty; the first is 1.", min=1)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to.")]


@app.callback()
def inbox(context: typer.Context, as_json: AsJson = False) -> None:
    """What waits for people, by cause, and what they decide about it.

    Log in first: `mpanel login`. Without a command it lists the causes.

    **Examples**

        mpanel inbox                          what waits, by cause
        mpanel inbox list --cause hosting.rejected.disk_full
        mpanel inbox show 0b5f...             one job: why, whose, what to do
        mpanel inbox retry 0b5f...            once the cause is gone
        mpanel inbox retry --cause hosting.rejected.disk_full --reason "disk enlarged"
        mpanel inbox abort 0b5f... --item --reason "the name is another customer's"
        mpanel inbox find ada@example.com     or an order, a domain, pi_..., cs_...
        mpanel inbox watch 0b5f...            its steps, live
    """
    if context.invoked_subcommand is None:
        _show(as_json, lambda api: api.get("/api/operator/inbox/groups"), "groups")


@app.command("list")
def list_(cause: Cause = None, page: Page = 1, as_json: AsJson = False) -> None:
    """Jobs that wait, the longest wait first.

    Each with its customer and the money that was taken.

    **Example**

        mpanel inbox list --cause powerdns.conflict
    """
    _show(
        as_json,
        lambda api: api.get(
            "/api/operator/inbox", cause=cause, page=page, pageSize=PAGE
        ),
        "entries",
        page=page,
    )


@app.command()
def show(job: Job, as_json: AsJson = False) -> None:
    """One job: why it waits, whose it is, what exists, and what each act would do.

    Nothing is changed by looking.

    **Examples**

        mpanel inbox show 0b5f7c1e-...
        mpanel inbox show ada.example
    """
    _show(as_json, lambda api: _detail(api, job), "detail")


@app.command()
def retry(
    job: Job = None,
    cause: Cause = None,
    reason: Reason = "tried again",
    step: Step = None,
    payment: Annotated[
        str | None,
        typer.Option(help="The payment that is accepted for the order.", metavar="PI"),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Have what waits tried again, once its cause is gone.

    A retry looks first what is there, and makes only what is missing.

    **Examples**

        mpanel inbox retry 0b5f7c1e-...
        mpanel inbox retry --cause stripe.rejected.credentials --reason "new key" --yes
        mpanel inbox retry 0b5f7c1e-... --payment pi_3Nx... --reason "paid by her firm"
    """
    more: dict[str, Any] = {"step": step} if step else {}
    if payment:
        more["correction"] = {"paymentIntentId": payment}
    _decide("retry", job, cause, reason, yes=yes, as_json=as_json, **more)


@app.command()
def skip(
    job: Job = None,
    cause: Cause = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")] = ...,  # type: ignore[assignment]
    step: Step = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Go on without the step that waits, where its story allows it.

    `mpanel inbox show JOB` tells whether it does, and what it leaves behind. A refund
    that is skipped counts as given back by hand.

    **Examples**

        mpanel inbox skip 0b5f7c1e-... --reason "the name server is gone for good"
        mpanel inbox skip 0b5f7c1e-... --reason "the dispute was lost"
    """
    more: dict[str, Any] = {"step": step} if step else {}
    _decide("skip", job, cause, reason, yes=yes, as_json=as_json, **more)


@app.command()
def abort(
    job: Job = None,
    cause: Cause = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")] = ...,  # type: ignore[assignment]
    whole_order: Annotated[
        bool | None,
        typer.Option(
            "--order/--item",
            help="The whole order, or this item and what needs it.",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Have it undone, newest first, and the money given back.

    Shows first what would be taken back where, and what is refunded, to the cent.

    **Examples**

        mpanel inbox abort 0b5f7c1e-... --item --reason "the name is taken"
        mpanel inbox abort 0b5f7c1e-... --order --reason "the customer asked"
    """
    if whole_order is None:
        typer.echo("Say what to abort: --item or --order.", err=True)
        raise typer.Exit(2)
    act = "abort_order" if whole_order else "abort_item"
    _decide(act, job, cause, reason, yes=yes, as_json=as_json)


@app.command()
def find(
    words: Annotated[list[str], typer.Argument(help="Ids, addresses, domains.")],
    as_json: AsJson = False,
) -> None:
    """Find jobs by whatever is at hand.

    An id of ours (order, job, customer, website), a run of Temporal's, an e-mail
    address, a domain, an id of Stripe's (pi_ cs_ cus_ re_ evt_), or another provider's.

    **Examples**

        mpanel inbox find ada@example.com
        mpanel inbox find pi_3NxQ2e ada.example
    """

    def ask(api: "Api") -> dict[str, Any]:
        found: dict[str, Any] = {}
        hints: list[str] = []
        for word in words:
            told = api.get("/api/operator/find", q=word)
            found |= {entry["job"]["id"]: entry for entry in told["items"]}
            hints += [told["hint"]] if told["hint"] else []
        hint = "\n".join(hints) or None
        return {"items": list(found.values()), "total": len(found), "hint": hint}

    _show(as_json, ask, "entries")


@app.command()
def watch(job: Job) -> None:
    """Follow a job live, until it has ended.

    Ctrl-C ends the watching, not the job.

    **Example**

        mpanel inbox watch 0b5f7c1e-...
    """
    from workers.cli.client import connected
    from workers.cli.following import follow

    api = connected()
    follow(api, _job_id(api, job))


@app.command()
def orphans(page: Page = 1, as_json: AsJson = False) -> None:
    """What providers have and our ledger has not, and what nobody is sure of.

    Nothing of it is removed by itself: it may be a customer's.

    **Example**

        mpanel inbox orphans
    """
    _show(
        as_json,
        lambda api: api.get("/api/operator/orphans", page=page, pageSize=PAGE),
        "orphans",
        page=page,
    )


@payments_app.callback()
def payments(context: typer.Context, page: Page = 1, as_json: AsJson = False) -> None:
    """Payments that nobody claimed.

    Then `order` or `refund` one of them.

    **Examples**

        mpanel inbox payments
        mpanel inbox payments order 7d1c... --email ada@example.com --item wp_growth
        mpanel inbox payments refund 7d1c... --reason "paid twice"
    """
    if context.invoked_subcommand is None:
        _show(
            as_json,
            lambda api: api.get("/api/operator/payments", page=page, pageSize=PAGE),
            "payments",
            page=page,
        )


@payments_app.command("order")
def make_order(
    payment: Annotated[str, typer.Argument(help="The payment's id in the list.")],
    email: Annotated[str, typer.Option(help="Of the customer.")],
    item: Annotated[list[str], typer.Option(help="A product's code; may be repeated.")],
) -> None:
    """Make the order that the payment was for.

    The items must come to what was paid.

    **Example**

        mpanel inbox payments order 7d1c... --email ada@example.com --item wp_growth
    """
    from workers.cli.client import connected

    body = {"customerEmail": email, "items": [{"code": code} for code in item]}
    made = connected().post(f"/api/payments/unclaimed/{payment}/order", body)
    typer.echo(
        f"Order {made['orderId']} is made. Follow it: mpanel inbox watch"
        f" {made['jobId']}"
    )


@payments_app.command("refund")
def make_refund(
    payment: Annotated[str, typer.Argument(help="The payment's id in the list.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    yes: Yes = False,
) -> None:
    """Give the whole payment back.

    The worker refunds it at Stripe, once, however often this is said.

    **Example**

        mpanel inbox payments refund 7d1c... --reason "paid twice"
    """
    from workers.cli.client import connected

    api = connected()
    _confirm(f"Refund the whole payment {payment}?", yes=yes)
    path = f"/api/payments/unclaimed/{payment}/refund"
    made = api.post(path, {"reason": reason})
    typer.echo(f"{made['amount']:.2f} {made['currency']} are being refunded.")


def _decide(
    act: str,
    job: str | None,
    cause: str | None,
    reason: str,
    *,
    yes: bool,
    as_json: bool,
    **more: Any,
) -> None:
    """Shows what it would do, asks, does it; 1 if the API refuses any of it."""
    from workers.cli.client import connected
    from workers.cli.inbox_view import View

    if (job is None) == (cause is None):
        typer.echo("Name a JOB, or all of a cause by --cause ID.", err=True)
        raise typer.Exit(2)
    api, view = connected(), View()
    if cause is None:
        detail = _detail(api, job)
        body: dict[str, Any] = {"jobIds": [detail["job"]["id"]]}
        if not as_json:
            view.before(act, detail)
    else:
        found = api.get("/api/operator/inbox", cause=cause, pageSize=1)
        if not found["total"]:
            typer.echo(f"Nothing waits for {cause}. See: mpanel inbox", err=True)
            raise typer.Exit(1)
        body = {"cause": cause}
        if not as_json:
            view.before_all(act, found)
    _confirm("Do it?", yes=yes)
    made = _decide_all(api, body | {"act": act, "reason": reason} | more)
    if as_json:
        view.plain(made)
    else:
        view.outcomes(made)
    raise typer.Exit(1 if made["refused"] else 0)


def _decide_all(api: "Api", body: dict[str, Any]) -> dict[str, Any]:
    """The API decides so many at once; all together, as one answer."""
    made: dict[str, Any] = {"items": [], "decided": 0, "refused": 0}
    after: dict[str, Any] | None = None
    while True:
        asked = body | ({"after": after} if after else {})
        part = api.post("/api/operator/inbox/decide", asked)
        made["items"] += part["items"]
        for key in ("decided", "refused"):
            made[key] += part[key]
        after = part["after"]
        if after is None:
            return made | {"left": part["left"], "after": None}


def _detail(api: "Api", job: str | None) -> dict[str, Any]:
    return api.get(f"/api/operator/inbox/{_job_id(api, job)}")


def _job_id(api: "Api", word: str | None) -> str:
    """A job's own id is taken as it is; another word must find one that waits."""
    from uuid import UUID

    from workers.cli.client import CallFailed

    if word is None:
        raise CallFailed("Name a JOB. See: mpanel inbox list")
    told = api.get("/api/operator/find", q=word)
    found = told["items"]
    ids = [entry["job"]["id"] for entry in found]
    if word in ids:
        return word
    waiting = [entry["job"]["id"] for entry in found if entry["cause"]]
    if len(waiting or ids) == 1:
        return str((waiting or ids)[0])
    if not ids:
        try:
            UUID(word)
        except ValueError:
            nothing = f"Nothing is found by {word!r}."
            raise CallFailed(told["hint"] or nothing) from None
        return word
    raise CallFailed(
        f"{word!r} finds {len(waiting or ids)} jobs; name one of them. See: mpanel"
        f" inbox find {word}"
    )


def _show(
    as_json: bool, ask: Callable[["Api"], dict[str, Any]], how: str, **more: Any
) -> None:
    from workers.cli.client import connected
    from workers.cli.inbox_view import View

    answer, view = ask(connected()), View()
    if as_json:
        view.plain(answer)
    else:
        getattr(view, how)(answer, **more)


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        typer.echo("Nobody can be asked here: say --yes to do it.", err=True)
        raise typer.Exit(2)
    typer.confirm(question, abort=True)

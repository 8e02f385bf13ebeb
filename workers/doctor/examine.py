"""Every probe at once, each with its own time-out: one that hangs holds up no other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from activities.errors import redacted
from workers.doctor import (
    cluster,
    database,
    providers,
    safety,
    servers,
    temporal,
    website,
    work,
)
from workers.doctor.lines import (
    Examined,
    Line,
    Outcome,
    Probe,
    Unreachable,
    failure,
    skipped,
)
from workers.doctor.settings import DoctorSettings, Given, setting

_SSH = ("database_url", "hosting_ssh_key_file")
_STORE = ("backup_store_url", "backup_store_host_key", "hosting_ssh_key_file")

Say = Callable[[Examined], None]


def probes(given: Given) -> list[Probe]:
    """In the order in which people read them."""

    async def settings(_: DoctorSettings) -> AsyncIterator[Line]:
        for line in safety.present(given):
            yield line
        async for line in safety.safe(given):
            yield line

    return [
        Probe("Settings", settings),
        Probe(database.AREA, database.look, ("database_url",)),
        Probe(work.AREA, work.look, ("database_url",), after=database.AREA),
        Probe(temporal.AREA, temporal.look),
        Probe("API", website.look, ("public_url",)),
        Probe("Stripe", providers.stripe, ("stripe_api_key",)),
        Probe(
            "PowerDNS",
            providers.powerdns,
            ("powerdns_url", "powerdns_api_key", "platform_domain"),
        ),
        Probe("Hosting", servers.hosting, _SSH, after=database.AREA),
        Probe("Proxmox", cluster.look, ("database_url",), after=database.AREA),
        Probe("Backup store", servers.backups, _STORE),
        Probe("Mail", providers.mail, ("smtp_url", "mail_from")),
    ]


async def examine(
    given: Given, looks: Sequence[Probe], say: Say = lambda _: None
) -> list[Examined]:
    """What each probe said, in their order; `say` hears each as it ends."""
    running: dict[str, asyncio.Task[Examined]] = {}

    async def one(probe: Probe) -> Examined:
        found = Examined(probe)
        first = running.get(probe.after or "")
        if first is not None and not (await first).reached:
            found.lines.append(skipped("reached", f"{probe.after} is not reached"))
        elif absent := [name for name in probe.needs if name in given.absent]:
            names = ", ".join(setting(name) for name in absent)
            found.reached = False
            found.lines.append(skipped("reached", f"wants {names}"))
        else:
            await _within(probe, given.settings, found)
        say(found)
        return found

    for probe in looks:
        running[probe.area] = asyncio.create_task(one(probe))
    return [await task for task in running.values()]


async def _within(probe: Probe, settings: DoctorSettings, found: Examined) -> None:
    """What was said before the time was over is kept."""

    async def listen() -> None:
        async for line in probe.look(settings):
            found.lines.append(line)

    task = asyncio.create_task(listen())
    done, _ = await asyncio.wait({task}, timeout=probe.patience)
    if not done:
        task.cancel()  # and nobody waits for what does not end
        found.reached = bool(found.lines)
        found.lines.append(
            failure(
                "in time",
                f"no answer within {probe.patience:g} s",
                "Something accepts our connection and stays silent: restart it, or"
                " correct its address.",
            )
        )
        return
    error = task.exception()
    if isinstance(error, Unreachable):
        found.reached = False
        found.lines.append(error.line)
    elif isinstance(error, ValueError) and probe.needs:
        # Parsed where they are used; the error may quote a password.
        names = ", ".join(setting(name) for name in probe.needs)
        told = "an address or a key is not well-formed"
        found.lines.append(failure("settings", told, f"Correct {names}."))
    elif error is not None:
        told = redacted(f"{type(error).__name__}: {error}")
        found.lines.append(
            failure("looked at", told, "This is the doctor's own fault: tell us of it.")
        )


def lines(found: Sequence[Examined]) -> Iterator[tuple[str, Line]]:
    """Every line with its area."""
    for each in found:
        for line in each.lines:
            yield each.probe.area, line


def well(found: Sequence[Examined]) -> bool:
    """Whether nothing fails."""
    return all(line.outcome is not Outcome.FAILURE for _, line in lines(found))

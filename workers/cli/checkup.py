"""`mpanel doctor` without a flag: the whole checklist."""

import asyncio
import sys

from rich.console import Console

from workers.cli.checklist import Checklist, as_json
from workers.doctor.examine import examine, probes, well
from workers.doctor.settings import Given


def checkup(*, json: bool) -> int:
    """Looks, tells; the exit code."""
    given = Given.from_environment()
    looks = probes(given)
    if json:
        found = asyncio.run(examine(given, looks))
        sys.stdout.write(f"{as_json(found)}\n")
    else:
        with Checklist(Console(), looks) as checklist:
            found = asyncio.run(examine(given, looks, checklist.say))
            checklist.end(found)
    return 0 if well(found) else 1

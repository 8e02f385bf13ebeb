"""The command line as a process of its own."""

import os
import subprocess
import sys

KEYS = f"v1:{'A' * 43}="


def mpanel(
    url: str, *words: str, said: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """`mpanel <words>` on the database at `url`; `said` on its standard input."""
    settings = {"MPANEL_DATABASE_URL": url, "MPANEL_ENCRYPTION_KEYS": KEYS}
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", *words],
        check=False,
        env={"PATH": os.environ["PATH"], **settings},
        input=said,
        capture_output=True,
        text=True,
        timeout=120,
    )

"""`python -m simulators --config FILE [name ...]`: simulators in one process.

FILE is JSON: `{"data_dir": ..., "<name>": {"port": ..., ...}, ...}`. Without names, all
that are configured run. Prints a line per simulator when it listens; SIGTERM ends all.
"""

import argparse
import asyncio
import importlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop

from simulators.core import Simulator


def built(name: str, settings: dict[str, Any], data_dir: Path) -> Simulator:
    """The simulator from its own module, which is imported only now."""
    build = importlib.import_module(f"simulators.{name}").build
    simulator: Simulator = build(settings, data_dir)
    return simulator


async def run(config: dict[str, Any], names: list[str]) -> None:
    """Runs until SIGTERM or SIGINT."""
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    data_dir = Path(config["data_dir"])
    running = [built(name, config[name], data_dir) for name in names]
    await asyncio.gather(*(simulator.start() for simulator in running))
    for simulator in running:
        print(f"ready {simulator.name} {simulator.url}", flush=True)
    await over.wait()
    await asyncio.gather(*(simulator.stop() for simulator in running))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m simulators", description=__doc__)
    parser.add_argument("--config", required=True, type=Path)
    parser.add_argument("names", nargs="*", help="default: all configured")
    arguments = parser.parse_args()
    config = json.loads(arguments.config.read_text())
    names = arguments.names or [name for name in config if name != "data_dir"]
    if missing := [name for name in names if name not in config]:
        sys.exit(f"not in {arguments.config}: {', '.join(missing)}")
    uvloop.run(run(config, names))


if __name__ == "__main__":
    main()

"""The settings of a development stack, for a program that is no part of it."""

import os
from pathlib import Path

from workers.dev.errors import StackError
from workers.dev.folder import DataFolder
from workers.dev.keys import FILE as SECRETS
from workers.dev.keys import Keys
from workers.dev.layout import Layout
from workers.dev.ports import FILE as PORTS
from workers.dev.ports import NAMES


def of_stack(data_dir: Path) -> dict[str, str]:
    """The environment of its worker and its API together.

    Raises `StackError` if there never was a stack.
    """
    folder = DataFolder(data_dir.absolute())
    ports = folder.read(PORTS)
    if ports is None or folder.read(SECRETS) is None:
        raise StackError(
            f"{data_dir} holds no stack: `mpanel dev --data-dir {data_dir}` makes one."
        )
    if set(NAMES) - set(ports):
        raise StackError(f"the stack in {data_dir} is of an older release: restart it.")
    layout = Layout(folder, ports, Keys.of(folder))
    return {**layout.worker(), **layout.api()}


def use(data_dir: Path) -> None:
    """From now on our environment is that of the stack. Raises `StackError`."""
    told = of_stack(data_dir)
    for name in set(os.environ) - set(told):
        del os.environ[name]
    os.environ.update(told)

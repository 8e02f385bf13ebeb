"""The backup store: SFTP on a tree, and nothing else."""

import shutil
from pathlib import Path
from typing import Any

from simulators.core import Simulator
from simulators.sftp import SshServer

NAME = "backup_store"


class BackupStore(Simulator):
    """Ledger: `archive.stored` and `archive.removed`, by path."""

    def __init__(self, settings: dict[str, Any], data_dir: Path) -> None:
        super().__init__(NAME, data_dir, port=settings["port"])
        self.tree = data_dir / "simulators" / NAME
        self.ssh = SshServer(
            self,
            self.tree,
            port=settings["ssh_port"],
            host_key=Path(settings["host_key"]),
            authorized_keys=Path(settings["authorized_keys"]),
            effects=("archive.stored", "archive.removed"),
        )

    async def start(self) -> None:
        await super().start()
        await self.ssh.start()

    async def stop(self) -> None:
        await self.ssh.stop()
        await super().stop()

    def reset(self) -> None:
        super().reset()
        for entry in self.tree.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def build(settings: dict[str, Any], data_dir: Path) -> BackupStore:
    """Settings: port, ssh_port, host_key and authorized_keys (file paths)."""
    return BackupStore(settings, data_dir)

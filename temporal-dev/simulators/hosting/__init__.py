"""A CloudPanel server: `clpctl` over SSH, SFTP, and the web server of its sites.

The tree is `<data-dir>/simulators/hosting`: what clients see as `/home/...` lies there.
Over SSH only `clpctl` exists; the client needs no other command. A lost connection is
the wording of 5xx and 429, exit status 1 that of every other refusal.
"""

import shutil
from pathlib import Path
from typing import Any

from simulators.core import Simulator
from simulators.hosting.shell import run
from simulators.hosting.sites import Sites
from simulators.hosting.web import web_app
from simulators.http import HttpServer
from simulators.sftp import SshServer

NAME = "hosting"


class Hosting(Simulator):
    """Ledger: `site.created`, `site.deleted`, `file.deployed` (path, sha256)..."""

    def __init__(self, settings: dict[str, Any], data_dir: Path) -> None:
        super().__init__(NAME, data_dir, port=settings["port"])
        self.tree = data_dir / "simulators" / NAME
        self.sites = Sites(self.store, self.tree)
        self.web = HttpServer(web_app(self.sites), settings["http_port"])
        self.ssh = SshServer(
            self,
            self.tree,
            port=settings["ssh_port"],
            host_key=Path(settings["host_key"]),
            authorized_keys=Path(settings["authorized_keys"]),
            effects=("file.deployed", "file.removed"),
            command=lambda process: run(self, self.sites, process),
        )

    async def start(self) -> None:
        self.sites.mend()
        await super().start()
        await self.web.start()
        await self.ssh.start()

    async def stop(self) -> None:
        await self.ssh.stop()
        await self.web.stop()
        await super().stop()

    def reset(self) -> None:
        super().reset()
        shutil.rmtree(self.tree)
        self.sites.mend()


def build(settings: dict[str, Any], data_dir: Path) -> Hosting:
    """Settings: port, ssh_port, http_port, host_key and authorized_keys (paths)."""
    return Hosting(settings, data_dir)

"""OpenSSH's server, with `clpctl` as a small stub, and nginx for the sites it makes.

The sshd of a hosting server sees a temporary folder as `/home`, by a mount namespace of
its own: nothing is written to the home folders of this machine.
"""

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import free_port
from tests.real_servers import missing, program, running

STUB = Path(__file__).parent / "bin"
_SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {host_key}
PidFile none
AuthorizedKeysFile {authorized_keys}
PasswordAuthentication no
UsePAM no
StrictModes no
Subsystem sftp internal-sftp
SetEnv PATH={stub}:/usr/bin:/bin VHOSTS={vhosts}
"""
_NGINX = """
daemon off;
user root;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
  types {{ text/html html php; }}
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;
  fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4;
  scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port};
    server_name ~^(?<domain>[a-z0-9.-]+)$;
    root {folder}/vhosts/$domain;
    index index.php index.html;
    if (!-e {folder}/vhosts/$domain) {{ return 444; }}
  }}
}}
"""


@asynccontextmanager
async def sshd(
    folder: Path, *, host_key: Path, authorized_keys: Path, home: Path | None = None
) -> AsyncIterator[int]:
    """Its port. With `home`, that folder is `/home` for whoever logs in."""
    port = free_port()
    command = _sshd_command(
        folder,
        home,
        port=port,
        host_key=host_key,
        authorized_keys=authorized_keys,
        stub=STUB,
        vhosts=folder / "vhosts",
    )
    async with running(command, port=port, log=folder / "sshd.log"):
        yield port


@asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[int]:
    """Its port. It serves `vhosts/<domain>` of the folder."""
    port = free_port()
    (folder / "vhosts").mkdir(exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port))
    command = [program("nginx"), "-c", str(config), "-e", "stderr"]
    async with running(command, port=port, log=folder / "nginx.log"):
        yield port


def _sshd_command(folder: Path, home: Path | None, **values: object) -> list[str]:
    server = program("sshd")
    if os.geteuid() != 0:
        missing("sshd needs root")
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it
    config = folder / "sshd_config"
    config.write_text(_SSHD.format(**values))
    command = [server, "-D", "-e", "-f", str(config)]
    return command if home is None else [*_with_home(home), *command]


def _with_home(home: Path) -> list[str]:
    unshare = [program("unshare"), "--mount", "--"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        missing("mount namespaces are not allowed here")
    mount_then_exec = 'mount --bind "$0" /home && exec "$@"'
    return [*unshare, "sh", "-c", mount_then_exec, str(home)]

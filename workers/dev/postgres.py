"""The embedded PostgreSQL: which binaries, where its data lies, who runs it.

PostgreSQL refuses to be run by root. Started by root it runs in a user namespace,
as an ordinary user there who owns what root owns, so a data folder below a 0700 home
is no obstacle. Where namespaces are forbidden it runs as user postgres (or nobody)
from a folder of its own under /var/tmp. No parent's mode is ever changed.
"""

import asyncio
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workers.dev.folder import DataFolder
from workers.dev.postgres_programs import programs_for
from workers.dev.process import Process
from workers.dev.supervisor import Part, Supervisor

SUPERUSER = "postgres"
ELSEWHERE = "postgres.json"


@dataclass(frozen=True)
class Postgres:
    """One cluster: `bin` holds the programs, `data` the files of `identity`."""

    bin: Path
    data: Path
    identity: str

    def server(self, *, port: int, environment: Mapping[str, str]) -> Part:
        """The part that serves on 127.0.0.1:port."""
        fsync = environment.get("MPANEL_DEV_FSYNC", "on")
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off" if fsync == "off" else "on",
            "synchronous_commit": "on",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        words = [str(self.bin / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            words += ["-c", f"{name}={value}"]
        return Part(
            name="postgres",
            command=words,
            environment=environment,
            ready=self._ready,
            clean=self._end_leftovers,
            identity=self.identity,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
        )

    async def create(
        self, supervisor: Supervisor, *, password: str, environment: Mapping[str, str]
    ) -> None:
        """initdb, once. A half-made cluster of a killed start is thrown away."""
        if (self.data / "PG_VERSION").exists():
            return
        unfinished = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password_file = self.data.with_name(f"{self.data.name}.password")
        password_file.touch(mode=0o600)
        password_file.write_text(password)
        if ":" in self.identity:
            for path in (unfinished, password_file):
                os.chown(path, *map(int, self.identity.split(":")))
        words = [str(self.bin / "initdb"), "-D", str(unfinished), "-U", SUPERUSER]
        words += ["--auth=scram-sha-256", f"--pwfile={password_file}"]
        words += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        try:
            await supervisor.run(
                Part("initdb", words, environment, identity=self.identity)
            )
        finally:
            password_file.unlink()
        unfinished.rename(self.data)

    async def _ready(self) -> bool:
        with suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and lines[7].strip() == "ready"
        return False

    async def _end_leftovers(self) -> None:
        """Ends what a killed postmaster left: it blocks the next one for 28 s."""
        while left := list(_living_in(self.data)):
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        # Its "ready" must not be taken for the next one's.
        (self.data / "postmaster.pid").unlink(missing_ok=True)


def _living_in(folder: Path) -> Iterator[int]:
    """Pids of the processes whose working directory this is."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if Path(os.readlink(f"/proc/{entry.name}/cwd")) == folder:
                    yield int(entry.name)


async def find(folder: DataFolder, *, namespaces: bool = True) -> Postgres:
    """The cluster of this data folder, made or still to be made.

    `namespaces`: whether root may use a user namespace. Raises `StackError` if no
    fitting PostgreSQL is installed.
    """
    home = folder.path.resolve() / "postgres"
    programs = programs_for(home)
    if os.geteuid() != 0:
        return Postgres(programs, home, "same")
    if namespaces and await _runs(programs, "namespace"):
        return Postgres(programs, home, "namespace")
    return await _elsewhere(folder)


async def _runs(programs: Path, identity: str) -> bool:
    """Whether the programs can be used by this identity here."""
    words = [str(programs / "postgres"), "--version"]
    process = Process.start(
        words, environment={}, log=Path(os.devnull), identity=identity
    )
    return await process.ended() == 0


def _elsewhere_home(folder: DataFolder) -> Path:
    if kept := folder.read(ELSEWHERE):
        return Path(kept["home"])
    home = Path(tempfile.mkdtemp(prefix="mpanel-postgres-", dir="/var/tmp"))
    home.chmod(0o711)
    folder.write(ELSEWHERE, {"home": str(home)})
    return home


async def _elsewhere(folder: DataFolder) -> Postgres:
    """A cluster outside every private folder, run by an ordinary user."""
    user = _ordinary_user()
    identity = f"{user.pw_uid}:{user.pw_gid}"
    home = _elsewhere_home(folder)
    programs = programs_for(home / "data")
    if not await _runs(programs, identity):
        programs = _copied(programs, home / "programs")
    return Postgres(programs, home / "data", identity)


def _copied(programs: Path, target: Path) -> Path:
    """The wheel's programs and libraries, side by side as they were installed.

    The wheel lies below a folder that only its owner may enter.
    """
    package = programs.parents[1]
    if not target.exists():
        unfinished = target.with_name("programs.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, unfinished / folder.name, symlinks=True)
        unfinished.rename(target)
    return target / programs.relative_to(package.parent)


def _ordinary_user() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")

"""The one command of the hosting server's shell: `clpctl`."""

import asyncio
import shlex

import asyncssh

from simulators.core import Call, Garbled, Refused, Simulator, Withheld
from simulators.hosting.sites import Sites, no
from simulators.sftp import hang_up

_LIST = "list"
_SITE = {"domainName", "siteUser", "siteUserPassword"}
_REQUIRED = {
    "site:add:static": _SITE,
    "site:add:php": _SITE | {"phpVersion", "vhostTemplate"},
    "site:add:nodejs": _SITE | {"nodejsVersion", "appPort"},
    "site:add:python": _SITE | {"pythonVersion", "appPort"},
    "site:add:reverse-proxy": _SITE | {"reverseProxyUrl"},
    "site:delete": {"domainName"},
    "site:install:certificate": {"domainName", "privateKey", "certificate"},
    "db:add": {
        "domainName",
        "databaseName",
        "databaseUserName",
        "databaseUserPassword",
    },
    "user:add": {"userName", "email", "firstName", "lastName", "password", "role"},
}
_OPTIONAL = {
    "site:delete": {"force"},
    "site:install:certificate": {"certificateChain"},
    "user:add": {"sites", "timezone", "status"},
}


async def run(
    sim: Simulator, sites: Sites, process: asyncssh.SSHServerProcess[str]
) -> None:
    """Answers one command line. The password in it goes nowhere."""
    try:
        words = shlex.split(process.command or "")
    except ValueError:
        words = []
    if words == ["clpctl"]:
        words = ["clpctl", _LIST]
    known = {_LIST, *_REQUIRED}
    if words[:1] != ["clpctl"] or len(words) < 2 or words[1] not in known:
        process.stderr.write("command not found\n")
        process.exit(127)
        return
    user = str(process.get_extra_info("username"))
    try:
        async with sim.call(f"clpctl {words[1]}", user) as call:
            said = _clpctl(sites, call, words[1], words[2:])
            call.answer(0)
    except Refused as refused:
        if refused.status == 429 or refused.status >= 500:
            hang_up(process.channel)
            return
        process.stderr.write(f"{refused.message}\n")
        process.exit(1)
    except Garbled:
        process.stdout.write("\x1b[?25l\ufffd\ufffd Segmentation")
        process.exit(0)
    except Withheld as withheld:
        await asyncio.sleep(withheld.seconds)
        hang_up(process.channel)
    else:
        process.stdout.write(f"{said}\n")
        process.exit(0)


def _clpctl(sites: Sites, call: Call, command: str, words: list[str]) -> str:
    if command == _LIST:
        return "\n  ".join(["Available commands:", *_REQUIRED])
    options = _options(command, words)
    if command.startswith("site:add:"):
        return sites.add(call, command.removeprefix("site:add:"), options)
    return {
        "site:delete": sites.delete,
        "site:install:certificate": sites.install_certificate,
        "db:add": sites.add_database,
        "user:add": sites.add_user,
    }[command](call, options)


def _options(command: str, words: list[str]) -> dict[str, str]:
    options = {}
    for word in words:
        name, _, value = word.removeprefix("--").partition("=")
        options[name] = value
    allowed = _REQUIRED[command] | _OPTIONAL.get(command, set())
    if unknown := options.keys() - allowed:
        raise no(f"there is no option --{min(unknown)}")
    if missing := {n for n in _REQUIRED[command] if not options.get(n)}:
        raise no(f"the option --{min(missing)} is missing")
    return options

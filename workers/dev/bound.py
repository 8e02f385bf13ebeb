"""Becomes a command that ends when its parent does.

    python -I -S bound.py PARENT SIGNAL IDENTITY COMMAND [ARGUMENT ...]

PARENT is the pid that must be alive, SIGNAL what the kernel sends at its death,
IDENTITY either `same`, `namespace` (an ordinary user of a new user namespace, who
owns on disk what we own) or `UID:GID`. Run as a script with the standard library
alone, and gone with the exec: the command keeps pid and descriptors.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_INSIDE = 1000


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _enter_namespace(libc: ctypes.CDLL) -> None:
    uid, gid = os.getuid(), os.getgid()
    _check(libc.unshare(_CLONE_NEWUSER))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{_INSIDE} {uid} 1"),
        ("gid_map", f"{_INSIDE} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _become(identity: str) -> None:
    uid, gid = map(int, identity.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main(parent: int, signal: int, identity: str, command: list[str]) -> None:
    """Does not return."""
    libc = ctypes.CDLL(None, use_errno=True)
    if identity == "namespace":
        _enter_namespace(libc)
    elif identity != "same":
        _become(identity)
    # Only now: the kernel forgets the signal when the identity changes.
    _check(libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0))
    if os.getppid() != parent:
        sys.exit("the parent is already gone")
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])

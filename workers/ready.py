"""Tells whoever started this process that it is at work (sd_notify)."""

import os
import socket


def announce() -> None:
    """Sends READY=1 to $NOTIFY_SOCKET (systemd, `mpanel dev`); else does nothing."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.connect(name)
        notices.send(b"READY=1")

"""Which lines are taken as SSH keys."""

import base64

import asyncssh
import pytest

from models.errors import Invalid
from models.ordering import Line, OrderRequest
from models.ssh_keys import MOST_KEYS, ssh_keys


def made(kind: str) -> str:
    key = asyncssh.generate_private_key(kind)
    return key.export_public_key().decode().strip()


def an_rsa_key(bits: int) -> str:
    key = asyncssh.generate_private_key("ssh-rsa", key_size=bits)
    return key.export_public_key().decode().strip()


# The same in every process, as it stands in the names of tests.
BLOB = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))
ED = f"ssh-ed25519 {base64.b64encode(BLOB).decode()}"


def encoded(blob: bytes) -> str:
    return base64.b64encode(blob).decode()


@pytest.mark.parametrize(
    "line",
    [
        ED,
        f"{ED} ada@laptop, the old one",
        made("ecdsa-sha2-nistp256"),
        made("ecdsa-sha2-nistp521"),
        an_rsa_key(2048),
    ],
)
def test_a_whole_key_is_taken(line: str) -> None:
    assert ssh_keys([line, f"  {line} "], field="sshKeys") == [line]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "one of these kinds"),
        ("ssh-dss AAAA", "one of these kinds"),
        (f'command="rm" {ED}', "one of these kinds"),
        (f"{ED}\n{ED}", "one line"),
        ("ssh-ed25519 \x00", "one line"),
        ("ssh-ed25519 \ud800", "one line"),
        ("ssh-ed25519 not/base64!", "not base64"),
        ("ssh-ed25519", "not a whole"),
        (f"ssh-rsa {ED.split()[1]}", "not a whole"),
        (f"ssh-ed25519 {encoded(BLOB[:-1])}", "not a whole"),
        (f"ssh-ed25519 {encoded(BLOB + b'xxxx')}", "not a whole"),
        (f"{ED} {'x' * 9000}", "at most 8192"),
        (an_rsa_key(1024), "at least 2048"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "one of these kinds"),
    ],
)
def test_anything_else_is_refused_and_its_place_named(line: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as refused:
        ssh_keys([ED, line], field="sshKeys")

    assert refused.value.details["field"] == "sshKeys[1]"


def test_there_is_an_end_of_keys() -> None:
    with pytest.raises(Invalid, match="at most"):
        ssh_keys([ED] * (MOST_KEYS + 1), field="sshKeys")


def test_an_order_keeps_its_keys_and_without_any_is_as_before() -> None:
    with_keys = OrderRequest("test", "ada@example.com", (Line("x", None, (ED,)),))
    without = OrderRequest("test", "ada@example.com", (Line("x"),))

    assert OrderRequest.from_json(with_keys.as_json()) == with_keys
    assert list(without.as_json()["lines"]) == [{"code": "x", "type": None}]
    with pytest.raises(Invalid) as refused:
        OrderRequest("test", "ada@example.com", (Line("x"), Line("y", None, ("z",))))
    assert refused.value.details["field"] == "items[1].sshKeys[0]"

"""Ports are chosen once and kept."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.dev.errors import StackError
from workers.dev.folder import DataFolder
from workers.dev.ports import NAMES, Ports

FREE = {"api": 0, "temporal": 0, "temporal_ui": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    folder = DataFolder(tmp_path / "data")
    folder.hold()
    yield folder
    folder.release()


def test_a_second_start_has_the_same_ports(folder: DataFolder) -> None:
    first = Ports(folder)
    chosen = first.claim(FREE)
    first.release()
    assert set(chosen) == set(NAMES)
    assert len(set(chosen.values())) == len(NAMES)

    second = Ports(folder)
    assert second.claim({}) == chosen
    second.release()


def test_two_stacks_never_choose_the_same_port(
    folder: DataFolder, tmp_path: Path
) -> None:
    other = DataFolder(tmp_path / "other")
    other.hold()
    ours, theirs = Ports(folder), Ports(other)
    try:
        assert not {*ours.claim({}).values()} & {*theirs.claim({}).values()}
    finally:
        ours.release()
        theirs.release()
        other.release()


def test_a_taken_port_is_refused_with_the_option_that_helps(
    folder: DataFolder,
) -> None:
    ports = Ports(folder, grace=0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(StackError, match=f"port {taken} .* --port"):
            ports.claim({**FREE, "api": taken})
    ports.release()

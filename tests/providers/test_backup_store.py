"""Archives at the backup store: simulator and real sshd alike."""

import hashlib
import io
import os
from pathlib import Path
from uuid import uuid4

import pytest

from activities.errors import ProviderDown, ProviderRejected
from activities.gate import OpenGate
from activities.providers.backup_store import BackupStore, Stored
from tests.providers.conftest import StoreTarget, make_keys


@pytest.fixture
def folder() -> str:
    return f"site-{uuid4().hex[:8]}"


class Endless(io.RawIOBase):
    """A source that breaks off."""

    def read(self, size: int = -1) -> bytes:
        raise OSError("the source is gone")


async def test_what_is_put_is_found_and_got_back(
    store: BackupStore, folder: str
) -> None:
    content = os.urandom(2_500_003)
    expected = Stored(
        f"{folder}/day.tar", len(content), hashlib.sha256(content).hexdigest()
    )
    back = io.BytesIO()

    stored = await store.put(f"{folder}/day.tar", io.BytesIO(content))
    await store.get(f"{folder}/day.tar", back)

    assert stored == expected
    assert await store.find(f"{folder}/day.tar") == expected
    assert back.getvalue() == content


async def test_an_empty_archive_is_an_archive(store: BackupStore, folder: str) -> None:
    stored = await store.put(f"{folder}/empty", io.BytesIO())

    assert stored.size == 0
    assert await store.find(f"{folder}/empty") == stored


async def test_putting_again_replaces(store: BackupStore, folder: str) -> None:
    await store.put(f"{folder}/a", io.BytesIO(b"first, and longer"))
    await store.put(f"{folder}/a", io.BytesIO(b"second"))

    back = io.BytesIO()
    await store.get(f"{folder}/a", back)
    assert back.getvalue() == b"second"


async def test_what_is_not_there_is_none_and_cannot_be_got(
    store: BackupStore, folder: str
) -> None:
    assert await store.find(f"{folder}/nothing") is None
    with pytest.raises(ProviderRejected) as refused:
        await store.get(f"{folder}/nothing", io.BytesIO())

    assert refused.value.code == "not_found"


async def test_a_deleted_archive_may_be_deleted_again(
    store: BackupStore, folder: str
) -> None:
    await store.put(f"{folder}/a", io.BytesIO(b"x"))

    await store.delete(f"{folder}/a")
    await store.delete(f"{folder}/a")

    assert await store.find(f"{folder}/a") is None
    assert await store.names(f"{folder}/") == []


async def test_names_are_those_with_the_prefix_and_complete(
    store: BackupStore, vault: StoreTarget, folder: str
) -> None:
    for name in ("b", "a", "deep/er/c", "ab"):
        await store.put(f"{folder}/{name}", io.BytesIO(b"x"))
    (vault.folder / folder / "z.part").write_bytes(b"half")

    assert await store.names(f"{folder}/") == [
        f"{folder}/a",
        f"{folder}/ab",
        f"{folder}/b",
        f"{folder}/deep/er/c",
    ]
    assert await store.names(f"{folder}/a") == [f"{folder}/a", f"{folder}/ab"]
    assert await store.names("never-made/") == []


async def test_a_source_that_breaks_off_leaves_no_archive(
    store: BackupStore, folder: str
) -> None:
    with pytest.raises(ProviderDown):
        await store.put(f"{folder}/a", Endless())  # type: ignore[arg-type]

    assert await store.find(f"{folder}/a") is None
    assert await store.names(folder) == []


class Tampered(io.BytesIO):
    """What was sent of it is changed at the store before it is read back."""

    def __init__(self, content: bytes, file: Path) -> None:
        super().__init__(content)
        self._file = file

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        if not chunk:
            self._file.write_bytes(b"rotten")
        return chunk


async def test_an_archive_that_reads_back_otherwise_is_none(
    store: BackupStore, vault: StoreTarget, folder: str
) -> None:
    part = vault.folder / folder / "a.part"

    with pytest.raises(ProviderDown) as failure:
        await store.put(f"{folder}/a", Tampered(b"sound", part))

    assert failure.value.code == "checksum"
    assert await store.names(f"{folder}/") == []


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "a/./b", "", "a.part"])
async def test_a_name_that_leads_elsewhere_is_refused(
    store: BackupStore, name: str
) -> None:
    with pytest.raises(ProviderRejected):
        await store.put(name, io.BytesIO(b"x"))


async def test_another_host_key_is_refused_for_good(
    vault: StoreTarget, tmp_path: Path
) -> None:
    client = BackupStore(
        "127.0.0.1",
        vault.ssh_port,
        username="root",
        client_key=vault.keys.client_key,
        known_host_key=make_keys(tmp_path).host_line,
        root=vault.root,
        gate=OpenGate(),
    )

    with pytest.raises(ProviderRejected) as refused:
        await client.names("any")

    assert refused.value.code == "host_key"

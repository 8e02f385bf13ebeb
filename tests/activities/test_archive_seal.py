"""What was sealed opens again, and nothing else does."""

import io
import os

import pytest

from activities.archive_seal import ArchiveDamaged, seal, unseal

KEY = bytes(range(32))
PIECE = 1 << 20
SEALED_PIECE = PIECE + 16
HEADER = 15


def sealed(content: bytes, key: bytes = KEY) -> bytes:
    to = io.BytesIO()
    seal(io.BytesIO(content), to, key)
    return to.getvalue()


def opened(archive: bytes, key: bytes = KEY) -> bytes:
    to = io.BytesIO()
    unseal(io.BytesIO(archive), to, key)
    return to.getvalue()


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_content_of_any_size_comes_back_and_is_not_readable_before(size: int) -> None:
    content = os.urandom(size)

    archive = sealed(content)

    assert opened(archive) == content
    assert size < 32 or content[:32] not in archive


def test_sealing_tells_size_and_sums_and_never_makes_the_same_bytes_twice() -> None:
    to = io.BytesIO()

    told = seal(io.BytesIO(b"content"), to, KEY)

    assert told.size == len(to.getvalue())
    assert told.content_sha256 == unseal(io.BytesIO(to.getvalue()), io.BytesIO(), KEY)
    assert sealed(b"content") != sealed(b"content")


@pytest.mark.parametrize("place", [0, 8, HEADER, HEADER + SEALED_PIECE, -1])
def test_a_flipped_byte_is_found_wherever_it_is(place: int) -> None:
    archive = bytearray(sealed(os.urandom(2 * PIECE)))

    archive[place] ^= 1

    with pytest.raises(ArchiveDamaged):
        opened(bytes(archive))


@pytest.mark.parametrize(
    "left", [0, 7, HEADER, HEADER + SEALED_PIECE, HEADER + 2 * SEALED_PIECE - 1]
)
def test_a_truncated_archive_is_found_also_between_two_pieces(left: int) -> None:
    archive = sealed(os.urandom(2 * PIECE))

    with pytest.raises(ArchiveDamaged):
        opened(archive[:left])


def test_pieces_that_were_swapped_repeated_or_added_are_found() -> None:
    archive = sealed(os.urandom(3 * PIECE))
    header, rest = archive[:HEADER], archive[HEADER:]
    one, two, three = (
        rest[i : i + SEALED_PIECE] for i in range(0, len(rest), SEALED_PIECE)
    )

    for wrong in (two + one + three, one + one + three, rest + three, one + three):
        with pytest.raises(ArchiveDamaged):
            opened(header + wrong)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(ArchiveDamaged):
        opened(sealed(b"content"), bytes(32))

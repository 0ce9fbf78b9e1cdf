"""The TD HOB: known digests, its blocks, the boundaries of the PCI hole, sizes that no machine has."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.td_hob import checked_memory_size, td_hob, td_hob_digest

MIB, GIB = 1 << 20, 1 << 30
HOLE = (0x8000_0000, 0x1_0000_0000)

Block = tuple[int, int, int]
"""Resource type, start, length."""


def blocks(memory_size: int) -> list[Block]:
    """The resource blocks of the list, read field by field; every other field is checked."""
    data = td_hob(memory_size)
    kind, length, reserved, version, mode = struct.unpack_from("<HHIII", data)
    assert (kind, length, reserved, version, mode) == (1, 56, 0, 9, 0)
    assert data[16:48] == bytes(32)
    assert struct.unpack_from("<Q", data, 48) == (0x80_9000 + len(data) + 8,)
    found = []
    for place in range(56, len(data), 48):
        kind, length, reserved, owner, resource, attributes, start, size = struct.unpack_from(
            "<HHI16sIIQQ", data, place
        )
        assert (kind, length, reserved, owner, attributes) == (3, 48, 0, bytes(16), 7)
        found.append((resource, start, size))
    return found


@pytest.mark.parametrize(
    ("memory_size", "start"),
    [(8 * GIB, "2e070cda"), (192 * GIB, "09abe9c7"), (1024 * GIB, "d6d8d853"), (2048 * GIB, "60a36090")],
)
def test_digests_of_real_machines(memory_size: int, start: str) -> None:
    assert td_hob_digest(memory_size).hex().startswith(start)


def test_the_firmware_has_accepted_its_own_ranges() -> None:
    assert [(start, size) for kind, start, size in blocks(GIB) if kind == 0] == [
        (0x80_0000, 0x6000),
        (0x80_9000, 0x2000),
        (0x80_B000, 0x2000),
        (0x81_0000, 0x1_0000),
    ]


@pytest.mark.parametrize(
    ("memory_size", "last"),
    [
        (2 * GIB - 4096, [(7, 0x82_0000, 2 * GIB - 4096 - 0x82_0000)]),
        (2 * GIB, [(7, 0x82_0000, 2 * GIB - 0x82_0000)]),
        (2 * GIB + 4096, [(7, 0x82_0000, 2 * GIB + 4096 - 0x82_0000)]),
        (2816 * MIB - 4096, [(7, 0x82_0000, 2816 * MIB - 4096 - 0x82_0000)]),
        (2816 * MIB, [(7, 0x82_0000, 2 * GIB - 0x82_0000), (7, 4 * GIB, 768 * MIB)]),
        (2816 * MIB + 4096, [(7, 0x82_0000, 2 * GIB - 0x82_0000), (7, 4 * GIB, 768 * MIB + 4096)]),
        (0x82_1000, [(7, 0x82_0000, 4096)]),
    ],
)
def test_where_the_last_range_is_split(memory_size: int, last: list[Block]) -> None:
    found = blocks(memory_size)
    assert found[-len(last) :] == last
    assert len(found) == 7 + len(last)


@given(st.integers(0x821, 1 << 40).map(lambda pages: pages * 4096))
def test_every_byte_of_memory_is_in_one_range(memory_size: int) -> None:
    found, place = blocks(memory_size), 0
    for _, start, length in found:
        assert start == (HOLE[1] if place == HOLE[0] and start != place else place)
        assert length > 0
        place = start + length
    assert sum(length for _, _, length in found) == memory_size


@given(st.integers(0x821, 1 << 40), st.integers(0x821, 1 << 40))
def test_sizes_are_told_apart(one: int, other: int) -> None:
    assert (td_hob_digest(one * 4096) == td_hob_digest(other * 4096)) is (one == other)


@pytest.mark.parametrize(
    "value",
    [
        *(0, 1, -1, -(1 << 40), 4096, 0x82_0000, GIB + 1, (1 << 52) + 4096, 2**63, 2**64, 2**70, -(2**70)),
        *(True, False, 2.0**40, float("nan"), float("inf"), "1099511627776", None, b"\0" * 8, [GIB]),
    ],
)
def test_sizes_that_no_machine_has(value: Any) -> None:
    functions = (td_hob, td_hob_digest) if value == GIB + 1 else (checked_memory_size, td_hob, td_hob_digest)
    for function in functions:
        with pytest.raises(FormatError) as caught:
            function(value)
        assert caught.value.code == "memory_size"
        assert len(str(caught.value)) < 200


def test_the_largest_size() -> None:
    assert checked_memory_size(1 << 52) == 1 << 52
    assert sum(length for _, _, length in blocks(1 << 52)) == 1 << 52

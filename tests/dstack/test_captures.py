"""Registers computed from published facts are those of real quotes."""

from __future__ import annotations

import pytest

from teeverify.formats.dstack_measurement import extended, rtmr0, rtmr0_rows, rtmr1, rtmr1_rows
from teeverify.formats.td_hob import td_hob_digest

from .machines import machines


def test_the_captures_hold_four_shapes() -> None:
    assert len(machines()) >= 15
    assert len({machine.memory_size for machine in machines()}) >= 4
    assert len({machine.report.rtmrs[0] for machine in machines()}) >= 4


def test_the_hob_digest_is_the_first_row() -> None:
    for machine in machines():
        assert td_hob_digest(machine.memory_size) == machine.rows(0)[0], machine.where


def test_rtmr0_from_memory_size_and_acpi_digests() -> None:
    for machine in machines():
        assert rtmr0_rows(machine.memory_size, *machine.acpi) == machine.rows(0), machine.where
        assert rtmr0(machine.memory_size, *machine.acpi) == machine.report.rtmrs[0], machine.where


def test_rtmr1_from_the_digest_of_the_kernel() -> None:
    for machine in machines():
        kernel = machine.rows(1)[0]
        assert rtmr1_rows(kernel) == machine.rows(1), machine.where
        assert rtmr1(kernel) == machine.report.rtmrs[1], machine.where


def test_rtmr2_has_two_rows() -> None:
    for machine in machines():
        rows = machine.rows(2)
        assert (len(rows), extended(rows)) == (2, machine.report.rtmrs[2]), machine.where


@pytest.mark.parametrize("delta", [-(1 << 30), 4096, 1 << 30])
def test_another_memory_size_is_another_register(delta: int) -> None:
    for machine in machines():
        assert rtmr0(machine.memory_size + delta, *machine.acpi) != machine.report.rtmrs[0], machine.where


def test_no_machine_fits_the_acpi_tables_of_another_shape() -> None:
    shapes = {machine.acpi for machine in machines()}
    assert len(shapes) >= 3
    for machine in machines():
        for other in shapes - {machine.acpi}:
            assert rtmr0(machine.memory_size, *other) != machine.report.rtmrs[0], machine.where


def test_rows_in_another_order_are_another_register() -> None:
    machine = machines()[0]
    rows = list(machine.rows(0))
    for place in range(len(rows) - 1):
        swapped = [*rows[:place], rows[place + 1], rows[place], *rows[place + 2 :]]
        assert (extended(swapped) == machine.report.rtmrs[0]) is (rows[place] == rows[place + 1])
    assert extended(rows[:-1]) != machine.report.rtmrs[0]

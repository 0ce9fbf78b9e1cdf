"""The memory size that a record states, as a claim: an integer, nothing, or malformed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from teeverify.claims.problem import Problem, ProblemKind
from teeverify.crypto.certificates import CertificateMemo
from teeverify.derivation.dstack import derive_dstack

TIB = 1 << 40


def claim(info: Any = None, own: Any = None) -> int | Problem | None:
    record = {} if own is None else {"vm_config": own}
    return derive_dstack(record, {} if info is None else {"vm_config": info}, memo=CertificateMemo()).memory_size


def config(size: Any) -> dict[str, Any]:
    return {"spec_version": 1, "cpu_count": 64, "memory_size": size}


@pytest.mark.parametrize("form", [lambda value: value, json.dumps], ids=["object", "text"])
def test_where_it_is_read(form: Any) -> None:
    assert claim(info=form(config(TIB))) == TIB
    assert claim(own=form(config(TIB))) == TIB
    assert claim(info=form(config(TIB)), own=form(config(TIB))) == TIB
    assert claim(info=form({"vm_config": form(config(TIB))})) == TIB
    assert claim(info=form({"vm_config": form(config(1 << 30)), "memory_size": TIB})) == TIB


@pytest.mark.parametrize("value", [None, "", {}, "{}", {"cpu_count": 1}, config(None), {"vm_config": ""}])
def test_where_it_is_not_stated(value: Any) -> None:
    assert claim() is None
    assert claim(info=value) is None
    assert claim(own=value) is None


def test_wrapped_twice_is_not_stated() -> None:
    assert claim(info={"vm_config": {"vm_config": config(TIB)}}) is None


@pytest.mark.parametrize(
    "size",
    [0, -1, -TIB, 1, 0x82_0000, 2**52 + 4096, 2**64, 2**70, True, False, 1.0e12, float(TIB), str(TIB), [TIB], {}],
)
def test_sizes_that_no_machine_has(size: Any) -> None:
    for place in ("info", "own"):
        for form in (lambda value: value, json.dumps):
            found = claim(**{place: form(config(size))})
            assert isinstance(found, Problem)
            assert (found.kind, found.code) == (ProblemKind.MALFORMED, "memory_size")


def test_two_sizes_are_none() -> None:
    found = claim(info=config(TIB), own=config(2 * TIB))
    assert isinstance(found, Problem)
    assert (found.kind, found.code) == (ProblemKind.MALFORMED, "memory_size")


@pytest.mark.parametrize("value", ["{", "[]", [1], 7, '{"memory_size": 1e999}', '{"memory_size": 1, "memory_size": 2}'])
def test_a_configuration_that_cannot_be_read_states_none(value: Any) -> None:
    """Then a pin by ACPI tables fails for want of it, and everything else is judged as without the configuration."""
    assert claim(own=value) is None
    assert claim(own={"vm_config": value}) is None
    assert claim(info=config(TIB), own=value) == TIB


@pytest.mark.parametrize("value", ["{", "[]", [1], 7])
def test_an_unreadable_configuration_of_info_is_malformed_as_before(value: Any) -> None:
    claims = derive_dstack({}, {"vm_config": value}, memo=CertificateMemo())
    assert isinstance(claims.stated["vm_config"], Problem)
    assert claims.memory_size is None

"""pin.base_image with a base image that is pinned by ACPI tables: what passes, and every lie that does not."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest

from teeverify.checks.catalogue import Finding, get_check
from teeverify.claims.problem import Problem, ProblemKind, UnjudgeableError
from teeverify.claims.subject import Subject
from teeverify.formats.dstack_measurement import extended, rtmr0, rtmr0_rows
from teeverify.policy import BaseImage, Policy, ReferenceValues
from teeverify.policy_pins import AcpiTables
from teeverify.providers.near import NearVerifier
from teeverify.roots import TrustRoots
from teeverify.saved import SavedReport
from teeverify.verdict import Outcome, Status

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
NOW = datetime(2026, 6, 15, 12, 0, tzinfo=timezone.utc)
GIB = 1 << 30
SMALL = AcpiTables(label="one GPU", loader=b"\x11" * 48, rsdp=b"\x12" * 48, tables=b"\x13" * 48)
LARGE = AcpiTables(label="eight GPUs", loader=b"\x21" * 48, rsdp=b"\x22" * 48, tables=b"\x23" * 48)
MRTD, RTMR1, RTMR2, DEV_RTMR2 = (bytes([value]) * 48 for value in (0xA0, 0xA1, 0xA2, 0xD2))
IMAGE = BaseImage(label="every shape", mrtd=MRTD, rtmr1=RTMR1, rtmr2=RTMR2, acpi=(SMALL, LARGE))
ROOTS = TrustRoots.from_directory(FIXTURES / "roots")
REPORT = SavedReport.load(FIXTURES / "near-direct.json")
POLICY = Policy.load(FIXTURES / "near-direct.toml")
(MODEL,) = (
    subject
    for subject in NearVerifier.subjects_of_saved(REPORT, roots=ROOTS, at=NOW, wall_clock=NOW)
    if subject.role == "model"
)


def machine(*, register0: bytes, memory: Any, rtmr2: bytes = RTMR2, mrtd: bytes = MRTD) -> Subject:
    """The good subject with other registers and another stated memory size."""
    assert MODEL.tdx is not None
    assert MODEL.dstack is not None
    quote = MODEL.tdx.quote
    assert not isinstance(quote, Problem)
    report = attrs.evolve(quote.report, mr_td=mrtd, rtmr0=register0, rtmr1=RTMR1, rtmr2=rtmr2)
    tdx = attrs.evolve(MODEL.tdx, quote=attrs.evolve(quote, report=report))
    return attrs.evolve(MODEL, tdx=tdx, dstack=attrs.evolve(MODEL.dstack, memory_size=memory))


def judged(subject: Subject, *images: BaseImage) -> Finding:
    policy = attrs.evolve(POLICY, pins={"model": ReferenceValues(base_images=images or (IMAGE,))})
    finding = get_check("pin.base_image").judge(subject, policy)
    assert finding.status is not Status.FAIL or finding.reason in get_check("pin.base_image").reasons
    return finding


@pytest.mark.parametrize("acpi", [SMALL, LARGE])
@pytest.mark.parametrize("memory", [GIB, 2 * GIB, 2816 << 20, 192 * GIB, 1024 * GIB, 2048 * GIB])
def test_every_memory_size_of_a_pinned_shape(acpi: AcpiTables, memory: int) -> None:
    finding = judged(machine(register0=rtmr0(memory, *acpi.digests), memory=memory))
    assert finding.status is Status.PASS
    assert acpi.label in finding.summary
    assert str(memory) in finding.summary


@pytest.mark.parametrize("stated", [GIB, 192 * GIB - 4096, 192 * GIB + 4096, 2048 * GIB])
def test_a_lie_about_the_memory_size(stated: int) -> None:
    finding = judged(machine(register0=rtmr0(192 * GIB, *SMALL.digests), memory=stated))
    assert (finding.status, finding.reason) == (Status.FAIL, "other_rtmr0")


@pytest.mark.parametrize("size", [0, -1, 2**70, 5, GIB + 1])
def test_a_size_that_makes_no_memory_map(size: int) -> None:
    assert judged(machine(register0=rtmr0(GIB, *SMALL.digests), memory=size)).status is Status.FAIL


def test_no_memory_size() -> None:
    good = machine(register0=rtmr0(GIB, *SMALL.digests), memory=GIB)
    for subject in (machine(register0=rtmr0(GIB, *SMALL.digests), memory=None), attrs.evolve(good, dstack=None)):
        finding = judged(subject)
        assert (finding.status, finding.reason) == (Status.FAIL, "memory_size_missing")


def test_a_malformed_memory_size_is_no_pass() -> None:
    problem = Problem(kind=ProblemKind.MALFORMED, code="memory_size", detail="the memory size is 0 bytes")
    with pytest.raises(UnjudgeableError):
        judged(machine(register0=rtmr0(GIB, *SMALL.digests), memory=problem))


def test_acpi_tables_of_another_shape() -> None:
    only_small = attrs.evolve(IMAGE, acpi=(SMALL,))
    subject = machine(register0=rtmr0(GIB, *LARGE.digests), memory=GIB)
    assert judged(subject).status is Status.PASS
    assert judged(subject, only_small).reason == "other_rtmr0"


def test_digests_of_two_shapes_mixed() -> None:
    register0 = rtmr0(GIB, SMALL.loader, LARGE.rsdp, SMALL.tables)
    assert judged(machine(register0=register0, memory=GIB)).reason == "other_rtmr0"


@pytest.mark.parametrize("place", range(12))
def test_rows_in_another_order(place: int) -> None:
    rows = list(rtmr0_rows(GIB, *SMALL.digests))
    rows[place], rows[place + 1] = rows[place + 1], rows[place]
    finding = judged(machine(register0=extended(rows), memory=GIB))
    assert (finding.status, finding.reason) == (Status.FAIL, "other_rtmr0")


@pytest.mark.parametrize("place", range(13))
def test_a_row_left_out_or_changed(place: int) -> None:
    rows = list(rtmr0_rows(GIB, *SMALL.digests))
    for others in ([*rows[:place], *rows[place + 1 :]], [*rows[:place], b"\x66" * 48, *rows[place + 1 :]]):
        assert judged(machine(register0=extended(others), memory=GIB)).reason == "other_rtmr0"
    assert judged(machine(register0=extended([*rows, b"\x66" * 48]), memory=GIB)).reason == "other_rtmr0"


def test_the_development_image_of_the_same_release() -> None:
    """Dev and production images share MRTD and RTMR1; only RTMR2 tells them apart."""
    finding = judged(machine(register0=rtmr0(GIB, *SMALL.digests), memory=GIB, rtmr2=DEV_RTMR2))
    assert (finding.status, finding.reason) == (Status.FAIL, "not_pinned")
    assert "RTMR2" in finding.summary


def test_another_firmware() -> None:
    finding = judged(machine(register0=rtmr0(GIB, *SMALL.digests), memory=GIB, mrtd=b"\x01" * 48))
    assert finding.reason == "not_pinned"


def test_the_shapes_of_one_image_are_not_those_of_another() -> None:
    one = attrs.evolve(IMAGE, acpi=(SMALL,))
    dev = attrs.evolve(IMAGE, label="dev", rtmr2=DEV_RTMR2, acpi=(LARGE,))
    subject = machine(register0=rtmr0(GIB, *LARGE.digests), memory=GIB)
    assert judged(subject, one, dev).reason == "other_rtmr0"
    subject = machine(register0=rtmr0(GIB, *LARGE.digests), memory=GIB, rtmr2=DEV_RTMR2)
    assert judged(subject, one, dev).status is Status.PASS


def test_rtmr3_is_enforced_where_it_is_pinned() -> None:
    subject = machine(register0=rtmr0(GIB, *SMALL.digests), memory=GIB)
    assert judged(subject, attrs.evolve(IMAGE, rtmr3=b"\x05" * 48)).reason == "not_pinned"
    assert MODEL.tdx is not None
    assert not isinstance(MODEL.tdx.quote, Problem)
    own = MODEL.tdx.quote.report.rtmr3
    assert judged(subject, attrs.evolve(IMAGE, rtmr3=own)).status is Status.PASS


def test_an_exact_entry_needs_no_memory_size() -> None:
    exact = BaseImage(label="exact", mrtd=MRTD, rtmr0=b"\x77" * 48, rtmr1=RTMR1, rtmr2=RTMR2)
    assert judged(machine(register0=b"\x77" * 48, memory=None), IMAGE, exact).status is Status.PASS
    assert judged(machine(register0=b"\x78" * 48, memory=None), IMAGE, exact).reason == "memory_size_missing"


def test_the_whole_verdict_rests_on_it() -> None:
    """The shipped fixture has an invented RTMR0: no ACPI tables lead to it, whatever is pinned."""
    pinned = POLICY.pins["model"]
    (image, *_) = pinned.base_images or ()
    assert NearVerifier(POLICY, roots=ROOTS).verify_saved(REPORT, at=NOW).outcome is Outcome.VERIFIED
    changed = attrs.evolve(pinned, base_images=(attrs.evolve(image, rtmr0=None, acpi=(SMALL, LARGE)),))
    policy = attrs.evolve(POLICY, pins={**POLICY.pins, "model": changed})
    verdict = NearVerifier(policy, roots=ROOTS).verify_saved(REPORT, at=NOW)
    assert verdict.outcome is Outcome.REJECTED
    failed = {check.id for subject in verdict.subjects for check in subject.checks if check.status is Status.FAIL}
    assert failed == {"pin.base_image"}

"""Reports of fronts judged in a warm process, over their floor; and what a pin for every memory size costs."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final

import attrs
from bench_near import measure

from teeverify.claims.problem import need
from teeverify.claims.subject import Subject
from teeverify.formats.dstack_measurement import rtmr0
from teeverify.policy import Policy
from teeverify.policy_pins import AcpiTables, BaseImage
from teeverify.registry import verifier_for
from teeverify.roots import PRODUCTION_ROOTS
from teeverify.saved import SavedReport
from teeverify.testing import FrontSession, front_policy, trust_roots
from teeverify.verdict import Outcome

ROUNDS: Final = 40
_ACPI_EVENT: Final = 0x0000000A
_NEAR_MEMORY: Final = 2 << 40
_NEAR_ACPI: Final = (
    "067dbea869d662401cfc128612472b688899b95fe801cec9e473388f2ce8d00c56b85a4511051a8d3eea3a345aa3d943",
    "e618ef92fa90877695c4be4ce94e99f8cac644f92d40900a6141154f19ee8fefde460f8c75acac5dec3f4b1545259bcf",
    "36ab67305a05ca84327abeb3ac4c3fff28dd40e23c4a2549d8c56914dafc6afac28b4687810e1ad91871a95de224c601",
)
"""Of a machine that docs/dstack-images.md tells of: memory in bytes, ACPI digests."""


def main() -> None:
    """Measure the reports and policies given in pairs, or synthetic ones of a vllm-proxy; then the pins."""
    arguments = sys.argv[1:]
    if len(arguments) % 2:
        raise SystemExit("usage: bench_fronts.py [SAVED.json POLICY.toml]...")
    for path, rules in zip(arguments[::2], arguments[1::2], strict=True):
        report, policy = SavedReport.load(path), Policy.load(rules)
        name = path.rpartition("/")[2]
        measure(name, report, policy, PRODUCTION_ROOTS, kind=verifier_for(report.provider))
        _every_memory_size(name, report, policy)
    for gpus in (1, 8) if not arguments else ():
        session = FrontSession.build("vllm-proxy", tls_bound=True, gpus=gpus)
        report = SavedReport.from_bytes(json.dumps(session.saved()).encode())
        policy = Policy.from_toml(front_policy(session))
        name = f"vllm-proxy, {gpus} GPU{'s' if gpus > 1 else ''}"
        measure(name, report, policy, trust_roots(), kind=verifier_for("vllm-proxy"))
    _one_register()


def _one_register() -> None:
    """What `teeverify dstack measure --memory --acpi` computes, without starting a process."""
    digests = tuple(bytes.fromhex(digest) for digest in _NEAR_ACPI)
    loader, rsdp, tables = digests
    took = statistics.median(_time(lambda: rtmr0(_NEAR_MEMORY, loader, rsdp, tables)) for _ in range(ROUNDS * 5))
    print(f"{'RTMR0 from memory and ACPI':32} {took * 1e6:6.1f} microseconds")


def _every_memory_size(name: str, report: SavedReport, policy: Policy) -> None:
    """The same report under pins of the ACPI tables in the place of RTMR0, against the pins as they are."""
    kind = verifier_for(report.provider)
    now = datetime.now(timezone.utc)
    subjects = kind.subjects_of_saved(report, roots=PRODUCTION_ROOTS, at=report.recorded_at, wall_clock=now)
    by_role = {subject.role: _acpi_of(subject) for subject in subjects}
    pins = {
        role: attrs.evolve(own, base_images=tuple(_by_acpi(image, by_role[role]) for image in own.base_images or ()))
        for role, own in policy.pins.items()
    }
    plain, wide = kind(policy), kind(attrs.evolve(policy, pins=pins))
    for verifier in (plain, wide):
        assert verifier.verify_saved(report, now=now).outcome is Outcome.VERIFIED
    exact: list[float] = []
    computed: list[float] = []
    for _ in range(ROUNDS):
        exact.append(_time(lambda: plain.verify_saved(report, now=now)))
        computed.append(_time(lambda: wide.verify_saved(report, now=now)))
    ratio = statistics.median(more / less for more, less in zip(computed, exact, strict=True))
    print(f"{name:32} pins by ACPI tables: {ratio:.3f} x the verdict with pins of RTMR0")


def _acpi_of(subject: Subject) -> AcpiTables:
    """The ACPI digests that a machine shows in its log."""
    assert subject.dstack is not None
    for copy in subject.dstack.logs:
        events = need(copy).log.events
        loader, rsdp, tables = [each.digest for each in events if each.imr == 0 and each.event_type == _ACPI_EVENT]
        return AcpiTables(label="as shown", loader=loader, rsdp=rsdp, tables=tables)
    raise SystemExit("the report holds no event log")


def _by_acpi(image: BaseImage, shape: AcpiTables) -> BaseImage:
    return attrs.evolve(image, rtmr0=None, acpi=(shape,))


def _time(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()

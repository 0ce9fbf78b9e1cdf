"""Real NEAR sessions under policies that pin the image by ACPI tables: one entry for 1 TiB and for 2 TiB."""

from __future__ import annotations

import functools

import attrs
import pytest

from captures import NEAR_CAPTURES, capture_path, policy_path
from teeverify.policy import BaseImage, Policy, ReferenceValues
from teeverify.policy_pins import AcpiTables
from teeverify.policy_toml import to_toml
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.verdict import AttestationVerdict, Outcome, Status

from .machines import Machine, machines


@functools.cache
def _machine_of(rtmr0: bytes) -> Machine:
    return next(machine for machine in machines() if machine.report.rtmrs[0] == rtmr0)


def by_shape(policy: Policy) -> Policy:
    """The same policy with every base image pinned by the ACPI tables of the machine that showed its RTMR0."""
    pins = {role: attrs.evolve(values, base_images=_images(values)) for role, values in policy.pins.items()}
    return Policy.from_toml(to_toml(attrs.evolve(policy, pins=pins)))


def _images(values: ReferenceValues) -> tuple[BaseImage, ...]:
    return tuple(attrs.evolve(image, rtmr0=None, acpi=(_tables(image),)) for image in values.base_images or ())


def _tables(image: BaseImage) -> AcpiTables:
    assert image.rtmr0 is not None
    loader, rsdp, tables = _machine_of(image.rtmr0).acpi
    return AcpiTables(label="observed", loader=loader, rsdp=rsdp, tables=tables)


def judged(name: str, policy: Policy) -> AttestationVerdict:
    report = SavedReport.load(capture_path(name))
    return NearVerifier(policy).verify_saved(report, at=report.recorded_at)


@pytest.mark.parametrize(("name", "policy"), NEAR_CAPTURES.items())
def test_what_was_verified_stays_verified(name: str, policy: str) -> None:
    assert judged(name, by_shape(Policy.load(policy_path(policy)))).outcome is Outcome.VERIFIED


def test_one_entry_for_two_memory_sizes() -> None:
    old = Policy.load(policy_path(NEAR_CAPTURES["near-direct-2026-04-24"]))
    new = Policy.load(policy_path(NEAR_CAPTURES["near-direct-2026-06-29"]))
    (before,), (after,) = old.pins["model"].base_images or (), new.pins["model"].base_images or ()
    assert before.rtmr0 != after.rtmr0
    crossed = {role: attrs.evolve(v, base_images=old.pins[role].base_images) for role, v in new.pins.items()}
    policy = attrs.evolve(new, pins=crossed)
    refused = judged("near-direct-2026-06-29", policy)
    assert refused.outcome is Outcome.REJECTED
    assert judged("near-direct-2026-06-29", by_shape(policy)).outcome is Outcome.VERIFIED


def test_tables_of_the_gateway_are_not_those_of_a_model_machine() -> None:
    policy = by_shape(Policy.load(policy_path("near-cloud-2026-06-29")))
    (model,), (gateway,) = policy.pins["model"].base_images or (), policy.pins["gateway"].base_images or ()
    wrong = attrs.evolve(policy.pins["model"], base_images=(attrs.evolve(model, acpi=gateway.acpi),))
    verdict = judged("near-cloud-2026-06-29", attrs.evolve(policy, pins={**policy.pins, "model": wrong}))
    assert verdict.outcome is Outcome.REJECTED
    failed = {(s.role, c.id, c.reason) for s in verdict.subjects for c in s.checks if c.status is Status.FAIL}
    assert failed == {("model", "pin.base_image", "other_rtmr0")}

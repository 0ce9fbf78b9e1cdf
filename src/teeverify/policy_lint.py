"""Advice on a policy that is valid and could still be better."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from .policy import BaseImage, Policy, ReferenceValues, RegistryPolicy, Waiver, utc_day
from .policy_overlap import may_cover

__all__ = ["lint"]

_LONG = timedelta(days=366)


_DANGEROUS: Final = {
    "pin.base_image": "so any guest image is accepted, which can forge everything else that it reports",
    "pin.compose": "so any workload is accepted",
    "pin.kms_root": "so anybody's key management service may know the signing keys",
    "channel.tls_spki": "so anybody between you and the machine can read and answer",
    "tdx.attributes": "so a TD with features that weaken it is accepted",
    "tcb.collateral_current": "so Intel's statements may be old or about another platform",
    "gpu.cert_chain": "so anything may pose as a GPU",
    "gpu.evidence_signature": "so anything may pose as a GPU's evidence",
    "gpu.nonce_bound": "so old GPU evidence is accepted",
}
"""Checks that policies may waive and hardly ever should, and what that means."""


def lint(policy: Policy, at: datetime) -> tuple[str, ...]:
    """Advice, one sentence each, in the order of the file; empty when there is nothing to say.

    Args:
        policy: the policy.
        at: the aware time that dates are held against.

    Raises:
        ConfigurationError: ``at`` has no time zone.
    """
    return tuple(_advice(policy, at))


def _advice(policy: Policy, at: datetime) -> Iterator[str]:
    yield from _validity(policy, at)
    if policy.pins.keys() - {"enclave"} or not (policy.pins or policy.needs_no_pins):  # enclaves are neither
        yield from _tcb(policy)
        yield from _gpu(policy)
    yield from _registry(policy.registry)
    if policy.exchange.signed_by == "gateway":
        yield (
            'exchange.signed_by is "gateway", so a response that no model machine signed is accepted: use "model" '
            "where the provider lets the model's signature through"
        )
    for role, values in policy.pins.items():
        yield from _pins(role, values)
    expired = policy.expired_waivers(at)
    for index, waiver in enumerate(policy.waivers):
        yield from _waiver(f"waive[{index}]", waiver, policy, waiver in expired)


def _validity(policy: Policy, at: datetime) -> Iterator[str]:
    today = utc_day(at)
    if policy.valid_until < today:
        yield f"valid_until is {policy.valid_until}, which is past: observe the provider again and renew the pins"
    elif policy.valid_until - today > _LONG:
        yield f"valid_until is {policy.valid_until}, more than a year ahead: look at the pins again sooner"


def _tcb(policy: Policy) -> Iterator[str]:
    tcb = policy.tcb
    out_of_date = [status for status in tcb.accept if status.startswith("OutOfDate")]
    if out_of_date and tcb.allow_advisories:
        yield (
            f"tcb.accept holds {' and '.join(out_of_date)} and tcb.allow_advisories {len(tcb.allow_advisories)} known "
            "weaknesses: any machine that lacks these updates is accepted, so end this with a valid_until that is near"
        )
    elif out_of_date:
        yield (
            f"tcb.accept holds {' and '.join(out_of_date)} and tcb.allow_advisories is empty: such a level nearly "
            "always carries advisories, so name the ones you accept or drop the status"
        )
    if tcb.min_eval_number == 0:
        yield (
            "tcb.min_eval_number is 0, so old collateral of Intel counts as long as it has not run out: set it to the "
            "number that a current report shows"
        )


def _registry(registry: RegistryPolicy) -> Iterator[str]:
    default = RegistryPolicy()
    if registry.assurance != default.assurance:
        yield (
            f'registry.assurance is "{registry.assurance}", so no enclave is challenged, and whoever runs the nodes or '
            'administers the contract can name any key: use "attested"'
        )
    if registry.address is not None and registry.quorum == 1:
        yield "registry.quorum is 1, so one node alone says what the contract holds: demand that several agree"
    for name in ("max_heartbeat_age", "max_block_age"):
        age, usual = getattr(registry, name), getattr(default, name)
        if age > usual:
            yield f"registry.{name} is {age}, so answers that are long out of date count: {usual} seconds will do"


def _gpu(policy: Policy) -> Iterator[str]:
    if not policy.gpu.require:
        yield "gpu.require is false, so a model that shows no GPU evidence is accepted: set it to true"
    if policy.gpu.nras == "ignore":
        yield 'gpu.nras is "ignore", so the GPU firmware is compared with nothing: use "when_present" or "required"'


def _pins(role: str, values: ReferenceValues) -> Iterator[str]:
    if not values.is_pinned and not values.is_enclave_pinned:
        yield from _unpinned(role, values)
    if values.compose is not None and values.kms_roots is None:
        yield (
            f"pins.{role} has no kms_roots, so the same software under anybody's own key management service is "
            "accepted, and its owner knows the keys: pin kms_roots"
        )
    if values.images_by_digest and (values.compose_flags is None or values.compose_flags.pre_launch_scripts is None):
        yield (
            f"pins.{role}.images_by_digest says nothing about scripts, which may fetch and run anything: list the "
            "SHA-256 of the scripts that you read in compose_flags.pre_launch_scripts (empty for none)"
        )
    for image in values.base_images or ():
        if image.acpi is not None:
            yield from _beside(role, image, values)
    zero = [image.label for image in values.base_images or () if image.rtmr3 is not None and not any(image.rtmr3)]
    if zero:
        yield (
            f"pins.{role}.base_images holds an rtmr3 of zeros ({', '.join(zero)}): nothing was measured into that "
            "register, so it tells no workload from another; ask the provider for an image that measures its workload"
        )


def _beside(role: str, image: BaseImage, values: ReferenceValues) -> Iterator[str]:
    for other in values.base_images or ():
        if may_cover(image, other):
            yield (
                f"pins.{role}.base_images pins the software of {image.label!r} by ACPI tables, and as {other.label!r} "
                "by rtmr0: that machine's ACPI tables say the same for every memory size, so keep one of the two"
            )


def _unpinned(role: str, values: ReferenceValues) -> Iterator[str]:
    if values.pcrs is not None:
        yield (
            f"pins.{role}.pcrs has a table without pcr0, pcr1 or pcr2, so the enclave image is not pinned and "
            "policy.pinned fails: add all three to every table"
        )
    elif values.base_images is None:
        yield f"pins.{role} has no base_images, so any image could report these values: policy.pinned fails, pin them"
    else:
        yield (
            f"pins.{role} names no workload, so any program may run on that image and policy.pinned fails: pin "
            "compose, or rtmr3 in every base image where the provider shows no event log (app_ids alone do not count)"
        )


def _waiver(key: str, waiver: Waiver, policy: Policy, expired: bool) -> Iterator[str]:
    if waiver.expires is None:
        yield f"{key} ({waiver.check}) has no expires, so it stays for ever: give it a last day"
    elif expired:
        yield f"{key} ({waiver.check}) ended on {waiver.expires}, so the check is enforced again: remove or renew it"
    if waiver.role is not None and policy.pins_for(waiver.role) is None:
        yield f"{key} ({waiver.check}) is for role {waiver.role}, which has no pins: pin that role or remove the waiver"
    if waiver.check in _DANGEROUS:
        yield f"{key} waives {waiver.check}, {_DANGEROUS[waiver.check]}: remove it when you can"
    if waiver.check == "policy.pinned":
        yield f"{key} waives policy.pinned, so genuine hardware that runs anything at all is accepted: pin it instead"

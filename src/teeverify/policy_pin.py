"""Writing a first policy from what was observed in a report: trust on first use, said in words.

The result is as strict as a policy can be: nothing is waived and no default is relaxed. What the values are worth is
for the reader to decide, and the header of the file says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from attrs import frozen

from .errors import PolicyError
from .policy import BaseImage, GpuPolicy, Policy, ReferenceValues, TcbPolicy, utc_day
from .policy_text import to_toml

__all__ = ["PinObservation", "pin_policy"]

T = TypeVar("T")

VALIDITY: Final = timedelta(days=90)
"""Providers replace images about monthly; after three months pins deserve a second look."""


@frozen(kw_only=True)
class PinObservation:
    """What one attesting environment showed.

    ``mrtd``, ``rtmr0`` to ``rtmr3`` and ``mr_seam`` are 48 bytes, ``app_id`` 20, ``compose_hash`` and ``os_image`` 32;
    ``kms_root`` is a DER SubjectPublicKeyInfo. ``has_event_log`` says whether an event log explains RTMR3; where none
    does, RTMR3 itself is pinned. ``eval_number`` is the tcbEvaluationDataNumber of Intel's collateral. ``hardware_ok``
    says that every check of the hardware (Intel, NVIDIA, freshness, binding) passed.
    """

    role: str
    mrtd: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes
    mr_seam: bytes
    app_id: bytes | None = None
    compose_hash: bytes | None = None
    kms_root: bytes | None = None
    os_image: bytes | None = None
    has_event_log: bool
    gpu_count: int | None = None
    gpu_arch: str | None = None
    eval_number: int | None = None
    hardware_ok: bool


def pin_policy(
    observations: Sequence[PinObservation], *, provider: str, name: str, recorded_at: datetime, source: str
) -> str:
    """Write the commented TOML text of a policy that pins exactly what was observed.

    Args:
        observations: what was seen, of one role or several; observations of one role merge into lists.
        provider: name of the provider.
        name: name of the policy.
        recorded_at: aware time of the observation; the policy is valid until 90 days later.
        source: where the values come from, for the comments ("a report of cloud-api.near.ai").

    Raises:
        PolicyError: nothing was observed, a hardware check did not pass, a role shows no workload, or a value breaks
            the rules of a policy.
        ConfigurationError: ``recorded_at`` has no time zone.
    """
    _refuse_unfit(observations)
    day = utc_day(recorded_at)
    policy = Policy(
        name=name,
        provider=provider,
        valid_until=day + VALIDITY,
        tcb=TcbPolicy(min_eval_number=_lowest(seen.eval_number for seen in observations) or 0),
        gpu=_gpu(observations),
        pins={role: _values(_of_role(observations, role), f"{role} {day}") for role in _roles(observations)},
    )
    where = f"observed in {source} on {day}, hardware checks passed"
    return to_toml(policy, header=_header(where), comments=_comments(policy, where))


def _refuse_unfit(observations: Sequence[PinObservation]) -> None:
    if not observations:
        raise PolicyError("no attesting environment was observed, at least one was expected: use a complete report")
    for seen in observations:
        if seen.hardware_ok is not True:
            raise PolicyError(
                f"the hardware checks of role {seen.role} did not pass, genuine hardware was expected: values that "
                "nobody vouches for are not worth pinning, so take a fresh report"
            )
        if seen.has_event_log and seen.compose_hash is None:
            raise PolicyError(
                f"role {seen.role} shows an event log and no compose hash, a workload to pin was expected: such a "
                "policy could never verify, so take a complete report"
            )


def _roles(observations: Sequence[PinObservation]) -> tuple[str, ...]:
    return _unique(seen.role for seen in observations)


def _of_role(observations: Sequence[PinObservation], role: str) -> list[PinObservation]:
    return [seen for seen in observations if seen.role == role]


def _unique(values: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(value for value in values if value is not None))


def _lowest(values: Iterable[int | None]) -> int | None:
    """The lowest of what was observed, so that every observation satisfies the policy made from it."""
    return min((value for value in values if value is not None), default=None)


def _gpu(observations: Sequence[PinObservation]) -> GpuPolicy:
    """Defaults where no GPU was observed: a demand that nothing was held against is no reason to drop it."""
    strict = GpuPolicy()
    return GpuPolicy(
        min_count=_lowest(seen.gpu_count or None for seen in observations) or strict.min_count,
        arch=_unique(seen.gpu_arch for seen in observations) or strict.arch,
    )


def _values(observations: list[PinObservation], label: str) -> ReferenceValues:
    def seen(read: Callable[[PinObservation], bytes | None]) -> tuple[bytes, ...] | None:
        return _unique(read(observation) for observation in observations) or None

    return ReferenceValues(
        base_images=_base_images(observations, label),
        mr_seam=seen(lambda o: o.mr_seam),
        app_ids=seen(lambda o: o.app_id),
        compose=seen(lambda o: o.compose_hash),
        kms_roots=seen(lambda o: o.kms_root),
        os_images=seen(lambda o: o.os_image),
    )


def _base_images(observations: list[PinObservation], label: str) -> tuple[BaseImage, ...]:
    tuples = _unique((o.mrtd, o.rtmr0, o.rtmr1, o.rtmr2, None if o.has_event_log else o.rtmr3) for o in observations)
    return tuple(
        BaseImage(label=f"{label} ({number})", mrtd=mrtd, rtmr0=rtmr0, rtmr1=rtmr1, rtmr2=rtmr2, rtmr3=rtmr3)
        for number, (mrtd, rtmr0, rtmr1, rtmr2, rtmr3) in enumerate(tuples, start=1)
    )


def _header(where: str) -> list[str]:
    return [
        f"Every pin below was {where}.",
        "",
        "These values say what was OBSERVED. Genuine hardware ran exactly this; whether that is good software is a",
        "question no report can answer. You are the one who decides. What to do next:",
        "  1. Read the compose documents behind the compose hashes and the sources of the images that they name.",
        "  2. Compare the registers with values that the provider publishes, or rebuild the image.",
        "  3. Put what you found into the comments, then run `teeverify policy lint` on this file.",
        "  4. When the provider changes, look at the new values with `teeverify policy diff` before you trust them.",
        "",
    ]


def _comments(policy: Policy, where: str) -> dict[str, str]:
    comments = {
        "valid_until": f"{VALIDITY.days} days after the observation: look again then.",
        "tcb.accept": "The strictest choice, whatever was observed.",
        "tcb.min_eval_number": f"tcbEvaluationDataNumber of Intel's collateral, {where}.",
        "gpu.min_count": f"Lowest number of GPUs {where}; 1 where none was.",
        "gpu.arch": f"Architectures {where}; HOPPER where none was.",
    }
    for role, values in policy.pins.items():
        for kind, pins in _lists(values):
            for index in range(len(pins)):
                comments[f"pins.{role}.{kind}[{index}]"] = f"{where[0].upper()}{where[1:]}."
    return comments


def _lists(values: ReferenceValues) -> list[tuple[str, tuple[Any, ...]]]:
    kinds = ("base_images", "mr_seam", "app_ids", "compose", "kms_roots", "os_images")
    return [(kind, pins) for kind in kinds if (pins := getattr(values, kind)) is not None]

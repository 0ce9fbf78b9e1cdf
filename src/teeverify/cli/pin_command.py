"""``teeverify policy pin``: write a first policy from a report whose hardware checks pass, or propose one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from ..appraisal import appraise, root_causes
from ..claims.problem import Problem
from ..claims.subject import Subject
from ..errors import ConfigurationError
from ..policy import Policy
from ..policy_pin import PinObservation, pin_policy
from ..policy_pin_enclave import EnclaveObservation, pin_enclaves
from ..registry import verifier_for
from ..roots import PRODUCTION_ROOTS, TrustRoots
from ..saved import SavedReport
from ..verdict import Outcome

__all__ = ["run"]

_NOT_HARDWARE: Final = frozenset({"channel.tls_spki", "gpu.nras_token", "gpu.nras_result", "saved.recorded_at"})
"""Checks of the session rather than of the machine: a report that leaves them open can still show what to pin."""


def run(args: argparse.Namespace) -> int:
    """Print or write the policy that pins what a saved report shows, or what a provider says of its own images."""
    if args.from_provider is None:
        text, advice = _of_report(args), "It pins what was observed; whether that software is good is yours to decide."
    else:
        text, advice = _of_provider(args), "It pins what the provider says, unsigned; read it before you use it."
    if args.out is None:
        print(text, end="")
        return 0
    try:
        Path(args.out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the policy cannot be written to {args.out!r}: {error.strerror}") from None
    print(f"Wrote {args.out}. {advice}", file=sys.stderr)
    return 0


def _of_provider(args: argparse.Namespace) -> str:
    from .provider_pins import proposed_policy

    if args.saved is not None or args.test_roots is not None:
        extra = "a saved report" if args.saved is not None else "--test-roots"
        raise ConfigurationError(f"{extra} does not go with --from-provider: leave one out")
    return proposed_policy(args)


def _of_report(args: argparse.Namespace) -> str:
    """Judge the hardware of a saved report, then write down what it shows."""
    extra = [name for name in ("measurements", "connect_to", "ca") if getattr(args, name) is not None]
    if extra:
        raise ConfigurationError(f"--{extra[0].replace('_', '-')} goes with --from-provider only: name the provider")
    if args.saved is None:
        raise ConfigurationError("there is nothing to pin from: give a saved report, or --from-provider chutes")
    report = SavedReport.load(args.saved)
    roots = TrustRoots.from_directory(args.test_roots) if args.test_roots else PRODUCTION_ROOTS
    verifier = verifier_for(report.provider)
    subjects = verifier.subjects_of_saved(
        report, roots=roots, at=report.recorded_at, wall_clock=datetime.now(timezone.utc)
    )
    source = f"the saved report {Path(args.saved).name} (SHA-256 {report.digest})"
    if roots.test:
        source = f"{source}, UNDER TEST ROOTS, which prove nothing about real hardware"

    def written(observed: Sequence[Subject]) -> str:
        named: dict[str, Any] = {
            "provider": report.provider,
            "name": args.name or f"{report.provider}-{report.recorded_at:%Y-%m-%d}",
            "recorded_at": report.recorded_at,
            "source": source,
        }
        if any(subject.enclave is not None for subject in observed):
            text = pin_enclaves([_observe_enclave(subject) for subject in observed], **named)
        else:
            text = pin_policy([_observe(subject) for subject in observed], **named)
        _refuse_bad_hardware(observed, Policy.from_toml(text), verifier.applicable)
        return text

    return written(_fit(subjects, written))


def _fit(subjects: Sequence[Subject], written: Callable[[Sequence[Subject]], str]) -> Sequence[Subject]:
    """The instances that can be pinned, the others are named; all subjects where they are parts of one service."""
    if len(subjects) < 2 or any(subject.role != "instance" for subject in subjects):
        return subjects
    fit: list[Subject] = []
    for subject in subjects:
        try:
            written([subject])
        except ConfigurationError as error:
            print(f"Left out {subject.id}: {error}", file=sys.stderr)
        else:
            fit.append(subject)
    return fit or subjects


def _observe_enclave(subject: Subject) -> EnclaveObservation:
    document = None if subject.nitro is None else subject.nitro.document
    if document is None or isinstance(document, Problem):
        raise ConfigurationError(f"{subject.id} shows no document of its own, and the word of nodes is not pinned")
    pcrs = {f"pcr{number}": value for number, value in document.pcrs.items()}
    return EnclaveObservation(role=subject.role, pcrs=pcrs)


def _observe(subject: Subject) -> PinObservation:
    quote = subject.tdx.quote if subject.tdx is not None else None
    identity = subject.dstack.identity if subject.dstack is not None else None
    if quote is None or isinstance(quote, Problem) or isinstance(identity, Problem):
        raise ConfigurationError(f"{subject.id} shows no quote or no identity that could be pinned")
    collateral = subject.tdx.collateral if subject.tdx is not None else None
    tcb = None if collateral is None or isinstance(collateral, Problem) else collateral.tcb_info
    devices = subject.gpu.devices if subject.gpu is not None else ()
    architectures = {d.certificate.architecture for d in devices if not isinstance(d.certificate, Problem)}
    return PinObservation(
        role=subject.role,
        mrtd=quote.report.mr_td,
        rtmr0=quote.report.rtmr0,
        rtmr1=quote.report.rtmr1,
        rtmr2=quote.report.rtmr2,
        rtmr3=quote.report.rtmr3,
        mr_seam=quote.report.mr_seam,
        app_id=None if identity is None else identity.app_id,
        compose_hash=None if identity is None else identity.compose_hash,
        kms_root=None if identity is None else identity.key_provider.id,
        os_image=None if identity is None else identity.os_image_hash,
        has_event_log=identity is not None,
        gpu_count=len(devices) or None,
        gpu_arch=next(iter(architectures)) if len(architectures) == 1 else None,
        eval_number=None if tcb is None or isinstance(tcb, Problem) else tcb.eval_number,
        hardware_ok=True,  # the text is thrown away unless _refuse_bad_hardware agrees
    )


def _refuse_bad_hardware(
    subjects: Sequence[Subject], policy: Policy, applicable: Mapping[str, Collection[str]]
) -> None:
    """Every check but those of the session must pass under the policy just written, or nothing is written."""
    found = [(subject.id, result) for subject in subjects for result in appraise(subject, policy, applicable)]
    deciding = [
        (where, result)
        for where, result in found
        if result.decides is Outcome.REJECTED or (result.decides is not None and result.id not in _NOT_HARDWARE)
    ]
    if deciding:
        where, result = root_causes(deciding)[0]
        raise ConfigurationError(
            f"nothing was pinned: {result.id} of {where} is {result.status.value}, {result.summary}"
        )

"""The conclusion of a session: subjects folded to one outcome, attested keys, the end, and the decisive line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TypeAlias

from .appraisal import judge_subject, root_causes
from .checks.tcb_levels import grace_end
from .claims.aci import AciClaims
from .claims.problem import Problem
from .claims.subject import Subject
from .errors import ConfigurationError
from .limits import MAX_REGISTRY_WORD
from .policy import Policy
from .roots import TrustRoots
from .verdict import AttestationVerdict, AttestedKey, CheckResult, Outcome, Status, SubjectVerdict

__all__ = ["Boundary", "conclude_session", "decisive_line", "earliest_end", "fold_subjects", "with_keys"]

Boundary: TypeAlias = Callable[[Sequence[SubjectVerdict]], tuple[str, tuple[str, ...]]]
"""Says, of judged subjects, what the enforced checks that passed come to, and what is not proven all the same."""


def conclude_session(
    subjects: tuple[Subject, ...],
    *,
    policy: Policy,
    roots: TrustRoots,
    applicable: Mapping[str, Collection[str]],
    boundary: Boundary,
    model: str,
    nonce: bytes,
    at: datetime,
) -> AttestationVerdict:
    """Judge derived subjects under a policy and fold them to a verdict; pure.

    Raises:
        ConfigurationError: the subjects were derived for another nonce, time or kind of trust anchors.
    """
    for subject in subjects:
        if (subject.binding.nonce, subject.evaluated_at, subject.test_roots) != (nonce, at, roots.test):
            raise ConfigurationError(
                f"subject {subject.id} was derived for another nonce, time or kind of roots: derive it again"
            )
    judged = tuple(judge_subject(subject, policy, applicable) for subject in subjects)
    outcome = fold_subjects(judged, policy)
    verified = outcome is Outcome.VERIFIED
    if verified:
        judged = tuple(with_keys(verdict, subject) for verdict, subject in zip(judged, subjects, strict=True))
    words, gaps = boundary(judged)
    if not verified:
        words = f"Nothing is proven, since the verdict is not VERIFIED. {words}"
    if roots.test:
        words = f"TEST ROOTS, proves nothing about real hardware. {words}"
    relied_on = [s for s, verdict in zip(subjects, judged, strict=True) if verdict.outcome is Outcome.VERIFIED]
    expires_at = earliest_end(relied_on, policy, at) if verified else None
    results = [(verdict.id, result) for verdict in judged for result in verdict.checks]
    counted = [verdict for verdict in judged if verdict.outcome is Outcome.VERIFIED]
    passes = sum(result.status is Status.PASS for verdict in counted for result in verdict.checks)
    stand = f"{len(judged)}" if len(counted) == len(judged) else f"{len(counted)} of {len(judged)}"
    return AttestationVerdict(
        provider=policy.provider,
        model=model,
        outcome=outcome,
        policy_name=policy.name,
        policy_digest=policy.digest,
        nonce=nonce.hex(),
        evaluated_at=at,
        expires_at=expires_at,
        trust_boundary=words,
        gaps=gaps,
        subjects=judged,
        conclusion=decisive_line(
            outcome,
            results,
            policy,
            at=at,
            expires_at=expires_at,
            proven=f"{stand} subjects, {passes} checks passed",
            test_roots=roots.test,
        ),
        test_roots=roots.test,
        roots_digest=roots.digest,
        origin=next((subject.channel.origin for subject in subjects if subject.channel is not None), ""),
    )


def fold_subjects(judged: Sequence[SubjectVerdict], policy: Policy) -> Outcome:
    """Rejected if any subject is, VERIFIED only if all are; without subjects it is inconclusive.

    Where the policy takes any instance, one that is VERIFIED stands for all instances, and the others are merely shown.
    """
    outcomes = {verdict.outcome for verdict in judged}
    instances = {verdict.outcome for verdict in judged if verdict.role == "instance"}
    if instances and policy.instances == "any":
        order = (Outcome.VERIFIED, Outcome.INCONCLUSIVE, Outcome.REJECTED)
        best = next(outcome for outcome in order if outcome in instances)
        outcomes = {best, *(verdict.outcome for verdict in judged if verdict.role != "instance")}
    if Outcome.REJECTED in outcomes:
        return Outcome.REJECTED
    return Outcome.VERIFIED if outcomes == {Outcome.VERIFIED} else Outcome.INCONCLUSIVE


def with_keys(verdict: SubjectVerdict, subject: Subject) -> SubjectVerdict:
    """Mint the attested keys of a VERIFIED subject; only called once the whole verdict is VERIFIED."""
    if verdict.outcome is not Outcome.VERIFIED:
        return verdict
    passed = {result.id for result in verdict.checks if result.status is Status.PASS}
    keys: list[AttestedKey] = []
    key, ohttp, kem = subject.binding.signing_key, subject.binding.ohttp, subject.binding.kem_key
    if "binding.signing_key" in passed and key is not None and not isinstance(key, Problem):
        public = key.public_key.hex() if key.public_key is not None else ""
        keys.append(AttestedKey(use="signing", algorithm=key.algorithm, public_key=public, address=key.address.hex()))
    if "binding.e2ee_key" in passed and ohttp is not None and not isinstance(ohttp, Problem):
        keys.append(AttestedKey(use="ohttp", algorithm="ohttp", public_key=ohttp.key_config.hex()))
    if {"binding.e2ee_key", "binding.report_data"} <= passed and kem is not None and not isinstance(kem, Problem):
        keys.append(AttestedKey(use="e2ee", algorithm=kem.algorithm, public_key=kem.public_key.hex()))
    if {"aci.keyset", "binding.report_data"} <= passed and subject.aci is not None:
        keys += _keyset_keys(subject.aci)
    keys += _enclave_keys(subject, passed)
    return SubjectVerdict(
        id=verdict.id, role=verdict.role, outcome=verdict.outcome, checks=verdict.checks, attested_keys=tuple(keys)
    )


def _keyset_keys(claims: AciClaims) -> list[AttestedKey]:
    if isinstance(claims.keyset, Problem):
        return []
    return [
        AttestedKey(
            use=use,
            algorithm=key.algorithm,
            public_key=key.public_key.hex(),
            address=key.public_key.hex() if use == "signing" else "",
            key_id=key.key_id,
        )
        for use, keys in (("signing", claims.keyset.receipt_keys), ("e2ee", claims.keyset.e2ee_keys))
        for key in keys
    ]


def _enclave_keys(subject: Subject, passed: set[str]) -> list[AttestedKey]:
    claims = subject.enclave
    if claims is None or isinstance(claims.signing_key, Problem) or isinstance(claims.tee_id, Problem):
        return []
    keys = []
    if "enclave.signing_key" in passed:
        key, tee_id = claims.signing_key.hex(), claims.tee_id.hex()
        keys.append(AttestedKey(use="signing", algorithm="rsa-pss-sha256", public_key=key, address=tee_id))
    if "enclave.ohttp_key" in passed and claims.ohttp is not None and not isinstance(claims.ohttp, Problem):
        keys.append(AttestedKey(use="ohttp", algorithm="ohttp", public_key=claims.ohttp.key_config.hex()))
    return keys


def earliest_end(subjects: Sequence[Subject], policy: Policy, at: datetime) -> datetime:
    """The earliest end of everything that a verdict rests on and that carries a date."""
    ends = [policy.earliest_end(at)]
    for subject in subjects:
        tdx, gpu = subject.tdx, subject.gpu
        if tdx is not None and not isinstance(tdx.dcap, Problem):
            ends.append(tdx.dcap.earliest_expiry)
            if tdx.dcap.status not in policy.tcb.accept and not isinstance(tdx.collateral, Problem):
                grace = grace_end(tdx.collateral, policy)
                if grace >= subject.evaluated_at:  # else tcb.status is waived, and no grace was used
                    ends.append(grace)
        if tdx is not None and not isinstance(tdx.pck, Problem):
            ends.append(tdx.pck.not_after)
        if subject.aci is not None and not isinstance(subject.aci.keyset, Problem):
            ends.append(datetime.fromtimestamp(subject.aci.keyset.not_after, timezone.utc))
        if subject.nitro is not None and not isinstance(subject.nitro.chain, Problem):
            ends.append(subject.nitro.chain.not_after)
        if subject.enclave is not None and subject.nitro is None:
            ends.append(at + timedelta(seconds=MAX_REGISTRY_WORD))
        if gpu is not None:
            ends += [d.certificate.not_after for d in gpu.devices if not isinstance(d.certificate, Problem)]
            if gpu.nras is not None and not isinstance(gpu.nras, Problem):
                ends.append(datetime.fromtimestamp(gpu.nras.answer.overall.times.exp, timezone.utc))
    return min(ends)


def decisive_line(
    outcome: Outcome,
    results: Sequence[tuple[str, CheckResult]],
    policy: Policy,
    *,
    at: datetime,
    expires_at: datetime | None,
    proven: str,
    test_roots: bool,
) -> str:
    """The decisive line. ``results`` carry the id of their subject; ``proven`` is what to say when all is well."""
    causes = root_causes([(subject, result) for subject, result in results if result.decides is outcome])
    deciding = [f"{result.id} ({subject})" for subject, result in causes]
    waived = sorted({result.id for _, result in results if not result.enforced})
    if outcome is Outcome.VERIFIED:
        what = proven
    elif outcome is Outcome.REJECTED:
        what = f"failed: {', '.join(deciding[:6])}{' ...' if len(deciding) > 6 else ''}"
    else:
        what = f"not evaluated: {', '.join(deciding[:6])}{' ...' if len(deciding) > 6 else ''}"
    under = f"as of {_words(at)} under policy {policy.name!r} ({policy.digest[:12]})"
    parts = [f"{outcome.value} {under}: {what}"]
    if waived:
        parts.append(f"waived: {', '.join(waived)}")
    if expires_at is not None:
        parts.append(f"holds until {_words(expires_at)}")
    if test_roots:
        parts.append("under TEST ROOTS, which prove nothing about real hardware")
    return "; ".join(parts)


def _words(at: datetime) -> str:
    return f"{at.astimezone(timezone.utc).replace(tzinfo=None).isoformat(sep=' ', timespec='seconds')} UTC"

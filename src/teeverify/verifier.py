"""Verifiers: one session in, one verdict out.

`ConfidentialVerifier` is what callers rely on; `Verifier` is the shared body that the provider classes fill in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from typing import Protocol, runtime_checkable

from .appraisal import judge_subject, root_causes
from .checks.tcb_levels import grace_end
from .claims.problem import Problem
from .claims.subject import Subject
from .errors import ConfigurationError, UnknownProviderError
from .policy import Policy
from .roots import PRODUCTION_ROOTS, TrustRoots
from .saved import SavedReport
from .verdict import AttestationVerdict, AttestedKey, Outcome, Status, SubjectVerdict

__all__ = ["ConfidentialVerifier", "Verifier", "VerifierRegistry", "verifier_for"]


@runtime_checkable
class ConfidentialVerifier(Protocol):
    """Judges the attestation evidence of one provider."""

    @property
    def provider(self) -> str:
        """Name of the provider, as in policies and saved reports."""
        ...

    def verify_saved(self, report: SavedReport, *, at: datetime | None = None) -> AttestationVerdict:
        """Judge a saved report as of ``at``, or of the time at which it says it was recorded."""
        ...


class Verifier(ABC):
    """What all providers share: replay, appraisal, conclusion.

    Args:
        policy: what the caller demands; its provider must be this verifier's.
        roots: trust anchors; anything but the vendors' own shows in every verdict.

    Raises:
        ConfigurationError: the policy is for another provider.
    """

    provider: str
    """Name of the provider."""
    applicable: Mapping[str, Collection[str]]
    """Check ids of this provider and the roles that each applies to."""

    def __init__(self, policy: Policy, *, roots: TrustRoots = PRODUCTION_ROOTS) -> None:
        if policy.provider != self.provider:
            raise ConfigurationError(
                f"policy {policy.name!r} is for provider {policy.provider!r}, the evidence is of {self.provider!r}: "
                f"choose a policy for {self.provider!r}"
            )
        self.policy = policy
        self.roots = roots

    def verify_saved(
        self, report: SavedReport, *, at: datetime | None = None, now: datetime | None = None
    ) -> AttestationVerdict:
        """Judge a saved report without any network.

        Args:
            report: the saved report; everything in it is untrusted.
            at: the time to judge for (aware); by default the time at which the report says it was recorded.
            now: our own clock (aware), against which the report's claim is held.

        Raises:
            ConfigurationError: the report is of another provider, or a time is not aware.
        """
        if report.provider != self.provider:
            raise ConfigurationError(f"the saved report is of provider {report.provider!r}, not {self.provider!r}")
        clock = datetime.now(timezone.utc) if now is None else now
        evaluated_at = report.recorded_at if at is None else at
        if None in (evaluated_at.tzinfo, clock.tzinfo, report.recorded_at.tzinfo):
            raise ConfigurationError("a time without time zone was given: pass aware times, for example in UTC")
        evaluated_at = evaluated_at.astimezone(timezone.utc)
        with_nras = self.policy.gpu.nras != "ignore"
        subjects = self.subjects_of_saved(
            report, roots=self.roots, at=evaluated_at, wall_clock=clock, with_nras=with_nras
        )
        return self.conclude(subjects, model=report.model, nonce=report.nonce, at=evaluated_at)

    @classmethod
    @abstractmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """Run the provider's flow over the recorded answers and derive its subjects, judging nothing.

        Never raises: what cannot be read becomes a Problem inside a subject.
        """

    @abstractmethod
    def _boundary(self, judged: Sequence[SubjectVerdict]) -> tuple[str, tuple[str, ...]]:
        """What the enforced checks that passed come to, in words, and what is not proven all the same."""

    def conclude(self, subjects: tuple[Subject, ...], *, model: str, nonce: bytes, at: datetime) -> AttestationVerdict:
        """Judge derived subjects under the policy and fold them to a verdict.

        Pure: for callers who do their own I/O. ``nonce`` is the 32-byte challenge, ``at`` the aware time of the
        verdict; both must be those that the subjects were derived for.

        Raises:
            ConfigurationError: the subjects were derived for another nonce, time or kind of trust anchors.
        """
        for subject in subjects:
            if (subject.binding.nonce, subject.evaluated_at, subject.test_roots) != (nonce, at, self.roots.test):
                raise ConfigurationError(
                    f"subject {subject.id} was derived for another nonce, time or kind of roots: derive it again"
                )
        judged = tuple(judge_subject(subject, self.policy, self.applicable) for subject in subjects)
        outcome = _fold_subjects(judged)
        verified = outcome is Outcome.VERIFIED
        if verified:
            judged = tuple(_with_keys(verdict, subject) for verdict, subject in zip(judged, subjects, strict=True))
        boundary, gaps = self._boundary(judged)
        if not verified:
            boundary = f"Nothing is proven, since the verdict is not VERIFIED. {boundary}"
        if self.roots.test:
            boundary = f"TEST ROOTS, proves nothing about real hardware. {boundary}"
        expires_at = min([self.policy.earliest_end(at), *_ends(subjects, self.policy)]) if verified else None
        return AttestationVerdict(
            provider=self.provider,
            model=model,
            outcome=outcome,
            policy_name=self.policy.name,
            policy_digest=self.policy.digest,
            nonce=nonce.hex(),
            evaluated_at=at,
            expires_at=expires_at,
            trust_boundary=boundary,
            gaps=gaps,
            subjects=judged,
            conclusion=_conclusion(outcome, judged, self.policy, at, expires_at, self.roots),
            test_roots=self.roots.test,
        )


class VerifierRegistry:
    """Verifier classes by provider name; an unknown name is an error, never a default."""

    def __init__(self, classes: Mapping[str, type[Verifier]]) -> None:
        self._classes = dict(classes)

    def register(self, verifier: type[Verifier]) -> None:
        """Add a verifier class under its provider's name.

        Raises:
            ConfigurationError: the name is taken.
        """
        if verifier.provider in self._classes:
            raise ConfigurationError(f"provider {verifier.provider!r} is registered already")
        self._classes[verifier.provider] = verifier

    @property
    def providers(self) -> tuple[str, ...]:
        """The registered names, sorted."""
        return tuple(sorted(self._classes))

    def get(self, provider: str) -> type[Verifier]:
        """The class for a provider.

        Raises:
            UnknownProviderError: no verifier is registered under that name.
        """
        if provider not in self._classes:
            known = ", ".join(self.providers)
            raise UnknownProviderError(f"there is no verifier for provider {provider[:64]!r}; known are: {known}")
        return self._classes[provider]


def verifier_for(provider: str) -> type[Verifier]:
    """The built-in verifier class for a provider.

    Raises:
        UnknownProviderError: no verifier is built in under that name.
    """
    from .providers.near import NearVerifier

    return VerifierRegistry({NearVerifier.provider: NearVerifier}).get(provider)


def _fold_subjects(judged: Sequence[SubjectVerdict]) -> Outcome:
    outcomes = {verdict.outcome for verdict in judged}
    if Outcome.REJECTED in outcomes:
        return Outcome.REJECTED
    return Outcome.VERIFIED if outcomes == {Outcome.VERIFIED} else Outcome.INCONCLUSIVE


def _with_keys(verdict: SubjectVerdict, subject: Subject) -> SubjectVerdict:
    """Mint the attested keys of a subject; only called once the whole verdict is VERIFIED."""
    passed = {result.id for result in verdict.checks if result.status is Status.PASS}
    keys: list[AttestedKey] = []
    key, ohttp = subject.binding.signing_key, subject.binding.ohttp
    if "binding.signing_key" in passed and key is not None and not isinstance(key, Problem):
        public = key.public_key.hex() if key.public_key is not None else ""
        keys.append(AttestedKey(use="signing", algorithm=key.algorithm, public_key=public, address=key.address.hex()))
    if "binding.e2ee_key" in passed and ohttp is not None and not isinstance(ohttp, Problem):
        keys.append(AttestedKey(use="ohttp", algorithm="ohttp", public_key=ohttp.key_config.hex()))
    return SubjectVerdict(
        id=verdict.id, role=verdict.role, outcome=verdict.outcome, checks=verdict.checks, attested_keys=tuple(keys)
    )


def _ends(subjects: Sequence[Subject], policy: Policy) -> list[datetime]:
    """Ends of everything that a verdict rests on and that carries a date."""
    ends: list[datetime] = []
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
        if gpu is not None:
            ends += [d.certificate.not_after for d in gpu.devices if not isinstance(d.certificate, Problem)]
            if gpu.nras is not None and not isinstance(gpu.nras, Problem):
                ends.append(datetime.fromtimestamp(gpu.nras.answer.overall.times.exp, timezone.utc))
    return ends


def _conclusion(
    outcome: Outcome,
    judged: Sequence[SubjectVerdict],
    policy: Policy,
    at: datetime,
    expires_at: datetime | None,
    roots: TrustRoots,
) -> str:
    """The decisive line."""
    results = [(verdict.id, result) for verdict in judged for result in verdict.checks]
    causes = root_causes([(subject, result) for subject, result in results if result.decides is outcome])
    deciding = [f"{result.id} ({subject})" for subject, result in causes]
    waived = sorted({result.id for _, result in results if not result.enforced})
    passes = sum(result.status is Status.PASS for _, result in results)
    under = f"as of {_words(at)} under policy {policy.name!r} ({policy.digest[:12]})"
    if outcome is Outcome.VERIFIED:
        what = f"{len(judged)} subjects, {passes} checks passed"
    elif outcome is Outcome.REJECTED:
        what = f"failed: {', '.join(deciding[:6])}{' ...' if len(deciding) > 6 else ''}"
    else:
        what = f"not evaluated: {', '.join(deciding[:6])}{' ...' if len(deciding) > 6 else ''}"
    parts = [f"{outcome.value} {under}: {what}"]
    if waived:
        parts.append(f"waived: {', '.join(waived)}")
    if expires_at is not None:
        parts.append(f"holds until {_words(expires_at)}")
    if roots.test:
        parts.append("under TEST ROOTS, which prove nothing about real hardware")
    return "; ".join(parts)


def _words(at: datetime) -> str:
    return f"{at.astimezone(timezone.utc).replace(tzinfo=None).isoformat(sep=' ', timespec='seconds')} UTC"

"""Verifiers: one session in, one verdict out, live or from a saved report.

`Verifier` is the shared body that the provider classes fill in. All I/O happens in the flows, so the same code serves
threads (`run`), asyncio (`teeverify.aio`), callers with their own I/O, and the replay of a saved report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import attrs

from .challenge import aware, checked_model, checked_nonce
from .claims.subject import Subject
from .conclusion import conclude_session
from .equipment import Equipped
from .errors import ConfigurationError
from .flow import Flow, run
from .roots import TrustRoots
from .saved import SavedReport
from .transport import Recording, recorded
from .verdict import AttestationVerdict, Outcome, SubjectVerdict, VerifiedExchange

if TYPE_CHECKING:
    from .endorsement_cache import StagedEndorsements
    from .exchange import Exchange

__all__ = ["Derive", "Verifier"]

Derive: TypeAlias = Callable[[datetime], tuple[Subject, ...]]
"""Derives the subjects of a collected session, for an aware time of judgement."""


class Verifier(Equipped, ABC):
    """What all providers share: challenge, collection, appraisal, conclusion, cache and replay.

    A verifier may be shared by threads, and its caches by several verifiers.

    Args:
        policy: what the caller demands; its provider must be this verifier's.
        roots: trust anchors; anything but the vendors' own shows in every verdict.
        transport: answers requests; by default a `RequestsTransport` is made on first use.
        api_key: the caller's key at the provider; sent to the provider's own hosts and nowhere else.
        cache: holds verdicts; by default one of this verifier's own.
        endorsements: holds answers of Intel and NVIDIA; by default a cache of this verifier's own.
        clock: gives the aware time of judgement where a call names none; by default the system's clock.

    Raises:
        ConfigurationError: the policy is for another provider, or the API key cannot be sent in a header.
    """

    applicable: Mapping[str, Collection[str]]
    """Check ids of this provider and the roles that each applies to."""
    _base: str | None = None
    """The base URL that the caller chose, where a provider has no address of its own."""
    exchange_checks: ClassVar[tuple[str, ...]] = ()
    """Check ids of this provider's signed exchanges; empty where it signs none."""

    # --- live ---------------------------------------------------------------------------------------------------------

    def verify_attestation(
        self, model: str, *, nonce: bytes | None = None, now: datetime | None = None
    ) -> AttestationVerdict:
        """Challenge the provider with a fresh nonce and judge what it answers; the verdict is held in the cache.

        Args:
            model: canonical name of the model.
            nonce: the challenge, 32 bytes; drawn from the system's generator when omitted.
            now: the aware time to judge for; the clock's when omitted.

        Raises:
            ConfigurationError: an argument is not what it should be. Outages and bad evidence are in the verdict.
        """
        verdict = run(self.attestation_flow(model, nonce=nonce, now=now), self.transport)
        self.hold(verdict, now=now)
        return verdict

    def attestation_cached(self, model: str, *, now: datetime | None = None) -> AttestationVerdict:
        """The verdict that is held for a model, or a fresh one: at most one challenge at a time for all callers.

        A VERIFIED verdict is held ten minutes at most and never past its ``expires_at``, a REJECTED one a minute, an
        INCONCLUSIVE one for a short back-off only.

        Raises:
            ConfigurationError: an argument is not what it should be.
        """
        key = self.cache_key(model)
        return self.cache.get_or_verify(key, lambda: self.verify_attestation(model, now=now), now=self.time(now))

    def verify_exchange(
        self, exchange: Exchange, *, attestation: AttestationVerdict | None = None, now: datetime | None = None
    ) -> VerifiedExchange:
        """Judge whether a request and its response passed through the attested machine unchanged.

        Args:
            exchange: the exact bytes.
            attestation: a verdict of this verifier's policy for the model; the cached or a fresh one when omitted.
            now: the aware time to judge for; the clock's when omitted.

        Raises:
            ConfigurationError: the provider signs no exchanges, or the verdict is not of this policy and model.
        """
        held = self.attestation_cached(exchange.model, now=now) if attestation is None else attestation
        return self.accept(exchange, run(self.exchange_flow(exchange, held, now=now), self.transport))

    def attestation_flow(
        self, model: str, *, nonce: bytes | None = None, now: datetime | None = None
    ) -> Flow[AttestationVerdict]:
        """The requests of one attestation, as a generator that returns the verdict: for callers with their own I/O.

        Answers of Intel and NVIDIA that are still valid come out of the endorsement cache. They never decide against
        the evidence: when the verdict is not VERIFIED and any was used, everything is asked once more.
        """
        from .endorsement_cache import StagedEndorsements

        checked_model(model)
        challenge = checked_nonce(nonce)
        if now is not None:
            aware(now)
        staged = StagedEndorsements()
        verdict = yield from self._attest(model, challenge, now, staged)
        if staged.used and verdict.outcome is not Outcome.VERIFIED:
            staged = StagedEndorsements(bypass=True)
            challenge = checked_nonce(nonce)
            verdict = yield from self._attest(model, challenge, now, staged)
        if verdict.outcome is Outcome.VERIFIED:
            self.endorsements.commit(staged)
        return verdict

    def _attest(
        self, model: str, nonce: bytes, now: datetime | None, staged: StagedEndorsements
    ) -> Flow[AttestationVerdict]:
        recording = Recording()
        collecting = recorded(self.session_flow(model, nonce), recording)
        derive = yield from self.endorsements.serve(collecting, staged)
        at = self.time(now)
        verdict = self.conclude(derive(at), model=model, nonce=nonce, at=at)
        report = recording.saved_report(
            provider=self.provider, model=model, nonce=nonce, recorded_at=verdict.evaluated_at
        )
        return attrs.evolve(verdict, evidence=report)

    def accept(self, exchange: Exchange, judged: VerifiedExchange) -> VerifiedExchange:
        """Remember an exchange that came out VERIFIED, so that no copy of its answer is accepted again.

        The verify calls do this; a caller who drives `exchange_flow` himself does it with what the flow returns, and
        goes by what comes back.
        """
        del exchange
        return judged

    def exchange_flow(
        self, exchange: Exchange, attestation: AttestationVerdict, *, now: datetime | None = None
    ) -> Flow[VerifiedExchange]:
        """The requests of one exchange's verification, as a generator that returns the judgement.

        Where the signer is not among the attested keys, or the attestation has run out, the provider is challenged
        once more.
        """
        del exchange, attestation, now
        raise ConfigurationError(f"provider {self.provider!r} signs no exchanges that could be verified")

    @abstractmethod
    def session_flow(self, model: str, nonce: bytes) -> Flow[Derive]:
        """The provider's requests for one attestation; what it returns derives the subjects."""

    # --- saved --------------------------------------------------------------------------------------------------------

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
        recorded = self._recorded_base(report)
        if self._base is not None and recorded not in (None, self._base):
            raise ConfigurationError("the saved report is of another endpoint than the one that this verifier is for")
        if report.provider != self.provider:
            raise ConfigurationError(f"the saved report is of provider {report.provider!r}, not {self.provider!r}")
        aware(report.recorded_at)
        clock = self.time(now)
        evaluated_at = aware(report.recorded_at if at is None else at)
        subjects = self.subjects_of_saved(
            report,
            roots=self.roots,
            at=evaluated_at,
            wall_clock=clock,
            with_nras=self.policy.gpu.nras != "ignore",
        )
        verdict = self.conclude(subjects, model=report.model, nonce=report.nonce, at=evaluated_at)
        return attrs.evolve(verdict, evidence=report, recorded=True)

    def verify_saved_exchange(
        self,
        report: SavedReport,
        exchange: Exchange | None = None,
        *,
        at: datetime | None = None,
        now: datetime | None = None,
    ) -> VerifiedExchange:
        """Judge an exchange of a saved report without any network.

        Args:
            report: the saved report; everything in it is untrusted.
            exchange: the exact bytes; those that the report holds when omitted.
            at: the time to judge for (aware); by default the time at which the report says it was recorded.
            now: our own clock (aware), against which the report's claim is held.

        Raises:
            SavedReportError: the report holds no exchange, and none was given.
            ConfigurationError: the report is of another provider or model, a time is not aware, or the provider signs
                no exchanges.
        """
        del report, exchange, at, now
        raise ConfigurationError(f"provider {self.provider!r} signs no exchanges that could be verified")

    @classmethod
    @abstractmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """Run the provider's flow over the recorded answers and derive its subjects, judging nothing.

        Never raises: what cannot be read becomes a Problem inside a subject.
        """

    def _recorded_base(self, report: SavedReport) -> str | None:
        """The base URL that a saved session asked, where the caller chooses one; None where that cannot be told."""
        del report
        return None

    # --- conclusion ---------------------------------------------------------------------------------------------------

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
        return conclude_session(
            subjects,
            policy=self.policy,
            roots=self.roots,
            applicable=self.applicable,
            boundary=self._boundary,
            model=model,
            nonce=nonce,
            at=at,
        )

"""Verdicts: the list of checks, and what follows from it.

No boolean is computed anywhere else. Text and JSON (`teeverify.render`) are renderings of these values.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from attrs import field, frozen

from .errors import InconclusiveError, RejectedError

if TYPE_CHECKING:
    from .saved import SavedReport

__all__ = [
    "AttestationVerdict",
    "AttestedKey",
    "CheckResult",
    "Outcome",
    "Status",
    "SubjectVerdict",
    "VerifiedExchange",
]


_CHANNELS = ("channel.tls_spki", "aci.channel")
"""Checks that find at which attested TLS key our connection ended."""


class Status(enum.Enum):
    """What one check found."""

    PASS = "pass"  # noqa: S105 - a status word, not a password
    FAIL = "fail"
    UNEVALUATED = "unevaluated"
    """It could not run; where it is enforced, it never counts as passed."""
    NOT_APPLICABLE = "not_applicable"
    INFO = "info"
    """A fact worth knowing that no policy enforces."""


class Outcome(enum.Enum):
    """What a verdict comes to. Only VERIFIED lets a prompt leave."""

    VERIFIED = "VERIFIED"
    REJECTED = "REJECTED"
    """At least one enforced check failed."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """No enforced check failed, and at least one could not be evaluated."""


@frozen(kw_only=True)
class CheckResult:
    """The finding of one check about one subject.

    ``enforced`` is False only where the policy waives the check. ``reason`` is a stable snake_case code, empty on a
    pass. ``anchor`` names what the finding rests on (Intel root, NVIDIA root, policy pin ...).
    """

    id: str
    status: Status
    enforced: bool
    reason: str
    summary: str
    expected: str | None
    observed: str | None
    anchor: str

    @property
    def decides(self) -> Outcome | None:
        """The outcome that this result alone forces, or None where it allows VERIFIED."""
        if not self.enforced:
            return None
        if self.status is Status.FAIL:
            return Outcome.REJECTED
        return Outcome.INCONCLUSIVE if self.status is Status.UNEVALUATED else None


@frozen(kw_only=True)
class AttestedKey:
    """A public key that a VERIFIED subject was proven to hold.

    ``use`` is ``signing`` (signs responses), ``e2ee`` (prompts may be encrypted to it) or ``ohttp`` (RFC 9458 key
    configuration). ``public_key`` is hex: 32 bytes for ed25519, 64 bytes (X then Y) for ecdsa on secp256k1, and the
    whole key configuration for ohttp. ``address`` is hex, 32 bytes for ed25519 and 20 bytes for ecdsa; empty for ohttp.
    ``key_id`` is the name by which signatures refer to the key, empty where keys have none.
    """

    use: str
    algorithm: str
    public_key: str
    address: str = ""
    key_id: str = ""


@frozen(kw_only=True)
class SubjectVerdict:
    """The checks of one attesting environment and the outcome they come to."""

    id: str
    role: str
    outcome: Outcome
    checks: tuple[CheckResult, ...]
    attested_keys: tuple[AttestedKey, ...] = ()

    @property
    def verified(self) -> bool:
        """True when the outcome is VERIFIED."""
        return self.outcome is Outcome.VERIFIED

    def holds(self, *check_ids: str) -> bool:
        """True when all of these checks are enforced and passed."""
        return {c.id for c in self.checks if c.enforced and c.status is Status.PASS}.issuperset(check_ids)

    @property
    def deciding(self) -> tuple[CheckResult, ...]:
        """The checks that keep this subject from being VERIFIED; empty when it is."""
        return tuple(check for check in self.checks if check.decides is self.outcome)

    @property
    def waived(self) -> tuple[CheckResult, ...]:
        """The checks that the policy waives."""
        return tuple(check for check in self.checks if not check.enforced)


@frozen(kw_only=True)
class AttestationVerdict:
    """The judgement of one attestation session under one policy at one time.

    ``nonce`` is hex. ``evaluated_at`` and ``expires_at`` are aware UTC times; ``expires_at`` is None unless VERIFIED
    and is the earliest end of anything the verdict rests on. ``trust_boundary`` says who is still trusted, ``gaps``
    what is not proven. ``origin`` is scheme and host of the connection that was judged. ``roots_digest`` (hex) names
    the trust anchors. ``evidence`` is the session itself, for saving; judging it offline gives the same outcome.
    ``recorded`` says that the verdict was made out of a saved report, in which no connection stands for anything.
    """

    provider: str
    model: str
    outcome: Outcome
    policy_name: str
    policy_digest: str
    nonce: str
    evaluated_at: datetime
    expires_at: datetime | None
    trust_boundary: str
    gaps: tuple[str, ...]
    subjects: tuple[SubjectVerdict, ...]
    conclusion: str = field(repr=False)
    test_roots: bool = False
    roots_digest: str = field(default="", repr=False)
    origin: str = ""
    evidence: SavedReport | None = field(default=None, repr=False, eq=False)
    recorded: bool = field(default=False, eq=False, repr=False)

    @property
    def verified(self) -> bool:
        """True when the outcome is VERIFIED."""
        return self.outcome is Outcome.VERIFIED

    @property
    def checks(self) -> tuple[CheckResult, ...]:
        """All check results, subject by subject."""
        return tuple(check for subject in self.subjects for check in subject.checks)

    @property
    def attested_tls_spki(self) -> bytes | None:
        """SHA-256 (32 bytes) of the SubjectPublicKeyInfo at which our connection ended, inside an attested machine.

        None unless the verdict is VERIFIED and channel.tls_spki (aci.channel for ACI) passed. Hold every later
        connection to it, before any byte of a prompt is sent (`RequestsTransport.pin`, `pinned_context`).
        """
        keys = {c.observed for c in self.checks if c.id in _CHANNELS and c.status is Status.PASS and c.observed}
        return bytes.fromhex(keys.pop()) if self.verified and len(keys) == 1 else None

    def require(self) -> AttestationVerdict:
        """Return this verdict when it is VERIFIED.

        Raises:
            RejectedError: an enforced check failed.
            InconclusiveError: an enforced check could not be evaluated.
        """
        _require(self)
        return self

    def __bool__(self) -> NoReturn:
        raise TypeError(_NO_TRUTH_VALUE)

    def __repr__(self) -> str:
        return (
            f"<AttestationVerdict {self.outcome.value} {self.provider} {self.model!r} "
            f"policy={self.policy_digest[:12]} at={self.evaluated_at:%Y-%m-%dT%H:%M:%SZ}>"
        )


@frozen(kw_only=True)
class VerifiedExchange:
    """The judgement of one request and response; despite its name only ``outcome`` says whether it is VERIFIED.

    ``attestation`` is the verdict whose keys were held against the signature. ``request_digest`` and
    ``response_digest`` are the SHA-256 (hex) of the bytes that we sent and received. ``signed_by`` is the role whose
    attested key signed (``model`` or ``gateway``) and ``signer`` its address (hex), both None unless VERIFIED.
    ``evidence`` is the attested session with the signature, for saving.
    """

    attestation: AttestationVerdict
    model: str
    chat_id: str | None
    outcome: Outcome
    request_digest: str
    response_digest: str
    signed_by: str | None
    signer: str | None
    evaluated_at: datetime
    trust_boundary: str
    gaps: tuple[str, ...]
    checks: tuple[CheckResult, ...]
    conclusion: str = field(repr=False)
    evidence: SavedReport | None = field(default=None, repr=False, eq=False)

    @property
    def verified(self) -> bool:
        """True when the outcome is VERIFIED."""
        return self.outcome is Outcome.VERIFIED

    def require(self) -> VerifiedExchange:
        """Return this judgement when it is VERIFIED.

        Raises:
            RejectedError: an enforced check failed.
            InconclusiveError: an enforced check could not be evaluated.
        """
        _require(self)
        return self

    def __bool__(self) -> NoReturn:
        raise TypeError(_NO_TRUTH_VALUE)

    def __repr__(self) -> str:
        return (
            f"<VerifiedExchange {self.outcome.value} {self.attestation.provider} {self.model!r} "
            f"signed_by={self.signed_by} at={self.evaluated_at:%Y-%m-%dT%H:%M:%SZ}>"
        )


_NO_TRUTH_VALUE = (
    "a verdict has no truth value, since INCONCLUSIVE is neither: call verdict.require(), "
    "or compare verdict.outcome is Outcome.VERIFIED"
)


def _require(verdict: AttestationVerdict | VerifiedExchange) -> None:
    if verdict.outcome is Outcome.VERIFIED:
        return
    raise RejectedError(verdict) if verdict.outcome is Outcome.REJECTED else InconclusiveError(verdict)

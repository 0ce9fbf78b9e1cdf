"""A good simulated enclave, the subject that is derived from its document, and its judgement."""

from __future__ import annotations

import functools
import hashlib
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve

from captures import captures_folder
from teeverify.appraisal import judge_subject
from teeverify.claims.binding import BindingClaims
from teeverify.claims.problem import Problem
from teeverify.claims.subject import Subject
from teeverify.derivation.nitro import derive_nitro
from teeverify.policy import Policy, ReferenceValues
from teeverify.roots import TrustRoots
from teeverify.testing import trust_roots
from teeverify.testing.certificates import Issued
from teeverify.testing.keys import KeyRing
from teeverify.testing.nitro import NitroEnclave, NitroPki
from teeverify.verdict import CheckResult, SubjectVerdict

__all__ = [
    "APPLICABLE", "AT", "CHALLENGE", "KEY", "KEYS", "PKI", "REAL_AT", "ROOTS", "TLS", "checks_of", "enclave", "judge",
    "policy_of", "real_path", "subject_of",
]  # fmt: skip

AT: Final = datetime(2026, 6, 15, 12, 0, tzinfo=timezone.utc)
REAL_AT: Final = datetime(2026, 2, 12, 17, 56, 2, tzinfo=timezone.utc)
"""A time at which every certificate of the real document was valid."""
CHALLENGE: Final = bytes(range(32))
TLS: Final = b"TEST certificate"
KEY: Final = b"TEST key"
KEYS: Final = KeyRing()
PKI: Final = NitroPki(KEYS)
ROOTS: Final = trust_roots()
APPLICABLE: Final = dict.fromkeys(
    (
        "evidence.wellformed",
        "evidence.complete",
        "freshness.nonce_bound",
        "nitro.cose_signature",
        "nitro.cert_chain",
        "nitro.timestamp",
        "nitro.not_debug",
        "nitro.pcrs",
        "nitro.user_data",
        "pin.reference_current",
        "policy.pinned",
        "saved.recorded_at",
    ),
    ("enclave",),
)
"""What a provider of enclaves applies, for the only role that it has."""


@functools.cache
def genuine_chain() -> tuple[tuple[Issued, ...], Issued]:
    """The authorities of the good enclave and its own certificate."""
    chain = PKI.chain(AT)
    return tuple(chain), PKI.leaf(chain[-1], AT)


def enclave(**changes: Any) -> NitroEnclave:
    """The good enclave, with some of its knobs turned."""
    chain, leaf = genuine_chain()
    good = {"keys": KEYS, "at": AT, "nonce": CHALLENGE[:20], "tls_certificate": TLS, "signing_key": KEY}
    return NitroEnclave(**{**good, "chain": list(chain), "leaf": leaf, **changes})


def policy_of(**pins: Any) -> Policy:
    """A policy that pins the good enclave's image, with other pins in place."""
    values = {"pcrs": (dict(enclave().pinned_pcrs),), **pins}
    return Policy(name="enclave", provider="test", valid_until=AT.date(), pins={"enclave": ReferenceValues(**values)})


def subject_of(
    data: bytes | Problem, *, at: datetime = AT, roots: TrustRoots = ROOTS, challenge: bytes = CHALLENGE, **changes: Any
) -> Subject:
    """The subject of a document, asked for with that challenge over a connection to the good enclave."""
    expected = {
        "tls_certificate_sha256": hashlib.sha256(TLS).digest(),
        "signing_key_sha256": hashlib.sha256(KEY).digest(),
    }
    subject = Subject(
        id="enclave",
        role="enclave",
        provider="test",
        evaluated_at=at,
        recorded_at=at,
        wall_clock=at,
        binding=BindingClaims(nonce=challenge, asked_nonce=challenge[:20]),
        nitro=derive_nitro(data, at=at, roots=roots, **expected),
        test_roots=roots.test,
    )
    return evolve(subject, **changes)


def judge(subject: Subject, policy: Policy | None = None) -> SubjectVerdict:
    """Every check that applies to an enclave."""
    return judge_subject(subject, policy or policy_of(), APPLICABLE)


def checks_of(verdict: SubjectVerdict) -> dict[str, CheckResult]:
    """The results by id."""
    return {result.id: result for result in verdict.checks}


def real_path() -> Path:
    """The captured production document; skips where it is missing."""
    path = captures_folder() / "opengradient-nitro-document.bin"
    if not path.is_file():
        pytest.skip(f"the capture {path.name} is not in {path.parent}")
    return path

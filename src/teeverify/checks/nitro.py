"""nitro.*: is this a genuine AWS Nitro enclave that runs the pinned image and names the keys we use?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from ..claims.nitro import NitroClaims
from ..claims.problem import Problem, ProblemKind, UnjudgeableError, need
from ..claims.subject import Subject
from ..formats.nitro_document import IMAGE_PCRS, NitroDocument
from ..limits import MAX_NITRO_AGE, NITRO_SKEW
from ..policy import Policy
from .catalogue import Finding, check, failed, not_applicable, passed, unevaluated

__all__: list[str] = []

_AWS: Final = "AWS Nitro Enclaves, attestation document specification"
_NITRIDING: Final = "nitriding-daemon, attestation.go and attester.go (github.com/brave/nitriding-daemon)"
_ROOT: Final = "AWS Nitro root"
_SIGNED: Final = ("nitro.cose_signature",)
_NO_KEY: Final = b"dummy"
"""What nitriding puts into ``public_key`` of the documents that it makes for clients."""
_PREFIX: Final = b"\x12\x20"
"""Multihash: SHA-256, 32 bytes."""
_USER_DATA_SIZE: Final = 2 * (len(_PREFIX) + 32)


def _claims(subject: Subject) -> NitroClaims:
    """The subject's enclave section; a provider only lists these checks for roles that have one."""
    if subject.nitro is None:
        raise TypeError(f"subject {subject.id} has no enclave section")
    return subject.nitro


def _refused(problem: Problem) -> Finding:
    """The failure that an INVALID problem is; any other kind leaves the check unevaluated."""
    if problem.kind is not ProblemKind.INVALID:
        raise UnjudgeableError(problem)
    return failed(problem.code, f"{problem.detail}; do not use this endpoint")


@check(
    "nitro.cose_signature",
    title="The document is signed by the key of its certificate",
    explanation=(
        "The Nitro hypervisor signs the document with a key that lives for a few hours. The signature covers the "
        "registers, the nonce and what the program in the enclave added; one changed bit breaks it. That the key is "
        "AWS's own is nitro.cert_chain."
    ),
    requires=("nitro.cert_chain",),
    source=f"RFC 9052 section 4.4 (COSE_Sign1), RFC 9053 (ES384); {_AWS}",
    anchor=_ROOT,
    reasons={"bad_signature": "The document is not signed by the key of its certificate."},
)
def cose_signature(subject: Subject, policy: Policy) -> Finding:
    del policy
    claims = _claims(subject)
    need(claims.document)
    if claims.signature is not None:
        return _refused(claims.signature)
    return passed("the key of the document's certificate signed it")


@check(
    "nitro.cert_chain",
    title="AWS certified the key that signed the document",
    explanation=(
        "The document brings its own certificates, from a root down to the key that signed it. The root must be the "
        "AWS Nitro Enclaves root that is built into this library, byte for byte. Every other certificate must be "
        "issued and signed by the one above it, which must be allowed to issue, and all must be valid at the time of "
        "the verdict. Nothing in the document is trusted because it stands there. AWS's revocation lists are not asked."
    ),
    source=f"RFC 5280 section 6; AWS Nitro Enclaves, 'Verifying the root of trust'; {_AWS}",
    anchor=_ROOT,
    reasons={
        "chain_length": "The chain has too few or too many certificates.",
        "chain_root": "The chain does not begin with the AWS Nitro root.",
        "chain_time": "A certificate is not valid at the time of the verdict.",
        "chain_key": "A certificate has a key that is not an elliptic-curve key.",
        "chain_extension": "A certificate has a critical extension that is not understood.",
        "chain_ca": "A certificate issued another one without being allowed to.",
        "chain_issuer": "A certificate names another issuer than the one above it.",
        "chain_signature": "A certificate is not signed by the one above it.",
        "leaf_is_ca": "The certificate of the document's key is that of a CA.",
        "leaf_usage": "The certificate of the document's key is not for signing.",
        "leaf_key": "The document's key is not a P-384 key.",
    },
)
def cert_chain(subject: Subject, policy: Policy) -> Finding:
    del policy
    claims = _claims(subject)
    need(claims.document)
    if claims.trust is not None:
        return _refused(claims.trust)
    chain = need(claims.chain)
    return passed(
        f"the certificates lead to the AWS Nitro root and are valid until {chain.not_after:%Y-%m-%d %H:%M:%S} UTC"
    )


@check(
    "nitro.timestamp",
    title="The document was made for this session",
    explanation=(
        "The hypervisor writes the time into the document. It must be that of the session, give or take a few minutes. "
        "The nonce proves more; this catches a clock that is wrong, and a saved report that is put under another date."
    ),
    requires=_SIGNED,
    source=f"RFC 9334 section 10 (freshness); {_AWS}",
    anchor=_ROOT,
    reasons={
        "too_old": "The document was made minutes before the session.",
        "in_future": "The document was made after the session.",
    },
)
def timestamp(subject: Subject, policy: Policy) -> Finding:
    del policy
    made = need(_claims(subject).document).timestamp
    session = subject.evaluated_at if subject.recorded_at is None else subject.recorded_at
    age, shown = session - made, f"{made:%Y-%m-%d %H:%M:%S} UTC"
    if age > timedelta(seconds=MAX_NITRO_AGE):
        return failed(
            "too_old", f"the document was made more than {MAX_NITRO_AGE} s before the session", observed=shown
        )
    if age < -timedelta(seconds=NITRO_SKEW):
        return failed("in_future", f"the document was made more than {NITRO_SKEW} s after the session", observed=shown)
    return passed(f"made {shown}", observed=shown)


@check(
    "nitro.not_debug",
    title="The enclave is not in debug mode",
    explanation=(
        "The owner of a machine can read along in an enclave that was started in debug mode. Its document is genuine, "
        "and says so: the registers of the image are all zero."
    ),
    requires=_SIGNED,
    source="AWS Nitro Enclaves, 'Using cryptographic attestation' (PCRs in debug mode)",
    anchor=_ROOT,
    reasons={"debug": "PCR0, PCR1 or PCR2 is zero, as in debug mode."},
)
def not_debug(subject: Subject, policy: Policy) -> Finding:
    del policy
    document = need(_claims(subject).document)
    zero = [index for index in IMAGE_PCRS if not any(document.pcrs[index])]
    if zero:
        return failed("debug", f"PCR{zero[0]} is zero, so the enclave runs in debug mode; do not use this endpoint")
    return passed("PCR0, PCR1 and PCR2 measure an image")


@check(
    "nitro.pcrs",
    title="It runs a pinned enclave image",
    explanation=(
        "Every AWS customer can start an enclave with a genuine document. The registers tell which image runs in it: "
        "PCR0 is all of it, PCR1 its kernel, PCR2 its application. They are compared as one table, and a table must "
        "name all three: PCR1 alone is the same for nearly every enclave there is."
    ),
    requires=_SIGNED,
    source="RFC 9334 (reference values); AWS Nitro Enclaves, 'Cryptographic attestation' (PCRs); the caller's policy",
    anchor="AWS Nitro root, policy pin",
    reasons={
        "not_pinned": "The registers are no table that the policy pins for this role.",
        "incomplete_pins": "A pinned table lacks PCR0, PCR1 or PCR2.",
    },
)
def pcrs(subject: Subject, policy: Policy) -> Finding:
    pins = policy.pins.get(subject.role)
    if pins is None or pins.pcrs is None:
        return not_applicable("not_pinned", f"the policy pins no PCRs for role {subject.role}")
    if not pins.is_enclave_pinned:
        return failed("incomplete_pins", f"a table of pcrs of role {subject.role} lacks pcr0, pcr1 or pcr2; add them")
    document = need(_claims(subject).document)
    differing = [_differing(document, table) for table in pins.pcrs]
    if [] in differing:
        return passed(f"the registers are pinned for role {subject.role}", observed=document.pcrs[0].hex())
    nearest = min(differing, key=len)
    table = pins.pcrs[differing.index(nearest)]
    return failed(
        "not_pinned",
        f"the registers match none of the {len(pins.pcrs)} tables that the policy pins for role {subject.role}; "
        f"{', '.join(nearest).upper()} differ from the nearest",
        expected=table[nearest[0]].hex(),
        observed=document.pcrs.get(int(nearest[0][3:]), b"").hex(),
    )


def _differing(document: NitroDocument, table: Mapping[str, bytes]) -> list[str]:
    """Names of the pinned registers that the document does not have like that, in order of number."""
    names = sorted(table, key=lambda name: int(name[3:]))
    return [name for name in names if document.pcrs.get(int(name[3:])) != table[name]]


@check(
    "nitro.user_data",
    title="The document names the keys that we use",
    explanation=(
        "nitriding, the program that runs the enclave's network, puts two hashes into the document: that of the TLS "
        "certificate at which connections end inside the enclave, and that of the key which signs responses. The key "
        "must be the one that we use. So must the certificate where a connection is relied on, which it is not where "
        "every request is encrypted to a key that the signing key vouches for. The same enclave makes other genuine "
        "documents, to share keys with its copies; only the exact form tells them apart. The public_key field holds a "
        "constant and is never taken as a key."
    ),
    requires=_SIGNED,
    source=_NITRIDING,
    anchor=_ROOT,
    reasons={
        "other_kind": "The document was not made for clients: its public_key is not nitriding's constant.",
        "layout": "The user data is not two SHA-256 hashes with their prefixes.",
        "zero_hash": "A hash is zero, as when the program never registered its key.",
        "other_certificate": "The enclave names another TLS certificate than that of the connection.",
        "other_signing_key": "The enclave names another signing key than the one that is shown.",
        "no_expectation": "There is no signing key that the document could be held against.",
    },
)
def user_data(subject: Subject, policy: Policy) -> Finding:
    del policy
    claims = _claims(subject)
    document = need(claims.document)
    if document.public_key != _NO_KEY:
        return failed("other_kind", "public_key is not nitriding's constant, so the document is not one for clients")
    data = document.user_data or b""
    half = _USER_DATA_SIZE // 2
    halves = (data[:half], data[half:])
    if len(data) != _USER_DATA_SIZE or not all(part.startswith(_PREFIX) for part in halves):
        return failed("layout", "user_data is not 1220, a hash, 1220, a hash", observed=f"{len(data)} bytes")
    certificate, key = (part[len(_PREFIX) :] for part in halves)
    if not any(certificate) or not any(key):
        return failed("zero_hash", "a hash in user_data is zero, so no key was registered; do not use this endpoint")
    wrong = _other("other_certificate", "TLS certificate", certificate, claims.tls_certificate_sha256)
    wrong = wrong or _other("other_signing_key", "signing key", key, claims.signing_key_sha256)
    if wrong is not None:
        return wrong
    if claims.signing_key_sha256 is None:
        return unevaluated("no_expectation", "there is no signing key that the document could be held against")
    need(claims.signing_key_sha256)
    if claims.tls_certificate_sha256 is None:
        return passed("user_data names the signing key; no TLS certificate is relied on", observed=data.hex())
    need(claims.tls_certificate_sha256)
    return passed("user_data names the TLS certificate and the signing key", observed=data.hex())


def _other(reason: str, what: str, observed: bytes, expected: bytes | Problem | None) -> Finding | None:
    """The failure where a known expectation is not met."""
    if expected is None or isinstance(expected, Problem) or observed == expected:
        return None
    return failed(
        reason,
        f"the document names another {what} than the one that is shown",
        expected=expected.hex(),
        observed=observed.hex(),
    )

"""Bytes to claims: the GPUs of one environment and NVIDIA's answer about them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

from attrs import field, frozen

from ..claims.gpu import GPU_EVIDENCE_ABSENT, DeviceCertificate, GpuClaims, GpuDevice, NrasClaims
from ..claims.problem import Problem, ProblemKind
from ..crypto.certificates import (
    Certificate,
    CertificateMemo,
    VerifiedLinks,
    load_pem_chain,
    sha256_of_spki,
    verify_chain,
    verify_p384,
)
from ..crypto.jws import trusted_signing_key, verify_es384
from ..endorsements.answers import NOT_AN_ANSWER
from ..errors import FormatError
from ..formats.dice import COMPOSITE_DEVICE_ID_OID, MULTI_TCB_INFO_OID, composite_device_fwid, multi_tcb_info_fwid
from ..formats.gpu_payload import GpuEntry, GpuPayload, parse_gpu_payload
from ..formats.jose import JsonWebKey, parse_key_set
from ..formats.nras import OverallToken, parse_nras_answer
from ..formats.spdm import SpdmEvidence, parse_spdm_evidence
from ..roots import TrustRoots

__all__ = ["GpuBench", "derive_gpu"]

_LEAF_KEY: Final = "EC secp384r1"
_ARCHITECTURES: Final = {
    "HOPPER": ("GH100 ",),
    "BLACKWELL": ("GB100 ", "GB102 ", "GB20"),
    "LS10": ("LS_10 ",),
}
"""How the common names of a device's own two certificates begin. LS10 is an NVSwitch."""


def derive_gpu(
    payload_value: object,
    *,
    expected_nonce: bytes,
    nonce_binding: str,
    at: datetime,
    roots: TrustRoots,
    nras_answer: bytes | Problem | None,
    jwks_answer: bytes | Problem | None,
    bench: GpuBench | None = None,
) -> GpuClaims:
    """Derive everything the gpu.* checks judge. Total: whatever the bytes are, the result is claims or problems.

    Args:
        payload_value: the JSON value that stands in the record for GPU evidence; None where there is none.
        expected_nonce: what the devices must have signed, 32 bytes.
        nonce_binding: ``nonce-shared`` or ``nonce-derived``.
        at: the time the verdict is for (aware); device certificates must be valid then.
        roots: trust anchors.
        nras_answer: body of a 200 answer of NVIDIA's attestation service, the problem of having got none, or None when
            nobody asked.
        jwks_answer: body of the service's key set, likewise.
        bench: shared by the calls for several environments of one session, so that no certificate is verified twice.
    """
    payload = _payload(payload_value)
    entries = () if isinstance(payload, Problem) else payload.entries
    if bench is None:
        bench = GpuBench(at=at, root_sha256=roots.nvidia_root_sha256)
    return GpuClaims(
        expected_nonce=expected_nonce,
        nonce_binding=nonce_binding,
        payload=payload,
        devices=_devices(entries, bench),
        nras=_nras(nras_answer, jwks_answer, roots) if isinstance(nras_answer, bytes) else nras_answer,
    )


@frozen(kw_only=True)
class GpuBench:
    """What all devices of one session share; a certificate is read once and a link verified once.

    ``at`` is the time the verdict is for (aware), ``root_sha256`` the digest of the pinned root (32 bytes).
    """

    at: datetime
    root_sha256: bytes
    certificates: CertificateMemo = field(factory=dict)
    links: VerifiedLinks = field(factory=dict)


def _payload(value: object) -> GpuPayload | Problem:
    what = "GPU evidence"
    if value is None:
        return _invalid(GPU_EVIDENCE_ABSENT, "the record holds no GPU evidence", what)
    try:
        return parse_gpu_payload(value, what=what)
    except FormatError as error:
        return _malformed(error, what)


def _devices(entries: tuple[GpuEntry, ...], bench: GpuBench) -> tuple[GpuDevice, ...]:
    """Read everything first and verify then: interleaving the two costs a twentieth more, for cold caches."""
    read = [_read(f"GPU-{index}", entry, bench) for index, entry in enumerate(entries)]
    return tuple(_verify(index, parts, bench) for index, parts in enumerate(read))


@frozen(kw_only=True)
class _Read:
    """One entry before anything is verified."""

    entry: GpuEntry
    chain: tuple[Certificate, ...] | Problem
    certificate: DeviceCertificate | Problem
    evidence: SpdmEvidence | Problem
    firmware_id: Problem | None


def _read(what: str, entry: GpuEntry, bench: GpuBench) -> _Read:
    chain = _chain(entry, what, bench)
    evidence = _evidence(entry, what)
    return _Read(
        entry=entry,
        chain=chain,
        certificate=chain if isinstance(chain, Problem) else _device_certificate(chain),
        evidence=evidence,
        firmware_id=_firmware_id(chain, evidence, what),
    )


def _verify(index: int, read: _Read, bench: GpuBench) -> GpuDevice:
    what = f"GPU-{index}"
    return GpuDevice(
        index=index,
        label=read.entry.arch,
        label_nonce=read.entry.nonce,
        certificate=read.certificate,
        evidence=read.evidence,
        chain=read.chain if isinstance(read.chain, Problem) else _judge_chain(read.chain, what, bench),
        signature=_signature(read.chain, read.evidence, what),
        firmware_id=read.firmware_id,
    )


def _chain(entry: GpuEntry, what: str, bench: GpuBench) -> tuple[Certificate, ...] | Problem:
    try:
        chain = load_pem_chain(entry.certificate, what=f"the chain of {what}", memo=bench.certificates)
    except FormatError as error:
        return _malformed(error, what)
    if len(chain) < 2:
        return _invalid(
            "chain_length", f"the chain of {what} has one certificate, the device's and its issuers' are needed", what
        )
    return chain


def _evidence(entry: GpuEntry, what: str) -> SpdmEvidence | Problem:
    try:
        return parse_spdm_evidence(entry.evidence, what=f"the evidence of {what}")
    except FormatError as error:
        return _malformed(error, what)


def _device_certificate(chain: tuple[Certificate, ...]) -> DeviceCertificate:
    """By the certificates that the device holds itself: the names above are no help, since the chain of an NVSwitch
    runs through "NVIDIA GH100 Identity"."""
    names = tuple(certificate.subject_cn or "" for certificate in chain[:2])
    chips = {name.partition(" ")[0] for name in names}
    architecture = None
    if len(chips) == 1:
        for candidate, prefixes in _ARCHITECTURES.items():
            if all(name.startswith(prefixes) for name in names):
                architecture = candidate
    return DeviceCertificate(
        architecture=architecture,
        chip=names[0].partition(" ")[0][:16],
        identity=sha256_of_spki(chain[1]),
        ueid=str(chain[0].serial_number),
        not_after=min(certificate.not_after for certificate in chain),
    )


def _judge_chain(chain: tuple[Certificate, ...], what: str, bench: GpuBench) -> Problem | None:
    problem = verify_chain(chain, at=bench.at, root_sha256=bench.root_sha256, verified_links=bench.links)
    if problem is None and chain[0].public_key_kind != _LEAF_KEY:
        return _invalid("leaf_key", f"its attestation key is of kind {chain[0].public_key_kind}, not P-384", what)
    return problem


def _signature(chain: tuple[Certificate, ...] | Problem, evidence: SpdmEvidence | Problem, what: str) -> Problem | None:
    if isinstance(chain, Problem):
        return chain
    if isinstance(evidence, Problem):
        return evidence
    if verify_p384(chain[0], evidence.signature, evidence.signed):
        return None
    return _invalid("signature_invalid", "its evidence is not signed by the key of its certificate", what)


def _firmware_id(
    chain: tuple[Certificate, ...] | Problem, evidence: SpdmEvidence | Problem, what: str
) -> Problem | None:
    """The firmware that runs must be the one that the attestation key was certified for."""
    if isinstance(chain, Problem):
        return chain
    if isinstance(evidence, Problem):
        return evidence
    try:
        certified = _certified_firmware(chain[0])
    except FormatError as error:
        return _invalid("fwid_syntax", f"its certificate's firmware id cannot be read: {error}", what)
    if certified is None or evidence.fwid is None:
        side = "certificate" if certified is None else "evidence"
        return _invalid("fwid_missing", f"its {side} names no firmware, so the key could belong to another one", what)
    if certified != evidence.fwid:
        return _invalid("fwid_mismatch", "it runs other firmware than its attestation key was certified for", what)
    return None


def _certified_firmware(leaf: Certificate) -> bytes | None:
    composite = leaf.extension_value(COMPOSITE_DEVICE_ID_OID)
    if composite is not None:
        return composite_device_fwid(composite)
    multi = leaf.extension_value(MULTI_TCB_INFO_OID)
    return None if multi is None else multi_tcb_info_fwid(multi)


def _nras(answer: bytes, jwks: bytes | Problem | None, roots: TrustRoots) -> NrasClaims | Problem:
    """A bad answer of the service is INVALID, never MALFORMED: it is not the attester's evidence."""
    try:
        parsed = parse_nras_answer(answer)
    except FormatError as error:
        if error.code in NOT_AN_ANSWER:
            where = "NVIDIA's answer"
            return Problem(kind=ProblemKind.UNAVAILABLE, code="not_an_answer", detail=str(error), where=where)
        return _invalid("token_malformed", str(error), "NVIDIA's answer")
    key = _signing_key(parsed.overall, jwks, roots)
    if isinstance(key, Problem):
        return NrasClaims(answer=parsed, signing_key=key, signature=key)
    verified = verify_es384(parsed.overall.jws, key)
    refused = _invalid("token_signature", "the overall token is not signed by the key that it names", "NVIDIA's answer")
    return NrasClaims(answer=parsed, signing_key=None, signature=None if verified else refused)


def _signing_key(token: OverallToken, jwks: bytes | Problem | None, roots: TrustRoots) -> JsonWebKey | Problem:
    if not isinstance(jwks, bytes):
        return _no_keys("it was not asked for" if jwks is None else jwks.detail)
    try:
        keys = parse_key_set(jwks, what="NVIDIA's key set")
    except FormatError as error:
        if error.code in NOT_AN_ANSWER:
            return _no_keys(str(error))
        return _invalid("key_set_malformed", str(error), "NVIDIA's key set")
    issued_at = datetime.fromtimestamp(token.times.iat, tz=timezone.utc)
    return trusted_signing_key(keys, token.jws.kid, at=issued_at, roots=roots)


def _no_keys(detail: str) -> Problem:
    text = f"NVIDIA's key set could not be had: {detail}"
    return Problem(kind=ProblemKind.UNAVAILABLE, code="keys_not_available", detail=text, where="NVIDIA's key set")


def _malformed(error: FormatError, where: str) -> Problem:
    return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where=where)


def _invalid(code: str, detail: str, where: str) -> Problem:
    return Problem(kind=ProblemKind.INVALID, code=code, detail=detail, where=where)

"""From the instances of a Chutes session to subjects with claims."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs
from attrs import frozen

from ..claims.binding import BindingClaims, KemKey
from ..claims.gpu import GpuClaims
from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..crypto.certificates import load_der, sha256_of_spki
from ..derivation.gpu import GpuBench, derive_gpu
from ..derivation.tdx import TdxDerivation
from ..endorsements.answers import Endorsements, answer_body
from ..endorsements.nvidia_nras import JWKS, NRAS
from ..errors import FormatError
from ..formats.encodings import decode_base64
from ..formats.ml_kem import parse_ml_kem_768_key
from ..formats.strict_json import JsonValue
from ..formats.tdx_quote import TdxQuote
from ..limits import MAX_CERTIFICATE_PEM
from ..roots import TrustRoots
from .chutes_wire import ChutesAsked, ChutesRecord

__all__ = ["ChutesSession", "bound_half", "derive_subjects", "signed_nonce"]

_LAYOUT: Final = "SHA-256(nonce in hex || key in base64)"


@frozen(kw_only=True)
class ChutesSession:
    """Everything one Chutes session collected: bytes and answers, nothing judged yet.

    ``problem`` is what made the session as a whole unusable; ``quotes`` are by record id.
    """

    asked: ChutesAsked
    nonce: bytes
    model: str
    problem: Problem | None
    records: tuple[ChutesRecord, ...]
    quotes: Mapping[str, TdxQuote | Problem]
    endorsements: Endorsements


def bound_half(nonce: bytes, key: JsonValue) -> bytes | Problem:
    """First half of REPORTDATA: SHA-256 over the nonce in lower-case hex and the key's text, both in ASCII."""
    if not isinstance(key, str) or not key.isascii():
        return _absent("e2e_pubkey")
    return hashlib.sha256(nonce.hex().encode("ascii") + key.encode("ascii")).digest()


def signed_nonce(record: ChutesRecord, nonce: bytes) -> bytes | Problem:
    """What the quote and the GPUs of an entry must hold: for the nonce that a gateway states for it, else for ours."""
    stated = record.wrapped[0] if record.wrapped else nonce
    return stated if isinstance(stated, Problem) else bound_half(stated, record.key)


def derive_subjects(
    session: ChutesSession, *, roots: TrustRoots, at: datetime, recorded_at: datetime | None, wall_clock: datetime
) -> tuple[Subject, ...]:
    """One subject for each instance; never raises."""
    tdx = TdxDerivation(endorsements=session.endorsements, roots=roots, at=at)
    bench = GpuBench(at=at, root_sha256=roots.nvidia_root_sha256)
    subjects = [
        Subject(
            id=record.id,
            role="instance",
            provider="chutes",
            evaluated_at=at,
            recorded_at=recorded_at,
            wall_clock=wall_clock,
            record=record.problems if session.problem is None else (session.problem, *record.problems),
            binding=_binding(session, record),
            tdx=tdx.derive(session.quotes[record.id]),
            gpu=_gpu(session, record, roots, at, bench),
            test_roots=roots.test,
        )
        for record in session.records
    ]
    return tuple(_with_sharing(subjects, session))


def _binding(session: ChutesSession, record: ChutesRecord) -> BindingClaims:
    quote = session.quotes[record.id]
    return BindingClaims(
        nonce=session.nonce,
        asked_nonce=session.asked.nonce,
        echoed_nonces=record.wrapped,
        report_data=quote if isinstance(quote, Problem) else quote.report.report_data,
        first_half=signed_nonce(record, session.nonce),
        fresh_first_half=bound_half(session.nonce, record.key),
        second_half=_second_half(record),
        layout=_LAYOUT,
        kem_key=_kem_key(record.key),
    )


def _second_half(record: ChutesRecord) -> bytes | Problem | None:
    """None where a gateway that wraps the evidence left the certificate out, so that nobody can know it."""
    certificate = record.members.get("certificate")
    return None if record.wrapped and certificate is None else _certificate_half(certificate)


def _kem_key(text: JsonValue) -> KemKey | Problem:
    if text is None or text == "":
        return _absent("e2e_pubkey")
    try:
        return KemKey(algorithm="ml-kem-768", public_key=parse_ml_kem_768_key(text, what="e2e_pubkey"))
    except FormatError as error:
        return _malformed(error)


def _certificate_half(value: JsonValue) -> bytes | Problem:
    """SHA-256 of the SubjectPublicKeyInfo of the instance's certificate; nobody vouches for the rest of it."""
    if value is None or value == "":
        return _absent("certificate")
    try:
        der = decode_base64(value, what="the certificate of the instance", limit=MAX_CERTIFICATE_PEM)
        return sha256_of_spki(load_der(der, what="the certificate of the instance"))
    except FormatError as error:
        return _malformed(error)


def _gpu(session: ChutesSession, record: ChutesRecord, roots: TrustRoots, at: datetime, bench: GpuBench) -> GpuClaims:
    half = signed_nonce(record, session.nonce)
    expected = bytes(32) if isinstance(half, Problem) else half  # no device signed that
    evidence = record.members.get("gpu_evidence")
    if not (evidence is None or isinstance(evidence, list)):  # NVIDIA would never be asked about another form
        shape = _malformed(FormatError("gpu_payload_shape", "gpu_evidence is not a list"))
        return GpuClaims(expected_nonce=expected, nonce_binding="nonce-derived", payload=shape, devices=(), nras=None)

    def body(name: str, what: str) -> bytes | Problem | None:
        if name not in session.endorsements:
            return None
        answer = answer_body(session.endorsements, name, what=what)
        return answer if isinstance(answer, Problem) else answer.body

    claims = derive_gpu(
        evidence or None,
        expected_nonce=expected,
        nonce_binding="nonce-derived",
        at=at,
        roots=roots,
        nras_answer=body(f"{NRAS}.{record.id}", "NVIDIA's statement on the GPU evidence"),
        jwks_answer=body(JWKS, "NVIDIA's key set"),
        bench=bench,
    )
    return _without_other_question(claims)


def _without_other_question(claims: GpuClaims) -> GpuClaims:
    """A statement of NVIDIA on another nonce is no answer to our question, and says nothing about these devices.

    It is NVIDIA's, and its nonce what NVIDIA signed, only where its signature verifies.
    """
    nras = claims.nras
    if nras is None or isinstance(nras, Problem) or nras.answer.overall.nonce == claims.expected_nonce:
        return claims
    if nras.signature is not None:
        return claims
    detail = "NVIDIA's recorded statement is for another nonce than these devices signed"
    other = Problem(kind=ProblemKind.UNAVAILABLE, code="other_question", detail=detail, where="NVIDIA's answer")
    return attrs.evolve(claims, nras=other)


def _with_sharing(subjects: Sequence[Subject], session: ChutesSession) -> list[Subject]:
    """Note what an instance shows that another one shows as well."""
    own = [_marks(subject, session) for subject in subjects]
    counted = Counter(mark for marks in own for mark in set(marks))
    result = []
    for subject, marks in zip(subjects, own, strict=True):
        shared = tuple(dict.fromkeys(what for what, value in marks if counted[(what, value)] > 1))
        result.append(
            attrs.evolve(subject, binding=attrs.evolve(subject.binding, sharing=shared)) if shared else subject
        )
    return result


def _marks(subject: Subject, session: ChutesSession) -> list[tuple[str, bytes]]:
    """What an instance has to have for itself, as words and value."""
    marks: list[tuple[str, bytes]] = []
    quote = session.quotes[subject.id]
    if not isinstance(quote, Problem):
        marks.append(("the quote", quote.raw))
    if isinstance(subject.binding.kem_key, KemKey):
        marks.append(("the key", subject.binding.kem_key.public_key))
    for device in subject.gpu.devices if subject.gpu is not None else ():
        if not isinstance(device.certificate, Problem):
            marks.append(("a GPU", device.certificate.identity))
    return marks


def _absent(name: str) -> Problem:
    return Problem(kind=ProblemKind.ABSENT, code="member_missing", detail=f"{name} is missing", where=name)


def _malformed(error: FormatError) -> Problem:
    return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="report")

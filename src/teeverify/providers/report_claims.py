"""From the records of a dstack report (vllm-proxy, NEAR AI's kin of it, and their fronts) to subjects with claims."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import attrs
from attrs import frozen

from ..claims.binding import BindingClaims, ChannelClaims, OhttpKey, SigningKey
from ..claims.dstack import DstackClaims
from ..claims.gpu import GpuClaims
from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..crypto.signatures import ethereum_address, verify_ed25519
from ..derivation.dstack import derive_dstack
from ..derivation.gpu import derive_gpu
from ..derivation.tdx import TdxDerivation
from ..endorsements.answers import Endorsements, answer_body
from ..endorsements.nvidia_nras import JWKS, NRAS
from ..errors import FormatError
from ..flow import Response
from ..formats.encodings import decode_hex
from ..formats.report_data import ADDRESS_SIZES, actions_half, padded_half, tls_bound_half
from ..formats.strict_json import JsonValue
from ..formats.tdx_quote import TdxQuote
from ..limits import MAX_ACTIONS
from ..roots import TrustRoots
from .report_records import ReportAsked, ReportRecord

__all__ = ["ReportSession", "derive_subjects"]

_ACTION_ORDER: Final = (
    "timestamp", "action", "tag", "commit", "file", "file_sha256", "services", "container", "image",
)  # fmt: skip


@frozen(kw_only=True)
class ReportSession:
    """Everything one session collected: bytes and answers, nothing judged yet.

    ``report`` is the answer to the report request or the Problem in its place; ``quotes`` are by record id.
    """

    provider: str
    asked: ReportAsked
    nonce: bytes
    model: str
    report: Response | Problem
    records: tuple[ReportRecord, ...]
    quotes: Mapping[str, TdxQuote | Problem]
    endorsements: Endorsements


def derive_subjects(
    session: ReportSession, *, roots: TrustRoots, at: datetime, recorded_at: datetime | None, wall_clock: datetime
) -> tuple[Subject, ...]:
    """One subject for each record of the session; never raises."""
    tdx = TdxDerivation(endorsements=session.endorsements, roots=roots, at=at)
    dstack = {
        record.id: derive_dstack(record.members, _mapping(record.members.get("info")), memo=tdx.memo)
        for record in session.records
    }
    hosts = {r.compose_manager.id: r for r in session.records if r.compose_manager is not None}
    subjects = []
    for record in session.records:
        host = hosts.get(record.id)
        problems = record.problems
        if isinstance(session.report, Problem):
            problems = (session.report, *problems)
        subjects.append(
            Subject(
                id=record.id,
                role=record.role,
                provider=session.provider,
                evaluated_at=at,
                recorded_at=recorded_at,
                wall_clock=wall_clock,
                record=problems,
                attested_beside=("compose_manager",) if record.compose_manager is not None else (),
                binding=_binding(session, record, host),
                tdx=tdx.derive(session.quotes[record.id]),
                dstack=_with_host(dstack[record.id], dstack[host.id]) if host else dstack[record.id],
                gpu=_gpu(session, record, roots, at) if record.has_gpus else None,
                channel=_channel(session) if record.role == session.asked.channel_role else None,
                test_roots=roots.test,
            )
        )
    return tuple(subjects)


def _with_host(own: DstackClaims, host: DstackClaims) -> DstackClaims:
    """The compose-manager's record has no app-compose of its own: its TD is the model's, so the model's applies."""
    return attrs.evolve(own, app_compose=host.app_compose, app_certificate=None)


def _binding(session: ReportSession, record: ReportRecord, host: ReportRecord | None) -> BindingClaims:
    members, asked, quote = record.members, session.asked, session.quotes[record.id]
    report_data = quote if isinstance(quote, Problem) else quote.report.report_data
    stated: bytes | Problem | None = _hex(members, "report_data", 64)
    if _is_absent(stated):
        stated = None
    if host is not None:
        source = members.get("nonce_source")
        return BindingClaims(
            nonce=session.nonce,
            asked_nonce=asked.nonce,
            report_data=report_data,
            stated_report_data=stated,
            echoed_nonces=(_hex(members, "nonce", 32),),
            nonce_source=source if isinstance(source, str) else _absent("nonce_source"),
            first_half=_actions(members),
            layout="hash of the action log",
            host_quote=session.quotes[host.id],
        )
    key = _signing_key(record, asked)
    fingerprint = _hex(members, "tls_cert_fingerprint", 32) if asked.tls_bound else None
    return BindingClaims(
        nonce=session.nonce,
        asked_nonce=asked.nonce,
        report_data=report_data,
        stated_report_data=stated,
        echoed_nonces=(_hex(members, "request_nonce", 32),),
        first_half=_first_half(key, fingerprint),
        layout="SHA-256(signing address || TLS key fingerprint)" if asked.tls_bound else "signing address, zero-padded",
        signing_key=key,
        tls_fingerprint=fingerprint,
        ohttp=_ohttp(record.ohttp),
    )


def _first_half(key: SigningKey | Problem, fingerprint: bytes | Problem | None) -> bytes | Problem:
    if isinstance(key, Problem):
        return key
    if fingerprint is None:
        return padded_half(key.address)
    return fingerprint if isinstance(fingerprint, Problem) else tls_bound_half(key.address, fingerprint)


def _signing_key(record: ReportRecord, asked: ReportAsked) -> SigningKey | Problem:
    if isinstance(asked.algorithm, Problem):
        return asked.algorithm
    algorithm, members = asked.algorithm, record.members
    address = _hex(members, "signing_address", ADDRESS_SIZES[algorithm], prefix=algorithm == "ecdsa")
    if isinstance(address, Problem):
        return address
    if not any(address):
        return _malformed("address_zero", "signing_address is all zeros, which REPORTDATA without a key would match")
    public_key: bytes | None = None
    derived: bytes | None = None
    if record.role == "model" or members.get("signing_public_key") is not None:
        value = _public_key(members, algorithm, prefixed=asked.prefixed_keys)
        if isinstance(value, Problem):
            return value
        public_key = value
        derived = value if algorithm == "ed25519" else ethereum_address(value)
    elif algorithm == "ed25519":  # the gateway's record names the address only, which for ed25519 is the key
        public_key = derived = address
    stated = members.get("signing_algo")
    return SigningKey(
        algorithm=algorithm,
        address=address,
        stated_algorithm=stated if isinstance(stated, str) else "",
        public_key=public_key,
        derived_address=derived,
    )


def _public_key(members: Mapping[str, JsonValue], algorithm: str, *, prefixed: bool) -> bytes | Problem:
    """32 bytes for ed25519, else X and Y; builds of the proxy differ in whether ecdsa keys carry SEC 1's prefix 04."""
    text = members.get("signing_public_key")
    if algorithm == "ecdsa" and prefixed and isinstance(text, str) and len(text) == 130 and text.startswith("04"):
        members = {"signing_public_key": text[2:]}
    return _hex(members, "signing_public_key", 32 if algorithm == "ed25519" else 64)


def _actions(members: Mapping[str, JsonValue]) -> bytes | Problem:
    """First half that the action log demands, or the Problem with the log.

    The hash is over compact JSON; compose-manager has written the keys in struct order and, later, sorted.
    """
    stated = _hex(members, "actions_hash", 32)
    actions = members.get("actions")
    if isinstance(stated, Problem):
        return stated
    if not isinstance(actions, list) or len(actions) > MAX_ACTIONS or not all(isinstance(a, dict) for a in actions):
        return _malformed("actions_shape", "the action log of the compose-manager is not a list of objects")
    orders = [actions, [dict(sorted(action.items())) for action in actions]]
    if all(set(action) <= set(_ACTION_ORDER) for action in actions):
        orders.append([{key: action[key] for key in _ACTION_ORDER if key in action} for action in actions])
    texts = (json.dumps(order, separators=(",", ":"), ensure_ascii=False, sort_keys=False) for order in orders)
    if stated not in {hashlib.sha256(text.encode("utf-8")).digest() for text in texts}:
        detail = "the hash of the action log is not the stated actions_hash"
        return Problem(kind=ProblemKind.INVALID, code="actions_hash", detail=detail, where="actions")
    return actions_half(stated)


def _ohttp(members: Mapping[str, JsonValue]) -> OhttpKey | Problem | None:
    attestation = members.get("ohttp_attestation")
    if attestation is None:
        return None  # an unsigned key configuration is never offered as attested
    if not isinstance(attestation, dict) or attestation.get("signing_algo") != "ed25519":
        return _malformed("ohttp_shape", "ohttp_attestation is not an object signed with ed25519")
    key_config = _hex(attestation, "key_config", None)
    signing_key = _hex(attestation, "signing_key", 32)
    signature = _hex(attestation, "signature", 64)
    served = _hex(members, "ohttp_key_config", None)
    for part in (key_config, signing_key, signature):
        if isinstance(part, Problem):
            return part
    assert isinstance(key_config, bytes) and isinstance(signing_key, bytes)  # noqa: PT018 - for the type checker
    assert isinstance(signature, bytes)
    if isinstance(served, Problem) and not _is_absent(served):
        return served
    return OhttpKey(
        key_config=key_config,
        signing_key=signing_key,
        signature_valid=verify_ed25519(signing_key, signature, key_config),
        served_config=served if isinstance(served, bytes) else None,
    )


def _gpu(session: ReportSession, record: ReportRecord, roots: TrustRoots, at: datetime) -> GpuClaims:
    payload = record.members.get("nvidia_payload")
    if payload is not None and not isinstance(payload, str):
        # Other forms exist elsewhere; here NVIDIA would never be asked about one, so it is not NEAR's.
        problem = _malformed("gpu_payload_shape", "nvidia_payload is not a JSON text in a string")
        return GpuClaims(
            expected_nonce=session.nonce, nonce_binding="nonce-shared", payload=problem, devices=(), nras=None
        )

    def body(name: str, what: str) -> bytes | Problem | None:
        if name not in session.endorsements:
            return None
        answer = answer_body(session.endorsements, name, what=what)
        return answer if isinstance(answer, Problem) else answer.body

    return derive_gpu(
        payload,
        expected_nonce=session.nonce,
        nonce_binding="nonce-shared",
        at=at,
        roots=roots,
        nras_answer=body(f"{NRAS}.{record.id}", "NVIDIA's statement on the GPU evidence"),
        jwks_answer=body(JWKS, "NVIDIA's key set"),
    )


def _channel(session: ReportSession) -> ChannelClaims:
    spki = session.report.peer_spki if isinstance(session.report, Response) else None
    fingerprint: bytes | Problem
    if spki is None:
        detail = "the key of the TLS connection that brought the report was not recorded"
        fingerprint = Problem(kind=ProblemKind.UNAVAILABLE, code="key_not_recorded", detail=detail, where="connection")
    else:
        fingerprint = hashlib.sha256(spki).digest()
    return ChannelClaims(peer_fingerprint=fingerprint, origin=session.asked.origin)


def _hex(members: Mapping[str, JsonValue], name: str, size: int | None, *, prefix: bool = False) -> bytes | Problem:
    value = members.get(name)
    if value is None:
        return _absent(name)
    try:
        if prefix and isinstance(value, str):
            value = value.removeprefix("0x")
        return decode_hex(value, what=name, size=size, limit=1024)
    except FormatError as error:
        return _malformed(error.code, str(error))


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _is_absent(value: object) -> bool:
    return isinstance(value, Problem) and value.kind is ProblemKind.ABSENT


def _absent(name: str) -> Problem:
    return Problem(kind=ProblemKind.ABSENT, code="member_missing", detail=f"{name} is missing", where=name)


def _malformed(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.MALFORMED, code=code, detail=detail, where="report")

"""From the answers of nodes and of an enclave to one subject with claims."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from ..claims.binding import BindingClaims, SigningKey
from ..claims.enclave import EnclaveClaims, EnclaveOhttpKey, RegistryClaims
from ..claims.nitro import NitroClaims
from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..crypto.rsa import RsaKey, load_rsa_key, verify_pss
from ..derivation.nitro import derive_nitro, served_document
from ..errors import FormatError
from ..formats.encodings import decode_hex
from ..formats.json_rpc import Block
from ..formats.ohttp_config import read_served_config, write_key_config
from ..formats.pcr_hash import DEBUG_PCR_HASH
from ..formats.strict_json import JsonValue, loads
from ..limits import MAX_ENDORSEMENT_BODY
from ..roots import TrustRoots
from .opengradient_flow import NodeAnswers, OpenGradientSession
from .opengradient_registry import LLM_PROXY, TeeRecord, is_built_in_aws_root, ohttp_key_of, tee_id_of_key

__all__ = ["ALGORITHM", "derive_subjects"]

ALGORITHM: Final = "rsa-pss-sha256"
"""RSASSA-PSS with SHA-256, MGF1 with SHA-256 and 32 bytes of salt, over a Keccak-256 hash."""
_LAST: Final = 253402300799
_PEM: Final = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----")


@frozen(kw_only=True)
class _Shown:
    """The keys that are shown: by the enclave itself, or (where it was not asked) by the contract."""

    key: RsaKey | Problem
    stated: tuple[bytes | Problem, ...]
    ohttp: EnclaveOhttpKey | Problem | None


def derive_subjects(
    session: OpenGradientSession, *, roots: TrustRoots, at: datetime, recorded_at: datetime | None, wall_clock: datetime
) -> tuple[Subject, ...]:
    """The enclave; never raises."""
    answers = session.enclave
    document = None if answers is None else _object(answers.keys)
    record = _entry(session, document)
    if document is None:
        shown = _by_contract(session, record if isinstance(record, TeeRecord) else None)
    else:
        shown = _by_enclave(document, record if isinstance(record, TeeRecord) and _is_agreed(session, record) else None)
    key = shown.key if isinstance(shown.key, Problem) else shown.key.der
    tee_id = key if isinstance(key, Problem) else tee_id_of_key(key)
    registry = _registry(session, record, roots) if session.asked.nodes or record is not None else None
    return (
        Subject(
            id="enclave",
            role="enclave",
            provider="opengradient",
            evaluated_at=at,
            recorded_at=recorded_at,
            wall_clock=wall_clock,
            record=() if session.problem is None else (session.problem,),
            binding=BindingClaims(
                nonce=session.nonce, asked_nonce=session.asked.nonce, signing_key=_signing_key(tee_id)
            ),
            nitro=_nitro(session, record if isinstance(record, TeeRecord) else None, key, roots, at),
            enclave=EnclaveClaims(
                signing_key=key, tee_id=tee_id, stated_ids=(*_asked_id(session), *shown.stated), ohttp=shown.ohttp
            ),
            registry=registry,
            test_roots=roots.test,
        ),
    )


def _entry(
    session: OpenGradientSession, document: Mapping[str, JsonValue] | Problem | None
) -> TeeRecord | Problem | None:
    """The contract's entry that is judged: that of the key which the enclave shows, where there is one.

    Right after a restart an enclave has two entries of one place, the old one and the new one.
    """
    first = session.nodes[0].records if session.nodes else ()
    key = _key(document.get("public_key")) if isinstance(document, Mapping) else None
    if isinstance(key, RsaKey) and not isinstance(first, Problem):
        return next((record for record in first if record.signing_key == key.der), session.record)
    return session.record


def _asked_id(session: OpenGradientSession) -> tuple[bytes, ...]:
    """The id that the caller asked for, which must be that of whatever answered."""
    return () if session.asked.tee_id is None else (session.asked.tee_id,)


def _signing_key(tee_id: bytes | Problem) -> SigningKey | Problem:
    if isinstance(tee_id, Problem):
        return tee_id
    return SigningKey(
        algorithm=ALGORITHM, address=tee_id, stated_algorithm=ALGORITHM, public_key=None, derived_address=tee_id
    )


def _nitro(
    session: OpenGradientSession, record: TeeRecord | None, key: bytes | Problem, roots: TrustRoots, at: datetime
) -> NitroClaims | None:
    if session.enclave is None:
        return None
    body = session.enclave.document
    # The word of a node that most others contradict is held against nothing; registry.entry says that they disagree.
    agreed = record is not None and _is_agreed(session, record)
    certificate = hashlib.sha256(record.tls_certificate).digest() if record is not None and agreed else None
    return derive_nitro(
        body if isinstance(body, Problem) else served_document(body),
        at=at,
        roots=roots,
        tls_certificate_sha256=certificate,
        signing_key_sha256=key if isinstance(key, Problem) else hashlib.sha256(key).digest(),
    )


def _by_enclave(document: Mapping[str, JsonValue] | Problem, record: TeeRecord | None) -> _Shown:
    if isinstance(document, Problem):
        return _Shown(key=document, stated=(), ohttp=document)
    key = _key(document.get("public_key"))
    stated = (_stated(document.get("tee_id"), "tee_id of the enclave"),)
    if isinstance(key, Problem):
        return _Shown(key=key, stated=stated, ohttp=key)
    hpke = document.get("hpke")
    if hpke is None:
        return _Shown(key=key, stated=stated, ohttp=None)
    try:
        if not isinstance(hpke, dict):
            raise FormatError("ohttp_shape", "hpke of the enclave's answer is not an object")
        served = read_served_config(hpke, what="the enclave's key configuration")
    except FormatError as error:
        return _Shown(key=key, stated=stated, ohttp=_malformed(error))
    valid = None
    if served.signature is not None:
        signed = served.config_hash(tee_id_of_key(key.der))
        # A wrong word on the hash would change nothing; an honest enclave has none.
        valid = served.signature_hash in (None, signed) and verify_pss(key, served.signature, signed)
    ids = stated if served.tee_id is None else (*stated, served.tee_id)
    return _Shown(
        key=key,
        stated=ids,
        ohttp=EnclaveOhttpKey(
            key_config=served.key_config, signature_valid=valid, registered=_registered_config(record)
        ),
    )


def _registered_config(record: TeeRecord | None) -> bytes | None:
    """The configuration that the contract holds; no bytes where its fields contradict each other."""
    if record is None or record.ohttp is None:
        return None
    try:
        return record.ohttp.key_config if ohttp_key_of(record) is not None else b""
    except FormatError:
        return b""


def _by_contract(session: OpenGradientSession, record: TeeRecord | None) -> _Shown:
    if record is None:
        problem = session.record if isinstance(session.record, Problem) else session.problem
        missing = problem or _unavailable("not_listed", "no enclave is known")
        return _Shown(key=missing, stated=(), ohttp=missing)
    try:
        key = load_rsa_key(record.signing_key, what="the registry's signing key")
        config = ohttp_key_of(record)
    except FormatError as error:
        return _Shown(key=_malformed(error), stated=(), ohttp=_malformed(error))
    if config is None:
        return _Shown(key=key, stated=(), ohttp=None)
    encoded = write_key_config(config)
    return _Shown(
        key=key, stated=(), ohttp=EnclaveOhttpKey(key_config=encoded, signature_valid=None, registered=encoded)
    )


def _registry(
    session: OpenGradientSession, record: TeeRecord | Problem | None, roots: TrustRoots
) -> RegistryClaims | Problem:
    first = session.nodes[0] if session.nodes else None
    if isinstance(record, Problem):
        return record
    if record is None or first is None or session.asked.contract is None:
        return _unavailable("not_listed", "the contract was not asked")
    if isinstance(first.chain_id, Problem):
        return first.chain_id
    if isinstance(first.block, Problem):
        return first.block
    try:
        block_time, heartbeat = _time(first.block.timestamp), _time(record.last_heartbeat_at)
    except FormatError as error:
        return _malformed(error)
    return RegistryClaims(
        contract=session.asked.contract,
        chain_id=first.chain_id,
        asked=len({_host(node) for node in session.nodes}),
        agreeing=len({_host(node) for node in session.nodes if _agrees(node, first, record)}),
        block_time=block_time,
        enabled=record.enabled,
        llm_proxy=record.tee_type == LLM_PROXY,
        last_heartbeat=heartbeat,
        pcr_hash=record.pcr_hash,
        debug_image=record.pcr_hash == DEBUG_PCR_HASH,
        signing_key=record.signing_key,
        tls_certificate_sha256=hashlib.sha256(record.tls_certificate).digest(),
        root_replaced=None
        if first.aws_root is None
        else not is_built_in_aws_root(first.aws_root, root_sha256=roots.aws_root_sha256),
    )


def _host(node: NodeAnswers) -> str | None:
    """Two URLs of one host are one node's word."""
    try:
        return urlsplit(node.node).hostname
    except ValueError:  # a recorded URL may be anything
        return None


def _is_agreed(session: OpenGradientSession, record: TeeRecord) -> bool:
    """True where more than half of the nodes, by host, gave this entry."""
    hosts = {_host(node) for node in session.nodes}
    return 2 * len({_host(node) for node in session.nodes if _agrees(node, session.nodes[0], record)}) > len(hosts)


def _agrees(node: NodeAnswers, first: NodeAnswers, record: TeeRecord) -> bool:
    """Same chain, same block, and the same entry of the enclave."""
    if not isinstance(node.block, Block) or not isinstance(node.chain_id, int) or isinstance(node.records, Problem):
        return False
    same = (node.chain_id, node.block, node.aws_root) == (first.chain_id, first.block, first.aws_root)
    return same and record in node.records


def _key(text: JsonValue) -> RsaKey | Problem:
    """The RSA key out of PEM, one way only: the two lines, and base64 between them."""
    try:
        lines = [line.strip() for line in text.strip().splitlines()] if isinstance(text, str) else []
        if len(lines) < 3 or (lines[0], lines[-1]) != _PEM:
            raise FormatError("rsa_syntax", "public_key of the enclave is not one PEM public key")
        try:
            der = base64.b64decode("".join(lines[1:-1]), validate=True)
        except ValueError:
            raise FormatError("rsa_syntax", "public_key of the enclave is not one PEM public key") from None
        return load_rsa_key(der, what="the enclave's signing key")
    except FormatError as error:
        return _malformed(error)


def _stated(value: JsonValue, what: str) -> bytes | Problem:
    if value is None:
        return Problem(kind=ProblemKind.ABSENT, code="member_missing", detail=f"{what} is missing", where="tee_id")
    try:
        return decode_hex(value.removeprefix("0x") if isinstance(value, str) else value, what=what, size=32)
    except FormatError as error:
        return _malformed(error)


def _object(body: bytes | Problem) -> Mapping[str, JsonValue] | Problem:
    if isinstance(body, Problem):
        return body
    try:
        document = loads(body, what="the enclave's answer about its keys", limit=MAX_ENDORSEMENT_BODY)
        if not isinstance(document, dict):
            raise FormatError("keys_shape", "the enclave's answer about its keys is not a JSON object")
    except FormatError as error:
        return _malformed(error)
    return document


def _time(seconds: int) -> datetime:
    if not 0 <= seconds <= _LAST:
        raise FormatError("registry_time", "a time of the registry lies beyond the calendar")
    return datetime.fromtimestamp(seconds, timezone.utc)


def _malformed(error: FormatError) -> Problem:
    return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="enclave")


def _unavailable(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.UNAVAILABLE, code=code, detail=detail, where="registry")

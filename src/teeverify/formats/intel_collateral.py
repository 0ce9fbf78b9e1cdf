"""Intel's signed JSON: TDX TCB info and TD QE identity, as the Provisioning Certification Service answers (PCS API v4).

The signature covers the exact bytes of the inner object, so its text is sliced out of the answer and kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_ENDORSEMENT_BODY
from .encodings import decode_hex
from .strict_json import JsonValue, loads, member_text

__all__ = ["QeIdentity", "SignedDocument", "TcbInfo", "TcbLevel", "parse_qe_identity", "parse_tcb_info"]

_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z\Z")
_CHAIN_HEADERS: Final = {
    "tcbInfo": ("tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain"),
    "enclaveIdentity": ("sgx-enclave-identity-issuer-chain",),
}


@frozen(kw_only=True)
class SignedDocument:
    """A signed JSON object: its exact text, the signature (64 bytes, r then s) and the signer's chain (PEM)."""

    text: str = field(repr=False)
    signature: bytes = field(repr=False)
    issuer_chain: bytes = field(repr=False)


@frozen(kw_only=True)
class TcbLevel:
    """One level of TCB info: the least component numbers (16 each) that reach it, its status, date and advisories."""

    sgx_components: tuple[int, ...]
    tdx_components: tuple[int, ...]
    tdx_labels: tuple[str, ...]
    pce_svn: int
    status: str
    date: datetime
    advisories: tuple[str, ...]


@frozen(kw_only=True)
class TcbInfo:
    """TCB info of one FMSPC (6 bytes); ``levels`` are as Intel orders them, newest first.

    ``module_levels`` are, by identity such as ``TDX_03``, the least ISVSVN and status of each level of a TDX module.
    """

    id: str
    version: int
    tcb_type: int
    fmspc: bytes
    pce_id: bytes
    issue_date: datetime
    next_update: datetime
    eval_number: int
    levels: tuple[TcbLevel, ...]
    module_levels: Mapping[str, tuple[tuple[int, str], ...]]
    signed: SignedDocument


@frozen(kw_only=True)
class QeIdentity:
    """Identity of the TD quoting enclave: which enclave may sign quotes, and until when the statement holds."""

    id: str
    version: int
    issue_date: datetime
    next_update: datetime
    eval_number: int
    signed: SignedDocument


def parse_tcb_info(body: bytes, headers: Mapping[str, tuple[str, ...]]) -> TcbInfo:
    """Read an answer of ``/tdx/certification/v4/tcb``; ``headers`` are lower-case names with their values.

    Raises:
        FormatError: ``collateral_shape`` or a code of the JSON and hex readers.
    """
    return _tcb_info(body, _issuer_chain(headers, "tcbInfo", "Intel's TCB info"))


@lru_cache(maxsize=16)
def _tcb_info(body: bytes, issuer_chain: str) -> TcbInfo:
    """Pure, so the answer that every report of a month comes with is read once in a process."""
    signed, info = _open(body, issuer_chain, "tcbInfo", "Intel's TCB info")
    levels = _member(info, "tcbLevels", list)
    if not 0 < len(levels) <= 64:
        raise FormatError("collateral_shape", "Intel's TCB info has no TCB levels, or too many")
    return TcbInfo(
        id=_member(info, "id", str),
        version=_member(info, "version", int),
        tcb_type=_member(info, "tcbType", int),
        fmspc=decode_hex(info.get("fmspc"), what="fmspc of Intel's TCB info", size=6),
        pce_id=decode_hex(info.get("pceId"), what="pceId of Intel's TCB info", size=2),
        issue_date=_time(info, "issueDate"),
        next_update=_time(info, "nextUpdate"),
        eval_number=_member(info, "tcbEvaluationDataNumber", int),
        levels=tuple(_level(level) for level in levels),
        module_levels=_module_levels(info.get("tdxModuleIdentities", [])),
        signed=signed,
    )


def parse_qe_identity(body: bytes, headers: Mapping[str, tuple[str, ...]]) -> QeIdentity:
    """Read an answer of ``/tdx/certification/v4/qe/identity``; ``headers`` as in `parse_tcb_info`.

    Raises:
        FormatError: ``collateral_shape`` or a code of the JSON and hex readers.
    """
    return _qe_identity(body, _issuer_chain(headers, "enclaveIdentity", "Intel's QE identity"))


@lru_cache(maxsize=16)
def _qe_identity(body: bytes, issuer_chain: str) -> QeIdentity:
    signed, identity = _open(body, issuer_chain, "enclaveIdentity", "Intel's QE identity")
    return QeIdentity(
        id=_member(identity, "id", str),
        version=_member(identity, "version", int),
        issue_date=_time(identity, "issueDate"),
        next_update=_time(identity, "nextUpdate"),
        eval_number=_member(identity, "tcbEvaluationDataNumber", int),
        signed=signed,
    )


def _issuer_chain(headers: Mapping[str, tuple[str, ...]], key: str, what: str) -> str:
    values = [value for name in _CHAIN_HEADERS[key] for value in headers.get(name, ())]
    if not values:
        raise FormatError(
            "issuer_chain_missing", f"{what} came without the header {_CHAIN_HEADERS[key][0]}; save it as well"
        )
    if len(values) != 1:
        raise FormatError("collateral_shape", f"{what} came with {len(values)} issuer-chain headers, one was expected")
    return values[0]


def _open(body: bytes, issuer_chain: str, key: str, what: str) -> tuple[SignedDocument, dict[str, JsonValue]]:
    document = loads(body, what=what, limit=MAX_ENDORSEMENT_BODY)
    if not isinstance(document, dict) or set(document) != {key, "signature"} or not isinstance(document[key], dict):
        # Exactly these two members, so that no decoy member can be sliced out or read in the signed one's place.
        raise FormatError("collateral_shape", f"{what} is not an object with exactly the members {key} and signature")
    signed = SignedDocument(
        text=member_text(body.decode("utf-8"), key, what=what),
        signature=decode_hex(document["signature"], what=f"the signature of {what}", size=64),
        issuer_chain=unquote(issuer_chain).encode("utf-8", "replace"),
    )
    return signed, document[key]


def _level(level: JsonValue) -> TcbLevel:
    if not isinstance(level, dict):
        raise FormatError("collateral_shape", "a TCB level of Intel's TCB info is not an object")
    tcb = _member(level, "tcb", dict)
    sgx, tdx = _components(tcb, "sgxtcbcomponents"), _components(tcb, "tdxtcbcomponents")
    advisories = level.get("advisoryIDs", [])
    if not isinstance(advisories, list) or not all(isinstance(item, str) for item in advisories):
        raise FormatError("collateral_shape", "advisoryIDs of a TCB level is not a list of strings")
    return TcbLevel(
        sgx_components=tuple(_member(item, "svn", int) for item in sgx),
        tdx_components=tuple(_member(item, "svn", int) for item in tdx),
        tdx_labels=tuple(str(item.get("type", "")) for item in tdx),
        pce_svn=_member(tcb, "pcesvn", int),
        status=_member(level, "tcbStatus", str),
        date=_time(level, "tcbDate"),
        advisories=tuple(advisories),
    )


def _module_levels(identities: JsonValue) -> Mapping[str, tuple[tuple[int, str], ...]]:
    if not isinstance(identities, list) or not all(isinstance(identity, dict) for identity in identities):
        raise FormatError("collateral_shape", "tdxModuleIdentities of Intel's TCB info is not a list of objects")
    found: dict[str, tuple[tuple[int, str], ...]] = {}
    for identity in identities:
        levels = _member(identity, "tcbLevels", list)
        if not all(isinstance(level, dict) for level in levels):
            raise FormatError("collateral_shape", "a TDX module's TCB level is not an object")
        found[_member(identity, "id", str)] = tuple(
            (_member(_member(level, "tcb", dict), "isvsvn", int), _member(level, "tcbStatus", str)) for level in levels
        )
    return MappingProxyType(found)


def _components(tcb: dict[str, JsonValue], key: str) -> list[dict[str, JsonValue]]:
    components = _member(tcb, key, list)
    if len(components) != 16 or not all(isinstance(item, dict) for item in components):
        raise FormatError("collateral_shape", f"{key} of a TCB level does not hold 16 objects")
    return list(components)


def _member(members: dict[str, JsonValue], key: str, kind: type) -> JsonValue:
    value = members.get(key)
    if type(value) is not kind:  # bool is an int to isinstance
        raise FormatError("collateral_shape", f"{key} of Intel's collateral is not of type {kind.__name__}")
    return value


def _time(members: dict[str, JsonValue], key: str) -> datetime:
    value = members.get(key)
    if isinstance(value, str) and _TIME.match(value):
        try:
            return datetime.fromisoformat(value[:-1]).replace(tzinfo=timezone.utc)
        except ValueError:
            pass
    raise FormatError("collateral_shape", f"{key} of Intel's collateral is not a UTC time")

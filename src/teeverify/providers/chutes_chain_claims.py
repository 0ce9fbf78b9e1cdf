"""From a chain document to claims about what the proxy signed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Final, TypeVar

from ..claims.problem import Problem, ProblemKind
from ..claims.receipt import InstanceResult, ProxyStatement, ReceiptClaims
from ..crypto.signatures import recover_personal_signer, verify_ed25519
from ..errors import FormatError
from ..formats.canonical_json import ascii_canonical
from ..formats.encodings import decode_hex
from ..formats.report_data import ADDRESS_SIZES
from ..formats.strict_json import JsonValue, same_json
from ..limits import MAX_INSTANCES
from .chutes_chain_wire import ChainAsked, section
from .chutes_wire import is_chute_id

__all__ = ["derive_receipt"]

T = TypeVar("T")

_SIGNATURES: Final = {"ecdsa": re.compile(r"0x[0-9a-f]{130}\Z"), "ed25519": re.compile(r"[0-9a-f]{128}\Z")}
_LAST: Final = 253402300799
"""The last second that a datetime can hold."""
_COUNTS: Final = ("total_instances", "tdx_uptodate_instances", "binding_verified_instances")
_BESIDE: Final[Mapping[str, str]] = {
    "provider": "provider",
    "base_url": "upstream_base_url",
    "model": "model",
    "attestation_sha256": "upstream_attestation_sha256",
}
"""What stands beside the evidence, and the member of the signed payload that says the same."""
_GOOD: Final[Mapping[str, JsonValue]] = {
    "tdx_status": "UpToDate",
    "tdx_error_present": False,
    "debug_mode_disabled": True,
    "binding_verified": True,
    "errors": [],
}


def derive_receipt(
    document: Mapping[str, JsonValue], asked: ChainAsked, algorithm: str, *, model: str
) -> ReceiptClaims:
    """What the proxy signed in a chain document; ``model`` is the verdict's. Never raises."""
    delegated = asked.mode == "proxy"
    name = "verification_receipt" if delegated else "binding_proof"
    holder = document.get(name)
    size = 32 if algorithm == "ed25519" else 64
    payload = section(document, name, "payload")
    return ReceiptClaims(
        delegated=delegated,
        model=model,
        statement=_claim(lambda: _statement(holder, algorithm, "verified_at" if delegated else "timestamp")),
        faults=_faults(payload, asked, holder, document) if isinstance(payload, dict) else (),
        seen_digest=None if delegated else _claim(lambda: _upstream_digest(document)),
        instances=_claim(lambda: _instances(payload)) if delegated and isinstance(payload, dict) else None,
        stated_key=_claim(lambda: _hex(section(document, "proxy", "signing_public_key"), "signing_public_key", size)),
        record_key=_claim(
            lambda: _hex(section(document, "proxy", "attestation", "signing_public_key"), "signing_public_key", size)
        ),
    )


def _statement(holder: JsonValue, algorithm: str, clock: str) -> ProxyStatement:
    if not isinstance(holder, dict) or not isinstance(holder.get("payload"), dict):
        raise FormatError("statement_missing", "the chain document holds no signed statement of the proxy")
    payload, signature = holder["payload"], holder.get("signature")
    if holder.get("signing_algo") != algorithm:
        raise FormatError("statement_algorithm", "the statement is not signed with the algorithm that was asked for")
    if not isinstance(signature, str) or not _SIGNATURES[algorithm].match(signature):
        raise FormatError("statement_signature", f"the statement's signature does not have the form of {algorithm}")
    shown = holder.get("signing_address")
    if algorithm == "ecdsa" and isinstance(shown, str):
        shown = shown.removeprefix("0x")
    address = _hex(shown, "signing_address of the statement", ADDRESS_SIZES[algorithm])
    message, raw = ascii_canonical(payload), bytes.fromhex(signature.removeprefix("0x"))
    valid = (
        recover_personal_signer(message, raw) == address
        if algorithm == "ecdsa"
        else verify_ed25519(address, raw, message)
    )
    return ProxyStatement(
        algorithm=algorithm,
        address=address,
        valid=valid,
        nonce=_hex(payload.get("nonce"), "the nonce of the statement", 32),
        model=_text(payload, "model"),
        provider=_text(payload, "provider"),
        made_at=_time(payload, clock),
        evidence_digest=_hex(payload.get("upstream_attestation_sha256"), "upstream_attestation_sha256", 32),
    )


def _faults(
    payload: Mapping[str, JsonValue], asked: ChainAsked, holder: JsonValue, document: Mapping[str, JsonValue]
) -> tuple[str, ...]:
    """What in a payload contradicts the request, or what stands beside it, in words."""
    if asked.mode == "passthrough":
        return tuple(
            f"{shown} beside the evidence is not the {signed} that was signed"
            for shown, signed in _BESIDE.items()
            if not same_json(section(document, "upstream", shown), payload.get(signed)) or payload.get(signed) is None
        )
    found = []
    if payload.get("verify_mode") != "proxy":
        found.append("the receipt is not one of the mode that was asked for")
    if payload.get("result") != "pass":
        found.append("the receipt's result is not 'pass'")
    nonce = asked.nonce.hex() if isinstance(asked.nonce, bytes) else ""
    digest = hashlib.sha256(f"{asked.model}:{nonce}".encode()).hexdigest()
    if payload.get("request_hash", digest) != digest:
        found.append("request_hash is not the hash of our model and nonce")
    own = holder if isinstance(holder, dict) else {}
    for name in ("signing_address", "signing_algo"):
        stated = payload.get(f"binding_{name}")
        if stated is not None and str(stated).lower() != str(own.get(name)).lower():
            found.append(f"binding_{name} is not that of the receipt itself")
    return tuple(found)


def _upstream_digest(document: Mapping[str, JsonValue]) -> bytes:
    evidence = section(document, "upstream", "attestation")
    if not isinstance(evidence, dict):
        raise FormatError("upstream_missing", "the chain document hands no evidence on")
    return hashlib.sha256(ascii_canonical(evidence)).digest()


def _instances(payload: Mapping[str, JsonValue]) -> tuple[InstanceResult, ...] | Problem | None:
    summary, results = payload.get("verification_summary"), payload.get("instance_results")
    if summary is None and results is None:
        return None
    if not isinstance(summary, dict) or not isinstance(results, list) or not 0 < len(results) <= MAX_INSTANCES:
        raise FormatError("receipt_shape", "the receipt's summary or its list of instances does not have its form")
    if any(type(summary.get(name)) is not int or summary[name] != len(results) for name in _COUNTS):
        detail = "the counts of the receipt's summary are not those of its list of instances"
        return Problem(kind=ProblemKind.INVALID, code="receipt_counts", detail=detail, where="receipt")
    found = tuple(_instance(entry) for entry in results)
    if len({result.id for result in found}) != len(found):
        detail = "the receipt lists one instance twice"
        return Problem(kind=ProblemKind.INVALID, code="receipt_counts", detail=detail, where="receipt")
    return found


def _instance(entry: JsonValue) -> InstanceResult:
    name = entry.get("instance_id") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not is_chute_id(name):
        raise FormatError("receipt_shape", "a result of the receipt is not an object with the UUID of an instance")
    faults = [f"{name} is not {wanted!r}" for name, wanted in _GOOD.items() if not same_json(entry.get(name), wanted)]
    expected = _hex(entry.get("expected_report_data"), "expected_report_data", 32)
    if _hex(entry.get("actual_report_data"), "actual_report_data", 32) != expected:
        faults.append("the REPORTDATA that was found is not the expected one")
    checked = entry.get("gpu_token_checked") is True and entry.get("gpu_verified") is True
    return InstanceResult(id=name, faults=tuple(faults), gpu_verified=checked)


def _claim(derive: Callable[[], T]) -> T | Problem:
    try:
        return derive()
    except FormatError as error:
        return Problem(kind=ProblemKind.MALFORMED, code=error.code, detail=str(error), where="receipt")


def _hex(value: JsonValue, what: str, size: int) -> bytes:
    if isinstance(value, str):
        value = value.lower()
    return decode_hex(value, what=what, size=size)


def _text(payload: Mapping[str, JsonValue], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str):
        raise FormatError("statement_member", f"the statement's {name} is missing or no text")
    return value


def _time(payload: Mapping[str, JsonValue], name: str) -> datetime:
    seconds = payload.get(name)
    if type(seconds) is not int or not 0 <= seconds <= _LAST:
        raise FormatError("statement_member", f"the statement's {name} is missing or no time in seconds")
    return datetime.fromtimestamp(seconds, timezone.utc)

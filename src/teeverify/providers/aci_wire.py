"""ACI on the wire: what is asked of ``/v1/aci/...``, and the record inside a report of attested inference.

The report describes one service as a whole, not one model. Members that a gateway adds for older clients (a legacy
quote, GPU evidence of a machine behind it) are never read: they belong to other quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from ..claims.problem import Problem, ProblemKind
from ..errors import FormatError, TransportError
from ..formats.aci_keyset import API_VERSION
from ..formats.strict_json import JsonValue
from ..origin import target_of
from .front_wire import base_url
from .report_records import ReportAsked, ReportRecord

__all__ = [
    "aci_asked", "aci_base", "aci_records", "asks_for_aci", "attestation_url", "base_of", "host_of", "path_id",
]  # fmt: skip

_PATH: Final = "/aci/attestation"
_NONCE: Final = re.compile(r"[0-9a-f]{64}\Z")
_ROLE: Final = "gateway"


def aci_base(url: str) -> str:
    """The base of a service's URLs, such as ``https://gateway.example/v1``, out of a URL with or without ``/v1``.

    Raises:
        ConfigurationError: it is not an https URL of a host with an optional path.
    """
    base = base_url(url)
    return base if base.endswith("/v1") else f"{base}/v1"


def attestation_url(base: str, nonce: bytes) -> str:
    """URL of a report request; ``nonce`` is 32 bytes."""
    return f"{base}{_PATH}?nonce={nonce.hex()}"


def asks_for_aci(url: str) -> bool:
    """True for the URL of a report request, on whatever host."""
    try:
        return urlsplit(url).path.endswith(f"/v1{_PATH}")
    except ValueError:
        return False


def base_of(url: str) -> str:
    """The base of the URL of a report request."""
    return url.partition("?")[0].removesuffix(_PATH)


def host_of(origin: str) -> str:
    """Host name of an origin, lower case; empty where it cannot be read."""
    try:
        return target_of(origin).origin.host
    except TransportError:
        return ""


def aci_asked(url: str) -> ReportAsked:
    """Read what a report request asked for out of its URL; exactly one nonce, 64 digits of lower-case hex, counts.

    Raises:
        FormatError: ``not_aci_request``.
    """
    try:
        parts, origin = urlsplit(url), target_of(url).origin
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=16)
    except (ValueError, TransportError):
        raise FormatError("not_aci_request", "the URL of the ACI report cannot be read") from None
    query = dict(pairs)
    if not asks_for_aci(url) or "#" in url or len(query) != len(pairs) or set(query) - {"nonce"}:
        raise FormatError("not_aci_request", "the recorded request is no request for an ACI report over https")
    nonce: bytes | Problem
    if _NONCE.match(query.get("nonce", "")):
        nonce = bytes.fromhex(query["nonce"])
    else:
        detail = "the report was not asked for with a nonce of 64 lower-case hex digits"
        nonce = Problem(kind=ProblemKind.INVALID, code="no_client_nonce", detail=detail, where="request")
    return ReportAsked(
        url=url,
        origin=str(origin),
        nonce=nonce,
        algorithm="ed25519",
        tls_bound=False,
        channel_role=_ROLE,
    )


def path_id(value: str) -> str:
    """An id as one part of a path."""
    return quote(value, safe="")


def aci_records(document: Mapping[str, JsonValue] | Problem, *, role: str = _ROLE) -> tuple[ReportRecord, ...]:
    """The one record of an ACI report, with the members of its evidence under the names of a dstack record.

    Total: a report of another version or revision becomes a record that fails by a Problem.
    """
    if isinstance(document, Problem):
        return (ReportRecord(id=role, role=role, members={}, problems=(document,)),)
    attestation = document.get("attestation")
    outer = attestation if isinstance(attestation, dict) else {}
    evidence = outer.get("evidence")
    inner = evidence if isinstance(evidence, dict) else {}
    return (
        ReportRecord(
            id=role,
            role=role,
            members={
                "intel_quote": inner.get("quote"),
                "event_log": inner.get("event_log"),
                "report_data": inner.get("quote_report_data"),
                "info": {
                    "tcb_info": {"app_compose": inner.get("app_compose")},
                    "vm_config": inner.get("vm_config"),
                },
            },
            problems=_problems(document, outer, evidence),
        ),
    )


def _problems(
    document: Mapping[str, JsonValue], attestation: Mapping[str, JsonValue], evidence: JsonValue
) -> tuple[Problem, ...]:
    found: list[tuple[str, str]] = []
    if document.get("api_version") != API_VERSION:
        found.append(("aci_version", f"the report is not one of attested inference, version {API_VERSION}"))
    if "keyset_endorsement" in attestation or "workload_id" in document:
        found.append(("aci_revision", "the report is of the older revision with an endorsed keyset, not judged here"))
    if attestation.get("tee_type") != "tdx":
        found.append(("tee_type", "the report is not of an Intel TDX machine, the only kind that is judged"))
    if not isinstance(evidence, dict):
        found.append(("evidence_shape", "the report holds no object of evidence"))
    return tuple(
        Problem(kind=ProblemKind.MALFORMED, code=code, detail=detail, where="report") for code, detail in found
    )

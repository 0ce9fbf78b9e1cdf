"""The chain API of vllm-proxy on the wire (``GET /v1/attestation/chain``): a proxy in a TD, with Chutes behind it.

In mode "proxy" the proxy has verified the instances and shows a signed receipt; in mode "passthrough" it hands their
evidence on with a signed digest. The API was proposed in change 9 of Dstack-TEE/vllm-proxy and has two known revisions;
what only one of them has is optional here, unless a judgement rests on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

import attrs
from attrs import frozen

from ..claims.problem import Problem, ProblemKind
from ..errors import ConfigurationError, FormatError
from ..formats.encodings import decode_hex
from ..formats.strict_json import JsonValue
from .report_records import ReportAsked, ReportRecord, model_record, with_copies

__all__ = ["ChainAsked", "asks_for_chain", "chain_asked", "chain_origin", "chain_url", "proxy_records", "section"]

_PATH: Final = "/attestation/chain"
_ORIGIN: Final = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]{0,200})?\Z")
_MODES: Final = ("passthrough", "proxy")


@frozen(kw_only=True)
class ChainAsked(ReportAsked):
    """What one chain request asked for; ``mode`` is ``passthrough`` or ``proxy``."""

    model: str
    mode: str


def chain_origin(url: str) -> str:
    """A proxy's base URL, such as ``https://my-cvm.example/v1``, without a slash at its end.

    Raises:
        ConfigurationError: it is not an https URL of a host with an optional path.
    """
    base = url.rstrip("/")
    if not _ORIGIN.match(base):
        raise ConfigurationError(f"{url[:100]!r} is no base URL, one like https://my-cvm.example/v1 was expected")
    return base


def chain_url(base: str, *, model: str, nonce: bytes, algorithm: str, mode: str) -> str:
    """URL of a chain request; ``nonce`` is 32 bytes."""
    return (
        f"{base}{_PATH}?model={quote(model, safe='')}&nonce={nonce.hex()}&signing_algo={algorithm}&verify_mode={mode}"
    )


def asks_for_chain(url: str) -> bool:
    """True for the URL of a chain request, on whatever host."""
    try:
        return urlsplit(url).path.endswith(_PATH)
    except ValueError:
        return False


def chain_asked(url: str) -> ChainAsked:
    """Read what a chain request asked for out of its URL.

    Raises:
        FormatError: ``not_chain_request``.
    """
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=16)
    except ValueError:
        raise FormatError("not_chain_request", "the chain request's URL cannot be read") from None
    query = dict(pairs)
    if parts.scheme != "https" or not asks_for_chain(url) or parts.fragment or len(query) != len(pairs):
        raise FormatError("not_chain_request", "the recorded request is no chain request over https")
    mode, algorithm = query.get("verify_mode", "proxy"), query.get("signing_algo", "ecdsa")
    if mode not in _MODES or algorithm not in ("ecdsa", "ed25519") or not query.get("model"):
        raise FormatError("not_chain_request", "the chain request names no model, or a mode or algorithm that is none")
    nonce: bytes | Problem
    try:
        nonce = decode_hex(query.get("nonce"), what="the nonce of the chain request", size=32)
        if query["nonce"] != query["nonce"].lower():
            raise FormatError("not_hex", "the nonce of the chain request is not in lower case")
    except FormatError as error:
        nonce = Problem(kind=ProblemKind.INVALID, code="no_client_nonce", detail=str(error), where="request")
    return ChainAsked(
        url=url,
        origin=f"https://{parts.netloc}",
        nonce=nonce,
        algorithm=algorithm,
        tls_bound=False,
        channel_role=None,
        model=query["model"],
        mode=mode,
    )


def proxy_records(
    document: Mapping[str, JsonValue] | Problem, asked: ChainAsked, model: str
) -> tuple[ReportRecord, ...]:
    """The proxy's own record, and every copy of it that is not just a copy; what should be there fails by a Problem."""
    if isinstance(document, Problem):
        return (ReportRecord(id="gateway", role="gateway", members={}, problems=(document,)),)
    problems = []
    if asked.model != model:
        detail = f"the chain was asked for model {asked.model[:100]!r}, the verdict is for {model[:100]!r}"
        problems.append(Problem(kind=ProblemKind.INVALID, code="other_model", detail=detail, where="report"))
    if document.get("version") != "1":
        problems.append(_malformed("chain_version", "the chain document is not of version 1"))
    if document.get("verify_mode") != asked.mode:
        problems.append(_malformed("chain_mode", "the chain document is of another mode than the one asked for"))
    entries = with_copies(section(document, "proxy", "attestation"))
    return tuple(_proxy_record(entry, index, problems) for index, entry in enumerate(entries))


def _proxy_record(entry: JsonValue, index: int, problems: Sequence[Problem]) -> ReportRecord:
    """A record whose two copies of the quote, where it has both, are one; a proxy has no compose-manager beside it."""
    found = list(problems)
    if isinstance(entry, dict) and entry.get("quote", entry.get("intel_quote")) != entry.get("intel_quote"):
        found.append(_malformed("two_quotes", "the proxy's record shows one quote as quote and another as intel_quote"))
    record = model_record(entry, index, found, with_ohttp=False, role="gateway")
    return attrs.evolve(record, compose_manager=None)


def section(document: Mapping[str, JsonValue], *names: str) -> JsonValue:
    """A member inside nested objects; None where anything on the way is missing or no object."""
    value: JsonValue = document
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _malformed(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.MALFORMED, code=code, detail=detail, where="report")

"""The chain API of vllm-proxy on the wire (``GET /v1/attestation/chain``): a proxy in a TD, with Chutes behind it.

In mode "proxy" the proxy has verified the instances and shows a signed receipt; in mode "passthrough" it hands their
evidence on with a signed digest. The API was proposed in change 9 of Dstack-TEE/vllm-proxy and has two known revisions;
what only one of them has is optional here, unless a judgement rests on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote

import attrs
from attrs import frozen

from ..claims.problem import Problem, ProblemKind
from ..errors import FormatError
from ..formats.strict_json import JsonValue
from .front_wire import Front
from .report_records import ReportAsked, ReportRecord, model_record, with_copies

__all__ = ["ChainAsked", "asks_for_chain", "chain_asked", "chain_base", "chain_url", "proxy_records", "section"]

_PATH: Final = "/attestation/chain"
_FRONT: Final = Front(provider="chutes-chain", base=None, path=_PATH, names_algorithm=True)
_MODES: Final = ("passthrough", "proxy")


@frozen(kw_only=True)
class ChainAsked(ReportAsked):
    """What one chain request asked for; ``mode`` is ``passthrough`` or ``proxy``."""

    model: str
    mode: str


def chain_url(base: str, *, model: str, nonce: bytes, algorithm: str, mode: str) -> str:
    """URL of a chain request; ``nonce`` is 32 bytes."""
    return (
        f"{base}{_PATH}?model={quote(model, safe='')}&nonce={nonce.hex()}&signing_algo={algorithm}&verify_mode={mode}"
    )


def asks_for_chain(url: str) -> bool:
    """True for the URL of a chain request, on whatever host."""
    return _FRONT.asks(url)


def chain_base(url: str) -> str:
    """The base URL of a chain request."""
    return url.partition("?")[0].removesuffix(_PATH)


def chain_asked(url: str) -> ChainAsked:
    """Read what a chain request asked for out of its URL.

    Raises:
        FormatError: ``not_report_request``.
    """
    asked = _FRONT.asked(url)
    mode = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True)).get("verify_mode", "proxy")
    if mode not in _MODES or isinstance(asked.algorithm, Problem):
        raise FormatError("not_report_request", "the chain request names a mode or an algorithm that is none")
    return ChainAsked(
        url=url,
        origin=asked.origin,
        nonce=asked.nonce,
        algorithm=asked.algorithm,
        tls_bound=False,
        channel_role=None,
        model=asked.model,
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

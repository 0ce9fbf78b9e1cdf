"""Report endpoints that speak for machines behind them: which URL is asked, and which shape an answer has.

RedPill, NanoGPT, Venice and a vllm-proxy of one's own answer one kind of request with several shapes of report. What
was asked follows from the URL; which shape an answer may have is the policy's decision (policy.shape), never its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote

from attrs import frozen

from ..claims.problem import Problem, ProblemKind
from ..errors import ConfigurationError, FormatError, TransportError
from ..formats.encodings import decode_hex
from ..formats.strict_json import JsonValue
from ..origin import target_of
from .report_records import ReportAsked

__all__ = ["Front", "FrontAsked", "base_url", "origin_of", "shape_of"]

_BASE: Final = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]{0,200})?\Z")
_QUERY: Final = re.compile(r"[!\"$-~]*\Z")
"""Printable ASCII without the mark of a fragment."""
_ALGORITHMS: Final = ("ecdsa", "ed25519")


@frozen(kw_only=True)
class FrontAsked(ReportAsked):
    """What one report request asked for; ``model`` is the name in the URL."""

    model: str


@frozen(kw_only=True)
class Front:
    """One kind of report endpoint.

    ``base`` is its URL up to the path, None where the caller chooses it. ``names_algorithm`` says that the request
    names the signing algorithm; else it is ecdsa. ``tls_form`` says that it can ask for the form of REPORTDATA that
    binds the TLS key. ``prefixed_keys`` says that ecdsa keys may carry the prefix 04. ``shapes`` are those that a
    report of it may have at all; which of them will do is the policy's decision.
    """

    provider: str
    base: str | None
    path: str
    names_algorithm: bool
    shapes: tuple[str, ...] = ("dstack", "near", "chutes")
    tls_form: bool = False
    prefixed_keys: bool = False

    def url(self, base: str, *, model: str, nonce: bytes, algorithm: str, tls_bound: bool) -> str:
        """URL of a report request; ``nonce`` is 32 bytes."""
        url = f"{base}{self.path}?model={quote(model, safe='')}&nonce={nonce.hex()}"
        if self.names_algorithm:
            url += f"&signing_algo={algorithm}"
        return f"{url}&version=2" if tls_bound else url

    def asks(self, url: str) -> bool:
        """True for the URL of a report request to this kind of endpoint."""
        place, mark, _ = url.partition("?")
        base = place.removesuffix(self.path)
        if not mark or base == place:
            return False
        return base == self.base if self.base is not None else _is_base(base)

    def asked(self, url: str) -> FrontAsked:
        """Read what a request asked for out of its URL.

        Raises:
            FormatError: ``not_report_request``.
        """
        place, _, text = url.partition("?")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=16)
        except ValueError:
            raise FormatError("not_report_request", "the report's URL cannot be read") from None
        query = dict(pairs)
        if not self.asks(url) or not _QUERY.match(text) or len(query) != len(pairs) or not query.get("model"):
            raise FormatError("not_report_request", f"the recorded request is no report request of {self.provider}")
        return FrontAsked(
            url=url,
            origin=origin_of(place.removesuffix(self.path)),
            nonce=_nonce(query.get("nonce")),
            algorithm=self._algorithm(query),
            tls_bound=self.tls_form and query.get("version") == "2",
            channel_role="model" if self.tls_form else None,
            prefixed_keys=self.prefixed_keys,
            model=query["model"],
        )

    def _algorithm(self, query: Mapping[str, str]) -> str | Problem:
        algorithm = query.get("signing_algo", "ecdsa")
        if algorithm in _ALGORITHMS and (self.names_algorithm or "signing_algo" not in query):
            return algorithm
        detail = "the report request named a signing algorithm that is not known here"
        return Problem(kind=ProblemKind.UNAVAILABLE, code="algorithm_not_asked", detail=detail, where="request")


def base_url(url: str) -> str:
    """The base URL of an OpenAI-compatible endpoint, such as ``https://my-cvm.example/v1``, without a slash at its end.

    Raises:
        ConfigurationError: it is not an https URL of a host with an optional path.
    """
    base = url.rstrip("/")
    if not _is_base(base):
        raise ConfigurationError("the given URL is no base URL, one like https://my-cvm.example/v1 was expected")
    return base


def origin_of(base: str) -> str:
    """Scheme and host of a base URL."""
    return str(target_of(base).origin)


def _is_base(base: str) -> bool:
    try:
        return _BASE.match(base) is not None and bool(origin_of(base))
    except TransportError:
        return False


def shape_of(document: Mapping[str, JsonValue]) -> str:
    """Which shape a report has: ``tinfoil``, ``chutes``, ``near``, ``aci``, ``dstack`` or ``unknown``.

    The order is from the most to the least particular, so that members of one shape inside another do not mislead.
    """
    attestation = document.get("attestation")
    if "format" in document:
        return "tinfoil"
    if document.get("attestation_type") == "chutes":
        return "chutes"
    if "gateway_attestation" in document or "model_attestations" in document:
        return "near"
    if document.get("api_version") == "aci/1" or (isinstance(attestation, dict) and "workload_keyset" in attestation):
        return "aci"
    return "dstack" if "intel_quote" in document else "unknown"


def _nonce(text: str | None) -> bytes | Problem:
    try:
        if text is not None and text != text.lower():
            raise FormatError("not_hex", "the nonce of the report request is not in lower case")
        return decode_hex(text, what="the nonce of the report request", size=32)
    except FormatError as error:
        return Problem(kind=ProblemKind.INVALID, code="no_client_nonce", detail=str(error), where="request")

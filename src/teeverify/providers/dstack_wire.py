"""The files of one dstack app as a recorded request and its answer, and what was demanded of the quote.

No endpoint of that form exists. The URL stands for what the caller demanded, so that live judging, a saved report and
its replay read it with the same code; the body is a JSON object with the files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from attrs import field, frozen

from ..claims.problem import Problem, ProblemKind
from ..errors import ConfigurationError, FormatError
from ..flow import Request, Response
from ..formats.encodings import decode_hex
from ..formats.strict_json import JsonValue, loads
from ..limits import MAX_REPORT_BODY
from ..saved import RecordedExchange
from .report_records import ReportAsked, ReportRecord, read_report

__all__ = ["ORIGIN", "DstackAsked", "DstackEvidence", "asked_from_url", "is_request", "read_record"]

ORIGIN: Final = "https://dstack-app.invalid"
"""A host that cannot exist (RFC 2606)."""
_PATH: Final = "/attestation"
_QUOTE_KEY: Final = "quote"


@frozen(kw_only=True)
class DstackAsked(ReportAsked):
    """What was demanded: ``report_data`` (64 bytes) of the whole REPORTDATA, or ``nonce`` of its second half."""

    report_data: bytes | None


@frozen(kw_only=True)
class DstackEvidence:
    """What a dstack app shows about itself, and what was demanded of its quote.

    Args:
        quote: the TDX quote.
        event_log: the guest's event log, JSON text.
        app_compose: the exact text of app-compose.json; None where ``info`` holds it.
        vm_config: the host's description of the machine, JSON text, where there is one.
        info: the guest agent's answer to Info, JSON text, where there is one.
        report_data: the exact 64 bytes that REPORTDATA must be. They prove freshness only as far as they hold random
            bytes of yours.
        nonce: 32 bytes that the second half of REPORTDATA must be; the first half is then the app's own.

    Raises:
        ConfigurationError: both are demanded, or one has another length or is all zeros.
    """

    quote: bytes = field(repr=False)
    event_log: str = field(repr=False)
    app_compose: str | None = field(default=None, repr=False)
    vm_config: str | None = field(default=None, repr=False)
    info: str | None = field(default=None, repr=False)
    report_data: bytes | None = None
    nonce: bytes | None = None

    def __attrs_post_init__(self) -> None:
        if self.report_data is not None and self.nonce is not None:
            raise ConfigurationError("report_data and nonce are both demanded, one of them was expected: leave one out")
        for name, value, size in (("report_data", self.report_data, 64), ("nonce", self.nonce, 32)):
            if value is not None and (len(value) != size or not any(value)):
                raise ConfigurationError(f"{name} is not {size} bytes, or all zeros: give the challenge that was sent")

    @property
    def challenge(self) -> bytes:
        """The 32 bytes that stand for the challenge in verdicts: the nonce, the SHA-256 of the demanded REPORTDATA, or
        zeros where nothing was demanded."""
        if self.report_data is not None:
            return hashlib.sha256(self.report_data).digest()
        return bytes(32) if self.nonce is None else self.nonce

    def exchange(self) -> RecordedExchange:
        """The files as a recorded exchange."""
        query = ""
        if self.report_data is not None:
            query = f"?report_data={self.report_data.hex()}"
        elif self.nonce is not None:
            query = f"?nonce={self.nonce.hex()}"
        files = {
            _QUOTE_KEY: self.quote.hex(),
            "event_log": self.event_log,
            "app_compose": self.app_compose,
            "vm_config": self.vm_config,
            "info": self.info,
        }
        body = json.dumps({name: value for name, value in files.items() if value is not None}).encode("ascii")
        return RecordedExchange(
            request=Request(method="GET", url=f"{ORIGIN}{_PATH}{query}", limit=MAX_REPORT_BODY),
            response=Response(status=200, headers={"content-type": ("application/json",)}, body=body),
        )


def is_request(url: str) -> bool:
    """Is this the URL of a dstack app's files?"""
    return url.partition("?")[0] == f"{ORIGIN}{_PATH}"


def asked_from_url(url: str) -> DstackAsked:
    """Read out of a URL what was demanded. Without a demand, or with one that cannot be read, nothing is fresh."""
    nonce: bytes | Problem
    report_data: bytes | None = None
    try:
        pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True, max_num_fields=8)
    except ValueError:
        pairs = []
    try:
        if len(pairs) != 1 or pairs[0][0] not in ("nonce", "report_data"):
            raise FormatError("no_client_nonce", "neither a nonce nor REPORTDATA was demanded of the quote")
        (name, text), size = pairs[0], 32 if pairs[0][0] == "nonce" else 64
        value = decode_hex(text, what=f"the demanded {name}", size=size)
        if not any(value):
            raise FormatError("no_client_nonce", f"the demanded {name} is all zeros")
        report_data = value if name == "report_data" else None
        nonce = value if report_data is None else hashlib.sha256(value).digest()
    except FormatError as error:
        nonce = Problem(kind=ProblemKind.INVALID, code="no_client_nonce", detail=str(error), where="request")
    return DstackAsked(
        url=url,
        origin=ORIGIN,
        nonce=nonce,
        algorithm=Problem(kind=ProblemKind.INVALID, code="no_key", detail="a dstack app shows no signing key"),
        tls_bound=False,
        channel_role=None,
        report_data=report_data,
    )


def read_record(body: bytes | Problem) -> ReportRecord:
    """The one record of a dstack app, with the members of a vllm-proxy's report."""
    document = body if isinstance(body, Problem) else read_report(body)
    if isinstance(document, Problem):
        return ReportRecord(id="enclave", role="enclave", members={}, problems=(document,))
    problems: list[Problem] = []
    info = _object(document.get("info"), "info", problems)
    tcb_info = _object(info.get("tcb_info"), "tcb_info", problems)
    app_compose = document.get("app_compose")
    if app_compose is not None:
        if tcb_info.get("app_compose") not in (None, "", app_compose):
            problems.append(_malformed("app_compose_differs", "info shows another app-compose than the one given"))
        tcb_info = {**tcb_info, "app_compose": app_compose}
    members = {
        "intel_quote": document.get(_QUOTE_KEY),
        "event_log": document.get("event_log"),
        "vm_config": document.get("vm_config"),
        "mr_config": document.get("mr_config"),
        "info": {**info, "tcb_info": tcb_info},
    }
    return ReportRecord(
        id="enclave",
        role="enclave",
        members={name: value for name, value in members.items() if value is not None},
        problems=tuple(problems),
    )


def _object(value: JsonValue, what: str, problems: list[Problem]) -> Mapping[str, JsonValue]:
    """An object, or a JSON text holding one."""
    try:
        if isinstance(value, str) and value:
            value = loads(value, what=what, limit=MAX_REPORT_BODY)
        if isinstance(value, dict):
            return value
        if value not in (None, ""):
            raise FormatError("info_shape", f"{what} is of type {type(value).__name__}, an object was expected")
    except FormatError as error:
        problems.append(_malformed(error.code, str(error)))
    return {}


def _malformed(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.MALFORMED, code=code, detail=detail, where="report")

"""OpenGradient on the wire: which nodes and which enclave are asked what, and what a recorded session asked."""

from __future__ import annotations

import json
import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from attrs import frozen

from ..claims.problem import Problem, ProblemKind
from ..errors import ConfigurationError, FormatError
from ..flow import Request
from ..formats.encodings import decode_hex
from ..formats.json_rpc import eth_call, rpc_request
from ..formats.nitro_document import NONCE_SIZE
from ..limits import MAX_ENDORSEMENT_BODY, MAX_NITRO_BODY, MAX_RPC_BODY
from ..saved import SavedReport
from .opengradient_registry import AWS_ROOT_CERTIFICATE, GET_ACTIVE_TEES, GET_TEE, LLM_PROXY

__all__ = [
    "OpenGradientAsked",
    "asked_from_saved",
    "block_call",
    "block_number_call",
    "chain_id_call",
    "checked_enclave",
    "checked_node",
    "document_request",
    "entry_call",
    "keys_request",
    "registry_calls",
]

_ENCLAVE: Final = re.compile(r"https://(?:\[[0-9a-fA-F:]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?\Z")
_DOCUMENT: Final = "/enclave/attestation"
_KEYS: Final = "/signing-key"
_CHAIN_ID, _BLOCK_NUMBER, _BLOCK, _ENTRIES, _ROOT, _ENTRY = range(1, 7)


@frozen(kw_only=True)
class OpenGradientAsked:
    """What a session asks.

    ``nodes`` are URLs of JSON-RPC nodes, empty where no contract is asked. ``contract`` is 20 bytes. ``enclave`` is its
    base URL (``https://host``), None where it has to be found, or where only the contract is asked (``attested``
    False). ``tee_id`` is 32 bytes, None for whichever the contract lists first. ``nonce`` is 20 bytes.
    """

    nodes: tuple[str, ...] = ()
    contract: bytes | None = None
    enclave: str | None = None
    tee_id: bytes | None = None
    attested: bool = True
    nonce: bytes | Problem


def checked_node(url: str) -> str:
    """The URL of a JSON-RPC node, with a path. The error does not repeat it, since it may hold a key.

    Raises:
        ConfigurationError: it is not an https URL.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or parts.username or parts.fragment:
        raise ConfigurationError("a node is given that is no https URL without a user and a fragment: correct it")
    return url if parts.path else parts._replace(path="/").geturl()


def checked_enclave(url: str) -> str:
    """The base URL of an enclave, without a path.

    Raises:
        ConfigurationError: it is not ``https://host`` with an optional port.
    """
    base = url.rstrip("/")
    if not _ENCLAVE.match(base):
        raise ConfigurationError(f"{url[:100]!r} is no enclave: one like https://192.0.2.7 was expected")
    return base


def chain_id_call(node: str) -> Request:
    """Ask a node for its chain."""
    return _call(node, rpc_request("eth_chainId", [], call_id=_CHAIN_ID))


def block_number_call(node: str) -> Request:
    """Ask a node for its newest block."""
    return _call(node, rpc_request("eth_blockNumber", [], call_id=_BLOCK_NUMBER))


def block_call(node: str, tag: str) -> Request:
    """Ask a node for a block's header."""
    return _call(node, rpc_request("eth_getBlockByNumber", [tag, False], call_id=_BLOCK))


def registry_calls(node: str, contract: bytes, tag: str) -> tuple[Request, Request]:
    """Ask a node what the contract lists, and by which root it judges registrations, both as of one block."""
    entries, root = GET_ACTIVE_TEES.call(LLM_PROXY), AWS_ROOT_CERTIFICATE.call()
    return (
        _call(node, eth_call(contract, entries, block=tag, call_id=_ENTRIES)),
        _call(node, eth_call(contract, root, block=tag, call_id=_ROOT)),
    )


def entry_call(node: str, contract: bytes, tee_id: bytes, tag: str) -> Request:
    """Ask a node for one entry; so a recording shows which one was chosen."""
    return _call(node, eth_call(contract, GET_TEE.call(tee_id), block=tag, call_id=_ENTRY))


def document_request(enclave: str, nonce: bytes) -> Request:
    """Ask an enclave for a document with our nonce (20 bytes). Its own certificate is one that nobody vouches for."""
    url = f"{enclave}{_DOCUMENT}?nonce={nonce.hex()}"
    return Request(method="GET", url=url, limit=MAX_NITRO_BODY, self_proving=True)


def keys_request(enclave: str) -> Request:
    """Ask an enclave for its signing key and the key that requests are encrypted to; both are proven otherwise."""
    return Request(method="GET", url=f"{enclave}{_KEYS}", limit=MAX_ENDORSEMENT_BODY, self_proving=True)


def asked_from_saved(report: SavedReport) -> OpenGradientAsked | Problem:
    """What a recorded session asked; a MALFORMED Problem where that is not one thing."""
    nodes: dict[str, None] = {}
    contracts: set[str] = set()
    chosen: set[bytes] = set()
    enclaves: dict[str, set[bytes | None]] = {}
    for exchange in report.exchanges:
        request = exchange.request
        if request.method == "POST":
            called = _called(request.body)
            if called is not None:
                nodes[request.url] = None
                contracts.add(called[0])
                chosen |= {called[1]} if called[1] is not None else set()
        elif request.method == "GET" and _path(request.url) == _DOCUMENT:
            enclaves.setdefault(_base(request.url), set()).add(_nonce(request.url))
    if (
        len(contracts) > 1
        or len(enclaves) > 1
        or len(chosen) > 1
        or any(len(nonces) > 1 for nonces in enclaves.values())
    ):
        return _malformed("report_ambiguous", "the saved report is about more than one contract, enclave or nonce")
    if not contracts and not enclaves:
        detail = "the saved report holds no call of a contract and no request for a document"
        return Problem(kind=ProblemKind.UNAVAILABLE, code="not_recorded", detail=detail, where="request")
    if any(_answered(report, path) > 1 for path in (_DOCUMENT, _KEYS)):
        return _malformed("report_ambiguous", "the saved report holds several answers of the enclave to one question")
    nonce = next(iter(next(iter(enclaves.values()), {None})), None)
    missing = Problem(
        kind=ProblemKind.INVALID, code="no_client_nonce", detail="the document was asked for without one nonce of ours",
        where="request",
    )  # fmt: skip
    return OpenGradientAsked(
        nodes=tuple(nodes),
        contract=bytes.fromhex(contracts.pop()) if contracts else None,
        enclave=next(iter(enclaves), None),
        tee_id=next(iter(chosen), None),
        attested=bool(enclaves),
        nonce=missing if nonce is None else nonce,
    )


def _answered(report: SavedReport, path: str) -> int:
    """How many different answers there are to a question of that path."""
    return len(report.good_answers(lambda url: _path(url) == path))


def _call(node: str, body: bytes) -> Request:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return Request(method="POST", url=node, headers=headers, body=body, limit=MAX_RPC_BODY, repeatable=True)


def _called(body: bytes | None) -> tuple[str, bytes | None] | None:
    """The contract (hex) of a recorded call for its list, or for one entry and then its id; None for other requests."""
    try:
        target = json.loads(body or b"")["params"][0]
        contract = decode_hex(target["to"].removeprefix("0x"), what="to", size=20).hex()
        data = bytes.fromhex(target["data"].removeprefix("0x"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, FormatError):
        return None
    if data == GET_ACTIVE_TEES.call(LLM_PROXY):
        return contract, None
    single = GET_TEE.call(bytes(32))
    return (contract, data[4:]) if data[:4] == single[:4] and len(data) == len(single) else None


def _nonce(url: str) -> bytes | None:
    try:
        pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, max_num_fields=16)
        values = [value for name, value in pairs if name == "nonce"]
        return decode_hex(values[0], what="nonce", size=NONCE_SIZE) if len(values) == 1 else None
    except (ValueError, FormatError):
        return None


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _base(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _malformed(code: str, detail: str) -> Problem:
    return Problem(kind=ProblemKind.MALFORMED, code=code, detail=detail, where="request")

"""The requests of an OpenGradient session: the contract at one block from every node, then the enclave itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import field, frozen

from ..claims.problem import Problem, ProblemKind
from ..endorsements.answers import good_answer
from ..errors import ConfigurationError, FormatError
from ..flow import Answer, Flow, Request
from ..formats.json_rpc import Block, read_block, read_call_result, read_quantity
from .opengradient_registry import AWS_ROOT_CERTIFICATE, TeeRecord, read_active_tees, read_tee
from .opengradient_wire import (
    OpenGradientAsked,
    block_call,
    block_number_call,
    chain_id_call,
    checked_enclave,
    document_request,
    entry_call,
    keys_request,
    registry_calls,
)

__all__ = ["EnclaveAnswers", "NodeAnswers", "OpenGradientSession", "session_flow"]

T = TypeVar("T")

_CHAIN_ID, _BLOCK_NUMBER, _BLOCK, _ENTRIES, _ROOT, _ENTRY = range(1, 7)


@frozen(kw_only=True)
class NodeAnswers:
    """What one node said, all as of one block. ``aws_root`` is None where the contract does not say."""

    node: str
    chain_id: int | Problem
    block: Block | Problem
    records: tuple[TeeRecord, ...] | Problem
    aws_root: bytes | None


@frozen(kw_only=True)
class EnclaveAnswers:
    """What the enclave itself answered: bodies, or the Problem in their place."""

    document: bytes | Problem = field(repr=False)
    keys: bytes | Problem = field(repr=False)


@frozen(kw_only=True)
class OpenGradientSession:
    """Everything one session collected, nothing judged yet; ``record`` is the entry that is used."""

    asked: OpenGradientAsked
    nonce: bytes
    model: str
    nodes: tuple[NodeAnswers, ...]
    record: TeeRecord | Problem | None
    enclave: EnclaveAnswers | None
    problem: Problem | None = None


def session_flow(
    asked: OpenGradientAsked, *, nonce: bytes, model: str, wanted: Callable[[TeeRecord], bool]
) -> Flow[OpenGradientSession]:
    """Ask the nodes, choose an entry, and ask its enclave.

    ``wanted`` says which entries may be chosen; the choice decides nothing, since the entry is judged afterwards.
    """
    nodes: tuple[NodeAnswers, ...] = ()
    record: TeeRecord | Problem | None = None
    if asked.nodes and asked.contract is not None:
        nodes = yield from _nodes_flow(asked.nodes, asked.contract)
        record = _chosen(nodes[0].records, asked, wanted)
    enclave: EnclaveAnswers | None = None
    if asked.attested:
        enclave = yield from _enclave_flow(asked, record)
    elif isinstance(record, TeeRecord) and asked.contract is not None and isinstance(nodes[0].block, Block):
        record = yield from _entry_flow(nodes[0].node, asked.contract, record, nodes[0].block.tag)
    return OpenGradientSession(asked=asked, nonce=nonce, model=model, nodes=nodes, record=record, enclave=enclave)


def _nodes_flow(nodes: tuple[str, ...], contract: bytes) -> Flow[tuple[NodeAnswers, ...]]:
    """The first node names the block; all nodes are then asked about that very one."""
    opening = [chain_id_call(node) for node in nodes]
    answers = yield (*opening, block_number_call(nodes[0]))
    chains = [_read(answer, lambda body: read_quantity(body, call_id=_CHAIN_ID)) for answer in answers[:-1]]
    number = _read(answers[-1], lambda body: read_quantity(body, call_id=_BLOCK_NUMBER))
    if isinstance(number, Problem):
        return tuple(
            NodeAnswers(node=node, chain_id=chain, block=number, records=number, aws_root=None)
            for node, chain in zip(nodes, chains, strict=True)
        )
    tag = hex(number)
    plan: Mapping[str, tuple[Request, ...]] = {
        node: (block_call(node, tag), *registry_calls(node, contract, tag)) for node in nodes
    }
    told = yield tuple(request for requests in plan.values() for request in requests)
    return tuple(
        _node(node, chain, told[3 * index : 3 * index + 3], number)
        for index, (node, chain) in enumerate(zip(nodes, chains, strict=True))
    )


def _entry_flow(node: str, contract: bytes, record: TeeRecord, tag: str) -> Flow[TeeRecord | Problem]:
    """Ask for the chosen entry by its id: the answers must agree, and a recording then shows which one it was."""
    (answer,) = yield (entry_call(node, contract, record.tee_id, tag),)
    single = _read(answer, lambda body: read_tee(read_call_result(body, call_id=_ENTRY)))
    if isinstance(single, Problem) or single == record:
        return single
    detail = "the node shows another entry by the enclave's id than in its list"
    return Problem(kind=ProblemKind.INVALID, code="entry_differs", detail=detail, where="registry")


def _node(node: str, chain_id: int | Problem, answers: tuple[Answer, ...], number: int) -> NodeAnswers:
    block = _read(answers[0], lambda body: read_block(body, call_id=_BLOCK))
    if isinstance(block, Block) and block.number != number:
        detail = "the node answered with another block than the one asked for"
        block = Problem(kind=ProblemKind.INVALID, code="other_block", detail=detail, where="registry")
    root = _read(answers[2], lambda body: _bytes_result(read_call_result(body, call_id=_ROOT)))
    return NodeAnswers(
        node=node,
        chain_id=chain_id,
        block=block,
        records=_read(answers[1], lambda body: read_active_tees(read_call_result(body, call_id=_ENTRIES))),
        aws_root=None if isinstance(root, Problem) else root,
    )


def _enclave_flow(asked: OpenGradientAsked, record: TeeRecord | Problem | None) -> Flow[EnclaveAnswers]:
    place: str | Problem | None = asked.enclave
    if place is None:
        place = record if isinstance(record, Problem) else None if record is None else _endpoint(record)
    if place is None:
        detail = "there is no enclave to ask: give its URL, or nodes and a contract that list one"
        place = Problem(kind=ProblemKind.UNAVAILABLE, code="no_enclave", detail=detail, where="enclave")
    if isinstance(place, Problem) or isinstance(asked.nonce, Problem):
        missing = place if isinstance(place, Problem) else asked.nonce
        assert isinstance(missing, Problem)  # for the type checker
        return EnclaveAnswers(document=missing, keys=missing)
    document, keys = yield (document_request(place, asked.nonce), keys_request(place))
    return EnclaveAnswers(
        document=_body(document, "the enclave's document"), keys=_body(keys, "the enclave's signing key")
    )


def _chosen(
    records: tuple[TeeRecord, ...] | Problem, asked: OpenGradientAsked, wanted: Callable[[TeeRecord], bool]
) -> TeeRecord | Problem:
    if isinstance(records, Problem):
        return records
    fitting = [
        record
        for record in records
        if (asked.tee_id is None or record.tee_id == asked.tee_id)
        and (asked.enclave is None or record.endpoint.rstrip("/") == asked.enclave)
    ]
    if not fitting:
        detail = "the contract lists no active enclave of that id or place"
        return Problem(kind=ProblemKind.UNAVAILABLE, code="not_listed", detail=detail, where="registry")
    return next((record for record in fitting if wanted(record)), fitting[0])


def _endpoint(record: TeeRecord) -> str | Problem:
    """Where the operator says that the enclave is; nobody vouches for that, and nothing depends on it."""
    try:
        return checked_enclave(record.endpoint)
    except ConfigurationError as error:
        return Problem(kind=ProblemKind.UNAVAILABLE, code="endpoint", detail=str(error), where="registry")


def _bytes_result(data: bytes) -> bytes:
    return bytes(AWS_ROOT_CERTIFICATE.read(data))


def _body(answer: Answer, what: str) -> bytes | Problem:
    good = good_answer(answer, what=what, where="enclave")
    return good if isinstance(good, Problem) else good.body


def _read(answer: Answer, read: Callable[[bytes], T]) -> T | Problem:
    """What a node's answer says; an UNAVAILABLE Problem for an outage, and for anything that is no such answer."""
    good = good_answer(answer, what="the node's answer", where="registry")
    if isinstance(good, Problem):
        return good
    try:
        return read(good.body)
    except FormatError as error:
        return Problem(kind=ProblemKind.UNAVAILABLE, code=error.code, detail=str(error), where="registry")

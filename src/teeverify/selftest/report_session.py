"""Alterations of what surrounds the records of a dstack report: every mention at once, the request, the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote

import attrs

from ..saved import SavedReport
from .alteration import Alteration
from .answers import header_alterations
from .byte_changes import flip
from .json_places import put
from .report_maker import ReportMaker
from .report_traffic import ReportTraffic
from .session import other_nonce, with_query

__all__ = ["OTHER_ALGORITHM", "everywhere", "query_alterations", "report_answer", "report_request", "url_alteration"]

OTHER_ALGORITHM: Mapping[str, str] = {"ed25519": "ecdsa", "ecdsa": "ed25519"}


def everywhere(maker: ReportMaker) -> Iterator[Alteration]:
    """What a consistent liar changes: every unsigned mention at once."""
    traffic = maker.traffic
    report, other = traffic.report, other_nonce(traffic.report)
    yield maker.alteration(
        "session",
        "nonce, in every unsigned place",
        "replayed",
        "session.replay",
        lambda: attrs.evolve(_mentions(traffic, report.nonce.hex(), other.hex()), nonce=other),
    )
    model = f"{report.model}-x"
    yield maker.alteration(
        "session",
        "model, in every place",
        "changed",
        "session.model:everywhere",
        lambda: attrs.evolve(_mentions(traffic, report.model, model), model=model),
    )


def _mentions(traffic: ReportTraffic, old: str, new: str) -> SavedReport:
    """The report with every whole value that is ``old`` replaced, in the request's URL and in the answer's JSON."""
    body = traffic.body
    for path, value in traffic.nodes_of(()):
        if isinstance(value, str) and value.lower() == old.lower():
            body = put(body, path, new)
    url = traffic.asked.url.replace(quote(old, safe=""), quote(new, safe=""))
    altered = traffic.with_body(body)
    front = next(each for each in altered.exchanges if each.request.url == traffic.asked.url)
    renamed = attrs.evolve(front, request=attrs.evolve(front.request, url=url))
    return attrs.evolve(altered, exchanges=tuple(renamed if each is front else each for each in altered.exchanges))


def report_request(maker: ReportMaker) -> Iterator[Alteration]:
    """The request's method, and the whole exchange."""
    traffic, front = maker.traffic, maker.traffic.front
    yield maker.alteration(
        "session", "request / method", "changed", "request.method", lambda: traffic.with_request(front, method="POST")
    )
    yield maker.alteration(
        "session", "attestation report", "removed", "answer", lambda: traffic.with_exchange(front, None)
    )


def url_alteration(maker: ReportMaker, name: str, kind: str, new: str, place: str = "") -> Alteration:
    """One other URL of the request: it says what was asked for."""
    make = partial(maker.traffic.with_request, maker.traffic.front, url=new)
    return maker.alteration("session", f"request / URL / {name}", kind, place or f"request.url.{name}", make)


def query_alterations(
    maker: ReportMaker, values: Mapping[str, Callable[[str], str]], *, read: tuple[str, ...] = ()
) -> Iterator[Alteration]:
    """Every member of the request's query; ``values`` makes another value for some of those that are read."""
    url = maker.traffic.asked.url
    pairs = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    for index, (name, value) in enumerate(pairs):
        other = values[name](value) if name in values else f"{value}x"
        place = "" if name in values or name in read else "request.url.unread"
        changed = with_query(url, [*pairs[:index], (name, other), *pairs[index + 1 :]])
        yield url_alteration(maker, name, "changed", changed, place)
        left_out = with_query(url, [*pairs[:index], *pairs[index + 1 :]])
        yield url_alteration(maker, name, "removed", left_out, place)
    twice = with_query(url, [*pairs, ("nonce", maker.traffic.report.nonce.hex())])
    yield url_alteration(maker, "nonce", "repeated", twice)


def report_answer(maker: ReportMaker, *, strangers: Mapping[str, str]) -> Iterator[Alteration]:
    """The answer around the report; ``strangers`` are headers that checks read, with values that say somebody else
    answers."""
    traffic, front = maker.traffic, maker.traffic.front
    response = traffic.exchanges[front].response

    def change(name: str, kind: str, place: str, **changes: Any) -> Alteration:
        return maker.in_answer("session", name, kind, place, front, **changes)

    if response.peer_spki is not None:
        yield change("connection's key", "removed", "answer.peer_spki", peer_spki=None)
        yield change("connection's key", "changed", "answer.peer_spki", peer_spki=flip(response.peer_spki, -1))
    else:
        yield change("connection's key", "added", "answer.peer_spki", peer_spki=b"\x01")
    yield change("answer / status", "changed", "answer.status", status=403)
    for name, value in strangers.items():
        headers = {**response.headers, name: (value,)}
        kind = "changed" if name in response.headers else "added"
        yield change(f"answer / header {name}", kind, f"answer.header.{name}", headers=headers)
    yield from header_alterations(maker, front, "session", "answer", read=tuple(strangers))
    yield change("answer / text", "cut", "answer.text", body=response.body[:-1])
    repeated = b'{"signing_algo":"ed25519","signing_algo":"ed25519",' + response.body.lstrip()[1:]
    yield change("answer / text", "member repeated", "answer.text", body=repeated)

"""Alterations of what surrounds a front's report: the file's own members, the request, the connection, the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import attrs

from ..saved import SavedReport
from .alteration import Alteration
from .byte_changes import flip
from .front_maker import FrontMaker
from .front_traffic import FrontTraffic
from .report_session import (
    OTHER_ALGORITHM,
    everywhere,
    query_alterations,
    report_answer,
    report_request,
    url_alteration,
)
from .session import file_alterations, unused_alterations

__all__ = ["session_alterations"]

_OTHER_VALUES: Final[Mapping[str, Callable[[str], str]]] = {
    "nonce": lambda value: flip(bytes.fromhex(value), 0).hex(),
    "signing_algo": lambda value: OTHER_ALGORITHM.get(value, "ed25519"),
    "version": lambda value: "1" if value == "2" else "2",
}


def session_alterations(maker: FrontMaker) -> Iterator[Alteration]:
    """Everything of the saved report that stands outside of the front's report and of endorsers' answers."""
    yield from file_alterations(maker)
    yield from everywhere(maker)
    yield from report_request(maker)
    yield from _url(maker)
    yield from report_answer(maker, strangers={})
    yield maker.alteration("session", "second answer", "added", "answer.second", partial(_with_second, maker.traffic))
    yield from unused_alterations(maker)


def _url(maker: FrontMaker) -> Iterator[Alteration]:
    """Every part of the request's URL: it says what was asked for."""
    traffic = maker.traffic
    url, wire = traffic.asked.url, traffic.wire
    host = urlsplit(url).netloc
    yield url_alteration(maker, "host", "changed", url.replace(host, f"x{host}", 1))
    yield url_alteration(maker, "scheme", "changed", url.replace("https:", "http:", 1))
    yield url_alteration(maker, "path", "changed", url.replace(f"{wire.path}?", f"{wire.path}s?", 1))
    own = url.partition("nonce=")
    if own[2][:64] != own[2][:64].upper():
        yield url_alteration(maker, "nonce", "in capitals", f"{own[0]}nonce={own[2][:64].upper()}{own[2][64:]}")
    if not wire.names_algorithm:
        yield url_alteration(maker, "signing_algo", "added", f"{url}&signing_algo=ecdsa")
    if wire.tls_form and not traffic.asked.tls_bound:
        yield url_alteration(maker, "version", "added", f"{url}&version=2")
    yield from query_alterations(maker, _OTHER_VALUES, read=("model",))


def _with_second(traffic: FrontTraffic) -> SavedReport:
    """The report with another good answer to the same request, in front of its own."""
    exchange = traffic.exchanges[traffic.front]
    other = attrs.evolve(exchange.response, body=exchange.response.body + b" ")
    rival = attrs.evolve(exchange, response=other)
    return attrs.evolve(traffic.report, exchanges=(rival, *traffic.exchanges))

"""Alterations of what surrounds the records: the file's own members, the request, the connection, other exchanges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

import attrs

from ..providers.near_wire import CLOUD_HOST
from ..saved import SavedReport
from .alteration import Alteration
from .answers import header_alterations
from .byte_changes import flip
from .json_places import put
from .near_maker import NearMaker
from .near_traffic import NearTraffic
from .session import file_alterations, other_nonce, unused_alterations, with_query

__all__ = ["session_alterations"]

_OTHER_ALGORITHM: Final = {"ed25519": "ecdsa", "ecdsa": "ed25519"}
_OTHER_VALUES: Final[dict[str, Callable[[str], str]]] = {
    "nonce": lambda value: flip(bytes.fromhex(value), 0).hex(),
    "signing_algo": lambda value: _OTHER_ALGORITHM.get(value, "ed25519"),
    "include_tls_fingerprint": lambda value: "false" if value == "true" else "true",
}
_STRANGERS: Final = {"x-serving-provider": "other", "x-model-alias-resolved": "a -> b"}
"""Headers in which the gateway says that somebody else answers."""


def session_alterations(maker: NearMaker) -> Iterator[Alteration]:
    """Everything of the saved report that stands outside of the attestation report and of endorsers' answers."""
    yield from file_alterations(maker)
    yield from _everywhere(maker)
    yield from _request(maker)
    yield from _url(maker)
    yield from _answer(maker)
    yield from unused_alterations(maker)


def _everywhere(maker: NearMaker) -> Iterator[Alteration]:
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


def _mentions(traffic: NearTraffic, old: str, new: str) -> SavedReport:
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


def _request(maker: NearMaker) -> Iterator[Alteration]:
    traffic, front = maker.traffic, maker.traffic.front
    yield maker.alteration(
        "session", "request / method", "changed", "request.method", lambda: traffic.with_request(front, method="POST")
    )
    yield maker.alteration(
        "session", "attestation report", "removed", "answer", lambda: traffic.with_exchange(front, None)
    )


def _url(maker: NearMaker) -> Iterator[Alteration]:
    """Every part of the request's URL: it says what was asked for."""
    traffic = maker.traffic
    url = traffic.asked.url

    def change(name: str, kind: str, new: str, place: str = "") -> Alteration:
        return maker.alteration(
            "session",
            f"request / URL / {name}",
            kind,
            place or f"request.url.{name}",
            partial(traffic.with_request, traffic.front, url=new),
        )

    parts = urlsplit(url)
    for name, kind, place, host in _other_hosts(traffic.asked.host, cloud=traffic.asked.cloud):
        yield change(name, kind, url.replace(parts.netloc, host, 1), place)
    yield change("scheme", "changed", url.replace("https:", "http:", 1))
    yield change("path", "changed", url.replace("/v1/", "/v2/", 1))
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    read = {*_OTHER_VALUES, "model"} if traffic.asked.cloud else {*_OTHER_VALUES}
    for index, (name, value) in enumerate(pairs):
        other = _OTHER_VALUES[name](value) if name in _OTHER_VALUES else f"{value}x"
        place = "" if name in read else "request.url.unread"
        yield change(name, "changed", with_query(url, [*pairs[:index], (name, other), *pairs[index + 1 :]]), place)
        yield change(name, "removed", with_query(url, [*pairs[:index], *pairs[index + 1 :]]), place)
    yield change("nonce", "repeated", with_query(url, [*pairs, ("nonce", traffic.report.nonce.hex())]))


def _other_hosts(host: str, *, cloud: bool) -> Iterator[tuple[str, str, str, str]]:
    yield "host", "changed to a stranger's", "request.url.host", f"{host}.example"
    if cloud:
        yield "host", "changed to a model's host", "request.url.host", "other.completions.near.ai"
    else:
        yield "host", "changed to the gateway", "request.url.host", CLOUD_HOST
        yield "host", "changed to another model's host", "request.url.host:sibling", f"x{host}"


def _answer(maker: NearMaker) -> Iterator[Alteration]:
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
    for name, value in _STRANGERS.items():
        headers = {**response.headers, name: (value,)}
        kind = "changed" if name in response.headers else "added"
        yield change(f"answer / header {name}", kind, f"answer.header.{name}", headers=headers)
    yield from header_alterations(maker, front, "session", "answer", read=tuple(_STRANGERS))
    yield change("answer / text", "cut", "answer.text", body=response.body[:-1])
    repeated = b'{"signing_algo":"ed25519","signing_algo":"ed25519",' + response.body.lstrip()[1:]
    yield change("answer / text", "member repeated", "answer.text", body=repeated)

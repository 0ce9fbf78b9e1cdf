"""Alterations of what surrounds keys and evidence: the file's own members, requests, answers as a whole, models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from ..formats.strict_json import JsonValue
from ..saved import SavedReport
from .alteration import Alteration
from .answers import answer_alterations
from .byte_changes import flip
from .chutes_maker import ChutesMaker
from .chutes_traffic import ChutesTraffic
from .json_places import other_value, styled
from .session import file_alterations, other_nonce, unused_alterations, with_query

__all__ = ["session_alterations"]

_OTHER_CHUTE: Final = "00000000-0000-4000-8000-000000000000"
_SHOWN: Final = {"keys": "list of keys", "evidence": "evidence"}
_TYPE: Final = "content-type"


def session_alterations(maker: ChutesMaker) -> Iterator[Alteration]:
    """Everything of the saved report that stands outside of keys, evidence and endorsers' answers."""
    traffic = maker.traffic
    yield from file_alterations(maker)
    yield from _everywhere(maker)
    for name, place in traffic.documents.items():
        yield from _request(maker, name, place)
        yield from _answer(maker, name, place)
    if traffic.models is not None:
        yield from _models(maker, traffic.models)
    yield from unused_alterations(maker, read=() if traffic.models is None else (traffic.models,))


def _everywhere(maker: ChutesMaker) -> Iterator[Alteration]:
    """What a consistent liar changes: every unsigned mention at once."""
    traffic, report = maker.traffic, maker.traffic.report
    other = other_nonce(report)

    def change(name: str, kind: str, place: str, old: str, new: str, **changes: Any) -> Alteration:
        make = partial(_mentions, traffic, old, new, changes)
        return maker.alteration("session", name, kind, place, make)

    nonces = (report.nonce.hex(), other.hex())
    yield change("nonce, in every unsigned place", "replayed", "session.replay", *nonces, nonce=other)
    model = f"{report.model}-x"
    yield change("model, in every place", "changed", "session.model:everywhere", report.model, model, model=model)
    named = {"model": _OTHER_CHUTE} if report.model == traffic.asked.chute else {}
    chutes = (traffic.asked.chute, _OTHER_CHUTE)
    yield change("chute, in every place", "changed", "session.chute:everywhere", *chutes, **named)


def _mentions(traffic: ChutesTraffic, old: str, new: str, changes: dict[str, Any]) -> SavedReport:
    """The report with one text replaced in the URLs of both requests and in the list of models."""
    exchanges = list(traffic.exchanges)
    for place in traffic.documents.values():
        request = exchanges[place].request
        request = attrs.evolve(request, url=request.url.replace(old, new))
        exchanges[place] = attrs.evolve(exchanges[place], request=request)
    if traffic.models is not None:
        response = exchanges[traffic.models].response
        body = response.body.replace(f'"{old}"'.encode(), f'"{new}"'.encode())
        exchanges[traffic.models] = attrs.evolve(exchanges[traffic.models], response=attrs.evolve(response, body=body))
    return attrs.evolve(traffic.report, exchanges=tuple(exchanges), **changes)


def _request(maker: ChutesMaker, name: str, place: int) -> Iterator[Alteration]:
    traffic = maker.traffic
    url = traffic.exchanges[place].request.url

    def change(part: str, kind: str, where: str, **changes: str) -> Alteration:
        make = partial(traffic.with_request, place, **changes)
        return maker.alteration("session", f"request for {_SHOWN[name]} / {part}", kind, f"request.{where}", make)

    host = urlsplit(url).netloc
    yield change("method", "changed", "method", method="POST")
    yield change("URL / host", "changed", "url.host", url=url.replace(host, f"{host}.example", 1))
    yield change("URL / scheme", "changed", "url.scheme", url=url.replace("https:", "http:", 1))
    yield change("URL / chute", "changed", "url.chute", url=url.replace(traffic.asked.chute, _OTHER_CHUTE, 1))
    yield change("URL / query", "member added", "url.query", url=f"{url}{'&' if '?' in url else '?'}note=1")
    if name == "evidence":
        own, other = traffic.report.nonce.hex(), other_nonce(traffic.report).hex()
        for kind, pairs in (
            ("changed", [("nonce", other)]),
            ("removed", []),
            ("repeated", [("nonce", own), ("nonce", other)]),
            ("cut", [("nonce", own[:-2])]),
            *([("in capitals", [("nonce", own.upper())])] if own != own.upper() else []),
        ):
            yield change("URL / nonce", kind, "url.nonce", url=with_query(url, pairs))


def _answer(maker: ChutesMaker, name: str, place: int) -> Iterator[Alteration]:
    response, shown, key = maker.traffic.exchanges[place].response, _SHOWN[name], f"answer.{name}"

    def change(part: str, kind: str, where: str, **changes: Any) -> Alteration:
        return maker.in_answer("session", f"{shown} / {part}", kind, f"{key}.{where}", place, **changes)

    yield from answer_alterations(maker, place, "session", shown, key, read=(_TYPE,))
    spki = flip(response.peer_spki, -1) if response.peer_spki else b"\x01"
    yield change("connection's key", "changed" if response.peer_spki else "added", "peer_spki", peer_spki=spki)
    page = {**response.headers, _TYPE: ("text/html",)}
    yield change(f"header {_TYPE}", "changed", f"header.{_TYPE}", headers=page)
    yield change("text", "cut", "text", body=response.body[:-1])
    first = next(iter(maker.traffic.body[name]))
    repeated = b"{" + json.dumps(first).encode() + b":[]," + response.body.lstrip()[1:]
    yield change("text", "member repeated", "text", body=repeated)
    yield maker.alteration(
        "session", f"{shown} / second answer", "added", f"{key}.second", partial(_with_second, maker.traffic, place)
    )


def _with_second(traffic: ChutesTraffic, place: int) -> SavedReport:
    """The report with another good answer to the same request, in front of its own."""
    exchange = traffic.exchanges[place]
    other = attrs.evolve(exchange.response, body=exchange.response.body + b" ")
    rival = attrs.evolve(exchange, response=other)
    return attrs.evolve(traffic.report, exchanges=(rival, *traffic.exchanges))


def _models(maker: ChutesMaker, place: int) -> Iterator[Alteration]:
    """A recorded list of models: what it says of this model, and what it says of others."""
    text = maker.traffic.exchanges[place].response.body.decode("utf-8")
    yield from answer_alterations(maker, place, "session", "list of models", "answer.models", read=())

    def change(part: str, kind: str, where: str, edit: Callable[[Any], None]) -> Alteration:
        document: JsonValue = json.loads(text)
        edit(document["data"])
        body = styled(document, like=text).encode("utf-8")
        return maker.in_answer("session", f"list of models / {part}", kind, f"models.{where}", place, body=body)

    entries = json.loads(text)["data"]
    own = next(index for index, entry in enumerate(entries) if entry.get("id") == maker.traffic.report.model)
    for name in entries[own]:
        where = name if name in ("id", "chute_id") else "note"
        yield change(f"this model / {name}", "changed", where, partial(_other_member, own, name))
    yield change("this model", "removed", "entry", lambda rows: rows.pop(own) and None)
    yield change("this model", "repeated for another chute", "entry", partial(_with_rival, own))
    if len(entries) > 1:
        yield change("other models", "removed", "others", lambda rows: rows.__setitem__(slice(None), [rows[own]]))


def _other_member(index: int, name: str, rows: list[Any]) -> None:
    rows[index] = {**rows[index], name: other_value(rows[index][name])}


def _with_rival(index: int, rows: list[Any]) -> None:
    rows.append({**rows[index], "chute_id": _OTHER_CHUTE})

"""Alterations that any recorded answer allows: left out, refused, replaced, brought by somebody else, other headers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from .alteration import Alteration
from .maker import Maker

__all__ = ["answer_alterations", "header_alterations"]


def answer_alterations(
    maker: Maker, place: int, subject: str, name: str, key: str, *, read: tuple[str, ...]
) -> Iterator[Alteration]:
    """What can be done to an endorser's answer as a whole; ``read`` are the headers that checks read."""
    response = maker.traffic.exchanges[place].response
    without = partial(maker.traffic.with_exchange, place, None)
    yield maker.alteration(subject, name, "removed", key, without, concerns=maker.traffic.concerned_by(place))
    yield maker.in_answer(subject, f"{name} / status", "changed", f"{key}.status", place, status=403)
    page = b"<html>sign in</html>"
    yield maker.in_answer(subject, f"{name} / text", "replaced by a web page", f"{key}.text", place, body=page)
    if response.peer_spki is not None:
        where = f"{key}.peer_spki"
        yield maker.in_answer(subject, f"{name} / connection's key", "removed", where, place, peer_spki=None)
    yield from header_alterations(maker, place, subject, name, read=read)


def header_alterations(
    maker: Maker, place: int, subject: str, name: str, *, read: tuple[str, ...]
) -> Iterator[Alteration]:
    """Response headers that no check reads: all at once, or one by one where every leaf is asked for."""
    headers = maker.traffic.exchanges[place].response.headers
    others = [each for each in headers if each not in read]
    groups = [[each] for each in others] if maker.every_leaf else [others] if others else []
    for group in groups:
        shown = f"header {group[0]}" if maker.every_leaf else "headers that nothing reads"
        kept = {each: values for each, values in headers.items() if each not in group}
        yield maker.in_answer(subject, f"{name} / {shown}", "removed", "answer.headers", place, headers=kept)

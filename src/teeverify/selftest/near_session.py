"""Alterations of what surrounds the records: the file's own members, the request, the connection, other exchanges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from ..providers.near_wire import CLOUD_HOST
from .alteration import Alteration
from .byte_changes import flip
from .near_maker import NearMaker
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
    "include_tls_fingerprint": lambda value: "false" if value == "true" else "true",
}
_STRANGERS: Final = {"x-serving-provider": "other", "x-model-alias-resolved": "a -> b"}
"""Headers in which the gateway says that somebody else answers."""


def session_alterations(maker: NearMaker) -> Iterator[Alteration]:
    """Everything of the saved report that stands outside of the attestation report and of endorsers' answers."""
    yield from file_alterations(maker)
    yield from everywhere(maker)
    yield from report_request(maker)
    yield from _url(maker)
    yield from report_answer(maker, strangers=_STRANGERS)
    yield from unused_alterations(maker)


def _url(maker: NearMaker) -> Iterator[Alteration]:
    """Every part of the request's URL: it says what was asked for."""
    asked = maker.traffic.asked
    host = urlsplit(asked.url).netloc
    for name, kind, place, other in _other_hosts(asked.host, cloud=asked.cloud):
        yield url_alteration(maker, name, kind, asked.url.replace(host, other, 1), place)
    yield url_alteration(maker, "scheme", "changed", asked.url.replace("https:", "http:", 1))
    yield url_alteration(maker, "path", "changed", asked.url.replace("/v1/", "/v2/", 1))
    yield from query_alterations(maker, _OTHER_VALUES, read=("model",) if asked.cloud else ())


def _other_hosts(host: str, *, cloud: bool) -> Iterator[tuple[str, str, str, str]]:
    yield "host", "changed to a stranger's", "request.url.host", f"{host}.example"
    if cloud:
        yield "host", "changed to a model's host", "request.url.host", "other.completions.near.ai"
    else:
        yield "host", "changed to the gateway", "request.url.host", CLOUD_HOST
        yield "host", "changed to another model's host", "request.url.host:sibling", f"x{host}"

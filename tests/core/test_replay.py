"""Replay of saved traffic: what matches a recorded request, and the driver of the flow."""

from __future__ import annotations

import pytest

from teeverify.errors import NotRecordedError, TransportError
from teeverify.flow import Answer, Flow, Request, Response, run
from teeverify.saved import RecordedExchange, SavedReport
from teeverify.transport import ReplayTransport

from .subjects import NOW


def _request(url: str, method: str = "GET", *, limit: int = 100) -> Request:
    return Request(method=method, url=url, limit=limit)


def _response(body: bytes = b"first") -> Response:
    return Response(status=200, headers={}, body=body)


def _transport(*recorded: tuple[str, str, bytes]) -> ReplayTransport:
    exchanges = tuple(
        RecordedExchange(request=_request(url, method), response=_response(body)) for method, url, body in recorded
    )
    return ReplayTransport(
        SavedReport(provider="near", model="m", nonce=bytes(32), recorded_at=NOW, exchanges=exchanges)
    )


RECORDED = "https://Api.Example.com/a/b?nonce=ABCDEF0123&model=X%2Fy&flag"


@pytest.mark.parametrize(
    "asked",
    [
        RECORDED,
        "https://api.example.com/a/b?nonce=abcdef0123&model=X%2Fy&flag",
        "https://api.example.com/a/b?model=X/y&flag=&nonce=ABCDEF0123",
        "HTTPS://API.EXAMPLE.COM/a/b?flag&nonce=abcdef0123&model=X%2fy",
    ],
)
def test_the_same_request(asked: str) -> None:
    assert _transport(("GET", RECORDED, b"x")).send(_request(asked)).body == b"x"


@pytest.mark.parametrize(
    "asked",
    [
        "http://api.example.com/a/b?nonce=abcdef0123&model=X%2Fy&flag",
        "https://api.example.com/a/B?nonce=abcdef0123&model=X%2Fy&flag",
        "https://api.example.com/a/b/?nonce=abcdef0123&model=X%2Fy&flag",
        "https://api.example.com/a/b?nonce=abcdef0124&model=X%2Fy&flag",
        "https://api.example.com/a/b?nonce=abcdef0123&model=x%2Fy&flag",
        "https://api.example.com/a/b?nonce=abcdef0123&model=X%2Fy",
        "https://api.example.com/a/b?nonce=abcdef0123&model=X%2Fy&flag&more=1",
        "https://api.example.com/a/b?nonce=abcdef0123&nonce=abcdef0123&model=X%2Fy&flag",
        "https://api.example.com:443/a/b?nonce=abcdef0123&model=X%2Fy&flag",
        "https://user@api.example.com/a/b?nonce=abcdef0123&model=X%2Fy&flag",
        "https://other.example.com/a/b?nonce=abcdef0123&model=X%2Fy&flag",
        "https://[::1/a/b",
        "",
    ],
)
def test_another_request(asked: str) -> None:
    with pytest.raises(NotRecordedError, match="holds no answer"):
        _transport(("GET", RECORDED, b"x")).send(_request(asked))


def test_the_method_counts() -> None:
    transport = _transport(("GET", RECORDED, b"get"), ("POST", RECORDED, b"post"))
    assert transport.send(_request(RECORDED, "POST")).body == b"post"
    with pytest.raises(NotRecordedError):
        transport.send(_request(RECORDED, "HEAD"))


def test_the_first_recorded_answer_counts() -> None:
    assert _transport(("GET", RECORDED, b"1"), ("GET", RECORDED, b"2")).send(_request(RECORDED)).body == b"1"


def test_urls_that_cannot_be_read_match_only_themselves() -> None:
    odd = "https://[::1/a"
    assert _transport(("GET", odd, b"x"))._answers
    many = "https://x.example/?" + "&".join(f"a{i}=1" for i in range(100))
    assert _transport(("GET", many, b"x")).send(_request(many)).body == b"x"


def test_the_error_names_the_host_and_shows_no_query() -> None:
    with pytest.raises(NotRecordedError) as refused:
        _transport().send(_request("https://api.example.com/a?secret=1"))
    assert "api.example.com" in str(refused.value)
    assert "secret" not in str(refused.value)


def _asking(*batches: tuple[Request, ...]) -> Flow[list[tuple[Answer, ...]]]:
    answers: list[tuple[Answer, ...]] = []
    for batch in batches:
        answers.append((yield batch))
    return answers


def test_a_flow_gets_one_answer_for_each_request_in_order() -> None:
    transport = _transport(("GET", "https://a/", b"a"), ("GET", "https://b/", b"b"))
    first, second = run(_asking((_request("https://b/"), _request("https://a/")), (_request("https://c/"),)), transport)
    assert [answer.body for answer in first if isinstance(answer, Response)] == [b"b", b"a"]
    assert isinstance(second[0], NotRecordedError)


def test_an_answer_that_is_too_long_is_an_outage() -> None:
    transport = _transport(("GET", "https://a/", b"123456"))
    ((answer,),) = run(_asking((_request("https://a/", limit=5),)), transport)
    assert isinstance(answer, TransportError)
    assert "6 bytes long, at most 5" in str(answer)
    ((answer,),) = run(_asking((_request("https://a/", limit=6),)), transport)
    assert isinstance(answer, Response)


def test_a_flow_without_requests() -> None:
    assert run(_asking(), _transport()) == []


def test_values_hide_what_they_carry() -> None:
    request = Request(method="POST", url="https://a/", headers={"Authorization": "secret"}, body=b"secret", limit=1)
    response = Response(status=200, headers={"set-cookie": ("secret",)}, body=b"secret", peer_spki=b"secret")
    assert "secret" not in repr(request) + repr(response)

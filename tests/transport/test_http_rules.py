"""The rules on their own, beyond what the HTTP libraries of the moment check before them."""

from __future__ import annotations

import pytest

from teeverify.errors import AnswerTooLongError
from teeverify.flow import Request
from teeverify.http_rules import Body, PassingError, announced_length
from teeverify.origin import Origin

HERE = Origin("good.test", 443)


@pytest.mark.parametrize("announced", [0, 2, 4, 10**18])
def test_a_body_of_another_length_than_announced(announced: int) -> None:
    body = Body(100, HERE)
    body.add(b"ab")
    body.add(b"c")
    assert body.whole(3) == body.whole(None) == b"abc"
    with pytest.raises(PassingError, match=f"is 3 bytes long, {announced} were announced"):
        body.whole(announced)


@pytest.mark.parametrize("limit", [0, -1, -100])
def test_no_limit_lets_a_body_go_unread(limit: int) -> None:
    body = Body(limit, HERE)
    assert body.room == 1
    with pytest.raises(AnswerTooLongError):
        body.add(b"a")


@pytest.mark.parametrize(
    ("status", "headers", "length"),
    [
        (200, {}, None),
        (200, {"content-length": ("7",)}, 7),
        (200, {"content-length": (" 7 ", "7")}, 7),
        (200, {"transfer-encoding": ("Chunked",)}, None),
        (204, {"content-length": ("7",)}, None),
        (304, {"content-length": ("7",)}, None),
    ],
)
def test_the_announced_length(status: int, headers: dict[str, tuple[str, ...]], length: int | None) -> None:
    request = Request(method="GET", url=f"{HERE}/", limit=7)
    assert announced_length(request, HERE, status, headers) == length


def test_an_origin_is_written_as_it_is_read() -> None:
    assert [str(Origin(host, port)) for host, port in (("a.test", 443), ("a.test", 8443), ("::1", 443))] == [
        "https://a.test",
        "https://a.test:8443",
        "https://[::1]",
    ]

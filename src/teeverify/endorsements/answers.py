"""Answers, by name where endorsers gave them, and how an outage or a bad answer becomes a `Problem`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from ..claims.problem import Problem, ProblemKind
from ..errors import AnswerTooLongError, FormatError, NotRecordedError
from ..flow import Answer, Response

__all__ = ["ENDORSER_HOSTS", "NOT_AN_ANSWER", "Endorsements", "answer_body", "good_answer", "read_answer"]

T = TypeVar("T")

Endorsements: TypeAlias = Mapping[str, Answer]
"""Answers by the name that the request plan gave them."""

ENDORSER_HOSTS: Final = frozenset(
    {"api.trustedservices.intel.com", "certificates.trustedservices.intel.com", "nras.attestation.nvidia.com"}
)
"""Hosts whose answers are signed by Intel or NVIDIA."""

NOT_AN_ANSWER: Final = frozenset({"json_syntax", "json_not_utf8", "json_too_large", "issuer_chain_missing"})
"""Codes of a body that is no document of the endorser at all: a captive portal's page, an answer without headers."""


def good_answer(answer: Answer, *, what: str, where: str) -> Response | Problem:
    """The successful answer of a provider, or an UNAVAILABLE `Problem`.

    Its code is ``not_recorded``, ``not_fetched``, ``http_status``, or ``not_an_answer`` for a web page.
    """
    if isinstance(answer, Response) and answer.status == 200 and not _is_web_page(answer):
        return answer
    if isinstance(answer, Response) and answer.status == 200:
        code = "not_an_answer"
        detail = f"the request for {what} was answered with a web page, as captive portals do"
    elif isinstance(answer, Response):
        code, detail = "http_status", f"the request for {what} was answered with HTTP status {answer.status}"
    else:
        code = "not_recorded" if isinstance(answer, NotRecordedError) else "not_fetched"
        detail = f"{what} could not be had: {answer}"
    return Problem(kind=ProblemKind.UNAVAILABLE, code=code, detail=detail, where=where)


def _is_web_page(answer: Response) -> bool:
    return any(value.strip().lower().startswith("text/html") for value in answer.headers.get("content-type", ()))


def answer_body(answers: Endorsements, name: str, *, what: str) -> Response | Problem:
    """The successful answer of that name, or an UNAVAILABLE `Problem`.

    Its code is ``not_asked``, ``not_recorded``, ``not_fetched``, ``answer_too_long``, ``http_outage`` (5xx and 429: no
    answer to the question) or ``http_status`` (any other: an answer, and not a good one).
    """
    answer = answers.get(name)
    if isinstance(answer, Response) and answer.status == 200:
        return answer
    if answer is None:
        code, detail = "not_asked", f"{what} was not asked for"
    elif isinstance(answer, Response):
        outage = answer.status >= 500 or answer.status == 429
        code = "http_outage" if outage else "http_status"
        detail = f"{what} was answered with HTTP status {answer.status}"
    else:
        codes = {NotRecordedError: "not_recorded", AnswerTooLongError: "answer_too_long"}
        code = codes.get(type(answer), "not_fetched")
        detail = f"{what} could not be had: {answer}"
    return Problem(kind=ProblemKind.UNAVAILABLE, code=code, detail=detail, where=name)


def read_answer(answers: Endorsements, name: str, *, what: str, reader: Callable[[Response], T]) -> T | Problem:
    """Read one answer with ``reader``, which may raise FormatError.

    A body that is no document at all (a captive portal's page) is an outage, hence UNAVAILABLE; a document with wrong
    content is INVALID.
    """
    response = answer_body(answers, name, what=what)
    if isinstance(response, Problem):
        return response
    try:
        return reader(response)
    except FormatError as error:
        outage = error.code in NOT_AN_ANSWER
        return Problem(
            kind=ProblemKind.UNAVAILABLE if outage else ProblemKind.INVALID,
            code="not_an_answer" if outage else error.code,
            detail=str(error),
            where=name,
        )

"""For the tamper tests: pure work whose input did not change is not done again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import pytest

from teeverify.claims.gpu import GpuClaims
from teeverify.claims.problem import Problem
from teeverify.claims.tdx import TdxClaims
from teeverify.derivation.tdx import TdxDerivation
from teeverify.formats.tdx_quote import TdxQuote
from teeverify.providers import report_claims

_KEPT = 8
"""How many results are kept of each kind; a module judges few sessions over and over."""


class _Memory:
    """Results by the arguments that they came from, the newest few."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def recall(self, key: Hashable, work: Callable[[], Any]) -> Any:
        if key not in self._known:
            result = work()
            if len(self._known) == _KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[key] = result
        return self._known[key]


@pytest.fixture(scope="module")
def pure_work_remembered() -> Iterator[None]:
    """Deriving claims is pure and most of a verdict's cost; equal arguments get the result they got before."""
    gpus, quotes = _Memory(), _Memory()
    derive_gpu: Callable[..., GpuClaims] = vars(report_claims)["derive_gpu"]
    derive_tdx = TdxDerivation.derive

    def gpu(payload: Any, **arguments: Any) -> GpuClaims:
        key = repr((payload, sorted(arguments.items())))
        claims: GpuClaims = gpus.recall(key, lambda: derive_gpu(payload, **arguments))
        return claims

    def tdx(own: TdxDerivation, quote: TdxQuote | Problem) -> TdxClaims:
        # The answers themselves are part of the key and compared by value, bytes and all.
        answers = tuple((name, _value(answer)) for name, answer in sorted(own.endorsements.items()))
        raw = quote if isinstance(quote, Problem) else quote.raw
        claims: TdxClaims = quotes.recall((raw, own.roots, own.at, answers), lambda: derive_tdx(own, quote))
        return claims

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_claims, "derive_gpu", gpu)
        patch.setattr(TdxDerivation, "derive", tdx)
        yield


def _value(answer: Any) -> Hashable:
    """An answer as something that can be compared: an outage by its words, a response by everything in it."""
    if isinstance(answer, Exception):
        return (type(answer).__name__, str(answer))
    return (answer.status, tuple(sorted(answer.headers.items())), answer.body)

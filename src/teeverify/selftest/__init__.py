"""Self-test: the caller's own saved report, altered one field at a time, and which check refuses each alteration.

This is no proof that teeverify is right; it shows what would happen to a report that somebody changed, and it notices
a check that has stopped working. Every altered report goes through the same public path as a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from ..errors import ConfigurationError
from ..policy import Policy
from ..providers.fronts import FrontVerifier
from ..saved import SavedReport
from ..verifier import Verifier
from .alteration import Alteration
from .judging import Category, Row, SelftestResult, judge_alterations

__all__ = ["Alteration", "Category", "Row", "SelftestResult", "alterations", "selftest"]


def alterations(report: SavedReport, verifier: Verifier, *, every_leaf: bool = False) -> Iterator[Alteration]:
    """The alterations that `selftest` judges, in its order, without judging any.

    Where a policy takes any instance, those of instances that are not VERIFIED themselves are among them; `selftest`
    leaves them out, since nothing rests on such an instance.

    Args:
        report: a saved report that is VERIFIED under the verifier's policy.
        verifier: of the report's provider.
        every_leaf: alter every value of every list and every member in all ways, not one of each kind.

    Raises:
        ConfigurationError: there is no self-test for this provider, or for this shape of its report.
        FormatError: the report is no session of its provider.
    """
    if isinstance(verifier, FrontVerifier):
        return _fronts(report, verifier, every_leaf)
    makers = {"near": _near, "chutes": _chutes}
    if verifier.provider not in makers:
        known = (*makers, "nanogpt", "phala", "venice", "vllm-proxy")
        raise ConfigurationError(
            f"there is no self-test for provider {verifier.provider!r}; {', '.join(known)} have one"
        )
    return makers[verifier.provider](report, verifier.policy, every_leaf)


def _near(report: SavedReport, policy: Policy, every_leaf: bool) -> Iterator[Alteration]:
    from .near import near_alterations

    return near_alterations(report, policy, every_leaf=every_leaf)


def _chutes(report: SavedReport, policy: Policy, every_leaf: bool) -> Iterator[Alteration]:
    from .chutes import chutes_alterations

    return chutes_alterations(report, policy, every_leaf=every_leaf)


def _fronts(report: SavedReport, verifier: FrontVerifier, every_leaf: bool) -> Iterator[Alteration]:
    from .fronts import front_alterations

    return front_alterations(report, verifier.policy, verifier.front, every_leaf=every_leaf)


def selftest(
    report: SavedReport,
    verifier: Verifier,
    *,
    at: datetime | None = None,
    now: datetime | None = None,
    every_leaf: bool = False,
    on_result: Callable[[Row], None] | None = None,
) -> SelftestResult:
    """Alter a saved report one field at a time and judge each altered report.

    Args:
        report: the saved report; it must be VERIFIED as it is.
        verifier: of the report's provider, with the caller's policy and trust anchors.
        at: the aware time to judge for; by default the time at which the report says it was recorded.
        now: our own clock (aware), against which the report's claim is held; by default the system's.
        every_leaf: see `alterations`; takes minutes.
        on_result: is given each row as soon as it is there.

    Raises:
        RejectedError: the untouched report is REJECTED.
        InconclusiveError: the untouched report is INCONCLUSIVE.
        ConfigurationError: the report is of another provider, or there is no self-test for its provider.
    """
    return judge_alterations(
        report,
        lambda: alterations(report, verifier, every_leaf=every_leaf),
        verifier,
        at=at,
        now=now,
        on_result=on_result,
    )

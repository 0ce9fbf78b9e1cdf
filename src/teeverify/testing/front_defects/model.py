"""What a defect of a front's session is, and how report edits become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import field, frozen

from teeverify.check_ids import KNOWN
from teeverify.testing.defects.model import REJECTED
from teeverify.testing.front import FrontSession
from teeverify.testing.recording import Document

__all__ = ["PROXY_FORM", "FrontDefect", "FrontSpoil", "edited", "raw", "turned"]

FrontSpoil = Callable[[FrontSession], Document | None]
"""Spoils a truthful session and returns the saved report; None stands for the session's own `FrontSession.saved`."""
PROXY_FORM: Final = ("phala", "vllm-proxy", "nanogpt")
"""The providers whose dstack reports have the form of a vllm-proxy's."""


def _known(checks: frozenset[str]) -> frozenset[str]:
    unknown = checks - set(KNOWN)
    if unknown:
        raise ValueError(f"no check is called {sorted(unknown)}")
    return checks


@frozen(kw_only=True)
class FrontDefect:
    """One named fault of what a front shows.

    Attributes:
        name: unique among the defects of one provider and shape.
        number: of the attack in the list of failure modes that every verifier must reject; 0 where it is in none.
        description: one line.
        spoil: see `FrontSpoil`.
        checks: of these at least one must decide.
        outcomes: the acceptable outcomes, the expected one first.
        shape: of the reports that it is in.
        providers: the fronts that can show it.
        gpus: how many GPUs each machine needs at least.
        instances: how many instances it needs at least, in the shape of Chutes.
        tls_bound: whether it needs the form that binds the TLS key.
    """

    name: str
    number: int
    description: str
    spoil: FrontSpoil = field(repr=False)
    checks: frozenset[str] = field(converter=_known)
    outcomes: tuple[str, ...] = (REJECTED,)
    shape: str = "dstack"
    providers: tuple[str, ...] = PROXY_FORM
    gpus: int = 1
    instances: int = 1
    tls_bound: bool = False

    def document(self, session: FrontSession) -> Document:
        """The defective saved report; ``session`` is a truthful one, which is spoiled."""
        found = self.spoil(session)
        return session.saved() if found is None else found


def edited(change: Callable[[Any], Any]) -> FrontSpoil:
    """A change of the report; the copy of it that it may hold would be a rival, and is left out."""

    def spoil(session: FrontSession) -> Document:
        report = session.report()
        report.pop("all_attestations", None)
        result = change(report)
        return session.saved(report if result is None else result)

    return spoil


def raw(change: Callable[[bytes], bytes]) -> FrontSpoil:
    """A change of the bytes of the answer."""
    return lambda session: session.saved(change(session.answer().body))


def turned(turn: Callable[[FrontSession], Any], edit: Callable[[Any], Any] = lambda _: None) -> FrontSpoil:
    """A change of the session before its report is made, and one of the report after."""

    def spoil(session: FrontSession) -> Document:
        turn(session)
        report = session.report()
        edit(report)
        return session.saved(report)

    return spoil

"""How ``teeverify demo`` shows what it does, whichever provider it simulates: steps, lies, and what was unexpected."""

from __future__ import annotations

import shutil
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

if TYPE_CHECKING:
    from ..testing.simulation import SimulatedTee
    from ..verdict import CheckResult

__all__ = ["Show", "demonstrated"]

_INDENT: Final = " " * 12


@frozen(kw_only=True)
class Show:
    """The running demonstration; ``surprises`` are the steps that did not come out as they should."""

    tee: SimulatedTee
    saved: Path
    surprises: list[str] = field(factory=list)

    def step(self, words: str, expected: str, observed: str, more: str = "") -> None:
        """Print what a step came to, and note it where that is not what was expected."""
        columns = max(60, shutil.get_terminal_size((100, 24)).columns)
        print(f"  {observed:8}  {words}")
        if more:
            print(textwrap.fill(more, columns, initial_indent=_INDENT, subsequent_indent=_INDENT))
        if observed != expected:
            self.surprises.append(f"{words} ({observed} instead of {expected})")

    def under(self, fault: str, action: Callable[[], None]) -> None:
        """Do something while the simulation lies in one way."""
        self.tee.set_fault(fault)
        try:
            action()
        finally:
            self.tee.set_fault(None)

    def reason(self, words: str, checks: Sequence[CheckResult], check_id: str) -> str:
        """What the check that should refuse a lie says of it."""
        found = next((check for check in checks if check.id == check_id and check.status.value == "fail"), None)
        if found is None:
            self.surprises.append(f"{words} (not refused by {check_id})")
            return ""
        return f"{check_id}: {found.summary}"


def demonstrated(tee: SimulatedTee, *, name: str, save: str | None, acts: Sequence[Callable[[Show], None]]) -> int:
    """Run a demonstration against a simulation that is not started yet; returns the command's exit code."""
    with tee, tempfile.TemporaryDirectory() as directory:
        show = Show(tee=tee, saved=Path(save or Path(directory) / "report.json"))
        print(f"A simulated {name} endpoint listens on {tee.address[0]}, port {tee.port}.\n")
        for act in acts:
            act(show)
    surprises = len(show.surprises)
    print(
        "\nEvery step came out as it should. TEST ROOTS: this proved nothing about real hardware."
        if not surprises
        else f"\n{surprises} steps did not come out as they should: {'; '.join(show.surprises)}."
    )
    return 1 if surprises else 0

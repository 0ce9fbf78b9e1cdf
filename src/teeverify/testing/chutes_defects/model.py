"""What a defect of a Chutes session is, and the turns of knobs that defects are made of."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final

from attrs import evolve, field, frozen

from teeverify.check_ids import KNOWN
from teeverify.testing.chutes import ChutesSession
from teeverify.testing.chutes_instance import ChutesInstance
from teeverify.testing.defects.model import INCONCLUSIVE, REJECTED, VERIFIED
from teeverify.testing.recording import Document, edit_json

__all__ = [
    "EVIDENCE",
    "INCONCLUSIVE",
    "KEYS",
    "MODELS",
    "REJECTED",
    "VERIFIED",
    "Change",
    "ChutesDefect",
    "ChutesSpoil",
    "answer",
    "instance",
    "key_of",
    "layout",
    "level",
    "nras",
    "quoted",
    "session",
    "td",
    "turn",
]

KEYS: Final = "/e2e/instances/"
EVIDENCE: Final = "/evidence?"
MODELS: Final = "/v1/models"
"""Parts of the URLs of Chutes' three answers."""

ChutesSpoil = Callable[[ChutesSession], Document | None]
"""Spoils a truthful session and returns the saved report; None stands for the session's own `ChutesSession.saved`."""
Change = Callable[[ChutesInstance, ChutesInstance, ChutesSession], object]
"""What is done to one instance of a session; a truthful one beside it is given as well."""


def _known(checks: frozenset[str]) -> frozenset[str]:
    unknown = checks - set(KNOWN)
    if unknown:
        raise ValueError(f"no check is called {sorted(unknown)}")
    return checks


@frozen(kw_only=True)
class ChutesDefect:
    """One named fault of a Chutes session.

    ``outcomes`` are the acceptable outcomes, the expected one first. ``checks`` are the ids of which at least one must
    decide: fail where the outcome is REJECTED, be unevaluated (or fail) where it is INCONCLUSIVE. ``instances`` and
    ``gpus`` say how many the session needs at least. ``change`` is there where only the last instance is spoilt.
    """

    name: str
    description: str
    outcomes: tuple[str, ...]
    checks: frozenset[str] = field(converter=_known)
    spoil: ChutesSpoil = field(repr=False)
    instances: int = 1
    gpus: int = 1
    change: Change | None = field(default=None, repr=False)

    @property
    def outcome(self) -> str:
        """The expected outcome."""
        return self.outcomes[0]


def instance(
    name: str,
    change: Change,
    description: str,
    *checks: str,
    outcome: str = REJECTED,
    instances: int = 1,
    gpus: int = 1,
) -> ChutesDefect:
    """A defect of the last instance; all others stay as they are."""

    def spoil(own: ChutesSession) -> None:
        beside = own.instances[-2] if len(own.instances) > 1 else own.instances[-1]
        change(own.instances[-1], beside, own)

    return ChutesDefect(
        name=name,
        description=description,
        outcomes=(outcome,),
        checks=frozenset(checks),
        spoil=spoil,
        instances=instances,
        gpus=gpus,
        change=change,
    )


def session(
    name: str,
    spoil: Callable[[ChutesSession], object],
    description: str,
    *checks: str,
    outcome: str = REJECTED,
    instances: int = 1,
) -> ChutesDefect:
    """A defect of the session as a whole; a dict that ``spoil`` returns is the saved report."""

    def spoilt(own: ChutesSession) -> Document | None:
        document = spoil(own)
        return document if isinstance(document, dict) else None

    return ChutesDefect(
        name=name,
        description=description,
        outcomes=(outcome,),
        checks=frozenset(checks),
        spoil=spoilt,
        instances=instances,
    )


def answer(
    name: str,
    part: str,
    edit: Callable[[Any], object],
    description: str,
    *checks: str,
    outcome: str = REJECTED,
    instances: int = 1,
) -> ChutesDefect:
    """A defect of one answer, whose JSON document ``edit`` changes in place; ``part`` is a part of its URL."""

    def edited(own: ChutesSession) -> Document:
        def in_place(value: Any) -> None:
            edit(value)

        return edit_json(own.saved(), part, in_place)

    return session(name, edited, description, *checks, outcome=outcome, instances=instances)


# --- turns of knobs ---------------------------------------------------------------------------------------------------


def turn(**knobs: Any) -> Change:
    """Set attributes of the instance; a function is called with what a `Change` gets."""

    def change(own: Any, other: Any, whole: Any) -> None:
        for knob, value in knobs.items():
            setattr(own, knob, value(own, other, whole) if callable(value) else value)

    return change


def td(**fields: Any) -> Change:
    """Replace fields of the TD report, which is signed as it is."""
    return lambda own, *_: own.guest.td_changes.update(fields)


def quoted(**arguments: Any) -> Change:
    """Pass arguments to `build_quote`."""
    return lambda own, *_: own.guest.quote_changes.update(arguments)


def layout(**changes: Any) -> Change:
    """Change the frame of the quote."""
    return lambda own, *_: setattr(own.guest, "layout", evolve(own.guest.layout, **changes))


def nras(**changes: Any) -> Change:
    """Set attributes of NVIDIA's service for this instance."""

    def change(own: ChutesInstance, *_: object) -> None:
        for name, value in changes.items():
            setattr(own.nras, name, value)

    return change


def level(**changes: Any) -> Change:
    """Change what Intel says about the current level of the instance's platform family."""

    def change(own: ChutesInstance, _: ChutesInstance, whole: ChutesSession) -> None:
        family = own.guest.platform.fmspc.hex()
        levels = whole.pcs.tcb_info(family)["tcbLevels"]
        whole.pcs.tcb_changes_for[family] = {"tcbLevels": [{**levels[0], **changes}, *levels[1:]]}

    return change


def key_of(edit: Callable[[bytes], bytes]) -> Change:
    """Show the instance's key with its bytes changed; the quote binds the true one."""
    return turn(shown_key=lambda own, *_: base64.b64encode(edit(base64.b64decode(own.key))).decode())

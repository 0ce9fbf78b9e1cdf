"""What a defect is, and the decorator with which the modules of this package declare theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import field, frozen

from teeverify.check_ids import KNOWN
from teeverify.testing.near import NearSession
from teeverify.testing.near_policy import PolicyText, near_policy
from teeverify.testing.recording import Document

__all__ = ["INCONCLUSIVE", "REJECTED", "VERIFIED", "Defect", "Spoil", "declared", "defect"]

VERIFIED: Final = "VERIFIED"
REJECTED: Final = "REJECTED"
INCONCLUSIVE: Final = "INCONCLUSIVE"

Spoil = Callable[[NearSession], Document | None]
"""Spoils a truthful session and returns the saved report; None stands for the session's own `NearSession.saved`."""


@frozen(kw_only=True)
class Defect:
    """One named fault of a NEAR report.

    ``outcomes`` are the acceptable outcomes, the expected one first. ``checks`` are the ids of which at least one must
    decide: fail where the outcome is REJECTED, be unevaluated (or fail) where it is INCONCLUSIVE. ``options`` go to
    `NearSession.build`. ``policy`` changes the strict policy, which always describes the truthful session. ``shipped``
    is False where no file is written, because a sibling shows the same thing.
    """

    name: str
    description: str
    base: str
    outcomes: tuple[str, ...]
    checks: frozenset[str]
    spoil: Spoil = field(repr=False)
    options: dict[str, Any]
    policy: dict[str, Any]
    shipped: bool

    @property
    def outcome(self) -> str:
        """The expected outcome."""
        return self.outcomes[0]

    def session(self) -> NearSession:
        """The truthful session that the defect starts from: one GPU and no copies unless it needs more."""
        session = NearSession.build(cloud=self.base == "cloud", **{"gpus": 1, "copies": False, **self.options})
        session.request_bodies = False
        session.nras.spare_keys = 0
        return session

    def document(self) -> Document:
        """The defective saved report."""
        session = self.session()
        document = self.spoil(session)
        return session.saved() if document is None else document

    def policy_text(self) -> str:
        """The policy to judge it by, as TOML."""
        session = self.session()
        return near_policy(
            session, PolicyText(**{"name": self.policy_name, "min_count": len(session.gpus), **self.policy})
        )

    @property
    def policy_name(self) -> str:
        """The policy's name, which is its file's: shared by all defects of one base that change nothing in it."""
        if self.policy:
            return self.name
        gpus = self.options.get("gpus", 1)
        return f"near-{self.base}" if gpus == 2 else f"near-{self.base}-{gpus}gpu"


_DECLARED: dict[str, Defect] = {}


def defect(
    *checks: str,
    base: str = "direct",
    outcome: str | tuple[str, ...] = REJECTED,
    policy: dict[str, Any] | None = None,
    shipped: bool = True,
    **options: Any,
) -> Callable[[Spoil], Spoil]:
    """Declare the decorated function as a defect; its name and docstring become the defect's.

    Raises:
        ValueError: a check id is unknown, or the name is taken.
    """
    unknown = set(checks) - set(KNOWN)
    if unknown:
        raise ValueError(f"no check is called {sorted(unknown)}")

    def declare(spoil: Spoil) -> Spoil:
        name = str(getattr(spoil, "__name__", "")).replace("_", "-")
        if name in _DECLARED:
            raise ValueError(f"two defects are called {name}")
        _DECLARED[name] = Defect(
            name=name,
            description=" ".join((spoil.__doc__ or "").split()),
            base=base,
            outcomes=(outcome,) if isinstance(outcome, str) else outcome,
            checks=frozenset(checks),
            spoil=spoil,
            options=options,
            policy=policy or {},
            shipped=shipped,
        )
        return spoil

    return declare


def declared() -> dict[str, Defect]:
    """Everything declared so far, by name."""
    return dict(_DECLARED)

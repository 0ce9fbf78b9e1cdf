"""Reports of another shape than the one that is pinned, with genuine evidence of that shape where there is any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from teeverify.testing.aci import AciSession
from teeverify.testing.defects.model import INCONCLUSIVE, REJECTED
from teeverify.testing.front import FrontSession
from teeverify.testing.near_world import MODEL
from teeverify.testing.recording import Document, compact

from .model import FrontDefect

__all__ = ["shape_defects"]

_CHECKS: Final = frozenset({"policy.shape", "evidence.complete"})
_FRONTS: Final = {
    "dstack": ("phala", "vllm-proxy", "nanogpt", "venice"),
    "near": ("phala", "nanogpt"),
    "chutes": ("phala", "nanogpt"),
}
"""The fronts by the shapes that they can be pinned to."""


def _as(shape: str) -> Callable[[FrontSession], Document]:
    def spoil(session: FrontSession) -> Document:
        other = FrontSession.build(
            session.provider, shape, nonce=session.nonce, at=session.behind.at, seed=session.behind.keys.seed,
            model=session.model_name,
        )  # fmt: skip
        other.peer_spki = session.peer_spki
        return other.saved()

    return spoil


def _aci(session: FrontSession) -> Document:
    other = AciSession.build(nonce=session.nonce, at=session.behind.at, seed=session.behind.keys.seed, model_name=MODEL)
    return session.saved(compact(other.report()))


def _tinfoil(session: FrontSession) -> Document:
    return session.saved({"format": "https://tinfoil.sh/predicate/tdx-guest/v2", "body": ""})


def shape_defects() -> tuple[FrontDefect, ...]:
    """All of them: attack 55."""
    return tuple(
        FrontDefect(
            name=f"answers-in-shape-{shown}",
            number=55,
            description=f"The report has the shape of {shown}, in place of the one that is pinned.",
            spoil=spoil,
            checks=_CHECKS,
            outcomes=(_outcome(provider, shown),),
            shape=pinned,
            providers=(provider,),
        )
        for pinned, providers in _FRONTS.items()
        for provider in providers
        for shown, spoil in (
            *((shape, _as(shape)) for shape in ("dstack", "near", "chutes") if shape != pinned),
            ("aci", _aci),
            ("tinfoil", _tinfoil),
        )
    )


def _outcome(provider: str, shown: str) -> str:
    """A shape that the verifier of the front does not know leaves everything open; any other one is refused."""
    known = {"phala": ("dstack", "near", "chutes", "aci"), "vllm-proxy": ("dstack",)}
    return REJECTED if shown in known.get(provider, ("dstack", "near", "chutes")) else INCONCLUSIVE

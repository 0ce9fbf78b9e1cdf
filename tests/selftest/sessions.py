"""Synthetic sessions for the self-test, with the verifier under which each is VERIFIED, and parts of their rows."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, Final

import attrs
from attrs import frozen

from teeverify.policy import Policy
from teeverify.providers.chutes import ChutesVerifier
from teeverify.providers.near import NearVerifier
from teeverify.saved import SavedReport
from teeverify.selftest import Alteration, SelftestResult, alterations
from teeverify.selftest.judging import judge_alterations
from teeverify.testing import ChutesSession, NearSession, PolicyText, chutes_policy, near_policy, trust_roots
from teeverify.verifier import Verifier

__all__ = ["FORM", "Session", "chutes", "cloud", "direct", "made", "made_chutes"]

FORM: Final = frozenset({"evidence.wellformed", "evidence.complete"})
"""What may refuse anything that is not just another value."""


@frozen(kw_only=True)
class Session:
    """A saved report and a verifier under whose policy it is VERIFIED."""

    report: SavedReport
    verifier: Verifier

    def altered(self, wanted: Callable[[Alteration], object], **options: Any) -> tuple[Alteration, ...]:
        """The alterations that are wanted, in order."""
        return tuple(each for each in alterations(self.report, self.verifier, **options) if wanted(each))

    def named(self, *names: str) -> tuple[Alteration, ...]:
        """The alterations with these names, which must exist."""
        found = self.altered(lambda each: each.name in names)
        assert {each.name for each in found} == set(names)
        return found

    def judged(self, chosen: tuple[Alteration, ...]) -> SelftestResult:
        """The result of judging only these."""
        assert chosen
        return judge_alterations(self.report, lambda: chosen, self.verifier, at=None, now=None, on_result=None)


def made(session: NearSession, edit: Callable[[str], str] = str, **policy: Any) -> Session:
    """A session with its policy; ``edit`` changes the policy's text, ``policy`` its `PolicyText`."""
    text = near_policy(session, PolicyText(**{"name": "selftest", "min_count": len(session.gpus), **policy}))
    report = SavedReport.from_bytes(json.dumps(session.saved()).encode())
    return Session(report=report, verifier=NearVerifier(Policy.from_toml(edit(text)), roots=trust_roots()))


@functools.cache
def direct() -> Session:
    """A model's own host with one GPU."""
    return made(NearSession.direct(gpus=1))


@functools.cache
def cloud() -> Session:
    """The gateway and a model machine with one GPU, and exchanges that no verification asks for."""
    session = made(NearSession.cloud(gpus=1))
    foreign = session.report.exchanges[0]
    log = attrs.evolve(foreign, request=attrs.evolve(foreign.request, url="https://log.example/entries"))
    return attrs.evolve(session, report=attrs.evolve(session.report, exchanges=(*session.report.exchanges, log)))


def made_chutes(session: ChutesSession, edit: Callable[[str], str] = str, **policy: Any) -> Session:
    """A session of Chutes with its policy; ``edit`` changes the policy's text, ``policy`` are its options."""
    report = SavedReport.from_bytes(json.dumps(session.saved()).encode())
    rules = Policy.from_toml(edit(chutes_policy(session, **policy)))
    return Session(report=report, verifier=ChutesVerifier(rules, roots=trust_roots()))


@functools.cache
def chutes(*, mode: str = "any") -> Session:
    """Two instances of one chute with one GPU each, both good; NVIDIA's answer on the second one comes first."""
    return made_chutes(ChutesSession.build(gpus=1), mode=mode)

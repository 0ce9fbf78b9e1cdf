"""Faults of servers and networks, for the servers of the provider, of Intel and of NVIDIA each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from teeverify.testing.simulation.fault import INCONCLUSIVE, REJECTED, TRANSPORT, VERIFIED, Fault
from teeverify.testing.simulation.hosts import INTEL, NVIDIA, PROVIDER

__all__ = ["ENDORSER_CHECKS", "TRICKS", "transport_faults"]

TRICKS: Final = {
    "refuses": "Connections are reset before anything is said.",
    "hangs-up": "Connections are closed in the middle of the TLS handshake.",
    "certificate-expired": "The certificate is over the right key and ran out.",
    "certificate-foreign-ca": "The certificate is over the right key and from a CA that nobody knows.",
    "certificate-other-name": "The certificate is over the right key and for another host.",
    "status-401": "Every answer is HTTP status 401.",
    "status-403": "Every answer is HTTP status 403.",
    "status-404": "Every answer is HTTP status 404.",
    "status-429": "Every answer is HTTP status 429.",
    "status-500": "Every answer is HTTP status 500.",
    "status-503": "Every answer is HTTP status 503.",
    "busy-once": "The first answer to each question is HTTP status 429, later ones are good.",
    "html-page": "Every answer is a web page with status 200, as a captive portal gives.",
    "invalid-json": "Every answer is cut off after half of it, with a Content-Length that fits.",
    "empty-body": "Every answer is empty, with status 200.",
    "length-too-long": "Content-Length announces ten bytes more than there are.",
    "length-too-short": "Content-Length announces ten bytes less than there are.",
    "resets": "The connection is reset in the middle of every body.",
    "stalls": "Nothing comes after the request.",
    "drips": "Bodies come a byte at a time.",
    "endless": "Bodies never end.",
    "gzip-bomb": "Bodies are gzip, which was not asked for, and blow up a thousandfold.",
    "redirects": "Every answer redirects to another host.",
    "redirects-to-itself": "Every answer redirects to the URL that was asked.",
}
"""What every group of servers can do wrong."""

ENDORSER_CHECKS: Final[Mapping[str, frozenset[str]]] = {
    INTEL: frozenset({"tcb.collateral_current", "tcb.not_revoked"}),
    NVIDIA: frozenset({"gpu.nras_token", "gpu.nras_result"}),
}
"""The checks that an outage of Intel's or NVIDIA's leaves undecided."""

_WHO: Final = {INTEL: "Intel", NVIDIA: "NVIDIA"}
_GARBLED: Final = {
    "html-page": set[str](),
    "invalid-json": {PROVIDER, INTEL},
    "empty-body": {PROVIDER},
    "length-too-short": {PROVIDER, INTEL},
    "gzip-bomb": set[str](),
}
"""Answers that arrive whole as far as HTTP can tell: a client may call them an outage, or bad evidence. Of the groups
named here the second is to be expected: half a revocation list is a document with wrong content."""

F = TypeVar("F", bound=Fault)


def transport_faults(
    make: type[F], checks: Mapping[str, frozenset[str]], who: Mapping[str, str], *, endorsers: bool = True
) -> tuple[F, ...]:
    """All of them, for a provider whose faults are made by ``make``; the name is group and trick.

    Args:
        make: the class of the faults.
        checks: the checks that decide, by group of the provider's own hosts.
        who: whose hosts they are, in words, by the same groups.
        endorsers: whether Intel and NVIDIA are asked at all.
    """
    every, words = ({**checks, **ENDORSER_CHECKS}, {**who, **_WHO}) if endorsers else (dict(checks), dict(who))
    return tuple(_fault(make, group, trick, every[group], words[group]) for group in every for trick in TRICKS)


def _fault(make: type[F], group: str, trick: str, checks: frozenset[str], who: str) -> F:
    outcomes: tuple[str, ...] = (INCONCLUSIVE,)
    if trick in _GARBLED:
        outcomes = (REJECTED, INCONCLUSIVE) if group in _GARBLED[trick] else (INCONCLUSIVE, REJECTED)
    elif trick == "busy-once":  # who does not repeat what he posted has no answer of NVIDIA's
        outcomes = (INCONCLUSIVE, VERIFIED) if group == NVIDIA else (VERIFIED, INCONCLUSIVE)
    return make(
        name=f"{group}-{trick}",
        area=TRANSPORT,
        description=f"{who}: {TRICKS[trick]}",
        outcomes=outcomes,
        checks=checks,
        group=group,
        trick=trick,
    )

"""NEAR AI: which fields of a saved session no check depends on and why, and which checks guard all others.

Places are written as in `report_rules`, which holds what NEAR's reports have in common with others. docs/selftest.md
repeats both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .alteration import Rules, Unmeasured
from .near_guards import NEAR_GUARDS
from .near_traffic import NearTraffic
from .report_rules import REPORT_UNMEASURED, report_facts

__all__ = ["NEAR_RULES", "facts_of"]

_GONE: Final = "removed|null"
_ANY: Final = ".*"

_UNMEASURED: Final = (
    Unmeasured(
        r"\w+\.(ohttp_key_config|ohttp_attestation)",
        _GONE,
        "without a signed key configuration no Oblivious HTTP key is offered as attested",
    ),
    Unmeasured(
        r"\w+\.ohttp_key_config:unsigned",
        _ANY,
        "nothing signs this key configuration, so it is never offered as attested",
    ),
    Unmeasured(
        r"request\.url\.host:sibling",
        _ANY,
        "which of the provider's hosts was asked is no evidence: the key at which the connection ended is",
    ),
    Unmeasured(
        r"request\.url\.model",
        "removed",
        "the record states its model itself, and must state the one that is judged",
    ),
    Unmeasured(
        r"request\.url\.include_tls_fingerprint",
        "removed",
        "the TLS-bound form was not asked for, and a request that does not name it asks for the same",
        given="tls_not_asked",
    ),
    Unmeasured(
        r"request\.url\.signing_algo",
        "removed",
        "ecdsa is what a model's host answers with where no algorithm was asked for",
        given="ecdsa_by_default",
    ),
    *REPORT_UNMEASURED,
)


NEAR_RULES: Final = Rules(unmeasured=_UNMEASURED, guards=NEAR_GUARDS)


def facts_of(traffic: NearTraffic, gpus: int) -> frozenset[str]:
    """The facts that some entries of the table depend on; ``gpus`` is the least number that a model record shows."""
    return frozenset({*report_facts(traffic, gpus), *_facts(traffic)})


def _facts(traffic: NearTraffic) -> Iterator[str]:
    if traffic.asked.algorithm == "ecdsa" and not traffic.asked.cloud:
        yield "ecdsa_by_default"

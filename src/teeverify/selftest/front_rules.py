"""Fronts (RedPill, NanoGPT, Venice, vllm-proxy): fields on which no check depends, and which checks guard all others.

Places are written as in `report_rules`, which holds what fronts' reports have in common with NEAR's. docs/selftest.md
repeats both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .alteration import Rules, Unmeasured
from .endorser_rules import check_ids
from .front_traffic import FrontTraffic
from .report_guards import FORM, REPORT_GUARDS
from .report_rules import REPORT_UNMEASURED, report_facts

__all__ = ["FRONT_RULES", "FRONT_UNMEASURED", "facts_of"]

_GONE: Final = "removed|null"
_ANY: Final = ".*"
_OPINION: Final = (
    r"verified|server_verification(\..*)?|tee_provider|tee_hardware|nonce_source"
    r"|candidates_(evaluated|available)"
)

FRONT_UNMEASURED: Final[tuple[Unmeasured, ...]] = (
    Unmeasured(
        rf"model\.({_OPINION})",
        _ANY,
        "the front's own opinion of the evidence is not read: the evidence is judged here",
    ),
    Unmeasured(
        r"model\.(model_name|upstream_model)",
        _ANY,
        "the upstream's name of the model: the name that was asked for is the front's, and stands in the URL",
    ),
    Unmeasured(
        r"model\.model",
        _GONE,
        "the front need not name the model: the URL does, and what is named must be the same",
    ),
    Unmeasured(
        r"(model|gateway)\.(quote|signing_key|nonce)",
        _GONE,
        "a second copy of a member of the record: absent it claims nothing, present it must be the same",
    ),
    Unmeasured(
        r"(model|gateway)\.ohttp_(attestation|key_config)(\..*|:unsigned)?",
        _ANY,
        "no prompt can be sent past a front to an Oblivious HTTP key, so none is offered as attested",
    ),
    Unmeasured(
        r"model\.vm_config(\.(?!<json>\.memory_size).*)?",
        _ANY,
        "a copy of the host's settings: what the host built is measured into RTMR0, which is pinned",
    ),
    Unmeasured(
        r"answer\.peer_spki",
        _ANY,
        "no attested machine ends the connection to a front, so its key is held against nothing",
        given="front_outside",
    ),
    Unmeasured(
        r"request\.url\.host",
        "changed",
        "a proxy of one's own has whatever host it has: the key at which the connection ended is judged",
        given="own_host",
    ),
    Unmeasured(
        r"request\.url\.signing_algo",
        "removed",
        "ecdsa is what is answered with where no algorithm was asked for",
        given="ecdsa_by_default",
    ),
)
"""What stands in no report of NEAR, or means something else behind a front."""

FRONT_RULES: Final = Rules(
    unmeasured=(*FRONT_UNMEASURED, *REPORT_UNMEASURED),
    guards=(
        (r"request\.url\.version", check_ids("binding.report_data binding.tls_spki")),
        (r"request\.url\.model", check_ids(FORM)),
        (r"request\.(method|url\.(host|scheme|path))", check_ids(FORM)),
        (r"answer\.second", check_ids(FORM)),
        (r"model\.model", check_ids("evidence.complete")),
        (r"(model|gateway)\.(quote|signing_key|nonce)", check_ids("evidence.wellformed")),
        *REPORT_GUARDS,
    ),
)


def facts_of(traffic: FrontTraffic, gpus: int) -> frozenset[str]:
    """The facts that some entries of the table depend on; ``gpus`` is the least number that a model record shows."""
    return frozenset({*report_facts(traffic, gpus), *_facts(traffic)})


def _facts(traffic: FrontTraffic) -> Iterator[str]:
    if traffic.asked.channel_role is None:
        yield "front_outside"
    if traffic.wire.base is None:
        yield "own_host"
    if traffic.asked.algorithm == "ecdsa":
        yield "ecdsa_by_default"

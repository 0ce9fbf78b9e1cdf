"""What the tables of all providers have in common: quotes, and the answers of Intel and NVIDIA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .alteration import Unmeasured
from .traffic import Traffic

__all__ = ["ENDORSERS_UNMEASURED", "ENDORSER_GUARDS", "QUOTE_GUARDS", "check_ids", "endorser_facts"]


def check_ids(text: str) -> frozenset[str]:
    """Ids of checks that stand in one text, separated by spaces."""
    return frozenset(text.split())


_ANY: Final = r".*"
_TOKEN: Final = check_ids("gpu.nras_token gpu.nras_result")
_COLLATERAL: Final = check_ids("tcb.collateral_current")

QUOTE_GUARDS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    (r"\w+\.(intel_quote|quote)", check_ids("evidence.complete evidence.wellformed")),
    (r"\w+\.(intel_quote|quote):foreign", check_ids("binding.report_data binding.same_td")),
    (
        r"\w+\.(intel_quote|quote)@(header / (?!user data).*|certification data / .*|certificate chain / type)",
        check_ids("tdx.quote_kind evidence.wellformed"),
    ),
    (
        r"\w+\.(intel_quote|quote)@(padding|.* length|.* / length)",
        check_ids("evidence.wellformed tdx.quote_kind tdx.quote_signature"),
    ),
    (r"\w+\.(intel_quote|quote)@QE report / REPORTDATA", check_ids("tdx.quote_signature tdx.quote_kind")),
    (r"\w+\.(intel_quote|quote)@.*certificate.*", check_ids("tdx.quote_signature evidence.wellformed")),
    (r"\w+\.(intel_quote|quote)@.*", check_ids("tdx.quote_signature")),
)
"""Regular expression for a place of a quote, and the ids; the first match counts."""

ENDORSER_GUARDS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    (r"intel\.(tcb_info|qe_identity|pck_crl|root_crl)([.@].*)?", _COLLATERAL),
    (r"nvidia\.(answer|keys)([.@].*)?", _TOKEN),
)
"""The same for places of the answers of Intel and NVIDIA."""

ENDORSERS_UNMEASURED: Final[tuple[Unmeasured, ...]] = (
    Unmeasured(
        r"answer\.headers",
        _ANY,
        "response headers that no check reads: nothing signs them",
    ),
    Unmeasured(
        r"(intel|nvidia)\.\w+\.peer_spki",
        _ANY,
        "answers of Intel and NVIDIA are signed, so it does not matter which connection brought them",
    ),
    Unmeasured(
        r"intel\.\w+\.header\.pck_crl_chain",
        _ANY,
        "the revocation list must be signed by the CA of the quote's own chain, whatever chain came with it",
    ),
    Unmeasured(
        r"nvidia\.answer\.request_body",
        "removed",
        "the answer signs the nonce and names the devices itself, so what was asked need not be recorded",
    ),
    Unmeasured(
        r"nvidia\.answer(\.request_body)?",
        "removed|changed",
        'the policy says nras = "when_present": a missing answer of NVIDIA is no failure',
        given="nras_may_be_missing",
    ),
    Unmeasured(
        r"nvidia\.keys@other key",
        _ANY,
        "a key of NVIDIA's set that did not sign this answer",
    ),
    Unmeasured(
        r"nvidia\.keys@issuing CA / signature",
        _ANY,
        "the issuing CA is pinned by its public key: the root above it is published nowhere",
    ),
    Unmeasured(
        r"session\.unused",
        _ANY,
        "an exchange that this provider's verification does not ask for, so nothing in it is read",
    ),
    Unmeasured(
        r"session\.recorded_at",
        "moved by a second",
        "the file's own claim, held only against the dates that Intel and NVIDIA signed",
    ),
)
"""What no check depends on outside of the providers' own evidence."""


def endorser_facts(traffic: Traffic, gpus: int) -> Iterator[str]:
    """Facts about GPUs and NVIDIA; ``gpus`` is the least number that an environment with GPUs shows."""
    policy = traffic.policy
    if policy.gpu.nras == "when_present":
        yield "nras_may_be_missing"
    if not policy.gpu.require:
        yield "gpus_not_required"
    if not traffic.nvidia_answers:
        yield "nvidia_not_asked"
        if policy.gpu.min_count < gpus:
            yield "spare_gpus"

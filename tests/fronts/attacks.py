"""Attacks on sessions with fronts: number in the list of failure modes, title, how to make it, what must refuse it."""

from __future__ import annotations

from functools import partial
from typing import Final

from attrs import frozen

from teeverify.testing.defects import DEFECTS

from .alterations import Make, through_venice
from .guest_attacks import GUEST_ATTACKS
from .quote_attacks import QUOTE_ATTACKS

__all__ = ["ROWS", "Row"]


@frozen
class Row:
    """One attack; ``checks`` are those of which one must decide."""

    number: int
    title: str
    make: Make
    checks: frozenset[str]


_VENICE: Final[dict[int, tuple[str, ...]]] = {
    1: ("quote-signature-flipped", "quote-body-edited", "quote-signature-zero"),
    2: ("quote-foreign-pki", "quote-root-replaced", "quote-and-collateral-foreign-pki", "attestation-key-replaced"),
    3: ("pck-revoked", "pck-ca-revoked", "tcb-revoked", "tcb-out-of-date", "qe-revoked"),
    4: ("collateral-expired", "tcb-info-other-fmspc", "tcb-info-from-future", "evaluation-number-low", "crls-swapped"),
    5: ("td-debug", "qe-debug"),
    6: ("td-migratable", "td-reserved-attribute", "td-perfmon", "td-sept-ve-enabled", "td-xfam-odd"),
    7: ("td-module-signer", "td-module-attributes", "td-module-unpinned"),
    8: ("quote-tee-type-sgx", "quote-version-unknown", "td-service-td-bound", "quote-v5-extended-body"),
    9: ("quote-trailing-bytes", "quote-hex-spaces", "quote-truncated", "json-duplicate-key-in-payload"),
    10: ("nonce-replayed", "nonce-replayed-echo-edited", "nonce-echo-other"),
    12: ("signing-address-swapped-ecdsa", "address-zero"),
    13: ("public-key-swapped-ecdsa", "public-key-off-curve", "public-key-compressed"),
    16: ("event-payload-replaced", "event-app-id-replaced", "event-renamed"),
    17: ("event-payload-and-digest-replaced", "event-boot-digest-edited"),
    18: ("event-digest-short",),
    20: ("event-duplicate-before-ready", "event-duplicate-before-ready-last"),
    21: ("event-order-swapped", "event-not-ready", "event-compose-only-after-ready", "event-app-id-missing"),
    22: ("event-relabelled",),
    23: ("event-identity-in-register-0",),
    25: ("event-register-4", "event-register-as-text"),
    26: ("compose-text-edited", "compose-text-serialised-again", "compose-text-and-hash-edited"),
    28: ("mr-config-zero", "mr-config-tail", "mr-config-version-2", "mr-config-other"),
    29: ("image-of-attacker", "image-rows-of-another"),
    30: ("image-development-build",),
    31: ("os-image-other",),
    32: ("image-firmware-other", "info-registers-edited"),
    33: ("kms-root-other", "key-provider-local", "info-key-provider-edited", "event-key-provider-missing"),
    34: ("app-certificate-foreign", "app-certificate-other-app"),
    35: ("compose-other", "app-id-other"),
    38: ("gpu-old-nonce", "gpu-old-nonce-echo-edited", "gpu-list-empty", "gpu-one-fewer", "gpu-same-twice"),
    39: ("token-unsigned", "token-hmac", "token-expired", "token-other-nonce", "result-false", "result-text-true"),
    56: ("compose-manager-of-another-td", "compose-manager-old-nonce", "compose-manager-missing"),
}
"""Defects of NEAR's machines by the number of the attack; each names the checks that must find it."""

ROWS: Final = (
    *(
        Row(number, f"Venice: {name}", partial(through_venice, name), DEFECTS[name].checks)
        for number, names in _VENICE.items()
        for name in names
    ),
    *(Row(number, title, make, frozenset(checks)) for number, title, make, checks in (*QUOTE_ATTACKS, *GUEST_ATTACKS)),
)

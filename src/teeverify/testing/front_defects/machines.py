"""Defects of the machines behind a front: those of NEAR's machines, by the number of the attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from teeverify.testing.defects import DEFECTS, Defect
from teeverify.testing.front import FrontSession
from teeverify.testing.recording import Document

from .model import PROXY_FORM, FrontDefect, FrontSpoil
from .passing import passed_on

__all__ = ["BY_ATTACK", "machine_defects"]

BY_ATTACK: Final[Mapping[int, tuple[str, ...]]] = {
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
    19: ("good-event-after-ready",),
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
"""Names in `teeverify.testing.defects` by the number of the attack; each names the checks that must find it."""
_TLS: Final = ("fingerprint-removed", "fingerprint-downgraded", "fingerprint-of-the-intruder", "live-key-other")
"""Attack 46, where the TLS key is bound."""
_GATEWAY: Final[Mapping[int, tuple[str, ...]]] = {
    3: ("gateway-pck-revoked", "tcb-out-of-date-gateway"),
    5: ("gateway-debug",),
    10: ("gateway-old-nonce", "model-old-nonce"),
    12: ("gateway-address-swapped",),
    16: ("gateway-event-payload-replaced",),
    29: ("gateway-image-other",),
    35: ("gateway-compose-other",),
    55: ("gateway-missing", "models-missing", "models-empty"),
    56: ("models-first-bad", "models-second-bad", "models-of-another-network"),
}
"""The same behind a gateway of NEAR's kind."""


def machine_defects() -> tuple[FrontDefect, ...]:
    """All of them, in every shape that can show them."""
    found = [
        _of(DEFECTS[name], number, providers=("venice",) if number == 56 else (*PROXY_FORM, "venice"))
        for number, names in BY_ATTACK.items()
        for name in names
    ]
    found += [_of(DEFECTS[name], 46, providers=("vllm-proxy",), tls_bound=True) for name in _TLS]
    found += [
        _of(DEFECTS[name], number, providers=("phala", "nanogpt"), shape="near")
        for number, names in _GATEWAY.items()
        for name in names
    ]
    return tuple(found)


def _of(
    defect: Defect, number: int, *, providers: tuple[str, ...], shape: str = "dstack", tls_bound: bool = False
) -> FrontDefect:
    return FrontDefect(
        name=defect.name,
        number=number,
        description=defect.description,
        spoil=_through_the_front(defect),
        checks=defect.checks,
        outcomes=defect.outcomes,
        shape=shape,
        providers=providers,
        gpus=defect.options.get("gpus", 1),
        tls_bound=tls_bound,
    )


def _through_the_front(defect: Defect) -> FrontSpoil:
    def spoil(session: FrontSession) -> Document | None:
        machines = session.machines
        machines.request_bodies, machines.nras.spare_keys = False, 0
        machines.copies = defect.options.get("copies", False)
        document = defect.spoil(machines)
        return None if document is None else passed_on(session, document)

    return spoil

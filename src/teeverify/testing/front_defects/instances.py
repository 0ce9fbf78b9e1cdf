"""Defects of Chutes' instances, as they show behind a gateway that passes their evidence on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from teeverify.testing.chutes_defects import CHUTES_DEFECTS, ChutesDefect
from teeverify.testing.front import FrontSession
from teeverify.testing.recording import Document

from .edits import STRANGER
from .model import FrontDefect, FrontSpoil

__all__ = ["instance_defects"]

_NAMES: Final[Mapping[int, tuple[str, ...]]] = {
    1: ("quote-signature-forged",),
    2: ("quote-without-intel",),
    3: ("revoked-pck", "old-tcb", "tcb-revoked", "tcb-advisory"),
    4: ("collateral-expired", "evaluation-number-low"),
    5: ("debug-td", "debug-td-byte-0"),
    6: ("td-attributes-foreign", "td-xfam-odd"),
    7: ("td-module-signer", "td-module-attributes", "td-module-unpinned"),
    8: ("quote-of-sgx", "quote-version-3"),
    9: ("key-with-a-space", "key-too-long", "quote-padding-not-zero"),
    12: ("swapped-key", "key-bound-but-none", "key-empty"),
    15: ("same-key", "same-key-shown", "evidence-twice", "evidence-without-key"),
    28: ("td-config-id-set", "td-owner-set"),
    29: ("other-image", "other-rtmr0", "mixed-row-mrtd", "rtmr3-zero"),
    38: (
        "gpu-missing",
        "gpu-one-fewer",
        "gpu-same-twice",
        "gpu-other-nonce",
        "gpu-of-other-instance",
        "gpu-foreign-root",
    ),
    39: (
        "nras-refuses",
        "nras-other-nonce",
        "token-unsigned",
        "token-expired",
        "token-of-other-gpu",
        "key-set-foreign",
    ),
}
"""Names in `teeverify.testing.chutes_defects` by the number of the attack."""


def instance_defects() -> tuple[FrontDefect, ...]:
    """All of them, and the nonce that the gateway chose."""
    named = (_of(CHUTES_DEFECTS[name], number) for number, names in _NAMES.items() for name in names)
    return (*named, _SERVER_NONCE)


def _asked_with_another(session: FrontSession) -> None:
    """The instances answer the gateway's own nonce."""
    session.instances.envelope_nonce = STRANGER
    for instance in session.instances.instances:
        instance.attested_nonce = STRANGER


_SERVER_NONCE: Final = FrontDefect(
    name="replayed-nonce",
    number=10,
    description="The gateway shows evidence that was made for another nonce than the client's.",
    spoil=_asked_with_another,
    checks=frozenset({"freshness.nonce_bound"}),
    shape="chutes",
    providers=("phala", "nanogpt"),
)


def _of(defect: ChutesDefect, number: int) -> FrontDefect:
    return FrontDefect(
        name=defect.name,
        number=number,
        description=defect.description,
        spoil=_of_instances(defect),
        checks=defect.checks,
        outcomes=defect.outcomes,
        shape="chutes",
        providers=("phala", "nanogpt"),
        gpus=defect.gpus,
        instances=defect.instances,
    )


def _of_instances(defect: ChutesDefect) -> FrontSpoil:
    def spoil(session: FrontSession) -> Document | None:
        document = defect.spoil(session.instances)
        if document is not None:
            raise ValueError(f"{defect.name} edits an answer that no gateway passes on")
        return None

    return spoil

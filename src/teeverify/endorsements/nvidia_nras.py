"""NVIDIA's Remote Attestation Service (v3): a signed statement on GPU evidence, and the keys that sign it.

The service learns which devices are asked about; a policy can say ``nras = "ignore"``.
"""

from __future__ import annotations

from typing import Final

from ..flow import Request
from ..limits import MAX_ENDORSEMENT_BODY

__all__ = ["JWKS", "NRAS", "nras_requests"]

NRAS: Final = "nvidia.nras"
JWKS: Final = "nvidia.jwks"
_SERVICE: Final = "https://nras.attestation.nvidia.com"


def nras_requests(subject_id: str, payload: bytes) -> dict[str, Request]:
    """Requests, by name, that submit one subject's evidence and fetch the key set.

    ``payload`` is the JSON body: ``{"nonce": 64 hex, "arch": ..., "evidence_list": [{certificate, evidence}, ...]}``.
    """
    return {
        f"{NRAS}.{subject_id}": Request(
            method="POST",
            url=f"{_SERVICE}/v3/attest/gpu",
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            body=payload,
            limit=MAX_ENDORSEMENT_BODY,
            repeatable=True,  # it states what it finds, and keeps nothing
        ),
        JWKS: Request(method="GET", url=f"{_SERVICE}/.well-known/jwks.json", limit=MAX_ENDORSEMENT_BODY),
    }

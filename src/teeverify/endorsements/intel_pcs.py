"""Intel's Provisioning Certification Service, API version 4: the four answers that DCAP verification needs.

Everything it answers is signed by Intel, so where it came from does not matter: a PCCS or a saved file will do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..flow import Request
from ..limits import MAX_ENDORSEMENT_BODY

__all__ = ["QE_IDENTITY", "ROOT_CRL", "intel_requests", "pck_crl_name", "tcb_info_name"]

_PCS: Final = "https://api.trustedservices.intel.com"
_CERTIFICATES: Final = "https://certificates.trustedservices.intel.com"

QE_IDENTITY: Final = "intel.qe_identity"
ROOT_CRL: Final = "intel.root_crl"


def tcb_info_name(fmspc: bytes) -> str:
    """Name of the TCB info for an FMSPC (6 bytes)."""
    return f"intel.tcb_info.{fmspc.hex()}"


def pck_crl_name(ca: str) -> str:
    """Name of the PCK revocation list of ``platform`` or ``processor``."""
    return f"intel.pck_crl.{ca}"


def intel_requests(platforms: Iterable[tuple[bytes, str]]) -> dict[str, Request]:
    """Requests, by name, for platforms given as FMSPC (6 bytes) and PCK CA; equal ones are asked once."""
    requests: dict[str, Request] = {}
    for fmspc, ca in platforms:
        requests[tcb_info_name(fmspc)] = _get(f"{_PCS}/tdx/certification/v4/tcb?fmspc={fmspc.hex()}")
        requests[QE_IDENTITY] = _get(f"{_PCS}/tdx/certification/v4/qe/identity")
        requests[pck_crl_name(ca)] = _get(f"{_PCS}/sgx/certification/v4/pckcrl?ca={ca}&encoding=der")
        requests[ROOT_CRL] = _get(f"{_CERTIFICATES}/IntelSGXRootCA.der")
    return requests


def _get(url: str) -> Request:
    return Request(method="GET", url=url, limit=MAX_ENDORSEMENT_BODY)

"""Claims about a TDX quote and the Intel collateral that vouches for its platform."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from ..formats.intel_collateral import QeIdentity, TcbInfo
from ..formats.tdx_quote import TdxQuote
from .problem import Problem

__all__ = ["CrlFacts", "DcapClaims", "IntelCollateral", "PckChain", "TdxClaims"]


@frozen(kw_only=True)
class CrlFacts:
    """A certificate revocation list whose signature by its issuer was verified; ``der`` as it came."""

    this_update: datetime
    next_update: datetime
    revoked_serials: frozenset[int] = field(repr=False)
    der: bytes = field(repr=False)


@frozen(kw_only=True)
class PckChain:
    """Who made the platform's PCK certificate and for which platform.

    ``fmspc`` is 6 bytes, ``pce_id`` 2, ``ppid`` 16 (a stable hardware identifier), ``cpu_svn`` 16. ``ca`` is
    ``platform`` or ``processor``. ``profile`` is a Problem of kind INVALID where the chain is not of Intel's making:
    three certificates, the pinned root last, the names of Intel's roles, equal component SVNs.
    """

    fmspc: bytes
    pce_id: bytes
    ppid: bytes = field(repr=False)
    cpu_svn: bytes
    pce_svn: int
    ca: str
    leaf_serial: int
    ca_serial: int
    root_serial: int
    not_after: datetime
    profile: Problem | None


@frozen(kw_only=True)
class IntelCollateral:
    """The four answers of Intel for one platform, each a value or the Problem that stands in its place.

    ``signers`` is None where the TCB info and the QE identity were signed by Intel's TCB signing role under the pinned
    root, else the Problem.
    """

    tcb_info: TcbInfo | Problem
    qe_identity: QeIdentity | Problem
    pck_crl: CrlFacts | Problem
    root_crl: CrlFacts | Problem
    signers: Problem | None
    signer_serials: tuple[int, ...] = ()


@frozen(kw_only=True)
class DcapClaims:
    """What DCAP verification established about the platform (statuses in Intel's words, times in UTC).

    ``status`` merges platform, TDX module and quoting enclave; ``level_date`` is the date of the matched TCB level;
    ``qe_status`` and ``current_status`` are given apart because the merge does not always show them.
    """

    status: str
    advisories: tuple[str, ...]
    level_date: datetime
    qe_status: str
    current_status: str | None
    eval_number: int
    fmspc: bytes
    ppid: bytes = field(repr=False)
    cpu_svn: bytes
    pce_svn: int
    earliest_expiry: datetime


@frozen(kw_only=True)
class TdxClaims:
    """A quote, its PCK chain, Intel's collateral for it, and the result of DCAP verification.

    A ``dcap`` Problem of kind INVALID carries the reason code that `teeverify.crypto.dcap` documents.
    """

    quote: TdxQuote | Problem
    pck: PckChain | Problem
    collateral: IntelCollateral | Problem
    dcap: DcapClaims | Problem

"""Faults of the TD itself, with a genuine quote: attributes, XFAM, module and owner fields."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from teeverify.testing.enclave import Enclave
from teeverify.testing.near import NearSession
from teeverify.testing.tdx import SEPT_VE_DISABLE

from .model import defect


def _td(enclave: Enclave, **changes: Any) -> None:
    enclave.td_changes.update(changes)


@defect("tdx.debug_off")
def td_debug(session: NearSession) -> None:
    """A debug TD, whose memory the host can read, with a genuine quote."""
    _td(session.model, td_attributes=SEPT_VE_DISABLE | 1)


@defect("tdx.attributes", shipped=False)
def td_sept_ve_enabled(session: NearSession) -> None:
    """SEPT_VE_DISABLE is clear."""
    _td(session.model, td_attributes=0)


@defect("tdx.attributes", shipped=False)
def td_perfmon(session: NearSession) -> None:
    """Performance monitoring is on, a side channel."""
    _td(session.model, td_attributes=SEPT_VE_DISABLE | 1 << 63)


@defect("tdx.attributes", "tdx.quote_signature", shipped=False)
def td_migratable(session: NearSession) -> None:
    """The TD may be migrated to a machine that no quote describes."""
    _td(session.model, td_attributes=SEPT_VE_DISABLE | 1 << 29)


@defect("tdx.attributes")
def td_reserved_attribute(session: NearSession) -> None:
    """A TD attribute that nobody defined is set."""
    _td(session.model, td_attributes=SEPT_VE_DISABLE | 1 << 20)


@defect("tdx.attributes")
def td_xfam_odd(session: NearSession) -> None:
    """XFAM has bits that a production TD does not have."""
    _td(session.model, xfam=bytes.fromhex("e702060000000080"))


@defect("tdx.module", "tdx.attributes", "tcb.status", shipped=False)
def td_module_signer(session: NearSession) -> None:
    """MRSIGNERSEAM is not zero: another vendor's TDX module."""
    _td(session.model, mr_signer_seam=b"\x01" * 48)


@defect("tdx.module", "tdx.attributes", "tcb.status", shipped=False)
def td_module_attributes(session: NearSession) -> None:
    """SEAMATTRIBUTES is not zero: a debug TDX module."""
    _td(session.model, seam_attributes=b"\x01" + bytes(7))


@defect("tdx.module", "pin.base_image", shipped=False)
def td_module_unpinned(session: NearSession) -> None:
    """A TDX module that the policy does not list."""
    _td(session.model, mr_seam=session.keys.material("intruder/mrseam", 48))


@defect("tdx.attributes", "pin.base_image", "dstack.mr_config_id", "dstack.reported_info", "tdx.module", shipped=False)
def td_owner_set(session: NearSession) -> None:
    """MROWNER is not zero."""
    _td(session.model, mr_owner=b"\x01" * 48)


@defect("tdx.attributes", "tdx.quote_kind", "tdx.module", "tcb.status", shipped=False)
def td_service_td_bound(session: NearSession) -> None:
    """A version 5 quote of a TD to which a service TD is bound."""
    session.model.layout = evolve(session.model.layout, version=5, body_type=3)
    _td(session.model, mr_service_td=b"\x01" * 48)

"""Faults of the platform: TCB levels, advisories, revocation, and the quoting enclave's identity."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from teeverify.testing.enclave import Enclave
from teeverify.testing.near import NearSession

from .model import defect

_OLD_SVNS = bytes([2, 2, 2, 2, 3, 1, 0, 5]) + bytes(8)


def _platform(enclave: Enclave, **changes: Any) -> None:
    enclave.platform = evolve(enclave.platform, **changes)


def _status(session: NearSession, status: str, *advisories: str) -> None:
    levels = session.pcs.tcb_info(session.model.platform.fmspc.hex())["tcbLevels"]
    levels[0]["tcbStatus"] = status
    if advisories:
        levels[0]["advisoryIDs"] = list(advisories)
    session.pcs.tcb_changes["tcbLevels"] = levels


def _qe_status(session: NearSession, status: str) -> None:
    levels = session.pcs.qe_identity()["tcbLevels"]
    levels[0]["tcbStatus"] = status
    session.pcs.qe_changes["tcbLevels"] = levels


def outdated(session: NearSession) -> None:
    """Give the model's platform microcode that Intel calls OutOfDate, with two advisories."""
    _platform(session.model, component_svns=_OLD_SVNS)


@defect("tcb.status", "tcb.advisories")
def tcb_out_of_date(session: NearSession) -> None:
    """The model's platform runs microcode that Intel calls OutOfDate."""
    _platform(session.model, component_svns=_OLD_SVNS)


@defect("tcb.status", "tcb.advisories", base="cloud")
def tcb_out_of_date_gateway(session: NearSession) -> None:
    """Only the gateway's platform is OutOfDate; the model's is fine."""
    _platform(session.front, component_svns=_OLD_SVNS)


@defect("tcb.status", "tcb.advisories", shipped=False)
def tcb_out_of_date_compose_manager(session: NearSession) -> None:
    """The compose manager's quote comes from the same TD under an older, OutOfDate PCK certificate."""
    session.compose_manager = session.model.copy()
    _platform(session.compose_manager, component_svns=_OLD_SVNS, label="model-old")


@defect("tcb.status", "tcb.advisories", "tdx.module", shipped=False)
def tcb_module_out_of_date(session: NearSession) -> None:
    """The TDX module's version is below the current level."""
    session.model.td_changes["tee_tcb_svn"] = bytes([5, 1, 4]) + bytes(13)


@defect("tcb.status", "tcb.collateral_current", "tcb.not_revoked", "tdx.quote_signature", shipped=False)
def tcb_no_level_matches(session: NearSession) -> None:
    """The platform is older than every level that Intel lists."""
    _platform(session.model, component_svns=bytes(16), cpu_svn=bytes(16))


@defect("tcb.status", "tcb.not_revoked", shipped=False)
def tcb_revoked(session: NearSession) -> None:
    """Intel calls the platform's level Revoked."""
    _status(session, "Revoked")


@defect("tcb.status", shipped=False)
def tcb_configuration_needed(session: NearSession) -> None:
    """Intel calls the platform's level ConfigurationNeeded."""
    _status(session, "ConfigurationNeeded", "INTEL-SA-00001")


@defect("tcb.status", "tcb.advisories", shipped=False)
def tcb_hardening_needed(session: NearSession) -> None:
    """Intel calls the platform's level SWHardeningNeeded."""
    _status(session, "SWHardeningNeeded", "INTEL-SA-00615")


@defect("tcb.advisories")
def tcb_advisory_on_current_level(session: NearSession) -> None:
    """The level is UpToDate and names an advisory that the policy does not allow."""
    _status(session, "UpToDate", "INTEL-SA-09999")


@defect("tcb.status", "tcb.collateral_current", shipped=False)
def tcb_status_unknown(session: NearSession) -> None:
    """The level has a status that is not in Intel's list."""
    _status(session, "Splendid")


@defect("tcb.status")
def qe_configuration_needed(session: NearSession) -> None:
    """The quoting enclave's level is ConfigurationNeeded, hidden behind an UpToDate platform."""
    _qe_status(session, "ConfigurationNeeded")


@defect("tcb.status", shipped=False)
def qe_out_of_date(session: NearSession) -> None:
    """The quoting enclave's level is OutOfDate."""
    _qe_status(session, "OutOfDate")


@defect("tcb.status", "tcb.not_revoked", shipped=False)
def qe_revoked(session: NearSession) -> None:
    """The quoting enclave's level is Revoked."""
    _qe_status(session, "Revoked")


@defect("tcb.status", "tdx.quote_signature", "tdx.quote_kind", shipped=False)
def qe_version_too_low(session: NearSession) -> None:
    """The quoting enclave is older than the lowest level."""
    session.model.qe = evolve(session.model.qe, isv_svn=3)


@defect("tcb.status", "tdx.quote_signature", "tdx.quote_kind", shipped=False)
def qe_foreign_signer(session: NearSession) -> None:
    """The quoting enclave is signed by somebody else (MRSIGNER), on a genuine platform."""
    session.model.qe = evolve(session.model.qe, mr_signer=b"\x66" * 32)


@defect("tcb.status", "tdx.quote_signature", "tdx.quote_kind", shipped=False)
def qe_debug(session: NearSession) -> None:
    """The quoting enclave is a debug enclave."""
    attributes = bytes.fromhex("1700000000000000e700000000000000")
    session.model.qe = evolve(session.model.qe, attributes=attributes)


@defect("tcb.status", "tdx.quote_kind")
def td15_current_module_out_of_date(session: NearSession) -> None:
    """A TD 1.5 quote: the module at launch was current, the module that runs now is OutOfDate."""
    session.model.layout = evolve(session.model.layout, version=5, body_type=3)
    session.model.td_changes["tee_tcb_svn2"] = bytes([3, 1, 4]) + bytes(13)


@defect("tcb.status", "tcb.collateral_current", "tdx.quote_signature", "tdx.quote_kind")
def pck_svns_disagree(session: NearSession) -> None:
    """The PCK leaf's component SVNs are zero while its CPUSVN says that all is current."""
    svns = session.model.platform.component_svns
    _platform(session.model, component_svns=bytes(16), cpu_svn=svns)


@defect("tcb.not_revoked")
def pck_revoked(session: NearSession) -> None:
    """Intel revoked the platform's PCK certificate."""
    session.pcs.revoked_pcks = (session.model.pck_leaf,)


@defect("tcb.not_revoked", shipped=False)
def pck_ca_revoked(session: NearSession) -> None:
    """Intel revoked the CA of all PCK certificates."""
    session.pcs.revoked_cas = (session.intel.pck_ca,)


@defect("tcb.not_revoked", "tcb.collateral_current", shipped=False)
def tcb_signer_revoked(session: NearSession) -> None:
    """Intel revoked the certificate that signs TCB info."""
    session.pcs.revoked_cas = (session.intel.tcb_signer,)


@defect(
    "tcb.advisories",
    policy={"accept": ("UpToDate", "OutOfDate"), "allow_advisories": ("INTEL-SA-01036",)},
    shipped=False,
)
def tcb_advisory_not_allowed(session: NearSession) -> None:
    """The policy accepts OutOfDate with one advisory, and the platform has two."""
    outdated(session)

"""Faults of Intel's answers: who signed them, what they are about, how old they are."""

from __future__ import annotations

from datetime import timedelta

from teeverify.testing.near import NearSession
from teeverify.testing.recording import Document, body_of, compact, replace_body, timestamp

from .model import defect

CURRENT = "tcb.collateral_current"
REVOKED = "tcb.not_revoked"


# --- signers -------------------------------------------------------------------------------------------------------


@defect(CURRENT)
def tcb_info_signed_by_pck(session: NearSession) -> None:
    """TCB info is signed by the key of the platform's own PCK leaf, which is under the right root."""
    session.pcs.tcb_signer = session.model.pck_leaf
    session.pcs.signer_chain = (session.intel.pck_ca, session.intel.root)
    session.pcs.qe_signer = session.intel.tcb_signer


@defect(CURRENT, shipped=False)
def collateral_signed_by_pck(session: NearSession) -> None:
    """TCB info and QE identity are both signed by a PCK leaf; the attacker extracted one key."""
    session.pcs.tcb_signer = session.pcs.qe_signer = session.model.pck_leaf
    session.pcs.signer_chain = (session.intel.pck_ca, session.intel.root)


@defect(CURRENT, shipped=False)
def tcb_info_signed_by_stranger(session: NearSession) -> None:
    """TCB info is signed by a key of nobody; the chain shown is Intel's."""
    stranger = session.keys.p256("intruder/tcb")
    session.pcs.tcb_signer = type(session.intel.tcb_signer)(stranger, session.intel.tcb_signer.certificate)


@defect(CURRENT, shipped=False)
def tcb_info_signer_name(session: NearSession) -> None:
    """TCB info is signed by a leaf of the root that has another name than the TCB signer."""
    session.pcs.tcb_signer = session.intel.issue("teeverify TEST Signing", session.intel.root)


# --- contents ------------------------------------------------------------------------------------------------------


@defect(CURRENT)
def tcb_info_other_fmspc(session: NearSession) -> None:
    """The answer is genuine and about another platform family."""
    session.pcs.tcb_changes["fmspc"] = "00a06d080000"


@defect(CURRENT, shipped=False)
def tcb_info_other_pce(session: NearSession) -> None:
    """TCB info is about another provisioning enclave than the leaf names."""
    session.pcs.tcb_changes["pceId"] = "0001"


@defect(CURRENT, shipped=False)
def tcb_info_other_type(session: NearSession) -> None:
    """TCB info has another tcbType."""
    session.pcs.tcb_changes["tcbType"] = 1


@defect(CURRENT, shipped=False)
def tcb_info_other_version(session: NearSession) -> None:
    """TCB info has a version that nobody defined."""
    session.pcs.tcb_changes["version"] = 4


@defect(CURRENT, shipped=False)
def tcb_info_for_sgx(session: NearSession) -> None:
    """TCB info is genuine and about SGX."""
    session.pcs.tcb_changes["id"] = "SGX"


@defect(CURRENT, "tcb.status", shipped=False)
def qe_identity_for_sgx(session: NearSession) -> None:
    """The identity is that of the SGX quoting enclave."""
    session.pcs.qe_changes["id"] = "QE"


@defect(CURRENT)
def tcb_info_edited(session: NearSession) -> Document:
    """Somebody edited the answer: OutOfDate became UpToDate, the signature is the old one."""
    document = session.saved()
    body = body_of(document, "tdx/certification/v4/tcb").replace(b"OutOfDate", b"UpToDate")
    return replace_body(document, "tdx/certification/v4/tcb", body)


@defect(CURRENT, shipped=False)
def tcb_info_decoy(session: NearSession) -> Document:
    """A forged member of the same name stands before the signed one."""
    document = session.saved()
    fmspc = session.model.platform.fmspc.hex()
    genuine = body_of(document, "tdx/certification/v4/tcb")
    forged = compact({**session.pcs.tcb_info(fmspc), "tcbEvaluationDataNumber": 99})
    return replace_body(document, "tdx/certification/v4/tcb", b'{"tcbInfo":' + forged + b"," + genuine[1:])


@defect(CURRENT)
def tcb_answer_extra_member(session: NearSession) -> None:
    """The answer carries a certificate chain of its own, which some verifiers take instead of the quote's."""
    session.pcs.outer_changes = {"pck_certificate_chain": session.intel.pck_ca.pem}


@defect("tcb.eval_number")
def evaluation_number_low(session: NearSession) -> None:
    """Intel signs old evaluations on request: fresh TCB info of an evaluation below the policy's floor."""
    session.pcs.tcb_changes["tcbEvaluationDataNumber"] = 17
    session.pcs.qe_changes["tcbEvaluationDataNumber"] = 17


# --- time ----------------------------------------------------------------------------------------------------------


@defect(CURRENT)
def collateral_expired(session: NearSession) -> None:
    """Everything that Intel signed ran out a day ago."""
    session.pcs.issued = session.at - timedelta(days=31)


@defect(CURRENT, shipped=False)
def tcb_info_expired(session: NearSession) -> None:
    """TCB info ran out; everything else is current."""
    _dates(session.pcs.tcb_changes, session, -31, -1)


@defect(CURRENT, shipped=False)
def qe_identity_expired(session: NearSession) -> None:
    """The QE identity ran out; everything else is current."""
    _dates(session.pcs.qe_changes, session, -31, -1)


@defect(CURRENT, shipped=False)
def tcb_info_from_future(session: NearSession) -> None:
    """TCB info is issued tomorrow."""
    _dates(session.pcs.tcb_changes, session, 1, 31)


@defect(CURRENT)
def tcb_info_for_years(session: NearSession) -> None:
    """TCB info is signed for ten years, which Intel never does."""
    _dates(session.pcs.tcb_changes, session, -1, 3650)


@defect(CURRENT, REVOKED, shipped=False)
def pck_crl_expired(session: NearSession) -> None:
    """The PCK revocation list ran out."""
    session.pcs.pck_crl = session.pcs.pck_list(since=session.at - timedelta(days=31))


@defect(CURRENT, REVOKED, shipped=False)
def root_crl_expired(session: NearSession) -> None:
    """The root's revocation list ran out."""
    session.pcs.root_crl = session.pcs.root_list(since=session.at - timedelta(days=366))


@defect(CURRENT, REVOKED, shipped=False)
def pck_crl_from_future(session: NearSession) -> None:
    """The PCK revocation list is issued tomorrow."""
    session.pcs.pck_crl = session.pcs.pck_list(since=session.at + timedelta(days=1))


# --- revocation lists ----------------------------------------------------------------------------------------------


@defect(CURRENT, REVOKED, shipped=False)
def pck_crl_forged(session: NearSession) -> None:
    """The PCK revocation list is signed by somebody else, so that it may leave out the platform."""
    stranger = session.keys.p256("intruder/crl")
    signer = type(session.intel.pck_ca)(stranger, session.intel.pck_ca.certificate)
    session.pcs.pck_crl = session.pcs.pck_list(signer=signer)


@defect(CURRENT, REVOKED, shipped=False)
def crls_swapped(session: NearSession) -> None:
    """Each revocation list stands in the other's place."""
    session.pcs.pck_crl, session.pcs.root_crl = session.pcs.root_list(), session.pcs.pck_list()


@defect(CURRENT, REVOKED, shipped=False)
def pck_crl_garbage(session: NearSession) -> None:
    """The PCK revocation list is not DER."""
    session.pcs.pck_crl = b"\x30\x03\x02\x01"


def _dates(changes: dict[str, object], session: NearSession, since: int, until: int) -> None:
    changes["issueDate"] = timestamp(session.at + timedelta(days=since))
    changes["nextUpdate"] = timestamp(session.at + timedelta(days=until))

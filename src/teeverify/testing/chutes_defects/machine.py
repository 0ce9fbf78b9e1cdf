"""Faults of the machine: quotes, TD attributes, registers, platform."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any, Final

from teeverify.testing.chutes import ChutesSession
from teeverify.testing.chutes_instance import ChutesInstance
from teeverify.testing.intel import IntelPki
from teeverify.testing.recording import Document, body_of, replace_body
from teeverify.testing.tdx import SEPT_VE_DISABLE

from .model import EVIDENCE, ChutesDefect, answer, instance, layout, level, quoted, session, td

__all__ = ["MACHINE"]

SIGNATURE: Final = "tdx.quote_signature"
PIN: Final = "pin.base_image"
ATTRIBUTES: Final = "tdx.attributes"
CURRENT: Final = "tcb.collateral_current"
UNREADABLE: Final = "evidence.wellformed"
ABSENT: Final = "evidence.complete"
KIND: Final = ("evidence.wellformed", "tdx.quote_kind")
_TCB: Final = "tdx/certification/v4/tcb?fmspc="


def _stranger(own: ChutesInstance, _: ChutesInstance, whole: ChutesSession) -> None:
    own.guest.pki = IntelPki(whole.keys, "stranger")


def _revoked(own: ChutesInstance, _: ChutesInstance, whole: ChutesSession) -> None:
    whole.pcs.revoked_pcks = (own.guest.pki.pck(own.guest.platform),)


def _ran_out(whole: ChutesSession) -> None:
    whole.pcs.issued -= timedelta(days=45)


def _old_evaluation(whole: ChutesSession) -> None:
    whole.pcs.tcb_changes["tcbEvaluationDataNumber"] = 17
    whole.pcs.qe_changes["tcbEvaluationDataNumber"] = 17


def _of_the_other_family(whole: ChutesSession) -> Document:
    first, last = (entry.guest.platform.fmspc.hex() for entry in whole.instances[-2:])
    document = whole.saved()
    return replace_body(document, _TCB + last, body_of(document, _TCB + first))


def _edited(whole: ChutesSession) -> Document:
    part = _TCB + whole.instances[-1].guest.platform.fmspc.hex()
    document = whole.saved()
    return replace_body(document, part, body_of(document, part).replace(b"OutOfDate", b"UpToDate"))


def _quote(change: Any) -> Any:
    """Edits the quote of the first entry of the evidence, as bytes to text."""

    def edit(document: dict[str, Any]) -> None:
        entry = document["evidence"][0]
        entry["quote"] = change(base64.b64decode(entry["quote"]))

    return edit


def _flipped(position: int) -> Any:
    def flip(raw: bytes) -> str:
        return base64.b64encode(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]).decode()

    return _quote(flip)


def _praised(document: dict[str, Any]) -> None:
    _flipped(48 + 500)(document)
    for entry in document["evidence"]:
        entry.update(verified=True, tdx_verification={"status": "UpToDate"}, gpu_tokens={"overall": True})


MACHINE: Final[tuple[ChutesDefect, ...]] = (
    # quotes
    instance(
        "quote-signature-forged",
        quoted(signature=bytes(range(64))),
        "A quote's signature is made up.",
        SIGNATURE,
    ),
    instance("quote-without-intel", _stranger, "A quote with a chain of the attacker's own making.", SIGNATURE),
    instance(
        "quote-padding-not-zero",
        layout(padding=bytes(6) + b"\1"),
        "Bytes that are not zero follow a quote.",
        "evidence.wellformed",
    ),
    instance("quote-of-sgx", layout(tee_type=0), "The quote says that it is one of SGX.", *KIND),
    instance("quote-version-3", layout(version=3), "The quote says that it is of version 3.", *KIND),
    instance("quote-vendor-other", layout(vendor=bytes(16)), "Another vendor's quoting enclave.", "tdx.quote_kind"),
    answer("quote-body-altered", EVIDENCE, _flipped(48 + 500), "A bit of a signed quote is flipped.", SIGNATURE),
    answer("quote-header-altered", EVIDENCE, _flipped(29), "A bit of a quote's header is flipped.", SIGNATURE),
    answer("quote-missing", EVIDENCE, lambda d: d["evidence"][0].pop("quote"), "An entry has no quote.", ABSENT),
    answer("quote-null", EVIDENCE, lambda d: d["evidence"][0].update(quote=None), "A quote is null.", ABSENT),
    answer("quote-empty", EVIDENCE, _quote(lambda _: ""), "A quote is an empty text.", ABSENT),
    answer("quote-in-hex", EVIDENCE, _quote(bytes.hex), "A quote is in hex, where base64 is the rule.", UNREADABLE),
    answer("quote-not-base64", EVIDENCE, _quote(lambda _: "!" * 80), "A quote is no base64.", UNREADABLE),
    answer(
        "quote-truncated",
        EVIDENCE,
        _quote(lambda raw: base64.b64encode(raw[:2000]).decode()),
        "A quote ends in the middle.",
        UNREADABLE,
    ),
    answer(
        "verdict-of-its-own",
        EVIDENCE,
        _praised,
        "An altered quote, with members beside it that call everything verified.",
        SIGNATURE,
    ),
    # the TD
    instance(
        "debug-td",
        td(td_attributes=SEPT_VE_DISABLE | 1),
        "A debug TD, whose memory its host can read, with a genuine quote.",
        "tdx.debug_off",
    ),
    instance(
        "debug-td-byte-0",
        td(td_attributes=1),
        "A debug TD whose attributes are zero but for the debug bit in byte 0.",
        "tdx.debug_off",
    ),
    instance("td-owner-set", td(mr_owner=b"\1" * 48), "MROWNER is not zero.", ATTRIBUTES),
    instance("td-owner-config-set", td(mr_owner_config=b"\1" * 48), "MROWNERCONFIG is not zero.", ATTRIBUTES),
    instance("td-config-id-set", td(mr_config_id=b"\1" * 48), "MRCONFIGID is not zero.", ATTRIBUTES),
    instance("td-xfam-odd", td(xfam=bytes.fromhex("e702000000000000")), "XFAM is not that of a sek8s TD.", ATTRIBUTES),
    instance(
        "td-attributes-foreign",
        td(td_attributes=SEPT_VE_DISABLE | 1 << 63),
        "Performance monitoring is on.",
        ATTRIBUTES,
    ),
    instance("td-module-signer", td(mr_signer_seam=b"\1" * 48), "Another vendor's TDX module.", "tdx.module"),
    instance("td-module-attributes", td(seam_attributes=b"\1" * 8), "A debug TDX module.", "tdx.module"),
    instance("td-module-unpinned", td(mr_seam=b"\1" * 48), "A TDX module that the policy does not list.", "tdx.module"),
    # registers
    instance("other-image", td(mr_td=bytes(48)), "Firmware that nobody pinned (MRTD).", PIN),
    instance("other-rtmr0", td(rtmr0=b"\1" * 48), "A hardware description that nobody pinned (RTMR0).", PIN),
    instance("other-rtmr2", td(rtmr2=b"\1" * 48), "A kernel command line that nobody pinned (RTMR2).", PIN),
    instance(
        "mixed-row-rtmr1",
        lambda own, other, _: own.guest.td_changes.update(rtmr1=other.guest.boot.rtmr1),
        "RTMR1 of another pinned release, all else of this one.",
        PIN,
        instances=2,
    ),
    instance(
        "mixed-row-mrtd",
        lambda own, other, _: own.guest.td_changes.update(mr_td=other.guest.boot.mr_td),
        "MRTD of another pinned release, all else of this one.",
        PIN,
        instances=2,
    ),
    instance("rtmr3-zero", td(rtmr3=bytes(48)), "RTMR3 is zero: the running file system is not measured.", PIN),
    # platform
    instance("old-tcb", level(tcbStatus="OutOfDate"), "Intel calls an instance's platform OutOfDate.", "tcb.status"),
    instance(
        "tcb-configuration-needed",
        level(tcbStatus="ConfigurationNeeded"),
        "Intel calls an instance's platform ConfigurationNeeded.",
        "tcb.status",
    ),
    instance(
        "tcb-hardening-needed",
        level(tcbStatus="SWHardeningNeeded"),
        "Intel calls an instance's platform SWHardeningNeeded.",
        "tcb.status",
    ),
    instance(
        "tcb-revoked", level(tcbStatus="Revoked"), "Intel calls an instance's platform Revoked.", "tcb.not_revoked"
    ),
    instance(
        "tcb-advisory",
        level(advisoryIDs=["INTEL-SA-01036"]),
        "The platform is UpToDate under an advisory that the policy does not allow.",
        "tcb.advisories",
    ),
    instance(
        "revoked-pck", _revoked, "Intel revoked the PCK certificate of an instance's platform.", "tcb.not_revoked"
    ),
    session("collateral-expired", _ran_out, "Everything that Intel signed ran out.", CURRENT),
    session(
        "evaluation-number-low", _old_evaluation, "Intel's answers are fresh, of an old evaluation.", "tcb.eval_number"
    ),
    session("tcb-info-edited", _edited, "Somebody edited Intel's answer: OutOfDate became UpToDate.", CURRENT),
    session(
        "tcb-info-of-other-family",
        _of_the_other_family,
        "Intel's genuine answer about one platform family is shown for another.",
        CURRENT,
        instances=2,
    ),
)
"""In the order of the evidence: quotes, the TD, its registers, its platform."""

"""Firmware ids that a DICE certificate carries: which firmware its key belongs to.

NVIDIA's attestation-key certificates have one of two extensions in the TCG's arc: 2.23.133.5.4.1 with the older
CompositeDeviceID ``{version, deviceID SubjectPublicKeyInfo, fwid {hashAlg, digest}}`` (Hopper), or 2.23.133.5.4.1.1
with the list of TcbInfo of the TCG's "DICE Attestation Architecture", whose element [6] lists firmware ids (Blackwell).
"""

from __future__ import annotations

from typing import Final

from ..errors import FormatError
from .der import OCTET_STRING, SEQUENCE, elements, only_element

__all__ = ["COMPOSITE_DEVICE_ID_OID", "MULTI_TCB_INFO_OID", "composite_device_fwid", "multi_tcb_info_fwid"]

COMPOSITE_DEVICE_ID_OID: Final = "2.23.133.5.4.1"
MULTI_TCB_INFO_OID: Final = "2.23.133.5.4.1.1"

_INTEGER: Final = 0x02
_FWIDS: Final = 0xA6
_SHA384: Final = bytes.fromhex("0609608648016503040202")
_DIGEST: Final = 48
_WHAT: Final = "the firmware id extension"


def composite_device_fwid(extension: bytes) -> bytes:
    """SHA-384 firmware id (48 bytes) of a CompositeDeviceID.

    Raises:
        FormatError: ``der_syntax`` or ``fwid_syntax``.
    """
    parts = elements(only_element(extension, SEQUENCE, what=_WHAT), what=_WHAT)
    if [part.tag for part in parts] != [_INTEGER, SEQUENCE, SEQUENCE]:
        raise _refuse()
    return _digest(parts[2].content)


def multi_tcb_info_fwid(extension: bytes) -> bytes:
    """First SHA-384 firmware id (48 bytes) of a list of TcbInfo, which is the one of the firmware that runs.

    Raises:
        FormatError: ``der_syntax`` or ``fwid_syntax``.
    """
    for tcb_info in elements(only_element(extension, SEQUENCE, what=_WHAT), what=_WHAT):
        if tcb_info.tag != SEQUENCE:
            raise _refuse()
        for part in elements(tcb_info.content, what=_WHAT):
            if part.tag == _FWIDS:
                fwids = elements(part.content, what=_WHAT)
                if not fwids or fwids[0].tag != SEQUENCE:
                    raise _refuse()
                return _digest(fwids[0].content)
    raise _refuse()


def _digest(fwid: bytes) -> bytes:
    parts = elements(fwid, what=_WHAT)
    if len(parts) != 2 or parts[0].encoding != _SHA384 or parts[1].tag != OCTET_STRING:
        raise _refuse()
    if len(parts[1].content) != _DIGEST:
        raise _refuse()
    return parts[1].content


def _refuse() -> FormatError:
    return FormatError("fwid_syntax", f"{_WHAT} holds no SHA-384 firmware id in its place")

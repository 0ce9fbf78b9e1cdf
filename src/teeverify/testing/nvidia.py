"""NVIDIA-like GPUs and switches: device certificate chains and signed SPDM measurement evidence.

The evidence is an SPDM 1.1 GET_MEASUREMENTS request followed by its MEASUREMENTS response (DMTF DSP0274), with NVIDIA's
opaque fields as published in its attestation SDK (github.com/NVIDIA/nvtrust). Certificate names are part of the format.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from .certificates import (
    TEST_MARK,
    Extension,
    Issued,
    authority_key,
    basic_constraints,
    day,
    issue,
    key_usage,
    name,
    opaque_extension,
    subject_key,
)
from .der import integer, object_identifier, octets, sequence
from .keys import KeyRing, raw_signature
from .recording import compact

__all__ = ["DICE_TCB_INFO", "DRIVER_VERSION", "VBIOS_VERSION", "Device", "Evidence", "NvidiaPki", "nvidia_payload"]

DICE_TCB_INFO: Final = "2.23.133.5.4.1"
DRIVER_VERSION: Final = "570.172.08"
VBIOS_VERSION: Final = "96.00.CF.00.02"
_SHA384_OID: Final = "2.16.840.1.101.3.4.2.2"
_FOREVER: Final = day("9999-12-31 23:59:59")
_PEM_PADDING: Final = bytes(5)
"""Real Hopper chains end in a few NUL bytes after the last certificate."""


@frozen(kw_only=True)
class Evidence:
    """What one device reports, before it is signed.

    ``blocks`` are the measurement values in index order; ``opaque`` the type-length-value fields in order.
    ``signature`` and ``trailing`` are taken verbatim. ``sign_with`` is another certificate whose key signs.
    """

    nonce: bytes
    blocks: tuple[bytes, ...]
    opaque: tuple[tuple[int, bytes], ...]
    responder_nonce: bytes
    signature: bytes | None = None
    trailing: bytes = b""
    sign_with: Issued | None = None

    def with_opaque(self, kind: int, value: bytes) -> Evidence:
        """The same report with one opaque field replaced."""
        return evolve(self, opaque=tuple((key, value if key == kind else old) for key, old in self.opaque))

    def signed(self, leaf: Issued) -> bytes:
        """Request, response and signature."""
        request = b"\x11\xe0\x01\xff" + self.nonce + b"\x00"
        record = b"".join(
            struct.pack("<BBHBH", index + 1, 1, len(value) + 3, 1, len(value)) + value
            for index, value in enumerate(self.blocks)
        )
        opaque = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in self.opaque)
        response = b"\x11\x60\x00\x00" + bytes([len(self.blocks)]) + len(record).to_bytes(3, "little") + record
        response += self.responder_nonce + struct.pack("<H", len(opaque)) + opaque
        key = (self.sign_with or leaf).key
        signature = self.signature or raw_signature(key, request + response, hashes.SHA384())
        return request + response + signature + self.trailing


@frozen(kw_only=True)
class Device:
    """One GPU or switch: its certificates (leaf first) and what its firmware is."""

    label: str
    arch: str
    chain: tuple[Issued, ...]
    keys: KeyRing = field(repr=False)
    firmware_id: bytes
    fabric: tuple[bytes, ...] = ()
    pem_padding: bytes = _PEM_PADDING

    @property
    def ueid(self) -> str:
        """The device's identity in NVIDIA's tokens: the leaf's serial number in decimal."""
        return str(self.chain[0].certificate.serial_number)

    @property
    def certificate(self) -> str:
        """The chain as it is shipped: base64 of PEM text."""
        pem = "".join(certificate.pem for certificate in self.chain).encode()
        return base64.b64encode(pem + self.pem_padding).decode()

    def evidence(self, nonce: bytes) -> Evidence:
        """A truthful report over a nonce."""
        switch = self.arch == "LS10"
        count = 31 if switch else 64
        blocks = tuple(
            self.keys.material(f"measurement/{self.arch}/{index}", 48) if index < count // 2 else bytes(48)
            for index in range(count)
        )
        opaque: list[tuple[int, bytes]] = [
            (6, b"96.10.57.00.01\0" if switch else bytes.fromhex("00cf009602000000")),
            (14, bytes.fromhex("3c050000")),
            (15, b"895\0\0\0\0\0\0"),
            (16, b"0\0\0\0\0"),
            (17, b"G520\0"),
            (18, b"0280\0"),
            (19, b"\0\0"),
            (3, DRIVER_VERSION.encode() + b"\0"),
            (4, bytes.fromhex("8001000000000000")),
            (12, b"".join(struct.pack("<I", index % 2) for index in range(64))),
            (13, bytes.fromhex("00800300")),
            (11, b"\x55"),
            (20, self.firmware_id),
            (21, b"\xaa" if self.fabric else b"\x55"),
        ]
        if self.fabric:
            opaque.append((22, self.fabric_field()))
        return Evidence(
            nonce=nonce,
            blocks=blocks,
            opaque=tuple(opaque),
            responder_nonce=self.keys.material(f"responder/{self.label}/{nonce.hex()}", 32),
        )

    def fabric_field(self) -> bytes:
        """The switch identities that a GPU of a multi-GPU host reports: 18 links to four switches."""
        links = [self.fabric[index % len(self.fabric)] for index in range(18)]
        return b"".join(sorted(links, key=self.fabric.index))

    def entry(self, nonce: bytes, evidence: Evidence | None = None, *, with_nonce: bool = True) -> dict[str, str]:
        """One element of ``evidence_list``."""
        report = (evidence or self.evidence(nonce)).signed(self.chain[0])
        entry = {
            "arch": self.arch,
            "certificate": self.certificate,
            "evidence": base64.b64encode(report).decode(),
        }
        return {**entry, "nonce": nonce.hex()} if with_nonce else entry


class NvidiaPki:
    """The device root and the CAs under it; makes devices."""

    def __init__(self, keys: KeyRing, label: str = "nvidia") -> None:
        self.keys = keys
        self.label = label
        root_name = name(("CN", "NVIDIA Device Identity CA"), ("O", "NVIDIA"), ("OU", TEST_MARK))
        self.root = self._ca(root_name, None, "device-root", "2021-11-05")
        identity = name(("CN", "NVIDIA GH100 Identity"), ("O", "NVIDIA Corporation"))
        self.identity = self._ca(identity, self.root, "identity", "2022-01-12")
        self._devices: dict[tuple[int, str, str, bool], Device] = {}

    def device(self, index: int, *, host: str = "host-1", arch: str = "HOPPER", fabric: bool = True) -> Device:
        """One device of a host: a GPU (HOPPER) or a switch (LS10); ``fabric`` says whether it sees switches."""
        index_of_all = (index, host, arch, fabric)
        if index_of_all not in self._devices:
            self._devices[index_of_all] = self._made(index, host, arch, fabric)
        return self._devices[index_of_all]

    def _made(self, index: int, host: str, arch: str, fabric: bool) -> Device:
        chip = "LS_10" if arch == "LS10" else "GH100"
        part = "FSP" if arch == "LS10" else "GSP"
        label = f"{self.label}/{host}/{chip}-{index}"
        ica_name = name(("CN", f"NVIDIA {chip} Provisioner ICA 1"), ("O", "NVIDIA Corporation"), ("C", "US"))
        ica = self._ca(ica_name, self.identity, f"{chip}/provisioner", "2022-03-01")
        firmware_id = self.keys.material(f"fwid/{arch}", 48)
        brom_name = name(
            ("SERIALNUMBER", self.keys.material(f"{label}/sn", 9).hex().upper()),
            ("C", "US"),
            ("O", "NVIDIA Corporation"),
            ("CN", f"{chip} A01 {part} BROM"),
        )
        brom = self._ca(brom_name, ica, f"{label}/brom", "2020-10-17", crls=False, absolute=True)
        leaf = self.leaf(f"{chip} A01 {part} FMC LF", brom, f"{label}/leaf", firmware_id)
        pdis = tuple(self.keys.material(f"{self.label}/{host}/switch-{switch}", 8) for switch in range(4))
        return Device(
            label=label,
            arch=arch,
            chain=(leaf, brom, ica, self.identity, self.root),
            keys=self.keys,
            firmware_id=firmware_id,
            fabric=pdis if fabric else (),
        )

    def leaf(
        self,
        common_name: str,
        issuer: Issued,
        label: str,
        firmware_id: bytes,
        *,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Issued:
        """An attestation key certificate, with the firmware it was made for in its DICE extension."""
        key = key or self.keys.p384(label)
        tcb_info = sequence(integer(1), issuer.spki, sequence(object_identifier(_SHA384_OID), octets(firmware_id)))
        identifier = subject_key(key)
        digest = identifier[0]
        serial_number = digest.digest.hex().upper() if isinstance(digest, x509.SubjectKeyIdentifier) else ""
        return issue(
            subject=name(
                ("SERIALNUMBER", serial_number), ("C", "US"), ("O", "NVIDIA Corporation"), ("CN", common_name)
            ),
            issuer=issuer,
            key=key,
            serial=self.keys.serial(label, 20),
            not_before=day("2020-10-17"),
            not_after=_FOREVER,
            extensions=[
                key_usage(sign=True),
                identifier,
                authority_key(issuer.key),
                opaque_extension(DICE_TCB_INFO, tcb_info),
            ],
        )

    def _ca(
        self,
        subject: x509.Name,
        issuer: Issued | None,
        label: str,
        since: str,
        *,
        crls: bool = True,
        absolute: bool = False,
    ) -> Issued:
        label = label if absolute else f"{self.label}/{label}"
        key = self.keys.p384(label)
        extensions: list[Extension] = [
            basic_constraints(True),
            key_usage(certs=True, crls=crls),
            subject_key(key),
            authority_key(issuer.key if issuer else key),
        ]
        return issue(
            subject=subject,
            issuer=issuer,
            key=key,
            serial=self.keys.serial(label),
            not_before=day(since),
            not_after=_FOREVER,
            extensions=extensions,
        )


def nvidia_payload(entries: list[dict[str, str]], nonce: bytes, *, arch: str = "HOPPER") -> Mapping[str, Any]:
    """The object that NEAR ships as JSON text, and that NVIDIA's service takes as request body."""
    return {"arch": arch, "evidence_list": entries, "nonce": nonce.hex()}


def payload_text(payload: Mapping[str, Any]) -> str:
    """The JSON text of a payload."""
    return compact(payload).decode()

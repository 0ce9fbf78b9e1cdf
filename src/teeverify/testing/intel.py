"""An Intel-like provisioning PKI: root, PCK CA, TCB signer and PCK leaves with the SGX extension.

Names and extension layout follow Intel's "SGX PCK Certificate and Certificate Revocation List Profile Specification";
the names are part of the format, since verifiers tell roles apart by them. The root carries a mark that says TEST.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen
from cryptography import x509
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
from .der import boolean, enumerated, integer, object_identifier, octets, sequence
from .keys import KeyRing

__all__ = ["PCK_CA_NAME", "PCK_NAME", "SGX_EXTENSION", "TCB_SIGNER_NAME", "IntelPki", "Platform"]

SGX_EXTENSION: Final = "1.2.840.113741.1.13.1"
ROOT_NAME: Final = "Intel SGX Root CA"
PCK_CA_NAME: Final = "Intel SGX PCK Platform CA"
PCK_NAME: Final = "Intel SGX PCK Certificate"
TCB_SIGNER_NAME: Final = "Intel SGX TCB Signing"


def _pair(suffix: str, value: bytes) -> bytes:
    return sequence(object_identifier(SGX_EXTENSION + suffix), value)


@frozen(kw_only=True)
class Platform:
    """What a PCK leaf says about the CPU package.

    ``cpu_svn`` is the 16 bytes of the component SVNs unless given; ``configuration`` is (dynamic platform, cached keys,
    SMT enabled), None leaves it out.
    """

    label: str = "platform"
    ppid: bytes = bytes(range(16))
    component_svns: bytes = bytes([3, 3, 2, 2, 4, 1, 0, 5]) + bytes(8)
    cpu_svn: bytes | None = None
    pce_svn: int = 13
    pce_id: bytes = b"\x00\x00"
    fmspc: bytes = bytes.fromhex("90c06f000000")
    sgx_type: int = 1
    platform_instance_id: bytes | None = b"\x11" * 16
    configuration: tuple[bool, bool, bool] | None = (True, True, True)

    def der(self) -> bytes:
        """The value of the SGX extension."""
        cpu_svn = self.component_svns if self.cpu_svn is None else self.cpu_svn
        tcb = [_pair(f".2.{index + 1}", integer(svn)) for index, svn in enumerate(self.component_svns)]
        tcb += [_pair(".2.17", integer(self.pce_svn)), _pair(".2.18", octets(cpu_svn))]
        items = [
            _pair(".1", octets(self.ppid)),
            _pair(".2", sequence(*tcb)),
            _pair(".3", octets(self.pce_id)),
            _pair(".4", octets(self.fmspc)),
            _pair(".5", enumerated(self.sgx_type)),
        ]
        if self.platform_instance_id is not None:
            items.append(_pair(".6", octets(self.platform_instance_id)))
        if self.configuration is not None:
            flags = [_pair(f".7.{index + 1}", boolean(flag)) for index, flag in enumerate(self.configuration)]
            items.append(_pair(".7", sequence(*flags)))
        return sequence(*items)


def _subject(common_name: str, *, mark: bool = False) -> x509.Name:
    attributes = [
        ("CN", common_name),
        ("O", "Intel Corporation"),
        ("L", "Santa Clara"),
        ("ST", "CA"),
        ("C", "US"),
    ]
    return name(*attributes, *([("OU", TEST_MARK)] if mark else []))


class IntelPki:
    """Root with its PCK CA and TCB signer; issues PCK leaves.

    ``label`` separates several PKIs of one key ring; the one labelled "intel" is the trusted test root.
    """

    def __init__(self, keys: KeyRing, label: str = "intel") -> None:
        self.keys = keys
        self.label = label
        self.root = self.issue(ROOT_NAME, None, ca=True, path_length=1, until="2049-12-31", mark=True)
        self.pck_ca = self.issue(PCK_CA_NAME, self.root, ca=True, path_length=0)
        self.tcb_signer = self.issue(TCB_SIGNER_NAME, self.root)
        self._leaves: dict[tuple[bytes, str, bytes, str], Issued] = {}

    def issue(
        self,
        common_name: str,
        issuer: Issued | None,
        *,
        label: str | None = None,
        ca: bool = False,
        path_length: int | None = None,
        sgx_extension: bytes | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        since: str = "2024-01-01",
        until: str = "2036-01-01",
        mark: bool = False,
    ) -> Issued:
        """Issue any certificate of this PKI; every role is a choice of arguments."""
        label = f"{self.label}/{label or common_name}"
        own = key or self.keys.p256(label)
        url = "https://pcs.invalid/crl"
        extensions: list[Extension] = [
            authority_key(issuer.key if issuer else own),
            (
                x509.CRLDistributionPoints(
                    [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)]
                ),
                False,
            ),
            subject_key(own),
            key_usage(sign=not ca, commit=not ca, certs=ca, crls=ca),
            basic_constraints(ca, path_length),
        ]
        if sgx_extension is not None:
            extensions.append(opaque_extension(SGX_EXTENSION, sgx_extension))
        return issue(
            subject=_subject(common_name, mark=mark),
            issuer=issuer,
            key=own,
            serial=self.keys.serial(label, 20),
            not_before=day(since),
            not_after=day(until),
            extensions=extensions,
        )

    def pck(self, platform: Platform, *, issuer: Issued | None = None, common_name: str = PCK_NAME) -> Issued:
        """The PCK leaf of a platform."""
        above, extension = issuer or self.pck_ca, platform.der()
        index = (above.der, platform.label, extension, common_name)
        if index not in self._leaves:
            label = f"pck/{platform.label}"
            self._leaves[index] = self.issue(common_name, above, label=label, sgx_extension=extension)
        return self._leaves[index]

    def attestation_key(self, platform: Platform) -> ec.EllipticCurvePrivateKey:
        """The attestation key of the platform's quoting enclave."""
        return self.keys.p256(f"{self.label}/ak/{platform.label}")

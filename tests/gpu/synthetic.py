"""GPUs and an attestation service under test keys, with every part open to change; small, and for these tests only."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

import jwt
from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.x509.oid import NameOID

from teeverify.claims.binding import BindingClaims
from teeverify.claims.gpu import GpuClaims
from teeverify.claims.problem import Problem, ProblemKind
from teeverify.claims.subject import Subject
from teeverify.derivation.gpu import derive_gpu
from teeverify.formats.nras import DEVICE_FLAGS
from teeverify.policy import GpuPolicy, Policy, ReferenceValues
from teeverify.roots import TrustRoots

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=timezone.utc)
IAT = int(NOW.timestamp()) - 10
NONCE = hashlib.sha256(b"challenge").digest()
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
FIRMWARE = hashlib.sha384(b"firmware").digest()
SWITCHES = tuple(hashlib.sha256(bytes([number])).digest()[:8] for number in range(4))
KID = "nv-eat-kid-test"
DICE = "2.23.133.5.4.1"
MULTI = "2.23.133.5.4.1.1"
SHA384_OID = bytes.fromhex("0609608648016503040202")

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Edit = Callable[[dict[str, Any]], object]


def tlv(tag: int, content: bytes) -> bytes:
    """One DER element."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def fwid_element(firmware: bytes) -> bytes:
    return tlv(0x30, SHA384_OID + tlv(4, firmware))


def composite_device_id(firmware: bytes) -> bytes:
    return tlv(0x30, tlv(2, b"\x01") + tlv(0x30, b"") + fwid_element(firmware))


def multi_tcb_info(*firmwares: bytes) -> bytes:
    fwids = tlv(0xA6, b"".join(fwid_element(firmware) for firmware in firmwares))
    return tlv(0x30, tlv(0x30, tlv(0x80, b"NVIDIA") + fwids))


@functools.cache
def p384_key(label: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(hashlib.sha384(label.encode()).digest()[:47], "big"), ec.SECP384R1())


@functools.cache
def rsa_key(label: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@frozen(kw_only=True)
class Issued:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def issue(
    cn: str,
    key: PrivateKey,
    issuer: Issued | None = None,
    *,
    ca: bool | None = True,
    path_length: int | None = None,
    cert_sign: bool | None = True,
    not_before: datetime = NOW - timedelta(days=900),
    not_after: datetime = FOREVER,
    organization: str = "NVIDIA Corporation",
    extensions: Mapping[str, bytes] | None = None,
    critical: bool = False,
    issuer_cn: str | None = None,
    hash_algorithm: hashes.SHA256 | hashes.SHA384 | None = None,
) -> Issued:
    """Issue one certificate; ``ca`` None leaves basicConstraints away, ``cert_sign`` None leaves KeyUsage away."""
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization), x509.NameAttribute(NameOID.COMMON_NAME, cn)]
    )
    issuer_name = subject if issuer is None else issuer.certificate.subject
    if issuer_cn is not None:
        issuer_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_cn)])
    serial = int.from_bytes(hashlib.sha256(f"{cn}/{organization}".encode()).digest()[:15], "big") + 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    if cert_sign is not None:
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "key_cert_sign",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        usage["key_cert_sign" if cert_sign else "digital_signature"] = True
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    for oid, value in (extensions or {}).items():
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical=critical
        )
    signer = key if issuer is None else issuer.key
    return Issued(certificate=builder.sign(signer, hash_algorithm or hashes.SHA384()), key=key)


@functools.cache
def device_root() -> Issued:
    return issue("Test Device Identity CA", p384_key("device root"))


@functools.cache
def identity_ca() -> Issued:
    return issue("Test GH100 Identity", p384_key("identity"), device_root())


@functools.cache
def provisioner_ca(chip: str = "GH100") -> Issued:
    return issue(f"Test {chip} Provisioner ICA 1", p384_key(f"provisioner {chip}"), identity_ca())


@functools.cache
def service_ca() -> Issued:
    return issue("Test Attestation Service Intermediate", rsa_key("service"), hash_algorithm=hashes.SHA256())


@functools.cache
def service_key(label: str = "token") -> Issued:
    return issue(
        f"Test Attestation Service {label} GH100",
        p384_key(f"service {label}"),
        service_ca(),
        ca=None,
        cert_sign=None,
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=1),
        hash_algorithm=hashes.SHA256(),
    )


@functools.cache
def roots() -> TrustRoots:
    spki = (
        service_ca()
        .key.public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return TrustRoots(
        intel_root=None,
        intel_root_sha256=bytes(32),
        nvidia_root_sha256=hashlib.sha256(device_root().der).digest(),
        nras_intermediates=(hashlib.sha256(spki).digest(),),
        aws_root_sha256=bytes(32),
        test=True,
    )


def leaf_names(chip: str) -> tuple[str, str]:
    return (f"{chip} A01 FSP FMC LF", f"{chip} A01 FSP BROM")


@frozen(kw_only=True)
class Device:
    """One GPU: its chain (leaf first) and what it reports; every field can be changed before it signs."""

    number: int = 0
    chain: tuple[Issued, ...]
    nonce: bytes = NONCE
    blocks: tuple[bytes, ...] = tuple(hashlib.sha384(bytes([index])).digest() for index in range(64))
    opaque: tuple[tuple[int, bytes], ...]
    arch: str | None = "HOPPER"
    label_nonce: str | None = None
    head: bytes = b"\x11\xe0\x01\xff"
    slot: int = 0
    response_head: bytes = b"\x11\x60\x00\x00"
    count: int | None = None
    record_length: int | None = None
    record_edit: Callable[[bytes], bytes] = field(default=lambda record: record)
    signature: bytes | None = None
    sign_with: Issued | None = None
    trailing: bytes = b""
    edit: Callable[[bytes], bytes] = field(default=lambda evidence: evidence)

    def with_opaque(self, number: int, value: bytes | None) -> Device:
        """One opaque field replaced, or taken out where ``value`` is None."""
        kept = tuple((key, old) for key, old in self.opaque if key != number)
        return evolve(self, opaque=kept if value is None else (*kept, (number, value)))

    def evidence(self) -> bytes:
        record = b"".join(
            struct.pack("<BBHBH", index + 1, 1, len(value) + 3, 1, len(value)) + value
            for index, value in enumerate(self.blocks)
        )
        record = self.record_edit(record)
        opaque = b"".join(struct.pack("<HH", number, len(value)) + value for number, value in self.opaque)
        count = len(self.blocks) if self.count is None else self.count
        length = len(record) if self.record_length is None else self.record_length
        signed = self.head + self.nonce + bytes([self.slot])
        signed += self.response_head + bytes([count]) + length.to_bytes(3, "little") + record
        signed += hashlib.sha256(b"responder").digest() + struct.pack("<H", len(opaque)) + opaque
        signature = self.signature
        if signature is None:
            signature = raw_signature((self.sign_with or self.chain[0]).key, signed)
        return self.edit(signed + signature + self.trailing)

    def entry(self) -> dict[str, Any]:
        pem = b"".join(certificate.pem for certificate in self.chain) + bytes(5)
        entry: dict[str, Any] = {"certificate": b64(pem), "evidence": b64(self.evidence())}
        if self.arch is not None:
            entry["arch"] = self.arch
        if self.label_nonce is not None:
            entry["nonce"] = self.label_nonce
        return entry

    @property
    def ueid(self) -> str:
        return str(self.chain[0].certificate.serial_number)


def raw_signature(key: PrivateKey, message: bytes) -> bytes:
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA384())))
    size = 48
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@functools.cache
def device(
    number: int = 0,
    chip: str = "GH100",
    *,
    arch: str = "HOPPER",
    fabric: bool = True,
    names: tuple[str, str] | None = None,
    extension: tuple[str, bytes] | None = (DICE, composite_device_id(FIRMWARE)),
    leaf_key: str = "p384",
) -> Device:
    """A truthful device; the same arguments give the same one."""
    leaf_cn, device_cn = names or leaf_names(chip)
    identity = issue(device_cn, p384_key(f"device {number}"), provisioner_ca(), organization=f"NVIDIA {number}")
    key = p384_key(f"leaf {number}") if leaf_key == "p384" else ec.derive_private_key(7, ec.SECP256R1())
    leaf = issue(
        leaf_cn,
        key,
        identity,
        ca=None,
        cert_sign=False,
        organization=f"NVIDIA {number}",
        extensions={} if extension is None else dict((extension,)),
    )
    opaque = [(6, bytes.fromhex("00cf009602000000")), (3, b"570.172.08\0"), (99, b"unknown")]
    opaque += [(20, FIRMWARE), (21, b"\xaa" if fabric else b"\x55")]
    if fabric:
        opaque.append((22, b"".join(SWITCHES[index % 4] for index in range(18))))
    chain = (leaf, identity, provisioner_ca(), identity_ca(), device_root())
    return Device(number=number, chain=chain, opaque=tuple(opaque), arch=arch)


def payload(devices: list[Device], edit: Edit | None = None) -> str:
    """The request document as a string, as dstack providers ship it."""
    document = {
        "arch": "HOPPER",
        "evidence_list": [item.entry() for item in devices],
        "nonce": NONCE.hex(),
    }
    if edit is not None:
        edit(document)
    return json.dumps(document)


def device_claims(item: Device) -> dict[str, Any]:
    return {
        **_times(),
        "iss": "https://nras.attestation.nvidia.com",
        "eat_nonce": NONCE.hex(),
        "ueid": item.ueid,
        "hwmodel": "GH100",
        "oemid": "5703",
        "measres": "success",
        "secboot": True,
        "dbgstat": "disabled",
        "x-nvidia-attestation-warning": None,
        "x-nvidia-gpu-driver-version": "570.172.08",
        "x-nvidia-gpu-vbios-version": "96.00.CF.00.02",
        **dict.fromkeys(DEVICE_FLAGS, True),
    }


def overall_claims() -> dict[str, Any]:
    return {
        **_times(),
        "iss": "https://nras.attestation.nvidia.com",
        "sub": "NVIDIA-PLATFORM-ATTESTATION",
        "x-nvidia-ver": "2.0",
        "eat_nonce": NONCE.hex(),
        "x-nvidia-overall-att-result": True,
    }


def _times() -> dict[str, int]:
    return {"iat": IAT, "nbf": IAT, "exp": IAT + 3600}


def sign(claims: dict[str, Any], signer: Issued | None = None, kid: str = KID, **headers: Any) -> str:
    """One ES384 token whose header has ``kid`` and ``alg`` only, unless more is asked for."""
    key = (signer or service_key()).key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    payload_bytes = json.dumps(claims).encode()
    return jwt.PyJWS().encode(payload_bytes, key, algorithm="ES384", headers={"typ": None, "kid": kid, **headers})


@frozen(kw_only=True)
class Service:
    """The attestation service; the edits change claims before they are signed, or the bundle after."""

    overall: Edit = field(default=lambda claims: None)
    gpu: Edit = field(default=lambda claims: None)
    bundle: Callable[[Any], Any] = field(default=lambda bundle: bundle)
    signer: Issued | None = None
    headers: Mapping[str, Any] = field(factory=dict)

    def answer(self, devices: list[Device]) -> bytes:
        """The body of a 200 answer; ``gpu`` edits the claims of the last device."""
        tokens = {}
        for index, item in enumerate(devices):
            claims = device_claims(item)
            if index == len(devices) - 1:
                self.gpu(claims)
            tokens[f"GPU-{index}"] = sign(claims, self.signer)
        claims = overall_claims()
        claims["submods"] = {
            name: ["DIGEST", ["SHA-256", hashlib.sha256(token.encode()).hexdigest()]] for name, token in tokens.items()
        }
        self.overall(claims)
        return json.dumps(self.bundle([["JWT", sign(claims, self.signer, **self.headers)], tokens])).encode()


def jwk(signer: Issued | None = None, kid: str = KID, chain: tuple[Issued, ...] | None = None) -> dict[str, Any]:
    signer = signer or service_key()
    numbers = signer.key.public_key().public_numbers()
    assert isinstance(numbers, ec.EllipticCurvePublicNumbers)
    size = (numbers.curve.key_size + 7) // 8
    return {
        "kty": "EC",
        "crv": "P-384",
        "kid": kid,
        "x": b64url(numbers.x.to_bytes(size, "big")),
        "y": b64url(numbers.y.to_bytes(size, "big")),
        "x5c": [b64(issued.der) for issued in ((signer, service_ca()) if chain is None else chain)],
    }


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys) or [jwk(), jwk(service_key("other"), "other")]}).encode()


def claims_of(
    devices: list[Device],
    *,
    payload_value: object = ...,
    service: Service | bytes | Problem | None = None,
    keys: bytes | Problem | None = None,
    nonce: bytes = NONCE,
    nonce_binding: str = "nonce-shared",
    at: datetime = NOW,
) -> GpuClaims:
    """Derive; by default from the truthful payload, with a truthful answer of the service."""
    answer = Service() if service is None else service
    return derive_gpu(
        payload(devices) if payload_value is ... else payload_value,
        expected_nonce=nonce,
        nonce_binding=nonce_binding,
        at=at,
        roots=roots(),
        nras_answer=answer.answer(devices) if isinstance(answer, Service) else answer,
        jwks_answer=key_set() if keys is None else keys,
    )


def subject_of(claims: GpuClaims | None, at: datetime = NOW) -> Subject:
    absent = Problem(kind=ProblemKind.ABSENT, code="absent", detail="not part of this test")
    binding = BindingClaims(
        nonce=NONCE, asked_nonce=NONCE, first_half=absent, layout="none", report_data=absent, stated_report_data=None
    )
    return Subject(
        id="model",
        role="model",
        provider="near",
        evaluated_at=at,
        recorded_at=None,
        wall_clock=at,
        binding=binding,
        gpu=claims,
        test_roots=True,
    )


def policy_of(
    *, require: bool = True, min_count: int = 1, arch: tuple[str, ...] = ("HOPPER",), nras: str = "required"
) -> Policy:
    return Policy(
        name="gpu-test",
        provider="near",
        valid_until=date(2027, 1, 1),
        gpu=GpuPolicy(require=require, min_count=min_count, arch=arch, nras=nras),
        pins={"model": ReferenceValues(app_ids=(bytes(range(20)),))},
    )

"""Reading certificates and judging chains."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.claims.problem import ProblemKind
from teeverify.crypto import certificates as c
from teeverify.errors import ConfigurationError, FormatError
from teeverify.formats.der import elements, only_element
from teeverify.limits import MAX_CERTIFICATES
from teeverify.roots import TrustRoots

from . import synthetic as s

CHAIN = s.device().chain
PEM = b"".join(issued.pem for issued in CHAIN)
ROOT_SHA256 = hashlib.sha256(CHAIN[-1].der).digest()


def load(pem: bytes = PEM) -> tuple[c.Certificate, ...]:
    return c.load_pem_chain(pem, what="chain")


def certificate(issued: s.Issued) -> c.Certificate:
    return c.load_der(issued.der, what="certificate")


def test_properties() -> None:
    leaf, device = load()[:2]
    assert leaf.subject_cn == "GH100 A01 FSP FMC LF"
    assert leaf.organization == "NVIDIA 0"
    assert str(leaf.serial_number) == s.device().ueid
    assert leaf.not_after.tzinfo is not None
    assert (leaf.is_ca, leaf.key_cert_sign, leaf.path_length) == (False, False, None)
    assert (device.is_ca, device.key_cert_sign) == (True, True)
    assert leaf.public_key_kind == "EC secp384r1"
    assert leaf.extension_value(s.DICE) == s.composite_device_id(s.FIRMWARE)
    assert leaf.extension_value("2.5.29.15") is not None
    assert leaf.extension_value("1.2.3") is None
    assert leaf.critical == {"2.5.29.15"}
    assert leaf.der == CHAIN[0].der
    spki = (
        CHAIN[0]
        .key.public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert leaf.spki_der == spki
    assert c.sha256_of_spki(leaf) == hashlib.sha256(spki).digest()
    assert c.sha256_of_certificate(leaf) == hashlib.sha256(CHAIN[0].der).digest()
    assert leaf.tbs_der == CHAIN[0].certificate.tbs_certificate_bytes
    assert str(leaf.serial_number) not in repr(leaf)
    assert leaf == certificate(CHAIN[0]) != device


def test_other_key_kinds() -> None:
    assert certificate(s.service_ca()).public_key_kind == "RSA 2048"
    assert certificate(s.issue("x", ec.derive_private_key(9, ec.SECP256R1()))).public_key_kind == "EC secp256r1"


@pytest.mark.parametrize(
    "pem",
    [PEM, b"\r\n" + PEM.replace(b"\n", b"\r\n"), PEM + bytes(5), PEM.replace(b"-----\n-----", b"-----\n\0 \t\n-----")],
)
def test_accepted_spellings(pem: bytes) -> None:
    assert [item.der for item in load(pem)] == [issued.der for issued in CHAIN]


ONE = CHAIN[0].pem
BODY = ONE.split(b"-----")[2]
NOT_CANONICAL = (
    b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(CHAIN[1].der + b"\0") + b"\n-----END CERTIFICATE-----"
)


@pytest.mark.parametrize(
    ("code", "pem"),
    [
        ("certificate_count", b""),
        ("certificate_count", b" \n\0"),
        ("certificate_count", ONE * (MAX_CERTIFICATES + 1)),
        ("certificate_too_large", ONE + b"\n" * (1 << 18)),
        ("certificate_syntax", b"x" + ONE),
        ("certificate_syntax", ONE + b"x"),
        ("certificate_syntax", ONE + b"x" + ONE),
        ("certificate_syntax", ONE[:-10]),
        ("certificate_syntax", ONE.replace(b"CERTIFICATE", b"CERTIFICATE REQUEST")),
        ("certificate_syntax", ONE.replace(BODY, b"\n")),
        ("certificate_syntax", ONE.replace(BODY, b"AAAA")),
        ("certificate_syntax", ONE.replace(BODY, BODY[:9] + b" " + BODY[9:])),
        ("certificate_syntax", ONE.replace(BODY, BODY[:9] + b"!" + BODY[9:])),
        ("certificate_syntax", ONE.replace(BODY, BODY.rstrip() + b"=\n")),
        ("certificate_syntax", ONE.replace(BODY, BODY[:-4])),
        ("certificate_syntax", NOT_CANONICAL),
        ("certificate_syntax", b"-----BEGIN CERTIFICATE-----" * 1000),
    ],
)
def test_refused_pem(code: str, pem: bytes) -> None:
    with pytest.raises(FormatError) as refused:
        load(pem)
    assert refused.value.code == code


def test_two_signature_algorithms() -> None:
    """ecdsa-with-SHA384 outside, ecdsa-with-SHA256 inside: the outer one is under no signature."""
    der = CHAIN[0].der
    oid = bytes.fromhex("06082a8648ce3d040303")
    position = der.rindex(oid)
    with pytest.raises(FormatError, match="two different"):
        c.load_der(der[:position] + oid[:-1] + b"\x02" + der[position + len(oid) :], what="certificate")


def test_memo_reads_once() -> None:
    memo: c.CertificateMemo = {}
    first = c.load_pem_chain(PEM, what="chain", memo=memo)
    second = c.load_pem_chain(PEM, what="chain", memo=memo)
    assert all(left is right for left, right in zip(first, second, strict=True))
    assert c.load_der(CHAIN[2].der, what="certificate", memo=memo) is first[2]


def test_links_are_verified_once() -> None:
    links: c.VerifiedLinks = {}
    for device in (s.device(), s.device(1), s.device()):
        chain = tuple(certificate(issued) for issued in device.chain)
        assert c.verify_chain(chain, at=s.NOW, root_sha256=ROOT_SHA256, verified_links=links) is None
    assert len(links) == 6
    assert set(links.values()) == {True}


def test_remembered_failure_stays_a_failure() -> None:
    leaf = s.issue("leaf", s.p384_key("x"), s.Issued(certificate=CHAIN[1].certificate, key=s.p384_key("thief")))
    chain = tuple(certificate(issued) for issued in (leaf, *CHAIN[1:]))
    links: c.VerifiedLinks = {}
    for _ in range(2):
        problem = c.verify_chain(chain, at=s.NOW, root_sha256=ROOT_SHA256, verified_links=links)
        assert problem is not None
        assert (problem.kind, problem.code) == (ProblemKind.INVALID, "chain_signature")


def test_chain_length() -> None:
    for chain in ((), load()[-1:], load() * 2):
        problem = c.verify_chain(chain, at=s.NOW, root_sha256=ROOT_SHA256)
        assert problem is not None
        assert problem.code == "chain_length"


def test_validity_ends_are_inclusive() -> None:
    leaf = s.issue("leaf", s.p384_key("x"), CHAIN[-1], not_before=s.NOW, not_after=s.NOW)
    chain = (certificate(leaf), certificate(CHAIN[-1]))
    assert c.verify_chain(chain, at=s.NOW, root_sha256=ROOT_SHA256) is None
    for shift in (-1, 1):
        problem = c.verify_chain(chain, at=s.NOW + timedelta(seconds=shift), root_sha256=ROOT_SHA256)
        assert problem is not None
        assert problem.code == "chain_time"


def test_is_issued_by() -> None:
    leaf, device, provisioner = load()[:3]
    assert c.is_issued_by(leaf, device)
    assert not c.is_issued_by(leaf, provisioner)
    assert not c.is_issued_by(device, device)
    rsa_leaf = certificate(s.service_key())
    assert c.is_issued_by(rsa_leaf, certificate(s.service_ca()))
    rogue = s.issue("Test Attestation Service Intermediate", s.rsa_key("rogue"), hash_algorithm=hashes.SHA256())
    assert not c.is_issued_by(rsa_leaf, certificate(rogue))
    ec_twin = s.issue("Test Attestation Service Intermediate", s.p384_key("twin"))
    assert not c.is_issued_by(rsa_leaf, certificate(ec_twin))


def test_weak_issuer_keys_issue_nothing() -> None:
    small = s.issue("small", s.rsa_key("small", 1024), hash_algorithm=hashes.SHA256())
    assert not c.is_issued_by(
        certificate(s.issue("x", s.p384_key("x"), small, hash_algorithm=hashes.SHA256())), certificate(small)
    )


def test_verify_p384() -> None:
    key = s.p384_key("message")
    issued = s.issue("message", key)
    signature = s.raw_signature(key, b"message")
    for form in (certificate(issued), certificate(issued).spki_der):
        assert c.verify_p384(form, signature, b"message")
        assert not c.verify_p384(form, signature, b"massage")
        assert not c.verify_p384(form, signature[:-1], b"message")
        assert not c.verify_p384(form, signature + b"\0", b"message")
        assert not c.verify_p384(form, b"", b"message")
        assert not c.verify_p384(form, bytes(48) + signature[48:], b"message")
        assert not c.verify_p384(form, signature[:48] + bytes(48), b"message")
    assert not c.verify_p384(certificate(s.service_ca()), signature, b"message")
    assert not c.verify_p384(b"no key", signature, b"message")
    p256 = certificate(s.issue("x", ec.derive_private_key(9, ec.SECP256R1())))
    assert not c.verify_p384(p256, signature, b"message")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    for pem in (data, b"-----BEGIN CERTIFICATE-----" + base64.b64encode(data) + b"-----END CERTIFICATE-----"):
        with pytest.raises(FormatError):
            load(pem)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(CHAIN[0].der)), st.binary(min_size=1, max_size=3))
def test_mutated_certificate(position: int, data: bytes) -> None:
    der = CHAIN[0].der
    changed = der[:position] + data + der[position + len(data) :]
    try:
        leaf = c.load_der(changed, what="certificate")
    except FormatError:
        return
    issuer = certificate(CHAIN[1])
    assert leaf.subject_cn is None or isinstance(leaf.subject_cn, str)
    assert isinstance(leaf.public_key_kind, str)
    leaf.extension_value(s.DICE)
    if c.is_issued_by(leaf, issuer):
        assert leaf.tbs_der == certificate(CHAIN[0]).tbs_der


@pytest.mark.parametrize(
    "data",
    [b"\x30", b"\x30\x01", b"\x1f\x00", b"\x30\x80", b"\x30\x81\x05", b"\x30\x82\x00\x01\x00", b"\x30\x85" + bytes(5)],
)
def test_der_that_is_not(data: bytes) -> None:
    with pytest.raises(FormatError):
        elements(data, what="data")


def test_der() -> None:
    assert [e.content for e in elements(s.tlv(4, b"a") + s.tlv(4, bytes(300)), what="data")] == [b"a", bytes(300)]
    assert only_element(s.tlv(0x30, b"x"), 0x30, what="data") == b"x"
    for data in (s.tlv(4, b"x"), s.tlv(0x30, b"") * 2, b""):
        with pytest.raises(FormatError):
            only_element(data, 0x30, what="data")


def test_roots_from_directory(tmp_path: Path) -> None:
    files = {
        "intel-root.pem": CHAIN[-1],
        "nvidia-root.pem": CHAIN[-1],
        "nras-intermediate.pem": s.service_ca(),
        "aws-root.pem": CHAIN[-1],
    }
    for name, issued in files.items():
        with pytest.raises(ConfigurationError, match="cannot be read"):
            TrustRoots.from_directory(tmp_path)
        (tmp_path / name).write_bytes(issued.pem)
    roots = TrustRoots.from_directory(tmp_path)
    assert roots.test
    assert roots.intel_root == CHAIN[-1].der
    assert (roots.nvidia_root_sha256, roots.nras_intermediates) == (ROOT_SHA256, s.roots().nras_intermediates)
    assert roots.aws_root_sha256 == ROOT_SHA256
    for content in (b"", b"no", PEM):
        (tmp_path / "nvidia-root.pem").write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"nvidia-root\.pem"):
            TrustRoots.from_directory(tmp_path)


def test_importing_needs_no_crypto_library() -> None:
    script = (
        "import sys, teeverify.derivation.gpu, teeverify.checks.gpu\n"
        "assert not {'cryptography', 'jwt'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)

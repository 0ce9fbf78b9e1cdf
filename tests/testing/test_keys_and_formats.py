"""Keys, certificates, quotes and tokens of the simulated world, each for itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import dcap_qvl
import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from teeverify.testing import NearSession, root_files, trust_roots, write_roots
from teeverify.testing.der import integer, object_identifier, tlv
from teeverify.testing.event_log import replay, runtime_event
from teeverify.testing.intel import IntelPki, Platform
from teeverify.testing.keys import KeyRing, raw_public, raw_signature
from teeverify.testing.pcs import PcsService
from teeverify.testing.signing import ethereum_address
from teeverify.testing.tdx import QuoteFormat, TdFields, build_quote, high_s_twin


def test_keys_depend_on_seed_and_label() -> None:
    one, same, other = KeyRing("a"), KeyRing("a"), KeyRing("b")
    for kind in ("p256", "p384", "secp256k1"):
        public = raw_public(getattr(one, kind)("x"))
        assert public == raw_public(getattr(same, kind)("x"))
        assert public != raw_public(getattr(one, kind)("y"))
        assert public != raw_public(getattr(other, kind)("x"))
    assert one.serial("x", 20).bit_length() == 159
    assert one.uuid("x") == same.uuid("x")


def test_signatures_are_deterministic_and_good() -> None:
    key = KeyRing("a").p384("x")
    signature = raw_signature(key, b"message", hashes.SHA384())
    assert signature == raw_signature(key, b"message", hashes.SHA384())
    r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    key.public_key().verify(encode_dss_signature(r, s), b"message", ec.ECDSA(hashes.SHA384()))


def test_der() -> None:
    assert tlv(0x04, bytes(200))[:3] == b"\x04\x81\xc8"
    assert integer(128) == b"\x02\x02\x00\x80"
    assert integer(0) == b"\x02\x01\x00"
    assert object_identifier("1.2.840.113741").hex() == "06062a864886f84d"


def test_ethereum_address_of_a_known_key() -> None:
    # The key 1 of secp256k1, whose address is printed in many textbooks.
    public = raw_public(ec.derive_private_key(1, ec.SECP256K1()))
    assert ethereum_address(public).hex() == "7e5f4552091a69125d5dfcb7b8c2659029395bdf"


def test_event_digest_versions() -> None:
    first = runtime_event("app-id", b"\x01\x02")
    assert first.digest == hashlib.sha384(b"\x01\x00\x00\x08:app-id:\x01\x02").digest()
    second = runtime_event("app-id", b"\x01\x02", version=2)
    row = second.row(sorted_keys=True)
    assert bytes.fromhex(row["preimage"]) == b'{"name":"app-id","payload":"0102","type":134217729}'
    assert row["digest"] == hashlib.sha384(bytes.fromhex(row["preimage"])).hexdigest()
    assert replay((first,), 3) == hashlib.sha384(bytes(48) + first.digest).digest()
    assert replay((first,), 0) == bytes(48)


def test_a_boot_with_version_2_events_replays() -> None:
    session = NearSession.direct(gpus=1, copies=False)
    session.model.reboot(event_version=2)
    boot = session.model.boot
    assert session.model.td(bytes(64)).rtmr3 == replay(boot.events(), 3)
    assert all("preimage" in row for row in boot.log_rows(sorted_keys=True) if row["imr"] == 3)


@pytest.mark.parametrize(("version", "body_type", "size"), [(4, 2, 584), (5, 2, 590), (5, 3, 654), (5, 4, 891)])
def test_dcap_qvl_reads_every_body(version: int, body_type: int, size: int) -> None:
    keys, platform = KeyRing(), Platform()
    pki = IntelPki(keys)
    at = NearSession.direct(gpus=1).at
    pcs = PcsService(pki=pki, issued=at)
    td = TdFields(report_data=bytes(range(64)), mr_td=b"\xc0" * 48)
    quote = build_quote(
        td,
        pck=pki.pck(platform),
        attestation_key=pki.attestation_key(platform),
        chain=(pki.pck_ca, pki.root),
        layout=QuoteFormat(version=version, body_type=body_type),
    )
    assert int.from_bytes(quote[48 + size : 48 + size + 4], "little") == len(quote) - 70 - 48 - size - 4
    texts = {
        "tcb_info": json.dumps(pcs.tcb_info("90c06f000000"), separators=(",", ":")),
        "qe_identity": json.dumps(pcs.qe_identity(), separators=(",", ":")),
    }
    collateral = dcap_qvl.QuoteCollateralV3(
        pck_crl_issuer_chain=pki.pck_ca.pem + pki.root.pem,
        root_ca_crl=pcs.root_list(),
        pck_crl=pcs.pck_list(),
        tcb_info_issuer_chain=pki.tcb_signer.pem + pki.root.pem,
        qe_identity_issuer_chain=pki.tcb_signer.pem + pki.root.pem,
        **texts,
        **{f"{name}_signature": raw_signature(pki.tcb_signer.key, text.encode()) for name, text in texts.items()},
    )
    now = int(at.timestamp())
    assert dcap_qvl.verify_with_root_ca(quote, collateral, pki.root.der, now).status == "UpToDate"
    report = dcap_qvl.parse_quote(quote).report
    assert (report.report_data, report.mr_td) == (td.report_data, td.mr_td)
    if version == 4:
        twin = high_s_twin(quote)
        assert twin != quote
        assert high_s_twin(twin) == quote
        assert dcap_qvl.verify_with_root_ca(twin, collateral, pki.root.der, now).status == "UpToDate"


def test_fields_of_wrong_length_are_refused() -> None:
    with pytest.raises(ValueError, match="583 bytes"):
        TdFields(mr_td=bytes(47)).body(2)


def test_pck_leaf_reads_back() -> None:
    keys = KeyRing()
    platform = evolve(Platform(), ppid=b"\x77" * 16, fmspc=bytes.fromhex("b0c06f000000"))
    pki = IntelPki(keys)
    quote = build_quote(
        TdFields(),
        pck=pki.pck(platform),
        attestation_key=pki.attestation_key(platform),
        chain=(pki.pck_ca, pki.root),
    )
    parsed = dcap_qvl.parse_quote(quote)
    extension = parsed.pck_extension()
    assert parsed.fmspc() == "B0C06F000000"
    assert parsed.ca() == "platform"
    assert (bytes(extension.ppid), extension.pce_svn) == (platform.ppid, 13)
    assert bytes(extension.cpu_svn) == platform.component_svns


def test_roots_as_files_and_as_value_agree(tmp_path: Path) -> None:
    write_roots(tmp_path / "roots")
    for name, text in root_files().items():
        assert (tmp_path / "roots" / name).read_text() == text
        x509.load_pem_x509_certificate(text.encode())
    assert type(trust_roots()).from_directory(tmp_path / "roots") == trust_roots()

"""Good simulated sessions hold under independent rules: dcap-qvl, cryptography, PyJWT and plain hashing."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import dcap_qvl
import jwt
import pytest
from Crypto.Hash import keccak
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from evidence_reading import (
    body,
    certificates,
    check_chain,
    check_gpu,
    provider_report,
    quotes,
    replayed,
    response,
    verify_quote,
)

from teeverify.testing import CLOUD_HOST, DIRECT_HOST, NearSession, PolicyText, near_policy, trust_roots
from teeverify.testing.certificates import TEST_MARK
from teeverify.testing.keys import KeyRing
from teeverify.testing.nras import nras_intermediate
from teeverify.testing.nvidia import NvidiaPki

VARIANTS: dict[str, dict[str, Any]] = {
    "direct": {"cloud": False},
    "cloud": {"cloud": True},
    "direct-ecdsa": {"cloud": False, "algorithm": "ecdsa"},
    "cloud-ecdsa-padded": {"cloud": True, "algorithm": "ecdsa", "tls_bound": False},
    "direct-padded": {"cloud": False, "tls_bound": False},
    "direct-eight": {"cloud": False, "gpus": 8},
    "other-seed": {"cloud": True, "seed": "another world", "gpus": 1},
}


@pytest.fixture(params=list(VARIANTS))
def session(request: pytest.FixtureRequest) -> NearSession:
    return NearSession.build(**VARIANTS[request.param])


def model_of(report: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = report.get("model_attestations", [report])[0]
    return record


def test_same_arguments_same_bytes(session: NearSession) -> None:
    first = json.dumps(session.saved())
    options: dict[str, Any] = {
        "algorithm": session.algorithm,
        "tls_bound": session.tls_bound,
        "gpus": len(session.gpus),
    }
    again = NearSession.build(cloud=session.gateway is not None, seed=session.keys.seed, **options)
    assert first == json.dumps(again.saved())
    assert first == json.dumps(session.saved())


def test_seeds_share_no_root() -> None:
    one, other = trust_roots(), trust_roots("another world")
    assert one.test
    assert other.test
    assert one.intel_root_sha256 != other.intel_root_sha256
    assert one.nvidia_root_sha256 != other.nvidia_root_sha256
    assert one.nras_intermediates != other.nras_intermediates


def test_saved_report_has_the_shape_of_a_capture(session: NearSession) -> None:
    document = session.saved()
    assert list(document) == ["media_type", "provider", "model", "nonce", "recorded_at", "exchanges"]
    assert document["media_type"] == "application/vnd.teeverify.saved-report.v1+json"
    assert document["recorded_at"] == "2026-06-15T12:00:00Z"
    assert bytes.fromhex(document["nonce"]) == session.nonce
    for entry in document["exchanges"]:
        assert list(entry) == ["request", "response"]
        assert list(entry["request"]) == ["method", "url", "body"]
        assert list(entry["response"]) == ["status", "headers", "body", "peer_spki"]
        assert all(isinstance(values, list) for values in entry["response"]["headers"].values())
        serialization.load_der_public_key(base64.b64decode(entry["response"]["peer_spki"]))
    urls = [entry["request"]["url"].split("?")[0] for entry in document["exchanges"]]
    host = DIRECT_HOST if session.gateway is None else CLOUD_HOST
    asked = [
        f"https://{host}/v1/attestation/report",
        "https://api.trustedservices.intel.com/tdx/certification/v4/tcb",
        "https://api.trustedservices.intel.com/tdx/certification/v4/qe/identity",
        "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl",
        "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der",
        "https://nras.attestation.nvidia.com/v3/attest/gpu",
        "https://nras.attestation.nvidia.com/.well-known/jwks.json",
    ]
    assert urls == asked + (asked[1:5] if session.gateway is not None else [])


def test_dcap_qvl_accepts_the_quotes_under_the_test_root_only(session: NearSession) -> None:
    document = session.saved()
    for quote in quotes(provider_report(document)).values():
        verified = verify_quote(document, quote, session.intel.root.der)
        assert (verified.status, verified.advisory_ids) == ("UpToDate", [])
        with pytest.raises(ValueError, match="Verification failed"):
            verify_quote(document, quote, None)
        length = 636 + int.from_bytes(quote[632:636], "little")
        assert set(quote[length:]) == {0}


def test_report_data(session: NearSession) -> None:
    report = provider_report(session.saved())
    records = {"model": model_of(report)}
    if session.gateway is not None:
        records["gateway"] = report["gateway_attestation"]
    for role, record in records.items():
        address = bytes.fromhex(record["signing_address"].removeprefix("0x"))
        if session.tls_bound:
            first = hashlib.sha256(address + bytes.fromhex(record["tls_cert_fingerprint"])).digest()
        else:
            assert "tls_cert_fingerprint" not in record
            first = address.ljust(32, b"\0")
        assert quotes(report)[role][568:632] == first + session.nonce
    manager = records["model"]["compose_manager_attestation"]
    actions = json.dumps(manager["actions"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(actions.encode()).digest()
    assert manager["actions_hash"] == digest.hex()
    assert quotes(report)["compose_manager"][568:632] == digest + session.nonce


def test_the_live_key_is_the_attested_one(session: NearSession) -> None:
    document = session.saved()
    report = provider_report(document)
    live = base64.b64decode(response(document, "attestation/report")["peer_spki"])
    if session.tls_bound:
        front = report.get("gateway_attestation", report)
        assert hashlib.sha256(live).hexdigest() == front["tls_cert_fingerprint"]
    if session.tls_bound and session.gateway is not None:
        shown = x509.load_pem_x509_certificates(report["tls_certificate"].encode())[0]
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        assert shown.public_key().public_bytes(serialization.Encoding.DER, info) == live


def test_keys_belong_together(session: NearSession) -> None:
    record = model_of(provider_report(session.saved()))
    public = bytes.fromhex(record["signing_public_key"])
    if session.algorithm == "ed25519":
        assert record["signing_address"] == public.hex()
    else:
        digest = keccak.new(digest_bits=256, data=public).digest()
        assert record["signing_address"] == "0x" + digest[-20:].hex()


def test_event_logs_lead_to_the_registers(session: NearSession) -> None:
    report = provider_report(session.saved())
    model, signed = model_of(report), quotes(report)
    manager = model["compose_manager_attestation"]
    logs = {
        "model": [model["event_log"], model["info"]["tcb_info"]["event_log"]],
        "compose_manager": [json.loads(manager["event_log"])],
    }
    if session.gateway is not None:
        gateway = report["gateway_attestation"]
        logs["gateway"] = [json.loads(gateway["event_log"]), gateway["info"]["tcb_info"]["event_log"]]
    for role, copies in logs.items():
        quote = signed[role]
        for rows in copies:
            assert replayed(rows) == [quote[start : start + 48] for start in (376, 424, 472, 520)]
            assert [sum(row["imr"] == imr for row in rows) for imr in range(3)] == [13, 5, 2]
            assert len(rows) == (29 if role == "gateway" else 30)


def test_info_agrees_with_the_quote(session: NearSession) -> None:
    report = provider_report(session.saved())
    records = {"model": model_of(report)}
    if session.gateway is not None:
        records["gateway"] = report["gateway_attestation"]
    for role, record in records.items():
        quote, info = quotes(report)[role], record["info"]
        compose = hashlib.sha256(info["tcb_info"]["app_compose"].encode()).digest()
        assert quote[232:280] == b"\x01" + compose + bytes(15)
        assert info["compose_hash"] == info["tcb_info"]["compose_hash"] == compose.hex()
        json.loads(info["tcb_info"]["app_compose"])
        registers = b"".join(quote[start : start + 48] for start in (184, 376, 424, 472, 520, 232, 280, 328))
        assert info["mr_aggregated"] == hashlib.sha256(registers).hexdigest()
        assert info["device_id"] == hashlib.sha256(quote[28:48]).hexdigest()
        provider = json.loads(info["key_provider_info"])
        chain = x509.load_pem_x509_certificates(info["app_cert"].encode())
        check_chain(chain, chain[-1].public_bytes(serialization.Encoding.DER))
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        root = chain[-1].public_key().public_bytes(serialization.Encoding.DER, spki)
        assert provider == {"name": "kms", "id": root.hex()}
        for certificate in chain[:2]:
            extension = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.4.1.62397.1.3"))
            assert isinstance(extension.value, x509.UnrecognizedExtension)
            assert extension.value.value == b"\x04\x14" + bytes.fromhex(info["app_id"])


def test_copies_agree() -> None:
    report = provider_report(NearSession.direct(gpus=1, copies=True).saved())
    (copy,) = report.pop("all_attestations")
    for member in ("compose_manager_attestation", "ohttp_key_config", "ohttp_attestation"):
        del report[member]
    assert copy == report


def test_ohttp_signatures(session: NearSession) -> None:
    report = provider_report(session.saved())
    for record in (report, model_of(report)):
        attestation = record["ohttp_attestation"]
        key_config = bytes.fromhex(attestation["key_config"])
        assert len(key_config) == 45
        assert record["ohttp_key_config"] == key_config.hex()
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(attestation["signing_key"]))
        key.verify(bytes.fromhex(attestation["signature"]), key_config)
        if session.algorithm == "ed25519" and "signing_address" in record:
            assert attestation["signing_key"] == record["signing_address"]


def test_gpu_evidence(session: NearSession) -> None:
    document = session.saved()
    payload = json.loads(model_of(provider_report(document))["nvidia_payload"])
    assert payload["nonce"] == session.nonce.hex()
    fields = [check_gpu(entry, session.nonce, session.nvidia.root.der) for entry in payload["evidence_list"]]
    assert len(fields) == len(session.gpus)
    chains = [certificates(entry) for entry in payload["evidence_list"]]
    assert len({chain[1].serial_number for chain in chains}) == len(chains)
    names = [attribute.value for attribute in chains[0][0].subject if attribute.oid == x509.NameOID.COMMON_NAME]
    assert names == ["GH100 A01 GSP FMC LF"]
    if len(fields) == 1:
        assert 22 not in fields[0]
    else:
        assert len({field[22] for field in fields}) == 1
        assert len({fields[0][22][start : start + 8] for start in range(0, 144, 8)}) == 4


def test_a_switch_has_its_own_chain() -> None:
    keys = KeyRing()
    nvidia = NvidiaPki(keys)
    switch = nvidia.device(0, arch="LS10", fabric=False)
    nonce = bytes(range(32))
    check_gpu(switch.entry(nonce), nonce, nvidia.root.der)
    names = [certificate.certificate.subject.rfc4514_string() for certificate in switch.chain]
    assert names[0].startswith("CN=LS_10 A01 FSP FMC LF,")
    assert "NVIDIA GH100 Identity" in names[3]


def test_pyjwt_accepts_nvidias_answer(session: NearSession) -> None:
    document = session.saved()
    keys = {key["kid"]: key for key in json.loads(body(document, "jwks.json"))["keys"]}
    overall, tokens = json.loads(body(document, "/v3/attest/gpu"))

    def claims(token: str) -> dict[str, Any]:
        key = keys[jwt.get_unverified_header(token)["kid"]]
        # The clock is the report's; PyJWT can only take the machine's, so times are compared here.
        options: Any = {"require": ["exp", "iat", "nbf", "iss"], "verify_exp": False, "verify_nbf": False}
        options |= {"verify_iat": False, "verify_aud": False}
        decoded: dict[str, Any] = jwt.decode(
            token,
            jwt.PyJWK(key, algorithm="ES384").key,
            algorithms=["ES384"],
            issuer="https://nras.attestation.nvidia.com",
            options=options,
        )
        assert decoded["iat"] == decoded["nbf"] <= session.at.timestamp() < decoded["exp"] == decoded["iat"] + 3600
        leaf, intermediate = (x509.load_der_x509_certificate(base64.b64decode(der)) for der in key["x5c"])
        leaf.verify_directly_issued_by(intermediate)
        assert intermediate == nras_intermediate(session.keys).certificate
        public = jwt.PyJWK(key, algorithm="ES384").key.public_numbers()
        assert leaf.public_key().public_numbers() == public  # type: ignore[union-attr]
        assert leaf.not_valid_before_utc.timestamp() < decoded["iat"] < leaf.not_valid_after_utc.timestamp()
        return decoded

    top = claims(overall[1])
    assert overall[0] == "JWT"
    assert top["x-nvidia-overall-att-result"] is True
    assert top["eat_nonce"] == session.nonce.hex()
    assert set(top["submods"]) == set(tokens) == {f"GPU-{index}" for index in range(len(session.gpus))}
    payload = json.loads(model_of(provider_report(document))["nvidia_payload"])
    for index, entry in enumerate(payload["evidence_list"]):
        token = tokens[f"GPU-{index}"]
        digest = hashlib.sha256(token.encode()).hexdigest()
        assert top["submods"][f"GPU-{index}"] == ["DIGEST", ["SHA-256", digest]]
        gpu = claims(token)
        assert gpu["measres"] == "success"
        assert gpu["ueid"] == str(certificates(entry)[0].serial_number)
        assert gpu["eat_nonce"] == session.nonce.hex()


def test_roots_say_that_they_are_tests() -> None:
    keys = KeyRing()
    for certificate in (NvidiaPki(keys).root, nras_intermediate(keys)):
        assert TEST_MARK in certificate.certificate.subject.rfc4514_string()
    assert TEST_MARK in NearSession.direct(gpus=1).intel.root.certificate.subject.rfc4514_string()


def test_the_policy_pins_what_the_session_shows(session: NearSession) -> None:
    text = near_policy(session, PolicyText(name="t", min_count=len(session.gpus)))
    report = provider_report(session.saved())
    for role, quote in quotes(report).items():
        section = text.split(f"[pins.{role}]")[1].split("[pins.")[0]
        parsed = dcap_qvl.parse_quote(quote).report
        for value in (parsed.mr_td, parsed.rt_mr0, parsed.rt_mr1, parsed.rt_mr2, parsed.mr_seam):
            assert value.hex() in section
    info = model_of(report)["info"]
    for member in ("app_id", "compose_hash", "os_image_hash"):
        assert info[member] in text
    assert json.loads(info["key_provider_info"])["id"] in text

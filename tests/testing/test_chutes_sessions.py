"""Good simulated Chutes sessions hold under independent rules: dcap-qvl, cryptography, PyJWT and plain hashing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import datetime, timezone
from functools import cache
from typing import Any

import dcap_qvl
import pytest
from chutes_reading import (
    binding_of,
    brom_serial,
    evidence_of,
    keys_of,
    quote_of,
    spki_digest,
    submissions,
    token_claims,
)
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from evidence_reading import body, certificates, check_gpu, response, verify_quote

from captures import captures_folder
from teeverify.flow import Request
from teeverify.policy import Policy
from teeverify.saved import SavedReport
from teeverify.testing import ChutesSession, chutes_policy
from teeverify.transport import ReplayTransport

VARIANTS: dict[str, dict[str, Any]] = {
    "two": {},
    "one": {"instances": 1, "gpus": 1},
    "five": {"instances": 5, "gpus": 1, "models_recorded": False},
    "eight-gpus": {"gpus": 8},
    "other-seed": {"seed": "another world", "nonce": bytes(range(32)), "model": "other/model-TEE"},
    "past-midnight": {"at": datetime(2026, 6, 16, 0, 0, 6, tzinfo=timezone.utc)},
}


@cache
def built(variant: str) -> tuple[ChutesSession, str]:
    session = ChutesSession.build(**VARIANTS[variant])
    return session, json.dumps(session.saved())


@pytest.fixture(params=list(VARIANTS))
def pair(request: pytest.FixtureRequest) -> tuple[ChutesSession, dict[str, Any]]:
    session, text = built(request.param)
    return session, json.loads(text)


@pytest.fixture
def session(pair: tuple[ChutesSession, dict[str, Any]]) -> ChutesSession:
    return pair[0]


@pytest.fixture
def document(pair: tuple[ChutesSession, dict[str, Any]]) -> dict[str, Any]:
    return pair[1]


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_same_arguments_same_bytes(variant: str) -> None:
    session, text = built(variant)
    assert json.dumps(session.saved()) == text
    assert json.dumps(ChutesSession.build(**VARIANTS[variant]).saved()) == text


def test_another_seed_shares_nothing() -> None:
    one, other = (built(variant)[0] for variant in ("two", "other-seed"))
    for ours, theirs in zip(one.instances, other.instances, strict=True):
        assert ours.instance_id != theirs.instance_id
        assert ours.key != theirs.key
        assert ours.certificate.spki != theirs.certificate.spki
    assert one.chute_id != other.chute_id
    assert one.intel.root.der != other.intel.root.der


def test_saved_report_has_the_requests_of_a_session(session: ChutesSession, document: dict[str, Any]) -> None:
    chute, asked = session.chute_id, session.nonce.hex()
    found = [entry["request"]["url"] for entry in document["exchanges"]]
    pcs, sgx = "https://api.trustedservices.intel.com/", "https://certificates.trustedservices.intel.com/"
    families = ["90c06f000000", "b0c06f000000"][: len(session.instances)]
    tcb = [f"{pcs}tdx/certification/v4/tcb?fmspc={fmspc}" for fmspc in families]
    expected = [
        f"https://api.chutes.ai/e2e/instances/{chute}",
        f"https://api.chutes.ai/chutes/{chute}/evidence?nonce={asked}",
        *tcb,
        f"{pcs}tdx/certification/v4/qe/identity",
        f"{pcs}sgx/certification/v4/pckcrl?ca=platform&encoding=der",
        f"{sgx}IntelSGXRootCA.der",
        *["https://nras.attestation.nvidia.com/v3/attest/gpu"] * len(session.instances),
        "https://nras.attestation.nvidia.com/.well-known/jwks.json",
    ]
    if session.models_recorded:
        expected.insert(0, "https://llm.chutes.ai/v1/models")
    assert sorted(found) == sorted(expected)
    assert found[: len(found) - len(expected) + 3] == expected[:3]
    for entry in document["exchanges"]:
        assert list(entry["response"]) == ["status", "headers", "body", "peer_spki"]
        serialization.load_der_public_key(base64.b64decode(entry["response"]["peer_spki"]))
    read = SavedReport.from_bytes(json.dumps(document).encode())
    assert (read.provider, read.model, read.nonce) == ("chutes", session.model_name, session.nonce)


def test_documents_have_the_members_of_a_capture() -> None:
    real = json.loads((captures_folder() / "chutes-2026-06-29.json").read_text())
    made = json.loads(built("two")[1])
    for part, rows in (("/e2e/instances/", "instances"), ("/evidence?nonce=", "evidence")):
        theirs, ours = (json.loads(body(source, part)) for source in (real, made))
        assert list(theirs) == list(ours)
        assert list(theirs[rows][0]) == list(ours[rows][0])
        assert set(response(made, part)["headers"]) <= set(response(real, part)["headers"])
    entries = [next(iter(evidence_of(source).values())) for source in (real, made)]
    theirs, ours = entries
    assert list(theirs["gpu_evidence"][0]) == list(ours["gpu_evidence"][0])
    tails = [(len(quote_of(entry)) - 636 - int.from_bytes(quote_of(entry)[632:636], "little")) for entry in entries]
    assert tails[0] == tails[1] == 307


def test_the_model_is_found_by_its_exact_name_only() -> None:
    session, text = built("two")
    rows = json.loads(body(json.loads(text), "/v1/models"))["data"]
    fitting = [row for row in rows if row["id"] == session.model_name]
    assert [row["chute_id"] for row in fitting] == [session.chute_id]
    assert fitting[0]["confidential_compute"] is True
    beginning = [row["chute_id"] for row in rows if row["id"].startswith(session.model_name)]
    assert len(set(beginning)) == 2


def test_keys_and_tokens(session: ChutesSession, document: dict[str, Any]) -> None:
    answer = json.loads(body(document, "/e2e/instances/"))
    assert [row["instance_id"] for row in answer["instances"]] == [one.instance_id for one in session.instances]
    tokens = [token for row in answer["instances"] for token in row["nonces"]]
    assert len(set(tokens)) == len(tokens) == 10 * len(session.instances)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", token) for token in tokens)
    assert answer["nonce_expires_in"] == 60
    assert session.at.timestamp() < answer["nonce_expires_at"] <= session.at.timestamp() + 60
    keys = [base64.b64decode(row["e2e_pubkey"], validate=True) for row in answer["instances"]]
    assert len(set(keys)) == len(keys)
    for row, key in zip(answer["instances"], keys, strict=True):
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", row["instance_id"])
        assert base64.b64encode(key).decode() == row["e2e_pubkey"]
        assert len(key) == 1184
        number = int.from_bytes(key[:1152], "little")
        coefficients = [number >> 12 * index & 0xFFF for index in range(768)]
        assert max(coefficients) < 3329
        assert len(set(coefficients)) > 500


def test_the_library_takes_the_keys() -> None:
    mlkem = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mlkem")
    for text in keys_of(json.loads(built("two")[1])).values():
        secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(base64.b64decode(text)).encapsulate()
        assert (len(secret), len(ciphertext)) == (32, 1088)


def test_report_data_binds_nonce_key_and_certificate(session: ChutesSession, document: dict[str, Any]) -> None:
    keys, evidence = keys_of(document), evidence_of(document)
    assert list(evidence) == list(reversed(keys))
    for name, entry in evidence.items():
        quote = quote_of(entry)
        assert quote[568:600] == binding_of(session.nonce.hex(), keys[name])
        assert quote[600:632] == spki_digest(entry)
        certificate = x509.load_der_x509_certificate(base64.b64decode(entry["certificate"]))
        assert certificate.subject.rfc4514_string() == certificate.issuer.rfc4514_string() == "CN=attestation-service"
        certificate.verify_directly_issued_by(certificate)
    assert len({quote_of(entry)[600:632] for entry in evidence.values()}) == len(evidence)


def test_dcap_qvl_accepts_the_quotes_under_the_test_root_only(session: ChutesSession, document: dict[str, Any]) -> None:
    for entry in evidence_of(document).values():
        verified = verify_quote(document, quote_of(entry), session.intel.root.der)
        assert (verified.status, verified.advisory_ids) == ("UpToDate", [])
        with pytest.raises(ValueError, match="Verification failed"):
            verify_quote(document, quote_of(entry), None)


def test_every_instance_is_a_machine_of_its_own(session: ChutesSession, document: dict[str, Any]) -> None:
    parsed = {name: dcap_qvl.parse_quote(quote_of(entry)) for name, entry in evidence_of(document).items()}
    families = [parsed[one.instance_id].fmspc().lower() for one in session.instances]
    assert families == [("90c06f000000", "b0c06f000000")[index % 2] for index in range(len(families))]
    quotes = [quote_of(entry) for entry in evidence_of(document).values()]
    assert len({quote[28:44] for quote in quotes}) == len(quotes)
    assert len({one.guest.platform.ppid for one in session.instances}) == len(quotes)


def test_registers_are_those_of_a_sek8s_boot(session: ChutesSession, document: dict[str, Any]) -> None:
    evidence = evidence_of(document)
    for one in session.instances:
        quote, boot = quote_of(evidence[one.instance_id]), one.guest.boot
        assert quote[64:112] == boot.mr_seam
        assert quote[184:232] == boot.mr_td
        registers = tuple(quote[start : start + 48] for start in (376, 424, 472, 520))
        assert registers == boot.registers()
        assert all(any(register) for register in registers)
        assert quote[168:184].hex() == "0000001000000000" + "e702060000000000"
        assert not any(quote[112:168])  # MRSIGNERSEAM and SEAMATTRIBUTES
        assert not any(quote[232:376])  # MRCONFIGID, MROWNER, MROWNERCONFIG


def test_gpu_evidence_answers_the_binding(session: ChutesSession, document: dict[str, Any]) -> None:
    keys, serials, fabrics = keys_of(document), [], []
    for name, entry in evidence_of(document).items():
        binding = binding_of(session.nonce.hex(), keys[name])
        fields = [check_gpu(gpu, binding, session.nvidia.root.der) for gpu in entry["gpu_evidence"]]
        serials += [brom_serial(gpu) for gpu in entry["gpu_evidence"]]
        assert all(gpu["arch"] == "HOPPER" for gpu in entry["gpu_evidence"])
        assert len({field.get(22) for field in fields}) == 1
        fabrics.append(fields[0].get(22))
        assert (fabrics[-1] is None) == (len(fields) == 1)
    assert len(set(serials)) == len(serials) == sum(len(one.gpus) for one in session.instances)
    assert None in fabrics or len(set(fabrics)) == len(fabrics)


def test_nvidia_answers_each_instance(session: ChutesSession, document: dict[str, Any]) -> None:
    keys, evidence, asked = keys_of(document), evidence_of(document), submissions(document)
    assert len(asked) == len(evidence)
    identities = []
    for (name, entry), (request, (overall, tokens)) in zip(evidence.items(), asked, strict=True):
        nonce = binding_of(session.nonce.hex(), keys[name]).hex()
        assert request == {"nonce": nonce, "evidence_list": entry["gpu_evidence"], "arch": "HOPPER"}
        top = token_claims(document, overall[1])
        assert top["x-nvidia-overall-att-result"] is True
        assert list(tokens) == list(top["submods"]) == [f"GPU-{index}" for index in range(len(entry["gpu_evidence"]))]
        for (device, token), gpu in zip(tokens.items(), entry["gpu_evidence"], strict=True):
            digest = hashlib.sha256(token.encode()).hexdigest()
            assert top["submods"][device] == ["DIGEST", ["SHA-256", digest]]
            claims = token_claims(document, token)
            assert (claims["measres"], claims["eat_nonce"]) == ("success", nonce)
            assert claims["ueid"] == str(certificates(gpu)[0].serial_number)
            identities.append(claims["jti"])
        assert top["eat_nonce"] == nonce
        assert top["iat"] <= session.at.timestamp() < top["exp"]
        identities.append(top["jti"])
    assert len(set(identities)) == len(identities)


def test_a_replay_tells_the_answers_apart() -> None:
    document = json.loads(built("five")[1])
    transport = ReplayTransport(SavedReport.from_bytes(json.dumps(document).encode()))
    posts = [entry for entry in document["exchanges"] if entry["request"]["method"] == "POST"]
    for entry in posts:
        sent = base64.b64decode(entry["request"]["body"])
        answer = transport.send(Request(method="POST", url=entry["request"]["url"], body=sent, limit=1 << 20))
        assert answer.body == base64.b64decode(entry["response"]["body"])
    assert len({entry["response"]["body"] for entry in posts}) == 5


@pytest.mark.parametrize(("mode", "nras"), [("all", "required"), ("any", "ignore")])
def test_the_policy_pins_whole_tuples(session: ChutesSession, mode: str, nras: str) -> None:
    policy = Policy.from_toml(chutes_policy(session, name="chutes-t", mode=mode, nras=nras))
    assert (policy.name, policy.provider, policy.instances) == ("chutes-t", "chutes", mode)
    assert (policy.gpu.nras, policy.gpu.min_count) == (nras, len(session.instances[0].gpus))
    pins = policy.pins["instance"]
    boots = [one.guest.boot for one in session.instances]
    assert {image.registers for image in pins.base_images or ()} == {(boot.mr_td, *boot.registers()) for boot in boots}
    assert set(pins.mr_seam or ()) == {boot.mr_seam for boot in boots}
    assert pins.is_pinned

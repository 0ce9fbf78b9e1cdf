"""Reading simulated evidence with code that shares nothing with the package that made it."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import dcap_qvl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


def response(document: dict[str, Any], part: str) -> dict[str, Any]:
    for entry in document["exchanges"]:
        if part in entry["request"]["url"]:
            found: dict[str, Any] = entry["response"]
            return found
    raise LookupError(part)


def body(document: dict[str, Any], part: str) -> bytes:
    return base64.b64decode(response(document, part)["body"], validate=True)


def provider_report(document: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(body(document, "attestation/report"))
    return value


def _inner(text: str, key: str) -> str:
    start = text.index(f'"{key}":') + len(key) + 3
    _, end = json.JSONDecoder().raw_decode(text, start)
    return text[start:end]


def collateral(document: dict[str, Any], fmspc: str) -> Any:
    def header(part: str, name: str) -> str:
        return unquote(response(document, part)["headers"][name][0])

    tcb, identity = body(document, f"fmspc={fmspc}").decode(), body(document, "qe/identity").decode()
    return dcap_qvl.QuoteCollateralV3(
        pck_crl_issuer_chain=header("pckcrl", "Sgx-Pck-Crl-Issuer-Chain"),
        root_ca_crl=body(document, "IntelSGXRootCA"),
        pck_crl=body(document, "pckcrl"),
        tcb_info_issuer_chain=header(f"fmspc={fmspc}", "Tcb-Info-Issuer-Chain"),
        tcb_info=_inner(tcb, "tcbInfo"),
        tcb_info_signature=bytes.fromhex(json.loads(tcb)["signature"]),
        qe_identity_issuer_chain=header("qe/identity", "Sgx-Enclave-Identity-Issuer-Chain"),
        qe_identity=_inner(identity, "enclaveIdentity"),
        qe_identity_signature=bytes.fromhex(json.loads(identity)["signature"]),
    )


def verify_quote(document: dict[str, Any], quote: bytes, root: bytes | None) -> Any:
    """dcap-qvl's verdict at the time of recording; ``root`` None is Intel's own."""
    fmspc = dcap_qvl.parse_quote(quote).fmspc().lower()
    now = int(datetime.fromisoformat(document["recorded_at"].replace("Z", "+00:00")).timestamp())
    evidence = collateral(document, fmspc)
    if root is None:
        return dcap_qvl.verify(quote, evidence, now)
    return dcap_qvl.verify_with_root_ca(quote, evidence, root, now)


def quotes(report: dict[str, Any]) -> dict[str, bytes]:
    model = report.get("model_attestations", [report])[0]
    found = {"model": model["intel_quote"], "compose_manager": model["compose_manager_attestation"]["quote"]}
    if "gateway_attestation" in report:
        found["gateway"] = report["gateway_attestation"]["intel_quote"]
    return {role: bytes.fromhex(quote) for role, quote in found.items()}


def replayed(rows: list[dict[str, Any]]) -> list[bytes]:
    registers = [bytes(48)] * 4
    for row in rows:
        digest = bytes.fromhex(row["digest"])
        if row["imr"] == 3:
            payload = bytes.fromhex(row["event_payload"])
            preimage = struct.pack("<I", row["event_type"]) + b":" + row["event"].encode() + b":" + payload
            assert digest == hashlib.sha384(preimage).digest()
        registers[row["imr"]] = hashlib.sha384(registers[row["imr"]] + digest).digest()
    return registers


def certificates(entry: dict[str, str]) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(base64.b64decode(entry["certificate"], validate=True))


def check_chain(chain: list[x509.Certificate], root: bytes) -> None:
    assert chain[-1].public_bytes(serialization.Encoding.DER) == root
    for index, certificate in enumerate(chain):
        issuer = chain[min(index + 1, len(chain) - 1)]
        assert certificate.issuer == issuer.subject
        certificate.verify_directly_issued_by(issuer)
        if index:
            assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def check_gpu(entry: dict[str, str], nonce: bytes, root: bytes) -> dict[int, bytes]:
    """Format, chain, signature, nonce and firmware id of one GPU; returns its opaque fields."""
    chain = certificates(entry)
    check_chain(chain, root)
    evidence = base64.b64decode(entry["evidence"], validate=True)
    assert evidence[:4] == b"\x11\xe0\x01\xff"
    assert evidence[4:36] == nonce
    assert evidence[36] == 0
    answer = evidence[37:]
    assert answer[:4] == b"\x11\x60\x00\x00"
    size = int.from_bytes(answer[5:8], "little")
    record, position = answer[8 : 8 + size], 0
    for index in range(answer[4]):
        number, specification, length, kind, value = struct.unpack_from("<BBHBH", record, position)
        assert (number, specification, length, kind, value) == (index + 1, 1, 51, 1, 48)
        position += 55
    assert position == size
    start = 8 + size + 32
    (opaque_size,) = struct.unpack_from("<H", answer, start)
    opaque, end = answer[start + 2 : start + 2 + opaque_size], start + 2 + opaque_size
    assert len(answer) == end + 96
    r, s = int.from_bytes(answer[end : end + 48], "big"), int.from_bytes(answer[end + 48 :], "big")
    key = chain[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP384R1)
    key.verify(encode_dss_signature(r, s), evidence[:-96], ec.ECDSA(hashes.SHA384()))
    fields: dict[int, bytes] = {}
    position = 0
    while position < len(opaque):
        kind, length = struct.unpack_from("<HH", opaque, position)
        assert kind not in fields
        fields[kind] = opaque[position + 4 : position + 4 + length]
        position += 4 + length
    dice = chain[0].extensions.get_extension_for_oid(x509.ObjectIdentifier("2.23.133.5.4.1")).value
    assert isinstance(dice, x509.UnrecognizedExtension)
    assert fields[20] == dice.value[-48:]
    return fields

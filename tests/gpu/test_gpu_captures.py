"""Real captured sessions: every GPU is judged good, and NVIDIA's recorded answers come to what they say."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.appraisal import fold
from teeverify.claims.gpu import GpuClaims
from teeverify.claims.problem import problems_in
from teeverify.derivation.gpu import derive_gpu
from teeverify.policy import Policy
from teeverify.roots import PRODUCTION_ROOTS
from teeverify.verdict import Outcome, Status

from .judging import GPU_CHECKS, judge
from .synthetic import policy_of

FOLDER = Path(os.environ.get("TEEVERIFY_CAPTURES") or Path(__file__).parents[3] / "shared" / "captures")
NAMES = (
    "near-direct-2026-06-29",
    "near-direct-2026-04-24",
    "near-cloud-2026-06-29",
    "near-cloud-2026-04-24",
    "venice-2026-06-10",
    "nanogpt-phala-2026-06-10",
    "chutes-2026-05-20",
    "chutes-2026-06-29",
    "redpill-chutes-2026-06-10",
    "tinfoil-direct-2026-06-29",
)


class Host(NamedTuple):
    """The GPU evidence of one subject of a capture."""

    value: object
    nonce: bytes
    binding: str


class Capture(NamedTuple):
    """One saved session."""

    hosts: tuple[Host, ...]
    asked_nonce: bytes
    """What the recorded request to NVIDIA's service held."""
    at: datetime
    answer: bytes
    keys: bytes


def capture(name: str) -> Capture:
    path = FOLDER / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no capture {path.name}: set TEEVERIFY_CAPTURES to the folder that holds it")
    document = json.loads(path.read_bytes())
    bodies = {item["request"]["url"]: base64.b64decode(item["response"]["body"]) for item in document["exchanges"]}
    nonce = bytes.fromhex(document["nonce"])
    asked = next(item for item in document["exchanges"] if item["request"]["url"].endswith("/attest/gpu"))
    return Capture(
        hosts=tuple(host for url, body in bodies.items() for host in hosts_in(url, body, nonce)),
        asked_nonce=bytes.fromhex(json.loads(base64.b64decode(asked["request"]["body"]))["nonce"]),
        at=datetime.fromisoformat(f"{document['recorded_at'][:19]}+00:00"),
        answer=bodies[asked["request"]["url"]],
        keys=next(body for url, body in bodies.items() if url.endswith("jwks.json")),
    )


def hosts_in(url: str, body: bytes, nonce: bytes) -> Iterator[Host]:
    if ("attestation" not in url and "/evidence" not in url) or "nras." in url:
        return
    document = json.loads(body)
    records = document.get("model_attestations") or document.get("evidence") or document.get("all_attestations")
    if not records or "nvidia_payload" in document:
        records = [document]
    for record in records:
        if record.get("nvidia_payload"):
            yield Host(record["nvidia_payload"], nonce, "nonce-shared")
        elif "gpu_evidence" in record:
            yield Host(record["gpu_evidence"], report_data(record)[:32], "nonce-derived")
        elif "gpu" in record:
            yield Host(record["gpu"]["evidences"], nonce, "nonce-shared")


def report_data(record: dict[str, Any]) -> bytes:
    """TD report data of the quote: header 48 bytes, then 520 bytes of the body before it (Intel TDX DCAP, quote v4)."""
    quote = record.get("quote") or record["intel_quote"]
    data = (
        bytes.fromhex(quote)
        if len(quote) % 2 == 0 and set(quote) <= set("0123456789abcdef")
        else base64.b64decode(quote)
    )
    return data[48 + 520 : 48 + 584]


def derive(host: Host, session: Capture, **changes: Any) -> GpuClaims:
    arguments: dict[str, Any] = {
        "expected_nonce": host.nonce,
        "nonce_binding": host.binding,
        "at": session.at,
        "roots": PRODUCTION_ROOTS,
        "nras_answer": session.answer,
        "jwks_answer": session.keys,
        **changes,
    }
    return derive_gpu(arguments.pop("payload_value", host.value), **arguments)


def outcome(claims: GpuClaims, session: Capture, policy: Policy | None = None) -> Outcome:
    return fold(judge(claims, policy, session.at).values())


@pytest.mark.parametrize("name", NAMES)
def test_every_gpu_of_every_capture_is_good(name: str) -> None:
    session = capture(name)
    assert session.hosts
    seen: list[bytes] = []
    for host in session.hosts:
        claims = derive(host, session, nras_answer=None, jwks_answer=None)
        assert list(problems_in(claims)) == []
        results = judge(claims, policy_of(nras="ignore", min_count=len(claims.devices)), session.at)
        assert fold(results.values()) is Outcome.VERIFIED, results
        fabric = results["gpu.same_fabric"].status
        assert fabric is (Status.PASS if len(claims.devices) == 8 else Status.NOT_APPLICABLE)
        seen.extend(device.certificate.identity for device in claims.devices)  # type: ignore[union-attr]
    assert len(seen) == len(set(seen)), "devices are distinct across the instances of a capture"


@pytest.mark.parametrize("name", [name for name in NAMES if "chutes" not in name])
def test_positive_answer(name: str) -> None:
    session = capture(name)
    host = session.hosts[0]
    claims = derive(host, session)
    assert list(problems_in(claims)) == []
    assert outcome(claims, session) is Outcome.VERIFIED


@pytest.mark.parametrize("name", [name for name in NAMES if "chutes" in name])
def test_answer_to_the_wrong_question(name: str) -> None:
    """The recorded answer is a signed failure: NVIDIA was asked with a nonce that no GPU signed."""
    session = capture(name)
    host = session.hosts[0]
    results = judge(derive(host, session), at=session.at)
    assert results["gpu.nras_token"].reason == "token_nonce"
    results = judge(derive(host, session, expected_nonce=session.asked_nonce), at=session.at)
    assert results["gpu.nras_token"].status is Status.PASS
    assert results["gpu.nras_result"].reason == "result_overall"
    assert results["gpu.nonce_bound"].reason == "nonce_mismatch"


def test_answer_of_another_session() -> None:
    session, other = capture("near-direct-2026-06-29"), capture("near-cloud-2026-06-29")
    claims = derive(session.hosts[0], session, nras_answer=other.answer, jwks_answer=other.keys)
    assert judge(claims, at=session.at)["gpu.nras_token"].reason == "token_nonce"


def test_key_set_of_another_day() -> None:
    session, other = capture("near-direct-2026-06-29"), capture("near-direct-2026-04-24")
    claims = derive(session.hosts[0], session, jwks_answer=other.keys)
    assert judge(claims, at=session.at)["gpu.nras_token"].reason == "key_unknown"


def test_an_hour_later() -> None:
    session = capture("near-direct-2026-06-29")
    late = session.at + timedelta(hours=1)
    assert judge(derive(session.hosts[0], session, at=late), at=late)["gpu.nras_token"].reason == "token_stale"


def test_gpus_of_two_machines() -> None:
    session = capture("chutes-2026-06-29")
    first, second = (host.value for host in session.hosts[:2])
    assert isinstance(first, list)
    assert isinstance(second, list)
    claims = derive(session.hosts[0], session, payload_value=[*first[:4], *second[:4]], nras_answer=None)
    results = judge(claims, policy_of(nras="ignore"), session.at)
    assert results["gpu.same_fabric"].reason == "fabric_differs"
    assert results["gpu.nonce_bound"].reason == "nonce_mismatch"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4500), st.integers(1, 255))
def test_one_changed_byte_is_never_verified(position: int, mask: int) -> None:
    session = capture("nanogpt-phala-2026-06-10")
    host = session.hosts[0]
    document = json.loads(str(host.value))
    evidence = bytearray(base64.b64decode(document["evidence_list"][0]["evidence"]))
    evidence[position % len(evidence)] ^= mask
    document["evidence_list"][0]["evidence"] = base64.b64encode(evidence).decode()
    claims = derive(host, session, payload_value=json.dumps(document))
    assert outcome(claims, session) is not Outcome.VERIFIED


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200_000), st.binary(min_size=1, max_size=4))
def test_changed_certificates_and_answers_are_never_accepted_by_accident(position: int, data: bytes) -> None:
    """Whatever changes, the result is claims; VERIFIED only where the change touched nothing that counts."""
    session = capture("nanogpt-phala-2026-06-10")
    host = session.hosts[0]
    value, answer, keys = str(host.value), bytearray(session.answer), bytearray(session.keys)
    text_at, answer_at, keys_at = position % len(value), position % len(answer), position % len(keys)
    answer[answer_at : answer_at + len(data)] = data
    keys[keys_at : keys_at + len(data)] = data
    changed = value[:text_at] + data.decode("latin-1") + value[text_at + len(data) :]
    for changes in ({"nras_answer": bytes(answer)}, {"jwks_answer": bytes(keys)}, {"payload_value": changed}):
        claims = derive(host, session, **changes)
        results = judge(claims, at=session.at)
        assert set(results) == set(GPU_CHECKS)
        if "nras_answer" in changes and bytes(answer) != session.answer:
            assert fold(results.values()) is not Outcome.VERIFIED

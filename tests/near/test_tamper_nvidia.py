"""NVIDIA's answer and key set, as recorded: tokens, bundle, keys."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import pytest

from captures import NEAR_CAPTURES
from teeverify.verdict import Outcome, Status

from .tampering import Session, deciding_ids, put, session_of

_NAMES: Final = tuple(NEAR_CAPTURES)
_REFUSED: Final = {"gpu.nras_token", "gpu.nras_result"}
_ATTEST: Final = "/v3/attest/gpu"
_KEYS: Final = "jwks.json"


@pytest.fixture(params=_NAMES)
def session(request: pytest.FixtureRequest) -> Session:
    name: str = request.param
    return session_of(name, NEAR_CAPTURES[name])


def _refused(session: Session, part_of_url: str, body: bytes | Any) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    verdict = session.judge(session.with_answer(session.places(part_of_url)[0], body=data))
    assert verdict.outcome is Outcome.REJECTED
    assert deciding_ids(verdict) & _REFUSED
    assert deciding_ids(verdict) <= _REFUSED


def _bundle(session: Session) -> Any:
    return json.loads(session.answer(_ATTEST).body)


def _decode(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def _encode(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _with_claims(token: str, **claims: Any) -> str:
    header, payload, signature = token.split(".")
    return ".".join((header, _encode({**_decode(payload), **claims}), signature))


def _with_header(token: str, **members: Any) -> str:
    header, payload, signature = token.split(".")
    return ".".join((_encode({**_decode(header), **members}), payload, signature))


def test_every_claim_of_the_overall_token(session: Session) -> None:
    bundle = _bundle(session)
    overall = bundle[0][1]
    claims = _decode(overall.split(".")[1])
    assert len(claims) >= 9
    for name, value in claims.items():
        other = value + 1 if type(value) is int else not value if value in (True, False) else f"{value}x"
        _refused(session, _ATTEST, [["JWT", _with_claims(overall, **{name: other})], bundle[1]])
        _refused(session, _ATTEST, [["JWT", _with_claims(overall, **{name: None})], bundle[1]])
    _refused(session, _ATTEST, [["JWT", _with_claims(overall, note="new")], bundle[1]])


def test_every_claim_of_a_device_token(session: Session) -> None:
    bundle = _bundle(session)
    token = bundle[1]["GPU-5"]
    for name, value in _decode(token.split(".")[1]).items():
        other = value + 1 if type(value) is int else (not value) if isinstance(value, bool) else f"{value}x"
        _refused(session, _ATTEST, put(bundle, (1, "GPU-5"), _with_claims(token, **{name: other})))


@pytest.mark.parametrize(
    "members",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "ES256"},
        {"kid": "other"},
        {"kid": None},
        {"jwk": {}},
        {"jku": "https://nras.attestation.nvidia.com/"},
        {"x5c": []},
        {"crit": ["exp"]},
        {"typ": "JWE"},
    ],
    ids=str,
)
def test_header_of_the_overall_token(session: Session, members: dict[str, Any]) -> None:
    bundle = _bundle(session)
    _refused(session, _ATTEST, put(bundle, (0, 1), _with_header(bundle[0][1], **members)))


def test_signature_of_the_overall_token(session: Session) -> None:
    bundle = _bundle(session)
    head, _, signature = bundle[0][1].rpartition(".")
    for place in (0, 63, 64, 127):
        other = "A" if signature[place] != "A" else "B"
        _refused(session, _ATTEST, put(bundle, (0, 1), f"{head}.{signature[:place]}{other}{signature[place + 1 :]}"))
    for changed in (f"{head}.", head, f"{head}.{signature}.", f"{head}.{signature}=", f"{head}.{_encode(bytes(96))}"):
        _refused(session, _ATTEST, put(bundle, (0, 1), changed))
    device = bundle[1]["GPU-0"].rpartition(".")[2]
    _refused(session, _ATTEST, put(bundle, (0, 1), f"{head}.{device}"))


def test_shape_of_the_bundle(session: Session) -> None:
    bundle = _bundle(session)
    (label, overall), devices = bundle
    less = {name: token for name, token in devices.items() if name != "GPU-7"}
    swapped = {**devices, "GPU-0": devices["GPU-1"], "GPU-1": devices["GPU-0"]}
    for changed in (
        [[label, overall], less],
        [[label, overall], {**devices, "GPU-8": devices["GPU-0"]}],
        [[label, overall], swapped],
        [[label, overall], {**devices, "GPU-0": devices["GPU-1"]}],
        [[label, overall], {**devices, "GPU-0": overall}],
        [[label, devices["GPU-0"]], devices],
        [[label, overall], {}],
        [[label, overall]],
        [["jwt", overall], devices],
        [[label, overall, overall], devices],
        [[label, overall], devices, {}],
        {"JWT": overall},
        overall,
        None,
        {"error": "internal"},
    ):
        _refused(session, _ATTEST, changed)
    text = session.answer(_ATTEST).body
    _refused(session, _ATTEST, text.replace(b'"GPU-1"', b'"GPU-0"'))
    broken = session.judge(session.with_answer(session.places(_ATTEST)[0], body=text + b"]"))
    assert broken.outcome is not Outcome.VERIFIED  # no JSON at all: an outage or an attack, but no answer
    assert deciding_ids(broken) == _REFUSED


def _key_index(session: Session) -> tuple[Any, int]:
    keys = json.loads(session.answer(_KEYS).body)
    kid = _decode(_bundle(session)[0][1].split(".")[0])["kid"]
    (index,) = (i for i, key in enumerate(keys["keys"]) if key["kid"] == kid)
    return keys, index


def test_every_member_of_the_signing_key(session: Session) -> None:
    keys, index = _key_index(session)
    key, other = keys["keys"][index], keys["keys"][index - 1]
    for name in ("kid", "kty", "crv", "x", "y", "x5c"):
        _refused(session, _KEYS, put(keys, ("keys", index, name), other[name] + "x" if name == "crv" else None))
        if key[name] != other[name]:
            _refused(session, _KEYS, put(keys, ("keys", index, name), other[name]))
    leaf, issuer = key["x5c"][:2]
    chains: tuple[list[str], ...] = (
        [],
        [leaf],
        [issuer, leaf],
        [leaf, leaf],
        [issuer],
        [issuer, issuer],
        [leaf, other["x5c"][0]],
    )
    for chain in chains:
        _refused(session, _KEYS, put(keys, ("keys", index, "x5c"), chain))
    der = base64.b64decode(leaf)
    for place in range(10, len(der), len(der) // 12):
        changed = base64.b64encode(der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]).decode()
        _refused(session, _KEYS, put(keys, ("keys", index, "x5c", 0), changed))


def test_public_key_of_the_issuing_ca(session: Session) -> None:
    """Only its public key is pinned: the rest of that certificate is signed by a root that nobody publishes."""
    keys, index = _key_index(session)
    der = base64.b64decode(keys["keys"][index]["x5c"][1])
    modulus_at = der.index(bytes.fromhex("02820101")) + 4
    for place in (modulus_at, modulus_at + 128, modulus_at + 256):
        changed = base64.b64encode(der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]).decode()
        _refused(session, _KEYS, put(keys, ("keys", index, "x5c", 1), changed))


def test_key_set_without_or_with_two_of_the_key(session: Session) -> None:
    keys, index = _key_index(session)
    entries = keys["keys"]
    sets: tuple[Any, ...] = (
        {"keys": entries[:index] + entries[index + 1 :]},
        {"keys": [*entries, entries[index]]},
        {"keys": []},
        {"keys": None},
        {},
        entries,
    )
    for changed in sets:
        _refused(session, _KEYS, changed)


def test_other_keys_of_the_set_do_not_matter(session: Session) -> None:
    keys, index = _key_index(session)
    other = (index + 1) % len(keys["keys"])
    changed = put(keys, ("keys", other, "x"), keys["keys"][index]["x"])
    body = json.dumps(put(changed, ("keys", index, "x5c"), [*keys["keys"][index]["x5c"], "AAAA"])).encode()
    assert session.judge(session.with_answer(session.places(_KEYS)[0], body=body)).outcome is Outcome.VERIFIED


def test_missing_answer_and_missing_keys(session: Session) -> None:
    """These policies say ``when_present``: no answer is no failure, an answer that nobody can check is not a pass."""
    assert session.policy.gpu.nras == "when_present"
    without = session.judge(session.with_exchange(session.places(_ATTEST)[0], None))
    assert without.outcome is Outcome.VERIFIED
    statuses = {check.id: check.status for check in without.checks if check.id in _REFUSED}
    assert set(statuses.values()) == {Status.NOT_APPLICABLE}
    unchecked = session.judge(session.with_exchange(session.places(_KEYS)[0], None))
    assert unchecked.outcome is Outcome.INCONCLUSIVE
    assert deciding_ids(unchecked) == _REFUSED


def test_the_sender_cannot_keep_nvidia_from_being_asked(session: Session) -> None:
    """NEAR sends the payload as text; the same evidence as a bare list must not silence NVIDIA's recorded answer."""
    path = (*session.record_paths["model"], "nvidia_payload")
    evidence = json.loads(_model(session)["nvidia_payload"])["evidence_list"]
    body = put(session.body, path, evidence)
    assert session.judge_body(body).outcome is not Outcome.VERIFIED
    keys = json.dumps({"keys": []}).encode()
    report = session.with_body(body)
    place = session.places(_KEYS)[0]
    exchanges = list(report.exchanges)
    exchanges[place] = session.with_answer(place, body=keys).exchanges[place]
    assert session.judge(report).outcome is not Outcome.VERIFIED


def _model(session: Session) -> Any:
    return session.body["model_attestations"][0] if session.cloud else session.body

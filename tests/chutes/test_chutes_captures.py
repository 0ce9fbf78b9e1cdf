"""The captured Chutes sessions come out as their ground truth says, and each attack on them is refused by its check."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any, Final

import attrs
import pytest

from teeverify.saved import SavedReport
from teeverify.verdict import AttestationVerdict, Outcome, Status

from .captured import altered, body_of, flipped, judge, report_of

VERIFIED, REJECTED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.REJECTED, Outcome.INCONCLUSIVE
JUNE, MAY = "chutes-2026-06-29", "chutes-2026-05-20"
GOOD: Final = "instance:3ff90a0d-1f52-4800-b313-dbf3d7c26839"
OTHER: Final = "instance:e5dc50c8-b0bb-4f03-be0d-ee31dffd3533"
UNKNOWN_TCB: Final = {
    "tdx.quote_signature",
    "tcb.collateral_current",
    "tcb.not_revoked",
    "tcb.status",
    "tcb.advisories",
    "tcb.eval_number",
}


def outcomes(verdict: AttestationVerdict) -> dict[str, Outcome]:
    return {subject.id.split(":")[1][:8]: subject.outcome for subject in verdict.subjects}


def deciding(verdict: AttestationVerdict, subject: str) -> dict[str, str]:
    found = next(one for one in verdict.subjects if one.id == subject)
    return {check.id: check.reason for check in found.deciding if not check.reason.startswith("prerequisite_")}


def test_june_strict() -> None:
    verdict = judge(report_of(JUNE), JUNE)
    assert verdict.outcome is INCONCLUSIVE
    assert outcomes(verdict) == {"3ff90a0d": VERIFIED, "e5dc50c8": INCONCLUSIVE}
    assert set(deciding(verdict, OTHER)) <= UNKNOWN_TCB
    assert deciding(verdict, OTHER)["tcb.collateral_current"] == "not_recorded"
    assert all(subject.role == "instance" and not subject.attested_keys for subject in verdict.subjects)


def test_june_relaxed_takes_keys_from_the_verified_instance_only() -> None:
    report = report_of(JUNE)
    verdict = judge(report, JUNE, relaxed=True).require()
    good, other = verdict.subjects
    (key,) = good.attested_keys
    assert (key.use, key.algorithm, len(bytes.fromhex(key.public_key))) == ("e2ee", "ml-kem-768", 1184)
    assert other.attested_keys == ()
    shown = {entry["instance_id"]: entry["e2e_pubkey"] for entry in body_of(report, "/e2e/instances/")["instances"]}
    assert base64.b64decode(shown["3ff90a0d-1f52-4800-b313-dbf3d7c26839"]).hex() == key.public_key
    assert "1 of 2 instances" in verdict.trust_boundary


def test_may() -> None:
    strict = judge(report_of(MAY), MAY)
    assert strict.outcome is INCONCLUSIVE
    expected = {"9034c7a4": VERIFIED, "07e308a1": INCONCLUSIVE, "1da9c33a": INCONCLUSIVE, "209295db": VERIFIED}
    assert outcomes(strict) == expected
    relaxed = judge(report_of(MAY), MAY, relaxed=True).require()
    assert outcomes(relaxed) == expected


def test_every_check_of_the_good_instance() -> None:
    (good, _) = judge(report_of(JUNE), JUNE).subjects
    status = {check.id: check.status for check in good.checks}
    passing = {check for check, found in status.items() if found is Status.PASS}
    assert (
        set(status) - passing == {"gpu.nras_token", "gpu.nras_result", "gpu.cpu_binding", "gpu.same_fabric"} - passing
    )
    assert status["gpu.cpu_binding"] is Status.INFO
    assert status["binding.distinct_instances"] is Status.PASS


def test_nvidias_answer_to_another_question_is_not_blamed_on_the_gpus() -> None:
    from teeverify.policy import Policy
    from teeverify.policy_toml import to_toml
    from teeverify.providers.chutes import ChutesVerifier

    from .captured import policy_of

    text = to_toml(policy_of(JUNE, relaxed=True)).replace('nras = "ignore"', 'nras = "when_present"')
    assert ChutesVerifier(Policy.from_toml(text)).verify_saved(report_of(JUNE)).verified
    text = text.replace('nras = "when_present"', 'nras = "required"')
    required = ChutesVerifier(Policy.from_toml(text)).verify_saved(report_of(JUNE))
    assert required.outcome is INCONCLUSIVE
    assert deciding(required, GOOD)["gpu.nras_token"] == "nras_missing"
    (good, _) = required.subjects
    assert "another nonce" in next(check.summary for check in good.checks if check.id == "gpu.nras_token")


# --- attacks: section 7.2 of the protocol notes ----------------------------------------------------------------------

Edit = Callable[[Any], Any]
KEYS, EVIDENCE = "/e2e/instances/", "/evidence"


def _entry(document: Any, part: str = "evidence") -> Any:
    wanted = "3ff90a0d-1f52-4800-b313-dbf3d7c26839"
    return next(entry for entry in document[part] if entry["instance_id"] == wanted)


def _other(document: Any, part: str = "evidence") -> Any:
    return next(entry for entry in document[part] if entry is not _entry(document, part))


def _set(part: str, member: str, value: Any) -> Edit:
    def edit(document: Any) -> None:
        entry = _entry(document, part)
        entry[member] = value(entry.get(member)) if callable(value) else value

    return edit


def _drop(part: str, member: str) -> Edit:
    return lambda document: _entry(document, part).pop(member) and None


def _gpu(edit: Callable[[list[Any]], Any]) -> Edit:
    def change(document: Any) -> None:
        entry = _entry(document)
        result = edit(entry["gpu_evidence"])
        if result is not None:
            entry["gpu_evidence"] = result

    return change


def _swap_ids(document: Any) -> None:
    one, two = _entry(document), _other(document)
    one["instance_id"], two["instance_id"] = two["instance_id"], one["instance_id"]


def _swap_keys(document: Any) -> None:
    one, two = _entry(document, "instances"), _other(document, "instances")
    one["e2e_pubkey"], two["e2e_pubkey"] = two["e2e_pubkey"], one["e2e_pubkey"]


def _too_large(text: str) -> str:
    data = bytearray(base64.b64decode(text))
    data[0:3] = b"\xff\xff\xff"
    return base64.b64encode(bytes(data)).decode()


def _flip_gpu(member: str, place: int) -> Callable[[list[Any]], None]:
    def edit(entries: list[Any]) -> None:
        entries[3][member] = flipped(entries[3][member], place)

    return edit


ATTACKS: Final[dict[str, tuple[str, Edit, set[str]]]] = {
    "01 key swapped": (KEYS, _swap_keys, {"binding.report_data", "freshness.nonce_bound"}),
    "05 quote body altered": (EVIDENCE, _set("evidence", "quote", lambda q: flipped(q, 200)), {"tdx.quote_signature"}),
    "05 quote header altered": (EVIDENCE, _set("evidence", "quote", lambda q: flipped(q, 30)), {"tdx.quote_signature"}),
    "07 debug bit": (EVIDENCE, _set("evidence", "quote", lambda q: flipped(q, 168)), {"tdx.quote_signature"}),
    "14 certificate replaced": (
        EVIDENCE,
        lambda d: _entry(d).update(certificate=_other(d)["certificate"]),
        {"binding.report_data"},
    ),
    "15 certificate missing": (EVIDENCE, _drop("evidence", "certificate"), {"evidence.complete"}),
    "17 key with a space": (KEYS, _set("instances", "e2e_pubkey", lambda k: k + " "), {"evidence.wellformed"}),
    "17 key too short": (
        KEYS,
        _set("instances", "e2e_pubkey", base64.b64encode(bytes(1000)).decode()),
        {"evidence.wellformed"},
    ),
    "17 key modulus": (KEYS, _set("instances", "e2e_pubkey", _too_large), {"evidence.wellformed"}),
    "18 key null": (KEYS, _set("instances", "e2e_pubkey", None), {"evidence.complete"}),
    "18 key empty": (KEYS, _set("instances", "e2e_pubkey", ""), {"evidence.complete"}),
    "18 key missing": (KEYS, _drop("instances", "e2e_pubkey"), {"evidence.complete"}),
    "19 quote missing": (EVIDENCE, _drop("evidence", "quote"), {"evidence.complete"}),
    "19 quote empty": (EVIDENCE, _set("evidence", "quote", ""), {"evidence.complete"}),
    "19 quote in hex": (
        EVIDENCE,
        _set("evidence", "quote", lambda q: base64.b64decode(q).hex()),
        {"evidence.wellformed"},
    ),
    "20 quote truncated": (
        EVIDENCE,
        _set("evidence", "quote", lambda q: base64.b64encode(base64.b64decode(q)[:900]).decode()),
        {"evidence.wellformed"},
    ),
    "20 padding not zero": (EVIDENCE, _set("evidence", "quote", lambda q: flipped(q, -1)), {"evidence.wellformed"}),
    "21 ids swapped": (EVIDENCE, _swap_ids, {"binding.report_data", "freshness.nonce_bound"}),
    "22 id twice in evidence": (
        EVIDENCE,
        lambda d: d["evidence"].append(copy.deepcopy(_entry(d))),
        {"evidence.wellformed"},
    ),
    "22 id twice in keys": (
        KEYS,
        lambda d: d["instances"].append(copy.deepcopy(_entry(d, "instances"))),
        {"evidence.wellformed"},
    ),
    "23 same quote under two ids": (
        EVIDENCE,
        lambda d: _other(d).update(quote=_entry(d)["quote"]),
        {"binding.distinct_instances"},
    ),
    "23 same key under two ids": (
        KEYS,
        lambda d: _other(d, "instances").update(e2e_pubkey=_entry(d, "instances")["e2e_pubkey"]),
        {"binding.distinct_instances"},
    ),
    "24 evidence without key": (KEYS, lambda d: d["instances"].remove(_entry(d, "instances")), {"evidence.complete"}),
    "25 key without evidence": (EVIDENCE, lambda d: d["evidence"].remove(_entry(d)), {"evidence.complete"}),
    "27 evidence and failed": (
        EVIDENCE,
        lambda d: d["failed_instance_ids"].append(_entry(d)["instance_id"]),
        {"evidence.wellformed"},
    ),
    "29 no gpus": (EVIDENCE, _gpu(lambda entries: []), {"gpu.present"}),
    "29 gpu list missing": (EVIDENCE, _drop("evidence", "gpu_evidence"), {"gpu.present"}),
    "30 seven gpus": (EVIDENCE, _gpu(lambda entries: entries[:7]), {"gpu.present"}),
    "31 gpus of another instance": (
        EVIDENCE,
        lambda d: _entry(d).update(gpu_evidence=_other(d)["gpu_evidence"]),
        {"gpu.nonce_bound"},
    ),
    "32 one gpu's answer": (EVIDENCE, _gpu(_flip_gpu("evidence", 3570)), {"gpu.evidence_signature"}),
    "32 one gpu's nonce": (EVIDENCE, _gpu(_flip_gpu("evidence", 5)), {"gpu.nonce_bound", "gpu.evidence_signature"}),
    "33 a gpu twice": (EVIDENCE, _gpu(lambda entries: [*entries[:7], entries[0]]), {"gpu.distinct_devices"}),
    "49 gpu list of another type": (EVIDENCE, _gpu(lambda entries: {"a": 1}), {"evidence.wellformed"}),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_by_its_check(name: str) -> None:
    part, edit, checks = ATTACKS[name]
    report = altered(report_of(JUNE), part, edit)
    strict = judge(report, JUNE)
    assert strict.outcome is REJECTED
    failing = {check.id for subject in strict.subjects for check in subject.deciding if subject.outcome is REJECTED}
    assert failing & checks, failing
    relaxed = judge(report, JUNE, relaxed=True)
    assert relaxed.outcome is not VERIFIED, "the other instance cannot be verified from this file"


def test_order_does_not_matter() -> None:
    report = altered(report_of(JUNE), EVIDENCE, lambda d: d["evidence"].reverse())
    assert judge(report, JUNE, relaxed=True).verified


@pytest.mark.parametrize("part", [KEYS, EVIDENCE])
@pytest.mark.parametrize("body", [{}, {"instances": [], "evidence": []}, {"instances": None, "evidence": None}])
def test_nothing_is_never_a_pass(part: str, body: Any) -> None:
    report = altered(report_of(JUNE), part, lambda document: body)
    assert judge(report, JUNE).outcome is REJECTED
    assert judge(report, JUNE, relaxed=True).outcome is REJECTED


@pytest.mark.parametrize("nonce", [bytes(range(32)), bytes([255]) * 32])
def test_a_replay_is_refused(nonce: bytes) -> None:
    report = report_of(JUNE)
    renamed = [
        attrs.evolve(e, request=attrs.evolve(e.request, url=e.request.url.replace(report.nonce.hex(), nonce.hex())))
        for e in report.exchanges
    ]
    replayed = attrs.evolve(report, nonce=nonce, exchanges=tuple(renamed))
    verdict = judge(replayed, JUNE, relaxed=True)
    assert verdict.outcome is REJECTED
    assert {"freshness.nonce_bound", "binding.report_data"} <= set(deciding(verdict, GOOD))
    unasked = judge(attrs.evolve(report, nonce=nonce), JUNE, relaxed=True)
    assert unasked.outcome is not VERIFIED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nonce=", "Nonce="),
        ("/evidence?nonce=", "/evidence?other=1&nonce=00&nonce="),
        ("https://api.chutes.ai/chutes/", "https://evil.example/chutes/"),
        ("/chutes/e51e818e", "/chutes/f51e818e"),
    ],
)
def test_what_was_asked_must_be_clear(old: str, new: str) -> None:
    report = report_of(JUNE)
    exchanges = [
        attrs.evolve(e, request=attrs.evolve(e.request, url=e.request.url.replace(old, new)))
        if "/evidence" in e.request.url
        else e
        for e in report.exchanges
    ]
    assert judge(attrs.evolve(report, exchanges=tuple(exchanges)), JUNE, relaxed=True).outcome is not VERIFIED


def test_a_file_of_another_provider_is_not_judged() -> None:
    from teeverify.errors import ConfigurationError

    with pytest.raises(ConfigurationError):
        judge(attrs.evolve(report_of(JUNE), provider="near"), JUNE)


def test_the_same_collateral_makes_all_instances_verified() -> None:
    """With the TCB info that NEAR's capture of that hour holds, the strict policy is satisfied too."""
    near = report_of("near-cloud-2026-06-29")
    extra = tuple(e for e in near.exchanges if "tcb?fmspc=b0c06f" in e.request.url)
    assert extra
    report = report_of(JUNE)
    joined: SavedReport = attrs.evolve(report, exchanges=(*report.exchanges, *extra))
    verdict = judge(joined, JUNE).require()
    assert sum(len(subject.attested_keys) for subject in verdict.subjects) == 2


def test_no_certificate_of_a_gpu_is_verified_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from teeverify.crypto import certificates

    calls: list[bytes] = []
    real = certificates.verify_p384

    def counted(certificate: Any, signature: bytes, message: bytes) -> bool:
        calls.append(signature)
        return real(certificate, signature, message)

    monkeypatch.setattr(certificates, "verify_p384", counted)
    judge(report_of(MAY), MAY)
    assert len(calls) == len(set(calls))

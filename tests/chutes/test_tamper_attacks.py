"""Attacks of the protocol notes, section 7.2, made out of both captures; numbers are those of the notes.

`test_chutes_captures` has those on members of one answer, over the capture of June; here they are over May's, where
two instances are VERIFIED and either must hold without the other. The rest needs other endorsements, policies or files.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from teeverify.flow import Request, Response
from teeverify.policy import Policy
from teeverify.policy_toml import to_toml
from teeverify.providers.chutes import ChutesVerifier
from teeverify.registry import verifier_for
from teeverify.saved import RecordedExchange, SavedReport
from teeverify.verdict import AttestationVerdict, Outcome

from .captured import (
    JUNE,
    MAY,
    altered,
    answered,
    body_of,
    deciding_ids,
    endorsed,
    flipped,
    judge,
    keys_of,
    lenient_of,
    policy_of,
    report_of,
    subject_of,
)

KEYS, EVIDENCE = "/e2e/instances/", "/evidence?"
OWN: Final = {MAY: "9034c7a4", JUNE: "3ff90a0d"}
BESIDE: Final = {MAY: "209295db", JUNE: "e5dc50c8"}
"""In May VERIFIED as well; in June without Intel's statement on its platform."""
Edit = Callable[[Any, Any], Any]
"""Changes the entry of the attacked instance; the other one's is given for comparison."""


def spoiled(name: str, part: str, edit: Edit) -> AttestationVerdict:
    """The verdict, with any instance accepted, where the entry of one instance is another one."""

    def change(document: Any) -> None:
        entries = document["evidence" if part == EVIDENCE else "instances"]
        own, other = (
            next(each for each in entries if each["instance_id"].startswith(start))
            for start in (OWN[name], BESIDE[name])
        )
        edit(own, other)

    return judge(altered(report_of(name), part, change), name, relaxed=True)


def change(member: str, new: Callable[[Any], Any]) -> Edit:
    def edit(own: Any, other: Any) -> None:
        del other
        own[member] = new(own.get(member))

    return edit


def lend(member: str) -> Edit:
    return lambda own, other: own.update({member: other[member]})


def of_gpus(edit: Callable[[list[Any]], Any]) -> Edit:
    return change("gpu_evidence", lambda entries: edit([dict(entry) for entry in entries]))


def _gpu(entries: list[Any], member: str, new: Callable[[str], str]) -> list[Any]:
    entries[3][member] = new(entries[3][member])
    return entries


def _without_root(text: str) -> str:
    end = b"-----END CERTIFICATE-----\n"
    return base64.b64encode(end.join(base64.b64decode(text).split(end)[:4]) + end).decode()


def _pkcs1(text: str) -> str:
    """The certificate with its RSA key in the older form, without the algorithm around it."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(base64.b64decode(text)).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode()


ATTACKS: Final[dict[str, tuple[str, Edit, str]]] = {
    "01 key of another": (KEYS, lend("e2e_pubkey"), "binding.report_data"),
    "05 quote body": (EVIDENCE, change("quote", lambda quote: flipped(quote, 200)), "tdx.quote_signature"),
    "07 debug bit": (EVIDENCE, change("quote", lambda quote: flipped(quote, 168)), "tdx.quote_signature"),
    "14 certificate of another": (EVIDENCE, lend("certificate"), "binding.report_data"),
    "15 certificate missing": (EVIDENCE, change("certificate", lambda _: None), "evidence.complete"),
    "16 key of the certificate alone": (EVIDENCE, change("certificate", _pkcs1), "evidence.wellformed"),
    "17 key with a line break": (KEYS, change("e2e_pubkey", lambda key: key + "\n"), "evidence.wellformed"),
    "18 key null": (KEYS, change("e2e_pubkey", lambda _: None), "evidence.complete"),
    "19 quote is no text": (EVIDENCE, change("quote", lambda _: 1), "evidence.wellformed"),
    "20 padding not zero": (EVIDENCE, change("quote", lambda quote: flipped(quote, -1)), "evidence.wellformed"),
    "23 quote of another": (EVIDENCE, lend("quote"), "binding.distinct_instances"),
    "29 no GPU": (EVIDENCE, of_gpus(lambda entries: []), "gpu.present"),
    "30 seven GPUs": (EVIDENCE, of_gpus(lambda entries: entries[:7]), "gpu.present"),
    "31 GPUs of another": (EVIDENCE, lend("gpu_evidence"), "gpu.nonce_bound"),
    "32 one GPU of eight": (
        EVIDENCE,
        of_gpus(lambda entries: _gpu(entries, "evidence", lambda text: flipped(text, 3570))),
        "gpu.evidence_signature",
    ),
    "33 one GPU twice": (EVIDENCE, of_gpus(lambda entries: [*entries[:7], entries[0]]), "gpu.distinct_devices"),
    "34 chain without its root": (
        EVIDENCE,
        of_gpus(lambda entries: _gpu(entries, "certificate", _without_root)),
        "gpu.cert_chain",
    ),
    "34 chain under another root": (
        EVIDENCE,
        of_gpus(lambda entries: _gpu(entries, "certificate", lambda text: flipped(text, -40))),
        "gpu.cert_chain",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_one_of_two_good_instances(attack: str) -> None:
    """26: the bad one is not hidden behind the good one, nor is the good one harmed unless it lent something."""
    part, edit, check = ATTACKS[attack]
    untouched = judge(report_of(MAY), MAY, relaxed=True)
    before = keys_of(untouched)
    verdict = spoiled(MAY, part, edit)
    own, beside = subject_of(verdict, OWN[MAY]), subject_of(verdict, BESIDE[MAY])
    assert own.outcome is Outcome.REJECTED
    assert check in deciding_ids(own)
    vouched = {key for keys in keys_of(verdict).values() for key in keys}
    assert not vouched & before[own.id]
    if verdict.verified:
        assert vouched == before[beside.id]
    else:
        assert deciding_ids(beside) == {"binding.distinct_instances"}
        assert attack.endswith("of another")


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name.startswith(("16", "34"))])
def test_an_attack_on_the_only_good_instance(attack: str) -> None:
    part, edit, check = ATTACKS[attack]
    verdict = spoiled(JUNE, part, edit)
    assert verdict.outcome is Outcome.INCONCLUSIVE, "the other instance lacks Intel's statement"
    assert check in deciding_ids(subject_of(verdict, OWN[JUNE]))


def test_03_what_gateways_really_do() -> None:
    """RedPill asked with a nonce of its own: all five quotes are consistent, and none of them is fresh."""
    name = "redpill-chutes-2026-06-10"
    verdict = verifier_for("phala")(policy_of(name)).verify_saved(report_of(name))
    assert verdict.outcome is Outcome.REJECTED
    assert len(verdict.subjects) == 5
    for subject in verdict.subjects:
        assert "freshness.nonce_bound" in deciding_ids(subject)
        assert "binding.report_data" not in deciding_ids(subject)
    report = report_of(name)
    stamped = altered(report, "/attestation/report", lambda body: {**body, "nonce": report.nonce.hex()})
    claimed = altered(
        stamped,
        "/attestation/report",
        lambda body: {**body, "all_attestations": [{**e, "nonce": body["nonce"]} for e in body["all_attestations"]]},
    )
    for lying in (stamped, claimed):
        for subject in verifier_for("phala")(policy_of(name)).verify_saved(lying).subjects:
            assert "freshness.nonce_bound" in deciding_ids(subject)


@pytest.mark.parametrize("name", [JUNE, MAY])
def test_08_expired_collateral_verifies_nobody(name: str) -> None:
    report = endorsed(name)
    assert lenient_of(name).verify_saved(report).verified
    for days in (60, -60):
        verdict = lenient_of(name).verify_saved(report, at=report.recorded_at + timedelta(days=days))
        assert verdict.outcome is Outcome.REJECTED
        assert all("tcb.collateral_current" in deciding_ids(subject) for subject in verdict.subjects)


@pytest.mark.parametrize("name", [JUNE, MAY])
def test_09_collateral_of_one_family_for_all(name: str) -> None:
    report = endorsed(name)
    first, second = (
        next(each.response for each in report.exchanges if f"tcb?fmspc={family}" in each.request.url)
        for family in ("90c06f", "b0c06f")
    )
    strict = lenient_of(name)
    good = {subject.id for subject in strict.verify_saved(report_of(name)).subjects if subject.verified}
    for family, answer in (("b0c06f", first), ("90c06f", second)):
        forged = answered(report, f"tcb?fmspc={family}", body=answer.body, headers=answer.headers)
        verdict = strict.verify_saved(forged)
        assert verdict.outcome is Outcome.REJECTED
        lost = {subject.id for subject in verdict.subjects if not subject.verified}
        assert lost == (good if family == "90c06f" else {subject.id for subject in verdict.subjects} - good)
        for subject in verdict.subjects:
            assert subject.verified or {"tdx.quote_signature", "tcb.collateral_current"} & deciding_ids(subject)


def _with_pins(name: str, edit: Callable[[list[str]], list[str]]) -> ChutesVerifier:
    """The lenient verifier with other base images: the lines of the policy that pin one each."""
    lines = to_toml(lenient_of(name).policy).splitlines()
    pins = [line for line in lines if "rtmr3" in line]
    assert len(pins) == 2
    text = "\n".join(line for line in lines if line not in pins[1:])
    return ChutesVerifier(Policy.from_toml(text.replace(pins[0], "\n".join(edit(pins)))))


def _mixed(pins: list[str], *registers: str) -> list[str]:
    """Each row with those registers of the other one."""
    values = [dict(part.strip(" {},").split(" = ") for part in line.split(", ")) for line in pins]
    mixed = []
    for line, own, other in zip(pins, values, reversed(values), strict=True):
        assert all(own[register] != other[register] for register in registers)
        text = line
        for register in registers:
            text = text.replace(own[register], other[register])
        mixed.append(text)
    return mixed


@pytest.mark.parametrize("name", [JUNE, MAY])
def test_10_an_image_that_is_not_pinned(name: str) -> None:
    """12 in May: the instances whose RTMR3 is zero are accepted only by the row that says so."""
    verdict = _with_pins(name, lambda pins: pins[:1]).verify_saved(endorsed(name))
    assert verdict.outcome is Outcome.REJECTED
    assert subject_of(verdict, OWN[name]).verified
    others = [subject for subject in verdict.subjects if not subject.id.startswith(f"instance:{OWN[name]}")]
    assert others
    assert all(deciding_ids(subject) == {"pin.base_image"} for subject in others)


@pytest.mark.parametrize("name", [JUNE, MAY])
@pytest.mark.parametrize("registers", [("rtmr2",), ("rtmr3",), ("rtmr0", "rtmr3")])
def test_11_rows_are_pinned_as_a_whole(name: str, registers: tuple[str, ...]) -> None:
    verdict = _with_pins(name, lambda pins: _mixed(pins, *registers)).verify_saved(endorsed(name))
    assert verdict.outcome is Outcome.REJECTED
    assert all(deciding_ids(subject) == {"pin.base_image"} for subject in verdict.subjects)


@pytest.mark.parametrize("name", [JUNE, MAY])
@pytest.mark.parametrize(
    ("rows", "verified"),
    [
        (lambda model, chute: [{"id": model, "chute_id": chute}], True),
        (lambda model, chute: [{"id": f"{model}-long", "chute_id": chute}], False),
        (lambda model, chute: [{"id": model, "chute_id": chute}, {"id": model, "chute_id": chute[::-1]}], False),
        (lambda model, chute: [{"id": model, "chute_id": f"0{chute[1:]}"}], False),
        (lambda model, chute: [], False),
    ],
)
def test_39_a_list_of_models_must_name_the_chute(name: str, rows: Callable[[str, str], Any], verified: bool) -> None:
    report = report_of(name)
    chute = next(each.request.url for each in report.exchanges if KEYS in each.request.url).rpartition("/")[2]
    body = json.dumps({"data": rows(report.model, chute)}).encode()
    request = Request(method="GET", url="https://llm.chutes.ai/v1/models", limit=1 << 20)
    listed = RecordedExchange(request=request, response=Response(status=200, headers={}, body=body))
    for exchanges in ((listed, *report.exchanges), (*report.exchanges, listed)):
        verdict = judge(attrs.evolve(report, exchanges=exchanges), name, relaxed=True)
        assert verdict.verified is verified
        assert verified or "evidence.complete" in deciding_ids(verdict.subjects[0])


@pytest.mark.parametrize("name", [JUNE, MAY])
@pytest.mark.parametrize("part", [KEYS, EVIDENCE])
def test_49_a_repeated_member_hides_nothing(name: str, part: str) -> None:
    report = report_of(name)
    text = json.dumps(body_of(report, part))
    member = "e2e_pubkey" if part == KEYS else "quote"
    for old, new in (
        ("{", f'{{"{"instances" if part == KEYS else "evidence"}": [], '),
        (f'"{member}"', f'"{member}": "", "{member}"'),
    ):
        doubled: SavedReport = answered(report, part, body=text.replace(old, new, 1).encode())
        verdict = judge(doubled, name, relaxed=True)
        assert verdict.outcome is Outcome.REJECTED
        assert all("evidence.wellformed" in deciding_ids(subject) for subject in verdict.subjects)

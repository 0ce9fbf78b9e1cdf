"""Attacks on the signature over what a proxy says: other keys, other algorithms, other forms, other payloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from attrs import evolve

from teeverify.testing.chain_report import canonical, sign
from teeverify.verdict import Outcome

from .chain_world import (
    MALFORMED,
    MODES,
    build,
    causes,
    document_of,
    holder,
    judge_document,
    judge_session,
    policy,
    refused,
    stranger,
    truthful,
)

ALGORITHMS: Final = ("ecdsa", "ed25519")
ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1."""
ORDER_ED25519: Final = 2**252 + 27742317777372353535851937790883648493
SIGNER: Final = ("receipt.signature", "other_signer")
INVALID: Final = ("receipt.signature", "invalid")
NOT_READ: Final = ("receipt.signature", "malformed")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_statement_by_another_key(mode: str, algorithm: str) -> None:
    session = build(mode=mode, algorithm=algorithm)
    session.signer = stranger(session)
    refused(judge_session(session), SIGNER)


@pytest.mark.parametrize("mode", ["all", "any", "delegated"])
def test_a_bad_statement_is_not_mended_by_good_instances(mode: str) -> None:
    session = build(instances=2)
    session.signer = stranger(session)
    refused(judge_session(session, policy(mode)), SIGNER)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_key_under_the_proxys_address(mode: str, algorithm: str) -> None:
    message = canonical(holder(document_of(mode, algorithm))["payload"])
    forged = sign(message, stranger(truthful(mode, algorithm)), algorithm)
    refused(judge_document(lambda d: holder(d).update(signature=forged), mode, algorithm), INVALID)


@pytest.mark.parametrize(("algorithm", "other"), [ALGORITHMS, ALGORITHMS[::-1]])
@pytest.mark.parametrize("mode", MODES)
def test_the_proxys_other_key(mode: str, algorithm: str, other: str) -> None:
    key = evolve(truthful(mode, algorithm).signer, algorithm=other)

    def edit(document: dict[str, Any]) -> None:
        signature = sign(canonical(holder(document)["payload"]), key, other)
        holder(document).update(signing_algo=other, signing_address=key.address_text, signature=signature)

    refused(judge_document(edit, mode, algorithm), MALFORMED, NOT_READ)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("stated", ["ECDSA", "ed25519 ", "rsa", "", None, 5])
def test_algorithms_that_were_not_asked_for(algorithm: str, stated: Any) -> None:
    refused(judge_document(lambda d: holder(d).update(signing_algo=stated), "proxy", algorithm), MALFORMED, NOT_READ)


FORMS: Final[dict[str, Callable[[str], Any]]] = {
    "0x0x": lambda text: f"0x{text}",
    "without the first two": lambda text: text[2:],
    "upper case": lambda text: text.upper(),
    "0X": lambda text: f"0X{text[2:]}",
    "short": lambda text: text[:-2],
    "long": lambda text: f"{text}00",
    "a line": lambda text: f"{text}\n",
    "nothing": lambda text: "",
    "null": lambda text: None,
    "a list": lambda text: [text],
    "a number": lambda text: 5,
}


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signatures_of_another_form(algorithm: str, form: str) -> None:
    edited = judge_document(
        lambda d: holder(d).update(signature=FORMS[form](holder(d)["signature"])), "proxy", algorithm
    )
    refused(edited, MALFORMED, NOT_READ)


def _other_encoding(text: str, algorithm: str) -> str:
    """The second signature that the equations allow: n - s of ECDSA, S + L of Ed25519."""
    raw = bytes.fromhex(text.removeprefix("0x"))
    if algorithm == "ed25519":
        return (raw[:32] + (int.from_bytes(raw[32:], "little") + ORDER_ED25519).to_bytes(32, "little")).hex()
    s = ORDER - int.from_bytes(raw[32:64], "big")
    return "0x" + (raw[:32] + s.to_bytes(32, "big") + bytes([55 - raw[64]])).hex()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_other_encoding_of_a_signature(mode: str, algorithm: str) -> None:
    verdict = judge_document(
        lambda d: holder(d).update(signature=_other_encoding(holder(d)["signature"], algorithm)), mode, algorithm
    )
    refused(verdict, INVALID)


@pytest.mark.parametrize("v", ["1d", "1e", "ff", "02"])
def test_recovery_ids_that_are_none(v: str) -> None:
    verdict = judge_document(lambda d: holder(d).update(signature=holder(d)["signature"][:-2] + v), "proxy", "ecdsa")
    refused(verdict, INVALID)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_address_is_the_same_in_either_case(algorithm: str) -> None:
    def edit(document: dict[str, Any]) -> None:
        text = holder(document)["signing_address"]
        prefix = "0x" if algorithm == "ecdsa" else ""
        holder(document)["signing_address"] = prefix + text.removeprefix("0x").upper()

    assert judge_document(edit, "proxy", algorithm).outcome is Outcome.VERIFIED
    assert judge_document(edit, "passthrough", algorithm).outcome is Outcome.VERIFIED


@pytest.mark.parametrize("form", ["0x0x{}", "{}00", "", None, 5, [], "{} "])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_addresses_of_another_form(algorithm: str, form: Any) -> None:
    def edit(document: dict[str, Any]) -> None:
        bare = holder(document)["signing_address"].removeprefix("0x")
        holder(document)["signing_address"] = form.format(bare) if isinstance(form, str) else form

    refused(judge_document(edit, "passthrough", algorithm), MALFORMED, NOT_READ)


@pytest.mark.parametrize("value", [None, {}, [], "signed", {"payload": []}, {"payload": {}}, ...], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_no_statement_at_all(mode: str, value: Any) -> None:
    name = "verification_receipt" if mode == "proxy" else "binding_proof"

    def edit(document: dict[str, Any]) -> None:
        if value is ...:
            del document[name]
        else:
            document[name] = value

    refused(judge_document(edit, mode), MALFORMED, NOT_READ)


def test_a_true_statement_of_the_other_mode_is_none() -> None:
    proof, receipt = document_of("passthrough")["binding_proof"], document_of("proxy")["verification_receipt"]
    refused(judge_document(lambda d: d.update(binding_proof=receipt)), MALFORMED, NOT_READ)
    refused(judge_document(lambda d: d.update(verification_receipt=proof), "proxy"), MALFORMED, NOT_READ)


def _other(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return [*value, "x"] if isinstance(value, list) else {**value, "x": 1}


MEMBERS: Final = [(mode, name) for mode in MODES for name in sorted(holder(document_of(mode))["payload"])]


@pytest.mark.parametrize(("mode", "name"), MEMBERS)
def test_a_member_that_was_changed_or_left_out_after_signing(mode: str, name: str) -> None:
    changes: list[Callable[[Any], Any]] = [lambda p: p.update({name: _other(p[name])}), lambda p: p.pop(name)]
    for change in changes:
        verdict = judge_document(lambda d, edit=change: edit(holder(d)["payload"]), mode)  # type: ignore[misc]
        assert verdict.outcome is Outcome.REJECTED
        assert causes(verdict) & {INVALID, NOT_READ}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_member_that_was_added_after_signing(mode: str, algorithm: str) -> None:
    refused(judge_document(lambda d: holder(d)["payload"].update(more=1), mode, algorithm), INVALID)


def test_a_member_that_the_proxy_signed_and_nobody_knows_is_a_part_of_what_is_signed() -> None:
    session = build(mode="proxy")
    session.payload_changes = {"more": {"\u00e9": [1.5, None, "\U0001f600"]}}
    assert judge_session(session).outcome is Outcome.VERIFIED

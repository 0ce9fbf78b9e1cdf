"""Attacks on the proxy's own evidence, on the document around it, and on saved reports."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from attrs import evolve

from teeverify.testing.recording import compact
from teeverify.verdict import Outcome

from .chain_world import (
    MALFORMED,
    MODES,
    OTHER,
    build,
    causes,
    document_of,
    judge,
    judge_document,
    judge_session,
    policy,
    refused,
    saved_with,
    stranger,
    truthful,
)

INCONCLUSIVE = Outcome.INCONCLUSIVE


@pytest.mark.parametrize("mode", MODES)
def test_a_proxy_quote_for_another_nonce(mode: str) -> None:
    session = build(mode=mode)
    session.attested_nonce = OTHER
    refused(judge_session(session), ("freshness.nonce_bound", "nonce_mismatch"))


@pytest.mark.parametrize("mode", MODES)
def test_a_debug_proxy(mode: str) -> None:
    session = build(mode=mode)
    session.proxy.td_changes["td_attributes"] = 1
    refused(judge_session(session), ("tdx.debug_off", "debug_on"))


@pytest.mark.parametrize("mode", MODES)
def test_a_proxy_of_another_application(mode: str) -> None:
    session = build(mode=mode)
    session.proxy.reboot(app_compose=session.proxy.boot.app_compose.replace("vllm-proxy@", "other@"))
    refused(judge_session(session), ("pin.compose", "not_pinned"))


@pytest.mark.parametrize("mode", MODES)
def test_a_proxy_that_the_policy_does_not_pin(mode: str) -> None:
    rules = policy("delegated")
    unpinned = evolve(rules, pins={"instance": rules.pins["instance"]})
    refused(judge(truthful(mode).saved(), unpinned), ("policy.pinned", "role_not_pinned"))


def test_instances_that_the_policy_does_not_pin() -> None:
    rules = evolve(policy(), pins={"gateway": policy().pins["gateway"]})
    refused(judge(truthful().saved(), rules), ("policy.pinned", "role_not_pinned"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519"])
def test_a_proxy_that_shows_the_key_of_another(mode: str, algorithm: str) -> None:
    session = build(mode=mode, algorithm=algorithm)
    key = stranger(session)
    session.proxy.signing = evolve(session.proxy.signing, public_override=key.public)
    refused(judge_session(session), ("binding.signing_key", "other_address"))
    session.proxy.signing = evolve(session.proxy.signing, public_override=None, address_override=key.address)
    session.signer = key
    refused(judge_session(session), ("binding.signing_key", "other_address"))


@pytest.mark.parametrize("mode", MODES)
def test_a_stranger_who_signs_and_names_himself_beside_the_proxys_quote(mode: str) -> None:
    session, quote = build(mode=mode), document_of(mode)["proxy"]["attestation"]["intel_quote"]
    session.proxy.signing = session.signer = stranger(session)
    document = session.document()
    for record in (document["proxy"]["attestation"], document["proxy"]["attestation"]["all_attestations"][0]):
        record.update(intel_quote=quote, quote=quote)
    refused(judge(session.saved(document)), ("binding.report_data", "other_bytes"))


@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519"])
@pytest.mark.parametrize("mode", MODES)
def test_a_public_key_beside_the_record(mode: str, algorithm: str) -> None:
    other, own = stranger(truthful(mode, algorithm)).public.hex(), truthful(mode, algorithm).signer.public.hex()

    def shown(value: Any) -> Any:
        return judge_document(lambda d: d["proxy"].update(signing_public_key=value), mode, algorithm)

    refused(shown(other), ("receipt.signature", "other_key"))
    for value in (None, "", f"04{own}", own[:-2], 5, [own]):
        refused(shown(value), MALFORMED)


def test_a_record_without_a_public_key() -> None:
    def edit(document: dict[str, Any]) -> None:
        record = document["proxy"]["attestation"]
        del record["signing_public_key"], record["all_attestations"][0]["signing_public_key"]

    refused(judge_document(edit, "proxy"), MALFORMED)


def _rival(mode: str, spoil: Callable[[Any], Any]) -> dict[str, Any]:
    session = build(mode=mode)
    spoil(session)
    record: dict[str, Any] = session.document()["proxy"]["attestation"]
    return {name: value for name, value in record.items() if name != "all_attestations"}


@pytest.mark.parametrize("mode", MODES)
def test_copies_that_contradict_the_proxys_record(mode: str) -> None:
    debug = _rival(mode, lambda session: session.proxy.td_changes.update(td_attributes=1))
    verdict = judge_document(lambda d: d["proxy"]["attestation"].update(all_attestations=[debug]), mode)
    refused(verdict, ("tdx.debug_off", "debug_on"))
    stale = _rival(mode, lambda session: setattr(session, "attested_nonce", OTHER))
    verdict = judge_document(lambda d: d["proxy"]["attestation"]["all_attestations"].append(stale), mode)
    refused(verdict, ("freshness.nonce_bound", "nonce_mismatch"))


@pytest.mark.parametrize("copies", [{}, 5, None, [None], [{}], ["x"], [[]], [{}] * 300], ids=lambda v: str(v)[:12])
def test_copies_that_are_none(copies: Any) -> None:
    verdict = judge_document(lambda d: d["proxy"]["attestation"].update(all_attestations=copies), "proxy")
    assert verdict.outcome is Outcome.REJECTED
    assert causes(verdict) & {MALFORMED, ("evidence.complete", "missing")}


def test_two_quotes_in_one_record() -> None:
    other = _rival("proxy", lambda session: setattr(session, "attested_nonce", OTHER))["quote"]
    for value in (other, None, "", 5):
        verdict = judge_document(lambda d, v=value: d["proxy"]["attestation"].update(quote=v), "proxy")  # type: ignore[misc]
        refused(verdict, MALFORMED)


@pytest.mark.parametrize("value", [None, {}, [], "x", {"attestation": None}, {"attestation": []}], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_no_record_of_the_proxy(mode: str, value: Any) -> None:
    verdict = judge_document(lambda d: d.update(proxy=value), mode)
    refused(verdict, MALFORMED)
    assert causes(verdict, "gateway") >= {MALFORMED}


def test_the_proxys_own_gpus_are_judged_where_it_shows_some() -> None:
    session = build(mode="proxy", proxy_gpus=1)
    assert judge_session(session).outcome is Outcome.VERIFIED
    session.nras.overall_changes = {"x-nvidia-overall-att-result": False}
    refused(judge_session(session), ("gpu.nras_result", "result_overall"))
    document = build(mode="proxy", proxy_gpus=1).document()
    text = document["proxy"]["attestation"]["nvidia_payload"]
    values: list[Any] = [json.loads(text), [], {}, 0, True, "{}", text.replace(build().nonce.hex(), OTHER.hex())]
    for value in values:
        for record in (document["proxy"]["attestation"], document["proxy"]["attestation"]["all_attestations"][0]):
            record["nvidia_payload"] = value
        assert judge(saved_with(document, "proxy")).outcome is Outcome.REJECTED


# --- the document -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "answered"), [MODES, MODES[::-1]])
@pytest.mark.parametrize("rules", ["all", "any", "delegated"])
def test_an_answer_in_the_other_mode(asked: str, answered: str, rules: str) -> None:
    refused(judge(saved_with(document_of(answered), asked), policy(rules)), MALFORMED)


@pytest.mark.parametrize("value", ["PROXY", "proxy ", "passthrough", None, True, ["proxy"], 0])
def test_modes_that_were_not_asked_for(value: Any) -> None:
    refused(judge_document(lambda d: d.update(verify_mode=value), "proxy"), MALFORMED)


@pytest.mark.parametrize("version", ["2", "1.0", "", 1, None, ["1"], True])
@pytest.mark.parametrize("mode", MODES)
def test_another_version(mode: str, version: Any) -> None:
    refused(judge_document(lambda d: d.update(version=version), mode), MALFORMED)


@pytest.mark.parametrize("mode", MODES)
def test_repeated_keys(mode: str) -> None:
    text = compact(document_of(mode))
    for old, new in (
        (b'{"version"', b'{"version":"1","version"'),
        (b'"payload":{', b'"payload":{"nonce":"00",'),
        (b'"signature":', b'"signature":"0x","signature":'),
    ):
        assert old in text
        refused(judge(saved_with(text.replace(old, new, 1), mode)), MALFORMED)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b"5", b'"x"', b"\xff", b"{" * 50_000, b'{"a":' * 40 + b"1" + b"}" * 40]
)
@pytest.mark.parametrize("mode", MODES)
def test_bodies_that_are_no_document(mode: str, body: bytes) -> None:
    refused(judge(saved_with(body, mode)), MALFORMED)


# --- saved reports ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", ["all", "any", "delegated"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("other", MODES)
def test_two_answers_leave_open_which_one_counts(mode: str, other: str, rules: str) -> None:
    saved, more = saved_with(document_of(mode), mode), saved_with(document_of(other), other)["exchanges"][0]
    more["response"]["headers"]["X-Other"] = ["1"]
    for exchanges in ([*saved["exchanges"], more], [more, *saved["exchanges"]]):
        refused(judge({**saved, "exchanges": exchanges}, policy(rules)), MALFORMED)


def test_a_first_try_that_failed_is_no_second_answer() -> None:
    saved = saved_with(document_of())
    failed = json.loads(json.dumps(saved["exchanges"][0]))
    failed["response"].update(status=502, body=base64.b64encode(b"{}").decode())
    assert judge({**saved, "exchanges": [failed, *saved["exchanges"]]}).outcome is Outcome.VERIFIED


def test_a_saved_report_without_a_request_is_inconclusive() -> None:
    saved = saved_with(document_of())
    assert judge({**saved, "exchanges": saved["exchanges"][1:]}).outcome is INCONCLUSIVE
    assert judge({**saved, "exchanges": []}).outcome is INCONCLUSIVE


def _nonce(url: str) -> str:
    return url.split("nonce=")[1][:64]


URLS: Final[dict[str, Callable[[str], str]]] = {
    "http": lambda url: url.replace("https:", "http:"),
    "no model": lambda url: url.replace("model=", "other="),
    "empty model": lambda url: url.replace("test-org%2Fmodel-1b-TEE", ""),
    "other model": lambda url: url.replace("model-1b", "model-2b"),
    "model twice": lambda url: f"{url}&model=x",
    "nonce twice, the last one ours": lambda url: url.replace("nonce=", f"nonce={OTHER.hex()}&nonce="),
    "other mode": lambda url: url.replace("=passthrough", "=both"),
    "mode by default": lambda url: url.replace("&verify_mode=passthrough", ""),
    "other algorithm": lambda url: url.replace("=ed25519", "=rsa"),
    "algorithm by default": lambda url: url.replace("&signing_algo=ed25519", ""),
    "a fragment": lambda url: f"{url}#x",
    "no query": lambda url: url.partition("?")[0],
    "a query that is none": lambda url: f"{url}&&",
    "no nonce": lambda url: url.replace("nonce=", "once="),
    "long nonce": lambda url: url.replace("nonce=", "nonce=00"),
    "other nonce": lambda url: url.replace(_nonce(url), OTHER.hex()),
    "nonce in capitals": lambda url: url.replace(_nonce(url), _nonce(url).upper()),
}


@pytest.mark.parametrize("name", sorted(URLS))
def test_requests_that_did_not_ask_for_what_the_answer_shows(name: str) -> None:
    saved = saved_with(document_of())
    request = saved["exchanges"][0]["request"]
    request["url"] = URLS[name](request["url"])
    # What is no chain request at all was not recorded; anything else asked for something else.
    expected = Outcome.INCONCLUSIVE if name in ("http", "no query") else Outcome.REJECTED
    assert judge(saved, policy("all")).outcome is expected
    assert judge(saved, policy("delegated")).outcome is expected


def test_a_report_that_asked_for_a_receipt_where_the_policy_demands_instances() -> None:
    saved = saved_with(document_of("proxy"), "proxy")
    for rules in ("all", "any"):
        verdict = judge(saved, policy(rules))
        assert verdict.outcome is INCONCLUSIVE
        assert causes(verdict) == {("receipt.delegation", "not_accepted")}

"""Parts of one genuine session inside another: everything is signed by genuine hardware, and nothing fits together."""

from __future__ import annotations

import json
from typing import Any, Final

import attrs
import pytest

from captures import NEAR_CAPTURES
from teeverify.saved import SavedReport
from teeverify.verdict import Outcome, Status

from .tampering import Session, deciding_ids, get, put, session_of

pytestmark = pytest.mark.usefixtures("pure_work_remembered")

_NAMES: Final = tuple(NEAR_CAPTURES)
_PAIRS: Final = tuple((own, other) for own in _NAMES for other in _NAMES if own != other)


def _session(name: str) -> Session:
    return session_of(name, NEAR_CAPTURES[name])


def _model(session: Session) -> Any:
    return get(session.body, session.record_paths["model"])


def _with_model(session: Session, model: Any) -> Any:
    return put(session.body, session.record_paths["model"], model)


def _with_collateral_of(own: Session, other: Session) -> SavedReport:
    """Own report, the other session's answers of Intel and NVIDIA."""
    report = own.report.exchanges[own.place]
    others = tuple(each for i, each in enumerate(other.report.exchanges) if i != other.place)
    return attrs.evolve(own.report, exchanges=(report, *others))


@pytest.mark.parametrize(("own", "other"), _PAIRS)
def test_the_whole_report_of_another_session(own: str, other: str) -> None:
    """A replay: complete and consistent in itself, for another challenge."""
    session, foreign = _session(own), _session(other)
    if session.cloud == foreign.cloud:
        verdict = session.judge_body(foreign.body)
        assert verdict.outcome is Outcome.REJECTED
        assert deciding_ids(verdict, "model") >= {"freshness.nonce_bound", "gpu.nonce_bound"}
    answer = foreign.report.exchanges[foreign.place].response
    assert session.judge(session.with_answer(session.place, body=answer.body)).outcome is Outcome.REJECTED


@pytest.mark.parametrize(("own", "other"), _PAIRS)
def test_the_model_record_of_another_session(own: str, other: str) -> None:
    session = _session(own)
    verdict = session.judge_body(_with_model(session, _model(_session(other))))
    assert verdict.outcome is Outcome.REJECTED
    assert deciding_ids(verdict, "model") >= {"freshness.nonce_bound"}


@pytest.mark.parametrize(("own", "other"), _PAIRS)
@pytest.mark.parametrize(
    ("member", "refused_by"),
    [
        ("intel_quote", {"freshness.nonce_bound"}),
        ("nvidia_payload", {"gpu.nonce_bound"}),
        ("compose_manager_attestation", {"freshness.nonce_bound"}),
        ("event_log", {"dstack.rtmr_replay"}),
        ("info", {"dstack.rtmr_replay", "dstack.reported_info", "dstack.mr_config_id"}),
        ("tls_cert_fingerprint", {"binding.report_data"}),
    ],
)
def test_one_member_of_another_session(own: str, other: str, member: str, refused_by: set[str]) -> None:
    session, foreign = _session(own), _model(_session(other))
    if foreign[member] == _model(session)[member]:
        return  # the same machine on the same day: this part is the same
    verdict = session.judge_body(put(session.body, (*session.record_paths["model"], member), foreign[member]))
    if verdict.outcome is Outcome.VERIFIED:
        # The same machine: all that differs is neither signed nor stated, such as settings of the host.
        assert member == "info"
        assert foreign[member]["tcb_info"] == _model(session)[member]["tcb_info"]
        return
    assert verdict.outcome is Outcome.REJECTED
    assert deciding_ids(verdict) & refused_by


@pytest.mark.parametrize(("own", "other"), _PAIRS)
def test_the_challenge_rewritten_in_every_copy(own: str, other: str) -> None:
    """An old report whose every printed nonce is made ours: the quotes and the GPUs still hold the old one."""
    session, foreign = _session(own), _session(other)
    if session.cloud != foreign.cloud:
        return
    text = json.dumps(foreign.body).replace(foreign.report.nonce.hex(), session.report.nonce.hex())
    parts = foreign.report.nonce.hex()
    assert parts not in text
    verdict = session.judge_body(json.loads(text))
    assert verdict.outcome is Outcome.REJECTED
    assert deciding_ids(verdict, "model") & {"tdx.quote_signature", "freshness.nonce_bound"}
    assert "gpu.nonce_bound" in deciding_ids(verdict, "model")


def test_a_gateway_of_april_in_a_report_of_june() -> None:
    june, april = _session("near-cloud-2026-06-29"), _session("near-cloud-2026-04-24")
    verdict = june.judge_body({**june.body, "gateway_attestation": april.body["gateway_attestation"]})
    assert verdict.outcome is Outcome.REJECTED
    assert deciding_ids(verdict, "gateway") >= {
        "freshness.nonce_bound",
        "tcb.status",
        "tcb.advisories",
        "channel.tls_spki",
    }
    assert deciding_ids(verdict, "model") == set()


def test_the_model_in_place_of_the_gateway_and_back() -> None:
    session = _session("near-cloud-2026-06-29")
    as_gateway = session.judge_body({**session.body, "gateway_attestation": _model(session)})
    assert deciding_ids(as_gateway, "gateway") >= {"pin.base_image", "pin.app_id", "pin.compose", "channel.tls_spki"}
    gateway = {**session.body["gateway_attestation"], "model_name": session.report.model}
    as_model = session.judge_body({**session.body, "model_attestations": [gateway]})
    assert deciding_ids(as_model, "model") >= {"pin.base_image", "pin.app_id", "gpu.present", "evidence.complete"}


@pytest.mark.parametrize("name", _NAMES)
def test_quotes_of_model_and_compose_manager_exchanged(name: str) -> None:
    session = _session(name)
    paths = session.record_paths
    model, manager = (*paths["model"], "intel_quote"), (*paths["compose_manager"], "quote")
    both = put(put(session.body, model, get(session.body, manager)), manager, get(session.body, model))
    verdict = session.judge_body(both)
    assert "binding.report_data" in deciding_ids(verdict, "model")
    assert "binding.report_data" in deciding_ids(verdict, "compose_manager")
    twice = session.judge_body(put(session.body, manager, get(session.body, model)))
    assert deciding_ids(twice, "compose_manager") >= {"binding.report_data", "binding.same_td"}
    other_way = session.judge_body(put(session.body, model, get(session.body, manager)))
    assert "binding.report_data" in deciding_ids(other_way, "model")


@pytest.mark.parametrize("name", _NAMES)
def test_the_action_hash_posing_as_an_address(name: str) -> None:
    """The compose-manager's quote, shown as the model's with its hash as the signing key, asked for in padded form."""
    session = _session(name)
    manager = get(session.body, session.record_paths["compose_manager"])
    model = {
        **_model(session),
        "intel_quote": manager["quote"],
        "signing_address": manager["actions_hash"],
        "signing_public_key": manager["actions_hash"],
    }
    body = _with_model(session, model)
    assert "binding.report_data" in deciding_ids(session.judge_body(body), "model")
    url = session.report.exchanges[session.place].request.url.replace("include_tls_fingerprint=true&", "")
    exchange = session.with_body(body).exchanges[session.place]
    asked = attrs.evolve(exchange, request=attrs.evolve(exchange.request, url=url))
    verdict = session.judge(session.with_exchange(session.place, asked))
    assert verdict.outcome is Outcome.REJECTED
    assert deciding_ids(verdict) & {"binding.same_td", "binding.e2ee_key", "evidence.wellformed"}


@pytest.mark.parametrize(("own", "other"), _PAIRS)
def test_answers_of_intel_and_nvidia_of_another_session(own: str, other: str) -> None:
    session, foreign = _session(own), _session(other)
    verdict = session.judge(_with_collateral_of(session, foreign))
    same_month = own[-10:] == other[-10:]
    if same_month:  # Intel's statements hold for a month, so only NVIDIA's token tells, or a missing TCB info
        assert verdict.outcome is not Outcome.VERIFIED
        assert deciding_ids(verdict) & {"gpu.nras_token", "tcb.collateral_current"}
    else:
        assert verdict.outcome is Outcome.REJECTED
        assert "tcb.collateral_current" in deciding_ids(verdict, "model")
        assert "saved.recorded_at" in deciding_ids(verdict, "model")


def test_old_collateral_with_a_clock_turned_back() -> None:
    """June's quotes under April's collateral, judged as of April: NVIDIA's token and the level of evaluation tell."""
    june, april = _session("near-direct-2026-06-29"), _session("near-direct-2026-04-24")
    moved = attrs.evolve(_with_collateral_of(june, april), recorded_at=april.report.recorded_at)
    verdict = june.judge(moved)
    assert verdict.outcome is Outcome.REJECTED
    assert deciding_ids(verdict, "model") >= {"tcb.eval_number", "gpu.nras_token"}


@pytest.mark.parametrize("name", _NAMES)
def test_tcb_info_of_another_platform(name: str) -> None:
    cloud = _session("near-cloud-2026-06-29" if "06-29" in name else "near-cloud-2026-04-24")
    session = _session(name)
    place = session.places("fmspc=90c06f")[0]
    answer = cloud.answer("fmspc=b0c06f")
    verdict = session.judge(session.with_answer(place, body=answer.body, headers=answer.headers))
    assert verdict.outcome is Outcome.REJECTED
    assert "tcb.collateral_current" in deciding_ids(verdict, "model")


@pytest.mark.parametrize("name", _NAMES)
def test_intels_answers_exchanged(name: str) -> None:
    session = _session(name)
    parts = ("tdx/certification/v4/tcb", "qe/identity", "pckcrl", "IntelSGXRootCA.der")
    for part, other in zip(parts, (parts[1], parts[0], parts[3], parts[2]), strict=True):
        answer = session.answer(other)
        report = session.report
        for place in session.places(part):
            changed = attrs.evolve(report.exchanges[place], response=answer)
            report = attrs.evolve(
                report, exchanges=(*report.exchanges[:place], changed, *report.exchanges[place + 1 :])
            )
        verdict = session.judge(report)
        assert verdict.outcome is not Outcome.VERIFIED
        assert "tcb.collateral_current" in deciding_ids(verdict)


@pytest.mark.parametrize("name", _NAMES)
def test_one_gpu_of_another_session(name: str) -> None:
    session = _session(name)
    for other in set(_NAMES) - {name}:
        own = json.loads(_model(session)["nvidia_payload"])
        foreign = json.loads(_model(_session(other))["nvidia_payload"])
        entry = {k: v for k, v in foreign["evidence_list"][2].items() if k != "nonce"}
        for entries in (
            [*own["evidence_list"][:2], entry, *own["evidence_list"][3:]],
            [*own["evidence_list"], entry],
            [*own["evidence_list"][:7], own["evidence_list"][0]],
            own["evidence_list"][:7],
        ):
            payload = json.dumps({**own, "evidence_list": entries})
            path = (*session.record_paths["model"], "nvidia_payload")
            verdict = session.judge_body(put(session.body, path, payload))
            assert verdict.outcome is Outcome.REJECTED
            refused_by = {"gpu.nonce_bound", "gpu.distinct_devices", "gpu.present", "gpu.nras_token"}
            assert deciding_ids(verdict, "model") & refused_by


def test_good_and_bad_model_records_together() -> None:
    session, april = _session("near-cloud-2026-06-29"), _session("near-cloud-2026-04-24")
    good, old = _model(session), _model(april)
    for records in ([good, old], [old, good], [good, {}], [good, None], [good, {**good, "model_name": "other"}]):
        verdict = session.judge_body({**session.body, "model_attestations": records})
        assert verdict.outcome is Outcome.REJECTED
        assert all(not subject.attested_keys for subject in verdict.subjects)
    many = session.judge_body({**session.body, "model_attestations": [good] * 17})
    assert many.outcome is Outcome.REJECTED


def test_a_report_of_the_other_shape() -> None:
    cloud, direct = _session("near-cloud-2026-06-29"), _session("near-direct-2026-06-29")
    assert cloud.judge_body(direct.body).outcome is Outcome.REJECTED
    assert direct.judge_body(cloud.body).outcome is Outcome.REJECTED
    merged = direct.judge_body({**cloud.body, **direct.body})
    assert merged.outcome is Outcome.VERIFIED  # members of the gateway's shape mean nothing to a model host
    assert [subject.role for subject in merged.subjects] == ["model", "compose_manager"]


@pytest.mark.parametrize("name", ["near-cloud-2026-06-29", "near-direct-2026-06-29"])
def test_another_oblivious_http_key(name: str) -> None:
    """A key of another signer is refused; without its signature no key is offered, whatever is served."""
    session = _session(name)
    path = session.record_paths["model"]
    own = get(session.body, path)["ohttp_attestation"]
    for member, value in (("key_config", own["key_config"][:-2] + "02"), ("signature", "00" * 64)):
        verdict = session.judge_body(put(session.body, (*path, "ohttp_attestation", member), value))
        assert "binding.e2ee_key" in deciding_ids(verdict, "model")
    if session.cloud:
        swapped = put(session.body, (*path, "ohttp_attestation"), session.body["ohttp_attestation"])
        verdict = session.judge_body(swapped)
        assert "binding.e2ee_key" in deciding_ids(verdict, "model")
    unsigned = {k: v for k, v in get(session.body, path).items() if k != "ohttp_attestation"}
    verdict = session.judge_body(_with_model(session, {**unsigned, "ohttp_key_config": "00" * 45}))
    assert verdict.outcome is Outcome.VERIFIED
    (model,) = (subject for subject in verdict.subjects if subject.role == "model")
    assert [key.use for key in model.attested_keys] == ["signing"]
    assert {check.id: check.status for check in model.checks}["binding.e2ee_key"] is Status.NOT_APPLICABLE

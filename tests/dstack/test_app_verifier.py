"""DstackVerifier: what is demanded of REPORTDATA, what files may say, and what a saved report may not."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teeverify.errors import ConfigurationError, TransportError
from teeverify.flow import Request, Response
from teeverify.policy import Policy
from teeverify.providers.dstack_app import DstackEvidence, DstackVerifier
from teeverify.registry import verifier_for
from teeverify.saved import SavedReport
from teeverify.testing import DstackApp, dstack_policy, trust_roots
from teeverify.transport import MockTransport, ReplayTransport
from teeverify.verdict import Outcome

from .apps import FORM, failing, judge, judged, reason, report_of

APP = DstackApp.build()
FILES = APP.files()
POLICY = Policy.from_toml(dstack_policy(APP))
DATA = APP.report_data


def test_the_provider_is_known() -> None:
    assert verifier_for("dstack") is DstackVerifier


@pytest.mark.parametrize(
    "query", [f"report_data={DATA.hex()}", f"nonce={DATA[32:].hex()}", f"report_data={DATA.hex().upper()}"]
)
def test_what_was_demanded_is_there(query: str) -> None:
    verdict = judge(APP, query=query)
    assert verdict.outcome is Outcome.VERIFIED
    assert all(not subject.attested_keys for subject in verdict.subjects)
    demanded = query.startswith("report_data")
    assert verdict.nonce == (hashlib.sha256(DATA).hexdigest() if demanded else DATA[32:].hex())
    words = "holds the REPORTDATA that was demanded" if demanded else "nothing was demanded of the first half"
    assert words in verdict.trust_boundary


def test_without_a_demand_nothing_is_fresh() -> None:
    verdict = judge(APP, query="")
    assert failing(verdict) == {"freshness.nonce_bound"}
    assert reason(verdict, "freshness.nonce_bound") == "no_client_nonce"
    assert "nothing shows when the quote was made" in verdict.trust_boundary


@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_another_byte_of_report_data(place: int) -> None:
    changed = bytearray(DATA)
    changed[place] ^= 1
    verdict = judge(attrs.evolve(APP, report_data=bytes(changed)), FILES)
    assert failing(verdict) & {"freshness.nonce_bound", "binding.report_data"}


def test_another_nonce() -> None:
    assert failing(judge(APP, query=f"nonce={DATA[:32].hex()}")) == {"freshness.nonce_bound"}


@pytest.mark.parametrize(
    "query",
    [
        f"nonce={DATA[32:].hex()}&report_data={DATA.hex()}",
        f"nonce={DATA[32:].hex()}&nonce={DATA[32:].hex()}",
        f"nonce={DATA[32:].hex()}&x=1",
        "nonce=",
        "nonce=" + "00" * 32,
        "report_data=" + "00" * 64,
        f"report_data={DATA[:32].hex()}",
        f"nonce={DATA.hex()}",
        f"NONCE={DATA[32:].hex()}",
        "x=1",
    ],
)
def test_a_demand_that_cannot_be_read_is_none(query: str) -> None:
    document = APP.saved(query=f"nonce={DATA[32:].hex()}")
    document["exchanges"][0]["request"]["url"] = f"https://dstack-app.invalid/attestation?{query}"
    verdict = judged(SavedReport.from_bytes(json.dumps(document).encode()), POLICY)
    assert "freshness.nonce_bound" in failing(verdict)


def test_a_quote_of_zeros_is_not_fresh() -> None:
    app = DstackApp.build()
    app.report_data = bytes(64)
    for query in ("nonce=" + "00" * 32, "report_data=" + "00" * 64, ""):
        report = attrs.evolve(report_of(app, query=query), nonce=bytes(32))
        assert "freshness.nonce_bound" in failing(judged(report, POLICY))


def test_the_nonce_of_the_file_must_be_that_of_the_request() -> None:
    report = attrs.evolve(report_of(APP), nonce=b"\1" * 32)
    assert reason(judged(report, POLICY), "freshness.nonce_bound") == "asked_other_nonce"


def test_no_request_or_two_of_them() -> None:
    report = report_of(APP)
    verdict = judged(attrs.evolve(report, exchanges=report.exchanges[1:]), POLICY)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    first = report.exchanges[0]
    other = attrs.evolve(first, response=attrs.evolve(first.response, body=first.response.body + b" "))
    for double in (other, attrs.evolve(first, request=attrs.evolve(first.request, url=f"{first.request.url}&a=b"))):
        assert failing(judged(attrs.evolve(report, exchanges=(double, *report.exchanges)), POLICY)) & FORM


def changed(**files: Any) -> dict[str, Any]:
    return {**FILES, **files}


def with_info(edit: Any) -> dict[str, Any]:
    info = json.loads(FILES["info"])
    edit(info)
    return changed(info=json.dumps(info))


def test_files_that_are_not_needed() -> None:
    without = {name: FILES[name] for name in ("quote", "event_log", "app_compose")}
    assert failing(judge(APP, without)) == set()
    in_info = {name: FILES[name] for name in ("quote", "info")}
    assert failing(judge(APP, in_info)) == set()
    assert failing(judge(APP, changed(info=json.loads(FILES["info"])))) == set()
    as_text = with_info(lambda info: info.update(tcb_info=json.dumps(info["tcb_info"])))
    assert failing(judge(APP, as_text)) == set()


@pytest.mark.parametrize("name", ["quote", "event_log", "app_compose"])
def test_files_that_are(name: str) -> None:
    needed = {key: FILES[key] for key in ("quote", "event_log", "app_compose") if key != name}
    assert "evidence.complete" in failing(judge(APP, needed))


@pytest.mark.parametrize(
    ("files", "by"),
    [
        (changed(app_compose=FILES["app_compose"] + " "), FORM),
        (changed(app_compose=FILES["app_compose"] + " ", info=""), {"dstack.compose_event"}),
        (changed(app_compose=5), FORM),
        (changed(app_compose="{}", info=""), {"dstack.compose_event"}),
        (changed(quote=FILES["quote"][:-200]), FORM),
        (changed(quote="zz"), FORM),
        (changed(quote=["x"]), FORM),
        (changed(event_log="{}"), FORM),
        (changed(event_log="[]"), FORM),
        (changed(info="{"), FORM),
        (changed(info=[1]), FORM),
        (with_info(lambda info: info.update(tcb_info="{")), FORM),
        (with_info(lambda info: info.update(app_id="11" * 20)), {"dstack.reported_info"}),
        (with_info(lambda info: info.update(mr_aggregated="11" * 32)), {"dstack.reported_info"}),
        (with_info(lambda info: info["tcb_info"].update(mr_aggregated="11" * 32)), {"dstack.reported_info"}),
        (with_info(lambda info: info.update(device_id="11" * 32)), {"dstack.reported_info"}),
        (with_info(lambda info: info["tcb_info"].update(rtmr3="11" * 48)), {"dstack.rtmr_replay"}),
        (with_info(lambda info: info.update(key_provider_info="{}")), {"dstack.key_provider"}),
        (with_info(lambda info: info["tcb_info"].update(app_compose="{}")), FORM),
    ],
)
def test_files_that_lie(files: dict[str, Any], by: set[str]) -> None:
    assert failing(judge(APP, files)) & by


def test_an_unset_device_id_is_that_of_newer_guests() -> None:
    unset = with_info(lambda info: info.update(device_id=hashlib.sha256(b"").hexdigest()))
    assert failing(judge(APP, unset)) == set()


def test_another_app_under_the_same_policy() -> None:
    other = DstackApp.build(services='services: {b: {image: "x"}}\n')
    found = failing(judged(report_of(other), POLICY))
    assert {"pin.compose", "pin.images_by_digest"} <= found


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(["quote", "event_log", "app_compose", "vm_config", "info", "mr_config"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("[]") | st.just("{}"),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["tcb_info", "x"]), inner),
            max_leaves=4,
        ),
        min_size=1,
    )
)
def test_any_files_are_judged(files: dict[str, Any]) -> None:
    verdict = judge(APP, {**FILES, **files})
    if files.keys() & {"quote", "event_log", "app_compose"}:
        assert verdict.outcome is not Outcome.VERIFIED or all(value in ("", None) for value in files.values())


# --- live ---------------------------------------------------------------------------------------------------------


def evidence(**changes: Any) -> DstackEvidence:
    values: dict[str, Any] = {**FILES, "quote": bytes.fromhex(FILES["quote"]), "report_data": DATA}
    return DstackEvidence(**{**values, **changes})


def verifier(transport: Any) -> DstackVerifier:
    return DstackVerifier(POLICY, roots=trust_roots(), transport=transport, clock=lambda: APP.at)


def test_files_and_answers_of_intel() -> None:
    intel = ReplayTransport(report_of(APP, {}))
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(request.url)
        return intel.send(request)

    verdict = verifier(MockTransport(answer)).verify_evidence(evidence(), name="my app").require()
    assert verdict.model == "my app"
    assert len(asked) == 4
    assert not any("dstack-app" in url for url in asked)
    assert verdict.evidence is not None
    again = judged(SavedReport.from_bytes(verdict.evidence.to_bytes()), POLICY)
    assert again.outcome is Outcome.VERIFIED
    assert again.nonce == verdict.nonce


def test_an_outage_of_intel_is_inconclusive() -> None:
    def answer(request: Request) -> Response:
        raise TransportError("no network")

    assert verifier(MockTransport(answer)).verify_evidence(evidence()).outcome is Outcome.INCONCLUSIVE


def test_nothing_demanded_is_never_verified() -> None:
    transport = ReplayTransport(report_of(APP, {}))
    verdict = verifier(transport).verify_evidence(evidence(report_data=None))
    assert verdict.outcome is Outcome.REJECTED
    assert failing(verdict) == {"freshness.nonce_bound"}


def test_old_collateral_is_seen() -> None:
    late = DstackVerifier(POLICY, roots=trust_roots(), transport=ReplayTransport(report_of(APP, {})))
    verdict = late.verify_evidence(evidence(), now=APP.at + timedelta(days=60))
    assert verdict.outcome is not Outcome.VERIFIED


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": DATA[32:]},
        {"report_data": DATA[:32]},
        {"report_data": bytes(64)},
        {"report_data": None, "nonce": bytes(32)},
    ],
)
def test_demands_that_are_none(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        evidence(**changes)


def test_there_is_no_endpoint_to_ask() -> None:
    with pytest.raises(ConfigurationError, match="verify_evidence"):
        verifier(ReplayTransport(report_of(APP))).verify_attestation("app")

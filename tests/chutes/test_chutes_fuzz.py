"""Whatever the services answer is judged and never raises: mutated and hostile answers, fuzzing, and live sessions."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teeverify.claims.problem import Problem
from teeverify.providers.chutes_gateway import read_wrapped
from teeverify.providers.chutes_wire import ChutesAsked, asked_from_urls, chute_of_model, read_instances
from teeverify.testing.chutes_world import MODEL
from teeverify.testing.recording import body_of, compact, replace_body
from teeverify.verdict import Outcome

from .synthetic import EVIDENCE, HOSTILE, KEYS, Provider, build, judge, policy, verifier

VERIFIED, REJECTED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.REJECTED, Outcome.INCONCLUSIVE
Path = tuple[Any, ...]

# --- every leaf of the two answers, changed and removed ---------------------------------------------------------------

UNMEASURED: Final = {"nonces", "nonce_expires_in", "nonce_expires_at"}
"""Members of the list of keys that nothing attests: tokens of the relay, and until when it takes them."""
WITHOUT: Final = {"arch", "failed_instance_ids"}
"""Members that may be left out or empty: a label that only repeats the certificates, and a list of losses."""


def nodes(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of everything inside a document, containers included."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from nodes(child, (*path, key))


def changes(old: Any, path: Path) -> Iterator[Any]:
    """What a node is replaced by; ... stands for leaving it out."""
    if path[1:2] == (0,):  # one instance may stand for both, but each leaf of both is changed and removed
        yield from (..., old[4:] if isinstance(old, str) else None)
        return
    yield from (..., None, 0, "", "\u00e9", [], {"a": 1})
    if isinstance(old, str):
        middle = len(old) // 2
        other = "A" if old[middle] != "A" else "B"
        yield from (old + " ", old[:-4], old.swapcase(), old[:middle] + other + old[middle + 1 :])
    if isinstance(old, list):
        yield from (old[:1], old * 2, old[::-1])
    if isinstance(old, dict):
        yield {**old, "": old}


def mutated(document: Any, path: Path, value: Any) -> Any:
    """A copy with one node replaced, or removed."""
    result = node = copy.deepcopy(document)
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return result


def certificate_key(text: Any) -> bytes:
    certificate = x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def is_unmeasured(path: Path, old: Any, new: Any) -> bool:
    """Whether nothing that is attested depends on this change."""
    names = [part for part in path if isinstance(part, str)]
    if UNMEASURED & set(names):
        return True
    if names[-1] in WITHOUT:
        return new is ... or not new
    if names in (["evidence", "quote"], ["evidence", "gpu_evidence", "certificate"]):  # zero bytes at the end
        return isinstance(new, str) and base64.b64decode(new).rstrip(b"\0") == base64.b64decode(old).rstrip(b"\0")
    if names == ["evidence", "certificate"]:  # a stranger's signature and names around the key that counts
        return isinstance(new, str) and certificate_key(new) == certificate_key(old)
    if names in (["evidence"], ["instances"]):
        if isinstance(new, dict) and isinstance(old, dict):  # an unknown member beside the known ones
            return all(new.get(key) == value for key, value in old.items())
        return isinstance(new, list) and isinstance(old, list) and new == old[::-1]
    if names == ["evidence", "gpu_evidence"]:
        return isinstance(new, dict) and all(new.get(key) == value for key, value in old.items())
    return False


@pytest.mark.parametrize("part", [KEYS, EVIDENCE])
def test_no_change_of_a_leaf_is_verified(part: str) -> None:
    saved = build().saved()
    document = json.loads(body_of(saved, part))
    accepted = []
    for path in nodes(document):
        old = document
        for key in path:
            old = old[key]
        if "nonces" in path[:-1] and path[-1] > 0:
            continue  # ten tokens alike
        for new in changes(old, path):
            if new is not ... and type(new) is type(old) and new == old:
                continue
            spoiled = replace_body(copy.deepcopy(saved), part, compact(mutated(document, path, new)))
            if judge(spoiled).verified:
                accepted.append((path, old, new))
    wrong = [(path, str(new)[:60]) for path, old, new in accepted if not is_unmeasured(path, old, new)]
    assert wrong == []
    assert accepted, "some members are unmeasured, or this test looks at nothing"


# --- hostile answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [KEYS, EVIDENCE])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_rejected(name: str, part: str) -> None:
    verdict = judge(replace_body(build().saved(), part, HOSTILE[name]), mode="any")
    assert verdict.outcome is REJECTED
    assert all(len(subject.id) < 60 and subject.id.isascii() for subject in verdict.subjects)
    assert len({subject.id for subject in verdict.subjects}) == len(verdict.subjects)


@pytest.mark.parametrize("part", [KEYS, EVIDENCE])
def test_repeated_members_inside_an_entry(part: str) -> None:
    saved = build().saved()
    body = body_of(saved, part).replace(b'"instance_id":', b'"instance_id":"x","instance_id":', 1)
    assert judge(replace_body(saved, part, body), mode="any").outcome is REJECTED


def test_ids_in_upper_case_are_no_ids() -> None:
    saved = build().saved()
    for instance in build().instances:
        for part in (KEYS, EVIDENCE):
            body = body_of(saved, part)
            saved = replace_body(
                saved, part, body.replace(instance.instance_id.encode(), instance.instance_id.upper().encode())
            )
    verdict = judge(saved, mode="any")
    assert verdict.outcome is REJECTED
    assert all(subject.id.startswith("instance:unnamed") for subject in verdict.subjects)
    assert len(verdict.subjects) == 2


# --- fuzzing ----------------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text(max_size=8)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
IDS = SCALARS | st.sampled_from([build().instances[0].instance_id, build().instances[1].instance_id])
ENTRIES = st.none() | SCALARS | st.lists(
    st.fixed_dictionaries({}, optional={"instance_id": IDS, "e2e_pubkey": JSON, "quote": JSON, "nonce": JSON})
    | SCALARS,
    max_size=4,
)  # fmt: skip
LISTS: Final = ("instances", "evidence", "all_attestations")
MEMBERS: Final = {**dict.fromkeys(LISTS, ENTRIES), "failed_instance_ids": JSON, "nonce": JSON}
DOCUMENTS = JSON | st.fixed_dictionaries({}, optional=MEMBERS)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@FUZZ
@given(keys=DOCUMENTS, evidence=DOCUMENTS)
def test_read_instances_never_raises(keys: Any, evidence: Any) -> None:
    records = read_instances(compact(keys), compact(evidence))
    assert len({record.id for record in records}) == len(records) > 0
    for record in records:
        assert record.problems or (isinstance(record.members.get("instance_id"), str) and record.id.count(":") == 1)


@FUZZ
@given(keys=st.binary(max_size=40), evidence=st.binary(max_size=40))
def test_read_instances_of_bytes_never_raises(keys: bytes, evidence: bytes) -> None:
    assert all(record.problems for record in read_instances(keys, evidence))


@FUZZ
@given(
    document=st.dictionaries(st.text(max_size=4), JSON, max_size=3) | DOCUMENTS.filter(lambda d: isinstance(d, dict))
)
def test_read_wrapped_never_raises(document: Any) -> None:
    records = read_wrapped(document)
    assert len({record.id for record in records}) == len(records) > 0
    assert all(record.problems or record.wrapped for record in records)


URLS = st.lists(
    st.sampled_from(["https://", "http://", "api.chutes.ai", "[", "]", "/chutes/", "/evidence", "?", "&nonce=", "#"])
    | st.sampled_from(["/e2e/instances/", build().chute_id, "00" * 32, "FF" * 32, "@", ":99999", "\\"])
    | st.text(max_size=5),
    max_size=9,
).map("".join)  # fmt: skip


@FUZZ
@given(urls=st.lists(URLS, max_size=3))
def test_asked_from_urls_never_raises(urls: list[str]) -> None:
    found = asked_from_urls(urls)
    assert isinstance(found, Problem | ChutesAsked)
    if isinstance(found, ChutesAsked):
        assert any(url.startswith(f"https://api.chutes.ai/chutes/{found.chute}/") for url in urls)


@FUZZ
@given(body=(JSON | st.fixed_dictionaries({"data": ENTRIES | JSON})).map(compact) | st.binary(max_size=40))
def test_chute_of_model_never_raises(body: bytes) -> None:
    assert isinstance(chute_of_model(body, MODEL), Problem)


# --- live -------------------------------------------------------------------------------------------------------------


def rounds_of(provider: Provider, rules: Any, model: str = MODEL, **options: Any) -> tuple[Any, list[list[str]]]:
    """Drive the flow by hand: the verdict, and the URLs of each round trip."""
    flow = verifier(rules, transport=provider, **options).attestation_flow(model)
    rounds: list[list[str]] = []
    try:
        batch = next(flow)
        while True:
            rounds.append([request.url for request in batch])
            batch = flow.send(tuple(provider.send(request) for request in batch))
    except StopIteration as done:
        return done.value, rounds


def test_live_takes_three_round_trips() -> None:
    provider = Provider()
    verdict, rounds = rounds_of(provider, policy())
    chute = build().chute_id
    assert verdict.require().verified
    assert rounds[0] == ["https://llm.chutes.ai/v1/models"]
    assert rounds[1] == [
        f"https://api.chutes.ai/e2e/instances/{chute}",
        f"https://api.chutes.ai/chutes/{chute}/evidence?nonce={verdict.nonce}",
    ]
    assert len(rounds) == 3
    assert len(rounds[2]) == 2 + 3 + 2 + 1, "two families, three answers for all, two GPU sets and the key set"
    assert len(set(rounds[2])) == len(rounds[2]) - 1, "only NVIDIA's service is asked twice"
    offline = judge(json.loads(verdict.evidence.to_bytes()))
    assert (offline.outcome, offline.nonce) == (VERIFIED, verdict.nonce)
    for one, other in zip(verdict.subjects, offline.subjects, strict=True):
        assert (one.id, one.attested_keys) == (other.id, other.attested_keys)
        live_checks = {check.id: check.status for check in one.checks if check.id != "saved.recorded_at"}
        assert live_checks.items() <= {check.id: check.status for check in other.checks}.items()


def test_a_chute_that_is_pinned_by_id_is_not_looked_up() -> None:
    chute = build().chute_id
    for model, options in ((MODEL, {"chute": chute}), (chute, {})):
        provider = Provider()
        verdict, rounds = rounds_of(provider, policy(), model, **options)
        assert verdict.require().model == model
        assert len(rounds) == 2
        assert not any("llm.chutes.ai" in url for urls in rounds for url in urls)
        assert judge(json.loads(verdict.evidence.to_bytes())).verified


def test_nvidia_is_not_asked_where_the_policy_does_not_ask() -> None:
    provider = Provider()
    verdict, rounds = rounds_of(provider, policy(nras="ignore"))
    assert verdict.require().verified
    assert not any("nvidia" in url for urls in rounds for url in urls)


SPOILED: Final[dict[str, Any]] = {
    "key": lambda s: setattr(s.instances[1], "shown_key", s.instances[0].key),
    "debug": lambda s: s.instances[1].guest.td_changes.update(td_attributes=1),
    "nras": lambda s: s.instances[1].nras.overall_changes.update({"x-nvidia-overall-att-result": False}),
    "no key": lambda s: setattr(s.instances[1], "key_entries", 0),
    "no instances": lambda s: s.instances.clear(),
}


@pytest.mark.parametrize("mode", ["all", "any"])
@pytest.mark.parametrize("name", SPOILED)
def test_live_evidence_is_judged_alike_offline(name: str, mode: str) -> None:
    provider = Provider(SPOILED[name])
    live = verifier(policy(mode=mode), transport=provider).verify_attestation(MODEL)
    good = mode == "any" and name not in ("key", "no instances")
    assert live.outcome is (VERIFIED if good else REJECTED)
    assert live.evidence is not None
    offline = judge(json.loads(live.evidence.to_bytes()), mode=mode)
    assert offline.outcome is live.outcome
    shown = [
        [
            [(s.id, check.id, check.status) for check in s.checks if check.id != "saved.recorded_at"]
            for s in one.subjects
        ]
        for one in (live, offline)
    ]
    assert shown[0] == shown[1]

"""Every kind of place in the captured reports altered: no exception, and VERIFIED only where nothing is measured.

A deterministic sample of all alterations; the whole matrix of these very records is that of NEAR (tests/near).
"""

from __future__ import annotations

import random
import re
from typing import Any, Final

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from near.mutations import mutations
from near.tampering import REMOVED, Path, get, nodes, put, spell
from teeverify.formats.strict_json import same_json
from teeverify.testing import FrontSession
from teeverify.testing.recording import compact
from teeverify.verdict import Outcome

from .world import NANOGPT, VENICE, altered, body_of, judge, judge_capture, policy

pytestmark = pytest.mark.usefixtures("pure_work_remembered")

_SAMPLE: Final = 100
"""Alterations of each capture; the two of them have more than five thousand."""


@frozen
class Unmeasured:
    """Places whose alteration may stay VERIFIED: regular expressions for the whole of place and change."""

    places: str
    changes: str
    why: str


_LOG: Final = r"(compose_manager\.)?(event_log|info\.tcb_info\.event_log)(\.<json>)?"
_NOT_STATED: Final = "removed|null|empty"
UNMEASURED: Final = (
    Unmeasured(
        r"(verified|tee_provider|tee_hardware|upstream_model|model_name|nonce_source|candidates_\w+|"
        r"server_verification)(\..*)?",
        ".*",
        "Venice's own words about the report, which are never read",
    ),
    Unmeasured(r"ohttp_(attestation|key_config)(\..*)?", ".*", "no front's OHTTP key is offered as attested"),
    Unmeasured(
        r"(nonce|quote|signing_key|model)", _NOT_STATED.replace("|empty", ""), "a second showing may be left out"
    ),
    Unmeasured(r"(compose_manager\.)?vm_config(\..*)?", ".*", "the host's description of the machine"),
    Unmeasured(r"info\.vm_config\..*", ".*", "the host's description of the machine, but for its hash of the image"),
    Unmeasured(
        r"info(\.vm_config(\.<json>\.os_image_hash)?|\.(tcb_info\.)?\w+)",
        _NOT_STATED,
        "what is not claimed twice is measured",
    ),
    Unmeasured(r"info\.app_name", ".*", "the name that the operator gave the application"),
    Unmeasured(r"info\.vm_config", "object|nested", "the host's description of the machine"),
    Unmeasured(r"intel_quote|compose_manager\.quote", "short|long", "a byte more or less of zeros behind the quote"),
    Unmeasured(r"compose_manager\.report_data", "removed|null", "a second showing of what the quote holds"),
    Unmeasured(_LOG, "removed|null|empty", "one of two copies of the log may be missing"),
    Unmeasured(rf"{_LOG}\.#\.event(_type|_payload)?", "boot: .*", "words beside the digest that the firmware measured"),
    Unmeasured(rf"{_LOG}\.#\.digest", "guest: (removed|null|empty)", "recomputed from the payload in any case"),
    Unmeasured(
        r"nvidia_payload\.<json>(\.evidence_list\.#)?\.\w+", _NOT_STATED, "NVIDIA's format lets labels be missing"
    ),
    Unmeasured(r"nvidia_payload\.<json>\.evidence_list", "reversed|.*swapped", "the order of the GPUs means nothing"),
)


def body_without_copies(name: str) -> Any:
    body = body_of(name)
    body.pop("all_attestations", None)
    return body


def place_of(path: Path) -> str:
    place = re.sub(r"\.\d+(?=\.|$)", ".#", spell(path))
    return place.replace("compose_manager_attestation.", "compose_manager.", 1)


def kind_of_event(body: Any, path: Path) -> str:
    """A word before the change where the entry of a log decides what it means."""
    if path[-1] not in ("event", "event_type", "event_payload", "digest"):
        return ""
    return "guest: " if get(body, (*path[:-1], "imr")) == 3 else "boot: "


def alterations(name: str) -> list[tuple[str, str, Path, Any]]:
    body = body_without_copies(name)
    found: list[tuple[str, str, Path, Any]] = []
    for path, value in nodes(body):
        for change, new in mutations(path, value):
            if new is REMOVED or not same_json(new, value):
                found.append((place_of(path), f"{kind_of_event(body, path)}{change}", path, new))
    return found


def unmeasured(place: str, change: str) -> bool:
    return any(re.fullmatch(one.places, place) and re.fullmatch(one.changes, change) for one in UNMEASURED)


@pytest.mark.parametrize("name", [NANOGPT, VENICE])
def test_a_sample_of_all_alterations(name: str) -> None:
    body = body_without_copies(name)
    every = alterations(name)
    assert len(every) > 1000
    wrong = []
    for place, change, path, new in random.Random(name).sample(every, _SAMPLE):
        verdict = judge_capture(altered(name, lambda _, p=path, n=new: put(body, p, n)), name)  # type: ignore[misc]
        if verdict.outcome is Outcome.VERIFIED and not unmeasured(place, change):
            wrong.append(f"{place}: {change}")
    assert not wrong, "\n".join(["", *sorted(set(wrong))])


@pytest.mark.parametrize(
    ("provider", "shape", "options"),
    [
        ("phala", "near", {}),
        ("phala", "chutes", {}),
        ("vllm-proxy", "dstack", {"tls_bound": True}),
        ("venice", "dstack", {}),
    ],
    ids=str,
)
def test_every_member_of_every_form_confused(provider: str, shape: str, options: dict[str, Any]) -> None:
    """Members of the outermost objects with other types: judged, never raised."""
    session = FrontSession.build(provider, shape, **options)
    report = session.report()
    rules = policy(provider, shape, **options)
    for member in report:
        for value in _OTHER_TYPES:
            verdict = judge(session.saved({**report, member: value}), rules)
            assert verdict.outcome is not Outcome.VERIFIED or unmeasured(member, "null") or member in _REPEATED


_OTHER_TYPES: Final[tuple[Any, ...]] = (None, 0, [])
_REPEATED: Final = ("all_attestations", "quote", "event_log", "vm_config", "ohttp_key_config", "ohttp_attestation")

_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_NAMES: Final = st.sampled_from(
    [
        "intel_quote", "quote", "signing_address", "signing_algo", "signing_public_key", "signing_key", "request_nonce",
        "nonce", "nvidia_payload", "event_log", "info", "vm_config", "all_attestations", "gateway_attestation",
        "model_attestations", "attestation_type", "compose_manager_attestation", "model", "format", "attestation",
        "api_version", "tls_cert_fingerprint", "report_data",
    ]
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(members=st.dictionaries(_NAMES, _JSON, max_size=5), shape=st.sampled_from(["dstack", "near", "chutes", "none"]))
def test_any_members_of_any_shape(members: dict[str, Any], shape: str) -> None:
    session = _SESSIONS[shape if shape != "none" else "dstack"]
    report = dict(members) if shape == "none" else {**session.report(), **members}
    verdict = judge(session.saved(report), policy("phala", "near"))
    assert verdict.outcome is not Outcome.VERIFIED or shape == "near"


_SESSIONS: Final = {shape: FrontSession.build("phala", shape) for shape in ("dstack", "near", "chutes")}


@settings(max_examples=20, deadline=None)
@given(body=st.binary(max_size=60) | _JSON.map(compact))
def test_any_bytes(body: bytes) -> None:
    session = _SESSIONS["dstack"]
    assert judge(session.saved(body), policy("phala")).outcome is not Outcome.VERIFIED

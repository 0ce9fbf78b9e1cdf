"""Every leaf of a chain document replaced by values of all types: never an exception, and never VERIFIED for it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teeverify.verdict import AttestationVerdict, Outcome

from .chain_world import MODES, document_of, judge, policy, resigned, saved_with, truthful

Path = tuple[Any, ...]
ABSURD: Final[tuple[Any, ...]] = (None, [], {}, 0, "", True)
RECORD: Final = ("proxy", "attestation")
COPY: Final = (*RECORD, "all_attestations", 0)
UNSAID: Final = (None, "")
"""What a guest says when it says nothing of a value; what was measured into RTMR3 or stands in the quote is enough."""
ACCEPTED: Final[dict[Path, tuple[Any, ...]]] = {
    ("vm_config",): ABSURD,  # describes the machine's shape, which RTMR0 measures
    ("nvidia_payload",): (None,),  # a proxy needs no GPUs
    ("event_log",): UNSAID,  # the other copy of the log is there
    ("info", "app_name"): ABSURD,  # a label
    ("info", "vm_config"): (None, {}, ""),
    ("info", "tcb_info", "event_log", 0, "event_type"): (0,),  # of a firmware event only the digest counts
    ("info", "tcb_info", "event_log", 0, "event_payload"): ("",),
    ("info", "tcb_info", "event_log", 28, "digest"): ("",),  # of a runtime event the digest is recomputed
    **{
        ("info", name): UNSAID
        for name in ("app_id", "instance_id", "app_cert", "device_id", "mr_aggregated", "os_image_hash",
                     "key_provider_info", "compose_hash")
    },
    **{
        ("info", "tcb_info", name): UNSAID
        for name in ("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "os_image_hash", "compose_hash", "device_id")
    },
}  # fmt: skip
"""Leaves of the proxy's record that nothing depends on, and the values that may therefore stand there."""


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of everything inside a document that holds nothing else; of long lists the first and last entry."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = [(index, value[index]) for index in sorted({0, len(value) - 1} & set(range(len(value))))]
    if not items:
        yield path
    for key, child in items:
        yield from leaves(child, (*path, key))


def replaced(document: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    result = node = copy.deepcopy(document)
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return result


def value_at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def accepted(path: Path, value: Any) -> bool:
    """Whether a leaf of the proxy's record, or of its copy, may be replaced by that value."""
    inside = path[len(COPY) :] if path[: len(COPY)] == COPY else path[len(RECORD) :]
    return repr(value) in map(repr, ACCEPTED.get(inside, ()))


def judged(document: dict[str, Any], mode: str) -> AttestationVerdict:
    """Without NVIDIA's word, which is about none of these leaves, and takes most of the time."""
    return judge(saved_with(document, mode), policy("delegated" if mode == "proxy" else "all", nras="ignore"))


def of(mode: str, *, in_record: bool, in_copy: bool = False) -> list[Path]:
    """The leaves of the statement and what it is about, of the proxy's record, or of the record's copy of itself."""
    return [
        path
        for path in leaves(document_of(mode))
        if (path[: len(COPY)] == COPY) is in_copy and (path[: len(RECORD)] == RECORD) is in_record
    ]


STATEMENTS: Final = [(mode, path) for mode in MODES for path in of(mode, in_record=False)]


@pytest.mark.parametrize(("mode", "path"), STATEMENTS, ids=str)
def test_every_leaf_outside_of_the_proxys_record(mode: str, path: Path) -> None:
    document = document_of(mode)
    for value in (None, {}) if path[1:2] == ("payload",) else ABSURD:  # the signature breaks whatever it is
        if repr(value) != repr(value_at(document, path)):
            assert judged(replaced(document, path, value), mode).outcome is Outcome.REJECTED, (path, value)


@pytest.mark.parametrize("path", of("proxy", in_record=True), ids=str)
def test_every_leaf_of_the_proxys_record(path: Path) -> None:
    document = document_of("proxy")
    for value in ABSURD:
        if repr(value) != repr(value_at(document, path)):
            outcome = judged(replaced(document, path, value), "proxy").outcome
            assert outcome is (Outcome.VERIFIED if accepted(path, value) else Outcome.REJECTED), (path, value)


@pytest.mark.parametrize("path", of("proxy", in_record=True, in_copy=True), ids=str)
def test_every_leaf_of_the_copy_of_the_proxys_record(path: Path) -> None:
    changed = replaced(document_of("proxy"), path, 0)
    fine = accepted(path, 0) or changed == document_of("proxy")
    assert judged(changed, "proxy").outcome is (Outcome.VERIFIED if fine else Outcome.REJECTED)


SIGNED: Final = [(mode, path) for mode, path in STATEMENTS if path[1:2] == ("payload",)]
OPTIONAL: Final = ("verification_policy", "verification_policy_version", "binding_signature")
"""Members of a receipt that nothing depends on: names of what the code does, and a signature over what is not shown."""


@pytest.mark.parametrize(("mode", "path"), SIGNED, ids=str)
def test_every_leaf_of_a_payload_that_a_true_proxy_signed(mode: str, path: Path) -> None:
    for value in ABSURD:
        document = document_of(mode)
        if repr(value) == repr(value_at(document, path)):
            continue
        document = replaced(document, path, value)
        resigned(document, truthful(mode))
        unread = path[2] in OPTIONAL or (path[2].startswith("binding_") and value is None)
        assert (judged(document, mode).outcome is Outcome.VERIFIED) is unread, (path, value)


LEFT_OUT: Final = {
    "passthrough": {"all_attestations", "quote", "vm_config", "nvidia_payload", "event_log"},
    "proxy": {"all_attestations", "quote", "vm_config", "nvidia_payload", "event_log", *OPTIONAL, "request_hash",
              "binding_signing_algo", "binding_signing_address"},
}  # fmt: skip
"""Members that may be left out: copies, what nothing judges, and what only one revision of the proxy signs."""


@pytest.mark.parametrize("mode", MODES)
def test_every_branch_left_out(mode: str) -> None:
    document = document_of(mode)
    found = set()
    for path in {path[:depth] for path in leaves(document) for depth in (1, 2, 3) if len(path) >= depth}:
        changed = copy.deepcopy(document)
        node = value_at(changed, path[:-1])
        if isinstance(node, dict):
            del node[path[-1]]
            if path[1:2] == ("payload",) and len(path) == 3:
                resigned(changed, truthful(mode))
            if judged(changed, mode).verified:
                found.add(path[-1])
    assert found == LEFT_OUT[mode]


JUDGED: Final = [(), *((name,) for name in ("signing_address", "signing_algo", "request_nonce", "intel_quote", "quote",
                                            "signing_public_key", "info"))]  # fmt: skip

_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(data=st.data())
def test_anything_anywhere(data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(MODES))
    document = document_of(mode)
    paths = {path[:depth] for path in leaves(document) for depth in range(1, len(path) + 1)}
    path = data.draw(st.sampled_from(sorted(paths, key=repr)))
    value = data.draw(_JSON)
    verdict = judged(replaced(document, path, value), mode)
    assert verdict.subjects
    same = repr(value) == repr(value_at(document, path))
    if not same and (path[: len(RECORD)] != RECORD or path[2:] in JUDGED):
        assert not verdict.verified, (path, value)

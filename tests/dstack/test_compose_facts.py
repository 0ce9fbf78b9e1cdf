"""Facts of app-compose documents: images, scripts, flags, and every way to hide one."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.errors import FormatError
from teeverify.formats.compose_facts import read_compose_facts

from .composes import DIGEST, IMAGE, app_compose, facts_of, service


def test_a_good_document() -> None:
    script = "echo hi\n"
    facts = facts_of(
        service(), allowed_envs=["B", "A"], pre_launch_script=script, public_logs=False, features=["kms", "other"]
    )
    assert facts.images == (IMAGE,)
    assert facts.loose_images == facts.privileged == facts.runtime_sockets == facts.guest_sockets == facts.unknown == ()
    assert facts.allowed_envs == ("B", "A")
    assert facts.scripts == {"pre_launch_script": hashlib.sha256(script.encode()).digest()}
    assert facts.flags == {"public_logs": False, "kms_enabled": True}


@pytest.mark.parametrize(
    "image",
    [
        "a",
        "a:latest",
        f"a@sha256:{DIGEST.upper().replace('1', 'A')}",
        f"a@sha256:{DIGEST[:-1]}",
        f"a@sha256:{DIGEST}1",
        f"a@sha512:{DIGEST}",
        f"a@sha256:{DIGEST} ",
        f" a@sha256:{DIGEST}",
        f"a@sha256:{DIGEST}\n",
        f"@sha256:{DIGEST}",
        f"${{A:-a@sha256:{DIGEST}}}",
        f"$A@sha256:{DIGEST}",
        f"a@sha256:{DIGEST[:-2]}$X",
        "",
        None,
        7,
        [],
        ["a"],
        {},
        True,
        f"a@sha256:{DIGEST}@sha256:{DIGEST}",
        f"a\u0430@sha256:{DIGEST}",
    ],
)
def test_an_image_without_a_digest_is_loose(image: Any) -> None:
    assert len(facts_of(service(image=image)).loose_images) == 1


@pytest.mark.parametrize(
    "members",
    [
        {"build": "."},
        {"build": None},
        {"provider": {"type": "x"}},
        {"models": ["llm"]},
        {"volumes": [{"type": "image", "source": "busybox", "target": "/x"}]},
        {"volumes": [{"type": "${T}", "source": "busybox", "target": "/x"}]},
    ],
)
def test_what_comes_from_elsewhere_is_loose(members: dict[str, Any]) -> None:
    assert len(facts_of(service(**members)).loose_images) == 1


def test_an_image_volume_by_digest() -> None:
    assert facts_of(service(volumes=[{"type": "image", "source": IMAGE, "target": "/x"}])).loose_images == ()


def test_images_of_every_profile_and_of_merges() -> None:
    compose = (
        "x-base: &base {image: 'a:tag', privileged: true}\nservices:\n  a:\n    <<: *base\n    profiles: [never]\n"
    )
    facts = facts_of(compose)
    assert facts.loose_images == ("a: a:tag",)
    assert facts.privileged == ("a",)


@pytest.mark.parametrize(
    "compose",
    [
        "",
        "[]",
        "a",
        "services:",
        "services: {}",
        "services: []",
        "services: {a: null}",
        "services: {a: [x]}",
        "version: '3'",
        "services: {a: {extends: b}}",
        "x: &x {extends: {file: y}}\nservices: {a: {<<: *x}}",
        "include: [x.yml]\nservices: {a: {image: b}}",
        "include:\nservices: {a: {image: b}}",
        "models: {m: {model: ai/x}}\nservices: {a: {image: b}}",
        "services: {a: {image: b}}\nsecrets: [x]",
        "services: {a: {image: b}}\nvolumes: x",
        "services: {a: {image: b}}\n---\nservices: {a: {image: c}}",
    ],
)
def test_a_compose_file_whose_facts_are_not_known(compose: str) -> None:
    with pytest.raises(FormatError) as refused:
        facts_of(compose)
    assert refused.value.code in ("compose_shape", "compose_syntax")


@pytest.mark.parametrize(
    "members",
    [
        {"runner": "bash", "bash_script": "x"},
        {"runner": None},
        {"docker_compose_file": None},
        {"docker_compose_file": {"services": {}}},
        {"allowed_envs": "A"},
        {"allowed_envs": [1]},
        {"features": "kms"},
        {"public_logs": "false"},
        {"public_logs": None},
        {"kms_enabled": 1},
        {"pre_launch_script": ["x"]},
        {"init_script": 5},
        {"init_scripts": "x"},
        {"init_scripts": [{"a": "b"}]},
    ],
)
def test_a_member_of_the_wrong_type(members: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        facts_of(service(), **members)


def test_a_repeated_member() -> None:
    text = app_compose(service())
    with pytest.raises(FormatError) as refused:
        read_compose_facts(text[:-1] + ', "docker_compose_file": "services: {}"}')
    assert refused.value.code == "json_duplicate_key"


def test_every_script_counts() -> None:
    facts = facts_of(service(), pre_launch_script="a", init_script="b", init_scripts=["c", ""], bash_script="d")
    assert set(facts.scripts) == {"pre_launch_script", "init_script", "init_scripts[0]", "bash_script"}
    assert facts_of(service(), pre_launch_script="", init_script=None, init_scripts=None).scripts == {}


def test_flags_by_their_older_names() -> None:
    assert facts_of(service(), tproxy_enabled=True, gateway_enabled=False).flags["gateway_enabled"] is True
    assert facts_of(service(), features=["tproxy-net"], gateway_enabled=False).flags["gateway_enabled"] is True
    assert facts_of(service(), features=["kms"], kms_enabled=False).flags["kms_enabled"] is True


def test_members_that_are_not_known() -> None:
    facts = facts_of(service(), storage_fs="zfs", swap_size="1G", post_launch_script="x", hooks=[])
    assert facts.unknown == ("hooks", "post_launch_script")


_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["${X}", "/", "host", IMAGE])
)
_MEMBERS = st.sampled_from(
    ["image", "build", "volumes", "privileged", "pid", "security_opt", "post_start", "type", "source", "driver_opts"]
)
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_MEMBERS, inner, max_size=4), max_leaves=8
)
_COMPOSES = st.fixed_dictionaries(
    {"services": st.dictionaries(st.text(max_size=4), st.dictionaries(_MEMBERS, _VALUES, max_size=5), min_size=1)},
    optional={"volumes": _VALUES, "secrets": _VALUES, "configs": _VALUES},
)


@settings(max_examples=80, deadline=None)
@given(_COMPOSES | _VALUES | st.text(max_size=60), st.dictionaries(_MEMBERS, _VALUES))
def test_any_document_has_facts_or_is_refused(compose: Any, members: dict[str, Any]) -> None:
    text = compose if isinstance(compose, str) else json.dumps(compose)
    with contextlib.suppress(FormatError):
        facts = facts_of(text, **members)
        assert facts.unknown == tuple(sorted(members))
        assert facts.loose_images or all("@sha256:" in image for image in facts.images)


def test_the_order_of_services_is_kept() -> None:
    compose = json.dumps({"services": {name: {"image": f"{name}:tag"} for name in "cab"}})
    assert facts_of(compose).loose_images == ("c: c:tag", "a: a:tag", "b: b:tag")

"""Demands on compose documents in policies: TOML, refusals, digest, differences, advice."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import attrs
import pytest

from teeverify.errors import PolicyError
from teeverify.formats.compose_facts import FLAGS
from teeverify.policy import ComposeFlags, Policy, ReferenceValues
from teeverify.policy_compose import FORBIDDEN
from teeverify.policy_diff import diff
from teeverify.policy_lint import lint
from teeverify.policy_toml import to_toml

HASH = "5a" * 32
BASE = f"""
name = "facts"
provider = "dstack"
valid_until = 2026-12-31

[pins.enclave]
compose = ["{HASH}"]
"""
FULL = f"""{BASE}images_by_digest = true

[pins.enclave.compose_flags]
allowed_envs = ["A", "B_2"]
pre_launch_scripts = ["{HASH}"]
privileged = false
runtime_sockets = false
guest_sockets = false
public_logs = false
secure_time = true
"""


def flags(**changes: Any) -> Policy:
    policy = Policy.from_toml(FULL)
    changed = attrs.evolve(policy.pins["enclave"].compose_flags or ComposeFlags(kms_enabled=True), **changes)
    return attrs.evolve(policy, pins={"enclave": attrs.evolve(policy.pins["enclave"], compose_flags=changed)})


def test_every_demand_is_read_and_written() -> None:
    policy = Policy.from_toml(FULL)
    pins = policy.pins["enclave"]
    assert pins.images_by_digest is True
    assert pins.compose_flags == ComposeFlags(
        allowed_envs=("A", "B_2"),
        pre_launch_scripts=(bytes.fromhex(HASH),),
        privileged=False,
        runtime_sockets=False,
        guest_sockets=False,
        public_logs=False,
        secure_time=True,
    )
    assert Policy.from_toml(to_toml(policy)) == policy
    assert Policy.from_toml(to_toml(policy)).digest == policy.digest != Policy.from_toml(BASE).digest


def test_empty_lists_forbid_everything() -> None:
    policy = flags(allowed_envs=(), pre_launch_scripts=())
    assert Policy.from_toml(to_toml(policy)) == policy
    assert policy.digest != flags(allowed_envs=None, pre_launch_scripts=None).digest


def test_a_policy_without_demands_keeps_its_digest() -> None:
    """The digest of a policy from before there were demands."""
    text = f'name = "a"\nprovider = "near"\nvalid_until = 2026-12-31\n[pins.model]\ncompose = ["{HASH}"]\n'
    assert Policy.from_toml(text).digest == "5f8106aa48d9e60d9a494663d35429584d4f36159e6df04688b311b01c918089"


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("images_by_digest = false", "pins.enclave.images_by_digest"),
        ('images_by_digest = "true"', "pins.enclave.images_by_digest"),
        ("images_by_digest = 1", "pins.enclave.images_by_digest"),
        ("images_by_digest = []", "pins.enclave.images_by_digest"),
        ("image_by_digest = true", "pins.enclave.image_by_digest"),
        ("compose_flags = true", "pins.enclave.compose_flags"),
        ("compose_flags = []", "pins.enclave.compose_flags"),
        ("compose_flags = {}", "pins.enclave.compose_flags"),
        ("compose_flags = {public_log = true}", "pins.enclave.compose_flags.public_log"),
        ('compose_flags = {public_logs = "false"}', "pins.enclave.compose_flags.public_logs"),
        ("compose_flags = {public_logs = 0}", "pins.enclave.compose_flags.public_logs"),
        ("compose_flags = {privileged = true}", "pins.enclave.compose_flags.privileged"),
        ("compose_flags = {runtime_sockets = true}", "pins.enclave.compose_flags.runtime_sockets"),
        ("compose_flags = {guest_sockets = 0}", "pins.enclave.compose_flags.guest_sockets"),
        ('compose_flags = {allowed_envs = "A"}', "pins.enclave.compose_flags.allowed_envs"),
        ("compose_flags = {allowed_envs = [1]}", "pins.enclave.compose_flags.allowed_envs[0]"),
        ('compose_flags = {allowed_envs = ["A", "A"]}', "pins.enclave.compose_flags.allowed_envs[1]"),
        ('compose_flags = {allowed_envs = ["A=b"]}', "pins.enclave.compose_flags.allowed_envs[0]"),
        ('compose_flags = {allowed_envs = ["*"]}', "pins.enclave.compose_flags.allowed_envs[0]"),
        ('compose_flags = {pre_launch_scripts = ["5a"]}', "pins.enclave.compose_flags.pre_launch_scripts[0]"),
        ('compose_flags = {pre_launch_scripts = ["x"]}', "pins.enclave.compose_flags.pre_launch_scripts[0]"),
        ("compose_flags = {pre_launch_scripts = true}", "pins.enclave.compose_flags.pre_launch_scripts"),
    ],
)
def test_what_is_no_demand(line: str, key: str) -> None:
    with pytest.raises(PolicyError, match=r"expected|accepted") as refused:
        Policy.from_toml(BASE + line + "\n")
    assert str(refused.value).startswith(f"{key} ")


def test_values_built_in_python_obey_the_same_rules() -> None:
    for wrong in ({}, {"privileged": True}, {"allowed_envs": ["A"]}, {"pre_launch_scripts": (b"x",)}):
        with pytest.raises(PolicyError):
            ComposeFlags(**wrong)
    for pins in ({"images_by_digest": False}, {"compose_flags": {"public_logs": True}}):
        with pytest.raises(PolicyError):
            ReferenceValues(**pins)


def test_demands_alone_pin_no_software() -> None:
    pins = ReferenceValues(images_by_digest=True)
    assert not pins.is_empty
    assert not pins.is_pinned
    policy = Policy(name="a", provider="dstack", valid_until=date(2026, 12, 31), pins={"enclave": pins})
    assert any("policy.pinned fails" in advice for advice in lint(policy, datetime(2026, 6, 1, tzinfo=timezone.utc)))


def changes(before: Policy, after: Policy) -> set[tuple[str, str]]:
    return {(change.direction, change.key) for change in diff(before, after)}


def test_every_demand_is_compared() -> None:
    full = Policy.from_toml(FULL)
    bare = Policy.from_toml(BASE)
    stated = ("allowed_envs", "pre_launch_scripts", *FORBIDDEN, "public_logs", "secure_time")
    keys = {"pins.enclave.images_by_digest", *(f"pins.enclave.compose_flags.{name}" for name in stated)}
    assert changes(bare, full) == {("stricter", key) for key in keys}
    assert changes(full, bare) == {("looser", key) for key in keys}
    assert diff(full, full) == ()


def test_entries_and_values_are_compared() -> None:
    key = "pins.enclave.compose_flags"
    assert changes(flags(), flags(allowed_envs=("A",))) == {("stricter", f"{key}.allowed_envs")}
    assert changes(flags(allowed_envs=()), flags()) == {("looser", f"{key}.allowed_envs")}
    assert changes(flags(), flags(pre_launch_scripts=())) == {("stricter", f"{key}.pre_launch_scripts")}
    assert changes(flags(), flags(public_logs=True)) == {("different", f"{key}.public_logs")}
    assert changes(flags(), flags(allowed_envs=("B_2", "A"))) == set()
    assert flags().digest == flags(allowed_envs=("B_2", "A")).digest


def test_digests_without_scripts_call_for_advice() -> None:
    at = datetime(2026, 6, 1, tzinfo=timezone.utc)
    advised = [advice for advice in lint(flags(pre_launch_scripts=None), at) if "images_by_digest" in advice]
    assert len(advised) == 1
    assert not any("images_by_digest" in advice for advice in lint(flags(), at))


def test_every_flag_of_the_document_can_be_demanded() -> None:
    names = {field.name for field in attrs.fields(ComposeFlags)}
    assert names == {"allowed_envs", "pre_launch_scripts", *FORBIDDEN, *FLAGS}

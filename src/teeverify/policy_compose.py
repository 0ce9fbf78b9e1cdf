"""What a policy demands of the facts of an app-compose document, beside its hash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal

import attrs
from attrs import frozen

from . import policy_fields as rules
from .formats.compose_facts import FLAGS

__all__ = ["FORBIDDEN", "ComposeFlags", "flag_changes"]

FORBIDDEN: Final = ("privileged", "runtime_sockets", "guest_sockets")
"""Facts that a policy can only forbid."""
_ENV: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@frozen(kw_only=True)
class ComposeFlags:
    """Demands on the facts of an app-compose document; None demands nothing.

    - ``allowed_envs``: names of environment variables; the document may let in these and no others.
    - ``pre_launch_scripts``: SHA-256 (32 bytes) of scripts; every script of the document must be one of them. Empty
      means that it may have none.
    - ``privileged``: False: no service has privileges or name spaces of the guest.
    - ``runtime_sockets``: False: no service reaches the container runtime.
    - ``guest_sockets``: False: no service reaches dstack's guest agent.
    - the others are members of the document, which must be stated there with this value.
    """

    allowed_envs: tuple[str, ...] | None = None
    pre_launch_scripts: tuple[bytes, ...] | None = None
    privileged: bool | None = None
    runtime_sockets: bool | None = None
    guest_sockets: bool | None = None
    gateway_enabled: bool | None = None
    kms_enabled: bool | None = None
    local_key_provider_enabled: bool | None = None
    no_instance_id: bool | None = None
    public_logs: bool | None = None
    public_sysinfo: bool | None = None
    public_tcbinfo: bool | None = None
    secure_time: bool | None = None
    tproxy_enabled: bool | None = None

    def __attrs_post_init__(self) -> None:
        if self.allowed_envs is not None:
            rules.entries("allowed_envs", self.allowed_envs, _env, may_be_empty=True)
        if self.pre_launch_scripts is not None:
            rules.entries("pre_launch_scripts", self.pre_launch_scripts, _digest, may_be_empty=True)
        for name in (*FORBIDDEN, *FLAGS):
            if getattr(self, name) is not None:
                rules.boolean(name, getattr(self, name))
        for name in FORBIDDEN:
            if getattr(self, name):
                rules.refuse(name, "is true", "false was expected, which forbids it", "leave the key out to allow it")
        if all(getattr(self, field.name) is None for field in attrs.fields(ComposeFlags)):
            action = "demand something, or leave the table out"
            rules.refuse("compose_flags", "demands nothing", "at least one key was expected", action)

    @property
    def stated(self) -> dict[str, bool]:
        """The members of the document that must be stated, with their values."""
        values = {name: getattr(self, name) for name in FLAGS}
        return {name: value for name, value in values.items() if value is not None}


def _env(key: str, value: object) -> None:
    if not isinstance(value, str) or not _ENV.fullmatch(value):
        shown = rules.describe(value) if isinstance(value, str) else rules.kind(value)
        rules.refuse(key, f"is {shown}", "the name of an environment variable was expected", "write it like MY_TOKEN")


def _digest(key: str, value: object) -> None:
    rules.octets(key, value, 32)


def flag_changes(
    old: ComposeFlags | None, new: ComposeFlags | None
) -> Iterator[tuple[Literal["looser", "stricter", "different"], str, str]]:
    """What another table demands: direction, key and the end of a sentence about the second policy."""
    for field in attrs.fields(ComposeFlags):
        before, after = (None if flags is None else getattr(flags, field.name) for flags in (old, new))
        if before is None and after is not None:
            yield "stricter", field.name, f"demands {field.name} {_show(after)} of the compose document"
        elif before is not None and after is None:
            yield "looser", field.name, f"demands nothing more about {field.name} of the compose document"
        elif isinstance(before, tuple) and isinstance(after, tuple):
            for entry in sorted(set(after) - set(before)):
                yield "looser", field.name, f"accepts one more entry of {field.name}: {_show(entry)}"
            for entry in sorted(set(before) - set(after)):
                yield "stricter", field.name, f"no longer accepts the entry {_show(entry)} of {field.name}"
        elif before != after:
            yield "different", field.name, f"demands {field.name} {_show(after)} instead of {_show(before)}"


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return f"out of {', '.join(_show(entry) for entry in value)}" if value else "to be empty"
    return value.hex() if isinstance(value, bytes) else str(value).lower() if isinstance(value, bool) else str(value)

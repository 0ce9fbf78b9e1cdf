"""What an app-compose document makes a dstack guest run: images, environment names, scripts, and what they may touch.

The text is the measured one (its hash is checked elsewhere); these facts say what a reader would find in it. A document
that could mean different things to different readers is refused, not guessed at. Source: dstack ``dstack-types``
(``AppCompose``), and the scripts of its guest that read the document with jq.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_APP_COMPOSE
from .compose_services import GUEST_SOCKETS, RUNTIME_SOCKETS, read_services
from .strict_json import JsonValue, loads

__all__ = ["FLAGS", "ComposeFacts", "read_compose_facts"]

FLAGS: Final = (
    "gateway_enabled",
    "kms_enabled",
    "local_key_provider_enabled",
    "no_instance_id",
    "public_logs",
    "public_sysinfo",
    "public_tcbinfo",
    "secure_time",
    "tproxy_enabled",
)
"""Members of app-compose that are true or false."""

_SCRIPTS: Final = ("pre_launch_script", "init_script", "bash_script")
_READ: Final = frozenset(
    {*FLAGS, *_SCRIPTS, "init_scripts", "docker_compose_file", "runner", "allowed_envs", "features"}
)
_UNREAD: Final = frozenset(
    {
        "manifest_version",
        "name",
        "docker_config",
        "event_log_version",
        "key_provider",
        "key_provider_id",
        "launch_token_hash",
        "requirements",
        "storage_fs",
        "swap_size",
    }
)
"""Known members that neither fetch nor run anything."""
_FEATURES: Final = {"kms": ("kms_enabled",), "tproxy-net": ("gateway_enabled", "tproxy_enabled")}
"""Flags that older documents set by an entry of ``features``."""


@frozen(kw_only=True)
class ComposeFacts:
    """What a document makes the guest run.

    ``images`` are the references of all services, ``loose_images`` those that no digest fixes (a tag, a variable, a
    build). ``scripts`` maps the name of a script to the SHA-256 (32 bytes) of its text. ``privileged``,
    ``runtime_sockets`` and ``guest_sockets`` name the services that may take over the guest, that reach the container
    runtime, and that reach dstack's guest agent. ``flags`` holds the members of `FLAGS` that the document states; one
    that is set by ``features`` is True. ``unknown`` are members of the document that are not known here.
    """

    images: tuple[str, ...]
    loose_images: tuple[str, ...]
    allowed_envs: tuple[str, ...]
    scripts: Mapping[str, bytes] = field(factory=dict)
    privileged: tuple[str, ...] = ()
    runtime_sockets: tuple[str, ...] = ()
    guest_sockets: tuple[str, ...] = ()
    flags: Mapping[str, bool] = field(factory=dict)
    unknown: tuple[str, ...] = ()


def read_compose_facts(text: str) -> ComposeFacts:
    """Read the facts out of an app-compose text.

    Raises:
        FormatError: ``app_compose_shape``, ``compose_syntax``, ``compose_shape``, or a code of the JSON reader.
        MissingExtraError: the extra ``compose`` is not installed.
    """
    document = loads(text, what="app_compose", limit=MAX_APP_COMPOSE)
    if not isinstance(document, dict):
        raise FormatError("app_compose_shape", "app_compose does not hold a JSON object")
    source = document.get("docker_compose_file")
    if not isinstance(source, str) or document.get("runner") != "docker-compose":
        raise FormatError("compose_shape", "app_compose is not run by docker-compose, so its images are not known")
    services = read_services(source)
    runtime = (*services.reaching(RUNTIME_SOCKETS), *services.using_api_socket())
    return ComposeFacts(
        images=services.images,
        loose_images=services.loose_images,
        allowed_envs=_texts(document.get("allowed_envs"), "allowed_envs"),
        scripts=dict(_scripts(document)),
        privileged=services.privileged,
        runtime_sockets=tuple(dict.fromkeys(runtime)),
        guest_sockets=services.reaching(GUEST_SOCKETS),
        flags=_flags(document),
        unknown=tuple(sorted(document.keys() - _READ - _UNREAD)),
    )


def _scripts(document: Mapping[str, JsonValue]) -> Iterator[tuple[str, bytes]]:
    single = [(name, document.get(name)) for name in _SCRIPTS]
    listed = document.get("init_scripts")
    if listed is not None and not isinstance(listed, list):
        raise FormatError("app_compose_shape", "init_scripts of app_compose is not a list")
    several = [(f"init_scripts[{index}]", value) for index, value in enumerate(listed or [])]
    for name, value in (*single, *several):
        if value in (None, ""):
            continue
        if not isinstance(value, str):
            raise FormatError("app_compose_shape", f"{name} of app_compose is not a text")
        yield name, hashlib.sha256(value.encode("utf-8")).digest()


def _flags(document: Mapping[str, JsonValue]) -> dict[str, bool]:
    flags: dict[str, bool] = {}
    for name in FLAGS:
        if name in document:
            if not isinstance(document[name], bool):
                raise FormatError("app_compose_shape", f"{name} of app_compose is neither true nor false")
            flags[name] = document[name]
    for feature in _texts(document.get("features"), "features"):
        flags |= dict.fromkeys(_FEATURES.get(feature, ()), True)
    if flags.get("tproxy_enabled"):  # the gateway's older name
        flags["gateway_enabled"] = True
    return flags


def _texts(value: JsonValue, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise FormatError("app_compose_shape", f"{name} of app_compose is not a list of texts")
    return tuple(value)

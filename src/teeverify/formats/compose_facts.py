"""What an app-compose document makes a dstack guest run: images, environment names, scripts, and what they may touch.

The text is the measured one (its hash is checked elsewhere); these facts say what a reader would find in it. A document
that could mean different things to different readers is refused, not guessed at.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from ..limits import MAX_APP_COMPOSE
from .compose_yaml import load_compose_yaml
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
"""Members of app-compose that are true or false (dstack, app-compose.json)."""

_BY_DIGEST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}\Z")
_SCRIPTS: Final = ("pre_launch_script", "init_script", "bash_script")
_SOCKETS: Final = ("/var/run/docker.sock", "/run/docker.sock", "/var/run/containerd", "/run/containerd")
_MERGING: Final = ("include", "extends")


@frozen(kw_only=True)
class ComposeFacts:
    """What a document makes the guest run.

    ``images`` are the references of all services, ``loose_images`` those that no digest fixes (a tag, a variable, a
    build). ``scripts`` maps the name of a script to the SHA-256 (32 bytes) of its text. ``privileged`` and
    ``runtime_sockets`` name the services that may take over the guest. ``flags`` holds the members of `FLAGS` that the
    document states.
    """

    images: tuple[str, ...]
    loose_images: tuple[str, ...]
    allowed_envs: tuple[str, ...]
    scripts: Mapping[str, bytes] = field(factory=dict)
    privileged: tuple[str, ...] = ()
    runtime_sockets: tuple[str, ...] = ()
    flags: Mapping[str, bool] = field(factory=dict)


def read_compose_facts(text: str) -> ComposeFacts:
    """Read the facts out of an app-compose text.

    Raises:
        FormatError: ``app_compose_shape``, ``compose_syntax``, ``compose_shape``, or a code of the JSON reader.
        MissingExtraError: the extra ``compose`` is not installed.
    """
    document = loads(text, what="app_compose", limit=MAX_APP_COMPOSE)
    if not isinstance(document, dict):
        raise FormatError("app_compose_shape", "app_compose does not hold a JSON object")
    services = _services(document)
    images = [(name, service) for name, service in services.items()]
    return ComposeFacts(
        images=tuple(str(service["image"]) for _, service in images if isinstance(service.get("image"), str)),
        loose_images=tuple(_loose(services)),
        allowed_envs=_texts(document.get("allowed_envs", []), "allowed_envs"),
        scripts=dict(_scripts(document)),
        privileged=tuple(name for name, service in services.items() if _takes_privileges(service)),
        runtime_sockets=tuple(name for name, service in services.items() if _mounts_socket(service)),
        flags={name: _flag(document[name], name) for name in FLAGS if name in document},
    )


def _services(document: Mapping[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    source = document.get("docker_compose_file")
    if not isinstance(source, str) or document.get("runner") != "docker-compose":
        raise FormatError("compose_shape", "app_compose is not run by docker-compose, so its images are not known")
    compose = load_compose_yaml(source)
    services = compose.get("services") if isinstance(compose, dict) else None
    if not isinstance(compose, dict) or not isinstance(services, dict) or not services:
        raise FormatError("compose_shape", "docker_compose_file holds no services")
    if "include" in compose:
        raise FormatError("compose_shape", "docker_compose_file includes other files, whose images are not known")
    for name, service in services.items():
        if not isinstance(name, str) or not isinstance(service, dict):
            raise FormatError("compose_shape", "a service of docker_compose_file is not a mapping with a name")
        if any(member in service for member in _MERGING):
            raise FormatError("compose_shape", f"service {name[:60]!r} takes its members from another place")
    return services


def _loose(services: Mapping[str, Mapping[str, JsonValue]]) -> Iterator[str]:
    for name, service in services.items():
        image = service.get("image")
        if "build" in service:
            yield f"{name}: built in the guest"
        elif not isinstance(image, str):
            yield f"{name}: no image"
        elif not _BY_DIGEST.match(image):
            yield f"{name}: {image[:100]}"


def _scripts(document: Mapping[str, JsonValue]) -> Iterator[tuple[str, bytes]]:
    for name in _SCRIPTS:
        value = document.get(name)
        if value in (None, ""):
            continue
        if not isinstance(value, str):
            raise FormatError("app_compose_shape", f"{name} of app_compose is not a text")
        yield name, hashlib.sha256(value.encode("utf-8")).digest()
    listed = document.get("init_scripts") or []
    if not isinstance(listed, list):
        raise FormatError("app_compose_shape", "init_scripts of app_compose is not a list")
    for index, value in enumerate(listed):
        text = value if isinstance(value, str) else repr(value)
        yield f"init_scripts[{index}]", hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _takes_privileges(service: Mapping[str, JsonValue]) -> bool:
    """True for anything but a plain false: a variable may come to true."""
    return (
        service.get("privileged", False) is not False
        or bool(service.get("cap_add"))
        or bool(service.get("devices"))
        or any(service.get(name) == "host" for name in ("pid", "ipc", "userns_mode"))
    )


def _mounts_socket(service: Mapping[str, JsonValue]) -> bool:
    """True for a mount of the container runtime's socket or of a folder above it, or of what a variable names."""
    volumes = service.get("volumes") or []
    if not isinstance(volumes, list):
        return True
    return any(_reaches_socket(_source(volume)) for volume in volumes)


def _source(volume: JsonValue) -> str:
    if isinstance(volume, dict):
        return str(volume.get("source", "")) if volume.get("type", "bind") == "bind" else "named"
    return volume.split(":")[0] if isinstance(volume, str) else "$"


def _reaches_socket(source: str) -> bool:
    path = source.rstrip("/") or "/"
    if "$" in path or ".." in path.split("/") or path == "/":
        return True
    return any(socket == path or socket.startswith(f"{path}/") or path.startswith(f"{socket}/") for socket in _SOCKETS)


def _texts(value: JsonValue, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise FormatError("app_compose_shape", f"{name} of app_compose is not a list of texts")
    return tuple(value)


def _flag(value: JsonValue, name: str) -> bool:
    if not isinstance(value, bool):
        raise FormatError("app_compose_shape", f"{name} of app_compose is neither true nor false")
    return value

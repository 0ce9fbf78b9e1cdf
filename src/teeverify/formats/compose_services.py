"""What the services of a compose file run and reach: images, privileges, and the paths that are mounted into them.

Everything that is not certainly harmless counts: a variable may come to any text, a volume to any path that its
options name. Source: the Compose specification (compose-spec), services, volumes, configs and secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import field, frozen

from ..errors import FormatError
from .compose_yaml import load_compose_yaml
from .strict_json import JsonValue

__all__ = ["GUEST_SOCKETS", "RUNTIME_SOCKETS", "ComposeServices", "read_services"]

RUNTIME_SOCKETS: Final = (
    "/run/docker.sock",
    "/run/containerd",
    "/run/docker",
    "/run/podman",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/etc/docker",
    "/etc/systemd",
    "/run/systemd",
    "/run/dbus",
    "/boot",
    "/bin",
    "/lib",
    "/sbin",
    "/usr",
)
"""Sockets of the container runtime, and folders by which it or the guest can be taken over. /var/run is /run."""
GUEST_SOCKETS: Final = ("/run/dstack.sock", "/run/tappd.sock", "/run/dstack", "/dstack", "/tapp")
"""Sockets and folders of dstack's guest agent, which gives out the app's keys and appends events to RTMR3."""
_ANY: Final = "$"
"""The source of a mount that may be any path."""
_BY_DIGEST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}\Z")
_NAMED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_NO_BIND: Final = ("tmpfs", "image")
_HOST_SPACES: Final = ("pid", "ipc", "uts", "userns_mode", "cgroup", "network_mode")
_GRANTS: Final = ("cap_add", "devices", "device_cgroup_rules", "volumes_from", "credential_spec", "cgroup_parent")
_FETCHES: Final = ("build", "provider", "models")
_HOOKS: Final = ("post_start", "pre_stop")
_ELSEWHERE: Final = ("include", "models")
_HARMLESS_OPTIONS: Final = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")

_Service = Mapping[str, JsonValue]


@frozen
class ComposeServices:
    """The services of one compose file, by name, and the files and volumes that they may mount, by section and name."""

    services: Mapping[str, _Service]
    volumes: Mapping[str, JsonValue] = field(factory=dict)
    files: Mapping[str, JsonValue] = field(factory=dict)

    @property
    def images(self) -> tuple[str, ...]:
        """The references of all services that name one."""
        return tuple(image for service in self.services.values() if isinstance(image := service.get("image"), str))

    @property
    def loose_images(self) -> tuple[str, ...]:
        """What no digest fixes, each with the name of its service: tags, variables, builds, images as volumes."""
        return tuple(words for name, service in self.services.items() for words in _loose(name, service))

    @property
    def privileged(self) -> tuple[str, ...]:
        """Services with privileges or name spaces of the guest."""
        return tuple(name for name, service in self.services.items() if _takes_privileges(service))

    def reaching(self, targets: tuple[str, ...]) -> tuple[str, ...]:
        """Services, configs and secrets that mount one of these paths, a folder above, or anything inside."""
        mounting = [
            name
            for name, service in self.services.items()
            if any(_reaches(source, targets) for source in self._sources(service))
        ]
        shown = [name for name, entry in self.files.items() if _reaches(_file_source(entry), targets)]
        return (*mounting, *shown)

    def using_api_socket(self) -> tuple[str, ...]:
        """Services to which Compose itself gives the runtime's socket."""
        return tuple(n for n, service in self.services.items() if service.get("use_api_socket", False) is not False)

    def _sources(self, service: _Service) -> Iterator[str]:
        volumes = service.get("volumes")
        for volume in [] if volumes is None else volumes if isinstance(volumes, list) else [_ANY]:
            yield self._source(volume)

    def _source(self, volume: JsonValue) -> str:
        """The guest's path that a mount shows; empty for what shows none, `_ANY` for what cannot be known."""
        if isinstance(volume, str):
            source, colon, _ = volume.partition(":")
            return self._named(source) if colon or "$" in volume else ""
        if not isinstance(volume, dict):
            return _ANY
        kind, source = volume.get("type"), volume.get("source", "")
        if kind in _NO_BIND:
            return ""
        if kind not in ("bind", "volume") or not isinstance(source, str):
            return _ANY
        return self._named(source) if kind == "volume" else source

    def _named(self, source: str) -> str:
        """A volume by name shows what its options say, in the compose file itself; other sources are paths."""
        if not _NAMED.match(source):
            return source
        volume = self.volumes.get(source)
        if volume is None:
            return ""
        if not isinstance(volume, dict) or volume.get("external", False) is not False:
            return _ANY
        if volume.get("driver", "local") != "local":
            return _ANY
        options = volume.get("driver_opts")
        if options is None:
            return ""
        if not isinstance(options, dict) or "bind" not in str(options.get("o", "")).split(","):
            return _ANY  # other kinds of mounts show what their options say, or a whole disk
        device = options.get("device")
        return device if isinstance(device, str) and device.startswith("/") else _ANY


def read_services(source: str) -> ComposeServices:
    """Read the services of a compose file.

    Raises:
        FormatError: ``compose_syntax`` or ``compose_shape``.
        MissingExtraError: the extra ``compose`` is not installed.
    """
    compose = load_compose_yaml(source)
    services = compose.get("services") if isinstance(compose, dict) else None
    if not isinstance(compose, dict) or not isinstance(services, dict) or not services:
        raise FormatError("compose_shape", "docker_compose_file holds no services")
    for member in _ELSEWHERE:
        if member in compose:
            raise FormatError("compose_shape", f"docker_compose_file has {member}, whose content is not in it")
    for name, service in services.items():
        if not isinstance(service, dict):
            raise FormatError("compose_shape", f"service {name[:60]!r} of docker_compose_file is not a mapping")
        if "extends" in service:
            raise FormatError("compose_shape", f"service {name[:60]!r} takes its members from another place")
    files = {
        f"{section}.{name}": entry
        for section in ("configs", "secrets")
        for name, entry in _table(compose, section).items()
    }
    return ComposeServices(services, _table(compose, "volumes"), files)


def _table(compose: Mapping[str, JsonValue], section: str) -> Mapping[str, JsonValue]:
    value = compose.get(section)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FormatError("compose_shape", f"{section} of docker_compose_file is not a mapping")
    return value


def _loose(name: str, service: _Service) -> Iterator[str]:
    fetched = [member for member in _FETCHES if member in service]
    image = service.get("image")
    if fetched:
        yield f"{name}: {fetched[0]}"
    elif not isinstance(image, str):
        yield f"{name}: no image"
    elif not _BY_DIGEST.match(image):
        yield f"{name}: {image[:100]}"
    volumes = service.get("volumes")
    for volume in volumes if isinstance(volumes, list) else []:
        kind = volume.get("type") if isinstance(volume, dict) else None
        if kind is not None and (kind == "image" or "$" in str(kind)):
            source = str(volume.get("source", ""))
            if not _BY_DIGEST.match(source):
                yield f"{name}: volume {source[:100]}"


def _takes_privileges(service: _Service) -> bool:
    """True for anything but a plain false or nothing: a variable may come to true."""
    options = service.get("security_opt") or []
    return (
        service.get("privileged", False) is not False
        or any(service.get(grant) for grant in _GRANTS)
        or any(_is_host(service.get(space)) for space in _HOST_SPACES)
        or not isinstance(options, list)
        or any(option not in _HARMLESS_OPTIONS for option in options)
        or any(_hook_takes_privileges(service[hook]) for hook in _HOOKS if service.get(hook))
    )


def _hook_takes_privileges(hooks: JsonValue) -> bool:
    """Commands that Compose runs inside the container may have privileges of their own."""
    entries = hooks if isinstance(hooks, list) else [None]
    return any(not isinstance(entry, dict) or entry.get("privileged", False) is not False for entry in entries)


def _is_host(value: JsonValue) -> bool:
    if value is None:
        return False
    return not isinstance(value, str) or "$" in value or value == "host" or value.startswith("container:")


def _file_source(entry: JsonValue) -> str:
    """Compose mounts the file of a config or secret into its services."""
    if not isinstance(entry, dict):
        return _ANY
    source = entry.get("file")
    return "" if source is None else source if isinstance(source, str) else _ANY


def _reaches(source: str, targets: tuple[str, ...]) -> bool:
    """Is one of the targets at this path, below it, or above it? Unknown paths may be anything."""
    if not source:
        return False
    parts = [part for part in source.split("/") if part not in ("", ".")]
    if "$" in source or ".." in parts or "~" in source[:1]:
        return True
    if not source.startswith("/"):
        return not parts or parts[0].startswith(".")  # the folder of the compose file, and what the guest hides in it
    if parts[:1] in (["proc"], ["sys"], ["dev"]):
        return True  # /proc/1/root is the guest's own root, /sys gives out quotes, /dev has the disks
    if parts[:2] == ["var", "run"]:
        parts = parts[1:]
    path = "".join(f"/{part}" for part in parts)
    above = path in ("", "/var")
    return above or any(t == path or t.startswith(f"{path}/") or path.startswith(f"{t}/") for t in targets)

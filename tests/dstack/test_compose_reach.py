"""What a container may reach: privileges, the runtime's socket and the guest agent's, by every road."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .composes import IMAGE, facts_of, service


@pytest.mark.parametrize(
    "members",
    [
        {"privileged": True},
        {"privileged": "true"},
        {"privileged": "${P}"},
        {"privileged": None},
        {"privileged": "no"},
        {"cap_add": ["SYS_ADMIN"]},
        {"devices": ["/dev/sda"]},
        {"device_cgroup_rules": ["a *:* rwm"]},
        {"pid": "host"},
        {"pid": "${PID}"},
        {"ipc": "host"},
        {"uts": "host"},
        {"userns_mode": "host"},
        {"cgroup": "host"},
        {"network_mode": "host"},
        {"pid": "container:x"},
        {"pid": ["x"]},
        {"security_opt": ["seccomp:unconfined"]},
        {"security_opt": "x"},
        {"cgroup_parent": "/"},
        {"volumes_from": ["container:x"]},
        {"post_start": [{"command": "x", "privileged": True}]},
        {"pre_stop": "x"},
    ],
)
def test_privileges(members: dict[str, Any]) -> None:
    assert facts_of(service(**members)).privileged == ("app",)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"privileged": False},
        {"cap_add": []},
        {"cap_drop": ["ALL"]},
        {"pid": "service:b"},
        {"ipc": "private"},
        {"network_mode": "bridge"},
        {"security_opt": ["no-new-privileges:true"]},
        {"devices": None},
        {"post_start": [{"command": "x"}]},
        {"runtime": "nvidia"},
        {"deploy": {"resources": {}}},
    ],
)
def test_no_privileges(members: dict[str, Any]) -> None:
    assert facts_of(service(**members)).privileged == ()


ANYTHING = ("${X}:/x", "$X/y:/x", "/a/../b:/x", "~/a:/x", "/:/x", "/proc/1/root/a:/x", "${X}", "/var:/x", "//:/x")
GUEST_FOLDERS = ("/proc:/host/proc", "/sys:/x", "/dev:/x", "/dev/vda1:/x")
RUNTIME = (
    "/var/run/docker.sock:/x",
    "/run/docker.sock:/x:ro",
    "/var/run:/x",
    "/run:/x",
    "//var//run/./docker.sock:/x",
    "/run/containerd/containerd.sock:/x",
    "/var/lib/docker:/x",
    "/var/lib/docker/volumes/x:/x",
    "/etc/docker:/x",
    "/etc:/x",
    "/var/lib:/x",
    "/var/run/docker.sock/:/x",
    "/etc/systemd/system:/x",
    "/usr/lib:/x",
    "/bin:/x",
    "/run/dbus:/x",
)
GUEST = (
    "/var/run/dstack.sock:/x",
    "/run/tappd.sock:/x",
    "/var/run:/x",
    "/run/:/x",
    "/dstack/.host-shared:/x",
    "/tapp:/x",
    ".:/x",
    "./:/x",
    "./.host-shared:/x",
)
HARMLESS = (
    "data:/x",
    "/data:/x",
    "./config:/x",
    "/x",
    "/var/log:/x",
    "/var/run-x:/x",
    "/home/a:/x",
)


def _bind(volume: str) -> dict[str, str]:
    return {"type": "bind", "source": volume.partition(":")[0], "target": "/x"}


@pytest.mark.parametrize("volume", [*ANYTHING, *GUEST_FOLDERS, *RUNTIME])
def test_the_socket_of_the_runtime(volume: str) -> None:
    assert facts_of(service(volumes=[volume])).runtime_sockets == ("app",)
    if ":" in volume:
        assert facts_of(service(volumes=[_bind(volume)])).runtime_sockets == ("app",)


@pytest.mark.parametrize("volume", [*ANYTHING, *GUEST_FOLDERS, *GUEST])
def test_the_socket_of_the_guest_agent(volume: str) -> None:
    assert facts_of(service(volumes=["data:/y", volume])).guest_sockets == ("app",)


@pytest.mark.parametrize("volume", HARMLESS)
def test_other_mounts(volume: str) -> None:
    facts = facts_of(service(volumes=[volume]))
    assert facts.runtime_sockets == facts.guest_sockets == ()


@pytest.mark.parametrize(
    "volumes",
    [
        "/data:/x",
        {"a": "b"},
        [None],
        [{"source": "/x"}],
        [{"type": "${T}", "source": "x"}],
        [{"type": "npipe"}],
        [{"type": "bind", "source": ["/x"]}],
    ],
)
def test_mounts_that_cannot_be_read_may_be_anything(volumes: Any) -> None:
    facts = facts_of(service(volumes=volumes))
    assert facts.runtime_sockets == facts.guest_sockets == ("app",)


def _with(section: str, entry: Any, **members: Any) -> Any:
    compose = {"services": {"app": {"image": IMAGE, **members}}, section: {"v": entry}}
    return facts_of(json.dumps(compose))


@pytest.mark.parametrize(
    "entry",
    [
        {"driver_opts": {"type": "none", "o": "bind", "device": "/var/run/docker.sock"}},
        {"driver_opts": {"device": "/run"}},
        {"driver_opts": {"device": "${D}"}},
        {"driver_opts": {"o": "bind"}},
        {"driver_opts": "x"},
        {"driver": "other"},
        {"driver": "${D}"},
        {"external": True},
        {"external": "${E}"},
        "x",
    ],
)
@pytest.mark.parametrize("mount", ["v:/x", {"type": "volume", "source": "v", "target": "/x"}])
def test_a_volume_with_options_is_a_path(entry: Any, mount: Any) -> None:
    assert _with("volumes", entry, volumes=[mount]).runtime_sockets == ("app",)


BIND_OF_DATA = {"driver_opts": {"device": "/data", "o": "bind", "type": "none"}}


@pytest.mark.parametrize("entry", [None, {}, {"driver": "local"}, BIND_OF_DATA])
def test_a_plain_volume(entry: Any) -> None:
    assert _with("volumes", entry, volumes=["v:/x"]).runtime_sockets == ()


@pytest.mark.parametrize("section", ["configs", "secrets"])
def test_files_of_configs_and_secrets_are_mounts(section: str) -> None:
    assert _with(section, {"file": "/var/run/docker.sock"}).runtime_sockets == (f"{section}.v",)
    assert _with(section, {"file": "/var/run/dstack.sock"}).guest_sockets == (f"{section}.v",)
    assert _with(section, {"file": "${F}"}).runtime_sockets == (f"{section}.v",)
    assert _with(section, "x").runtime_sockets == (f"{section}.v",)
    assert _with(section, {"environment": "A"}).runtime_sockets == ()
    assert _with(section, {"file": "./a.txt"}).runtime_sockets == ()


def test_the_socket_that_compose_itself_gives() -> None:
    assert facts_of(service(use_api_socket=True)).runtime_sockets == ("app",)
    assert facts_of(service(use_api_socket="${X}")).runtime_sockets == ("app",)
    assert facts_of(service(use_api_socket=False)).runtime_sockets == ()

"""A dstack boot: event log, measurement registers, MRCONFIGID, and the ``info`` object that a guest reports.

Formats follow the dstack project (github.com/Dstack-TEE/dstack): the event log of its guest agent, the app-compose
document and `mr_config`. Boot rows (registers 0 to 2) have the event types of a real TD boot with invented digests.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from attrs import evolve, frozen

from .certificates import Issued
from .event_log import Event, replay, runtime_event
from .keys import KeyRing
from .recording import compact

__all__ = ["BootImage", "DstackBoot", "app_compose_text"]

# (register, TCG event type, description that goes into the payload), in the order of a real log: 13, 5 and 2 rows.
_BOOT_ROWS: Final[tuple[tuple[int, int, str], ...]] = (
    (0, 0x8000000B, "TdxTable"),
    (0, 0x8000000A, "firmware volume"),
    (0, 0x80000001, "SecureBoot"),
    (0, 0x80000001, "PK"),
    (0, 0x80000001, "KEK"),
    (0, 0x80000001, "db"),
    (0, 0x80000001, "dbx"),
    (0, 0x00000004, ""),
    (0, 0x0000000A, "ACPI DATA"),
    (0, 0x0000000A, "ACPI DATA"),
    (0, 0x0000000A, "ACPI DATA"),
    (1, 0x80000003, "kernel image"),
    (0, 0x80000002, "BootOrder"),
    (0, 0x80000002, "Boot0000"),
    (1, 0x80000007, "Calling EFI Application from Boot Option"),
    (1, 0x00000004, ""),
    (2, 0x00000006, "LOADED_IMAGE::LoadOptions"),
    (2, 0x00000006, "Linux initrd"),
    (1, 0x80000007, "Exit Boot Services Invocation"),
    (1, 0x80000007, "Exit Boot Services Returned with Success"),
)


@frozen(kw_only=True)
class BootImage:
    """A guest image: what is measured before the guest measures anything itself."""

    name: str
    mr_td: bytes
    mr_seam: bytes
    tee_tcb_svn: bytes
    os_image_hash: bytes
    boot_digests: tuple[bytes, ...]

    @classmethod
    def derive(cls, keys: KeyRing, name: str, *, tee_tcb_svn: bytes) -> BootImage:
        """An image with invented measurements that depend on its name."""
        return cls(
            name=name,
            mr_td=keys.material(f"mrtd/{name}", 48),
            mr_seam=keys.material("mrseam", 48),
            tee_tcb_svn=tee_tcb_svn + bytes(16 - len(tee_tcb_svn)),
            os_image_hash=keys.material(f"os-image/{name}", 32),
            boot_digests=tuple(keys.material(f"boot/{name}/{row}", 48) for row in range(len(_BOOT_ROWS))),
        )

    def with_other_command_line(self) -> BootImage:
        """The same image but for register 2, as a development build of it would be."""
        changed = tuple(
            hashlib.sha384(digest).digest() if _BOOT_ROWS[row][0] == 2 else digest
            for row, digest in enumerate(self.boot_digests)
        )
        return evolve(self, boot_digests=changed)

    def boot_events(self) -> tuple[Event, ...]:
        """The rows of registers 0 to 2."""
        return tuple(
            Event(imr=imr, event_type=event_type, digest=digest, event="", payload=text.encode() or bytes(4))
            for (imr, event_type, text), digest in zip(_BOOT_ROWS, self.boot_digests, strict=True)
        )


def app_compose_text(image: str, services: str) -> str:
    """An app-compose document as dstack writes it: indented JSON whose exact text is measured."""
    return (
        "{\n"
        '    "manifest_version": 2,\n'
        f'    "name": "{image}",\n'
        '    "runner": "docker-compose",\n'
        f'    "docker_compose_file": {compact(services).decode()},\n'
        '    "kms_enabled": true,\n'
        '    "gateway_enabled": true,\n'
        '    "local_key_provider_enabled": false,\n'
        '    "key_provider_id": "",\n'
        '    "public_logs": false,\n'
        '    "public_sysinfo": true,\n'
        '    "allowed_envs": ["TEST_TOKEN"],\n'
        '    "no_instance_id": false,\n'
        '    "secure_time": false\n'
        "}"
    )


@frozen(kw_only=True)
class DstackBoot:
    """One boot of one application.

    ``events_override`` replaces the whole log (the registers follow it, as they would in a TD whose guest wrote it);
    ``mr_config_override`` replaces MRCONFIGID, which the host sets.
    """

    image: BootImage
    app_compose: str
    app_id: bytes
    instance_id: bytes
    mr_kms: bytes
    kms: Issued
    app_certificates: tuple[Issued, ...]
    storage_fs: str | None = None
    key_provider_name: str = "kms"
    event_version: int = 1
    gpus: int = 0
    events_override: tuple[Event, ...] | None = None
    mr_config_override: bytes | None = None

    @property
    def compose_hash(self) -> bytes:
        """SHA-256 of the exact app-compose text."""
        return hashlib.sha256(self.app_compose.encode()).digest()

    @property
    def key_provider(self) -> str:
        """The key provider as JSON text, which is also the payload of its event."""
        return compact({"name": self.key_provider_name, "id": self.kms.spki.hex()}).decode()

    def runtime_events(self) -> tuple[Event, ...]:
        """What the guest measures into register 3, in its order."""
        rows = [
            ("system-preparing", b""),
            ("app-id", self.app_id),
            ("compose-hash", self.compose_hash),
            ("instance-id", self.instance_id),
            ("boot-mr-done", b""),
            ("mr-kms", self.mr_kms),
            ("os-image-hash", self.image.os_image_hash),
            ("key-provider", self.key_provider.encode()),
        ]
        if self.storage_fs is not None:
            rows.append(("storage-fs", self.storage_fs.encode()))
        rows.append(("system-ready", b""))
        return tuple(runtime_event(event, payload, version=self.event_version) for event, payload in rows)

    def events(self) -> tuple[Event, ...]:
        """The whole log."""
        if self.events_override is not None:
            return self.events_override
        return self.image.boot_events() + self.runtime_events()

    def registers(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The four measurement registers."""
        events = self.events()
        return replay(events, 0), replay(events, 1), replay(events, 2), replay(events, 3)

    def mr_config_id(self) -> bytes:
        """MRCONFIGID in its first form: version byte, compose hash, zeros."""
        return b"\x01" + self.compose_hash + bytes(15) if self.mr_config_override is None else self.mr_config_override

    def td_fields(self) -> dict[str, bytes]:
        """The quote fields that this boot decides, as arguments of `TdFields`."""
        rtmr0, rtmr1, rtmr2, rtmr3 = self.registers()
        return {
            "mr_td": self.image.mr_td,
            "mr_seam": self.image.mr_seam,
            "tee_tcb_svn": self.image.tee_tcb_svn,
            "mr_config_id": self.mr_config_id(),
            "rtmr0": rtmr0,
            "rtmr1": rtmr1,
            "rtmr2": rtmr2,
            "rtmr3": rtmr3,
        }

    def with_runtime(self, *events: Event) -> DstackBoot:
        """The same boot with other runtime events after the boot rows."""
        return evolve(self, events_override=self.image.boot_events() + events)

    def log_rows(self, *, sorted_keys: bool) -> list[dict[str, Any]]:
        """The event log as JSON."""
        return [event.row(sorted_keys=sorted_keys) for event in self.events()]

    def vm_config(self) -> str:
        """The host's description of the machine: JSON text that nothing measures."""
        return compact(
            {
                "spec_version": 1,
                "os_image_hash": self.image.os_image_hash.hex(),
                "cpu_count": 64 if self.gpus else 4,
                "memory_size": (2048 if self.gpus else 8) << 30,
                "qemu_version": "9.2.1",
                "pci_hole64_size": 0,
                "hugepages": False,
                "num_gpus": self.gpus,
                "num_nvswitches": 4 if self.gpus > 1 else 0,
                "hotplug_off": True,
                "image": self.image.name,
            }
        ).decode()

    def info(self, *, quote_user_data: bytes, td: dict[str, bytes], sorted_keys: bool) -> dict[str, Any]:
        """The ``info`` object.

        Args:
            quote_user_data: the 20 bytes of the quote's header that name the platform.
            td: MROWNER and MROWNERCONFIG where they are not zero, and registers that differ from this boot's.
            sorted_keys: key order of NEAR's model records; else that of the gateway's.
        """
        fields = {**self.td_fields(), **td}
        registers = ["mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id", "mr_owner", "mr_owner_config"]
        if not any(any(fields.get(register, b"")) for register in registers[5:]):
            del registers[5:]
        aggregated = hashlib.sha256(b"".join(fields.get(register, bytes(48)) for register in registers)).hexdigest()
        device_id = hashlib.sha256(quote_user_data).hexdigest()
        tcb_info = {
            "mrtd": fields["mr_td"].hex(),
            **{register: fields[register].hex() for register in registers[1:5]},
            "os_image_hash": self.image.os_image_hash.hex(),
            "compose_hash": self.compose_hash.hex(),
            "device_id": device_id,
            "app_compose": self.app_compose,
            "event_log": self.log_rows(sorted_keys=sorted_keys),
        }
        info: dict[str, Any] = {
            "app_id": self.app_id.hex(),
            "instance_id": self.instance_id.hex(),
            "app_cert": "".join(certificate.pem for certificate in self.app_certificates),
            "tcb_info": dict(sorted(tcb_info.items())) if sorted_keys else tcb_info,
            "app_name": self.image.name,
            "device_id": device_id,
            "mr_aggregated": aggregated,
            "os_image_hash": self.image.os_image_hash.hex(),
            "key_provider_info": self.key_provider,
            "compose_hash": self.compose_hash.hex(),
            "vm_config": self.vm_config(),
        }
        return dict(sorted(info.items())) if sorted_keys else info

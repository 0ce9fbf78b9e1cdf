"""Faults of what booted: image, application, compose text, MRCONFIGID, key service, and the reported ``info``."""

from __future__ import annotations

import json

from attrs import evolve

from teeverify.testing.dstack import BootImage
from teeverify.testing.kms import app_certificates, kms_root
from teeverify.testing.near import NearSession
from teeverify.testing.recording import Document

from .model import defect

COMPOSE = ("dstack.compose_event", "dstack.mr_config_id", "dstack.reported_info")
INFO = "dstack.reported_info"


def _intruder_image(session: NearSession) -> BootImage:
    return BootImage.derive(session.keys, "intruder", tee_tcb_svn=bytes([11, 1, 4]))


# --- pins ----------------------------------------------------------------------------------------------------------


@defect("pin.base_image")
def image_of_attacker(session: NearSession) -> None:
    """The attacker's own guest image: it forges the whole log of the genuine application, and replays it."""
    genuine, own = session.model.boot.image, _intruder_image(session)
    session.model.reboot(image=evolve(genuine, mr_td=own.mr_td, boot_digests=own.boot_digests))


@defect("pin.base_image")
def image_development_build(session: NearSession) -> None:
    """A development build of the pinned image: only register 2 differs."""
    session.model.reboot(image=session.model.boot.image.with_other_command_line())


@defect("pin.base_image", shipped=False)
def image_firmware_other(session: NearSession) -> None:
    """Only MRTD differs: other firmware under the same kernel."""
    own = _intruder_image(session)
    session.model.reboot(image=evolve(session.model.boot.image, mr_td=own.mr_td))


@defect("dstack.rtmr_replay", "pin.base_image", shipped=False)
def image_rows_of_another(session: NearSession) -> Document:
    """The attacker's image shows the boot rows of the pinned one, which do not lead to the quote's registers."""
    shown = session.report()
    own = _intruder_image(session)
    session.model.reboot(image=evolve(session.model.boot.image, boot_digests=own.boot_digests))
    signed = session.report()
    shown["intel_quote"] = signed["intel_quote"]
    shown["compose_manager_attestation"]["quote"] = signed["compose_manager_attestation"]["quote"]
    return session.saved(shown)


@defect("pin.app_id")
def app_id_other(session: NearSession) -> None:
    """Another application of the same key service, with the pinned compose text."""
    boot = session.model.boot
    app_id = session.keys.material("intruder/app-id", 20)
    certificates = app_certificates(session.keys, boot.kms, app_id, "app/intruder")
    session.model.reboot(app_id=app_id, app_certificates=certificates)


@defect("pin.compose")
def compose_other(session: NearSession) -> None:
    """The pinned application runs another compose text, measured consistently."""
    session.model.reboot(app_compose=session.model.boot.app_compose.replace("111111", "666666"))


@defect("pin.kms_root", "dstack.key_provider")
def kms_root_other(session: NearSession) -> None:
    """The attacker runs a key service of his own: same image, application and compose text, and he knows every key."""
    boot = session.model.boot
    kms = kms_root(session.keys, "intruder/kms")
    certificates = app_certificates(session.keys, kms, boot.app_id, "app/intruder")
    session.model.reboot(kms=kms, app_certificates=certificates)


@defect("pin.os_image")
def os_image_other(session: NearSession) -> None:
    """The guest reports another OS image hash under the pinned measurements."""
    image = session.model.boot.image
    session.model.reboot(image=evolve(image, os_image_hash=session.keys.material("intruder/os", 32)))


@defect("dstack.key_provider", "pin.kms_root", shipped=False)
def key_provider_local(session: NearSession) -> None:
    """The guest's keys come from a local provider instead of the key service."""
    session.model.reboot(key_provider_name="local")


@defect("pin.signing_key", policy={"signing_keys": {"model": ["ab" * 32]}})
def signing_key_unpinned(session: NearSession) -> None:
    """A truthful report of another model's host: its key is not the one that the policy names."""


@defect("pin.tls_spki", policy={"tls_spki": {"model": ["cd" * 32]}}, shipped=False)
def tls_key_unpinned(session: NearSession) -> None:
    """A truthful report whose TLS key is not the one that the policy names."""


@defect(
    "pin.reference_current", outcome=("REJECTED", "INCONCLUSIVE"), policy={"valid_until": "2026-06-01"}, shipped=False
)
def policy_ran_out(session: NearSession) -> None:
    """A truthful report under reference values that were valid until two weeks ago."""


# --- compose text and MRCONFIGID -----------------------------------------------------------------------------------


@defect(*COMPOSE)
def compose_text_edited(session: NearSession) -> Document:
    """The compose text shown is not the one that was measured; all hashes are left as they were."""
    report = session.report()
    tcb_info = report["info"]["tcb_info"]
    tcb_info["app_compose"] = tcb_info["app_compose"].replace("111111", "666666")
    return session.saved(report)


@defect(*COMPOSE, shipped=False)
def compose_text_serialised_again(session: NearSession) -> Document:
    """The compose text means the same and has other bytes."""
    report = session.report()
    tcb_info = report["info"]["tcb_info"]
    tcb_info["app_compose"] = json.dumps(json.loads(tcb_info["app_compose"]))
    return session.saved(report)


@defect(*COMPOSE, shipped=False)
def compose_text_and_hash_edited(session: NearSession) -> Document:
    """The compose text and every reported hash of it are another's; quote and log are the genuine ones."""
    report = session.report()
    session.model.reboot(app_compose=session.model.boot.app_compose.replace("111111", "666666"))
    other = session.model.info(sorted_keys=True)
    info = report["info"]
    info["compose_hash"] = other["compose_hash"]
    info["tcb_info"]["compose_hash"] = other["compose_hash"]
    info["tcb_info"]["app_compose"] = other["tcb_info"]["app_compose"]
    return session.saved(report)


@defect("dstack.mr_config_id")
def mr_config_tail(session: NearSession) -> None:
    """The last byte of MRCONFIGID is not zero."""
    session.model.reboot(mr_config_override=session.model.boot.mr_config_id()[:-1] + b"\x01")


@defect("dstack.mr_config_id")
def mr_config_version_2(session: NearSession) -> None:
    """MRCONFIGID carries the version byte of another layout."""
    session.model.reboot(mr_config_override=b"\x02" + session.model.boot.mr_config_id()[1:])


@defect("dstack.mr_config_id")
def mr_config_zero(session: NearSession) -> None:
    """The host left MRCONFIGID empty, so the guest did not check its compose text against it."""
    session.model.reboot(mr_config_override=bytes(48))


@defect("dstack.mr_config_id", shipped=False)
def mr_config_other(session: NearSession) -> None:
    """MRCONFIGID names another compose text."""
    other = b"\x01" + session.keys.material("intruder/compose", 32) + bytes(15)
    session.model.reboot(mr_config_override=other)


# --- reported info -------------------------------------------------------------------------------------------------


@defect(INFO, "pin.app_id", shipped=False)
def info_app_id_edited(session: NearSession) -> Document:
    """``info.app_id`` is not the measured one."""
    report = session.report()
    report["info"]["app_id"] = "66" * 20
    return session.saved(report)


@defect(INFO)
def info_registers_edited(session: NearSession) -> Document:
    """``tcb_info`` shows another MRTD than the quote."""
    report = session.report()
    report["info"]["tcb_info"]["mrtd"] = "66" * 48
    return session.saved(report)


@defect(INFO, shipped=False)
def info_aggregate_edited(session: NearSession) -> Document:
    """``mr_aggregated`` is not the hash of the registers."""
    report = session.report()
    report["info"]["mr_aggregated"] = "66" * 32
    return session.saved(report)


@defect(INFO, shipped=False)
def info_device_edited(session: NearSession) -> Document:
    """``device_id`` is not the hash of the quote's platform identifier."""
    report = session.report()
    report["info"]["device_id"] = report["info"]["tcb_info"]["device_id"] = "66" * 32
    return session.saved(report)


@defect("dstack.key_provider", INFO, "pin.kms_root", shipped=False)
def info_key_provider_edited(session: NearSession) -> Document:
    """``key_provider_info`` names the pinned key service, the measured event the attacker's."""
    shown = session.model.info(sorted_keys=True)
    kms_root_other(session)
    report = session.report()
    report["info"]["key_provider_info"] = shown["key_provider_info"]
    report["info"]["app_cert"] = shown["app_cert"]
    return session.saved(report)


@defect("dstack.key_provider", INFO)
def app_certificate_foreign(session: NearSession) -> None:
    """The application's certificate chain ends in another key service's root than the measured one."""
    kms = kms_root(session.keys, "intruder/kms")
    certificates = app_certificates(session.keys, kms, session.model.boot.app_id, "app/intruder")
    session.model.reboot(app_certificates=certificates)


@defect("dstack.key_provider", INFO, shipped=False)
def app_certificate_other_app(session: NearSession) -> None:
    """The key service certified another application than the measured one."""
    boot = session.model.boot
    other = session.keys.material("intruder/app-id", 20)
    session.model.reboot(app_certificates=app_certificates(session.keys, boot.kms, other, "app/intruder"))

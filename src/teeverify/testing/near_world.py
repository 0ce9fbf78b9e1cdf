"""The simulated NEAR deployment: its machines, images, applications, hosts and deployment log."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Any, Final

from cryptography import x509

from .certificates import Issued, basic_constraints, day, issue, key_usage, name
from .dstack import BootImage, DstackBoot, app_compose_text
from .enclave import Enclave
from .intel import IntelPki, Platform
from .keys import KeyRing
from .kms import app_certificates, kms_root
from .signing import OhttpKey, SigningKey
from .tdx import QuoteFormat

__all__ = [
    "CLOUD_HOST",
    "DIRECT_HOST",
    "MODEL",
    "RECORDED_AT",
    "actions",
    "app_boot",
    "gateway_enclave",
    "model_enclave",
    "tls_chain",
]

RECORDED_AT: Final = datetime(2026, 6, 15, 12, tzinfo=timezone.utc)
"""When the shipped sessions took place."""
MODEL: Final = "teeverify-test/model-1b"
"""A model that no provider serves."""
DIRECT_HOST: Final = "teeverify-test-model-1b.completions.near.ai"
CLOUD_HOST: Final = "cloud-api.near.ai"

_MODEL_SERVICES: Final = (
    "services:\n"
    "  compose-manager:\n"
    "    image: teeverify-test/compose-manager@sha256:"
    "1111111111111111111111111111111111111111111111111111111111111111\n"
    "    volumes:\n"
    "      - /var/run/dstack.sock:/var/run/dstack.sock\n"
)
_GATEWAY_SERVICES: Final = (
    "services:\n"
    "  cloud-api:\n"
    "    image: teeverify-test/cloud-api@sha256:"
    "2222222222222222222222222222222222222222222222222222222222222222\n"
)


def app_boot(
    keys: KeyRing, image: BootImage, *, app: str, services: str, kms: Issued | None = None, gpus: int = 0
) -> DstackBoot:
    """A boot of an application that is named by a label."""
    kms = kms or kms_root(keys)
    app_id = keys.material(f"app-id/{app}", 20)
    return DstackBoot(
        image=image,
        app_compose=app_compose_text(image.name, services),
        app_id=app_id,
        instance_id=keys.material(f"instance-id/{app}", 20),
        mr_kms=keys.material("mr-kms", 32),
        kms=kms,
        app_certificates=app_certificates(keys, kms, app_id, f"app/{app}"),
        storage_fs="zfs" if gpus else None,
        gpus=gpus,
    )


def _enclave(keys: KeyRing, pki: IntelPki, label: str, *, algorithm: str, fmspc: str, boot: DstackBoot) -> Enclave:
    platform = Platform(
        label=label,
        ppid=keys.material(f"ppid/{label}", 16),
        platform_instance_id=keys.material(f"platform-instance/{label}", 16),
        fmspc=bytes.fromhex(fmspc),
    )
    return Enclave(
        pki=pki,
        platform=platform,
        boot=boot,
        signing=SigningKey.derive(keys, f"signing/{label}", algorithm),
        tls_key=keys.p256(f"tls/{label}"),
        ohttp=OhttpKey(public=keys.material(f"ohttp/{label}", 32)),
        layout=QuoteFormat(qe_id=keys.material(f"qe-id/{label}", 16)),
    )


def model_enclave(keys: KeyRing, pki: IntelPki, algorithm: str, gpus: int) -> Enclave:
    """The TD that serves the model."""
    image = BootImage.derive(keys, "dstack-nvidia-teeverify-test", tee_tcb_svn=bytes([11, 1, 4]))
    boot = app_boot(keys, image, app="model", services=_MODEL_SERVICES, gpus=gpus)
    return _enclave(keys, pki, "model", algorithm=algorithm, fmspc="90c06f000000", boot=boot)


def gateway_enclave(keys: KeyRing, pki: IntelPki, algorithm: str) -> Enclave:
    """The TD of the cloud gateway, on another platform family."""
    image = BootImage.derive(keys, "dstack-teeverify-test", tee_tcb_svn=bytes([11, 1, 3]))
    boot = app_boot(keys, image, app="gateway", services=_GATEWAY_SERVICES)
    return _enclave(keys, pki, "gateway", algorithm=algorithm, fmspc="b0c06f000000", boot=boot)


def actions(keys: KeyRing) -> list[dict[str, Any]]:
    """The compose manager's log, keys in the order in which it sends them."""
    deployed = {
        "tag": "v0.0.1-test",
        "commit": keys.material("commit", 20).hex(),
        "file": "test/model-1b.yaml",
        "file_sha256": hashlib.sha256(b"services: {}\n").hexdigest(),
    }
    return [
        {
            "timestamp": "2026-06-01T08:00:00.000000001+00:00",
            "action": "compose_manager_started",
            "image": f"teeverify-test/compose-manager@sha256:{'1' * 64}",
        },
        {"timestamp": "2026-06-01T08:00:05.250000000+00:00", "action": "kernel_algif_blacklist_ok"},
        {"timestamp": "2026-06-01T08:01:00.000000000+00:00", "action": "compose_up", **deployed},
        {"timestamp": "2026-06-02T09:30:00.500000000+00:00", "action": "docker_restart", "container": "model-proxy"},
        {"timestamp": "2026-06-03T10:00:00.000000000+00:00", "action": "compose_up", **deployed, "services": ["proxy"]},
    ]


def tls_chain(keys: KeyRing, enclave: Enclave, host: str = CLOUD_HOST) -> str:
    """The PEM chain that a cloud report shows beside the attested fingerprint."""
    ca_key = keys.p256("tls-ca")
    ca = issue(
        subject=name(("C", "US"), ("O", "teeverify TEST"), ("CN", "teeverify TEST TLS CA")),
        issuer=None,
        key=ca_key,
        serial=keys.serial("tls-ca"),
        not_before=day("2024-01-01"),
        not_after=day("2036-01-01"),
        extensions=[basic_constraints(True, 0), key_usage(certs=True, crls=True)],
    )
    leaf = issue(
        subject=name(("CN", host)),
        issuer=ca,
        key=enclave.tls_key,
        serial=keys.serial(f"tls/{host}"),
        not_before=day("2026-05-01"),
        not_after=day("2036-01-01"),
        extensions=[(x509.SubjectAlternativeName([x509.DNSName(host)]), False), key_usage(sign=True)],
    )
    return leaf.pem + ca.pem

"""A dstack app of one's own, simulated: its files, Intel's answers about its machine, and a policy that pins it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve

from . import near_world
from .dstack import app_compose_text
from .enclave import Enclave
from .intel import IntelPki
from .keys import DEFAULT_SEED, KeyRing, spki
from .kms import app_certificates
from .near_policy import PolicyText, enclave_pins
from .near_world import RECORDED_AT
from .pcs import PcsService
from .recording import Answer, Document, compact, exchange, saved_report

__all__ = ["APP_NAME", "DstackApp", "dstack_policy"]

APP_NAME: Final = "teeverify-test/app"
"""An app that nobody runs."""
_URL: Final = "https://dstack-app.invalid/attestation"
_SERVICES: Final = (
    "services:\n"
    "  app:\n"
    "    image: teeverify-test/app@sha256:3333333333333333333333333333333333333333333333333333333333333333\n"
    "    environment:\n"
    "      - TEST_TOKEN=${TEST_TOKEN}\n"
)


@define(kw_only=True)
class DstackApp:
    """One app, truthful as built: turn its knobs or edit its files to make it lie. Build it with `build`.

    Attributes:
        report_data: what the app put into its quote, 64 bytes.
        enclave: its TD.
        at: when the quote was made.
        with_certificate_quote: whether the app certificate carries a quote about its own key, as real ones do.
    """

    keys: KeyRing
    report_data: bytes
    enclave: Enclave
    pcs: PcsService
    at: datetime
    with_certificate_quote: bool = True

    @classmethod
    def build(
        cls,
        *,
        report_data: bytes | None = None,
        services: str = _SERVICES,
        event_version: int = 1,
        at: datetime = RECORDED_AT,
        seed: str = DEFAULT_SEED,
    ) -> DstackApp:
        """Set up a truthful app.

        Args:
            report_data: what the app is asked to put into its quote, 64 bytes.
            services: the compose file.
            event_version: of the guest's events, 1 or 2.
            at: when the quote was made.
            seed: of all keys; the shipped roots belong to the default.
        """
        keys = KeyRing(seed)
        intel = IntelPki(keys)
        enclave = near_world.gateway_enclave(keys, intel, "ecdsa")
        app_compose = app_compose_text(enclave.boot.image.name, services)
        enclave.reboot(app_compose=app_compose, event_version=event_version)
        return cls(
            keys=keys,
            report_data=report_data or keys.material("dstack-app/report-data", 64),
            enclave=enclave,
            pcs=PcsService(pki=intel, issued=at - timedelta(minutes=30)),
            at=at,
        )

    def files(self) -> dict[str, str]:
        """The texts of the app by name: ``quote`` (hex), ``event_log``, ``app_compose``, ``vm_config``, ``info``."""
        boot = self.enclave.boot
        if self.with_certificate_quote:
            self._certify()
        info = self.enclave.info(sorted_keys=False)
        return {
            "quote": self.enclave.quote(self.report_data).hex(),
            "event_log": compact(boot.log_rows(sorted_keys=False)).decode(),
            "app_compose": boot.app_compose,
            "vm_config": boot.vm_config(),
            "info": compact(info).decode(),
        }

    def _certify(self) -> None:
        """Issue the app certificate anew, with a quote of this boot about the certificate's key."""
        boot = self.enclave.boot
        leaf_key = spki(self.keys.p256("app/gateway/app-leaf"))
        quote = self.enclave.quote(hashlib.sha512(b"ratls-cert:" + leaf_key).digest())
        chain = app_certificates(self.keys, boot.kms, boot.app_id, "app/gateway", quote=quote)
        self.enclave.boot = evolve(boot, app_certificates=chain)

    def saved(self, files: Mapping[str, Any] | None = None, *, query: str | None = None) -> Document:
        """The saved report of the files; ``query`` is what was demanded, the true REPORTDATA unless given."""
        demanded = f"report_data={self.report_data.hex()}" if query is None else query
        url = f"{_URL}?{demanded}" if demanded else _URL
        answer = Answer(200, {"Content-Type": "application/json"}, compact(self.files() if files is None else files))
        nonce = hashlib.sha256(self.report_data).digest()
        if demanded.startswith("nonce="):
            nonce = bytes.fromhex(demanded[6:])
        intel_key = spki(self.keys.p256("tls/intel"))
        asked = [
            exchange("GET", url, one, peer_spki=intel_key)
            for url, one in self.pcs.answers(self.enclave.platform.fmspc.hex())
        ]
        return saved_report(
            provider="dstack",
            model=APP_NAME,
            nonce=nonce if demanded else bytes(32),
            recorded_at=self.at,
            exchanges=[exchange("GET", url, answer), *asked],
        )

    def write(self, directory: str | Path) -> None:
        """Write the files, Intel's answers (``intel.json``, a saved report) and ``policy.toml`` into a directory."""
        target = Path(directory)
        target.mkdir(parents=True, exist_ok=True)
        names = {"quote": "quote.hex", "event_log": "event-log.json", "app_compose": "app-compose.json"}
        for name, text in self.files().items():
            file = target / names.get(name, f"{name.replace('_', '-')}.json")
            file.write_bytes(text.encode())
        document = self.saved()
        document["exchanges"] = document["exchanges"][1:]
        (target / "intel.json").write_bytes(compact(document))
        (target / "policy.toml").write_bytes(dstack_policy(self).encode())


def dstack_policy(app: DstackApp, *, facts: bool = True) -> str:
    """The policy that pins an app, in the form of a policy file; ``facts`` adds demands on its compose document."""
    name = "dstack-test"
    text = PolicyText(name=name, min_count=1, provider="dstack")
    lines = [
        "# Pins what the simulated app shows. TEST ONLY: it describes no machine that exists.",
        f'name = "{name}"',
        'provider = "dstack"',
        f"valid_until = {text.valid_until}",
        "",
        "[tcb]",
        'accept = ["UpToDate"]',
        f"min_eval_number = {text.min_eval_number}",
        "",
        *enclave_pins("enclave", app.enclave, text),
    ]
    if facts:
        lines += [
            "images_by_digest = true",
            "",
            "[pins.enclave.compose_flags]",
            'allowed_envs = ["TEST_TOKEN"]',
            "pre_launch_scripts = []",
            "privileged = false",
            "runtime_sockets = false",
            "guest_sockets = false",
            "public_logs = false",
        ]
    return "\n".join(lines) + "\n"

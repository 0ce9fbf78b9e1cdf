"""Intel's certification service and NVIDIA's attestation service."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from teeverify.testing.keys import KeyRing
from teeverify.testing.nras import NrasService
from teeverify.testing.nvidia import Device
from teeverify.testing.recording import Answer

from .messages import HttpRequest, Reply, error_reply
from .showings import ShowingDesk

__all__ = ["EndorserRoutes"]

_ATTEST: Final = "/v3/attest/gpu"


class EndorserRoutes:
    """Answers requests to hosts of Intel and NVIDIA.

    ``devices`` makes all GPUs of the simulated deployment, of every machine. ``judges`` says whether NVIDIA judges
    evidence that was not shown; where a lie of the evidence has an answer of its own, it does not.
    """

    def __init__(
        self,
        *,
        keys: KeyRing,
        desk: ShowingDesk[Any, Any],
        devices: Callable[[], Sequence[Device]],
        clock: Callable[[], datetime],
        judges: Callable[[], bool],
    ) -> None:
        self._keys, self._desk, self._make_devices = keys, desk, devices
        self._clock, self._judges = clock, judges
        self._lock = threading.Lock()
        self._devices: dict[str, Device] | None = None

    def answer(self, request: HttpRequest) -> Reply:
        """Answer one request."""
        if request.method == "POST" and request.path == _ATTEST:
            return self._attest(request.body)
        if request.method != "GET":
            return error_reply(405, "this is no question that is answered here")
        answer = self._desk.endorsement("GET", f"https://{request.host}{request.target}")
        return error_reply(404, "there is nothing here", "not_found_error") if answer is None else Reply.of(answer)

    def _attest(self, body: bytes) -> Reply:
        shown = self._desk.posted(body)
        if shown is not None:
            return Reply.of(shown)
        answer = self._judged(body) if self._judges() else None
        return error_reply(400, "the evidence is not known", "BAD_REQUEST") if answer is None else Reply.of(answer)

    def _judged(self, body: bytes) -> Answer | None:
        """NVIDIA's answer about the devices in a payload, None where one of them is not known or did not sign."""
        try:
            payload: Any = json.loads(body)
            nonce, entries = bytes.fromhex(payload["nonce"]), payload["evidence_list"]
            reports = [(entry["certificate"], base64.b64decode(entry["evidence"], validate=True)) for entry in entries]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        known = self._known_devices()
        devices = [known.get(certificate) for certificate, _ in reports]
        if len(nonce) != 32 or not devices:
            return None
        stale = False
        found: list[Device] = []
        for device, (_, evidence) in zip(devices, reports, strict=True):
            own = evidence[4:36]  # the nonce of the SPDM request
            if device is None or base64.b64decode(device.entry(own)["evidence"]) != evidence:
                return None
            stale = stale or own != nonce
            found.append(device)
        service = NrasService(keys=self._keys, issued=self._clock().replace(microsecond=0) - timedelta(seconds=5))
        return service.answer(service.failed_bundle(found, nonce) if stale else service.bundle(found, nonce))

    def _known_devices(self) -> dict[str, Device]:
        with self._lock:
            if self._devices is None:
                self._devices = {device.certificate: device for device in self._make_devices()}
            return self._devices

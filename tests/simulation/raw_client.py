"""A client of the standard library alone: what it sees does not depend on the transport that the package ships."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from teeverify.errors import TransportError
from teeverify.flow import Request, Response
from teeverify.testing.simulation import SimulatedTee

__all__ = ["Got", "RawClient", "RawTransport", "spki_of"]

DISCOVERY = "completions.near.ai"
INTEL = "api.trustedservices.intel.com"
NVIDIA = "nras.attestation.nvidia.com"
TIMEOUT = 20.0


@frozen
class Got:
    """One answer, and the key of the connection that it came over."""

    status: int
    headers: dict[str, str]
    body: bytes
    peer_spki: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def spki_of(certificate: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of a DER certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class RawClient:
    """One keep-alive connection to one host of the simulation."""

    def __init__(self, tee: SimulatedTee, host: str, *, timeout: float = TIMEOUT, key: str | None = None) -> None:
        self._key = tee.api_key if key is None else key
        self.host = host
        context = ssl.create_default_context(cafile=str(tee.ca_file))
        bare = socket.create_connection(tee.address, timeout=timeout)
        try:
            self.socket = context.wrap_socket(bare, server_hostname=host)
        except BaseException:
            bare.close()
            raise
        certificate = self.socket.getpeercert(binary_form=True)
        assert certificate is not None
        self.peer_spki = spki_of(certificate)
        self._connection = http.client.HTTPSConnection(host, context=context)
        self._connection.sock = self.socket

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._connection.close()
        self.socket.close()

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Got:
        """One request and its answer."""
        own = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, target, body=body, headers={**own, **named})
        answer = self._connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Got(answer.status, found, answer.read(), self.peer_spki)

    def get(self, target: str, **headers: str) -> Got:
        """GET."""
        return self.ask("GET", target, None, **headers)

    def post(self, target: str, value: Any, **headers: str) -> Got:
        """POST of a JSON document."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", target, body, **headers)


class RawTransport:
    """The same as a transport of teeverify: a connection for each request."""

    concurrent = True

    def __init__(self, tee: SimulatedTee, *, timeout: float = TIMEOUT) -> None:
        self._tee, self._timeout = tee, timeout

    def send(self, request: Request) -> Response:
        """Answer one request.

        Raises:
            TransportError: there was no whole answer.
        """
        parts = urlsplit(request.url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        try:
            with RawClient(self._tee, parts.netloc, timeout=self._timeout) as client:
                got = client.ask(request.method, target, request.body)
        except (OSError, http.client.HTTPException) as error:
            raise TransportError(f"{parts.netloc} did not answer: {type(error).__name__}") from None
        headers = {name: (value,) for name, value in got.headers.items()}
        return Response(status=got.status, headers=headers, body=got.body, peer_spki=got.peer_spki)

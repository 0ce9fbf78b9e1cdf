"""A simulation in the place of the real provider, for code that knows of no simulation.

Only this machine's view of the network differs: every name leads to the simulation, its certificate authority is the
trusted one, and the test roots stand in for those of Intel and NVIDIA. So an example runs exactly as a reader types it.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from teeverify import cache, roots
from teeverify.testing import SimulatedTee
from teeverify.verifier import Verifier

MODEL = "Qwen/Qwen3.5-122B-A10B"
_AUTHORITY = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@contextmanager
def stand_in() -> Iterator[None]:
    """Serve `MODEL` as NEAR AI would; a policy for it is in ``near.toml``, an API key in the environment."""
    with SimulatedTee.near(gpus=1, model=MODEL) as tee, pytest.MonkeyPatch.context() as monkeypatch:
        assert cache.__name__ in sys.modules  # it looks at the vendors' own roots when it is imported
        _lead_to(tee.address, monkeypatch)
        for name in _AUTHORITY:
            monkeypatch.setenv(name, str(tee.ca_file))
        monkeypatch.setenv("TEEVERIFY_API_KEY", tee.api_key)
        defaults: dict[str, object] = getattr(Verifier.__init__, "__kwdefaults__", {})
        assert defaults["roots"] is roots.PRODUCTION_ROOTS
        monkeypatch.setitem(defaults, "roots", tee.roots)
        monkeypatch.setattr(roots, "PRODUCTION_ROOTS", tee.roots)
        Path("near.toml").write_text(tee.policy_text, encoding="utf-8")
        yield


def _lead_to(there: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    resolve: Any = socket.getaddrinfo
    connect: Any = socket.socket.connect

    def one_place(host: Any, *more: Any, **options: Any) -> Any:
        del host
        return resolve("127.0.0.1", *more, **options)

    def redirected(own: socket.socket, address: Any) -> Any:
        return connect(own, there if isinstance(address, tuple) and address[1] == 443 else address)

    monkeypatch.setattr(socket, "getaddrinfo", one_place)
    monkeypatch.setattr(socket.socket, "connect", redirected)

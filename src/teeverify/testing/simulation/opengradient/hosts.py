"""The host names of OpenGradient: nodes of a chain, an enclave without a name, and the relay."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from teeverify.testing.opengradient import ENCLAVE_URL, NODE_URLS, RELAY_URL

__all__ = ["ENCLAVE", "ENCLAVE_HOST", "NODES", "NODE_HOSTS", "RELAY", "RELAY_HOST", "RELAY_ORIGIN"]

NODES: Final = "nodes"
ENCLAVE: Final = "enclave"
RELAY: Final = "relay"
"""Groups of servers that misbehave together."""

NODE_HOSTS: Final = tuple(urlsplit(url).netloc for url in NODE_URLS)
ENCLAVE_HOST: Final = urlsplit(ENCLAVE_URL).netloc
"""An IP address, as enclaves have: clients name no host in TLS then."""
RELAY_HOST: Final = urlsplit(RELAY_URL).netloc
RELAY_ORIGIN: Final = f"https://{RELAY_HOST}"

"""A simulated TEE: evidence of every kind that teeverify judges, signed under test roots, with chosen faults.

Nothing here proves anything about real hardware, and no production verifier accepts any of it: every signature leads to
a test root, whose private key is derived from a seed in this package. Use it to test an integration:

```python
from teeverify.testing import NearSession, PolicyText, near_policy, trust_roots

session = NearSession.direct(gpus=8)
document = session.saved()                  # a saved report, version 1, as a dict
policy = near_policy(session)               # TOML text that pins what the session shows
roots = trust_roots()                       # pass these to the verifier in place of the vendors' roots
```

`teeverify.testing.defects` holds a table of named faults, each with the outcome and the checks that must find it.
`SimulatedTee` serves all of this over real HTTPS on loopback, for tests of whole programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .chain import ChainSession
from .chain_policy import chain_policy
from .chutes import ChutesSession
from .chutes_policy import chutes_policy
from .dstack_app import DstackApp, dstack_policy
from .front import FrontSession, front_policy
from .front_transport import FrontTransport
from .near import CLOUD_HOST, DIRECT_HOST, MODEL, RECORDED_AT, NearSession
from .near_policy import PolicyText, near_policy
from .opengradient import OpenGradientSession
from .opengradient_policy import opengradient_policy
from .opengradient_transport import OpenGradientTransport
from .roots import root_files, trust_roots, write_roots

if TYPE_CHECKING:
    from .simulation import SimulatedTee

__all__ = [
    "CLOUD_HOST",
    "DIRECT_HOST",
    "MODEL",
    "RECORDED_AT",
    "ChainSession",
    "ChutesSession",
    "DstackApp",
    "FrontSession",
    "FrontTransport",
    "NearSession",
    "OpenGradientSession",
    "OpenGradientTransport",
    "PolicyText",
    "SimulatedTee",
    "chain_policy",
    "chutes_policy",
    "dstack_policy",
    "front_policy",
    "near_policy",
    "opengradient_policy",
    "root_files",
    "trust_roots",
    "write_roots",
]


def __getattr__(name: str) -> object:
    """The simulation brings a server along, and is loaded when it is asked for only."""
    if name == "SimulatedTee":
        from .simulation import SimulatedTee

        return SimulatedTee
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

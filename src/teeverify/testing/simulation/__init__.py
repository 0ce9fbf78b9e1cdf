"""A simulated confidential-inference provider over real HTTPS on loopback.

```python
from teeverify import NearVerifier
from teeverify.testing import SimulatedTee

with SimulatedTee.near(cloud=True) as tee:
    verifier = NearVerifier(tee.policy, roots=tee.roots, transport=tee.transport())
    tee.set_fault("debug-td")        # and now it lies
```

`SimulatedTee.chutes` is the same for Chutes. The provider, Intel and NVIDIA answer on one port; which of them is meant
is told by the host name in TLS (SNI). Every certificate is issued by one test authority, every piece of evidence is
signed under test roots.
"""

from __future__ import annotations

from .asked import Asked, AskedLog
from .fault import Fault
from .faults import CHUTES_FAULTS, FAULTS
from .tee import API_KEY, SimulatedTee

__all__ = ["API_KEY", "CHUTES_FAULTS", "FAULTS", "Asked", "AskedLog", "Fault", "SimulatedTee"]

"""A simulated confidential-inference provider over real HTTPS on loopback.

```python
from teeverify import NearVerifier
from teeverify.testing import SimulatedTee

with SimulatedTee.near(cloud=True) as tee:
    verifier = NearVerifier(tee.policy, roots=tee.roots, transport=tee.transport())
    tee.set_fault("debug-td")        # and now it lies
```

`SimulatedTee.chutes`, `opengradient`, `phala`, `vllm_proxy`, `aci`, `nanogpt` and `venice` are the same for those. The
provider, Intel and NVIDIA answer on one port; which of them is meant is told by the host name in TLS (SNI). Every
certificate but that of OpenGradient's enclave is issued by one test authority, every piece of evidence is signed under
test roots.
"""

from __future__ import annotations

from .asked import Asked, AskedLog
from .fault import Fault
from .faults import CHUTES_FAULTS, FAULTS, OPENGRADIENT_FAULTS
from .faults.aci import ACI_FAULTS
from .faults.fronts import front_faults
from .tee import API_KEY, SimulatedTee

__all__ = [
    "ACI_FAULTS",
    "API_KEY",
    "CHUTES_FAULTS",
    "FAULTS",
    "OPENGRADIENT_FAULTS",
    "Asked",
    "AskedLog",
    "Fault",
    "SimulatedTee",
    "front_faults",
]

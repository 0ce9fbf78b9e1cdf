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
"""

from __future__ import annotations

from .near import CLOUD_HOST, DIRECT_HOST, MODEL, RECORDED_AT, NearSession
from .near_policy import PolicyText, near_policy
from .roots import root_files, trust_roots, write_roots

__all__ = [
    "CLOUD_HOST",
    "DIRECT_HOST",
    "MODEL",
    "RECORDED_AT",
    "NearSession",
    "PolicyText",
    "near_policy",
    "root_files",
    "trust_roots",
    "write_roots",
]

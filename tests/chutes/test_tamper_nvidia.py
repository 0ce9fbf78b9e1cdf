"""NVIDIA's "no" under a policy that lets its answer be missing: what a saved report can be edited to, to hide it.

Whoever edits the file can take the answer out as well, so this is no more than such a policy allows; yet an answer that
is in the file, and is no, should decide.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from teeverify.selftest.byte_changes import change_token, read_token_part
from teeverify.testing.recording import edit_json
from teeverify.verdict import Outcome

from .synthetic import EVIDENCE, build, judge


def _refused_by_nvidia(index: int) -> tuple[dict[str, Any], str]:
    """A simulated session in which NVIDIA says no to one instance, and that instance's id."""
    session = build()
    session.instances[index].nras.overall_changes["x-nvidia-overall-att-result"] = False
    return session.saved(), session.instances[index].instance_id


@pytest.mark.parametrize("index", [0, 1])
def test_35_a_label_that_is_left_out_does_not_keep_nvidias_no_away(index: int) -> None:
    """The label is no evidence, but the request to NVIDIA repeats it, so the recorded request differs from ours."""
    document, name = _refused_by_nvidia(index)
    assert judge(document, nras="when_present").outcome is Outcome.REJECTED

    def unlabelled(body: Any) -> None:
        for entry in body["evidence"]:
            if entry["instance_id"] == name:
                entry["gpu_evidence"] = [{k: v for k, v in gpu.items() if k != "arch"} for gpu in entry["gpu_evidence"]]

    assert not judge(edit_json(document, EVIDENCE, unlabelled), nras="when_present").verified


@pytest.mark.parametrize("index", [0, 1])
def test_37_a_forged_nonce_does_not_make_nvidias_no_an_answer_to_somebody_else(index: int) -> None:
    document, _ = _refused_by_nvidia(index)
    for exchange in document["exchanges"]:
        if exchange["request"]["url"].endswith("/v3/attest/gpu"):
            bundle = json.loads(base64.b64decode(exchange["response"]["body"]))
            if not read_token_part(bundle[0][1], 1)["x-nvidia-overall-att-result"]:
                bundle[0][1] = change_token(bundle[0][1], 1, lambda claims: {**claims, "eat_nonce": "00" * 32})
                exchange["response"]["body"] = base64.b64encode(json.dumps(bundle).encode()).decode()
    assert not judge(document, nras="when_present").verified

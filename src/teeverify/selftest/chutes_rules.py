"""Chutes: which fields of a saved session no check depends on and why, and which checks guard all others.

A place is ``role.member`` inside an entry, with ``#`` for indices and ``@`` before a field of a binary document
(``instance.quote@TD report / MRTD``). ``instance`` is an entry of the evidence and ``key`` one of the keys;
``evidence`` and ``keys`` are these answers themselves, ``instances`` is what is done to one instance in both. Places
outside of them begin with ``session``, ``request``, ``answer``, ``models``, ``intel`` or ``nvidia``. This is the one
table; docs/selftest.md repeats it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .alteration import Rules, Unmeasured
from .chutes_guards import CHUTES_GUARDS
from .chutes_traffic import ChutesTraffic
from .endorser_rules import ENDORSERS_UNMEASURED, endorser_facts
from .json_places import get

__all__ = ["CHUTES_RULES", "facts_of"]

_ANY: Final = r".*"
_GONE: Final = "removed|null"

_UNMEASURED: Final[tuple[Unmeasured, ...]] = (
    Unmeasured(
        r"key\.nonces(\.#)?|keys\.nonce_expires_\w+",
        _ANY,
        "tokens of the relay and until when it takes them: they pay for a prompt, and prove nothing about a machine",
    ),
    Unmeasured(
        r"instance\.certificate@(?!public key|end).*",
        "changed",
        "the quote names the key of this certificate: nobody signed the fields around it, and nothing reads them",
    ),
    Unmeasured(
        r"instance\.quote@padding",
        "removed|zero byte added",
        "zero bytes behind the signature, which nothing signs",
    ),
    Unmeasured(
        r"instance\.gpu_evidence\.#\.certificate@end",
        "zero byte added",
        "a zero byte behind the last certificate of the chain, which is no part of any",
    ),
    Unmeasured(
        r"instance\.gpu_evidence\.#\.arch",
        _GONE,
        "a label of the sender: absent it claims nothing, present it must agree with the certificates",
    ),
    Unmeasured(
        r"instance\.opinions",
        _ANY,
        "what a server says about its own evidence is not read: the evidence is judged here",
    ),
    Unmeasured(
        r"(evidence\.evidence|keys\.instances)",
        "reordered",
        "the order of the instances means nothing: evidence and key are matched by the instance's id",
    ),
    Unmeasured(
        r"evidence\.failed_instance_ids",
        f"{_GONE}|emptied",
        "a list of losses, which the service may shorten as it likes: an instance without evidence is seen by its key",
    ),
    Unmeasured(
        r"evidence\.failed_instance_ids:stranger",
        _ANY,
        "the policy takes any instance, so one more that could not be asked changes nothing",
        given="any_instance",
    ),
    Unmeasured(
        r"instances\.renamed|instances\.relabelled",
        _ANY,
        "an instance's id is a label that no quote holds: it only says which key and which evidence belong together",
    ),
    Unmeasured(
        r"instances\.key_twice",
        _ANY,
        "the policy takes any instance: an id that shows a key and no evidence is not VERIFIED, whosever key it shows",
        given="any_instance",
    ),
    Unmeasured(
        r"instances\.left_out",
        _ANY,
        "nothing says how many instances there are: one of which nothing is shown is not counted, and lends no key",
    ),
    Unmeasured(
        r"answer\.(keys|evidence|models)\.peer_spki",
        _ANY,
        "no attested machine ends the connection to Chutes, so its key is held against nothing: the quotes count",
    ),
    Unmeasured(
        r"answer\.models(\.status)?",
        _ANY,
        "a recorded list of models is not demanded: which chute serves a model is Chutes' word either way",
    ),
    Unmeasured(
        r"models\.(note|others)",
        _ANY,
        "of the list of models only the name and the chute of this model are read, and nothing vouches for either",
    ),
    Unmeasured(
        r"session\.model",
        _ANY,
        "a known gap: nothing in a quote names the model, and the file holds no list of models to contradict it",
        given="no_list_of_models",
    ),
    Unmeasured(
        r"session\.model:everywhere",
        _ANY,
        "a known gap: nothing in a quote names the model, and the list of models is Chutes' word",
    ),
    Unmeasured(
        r"session\.chute:everywhere",
        _ANY,
        "a known gap: nothing in a quote names the chute; a verifier that is given the chute's id refuses another",
    ),
    Unmeasured(
        r"instance\.gpu_evidence",
        f"{_GONE}|emptied",
        "the policy does not require GPUs",
        given="gpus_not_required",
    ),
    Unmeasured(
        r"instance\.gpu_evidence\.#",
        "removed",
        "the policy does not require GPUs, and this is the only one",
        given="only_gpu_not_required",
    ),
    Unmeasured(
        r"instance\.gpu_evidence\.#",
        "removed",
        "the policy demands fewer GPUs than the report shows, and one that is not shown is not counted",
        given="spare_gpus",
    ),
    Unmeasured(
        r"instance\.gpu_evidence",
        "reordered",
        "the order of the GPUs means nothing where NVIDIA is not asked about them",
        given="nvidia_not_asked",
    ),
    *ENDORSERS_UNMEASURED,
)

CHUTES_RULES: Final = Rules(unmeasured=_UNMEASURED, guards=CHUTES_GUARDS)


def facts_of(traffic: ChutesTraffic) -> frozenset[str]:
    """The facts that some entries of the table depend on."""
    shown = (get(traffic.body, record.path).get("gpu_evidence") for record in traffic.records)
    counts = [len(entries) for entries in shown if isinstance(entries, list)]
    return frozenset({*_facts(traffic, max(counts, default=0)), *endorser_facts(traffic, min(counts, default=0))})


def _facts(traffic: ChutesTraffic, most_gpus: int) -> Iterator[str]:
    if traffic.policy.instances == "any":
        yield "any_instance"
    if traffic.models is None:
        yield "no_list_of_models"
    if not traffic.policy.gpu.require and most_gpus == 1:
        yield "only_gpu_not_required"

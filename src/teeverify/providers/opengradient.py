"""OpenGradient: an AWS Nitro enclave that routes to model providers, listed by a contract, signing every answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs

from ..claims.nitro import NitroClaims
from ..claims.problem import Problem, ProblemKind
from ..claims.subject import Subject
from ..e2ee.relay import RELAY, RelayedChat, chat_flow
from ..errors import ConfigurationError, TransportError
from ..flow import Flow, run
from ..formats.nitro_document import NONCE_SIZE
from ..formats.pcr_hash import pcr_hash_of_table
from ..policy import Policy
from ..roots import TrustRoots
from ..saved import SavedReport
from ..transport import ReplayTransport
from ..verdict import AttestationVerdict, Status, SubjectVerdict
from ..verifier import Derive
from .opengradient_claims import derive_subjects
from .opengradient_exchange import OpenGradientExchanges
from .opengradient_flow import OpenGradientSession, session_flow
from .opengradient_registry import TeeRecord
from .opengradient_wire import OpenGradientAsked, asked_from_saved, checked_enclave, checked_node

__all__ = ["OpenGradientVerifier"]

_ROLE: Final = ("enclave",)
_COMMON: Final = (
    "evidence.wellformed",
    "evidence.complete",
    "pin.signing_key",
    "pin.reference_current",
    "enclave.signing_key",
    "enclave.ohttp_key",
    "enclave.assurance",
    "registry.entry",
    "policy.pinned",
    "saved.recorded_at",
)
_OWN_WORD: Final = (
    "freshness.nonce_bound",
    "nitro.cose_signature",
    "nitro.cert_chain",
    "nitro.timestamp",
    "nitro.not_debug",
    "nitro.pcrs",
    "nitro.user_data",
)
"""What the enclave's own document answers; at the lower levels there is none."""
_GAPS: Final = (
    "The enclave is a router: prompts leave it in the clear for model providers, which may run outside of any TEE.",
    "Nothing shows that the model which was asked for produced an answer, nor what became of the prompt there.",
    "The operator owns the accounts at the model providers, and may read their logs.",
    "AWS's revocation lists are not consulted.",
)
_ANY_OPERATOR: Final = "No contract's word was counted, so whoever runs the same image may be the operator."
_LOWER_GAPS: Final = (
    "The enclave itself was not challenged: the contract's administrator and the nodes that were asked are believed.",
    *_GAPS,
)


class OpenGradientVerifier(OpenGradientExchanges):
    """Judges an enclave of OpenGradient, at the level of assurance that the policy demands.

    Args:
        policy: what the caller demands; ``[registry] assurance`` is the level, ``attested`` by default.
        nodes: https URLs of JSON-RPC nodes that are asked about the contract which the policy pins; the first one
            chooses the block.
        enclave: base URL of the enclave, such as ``https://192.0.2.7``, in place of the one that the contract lists.
        tee_id: the enclave's id (32 bytes), in place of the first one that the contract lists.
        **options: see `Verifier`.

    Raises:
        ConfigurationError: an argument is not what it should be, or the policy is for another provider.
    """

    provider = "opengradient"
    origin = "opengradient"
    applicable: Mapping[str, tuple[str, ...]] = dict.fromkeys((*_COMMON, *_OWN_WORD), _ROLE)

    def __init__(
        self,
        policy: Policy,
        *,
        nodes: Sequence[str] = (),
        enclave: str | None = None,
        tee_id: bytes | None = None,
        **options: Any,
    ) -> None:
        super().__init__(policy, **options)
        if tee_id is not None and len(tee_id) != 32:
            raise ConfigurationError(f"tee_id is {len(tee_id)} bytes long, 32 were expected")
        if nodes and policy.registry.address is None:
            raise ConfigurationError("nodes are given and the policy pins no contract: give [registry] address")
        self._nodes = tuple(dict.fromkeys(checked_node(node) for node in nodes))
        self._enclave = None if enclave is None else checked_enclave(enclave)
        self._tee_id = tee_id
        self._attested = policy.registry.assurance == "attested"
        if not self._attested:
            unpinned = {"policy.pinned"} if policy.registry.assurance == "registry" else set()
            self.applicable = {check: _ROLE for check in _COMMON if check not in unpinned}
        self.origin = self._enclave or "opengradient"
        self.asked_form = "\n".join((policy.registry.assurance, "" if tee_id is None else tee_id.hex(), *self._nodes))

    def session_flow(self, model: str, nonce: bytes) -> Flow[Derive]:
        """See `Verifier.session_flow`."""
        address = self.policy.registry.address
        if self._enclave is None and not self._nodes:
            raise ConfigurationError("nothing says where the enclave is: pass enclave, or nodes")
        asked = OpenGradientAsked(
            nodes=self._nodes,
            contract=None if address is None else bytes.fromhex(address),
            enclave=self._enclave,
            tee_id=self._tee_id,
            attested=self._attested,
            nonce=nonce[:NONCE_SIZE],
        )
        session = yield from session_flow(asked, nonce=nonce, model=model, wanted=self._is_pinned)
        return lambda at: derive_subjects(session, roots=self.roots, at=at, recorded_at=None, wall_clock=at)

    def chat(
        self,
        request: bytes | Mapping[str, object],
        *,
        model: str,
        attestation: AttestationVerdict | None = None,
        relay: str = RELAY,
        token: str | None = None,
    ) -> RelayedChat:
        """Send a chat request through the relay, encrypted to the attested enclave, and verify the answer.

        Args:
            request: a chat completion request, as JSON or as a mapping.
            model: what the attestation is for, which for a router is only a name.
            attestation: a VERIFIED verdict of this verifier's policy; the cached or a fresh one when omitted.
            relay: base URL of the relay.
            token: the caller's bearer token at the relay.

        Raises:
            RejectedError, InconclusiveError: the attestation is not VERIFIED; nothing was sent.
            ConfigurationError: the request is none that the gateway would take, or the attestation is not one of this
                verifier's policy, or past its end.
            TransportError: the relay gave no sealed answer, or one that was changed on the way. The held verdict is
                forgotten then, so that the next chat begins with a fresh one.
        """
        held = self.attestation_cached(model) if attestation is None else attestation
        try:
            return run(chat_flow(self, held, request, relay=relay, token=token), self.transport)
        except TransportError:  # the enclave may have been restarted under new keys
            if attestation is None:
                self.cache.forget(self.cache_key(model))
            raise

    @classmethod
    def subjects_of_saved(
        cls, report: SavedReport, *, roots: TrustRoots, at: datetime, wall_clock: datetime, with_nras: bool = True
    ) -> tuple[Subject, ...]:
        """The enclave of a saved session."""
        del with_nras
        asked = asked_from_saved(report)
        if isinstance(asked, Problem):
            nothing = OpenGradientAsked(nonce=asked)
            session = OpenGradientSession(
                asked=nothing, nonce=report.nonce, model=report.model, nodes=(), record=None, enclave=None,
                problem=asked,
            )  # fmt: skip
        else:
            flow = session_flow(asked, nonce=report.nonce, model=report.model, wanted=_has_key)
            session = run(flow, ReplayTransport(report))
        return derive_subjects(session, roots=roots, at=at, recorded_at=report.recorded_at, wall_clock=wall_clock)

    def conclude(self, subjects: tuple[Subject, ...], *, model: str, nonce: bytes, at: datetime) -> AttestationVerdict:
        """See `Verifier.conclude`. A session of another level than the policy's is none.

        Where the policy demands the enclave's own word, it must be there. Where it does not, the checks of a document
        do not apply, so there must be none: an unjudged one would lend its dates and keys to the verdict.
        """
        if self._attested:
            subjects = tuple(one if one.nitro is not None else _unasked(one) for one in subjects)
        else:
            subjects = tuple(one if one.nitro is None else _overasked(one) for one in subjects)
        return super().conclude(subjects, model=model, nonce=nonce, at=at)

    def _is_pinned(self, record: TeeRecord) -> bool:
        """Whether an entry is worth choosing; the entry is judged afterwards in any case."""
        pins = self.policy.pins_for("enclave")
        if not _has_key(record):
            return False
        return pins is None or pins.pcrs is None or record.pcr_hash in {pcr_hash_of_table(table) for table in pins.pcrs}

    def _boundary(self, judged: Sequence[SubjectVerdict]) -> tuple[str, tuple[str, ...]]:
        level = level_of(judged)
        if level not in (None, "attested") and _is_recorded(judged):
            words = (
                f"Level {level}, by recorded answers of nodes, which anybody can write: what stands is that the policy "
                "pins the enclave's id."
            )
            return words, _LOWER_GAPS
        if level == "attested":
            words = (
                "Level attested: an AWS Nitro enclave that runs the pinned image answered our challenge, and its "
                "document names the key that signs answers."
            )
            listed = all(verdict.holds("registry.entry") for verdict in judged)
            return words, _GAPS if listed else (_ANY_OPERATOR, *_GAPS)
        if level == "registry+pcr":
            words = "Level registry+pcr: the contract lists the enclave with a pinned image, by the word of the nodes."
            return words, _LOWER_GAPS
        if level == "registry":
            return "Level registry: the contract lists the enclave, by the word of the nodes.", _LOWER_GAPS
        return "No level of assurance was reached.", _LOWER_GAPS


def _has_key(record: TeeRecord) -> bool:
    return record.ohttp is not None and bool(record.ohttp.public_key)


def _unasked(subject: Subject) -> Subject:
    """A subject without a document, as one whose document could not be had."""
    detail = "the policy demands the enclave's own document, and the session never asked for one"
    missing = Problem(kind=ProblemKind.UNAVAILABLE, code="no_document", detail=detail, where="enclave")
    why = subject.record[0] if subject.record else missing
    nothing = NitroClaims(document=why, chain=why, trust=why, signature=why)
    return attrs.evolve(subject, record=subject.record or (missing,), nitro=nothing)


def _overasked(subject: Subject) -> Subject:
    """A subject with a document that no check of the policy's level would look at: nothing of it is judged."""
    detail = (
        "the session holds a document of an enclave, and the policy's level judges none: judge it under a policy that "
        "demands the level attested"
    )
    extra = Problem(kind=ProblemKind.UNAVAILABLE, code="unjudged_document", detail=detail, where="enclave")
    return attrs.evolve(subject, record=(*subject.record, extra), nitro=None)


def _is_recorded(judged: Sequence[SubjectVerdict]) -> bool:
    live = Status.NOT_APPLICABLE
    return any(one.id == "saved.recorded_at" and one.status is not live for verdict in judged for one in verdict.checks)


def level_of(judged: Sequence[SubjectVerdict]) -> str | None:
    """The level that the enforced passes come to; None where they come to nothing."""
    if not judged or not all(verdict.holds("enclave.assurance", "enclave.signing_key") for verdict in judged):
        return None
    if all(verdict.holds(*_OWN_WORD) for verdict in judged):
        return "attested"
    if not all(verdict.holds("registry.entry") for verdict in judged):
        return None
    pinned = all(verdict.holds("policy.pinned") for verdict in judged)
    return "registry+pcr" if pinned else "registry"

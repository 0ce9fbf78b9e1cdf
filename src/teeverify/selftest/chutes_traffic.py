"""A saved Chutes session taken apart: the keys and the evidence as one value, and which exchange is whose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from attrs import field, frozen

from ..claims.problem import Problem
from ..crypto.dcap import pck_platform
from ..endorsements.intel_pcs import pck_crl_name, tcb_info_name
from ..endorsements.nvidia_nras import NRAS
from ..errors import FormatError
from ..flow import run
from ..formats.encodings import decode_base64
from ..formats.gpu_payload import parse_gpu_payload
from ..formats.ml_kem import parse_ml_kem_768_key
from ..formats.spdm import parse_spdm_evidence
from ..formats.strict_json import JsonValue
from ..limits import MAX_CERTIFICATE_PEM
from ..policy import Policy
from ..providers.chutes_claims import ChutesSession
from ..providers.chutes_flow import attestation_flow
from ..providers.chutes_wire import LLM, ChutesAsked, ChutesRecord, asked_from_urls, evidence_url, instances_url
from ..saved import SavedReport
from .json_places import Path, get, nodes, put, styled
from .regions import certificate_regions, quote_regions
from .traffic import KEY_SET_PATH, NotingTransport, Record, Traffic, rivals_of

__all__ = ["EVIDENCE", "KEYS", "ChutesTraffic"]

KEYS: Final[Path] = ("keys", "instances")
"""Where the keys of the instances stand: the first step is the answer, the second its member."""
EVIDENCE: Final[Path] = ("evidence", "evidence")
"""Where the evidence of the instances stands."""


@frozen(kw_only=True)
class ChutesTraffic(Traffic):
    """One saved session that is VERIFIED.

    ``body`` holds both parsed answers, ``keys`` and ``evidence``; ``documents`` are the indices of the exchanges that
    brought them, and ``models`` that of a recorded list of models. ``records`` are the entries of the evidence and
    ``key_entries`` those of the keys of all instances that have their form, by the subjects that they belong to.
    ``theirs`` says which subjects depend on an endorser's answer, where that is not all of them.
    """

    asked: ChutesAsked
    body: Mapping[str, Any] = field(repr=False)
    documents: Mapping[str, int]
    models: int | None
    records: tuple[Record, ...]
    key_entries: tuple[Record, ...]
    theirs: Mapping[int, tuple[str, ...]]

    @classmethod
    def read(cls, report: SavedReport, policy: Policy) -> ChutesTraffic:
        """Take a session apart that was VERIFIED under the policy; of another one, parts may be missing.

        Raises:
            FormatError: ``not_chutes_session`` when the report holds no keys and evidence for its own nonce.
        """
        asked = asked_from_urls([each.request.url for each in report.exchanges if each.request.method == "GET"])
        if isinstance(asked, Problem):
            raise FormatError("not_chutes_session", asked.detail)
        transport = NotingTransport(report)
        flow = attestation_flow(asked, nonce=report.nonce, model=report.model, with_nras=policy.gpu.nras != "ignore")
        session = run(flow, transport)
        used = tuple(sorted(transport.used))
        urls = {"keys": instances_url(asked.chute), "evidence": evidence_url(asked.chute, report.nonce)}
        documents = {name: _place(report, used, url) for name, url in urls.items()}
        body = {name: json.loads(report.exchanges[place].response.body) for name, place in documents.items()}
        return cls(
            report=report,
            policy=policy,
            used=used,
            rivals=rivals_of(report, used),
            asked=asked,
            body=body,
            documents=documents,
            models=_models(report),
            records=tuple(_records(body, session)),
            key_entries=tuple(_key_entries(body, session)),
            theirs=_dependents(session, transport),
        )

    @property
    def instances(self) -> tuple[str, ...]:
        """Ids of all instances whose evidence has its form."""
        return tuple(record.subject for record in self.records)

    def key_of(self, subject: str) -> Record | None:
        """The entry that shows the key of an instance."""
        return next((entry for entry in self.key_entries if entry.subject == subject), None)

    def nodes_of(self, path: Path) -> Iterator[tuple[Path, JsonValue]]:
        """See `Traffic.nodes_of`."""
        return nodes(get(self.body, path), text_members=frozenset())

    def with_place(self, path: Path, new: Any) -> SavedReport:
        """See `Traffic.with_place`; the first step of the path names the answer."""
        return self.with_body(put(dict(self.body), path, new))

    def with_body(self, body: Mapping[str, JsonValue]) -> SavedReport:
        """The saved report with other keys or evidence in its recorded answers."""
        changed = {name: body[name] for name in body if body[name] is not self.body[name]}
        return self.with_exchanges({self.documents[name]: self._rewritten(name, new) for name, new in changed.items()})

    def _rewritten(self, name: str, new: JsonValue) -> Any:
        exchange = self.exchanges[self.documents[name]]
        text = styled(new, like=exchange.response.body.decode("utf-8"))
        return attrs.evolve(exchange, response=attrs.evolve(exchange.response, body=text.encode("utf-8")))

    def concerned(self, subject: str) -> tuple[str, ...]:
        """See `Traffic.concerned`: one instance, or all of them."""
        return (subject,) if subject.startswith("instance") else self.instances

    def concerned_by(self, place: int) -> tuple[str, ...]:
        """See `Traffic.concerned_by`."""
        return self.theirs.get(place, self.instances)


def _place(report: SavedReport, used: tuple[int, ...], url: str) -> int:
    for place in used:
        exchange = report.exchanges[place]
        if exchange.request.url == url and exchange.response.status == 200:
            return place
    raise FormatError("not_chutes_session", f"the saved report holds no good answer to {url.partition('?')[0]}")


def _models(report: SavedReport) -> int | None:
    """The list of models, which is not asked for again and is held against the session where it is there."""
    fitting = (
        place
        for place, each in enumerate(report.exchanges)
        if each.request.url == f"{LLM}/v1/models" and each.response.status == 200
    )
    return next(fitting, None)


def _records(body: Mapping[str, Any], session: ChutesSession) -> Iterator[Record]:
    """Readable entries of the evidence; the session has all of them first, and in the same order."""
    for index, (_, record) in enumerate(zip(get(body, EVIDENCE), session.records, strict=False)):
        if _is_readable(record, session):
            yield Record(subject=record.id, role="instance", path=(*EVIDENCE, index))


def _key_entries(body: Mapping[str, Any], session: ChutesSession) -> Iterator[Record]:
    """The entries with the keys of the readable instances."""
    known = {record.members["instance_id"]: record.id for record in session.records if _is_readable(record, session)}
    for index, entry in enumerate(get(body, KEYS)):
        name = entry.get("instance_id")
        if isinstance(name, str) and name in known:
            yield Record(subject=known[name], role="key", path=(*KEYS, index), shown="list of keys")


def _is_readable(record: ChutesRecord, session: ChutesSession) -> bool:
    """Whether every part has its form. What has not is not VERIFIED, and there is no field of it to alter."""
    quote, members = session.quotes[record.id], record.members
    if record.problems or isinstance(quote, Problem):
        return False
    try:
        quote_regions(quote)
        parse_ml_kem_768_key(record.key, what="the key")
        certificate_regions(
            decode_base64(members.get("certificate"), what="the certificate", limit=MAX_CERTIFICATE_PEM)
        )
        gpus = members.get("gpu_evidence")
        for entry in parse_gpu_payload(gpus, what="GPU evidence").entries if gpus else ():
            parse_spdm_evidence(entry.evidence, what="GPU evidence")
    except FormatError:
        return False
    return gpus is None or isinstance(gpus, list)


def _dependents(session: ChutesSession, transport: NotingTransport) -> dict[int, tuple[str, ...]]:
    """Whose evidence an endorser's answer is about: the instances of one platform family, or one instance's GPUs."""
    needed: dict[str, list[str]] = {}
    for record in session.records:
        quote = session.quotes[record.id]
        platform = None if isinstance(quote, Problem) else pck_platform(quote.raw)
        names = () if platform is None else (tcb_info_name(platform[0]), pck_crl_name(platform[1]))
        for name in (*names, f"{NRAS}.{record.id}"):
            needed.setdefault(name, []).append(record.id)
    found: dict[int, tuple[str, ...]] = {}
    for name, subjects in needed.items():
        place = transport.place_of(session.endorsements.get(name))
        if place >= 0:
            found[place] = (*found.get(place, ()), *subjects)
    with_opinion = [one for name, ids in needed.items() if name.startswith(NRAS) for one in ids]
    for place in transport.used:
        if KEY_SET_PATH in transport.url_of(place):
            found[place] = tuple(with_opinion)
    return found

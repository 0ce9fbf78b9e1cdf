"""Attacks on genuine NEAR sessions as a table: number, title, how to make it, the checks that must refuse it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import attrs
from attrs import frozen

from teeverify.saved import SavedReport

from .tampering import REMOVED, Json, Path, Session, get, put, session_of

__all__ = ["CLOUD", "DIRECT", "ROWS", "Row", "events", "rename"]

DIRECT: Final = "near-direct-2026-06-29"
CLOUD: Final = "near-cloud-2026-06-29"
Change = Callable[[Session], SavedReport]


@frozen
class Row:
    """One attack: how to make it from a genuine session, and the checks of which one must decide."""

    number: int
    title: str
    change: Change
    refused_by: frozenset[str]
    base: str = DIRECT


def _model(session: Session, *path: str | int) -> Path:
    return (*session.record_paths["model"], *path)


def _set(*path: str | int, to: Json | Callable[[Json], Json]) -> Change:
    return lambda session: session.with_body(put(session.body, _model(session, *path), to))


def _body(change: Callable[[Json], Json]) -> Change:
    return lambda session: session.with_body(change(session.body))


def _url(old: str, new: str) -> Change:
    def change(session: Session) -> SavedReport:
        url = session.report.exchanges[session.place].request.url
        assert old in url
        return session.with_request(session.place, url=url.replace(old, new))

    return change


def _foreign_nonce(session: Session) -> SavedReport:
    return attrs.evolve(
        _url(session.report.nonce.hex(), "ab" * 32)(session), nonce=bytes.fromhex("ab" * 32), model=session.report.model
    )


def _edited_echoes(session: Session) -> SavedReport:
    text = json.dumps(session.body).replace(f'nce": "{session.report.nonce.hex()}"', f'nce": "{"ab" * 32}"')
    asked = _foreign_nonce(session)
    return attrs.evolve(asked, exchanges=_swap(asked, session, json.loads(text)))


def _swap(report: SavedReport, session: Session, body: Json) -> tuple[Json, ...]:
    exchange = report.exchanges[session.place]
    answer = attrs.evolve(exchange.response, body=json.dumps(body).encode())
    changed = attrs.evolve(exchange, response=answer)
    return (*report.exchanges[: session.place], changed, *report.exchanges[session.place + 1 :])


def _padded_digest(session: Session) -> SavedReport:
    """The first half of REPORTDATA shown as an address, and the padded form asked for."""
    quote = bytes.fromhex(get(session.body, _model(session, "intel_quote")))
    half = quote[568:600].hex()
    body = put(session.body, _model(session, "signing_address"), half)
    body = put(body, _model(session, "signing_public_key"), half)
    asked = _url("include_tls_fingerprint=true&", "")(session)
    return attrs.evolve(asked, exchanges=_swap(asked, session, body))


def _spki(session: Session, value: bytes | None) -> SavedReport:
    return session.with_answer(session.place, peer_spki=value)


def events(change: Callable[[list[Json]], list[Json]]) -> Change:
    def apply(session: Session) -> SavedReport:
        body = put(session.body, _model(session, "event_log"), lambda log: change([dict(event) for event in log]))
        return session.with_body(
            put(body, _model(session, "info", "tcb_info", "event_log"), lambda log: change([dict(e) for e in log]))
        )

    return apply


def rename(log: list[Json], index: int, **members: Json) -> list[Json]:
    log[index] = {**log[index], **members}
    return log


def _gpus(change: Callable[[Json], Json]) -> Change:
    return _set("nvidia_payload", to=lambda text: json.dumps(change(json.loads(text))))


def _nras(part: str, change: Callable[[bytes], bytes]) -> Change:
    def apply(session: Session) -> SavedReport:
        place = session.places(part)[0]
        return session.with_answer(place, body=change(session.report.exchanges[place].response.body))

    return apply


def _model_spki() -> bytes | None:
    direct = session_of(DIRECT, DIRECT)
    return direct.report.exchanges[direct.place].response.peer_spki


def _header(name: str, value: str) -> Change:
    return lambda session: session.with_answer(
        session.place, headers={**session.report.exchanges[session.place].response.headers, name: (value,)}
    )


def _row(number: int, title: str, change: Change, *refused_by: str, base: str = DIRECT) -> Row:
    return Row(number, title, change, frozenset(refused_by), base)


FORM: Final = ("evidence.wellformed", "evidence.complete")
RECORDS: Final = "model_attestations"

ROWS: Final = (
    _row(1, "old report replayed", _foreign_nonce, "freshness.nonce_bound"),
    _row(2, "old quote, edited echo", _edited_echoes, "freshness.nonce_bound"),
    _row(
        3,
        "server-chosen nonce",
        _set("compose_manager_attestation", "nonce_source", to="server"),
        "freshness.nonce_bound",
    ),
    _row(3, "no nonce sent", _url("nonce=", "x="), "freshness.nonce_bound"),
    _row(4, "nonce of odd length", _url("&signing_algo", "0&signing_algo"), "freshness.nonce_bound"),
    _row(4, "nonce not hex", _url("nonce=54", "nonce=zz"), "freshness.nonce_bound"),
    _row(5, "signing address swapped", _set("signing_address", to="11" * 32), "binding.report_data"),
    _row(6, "public key swapped", _set("signing_public_key", to="11" * 32), "binding.signing_key"),
    _row(7, "public key with prefix", _set("signing_public_key", to=lambda key: "04" + key), *FORM),
    _row(7, "public key cut", _set("signing_public_key", to=lambda key: key[:-2]), *FORM),
    _row(8, "empty address", _set("signing_address", to=""), *FORM),
    _row(8, "zero address", _set("signing_address", to="00" * 32), *FORM),
    _row(8, "short address", _set("signing_address", to="d0aa20bc"), *FORM),
    _row(9, "fingerprint removed", _set("tls_cert_fingerprint", to=REMOVED), "binding.tls_spki", "evidence.complete"),
    _row(10, "digest posing as an address", _padded_digest, "binding.e2ee_key", "channel.tls_spki"),
    _row(12, "own certificate", lambda s: _spki(s, bytes(91)), "channel.tls_spki"),
    _row(13, "only the report's certificate", lambda s: _spki(s, None), "channel.tls_spki", base=CLOUD),
    _row(14, "the model's TLS key as the gateway's", lambda s: _spki(s, _model_spki()), "channel.tls_spki", base=CLOUD),
    _row(16, "a host outside near.ai", _url(".near.ai/", ".near.ai.evil.example/"), *FORM),
    _row(17, "another model answers", _set("model_name", to="other/model"), "evidence.complete"),
    _row(
        20,
        "broken quote signature",
        _set("intel_quote", to=lambda q: q[:1280] + "00" * 32 + q[1344:]),
        "tdx.quote_signature",
    ),
    _row(24, "registers in tcb_info edited", _set("info", "tcb_info", "rtmr3", to="11" * 48), "dstack.rtmr_replay"),
    _row(24, "mrtd in tcb_info edited", _set("info", "tcb_info", "mrtd", to="11" * 48), "dstack.reported_info"),
    _row(24, "app id in info edited", _set("info", "app_id", to="11" * 20), "dstack.reported_info"),
    _row(
        25,
        "compose altered",
        _set("info", "tcb_info", "app_compose", to=lambda t: t.replace("dstack", "dstock", 1)),
        "dstack.compose_event",
    ),
    _row(
        25,
        "compose serialised again",
        _set("info", "tcb_info", "app_compose", to=lambda t: json.dumps(json.loads(t))),
        "dstack.compose_event",
    ),
    _row(
        27,
        "payload changed, digest kept",
        events(lambda log: rename(log, 22, event_payload="ee" * 32)),
        "dstack.event_digests",
    ),
    _row(
        27,
        "name changed, digest kept",
        events(lambda log: rename(log, 22, event="compose-hush")),
        "dstack.event_digests",
    ),
    _row(28, "identity event in RTMR0", events(lambda log: [{**log[22], "imr": 0}, *log]), *FORM),
    _row(28, "identity event repeated", events(lambda log: [*log[:23], *log[22:]]), "dstack.rtmr_replay"),
    _row(
        28,
        "identity event after system-ready",
        events(lambda log: [*log[:22], *log[23:], log[22]]),
        "dstack.rtmr_replay",
    ),
    _row(29, "log empty", events(lambda log: []), *FORM),
    _row(29, "log truncated", events(lambda log: log[:-1]), "dstack.rtmr_replay"),
    _row(29, "digest short", events(lambda log: rename(log, 3, digest="00")), *FORM),
    _row(29, "no such register", events(lambda log: rename(log, 3, imr=4)), *FORM),
    _row(30, "log nested twice", _set("event_log", to=lambda log: json.dumps(json.dumps(log))), *FORM),
    _row(30, "tcb_info a list", _set("info", "tcb_info", to=[]), *FORM),
    _row(33, "bytes after the quote", _set("intel_quote", to=lambda quote: quote + "01"), *FORM),
    _row(34, "no GPU payload", _set("nvidia_payload", to=REMOVED), "gpu.present"),
    _row(34, "GPU payload null", _set("nvidia_payload", to=None), "gpu.present"),
    _row(34, "GPU payload empty", _set("nvidia_payload", to=""), "gpu.present", *FORM),
    _row(34, "GPU payload an object", _set("nvidia_payload", to=json.loads), *FORM),
    _row(34, "no GPU in the list", _gpus(lambda payload: {**payload, "evidence_list": []}), *FORM),
    _row(35, "inner nonce edited", _gpus(lambda payload: {**payload, "nonce": "11" * 32}), "gpu.nonce_bound"),
    _row(
        36,
        "one GPU eight times",
        _gpus(lambda payload: {**payload, "evidence_list": payload["evidence_list"][:1] * 8}),
        "gpu.distinct_devices",
    ),
    _row(37, "foreign key set", _nras("jwks.json", lambda body: b'{"keys":[]}'), "gpu.nras_token"),
    _row(37, "token cut", _nras("/v3/attest/gpu", lambda body: body.replace(b".", b"", 1)), "gpu.nras_token"),
    _row(
        39,
        "device tokens swapped",
        _nras(
            "/v3/attest/gpu",
            lambda b: b.replace(b"GPU-1", b"GPU-x").replace(b"GPU-2", b"GPU-1").replace(b"GPU-x", b"GPU-2"),
        ),
        "gpu.nras_token",
    ),
    _row(40, "no gateway record", _body(lambda body: put(body, ("gateway_attestation",), REMOVED)), *FORM, base=CLOUD),
    _row(40, "no model record", _body(lambda body: put(body, (RECORDS,), REMOVED)), *FORM, base=CLOUD),
    _row(40, "model list empty", _body(lambda body: put(body, (RECORDS,), [])), *FORM, base=CLOUD),
    _row(41, "record of another model", _set("model_name", to="zai-org/GLM-5.1-FP8"), "evidence.complete", base=CLOUD),
    _row(
        41,
        "entry of another network",
        _body(lambda body: put(body, (RECORDS,), [{"instance_id": "x", "quote": ""}])),
        *FORM,
        base=CLOUD,
    ),
    _row(
        41,
        "a bad entry beside a good one",
        _body(lambda body: put(body, (RECORDS,), [*body[RECORDS], {"x": 1}])),
        *FORM,
        base=CLOUD,
    ),
    _row(42, "served by others", _header("x-serving-provider", "chutes"), "evidence.complete", base=CLOUD),
    _row(42, "alias resolved", _header("x-model-alias-resolved", "a -> b"), "evidence.complete", base=CLOUD),
    _row(
        43,
        "action list edited",
        _set("compose_manager_attestation", "actions", to=lambda log: log[1:]),
        "binding.report_data",
    ),
    _row(43, "hash edited", _set("compose_manager_attestation", "actions_hash", to="11" * 32), "binding.report_data"),
    _row(51, "repeated member", lambda s: s.with_body_bytes(json.dumps(s.body)[:-1].encode() + b',"info":{}}'), *FORM),
    _row(51, "deep nesting", lambda s: s.with_body_bytes(b"[" * 100_000 + b"]" * 100_000), *FORM),
    _row(51, "not a number", lambda s: s.with_body_bytes(json.dumps(s.body)[:-1].encode() + b',"x":NaN}'), *FORM),
    _row(54, "empty fingerprint", _set("tls_cert_fingerprint", to=""), *FORM),
)

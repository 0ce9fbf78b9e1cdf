"""Faults of reports that come through the cloud gateway."""

from __future__ import annotations

import base64
from typing import Any

from attrs import evolve

from teeverify.testing.keys import spki
from teeverify.testing.near import NearSession
from teeverify.testing.near_world import tls_chain
from teeverify.testing.recording import Document, find_exchange
from teeverify.testing.signing import OhttpKey, SigningKey

from .model import defect

REPORT = "attestation/report"
COMPLETE = ("evidence.complete", "evidence.wellformed")


@defect(*COMPLETE, base="cloud")
def gateway_missing(session: NearSession) -> Document:
    """There is no record of the gateway."""
    report = session.report()
    del report["gateway_attestation"]
    return session.saved(report)


@defect(*COMPLETE, base="cloud")
def models_empty(session: NearSession) -> Document:
    """There is no record of a model."""
    return session.saved({**session.report(), "model_attestations": []})


@defect(*COMPLETE, base="cloud", shipped=False)
def models_missing(session: NearSession) -> Document:
    """There is no list of models."""
    report = session.report()
    del report["model_attestations"]
    return session.saved(report)


@defect("evidence.complete", base="cloud", shipped=False)
def models_other(session: NearSession) -> Document:
    """The gateway answers with a genuine record of another model, as after a silent alias."""
    report = session.report()
    report["model_attestations"][0]["model_name"] = "teeverify-test/other-model"
    return session.saved(report)


@defect("tdx.debug_off", "evidence.complete", base="cloud", shipped=False)
def models_second_bad(session: NearSession) -> Document:
    """Two records of the model: the first is good, the second comes from a debug TD."""
    report = session.report()
    session.model.td_changes["td_attributes"] = 1 << 28 | 1
    report["model_attestations"].append(session.report()["model_attestations"][0])
    return session.saved(report)


@defect("tdx.debug_off", "evidence.complete", base="cloud", shipped=False)
def models_first_bad(session: NearSession) -> Document:
    """Two records of the model: the first comes from a debug TD, the second is good."""
    report = session.report()
    session.model.td_changes["td_attributes"] = 1 << 28 | 1
    report["model_attestations"].insert(0, session.report()["model_attestations"][0])
    return session.saved(report)


@defect(*COMPLETE, base="cloud")
def models_of_another_network(session: NearSession) -> Document:
    """The record has the form of another provider, whose evidence binds other things."""
    report = session.report()
    record = report["model_attestations"][0]
    report["model_attestations"] = [
        {
            "attestation_type": "chutes",
            "nonce": session.nonce.hex(),
            "all_attestations": [{"intel_quote": record["intel_quote"]}],
        }
    ]
    return session.saved(report)


@defect(*COMPLETE, base="cloud", shipped=False)
def gateway_serves_unattested(session: NearSession) -> Document:
    """A response header says that the request is served by something that is not attested."""
    document = session.saved()
    find_exchange(document, REPORT)["response"]["headers"]["X-Serving-Provider"] = ["non-attested"]
    return document


@defect("freshness.nonce_bound", base="cloud")
def gateway_old_nonce(session: NearSession) -> Document:
    """The gateway's record is an old one, the model's is fresh."""
    report = session.report()
    session.attested_nonce = session.keys.material("old-nonce", 32)
    report["gateway_attestation"] = session.report()["gateway_attestation"]
    return session.saved(report)


@defect("freshness.nonce_bound", base="cloud", shipped=False)
def model_old_nonce(session: NearSession) -> Document:
    """The model's record is an old one that the gateway passed on, its own is fresh."""
    report = session.report()
    session.attested_nonce = session.keys.material("old-nonce", 32)
    session.gpu_nonce = session.nonce
    report["model_attestations"] = session.report()["model_attestations"]
    return session.saved(report)


@defect("tdx.debug_off", base="cloud", shipped=False)
def gateway_debug(session: NearSession) -> None:
    """The gateway is a debug TD; the model is fine."""
    session.front.td_changes["td_attributes"] = 1 << 28 | 1


@defect("pin.base_image", base="cloud")
def gateway_image_other(session: NearSession) -> None:
    """The gateway runs a development build of its pinned image."""
    session.front.reboot(image=session.front.boot.image.with_other_command_line())


@defect("pin.compose", base="cloud", shipped=False)
def gateway_compose_other(session: NearSession) -> None:
    """The gateway runs another compose text, measured consistently."""
    session.front.reboot(app_compose=session.front.boot.app_compose.replace("222222", "666666"))


@defect("dstack.event_digests", base="cloud", shipped=False)
def gateway_event_payload_replaced(session: NearSession) -> Document:
    """The gateway's log shows another app id over the genuine digest."""
    report = session.report()
    record = report["gateway_attestation"]
    genuine, shown = session.front.boot.app_id.hex(), "66" * 20
    for row in record["info"]["tcb_info"]["event_log"]:
        row["event_payload"] = row["event_payload"].replace(genuine, shown)
    record["event_log"] = record["event_log"].replace(genuine, shown)
    return session.saved(report)


@defect("binding.report_data", base="cloud", shipped=False)
def gateway_address_swapped(session: NearSession) -> Document:
    """The gateway's address is the attacker's."""
    report = session.report()
    intruder = SigningKey.derive(session.keys, "intruder", session.algorithm)
    report["gateway_attestation"]["signing_address"] = intruder.address_text
    return session.saved(report)


@defect("binding.report_data", "binding.signing_key", "evidence.complete", base="cloud", shipped=False)
def gateway_poses_as_model(session: NearSession) -> Document:
    """The model's address is replaced by the gateway's, so that the gateway could answer in its name."""
    report = session.report()
    record = report["model_attestations"][0]
    address = report["gateway_attestation"]["signing_address"]
    record["signing_address"] = record["signing_public_key"] = address
    return session.saved(report)


@defect("channel.tls_spki", base="cloud", shipped=False)
def gateway_live_key_of_model(session: NearSession) -> Document:
    """The connection ended at the key that the model's record attests, not at the gateway's."""
    return _live_key(session.saved(), session.model.tls_spki)


@defect("channel.tls_spki", base="cloud")
def gateway_live_key_in_report_only(session: NearSession) -> Document:
    """The certificate shown in the report fits the live connection; the attested fingerprint fits neither."""
    intruder = session.keys.p256("intruder/tls")
    report = session.report()
    report["tls_certificate"] = tls_chain(session.keys, evolve(session.front, tls_key=intruder))
    return _live_key(session.saved(report), spki(intruder))


@defect("binding.e2ee_key", base="cloud", shipped=False)
def gateway_ohttp_key_of_another_signer(session: NearSession) -> Document:
    """The gateway's OHTTP key is the attacker's, signed by a key that no quote binds."""
    report: dict[str, Any] = session.report()
    own = OhttpKey(public=session.keys.material("intruder/ohttp", 32))
    report["ohttp_attestation"] = own.attestation(SigningKey.derive(session.keys, "intruder", "ed25519"))
    report["ohttp_key_config"] = own.key_config.hex()
    return session.saved(report)


@defect("tcb.not_revoked", base="cloud", shipped=False)
def gateway_pck_revoked(session: NearSession) -> None:
    """Intel revoked the PCK certificate of the gateway's platform."""
    session.pcs.revoked_pcks = (session.front.pck_leaf,)


def _live_key(document: Document, key: bytes) -> Document:
    find_exchange(document, REPORT)["response"]["peer_spki"] = base64.b64encode(key).decode()
    return document

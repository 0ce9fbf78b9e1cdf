"""Defects of the service itself: its keyset, its machine, its connection and the custody of its keys."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any, Final

from teeverify.testing.aci import AciSession
from teeverify.testing.keys import spki

from .model import AciDefect, AciSpoil

__all__ = ["service_defects"]

_OTHER: Final = bytes(range(100, 132))
_UNBOUND: Final = {
    ("aci.keyset", "not_bound"),
    ("binding.report_data", "other_bytes"),
    ("freshness.nonce_bound", "nonce_mismatch"),
}
_MALFORMED: Final = {("evidence.wellformed", "malformed")}
_CHANNEL: Final = {("aci.channel", "other_key")}


def _keyset(**members: Any) -> AciSpoil:
    """Another keyset, shown and attested alike."""
    return lambda session: session.keyset_changes.update(members)


def _turn(**knobs: Any) -> AciSpoil:
    def change(session: AciSession) -> None:
        for knob, value in knobs.items():
            setattr(session, knob, value(session) if callable(value) else value)

    return change


def _custody(**knobs: Any) -> AciSpoil:
    def change(session: AciSession) -> None:
        for knob, value in knobs.items():
            setattr(session.custody, knob, value)

    return change


def _without_member(session: AciSession) -> None:
    session.attested_keyset = {**session.keyset(), "future": 1}


def _member_dropped_from_digest(session: AciSession) -> None:
    session.attested_keyset = session.keyset()
    session.keyset_changes["future"] = "shown, not hashed"


def _fewer_keys(session: AciSession) -> None:
    session.attested_keyset = {**session.keyset(), "e2ee_public_keys": []}


def _tls(domain: str) -> AciSpoil:
    """The genuine TLS key for another domain; {host} is the service's."""

    def change(session: AciSession) -> None:
        shown = domain.format(host=session.host, parent=session.host.partition(".")[2])
        entry = {"spki_sha256": session.gateway.fingerprint.hex(), "domain": shown}
        session.keyset_changes["tls_public_keys"] = [entry]

    return change


def _ends_in(days: float) -> AciSpoil:
    return lambda session: session.keyset_changes.update(not_after=int((session.at + timedelta(days=days)).timestamp()))


def _shared(session: AciSession) -> None:
    shared = {**session.keyset()["e2ee_public_keys"][0], "public_key": session.gateway.signing.ed25519_public.hex()}
    session.keyset_changes["e2ee_public_keys"] = [shared]


def _second_key(session: AciSession) -> None:
    first = session.keyset()["receipt_signing_keys"][0]
    session.keyset_changes["receipt_signing_keys"] = [first, {**first, "key_id": "receipt-2", "public_key": "11" * 32}]


def _own_os(session: AciSession) -> None:
    session.gateway.reboot(image=session.gateway.boot.image.with_other_command_line())


_Row = tuple[int, str, str, AciSpoil, set[tuple[str, str]]]
_ROWS: Final[tuple[_Row, ...]] = (
    (48, "keyset-other", "The quote is over a keyset with other keys than the one shown.", _fewer_keys, _UNBOUND),
    (48, "keyset-member-hidden", "A member that was hashed is not shown.", _without_member, _UNBOUND),
    (48, "keyset-member-unhashed", "A member is shown that was not hashed.", _member_dropped_from_digest, _UNBOUND),
    (49, "nonce-null", "The quote is of the form without a nonce.", _turn(attested_nonce=None), _UNBOUND),
    (49, "replayed-nonce", "A complete old report, made for another nonce.", _turn(attested_nonce=_OTHER), _UNBOUND),
    (
        49,
        "second-half-filled",
        "The second half of REPORTDATA is not zero.",
        _turn(report_data=lambda s: hashlib.sha256(s.statement()).digest() + s.nonce),
        {("aci.keyset", "not_bound"), ("binding.report_data", "other_second_half")},
    ),
    (
        49,
        "legacy-layout",
        "REPORTDATA has the layout of an older proxy.",
        _turn(report_data=lambda s: s.gateway.signing.address + s.nonce),
        _UNBOUND,
    ),
    (49, "keyset-expired", "The keyset ended yesterday.", _ends_in(-1), {("aci.expiry", "expired")}),
    (49, "keyset-ends-now", "The keyset ends this second.", _ends_in(0), {("aci.expiry", "expired")}),
    (49, "keyset-ends-far", "The keyset ends in more than 400 days.", _ends_in(401), {("aci.expiry", "too_far")}),
    (50, "key-in-two-roles", "One key signs receipts and decrypts.", _shared, {("aci.roles", "shared")}),
    (50, "tls-other-domain", "The TLS key is listed for another domain.", _tls("other.{host}"), _CHANNEL),
    (50, "tls-parent-domain", "The TLS key is listed for the domain above.", _tls("{parent}"), _CHANNEL),
    (50, "tls-not-listed", "The TLS key is not listed.", _keyset(tls_public_keys=[]), _CHANNEL),
    (
        50,
        "other-tls-key",
        "The connection ends at somebody else, with a good certificate, who passes genuine reports on.",
        _turn(peer_spki=lambda s: spki(s.keys.p256("tls/stranger"))),
        _CHANNEL,
    ),
    (51, "custody-one-link", "The chain has one signature.", _custody(links=1), {("aci.custody", "malformed")}),
    (51, "custody-three-links", "The chain has three signatures.", _custody(links=3), {("aci.custody", "malformed")}),
    (51, "custody-purpose", "The key is for another purpose.", _custody(purpose="aci.e2ee.v1"),
     {("aci.custody", "purpose")}),
    (51, "custody-other-app", "The key is another application's.", _custody(app_id=bytes(20)),
     {("aci.custody", "other_root")}),
    (51, "custody-unpinned-root", "A stranger's KMS vouches.", _custody(root_label="kms/stranger"),
     {("aci.custody", "other_root")}),
    (51, "custody-other-provider", "Another kind of KMS vouches.", _custody(provider="my-kms"),
     {("aci.custody", "malformed")}),
    (51, "custody-odd-v", "A signature has a v that none has.", _custody(first_v=2), {("aci.custody", "signature")}),
    (51, "custody-missing", "Nobody vouches for the receipt key.", _custody(shown=False),
     {("aci.custody", "missing")}),
    (51, "custody-of-one-key", "There is a second receipt key that nobody vouches for.", _second_key,
     {("aci.custody", "missing")}),
    (51, "custody-other-role", "The chain is of a key in another role.", _custody(role="e2ee-x25519"),
     {("aci.custody", "missing")}),
    (51, "custody-other-key", "The chain is of another key.", _custody(public_key=_OTHER),
     {("aci.custody", "stranger")}),
    (0, "subject-other-app", "The keyset says that it is another application's.",
     _keyset(subject=f"app-id:0x{'00' * 20}"), {("aci.custody", "other_subject")}),
    (0, "subject-no-app", "The keyset's subject is no application id.", _keyset(subject="dstack-app://x"),
     {("aci.custody", "other_subject")}),
    (0, "keyset-float", "A number in the keyset is not whole.", _keyset(future=1.5), _MALFORMED),
    (0, "keyset-older-revision", "The keyset is of an older revision.",
     _keyset(keyset_epoch={"version": 1, "not_after": 1}), _MALFORMED),
    (0, "other-image", "The machine booted a development build of the pinned image.", _own_os,
     {("pin.base_image", "not_pinned")}),
    (0, "debug-td", "The service runs in a debug TD, which its host can read.",
     lambda s: s.gateway.td_changes.update(td_attributes=1),
     {("tdx.debug_off", "debug_on"), ("tdx.attributes", "td_attributes")}),
    (0, "quote-forged", "The quote's signature is invented.",
     lambda s: s.gateway.quote_changes.update(signature=bytes(range(64))),
     {("tdx.quote_signature", "quote_signature_invalid")}),
)  # fmt: skip


def service_defects() -> tuple[AciDefect, ...]:
    """All of them."""
    return tuple(
        AciDefect(name=name, number=number, description=description, spoil=spoil, findings=frozenset(findings))
        for number, name, description, spoil, findings in _ROWS
    )

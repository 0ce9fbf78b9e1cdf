"""Faults of NVIDIA's answer. The evidence itself is good in all of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization

from teeverify.testing.keys import raw_public, raw_signature
from teeverify.testing.near import NearSession
from teeverify.testing.nras import base64url
from teeverify.testing.recording import Document, edit_json

from .model import defect

TOKEN = "gpu.nras_token"  # noqa: S105 - a check id
RESULT = "gpu.nras_result"
ATTEST = "/v3/attest/gpu"
JWKS = "jwks.json"


def _sign_as(session: NearSession, label: str) -> Callable[[Mapping[str, Any], bytes], bytes]:
    key = session.keys.p384(label)
    return lambda _header, message: raw_signature(key, message, hashes.SHA384())


# --- signatures and keys -------------------------------------------------------------------------------------------


@defect(TOKEN)
def token_unsigned(session: NearSession) -> None:
    """Algorithm "none", no signature."""
    session.nras.header_changes["alg"] = "none"
    session.nras.sign = lambda _header, _message: b""


@defect(TOKEN)
def token_hmac(session: NearSession) -> None:
    """Algorithm HS256, with NVIDIA's public key as the secret."""
    public = session.nras.signing_key().key.public_key()
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    session.nras.header_changes["alg"] = "HS256"
    session.nras.sign = lambda _header, message: hmac.digest(secret, message, hashlib.sha256)


@defect(TOKEN, shipped=False)
def token_signed_by_other(session: NearSession) -> None:
    """The tokens name NVIDIA's key and are signed by another."""
    session.nras.sign = _sign_as(session, "intruder/nras")


@defect(TOKEN)
def token_key_unknown(session: NearSession) -> None:
    """The tokens name a key that is not in the key set."""
    session.nras.header_changes["kid"] = "nv-eat-kid-unknown"
    session.nras.sign = _sign_as(session, "intruder/nras")


@defect(TOKEN, shipped=False)
def token_brings_its_key(session: NearSession) -> None:
    """The tokens carry the key to check them with."""
    point = raw_public(session.keys.p384("intruder/nras"))
    session.nras.header_changes["jwk"] = {
        "kty": "EC",
        "crv": "P-384",
        "x": base64url(point[:48]),
        "y": base64url(point[48:]),
    }
    session.nras.sign = _sign_as(session, "intruder/nras")


@defect(TOKEN)
def key_set_foreign(session: NearSession) -> None:
    """Tokens and key set are the attacker's own, with a chain whose names are NVIDIA's."""
    session.nras.label = "intruder/nras"


@defect(TOKEN, shipped=False)
def key_set_forged_leaf(session: NearSession) -> Document:
    """The attacker's signing certificate is followed by NVIDIA's intermediate, which did not issue it."""
    genuine = session.nras.intermediate
    session.nras.label = "intruder/nras"

    def append(keys: dict[str, Any]) -> None:
        for key in keys["keys"]:
            key["x5c"][1] = base64.b64encode(genuine.der).decode()

    return edit_json(session.saved(), JWKS, append)


@defect(TOKEN, shipped=False)
def key_set_point_swapped(session: NearSession) -> Document:
    """The certificates are genuine; the coordinates beside them are those of the attacker's key."""
    session.nras.sign = _sign_as(session, "intruder/nras")
    point = raw_public(session.keys.p384("intruder/nras"))

    def swap(keys: dict[str, Any]) -> None:
        keys["keys"][0].update(x=base64url(point[:48]), y=base64url(point[48:]))

    return edit_json(session.saved(), JWKS, swap)


@defect(TOKEN, shipped=False)
def key_set_key_twice(session: NearSession) -> Document:
    """The key's id stands twice in the key set, first with the attacker's key."""
    session.nras.sign = _sign_as(session, "intruder/nras")
    point = raw_public(session.keys.p384("intruder/nras"))

    def insert(keys: dict[str, Any]) -> None:
        forged = {**keys["keys"][0], "x": base64url(point[:48]), "y": base64url(point[48:])}
        keys["keys"].insert(0, forged)

    return edit_json(session.saved(), JWKS, insert)


@defect(TOKEN, shipped=False)
def key_set_without_chain(session: NearSession) -> Document:
    """The keys have no certificates, so nothing says that they are NVIDIA's."""

    def strip(keys: dict[str, Any]) -> None:
        for key in keys["keys"]:
            del key["x5c"]

    return edit_json(session.saved(), JWKS, strip)


# --- claims --------------------------------------------------------------------------------------------------------


@defect(TOKEN, RESULT, "gpu.nonce_bound")
def token_other_nonce(session: NearSession) -> None:
    """NVIDIA's answer is genuine and belongs to another session."""
    other = session.keys.material("old-nonce", 32).hex()
    session.nras.overall_changes["eat_nonce"] = other
    session.nras.gpu_changes[0] = {"eat_nonce": other}


@defect(TOKEN, RESULT, "gpu.nonce_bound", shipped=False)
def token_other_nonce_for_gpu(session: NearSession) -> None:
    """Only the token about the GPU belongs to another session."""
    session.nras.gpu_changes[0] = {"eat_nonce": session.keys.material("old-nonce", 32).hex()}


@defect(RESULT)
def result_false(session: NearSession) -> None:
    """NVIDIA says that attestation failed."""
    session.nras.overall_changes["x-nvidia-overall-att-result"] = False


@defect(RESULT, TOKEN, shipped=False)
def result_text_true(session: NearSession) -> None:
    """The overall result is the text "true"."""
    session.nras.overall_changes["x-nvidia-overall-att-result"] = "true"


@defect(RESULT, TOKEN, shipped=False)
def result_failure_form(session: NearSession) -> Document:
    """NVIDIA's form of a failure: status 200, overall false, and tokens that hold an error only."""
    document = session.saved()
    bundle = session.nras.failed_bundle(session.gpus, session.nonce)
    return edit_json(document, ATTEST, lambda _value: bundle)


@defect(RESULT, gpus=2)
def result_one_gpu_failed(session: NearSession) -> None:
    """The overall result is true, and the measurements of one GPU do not match."""
    session.nras.gpu_changes[1] = {"measres": "fail"}


@defect(RESULT, shipped=False)
def result_debug_enabled(session: NearSession) -> None:
    """The overall result is true, and the GPU's debug interface is open."""
    session.nras.gpu_changes[0] = {"dbgstat": "enabled"}


@defect(RESULT, shipped=False)
def result_no_secure_boot(session: NearSession) -> None:
    """The overall result is true, and the GPU did not boot securely."""
    session.nras.gpu_changes[0] = {"secboot": False}


@defect(RESULT, shipped=False)
def result_claim_missing(session: NearSession) -> None:
    """The GPU's token says nothing about measurements."""
    session.nras.gpu_changes[0] = {"measres": None}


@defect(RESULT, TOKEN, shipped=False)
def result_other_device(session: NearSession) -> None:
    """NVIDIA's answer is about another GPU than the report's."""
    session.nras_devices = [session.nvidia.device(7, fabric=False)]


@defect(RESULT, TOKEN, gpus=2)
def tokens_swapped(session: NearSession) -> Document:
    """The two GPU tokens stand in each other's place."""

    def swap(bundle: list[Any]) -> None:
        tokens = bundle[1]
        tokens["GPU-0"], tokens["GPU-1"] = tokens["GPU-1"], tokens["GPU-0"]

    return edit_json(session.saved(), ATTEST, swap)


@defect(RESULT, TOKEN, gpus=2, shipped=False)
def token_dropped(session: NearSession) -> Document:
    """One GPU's token is missing; the overall token still names it."""

    def drop(bundle: list[Any]) -> None:
        del bundle[1]["GPU-1"]

    return edit_json(session.saved(), ATTEST, drop)


@defect(RESULT, TOKEN, gpus=2, shipped=False)
def token_for_one_gpu_only(session: NearSession) -> None:
    """NVIDIA was asked about one of the two GPUs only."""
    session.nras_devices = session.gpus[:1]


@defect(TOKEN)
def token_expired(session: NearSession) -> None:
    """The tokens ran out an hour ago."""
    session.nras.issued = session.at - timedelta(hours=2)


@defect(TOKEN, shipped=False)
def token_from_future(session: NearSession) -> None:
    """The tokens are valid an hour from now."""
    session.nras.issued = session.at + timedelta(hours=1)


@defect(TOKEN, shipped=False)
def token_other_issuer(session: NearSession) -> None:
    """The tokens name another issuer."""
    session.nras.overall_changes["iss"] = "https://nras.invalid"
    session.nras.gpu_changes[0] = {"iss": "https://nras.invalid"}


@defect(TOKEN, shipped=False)
def token_lives_for_years(session: NearSession) -> None:
    """The tokens expire in ten years, which NVIDIA's never do."""
    expiry = int(session.at.timestamp()) + 3650 * 86400
    session.nras.overall_changes["exp"] = expiry
    session.nras.gpu_changes[0] = {"exp": expiry}


@defect(TOKEN, RESULT, "evidence.wellformed", shipped=False)
def bundle_not_a_bundle(session: NearSession) -> Document:
    """The answer is an object that says true."""
    return edit_json(session.saved(), ATTEST, lambda _value: {"x-nvidia-overall-att-result": True})


@defect(RESULT, policy={"nras": "when_present"}, shipped=False)
def result_false_when_present(session: NearSession) -> None:
    """NVIDIA need not be asked, but it was, and says no."""
    session.nras.overall_changes["x-nvidia-overall-att-result"] = False

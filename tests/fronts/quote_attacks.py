"""Attacks on the quote, the challenge, the keys and the connection."""

from __future__ import annotations

import base64
from typing import Final

import attrs

from .alterations import (
    STRANGER,
    Make,
    asked,
    bound,
    flipped,
    of_another_model,
    on,
    put,
    quote_bit,
    spoiled,
    with_our_echo,
    with_text,
)
from .world import NANOGPT, VENICE, policy

__all__ = ["QUOTE_ATTACKS"]

_FORM: Final = ("evidence.wellformed",)
_DEEP: Final = b'{"intel_quote":' + b"[" * 5000 + b"]" * 5000 + b"}"

QUOTE_ATTACKS: Final[tuple[tuple[int, str, Make, tuple[str, ...]], ...]] = (
    (1, "a bit of MRTD", on(NANOGPT, quote_bit(200)), ("tdx.quote_signature",)),
    (1, "a bit of the signature", on(NANOGPT, quote_bit(640)), ("tdx.quote_signature",)),
    (5, "the debug bit set in a genuine quote", on(VENICE, quote_bit(168)), ("tdx.quote_signature",)),
    (9, "base64", on(NANOGPT, put("intel_quote", lambda t: base64.b64encode(bytes.fromhex(t)).decode())), _FORM),
    (9, "a quote with 0x", on(NANOGPT, put("intel_quote", lambda text: f"0x{text}")), _FORM),
    (9, "garbage after the quote", on(NANOGPT, put("intel_quote", lambda text: f"{text}ff")), _FORM),
    (
        9,
        "a member twice",
        with_text(b'{"signing_address"', b'{"quote":"","signing_address"'),
        _FORM,
    ),
    (9, "deep", on(NANOGPT, _DEEP), _FORM),
    (9, "a quote that is a list", on(NANOGPT, put("intel_quote", lambda text: [text])), _FORM),
    (9, "a nonce that is a number", on(NANOGPT, put("request_nonce", 7)), _FORM),
    (9, "no evidence at all", on(NANOGPT, b'{"error":"model not found"}'), ("evidence.complete",)),
    (9, "info missing", on(NANOGPT, lambda body: body.pop("info") and None), ("evidence.complete",)),
    (10, "a replay", spoiled("nanogpt", server_nonce=STRANGER), ("freshness.nonce_bound",)),
    (
        10,
        "the server's nonce, our echo",
        spoiled("nanogpt", edit=with_our_echo, server_nonce=STRANGER),
        ("freshness.nonce_bound",),
    ),
    (
        10,
        "a replay through NEAR's gateway",
        spoiled("phala", shape="near", server_nonce=STRANGER),
        ("freshness.nonce_bound",),
    ),
    (
        10,
        "Chutes asked with another nonce",
        spoiled("phala", shape="chutes", server_nonce=STRANGER),
        ("freshness.nonce_bound",),
    ),
    (10, "the echo alone is another", on(NANOGPT, put("request_nonce", "ab" * 32)), ("freshness.nonce_bound",)),
    (10, "two echoes that differ", on(NANOGPT, put("nonce", "ab" * 32)), _FORM),
    (11, "no nonce asked", asked("&nonce=", "&other="), ("freshness.nonce_bound",)),
    (
        11,
        "an empty nonce",
        asked("&nonce=9a796732359e9324a45576a730e5a9c47bff518b8ee8bcb882d00b5b1ff6f39a", "&nonce="),
        ("freshness.nonce_bound",),
    ),
    (
        11,
        "the word null",
        asked("&nonce=9a796732359e9324a45576a730e5a9c47bff518b8ee8bcb882d00b5b1ff6f39a", "&nonce=null"),
        ("freshness.nonce_bound",),
    ),
    (
        12,
        "bytes after the address",
        spoiled("nanogpt", bound(data=lambda own, nonce: own + b"\1" * 12 + nonce)),
        ("binding.report_data",),
    ),
    (
        12,
        "the address at the end",
        spoiled("nanogpt", bound(data=lambda own, nonce: bytes(12) + own + nonce)),
        ("binding.report_data",),
    ),
    (12, "another address", on(NANOGPT, put("signing_address", "0x" + "ab" * 20)), ("binding.report_data",)),
    (
        13,
        "another key",
        on(NANOGPT, put("signing_public_key", flipped(63))),
        ("binding.signing_key",),
    ),
    (13, "a key that is too short", on(NANOGPT, put("signing_public_key", lambda text: text[:-2])), _FORM),
    (13, "a prefix of another form", on(VENICE, put("signing_public_key", lambda text: f"06{text[2:]}")), _FORM),
    (13, "Venice's other name of the key", on(VENICE, put("signing_key", flipped(64))), _FORM),
    (13, "no key", on(NANOGPT, lambda body: body.pop("signing_public_key") and None), ("evidence.complete",)),
    (
        14,
        "asked ecdsa, got ed25519",
        spoiled(
            "phala",
            lambda s: setattr(s.machines.model, "signing", attrs.evolve(s.machines.model.signing, algorithm="ed25519")),
        ),
        _FORM,
    ),
    (
        14,
        "asked ed25519, got ecdsa",
        spoiled(
            "phala",
            lambda s: setattr(s.machines.model, "signing", attrs.evolve(s.machines.model.signing, algorithm="ecdsa")),
            algorithm="ed25519",
        ),
        _FORM,
    ),
    (14, "the name alone", on(NANOGPT, put("signing_algo", "ed25519")), ("binding.signing_key",)),
    (15, "quote is not intel_quote", on(NANOGPT, put("quote", flipped(100))), _FORM),
    (15, "quote is of another type", on(NANOGPT, put("quote", {"hex": ""})), _FORM),
    (
        46,
        "asked for TLS, got the padded form",
        spoiled("vllm-proxy", lambda s: setattr(s.machines, "attested_tls_bound", False), tls_bound=True),
        ("binding.tls_spki",),
    ),
    (
        46,
        "the padded form with a fingerprint beside it",
        spoiled(
            "vllm-proxy",
            lambda s: setattr(s.machines, "attested_tls_bound", False),
            lambda r: r.update(tls_cert_fingerprint="ab" * 32, all_attestations=[]),
            tls_bound=True,
        ),
        ("binding.report_data",),
    ),
    (
        46,
        "another key on the line",
        spoiled("vllm-proxy", lambda s: setattr(s, "peer_spki", b"other"), tls_bound=True),
        ("channel.tls_spki",),
    ),
    (
        46,
        "the fingerprint of the line",
        spoiled(
            "vllm-proxy", edit=lambda r: r.update(tls_cert_fingerprint="ab" * 32, all_attestations=[]), tls_bound=True
        ),
        ("binding.report_data",),
    ),
    (
        46,
        "asked for the padded form, policy demands TLS",
        spoiled("vllm-proxy", rules=lambda: policy("vllm-proxy", tls_bound=True)),
        ("channel.tls_spki",),
    ),
    (56, "another model in the file", of_another_model, ("evidence.complete",)),
    (56, "Venice answers for another model", on(VENICE, put("model", "e2ee-other")), ("evidence.complete",)),
    (
        56,
        "the manager of nobody",
        on(VENICE, lambda body: body.pop("compose_manager_attestation") and None),
        ("evidence.complete",),
    ),
)
"""Number, title, how to make it, the checks of which one must decide."""

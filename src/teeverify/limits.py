"""Every bound of the library, with its reason.

A bound is there so that untrusted bytes cannot cost more than a known amount of time or memory. Sizes are in bytes
unless said otherwise, ages and windows in seconds.
"""

from __future__ import annotations

from typing import Final

# --- documents -------------------------------------------------------------------------------------------------------
MAX_SAVED_REPORT: Final = 32 << 20
"""A saved report. The largest captured one is 2 MiB; ten instances of eight GPUs stay below 8 MiB."""
MAX_POLICY: Final = 1 << 20
"""A policy file. Shipped ones are below 20 KiB."""
MAX_EXCHANGES: Final = 512
"""Recorded exchanges in one saved report; captures hold up to 60."""
MAX_HEADERS: Final = 256
"""Header names of one answer; 10 to 40 are usual."""
MAX_HEADER: Final = 64 << 10
"""All values of one recorded header, in characters; Intel's percent-encoded certificate chains are 3 KiB."""
MAX_REPORT_BODY: Final = 8 << 20
"""An attestation report as a provider sends it; captured ones are 0.2 to 2 MiB."""
MAX_ENDORSEMENT_BODY: Final = 1 << 20
"""One answer of Intel or NVIDIA; the largest captured one (NVIDIA's key set) is 91 KiB."""
MAX_OHTTP_REQUEST: Final = 512 << 10
"""Plaintext of one sealed request: what the gateways that could be read accept."""
MAX_OHTTP_CHUNK: Final = 8 << 20
"""One chunk of a sealed response."""
MAX_CHAT_BODY: Final = 64 << 20
"""A chat request or response; images inside a request make them large."""
MAX_CHAT_ID: Final = 256
"""Characters of a completion's id; ``chatcmpl-`` and 32 digits are usual."""
MAX_ACCEPTED_CHATS: Final = 100_000
"""Chat ids that a verifier remembers; providers keep signatures for 20 minutes."""
MAX_DIRECTORY: Final = 1000
"""Entries of a provider's directory of models; a few dozen are usual."""
MAX_BACKENDS: Final = 64
"""Machines behind one model's host."""
MAX_CONCURRENT_REQUESTS: Final = 16
"""Requests of one batch that are made side by side; a NEAR session through the gateway has nine."""
MAX_JSON_DEPTH: Final = 32
"""Nesting of a JSON document; captured ones reach 8."""
MAX_JSON_INT_DIGITS: Final = 40
"""Digits of a JSON number; 2**128 has 39. Longer ones cost quadratic time."""

# --- TDX ------------------------------------------------------------------------------------------------------------
MAX_QUOTE: Final = 32 << 10
"""A quote; captured ones are 5.0 to 5.3 KiB."""
MAX_QUOTE_PADDING: Final = 4096
"""Zero bytes after the signature data; 70 and 307 were captured."""
MAX_EVENTS: Final = 256
"""Entries of an event log; 29 and 30 were captured."""
MAX_EVENT_PAYLOAD: Final = 64 << 10
"""Payload of one event; the largest captured one is below 1 KiB."""
MAX_APP_COMPOSE: Final = 512 << 10
"""An app-compose document; the largest captured one is 31 KiB."""
MAX_COMPOSE_FILE: Final = 128 << 10
"""Characters of the compose file inside it; captured ones have up to 27 143. PyYAML reads 250 thousand a second."""
MAX_COMPOSE_NODES: Final = 6000
"""Keys and values of a compose file, and its values with aliases written out; captured ones have up to 600."""
MAX_ACTIONS: Final = 10_000
"""Entries of NEAR's compose-manager log; up to 48 were captured."""
MAX_INSTANCES: Final = 256
"""Instances of one chute in one answer; seven were captured."""
MAX_MODELS: Final = 16
"""Model records in one report; one was captured."""
MAX_CERTIFICATES: Final = 8
"""Certificates in one chain; captured chains hold two to five."""
MAX_CERTIFICATE_PEM: Final = 128 << 10
"""PEM text of one chain; dstack's app certificate, which embeds a quote and an event log, is 19 KiB."""

# --- ACI ------------------------------------------------------------------------------------------------------------
MAX_KEYSET_KEYS: Final = 64
"""Keys of one role in an ACI keyset; one to three are usual."""
MAX_RECEIPT_EVENTS: Final = 256
"""Events of one ACI receipt; four to six are usual."""
MAX_KEYSET_LIFETIME: Final = 400 * 86400
"""How far the end of an ACI keyset may lie ahead; 30 days are usual, and services have named the end of all time."""

# --- NVIDIA ---------------------------------------------------------------------------------------------------------
MAX_GPUS: Final = 32
"""GPUs in one payload; eight were captured."""
MAX_GPU_EVIDENCE: Final = 64 << 10
"""SPDM evidence of one GPU; captured ones are 4.2 KiB."""
MAX_TOKEN: Final = 64 << 10
"""One signed token of NVIDIA; captured ones are 2 KiB."""
MAX_JWKS_KEYS: Final = 256
"""Keys in NVIDIA's key set; 32 to 36 were captured."""

# --- AWS Nitro ------------------------------------------------------------------------------------------------------
MAX_NITRO_BODY: Final = 64 << 10
"""The answer that carries an attestation document, in base64."""
MAX_NITRO_DOCUMENT: Final = 16 << 10
"""An attestation document, decoded; the captured one is 4.4 KiB."""
MAX_NITRO_CERTIFICATE: Final = 1024
"""One certificate inside a document, by AWS's specification; captured ones have 533 to 794 bytes."""
MAX_NITRO_FIELD: Final = 1024
"""``public_key``, ``user_data`` or ``nonce`` of a document; AWS lets an enclave choose so many bytes."""
MAX_NITRO_MODULE_ID: Final = 256
"""Bytes of ``module_id``; the captured one has 39."""
MAX_CBOR_DEPTH: Final = 8
"""Nesting of a CBOR document; an attestation document reaches 2."""

# --- OpenGradient ----------------------------------------------------------------------------------------------------
MAX_RPC_BODY: Final = 8 << 20
"""One JSON-RPC answer of an Ethereum node; a registry record is 4.5 KiB of hex, so a thousand fit."""
MAX_REGISTRY_ENTRIES: Final = 1000
"""Elements of one array that a registry contract returns; a handful of enclaves are usual."""
MAX_RSA_BITS: Final = 8192
"""Bits of an RSA modulus; gateways have 2048. Longer ones cost quadratic time at each signature."""
MAX_STREAM_FRAMES: Final = 1 << 18
"""Data lines of one answer stream; a frame holds a token or more, and no model answers with so many."""
MAX_TOOL_CALLS: Final = 256
"""Tool calls of one answer; one to a few are usual."""

# --- time -----------------------------------------------------------------------------------------------------------
CLOCK_SKEW: Final = 300
"""How far our clock and Intel's may differ (collateral that seems to come from the future)."""
MAX_REGISTRY_WORD: Final = 300
"""How long the word of a contract's nodes stands for, where the enclave itself was not asked."""
MAX_ANSWER_AGE: Final = 3600
"""Oldest signed answer of an enclave, as the on-chain verifier has it."""
RECEIPT_WINDOW: Final = 300
"""How far a proxy's statement may lie from the session that it is about."""
TOKEN_SKEW: Final = 120
"""How far our clock and NVIDIA's may differ: nbf equals iat, so the token is born on the edge."""
MAX_COLLATERAL_WINDOW: Final = 32 * 86400
"""Intel signs TCB info, QE identity and PCK CRLs for 30 days; a longer window is not Intel's."""
MAX_ROOT_CRL_WINDOW: Final = 400 * 86400
"""Intel signs the root CRL for 365 days."""
MAX_TOKEN_LIFETIME: Final = 2 * 3600
"""NVIDIA's tokens live one hour."""
MAX_TOKEN_AGE: Final = 900
"""Oldest token accepted for a fresh challenge; captured ones were 1 to 61 seconds old."""
MAX_NITRO_AGE: Final = 300
"""Oldest attestation document of an enclave at its session, as OpenGradient's on-chain verifier has it."""
NITRO_SKEW: Final = 60
"""How far the Nitro hypervisor's clock may be ahead of ours."""

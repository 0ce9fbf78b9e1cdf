"""Oblivious HTTP: the protocol's vectors, two independent receivers, and everything that must not open."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teeverify.crypto.hpke import response_keys, seal_request
from teeverify.e2ee.ohttp import REQUEST_TYPE, ChunkedResponse, OhttpRequest, response_type, seal, sealed_to
from teeverify.errors import ConfigurationError, FormatError
from teeverify.formats.ohttp_config import OhttpKey, parse_key_config
from teeverify.limits import MAX_CHAT_BODY, MAX_OHTTP_REQUEST
from teeverify.testing.ohttp import OhttpServer
from teeverify.verdict import AttestedKey

from .vectors import VECTORS

RECEIVER: Final = bytes.fromhex("91f7a467df4ef97053ec2a47b6e619f632df9547bb009fd0bcc747909f1b7bd4")
EPHEMERAL: Final = bytes(range(0x40, 0x60))
ENC: Final = bytes.fromhex("79a631eede1bf9c98f12032cdeadd0e7a079398fc786b88cc846ec89af85a51a")
INFO: Final = bytes.fromhex("6d6573736167652f626874747020726571756573740001002000010003")
WIRE: Final = bytes.fromhex(
    "0100200001000379a631eede1bf9c98f12032cdeadd0e7a079398fc786b88cc846ec89af85a51a92004093a003ea1be69c1987d203068542"
    "b5a1e6a1c6e2b088bba62eb662570facb405a536c1f61efc24d53d3bcb16ed89bea23dfa75bbb37185ba3bd3b10784e492a11bd68c5d1ca1"
    "ae953dcacadd25e1b5d4826647cbaffac45b53f9c78fbda7709bb643b510659bd03647a9"
)
SECRET: Final = bytes.fromhex("042a0b1ca1288c426b88af310f666215bd0b220aba5775db4aa3a0c3e6d79282")
CHUNKED_SECRET: Final = bytes.fromhex("f754295d1d06005805e6b1c1b165b44d06fe7fa88ecc2aabf34bb7797fa00f20")
NONCE: Final = bytes(range(0xA0, 0xC0))
SINGLE: Final = NONCE + bytes.fromhex("c014d61e0913796800236778fa059d4b9621faf08fba9897628cbe")
CHUNK: Final = bytes.fromhex(
    "405faee94ca360c0ee531fc3fd1c72159223d22c3eaee26fe369bcbed6c2bc3c8828f391315c5e1bc538d56780050ec5254518606842b746"
    "afd1fde7326301bd1e57b99fd23586fe86125dc94517ff7dd485e187d9d953d07add4a9d49eda2cdf9"
)
FINAL: Final = bytes.fromhex("273d562d2d8a34479c335b0d702ae71575f494b1771712e2dce2f40e2f69")
CHUNKED: Final = NONCE + CHUNK + b"\x00" + FINAL
PLAIN: Final = "".join(VECTORS["frames"]).encode()
PUBLIC: Final = bytes.fromhex(VECTORS["hpke_key"])
SENT: Final = OhttpRequest(body=WIRE, enc=ENC, secret=SECRET, chunked_secret=CHUNKED_SECRET)
SERVER: Final = OhttpServer(private=RECEIVER)


def refused(call: Callable[[], object]) -> bool:
    with pytest.raises(FormatError) as caught:
        call()
    return caught.value.code == "ohttp_response"


# --- vectors ----------------------------------------------------------------------------------------------------------


def test_the_vectors_of_responses() -> None:
    assert SENT.open(SINGLE) == b'{"ok":true}'
    assert SENT.open_chunked(CHUNKED) == PLAIN
    assert response_keys(SECRET, ENC, NONCE) == (
        bytes.fromhex("f400bce6a7692abbfe089e67ae268e3a4d2c0c71719e2e86f1ba8fdbb994d581"),
        bytes.fromhex("91943da2889e114b7c70cbc6"),
    )


def test_the_vector_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from Crypto.Protocol.DH import import_x25519_private_key
    from Crypto.PublicKey import ECC

    monkeypatch.setattr(ECC, "generate", lambda **_: import_x25519_private_key(EPHEMERAL))
    sealed = seal(parse_key_config(bytes.fromhex(VECTORS["key_config"]), what="key"), VECTORS["plaintext"].encode())
    assert (sealed.body, sealed.enc) == (WIRE, ENC)
    assert (sealed.secret, sealed.chunked_secret) == (SECRET, CHUNKED_SECRET)


def test_the_server_of_the_tests_agrees_with_the_vectors() -> None:
    assert (SERVER.public, SERVER.key_config) == (PUBLIC, bytes.fromhex(VECTORS["key_config"]))
    opened = SERVER.open(WIRE)
    assert opened.plaintext.decode() == VECTORS["plaintext"]
    assert opened.export(b"message/bhttp response") == SECRET
    assert opened.seal(b'{"ok":true}', nonce=NONCE) == SINGLE
    assert opened.seal_chunks([frame.encode() for frame in VECTORS["frames"]], nonce=NONCE) == CHUNKED


# --- two receivers ----------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=400), st.binary(min_size=32, max_size=32))
def test_requests_open_at_two_independent_receivers(plaintext: bytes, private: bytes) -> None:
    from Crypto.Protocol import HPKE
    from Crypto.Protocol.DH import import_x25519_private_key

    server = OhttpServer(private=private)
    sealed = seal(parse_key_config(server.key_config, what="key"), plaintext)
    opened = server.open(sealed.body)  # RFC 9180 by hand, with X25519, HMAC and ChaCha20 only
    assert opened.plaintext == plaintext
    assert opened.export(b"message/bhttp response") == sealed.secret
    assert opened.export(b"message/bhttp chunked response") == sealed.chunked_secret
    other = HPKE.new(
        receiver_key=import_x25519_private_key(private),
        aead_id=HPKE.AEAD.CHACHA20_POLY1305,
        enc=sealed.body[7:39],
        info=INFO,
    )
    assert bytes(other.unseal(sealed.body[39:])) == plaintext
    assert bytes(other.export(b"message/bhttp response", 32)) == sealed.secret
    assert sealed.open(opened.seal(plaintext)) == plaintext
    assert sealed.open_chunked(opened.seal_chunks([plaintext, b"", b"end"])) == plaintext + b"end"


def test_nothing_is_sealed_twice_alike() -> None:
    key = parse_key_config(SERVER.key_config, what="key")
    one, other = seal(key, b"same"), seal(key, b"same")
    assert one.enc != other.enc
    assert one.body != other.body
    assert one.secret != other.secret


def test_the_number_of_the_key_is_bound() -> None:
    sealed = seal(OhttpKey(key_id=7, public_key=PUBLIC), b"x")
    assert OhttpServer(private=RECEIVER, key_id=7).open(sealed.body).plaintext == b"x"
    with pytest.raises(ValueError, match="another key"):
        SERVER.open(sealed.body)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f", b"\x09" * 31])
def test_keys_that_everybody_could_read_along_with(key: bytes) -> None:
    with pytest.raises(FormatError):
        seal_request(key, INFO, b"secret")
    with pytest.raises(ConfigurationError):
        seal(OhttpKey(key_id=1, public_key=key), b"secret")


def test_limits_and_uses_of_keys() -> None:
    key = AttestedKey(use="ohttp", algorithm="ohttp", public_key=SERVER.key_config.hex())
    assert SERVER.open(sealed_to(key, b"x").body).plaintext == b"x"
    with pytest.raises(ConfigurationError, match="at most"):
        sealed_to(key, bytes(MAX_OHTTP_REQUEST + 1))
    for use, config in (("signing", SERVER.key_config), ("e2ee", SERVER.key_config), ("ohttp", b"\x01" * 41)):
        with pytest.raises(ConfigurationError):
            sealed_to(AttestedKey(use=use, algorithm="ohttp", public_key=config.hex()), b"x")


def test_no_secret_shows() -> None:
    sealed = seal(parse_key_config(SERVER.key_config, what="key"), b"secret prompt")
    shown = repr(sealed) + repr(seal_request(PUBLIC, INFO, b"secret prompt")) + repr(ChunkedResponse(sealed))
    for hidden in (sealed.secret, sealed.chunked_secret, sealed.body, b"secret prompt"):
        assert hidden.hex() not in shown
        assert repr(hidden)[2:-1] not in shown


def test_media_types() -> None:
    assert REQUEST_TYPE == "message/ohttp-req"
    assert response_type(chunked=False) == "message/ohttp-res"
    assert response_type(chunked=True) == "message/ohttp-chunked-res"


# --- whole responses --------------------------------------------------------------------------------------------------


def test_o1_every_bit_of_a_whole_response_counts() -> None:
    for place in range(len(SINGLE)):
        flipped = bytearray(SINGLE)
        flipped[place] ^= 1 << place % 8
        assert refused(partial(SENT.open, bytes(flipped)))


@pytest.mark.parametrize("size", range(len(SINGLE)))
def test_cut_off_whole_responses(size: int) -> None:
    assert refused(lambda: SENT.open(SINGLE[:size]))


def test_o1_responses_to_other_requests() -> None:
    key = parse_key_config(SERVER.key_config, what="key")
    mine, other = seal(key, b"x"), seal(key, b"x")
    answer = SERVER.open(other.body)
    assert refused(lambda: mine.open(answer.seal(b"yes")))
    assert refused(lambda: mine.open_chunked(answer.seal_chunks([b"yes", b"no"])))
    assert refused(lambda: mine.open(SINGLE + b"\0"))
    assert refused(lambda: mine.open(bytes(MAX_CHAT_BODY + 1)))


def test_o8_the_two_forms_do_not_open_as_each_other() -> None:
    opened = SERVER.open(WIRE)
    assert refused(lambda: SENT.open(CHUNKED))
    assert refused(lambda: SENT.open_chunked(SINGLE))
    assert refused(lambda: SENT.open(opened.seal(b"x", label=b"message/bhttp chunked response")))
    assert refused(lambda: SENT.open_chunked(opened.seal_chunks([b"a", b"b"], label=b"message/bhttp response")))

"""The tools: places in JSON, regions of binary documents, changes that keep the form."""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs
import pytest

from teeverify.crypto.certificates import load_der
from teeverify.errors import FormatError
from teeverify.formats.spdm import parse_spdm_evidence
from teeverify.formats.tdx_quote import parse_quote
from teeverify.selftest import Category
from teeverify.selftest.byte_changes import (
    BASE64,
    HEX,
    change_pem,
    change_token,
    flip,
    flip_hex,
    pem_blocks,
    read_token_part,
)
from teeverify.selftest.json_places import REMOVED, TEXT, get, nodes, other_value, put, shape, spell, styled
from teeverify.selftest.regions import certificate_regions, crl_regions, public_key_place, quote_regions, spdm_regions

from .sessions import chutes, direct

DOCUMENT: dict[str, Any] = {
    "a": {"b": [1, {"c": "00112233"}]},
    "text": '{\n  "n": [\n    true\n  ]\n}',
    "plain": "{no json",
}


def body() -> Any:
    return json.loads(direct().report.exchanges[0].response.body)


def answer(part: str) -> bytes:
    return next(each.response.body for each in direct().report.exchanges if part in each.request.url)


def test_nodes_go_into_text() -> None:
    document = {**DOCUMENT, "plain": "words"}
    found = {spell(path): value for path, value in nodes(document, text_members=frozenset({"text"}))}
    assert found["a / b[1].c"] == "00112233"
    assert found["text / n[0]"] is True
    assert shape(("a", "b", 1, "c")) == "a.b.#.c"
    assert not any(name.startswith("plain /") for name in found)


def test_put_changes_one_place_and_keeps_the_style() -> None:
    before = json.dumps(DOCUMENT)
    changed = put(DOCUMENT, ("text", TEXT, "n", 0), other_value)
    assert changed["text"] == '{\n  "n": [\n    false\n  ]\n}'
    assert put(DOCUMENT, ("a", "b", 0), REMOVED)["a"]["b"] == [{"c": "00112233"}]
    assert get(put(DOCUMENT, ("a", "new"), 5), ("a", "new")) == 5
    assert json.dumps(DOCUMENT) == before


@pytest.mark.parametrize("text", ['{"a":"é","b":1}', '{"a": 1, "b": [2]}', '{\n    "a": [\n        1\n    ]\n}', "{ }"])
def test_styled(text: str) -> None:
    value = json.loads(text)
    assert json.loads(styled(value, like=text)) == value
    assert (styled(value, like=text) == text) == (text != "{ }")


@pytest.mark.parametrize("value", [True, 0, 1.5, None, "", "word", "00112233445566aa", "2026-06-15T12:00:00Z"])
def test_another_value_is_another_one_of_the_same_form(value: Any) -> None:
    other = other_value(value)
    assert other != value
    assert isinstance(other, str) if value is None else type(other) is type(value)
    if value == "2026-06-15T12:00:00Z":
        assert other == "2026-06-15T12:00:01Z"
    if value == "00112233445566aa":
        assert bytes.fromhex(other)


def test_regions_of_a_quote_are_its_fields() -> None:
    quote = parse_quote(bytes.fromhex(body()["intel_quote"]))
    regions = {region.name: region for region in quote_regions(quote)}
    assert sum(region.size for region in regions.values()) == len(quote.raw)
    report = {name: value for name, value in attrs.asdict(quote.report).items() if value is not None}
    names = [name for name in regions if name.startswith("TD report / ")]
    assert [quote.raw[regions[name].start : regions[name].end] for name in names] == list(report.values())
    assert quote.raw[regions["QE auth data"].start :].startswith(quote.signature.qe_auth_data)
    assert regions["certificate chain"].size == len(quote.signature.pck_chain)
    wrong = attrs.evolve(quote, signature=attrs.evolve(quote.signature, qe_auth_data=bytes(7)))
    with pytest.raises(FormatError, match="do not stand where"):
        quote_regions(wrong)


def test_regions_of_gpu_evidence() -> None:
    evidence = base64.b64decode(json.loads(body()["nvidia_payload"])["evidence_list"][0]["evidence"])
    parsed = parse_spdm_evidence(evidence, what="evidence")
    regions = {region.name: region for region in spdm_regions(evidence)}
    assert regions["signature"].end == len(evidence)
    for name, value in (("request / nonce", parsed.nonce), ("response / measurements", parsed.measurement_record)):
        assert evidence[regions[name].start : regions[name].end] == value


def test_regions_of_a_revocation_list() -> None:
    der = answer("pckcrl")
    regions = {region.name: der[region.start : region.end] for region in crl_regions(der)}
    assert regions["this update"].startswith(b"26")
    assert regions["next update"].endswith(b"Z")
    assert set(regions) >= {"version", "signature algorithm", "issuer", "extensions", "signature"}
    with pytest.raises(FormatError):
        crl_regions(der[:-1])


def test_the_public_key_of_a_certificate() -> None:
    from teeverify.crypto.certificates import load_der

    der = base64.b64decode(json.loads(answer("jwks.json"))["keys"][0]["x5c"][1])
    spki = load_der(der, what="a certificate").spki_der
    start = der.index(spki)
    assert start < public_key_place(der) < start + len(spki)


def test_a_signed_document_that_cannot_be_written_again() -> None:
    """White space outside of what Intel signed is legal; then characters are changed in place of members."""
    session = direct()
    places = [i for i, each in enumerate(session.report.exchanges) if "v4/tcb" in each.request.url]
    exchanges = list(session.report.exchanges)
    old = exchanges[places[0]]
    spaced = attrs.evolve(old.response, body=b"{ " + old.response.body[1:])
    exchanges[places[0]] = attrs.evolve(old, response=spaced)
    session = attrs.evolve(session, report=attrs.evolve(session.report, exchanges=tuple(exchanges)))
    chosen = session.altered(lambda each: each.place == "intel.tcb_info@text")
    assert len(chosen) >= 18
    rows = session.judged(chosen).rows
    assert {row.category for row in rows} <= {Category.REFUSED, Category.NOT_EVALUATED}


def test_flips() -> None:
    assert flip(b"\x00\x00", -1) == b"\x00\x01"
    assert flip_hex("0000", 0) == "0100"


def test_one_certificate_of_a_chain() -> None:
    pem = body()["info"]["app_cert"].encode()
    blocks = pem_blocks(pem)
    assert b"".join(blocks) == pem
    changed = change_pem(pem, 1, lambda der: flip(der, -1))
    others = pem_blocks(changed)
    assert (others[0], others[2]) == (blocks[0], blocks[2])
    assert others[1] != blocks[1]
    assert [len(line) for line in changed.splitlines()] == [len(line) for line in pem.splitlines()]


def test_one_part_of_a_token() -> None:
    token = json.loads(answer("attest/gpu"))[0][1]
    changed = change_token(token, 1, lambda claims: {**claims, "iss": "other"})
    assert read_token_part(changed, 1)["iss"] == "other"
    assert read_token_part(changed, 0) == read_token_part(token, 0)
    assert changed.rpartition(".")[2] == token.rpartition(".")[2]
    signed = change_token(token, 2, lambda signature: flip(signature, 0))
    assert signed.rpartition(".")[0] == token.rpartition(".")[0]
    assert signed != token


def test_the_regions_of_a_certificate_are_its_fields() -> None:
    body = next(each.response.body for each in chutes().report.exchanges if "/evidence?" in each.request.url)
    der = base64.b64decode(json.loads(body)["evidence"][0]["certificate"])
    regions = {region.name: region for region in certificate_regions(der)}
    assert list(regions) == [
        *("version", "serial number", "signature algorithm", "issuer", "validity", "subject", "public key"),
        *("extensions", "outer signature algorithm", "signature"),
    ]
    certificate = load_der(der, what="the certificate")
    serial = regions["serial number"]
    assert int.from_bytes(der[serial.start : serial.end], "big") == certificate.serial_number
    key = regions["public key"]
    assert key.start < public_key_place(der) < key.end
    assert regions["signature"].end == len(der)
    with pytest.raises(FormatError):
        certificate_regions(b"no certificate")
    assert HEX.changed(lambda data: data + b"\1", "00ff") == "00ff01"
    assert BASE64.changed(lambda data: data[:1], "AP8=") == "AA=="

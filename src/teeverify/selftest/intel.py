"""Alterations of what Intel answered: signed documents, their issuer chains, revocation lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Final
from urllib.parse import quote, unquote

from .alteration import Alteration
from .answers import answer_alterations
from .byte_changes import change_pem, flip, pem_blocks
from .json_places import Path, nodes, other_value, put, shape, spell, styled
from .maker import Maker
from .regions import crl_regions

__all__ = ["intel_alterations"]

_DOCUMENTS: Final = {
    "tdx/certification/v4/tcb": ("intel.tcb_info", "TCB info", ("tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain")),
    "qe/identity": ("intel.qe_identity", "QE identity", ("sgx-enclave-identity-issuer-chain",)),
}
_LISTS: Final = {
    "pckcrl": ("intel.pck_crl", "PCK revocation list"),
    "IntelSGXRootCA": ("intel.root_crl", "root revocation list"),
}
_CRL_CHAIN: Final = "sgx-pck-crl-issuer-chain"
_CRITICAL: Final = frozenset({"fmspc", "issueDate", "nextUpdate", "tcbEvaluationDataNumber", "tcbStatus", "signature"})
_COMPONENTS: Final = ("sgxtcbcomponents", "tdxtcbcomponents")


def intel_alterations(maker: Maker) -> Iterator[Alteration]:
    """Every document of Intel that the verification read."""
    for part, (key, name, headers) in _DOCUMENTS.items():
        places = maker.traffic.places(part)
        for place in places:
            header = next(each for each in headers if each in maker.traffic.exchanges[place].response.headers)
            shown = f"{name} ({_fmspc(maker, place)})" if len(places) > 1 else name
            yield from answer_alterations(maker, place, "Intel", shown, key, read=(header,))
            yield from _document(maker, place, shown, key, whole=maker.every_leaf or place == places[0])
            yield from _issuer_chain(maker, place, shown, key, header)
    for part, (key, name) in _LISTS.items():
        for place in maker.traffic.places(part):
            yield from answer_alterations(maker, place, "Intel", name, key, read=(_CRL_CHAIN,))
            yield from _revocation_list(maker, place, name, key)


def _fmspc(maker: Maker, place: int) -> str:
    return maker.traffic.exchanges[place].request.url.rpartition("=")[2][:12]


def _document(maker: Maker, place: int, name: str, key: str, *, whole: bool) -> Iterator[Alteration]:
    """Every member of a signed JSON document; the rest of its text stays as it is, byte for byte.

    Of a second document of the same kind, only what dates it and what signs it.
    """
    text = maker.traffic.exchanges[place].response.body.decode("utf-8")

    def change(part: str, kind: str, where: str, new: str) -> Alteration:
        return maker.in_answer("Intel", f"{name} / {part}", kind, f"{key}@{where}", place, body=new.encode("utf-8"))

    document = json.loads(text)
    if styled(document, like=text) == text:
        for path in _leaves(document, every=maker.every_leaf):
            if not whole and path[-1] not in _CRITICAL:
                continue
            new = styled(put(document, path, other_value), like=text)
            yield change(spell(path), "changed", shape(path), new)
    else:  # written in an unknown style: writing it again would change more than one member
        for at in range(0, len(text), max(1, len(text) // 16)):
            yield change(f"character {at}", "changed", "text", text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :])
    inner = text.index("{", 1) + 1
    yield change("text", "space added", "text", f"{text[:inner]} {text[inner:]}")
    yield change("text", "member added", "text", text.replace("{", '{"note":1,', 1))


def _leaves(document: object, *, every: bool) -> Iterator[Path]:
    """Every value, or the first of each shape; the SGX and TDX components of a level are of one shape."""
    seen: set[str] = set()
    for path, value in nodes(document, text_members=frozenset()):
        known = shape(tuple("components" if step in _COMPONENTS else step for step in path))
        if not isinstance(value, dict | list) and (every or known not in seen):
            seen.add(known)
            yield path


def _issuer_chain(maker: Maker, place: int, name: str, key: str, header: str) -> Iterator[Alteration]:
    headers = maker.traffic.exchanges[place].response.headers

    def change(part: str, kind: str, *values: str) -> Alteration:
        changed = {**headers, header: values}
        return maker.in_answer("Intel", f"{name} / {part}", kind, f"{key}.header.{header}", place, headers=changed)

    yield change("issuer chain", "removed")
    for value in headers.get(header, ()):
        pem = unquote(value).encode("utf-8")
        for index in range(len(pem_blocks(pem))):
            changed = change_pem(pem, index, partial(flip, place=-1)).decode("utf-8")
            yield change(f"issuer chain / certificate {index + 1}", "changed", quote(changed, safe=""))


def _revocation_list(maker: Maker, place: int, name: str, key: str) -> Iterator[Alteration]:
    response = maker.traffic.exchanges[place].response
    for region in crl_regions(response.body):
        at = region.end - (2 if region.name.endswith("update") else 1)  # the last digit of a time, before its Z
        changed = flip(response.body, at)
        yield maker.in_answer(
            "Intel", f"{name} / {region.name}", "changed", f"{key}@{region.name}", place, body=changed
        )
    if _CRL_CHAIN in response.headers:
        kept = {each: values for each, values in response.headers.items() if each != _CRL_CHAIN}
        where = f"{key}.header.pck_crl_chain"
        yield maker.in_answer("Intel", f"{name} / issuer chain", "removed", where, place, headers=kept)

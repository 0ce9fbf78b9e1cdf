"""Every refusal of dcap-qvl that has a code, produced and matched: an upgrade that changes a text shows here."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import evolve

from teeverify.claims.problem import Problem, ProblemKind
from teeverify.claims.tdx import CrlFacts, IntelCollateral
from teeverify.crypto.dcap import REFUSALS, pck_platform, pck_values, verify_quote
from teeverify.formats.intel_collateral import TcbInfo
from teeverify.formats.tdx_quote import parse_quote
from teeverify.testing.certificates import Issued, crl
from teeverify.testing.tdx import SEPT_VE_DISABLE, TdFields

from .faults import Fault, enclave, layout, qe, quote, tcb, td
from .world import NOW, World, dates

CODES = {code for _, code in REFUSALS} | {"dcap_refused", "parser_differential"}


def refusal(world: World, at: datetime = NOW, **parts: Any) -> Problem:
    """What verify_quote makes of a world; ``parts`` replace parts of the collateral."""
    collateral = world.claims(at).collateral
    assert isinstance(collateral, IntelCollateral)
    result = verify_quote(parse_quote(world.quote()), evolve(collateral, **parts), root=world.pki.root.der, at=at)
    assert isinstance(result, Problem), result
    return result


def key(label: str) -> Any:
    return World().pki.keys.p256(label)


def stranger(world: World) -> Issued:
    return Issued(key("stranger"), world.pki.tcb_signer.certificate)


def service_td(world: World) -> None:
    layout(version=5, body_type=3)(world)
    world.with_td(mr_service_td=b"\1" * 48)


def running_module_of_no_level(world: World) -> None:
    """TD 1.5: the module that runs now is of a version that the TCB info does not know."""
    layout(version=5, body_type=3)(world)
    world.with_td(tee_tcb_svn2=bytes([1, 1, 4]) + bytes(13))


def level_status(status: str) -> Fault:
    def fault(world: World) -> None:
        levels = world.pcs.tcb_info(world.fmspc)["tcbLevels"]
        levels[0]["tcbStatus"] = status
        world.pcs.tcb_changes["tcbLevels"] = levels

    return fault


def qe_level_status(status: str) -> Fault:
    return qe(tcbLevels=[{"tcb": {"isvsvn": 4}, "tcbDate": "2025-05-14T00:00:00Z", "tcbStatus": status}])


def attribute(bit: int) -> Fault:
    return td(td_attributes=SEPT_VE_DISABLE ^ 1 << bit)


def revoke(world: World) -> None:
    world.pcs.revoked_pcks = (world.leaf,)


PAST, TOMORROW = dates(timedelta(days=-31), timedelta(days=-1)), dates(timedelta(days=1), timedelta(days=31))
EXPIRED_QE = enclave(attributes=bytes.fromhex("1700000000000000e700000000000000"))

TABLE: tuple[tuple[str, Fault, str], ...] = (
    ("ISV enclave report signature", quote(sign_with=key("x")), "quote_signature_invalid"),
    ("ISV enclave report signature", quote(signature=bytes(64)), "quote_signature_invalid"),
    ("QE report hash mismatch", quote(qe_binds=key("x")), "attestation_key_not_bound"),
    ("Signature is invalid for qe_report", quote(qe_sign_with=key("x")), "qe_report_signature_invalid"),
    (
        "Signature is invalid for tcb_info",
        lambda world: setattr(world.pcs, "tcb_signer", stranger(world)),
        "collateral_signature_invalid",
    ),
    (
        "Signature is invalid for qe_identity",
        lambda world: setattr(world.pcs, "qe_signer", stranger(world)),
        "collateral_signature_invalid",
    ),
    ("Failed to verify certificate chain", revoke, "certificate_chain_refused"),
    ("TCBInfo expired", tcb(**PAST), "collateral_expired"),
    ("QE Identity expired", qe(**PAST), "collateral_expired"),
    ("issue date is in the future", tcb(**TOMORROW), "collateral_from_future"),
    ("issue date is in the future", qe(**TOMORROW), "collateral_from_future"),
    ("Fmspc mismatch", tcb(fmspc="b0c06f000000"), "fmspc_mismatch"),
    ("non-TDX TCB info", tcb(id="SGX"), "collateral_refused"),
    ("non-TDX TCB info", tcb(version=2), "collateral_refused"),
    ("Failed to decode TcbInfo", level_status("Splendid"), "collateral_refused"),
    ("Failed to decode TcbInfo", tcb(tcbEvaluationDataNumber=-1), "collateral_refused"),
    ("Failed to decode TcbInfo", tcb(tcbEvaluationDataNumber=2**64), "collateral_refused"),
    ("Failed to decode QeIdentity", qe_level_status("Splendid"), "collateral_refused"),
    ("TCB status is invalid: Revoked", level_status("Revoked"), "tcb_revoked"),
    ("TCB status is invalid: Revoked", qe_level_status("Revoked"), "tcb_revoked"),
    (
        "No matching TCB level",
        lambda world: setattr(world, "platform", evolve(world.platform, component_svns=bytes(16))),
        "tcb_level_missing",
    ),
    ("No matching TCB level", td(tee_tcb_svn=bytes([11, 1, 1]) + bytes(13)), "tcb_level_missing"),
    ("TDX module TCB level", td(tee_tcb_svn=bytes([1, 1, 4]) + bytes(13)), "tcb_level_missing"),
    ("TDX module TCB level", td(tee_tcb_svn=bytes([11, 9, 4]) + bytes(13)), "tcb_level_missing"),
    ("is below minimum required", enclave(isv_svn=3), "tcb_level_missing"),
    ("TDX module identity", td(mr_signer_seam=b"\1" * 48), "module_not_identified"),
    ("TDX module identity", td(seam_attributes=b"\1" * 8), "module_not_identified"),
    ("Debug mode is enabled", attribute(0), "td_attributes_refused"),
    ("SEPT_VE_DISABLE", attribute(28), "td_attributes_refused"),
    *(("Reserved bits in TD attributes", attribute(bit), "td_attributes_refused") for bit in (1, 2, 3, 7, 8, 15)),
    *(("Reserved bits in TD attributes", attribute(bit), "td_attributes_refused") for bit in (23, 26, 32, 61)),
    *(("TD profiling is enabled", attribute(bit), "td_attributes_refused") for bit in (4, 5, 6)),
    ("TD migration is enabled", attribute(29), "td_attributes_refused"),
    ("SERVTD_EXT is enabled", attribute(17), "td_attributes_refused"),
    ("Invalid MR service TD", service_td, "td_attributes_refused"),
    ("Failed to evaluate the current TDX TCB", running_module_of_no_level, "tcb_level_missing"),
    ("Unknown QE vendor", layout(vendor=bytes(16)), "quote_kind_refused"),
    ("Unsupported DCAP", layout(attestation_key_type=3), "quote_kind_refused"),
    ("QE ", enclave(mr_signer=b"\1" * 32), "qe_identity_mismatch"),
    ("QE ", enclave(isv_prod_id=3), "qe_identity_mismatch"),
    ("QE ", enclave(misc_select=1), "qe_identity_mismatch"),
    ("QE ", enclave(attributes=bytes.fromhex("3500000000000000e700000000000000")), "qe_identity_mismatch"),
    ("QE ", EXPIRED_QE, "qe_identity_mismatch"),
    ("QE ", qe(id="QE"), "qe_identity_mismatch"),
    ("QE ", qe_level_status("SWHardeningNeeded"), "qe_identity_mismatch"),
)


@pytest.mark.parametrize(("part", "fault", "code"), TABLE)
def test_each_refusal_has_its_text_and_its_code(part: str, fault: Fault, code: str) -> None:
    world = World()
    fault(world)
    said = world.dcap()
    assert said.startswith("refused: ")
    assert part in said
    problem = refusal(world)
    assert (problem.kind, problem.code) == (ProblemKind.INVALID, code)
    # The first part of the table that occurs in the text decides, so nothing before may match as well.
    assert next(known for known, _ in REFUSALS if known in said) == part


def crl_der(world: World, **arguments: Any) -> bytes:
    issuer = arguments.pop("issuer", world.pki.root)
    return crl(issuer, this_update=NOW - timedelta(days=40), next_update=NOW - timedelta(days=1), **arguments)


@pytest.mark.parametrize(
    ("part", "which", "code"),
    [
        ("Failed to parse root CA CRL", "root_crl", "collateral_refused"),
        ("Failed to parse PCK CRL", "pck_crl", "collateral_refused"),
    ],
)
@pytest.mark.parametrize("der", [b"", b"garbage", b"\x30\x03\x02\x01\x01"])
def test_lists_that_are_none(part: str, which: str, code: str, der: bytes) -> None:
    facts = CrlFacts(this_update=NOW, next_update=NOW, revoked_serials=frozenset(), der=der)
    parts: dict[str, Any] = {which: facts}
    problem = refusal(World(), **parts)
    assert problem.code == code
    assert part in problem.detail


def test_a_list_that_ran_out() -> None:
    world = World()
    facts = CrlFacts(this_update=NOW, next_update=NOW, revoked_serials=frozenset(), der=crl_der(world))
    problem = refusal(world, root_crl=facts)
    assert problem.code == "collateral_expired"
    assert "CrlExpired" in problem.detail
    assert refusal(World(), pck_crl=replace_crl(crl_der(world, issuer=world.pki.pck_ca))).code in (
        "certificate_chain_refused",
        "collateral_expired",
    )


def replace_crl(der: bytes) -> CrlFacts:
    return CrlFacts(this_update=NOW, next_update=NOW, revoked_serials=frozenset(), der=der)


def test_every_part_of_the_table_is_produced_here() -> None:
    produced = {part for part, _, _ in TABLE}
    produced |= {"Failed to parse root CA CRL", "Failed to parse PCK CRL", "CrlExpired"}
    assert produced == {part for part, _ in REFUSALS}


@pytest.mark.parametrize(
    "fault",
    [tcb(tcbEvaluationDataNumber=True), layout(inner_type=7)],
)
def test_other_refusals_are_refusals_too(fault: Fault) -> None:
    world = World()
    fault(world)
    parsed = parse_quote(world.quote())
    collateral = World().claims().collateral
    assert isinstance(collateral, IntelCollateral)
    tcb_info = collateral.tcb_info
    assert isinstance(tcb_info, TcbInfo)
    text = json.dumps({**json.loads(tcb_info.signed.text), **world.pcs.tcb_changes})
    collateral = evolve(collateral, tcb_info=evolve(tcb_info, signed=evolve(tcb_info.signed, text=text)))
    result = verify_quote(parsed, collateral, root=world.pki.root.der, at=NOW)
    assert isinstance(result, Problem)
    assert result.kind is ProblemKind.INVALID
    assert result.code in CODES


@pytest.mark.parametrize("year", [1, 1969])
def test_a_time_before_1970_is_a_refusal_and_no_crash(year: int) -> None:
    assert refusal_at(datetime(year, 1, 1, tzinfo=timezone.utc)).code in CODES


def test_the_last_moment_of_time_is_a_refusal_and_no_crash() -> None:
    assert refusal_at(datetime.max.replace(tzinfo=timezone.utc)).code == "collateral_expired"


def refusal_at(at: datetime) -> Problem:
    world = World()
    collateral = world.claims().collateral
    assert isinstance(collateral, IntelCollateral)
    result = verify_quote(parse_quote(world.quote()), collateral, root=world.pki.root.der, at=at)
    assert isinstance(result, Problem)
    return result


def test_intels_own_root_refuses_the_test_root() -> None:
    world = World()
    collateral = world.claims().collateral
    assert isinstance(collateral, IntelCollateral)
    result = verify_quote(parse_quote(world.quote()), collateral, root=None, at=NOW)
    assert isinstance(result, Problem)
    assert result.kind is ProblemKind.INVALID


def test_two_readings_of_a_quote_are_a_refusal() -> None:
    world = World()
    parsed = parse_quote(world.quote())
    collateral = world.claims().collateral
    assert isinstance(collateral, IntelCollateral)
    fields = [name for name in TdFields.__attrs_attrs__ if hasattr(parsed.report, name.name)]
    assert len(fields) > 14
    for attribute_ in parsed.report.__attrs_attrs__:
        value = getattr(parsed.report, attribute_.name)
        if value is None:
            continue
        other = evolve(parsed, report=evolve(parsed.report, **{attribute_.name: bytes([value[0] ^ 1]) + value[1:]}))
        result = verify_quote(other, collateral, root=world.pki.root.der, at=NOW)
        assert isinstance(result, Problem), attribute_.name
        assert result.code == "parser_differential", attribute_.name


def test_missing_collateral_is_no_refusal() -> None:
    outage = Problem(kind=ProblemKind.UNAVAILABLE, code="not_fetched", detail="no network")
    for part in ("tcb_info", "qe_identity", "pck_crl", "root_crl"):
        parts: dict[str, Any] = {part: outage}
        problem = refusal(World(), **parts)
        assert (problem.kind, problem.code) == (ProblemKind.UNAVAILABLE, "collateral_incomplete")


# --- what the quote names -------------------------------------------------------------------------------------------


def test_platform_and_pck_values() -> None:
    world = World()
    raw = world.quote()
    assert pck_platform(raw) == (bytes.fromhex(world.fmspc), "platform")
    values = pck_values(raw)
    assert values is not None
    assert values["component_svns"] == values["cpu_svn"] == world.platform.component_svns
    assert (values["ppid"], values["pce_id"], values["pce_svn"]) == (bytes(range(16)), b"\0\0", 13)


@pytest.mark.parametrize("raw", [b"", b"garbage", bytes(5000)])
def test_nothing_is_read_out_of_garbage(raw: bytes) -> None:
    assert pck_platform(raw) is None
    assert pck_values(raw) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"fmspc": b"\1" * 5},
        {"fmspc": b"\1" * 7},
        {"ppid": b"\1" * 15},
        {"pce_id": b"\1"},
        {"cpu_svn": bytes(15)},
        {"cpu_svn": bytes(17)},
    ],
)
def test_pck_values_of_other_sizes(changes: dict[str, Any]) -> None:
    world = World()
    world.platform = evolve(world.platform, **changes)
    assert pck_values(world.quote()) is None


def test_component_numbers_above_127_are_read() -> None:
    world = World()
    numbers = bytes([255, 128, 127, *range(3, 16)])
    world.platform = evolve(world.platform, component_svns=numbers)
    values = pck_values(world.quote())
    assert values is not None
    assert values["component_svns"] == numbers

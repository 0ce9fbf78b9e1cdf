"""What dcap-qvl 0.7 accepts and we must not: each test first shows that dcap-qvl does accept it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote as percent_encode

import pytest
from attrs import evolve

from teeverify.endorsements.intel_pcs import QE_IDENTITY, ROOT_CRL, pck_crl_name, tcb_info_name
from teeverify.flow import Response
from teeverify.testing.certificates import Issued, crl, pem_chain
from teeverify.testing.intel import IntelPki
from teeverify.testing.keys import KeyRing
from teeverify.testing.tdx import SEPT_VE_DISABLE, high_s_twin
from teeverify.verdict import Status

from .faults import Fault, layout, qe, tcb, td
from .world import NOW, TDX_CHECKS, World, dates, failures, judge, passes, policy_of, response, unevaluated


def with_chain(world: World, name: str, header: str, *chain: Issued) -> None:
    """Let one of Intel's answers come with another issuer chain."""
    answer = world.answers()[name]
    assert isinstance(answer, Response)
    headers = {**answer.headers, header: (percent_encode(pem_chain(*chain), safe=""),)}
    world.spoil[name] = Response(status=200, headers=headers, body=answer.body)


def pck_signs_tcb_info(world: World) -> None:
    world.pcs.tcb_signer = world.leaf
    chain = (world.leaf, world.pki.pck_ca, world.pki.root)
    with_chain(world, tcb_info_name(world.platform.fmspc), "tcb-info-issuer-chain", *chain)


def pck_signs_qe_identity(world: World) -> None:
    world.pcs.qe_signer = world.leaf
    chain = (world.leaf, world.pki.pck_ca, world.pki.root)
    with_chain(world, QE_IDENTITY, "sgx-enclave-identity-issuer-chain", *chain)


def rogue_enclave(world: World) -> None:
    """With one extracted PCK key: an own QE identity for an own quoting enclave."""
    world.qe = evolve(world.qe, mr_signer=b"\x66" * 32)
    world.pcs.qe_changes["mrsigner"] = "66" * 32
    pck_signs_qe_identity(world)


def other_signer(name: str, *, sgx: bool = False) -> Fault:
    def fault(world: World) -> None:
        extension = world.platform.der() if sgx else None
        world.pcs.tcb_signer = world.pki.issue(name, world.pki.root, label="other", sgx_extension=extension)

    return fault


def leaf_named(name: str) -> Fault:
    return lambda world: world.quote_changes.update(pck=world.pki.pck(world.platform, common_name=name))


def leaf_under_root(world: World) -> None:
    leaf = world.pki.pck(world.platform, issuer=world.pki.root)
    world.quote_changes.update(pck=leaf, chain=(world.pki.pck_ca, world.pki.root))


def ca_named(world: World) -> None:
    """dcap-qvl tells platform from processor by the word in the name alone."""
    ca = world.pki.issue("My Platform", world.pki.root, label="odd-ca", ca=True, path_length=0)
    world.pki.pck_ca = ca
    world.quote_changes.update(pck=world.pki.pck(world.platform), chain=(ca, world.pki.root))


def chain_text(*parts: Callable[[World], str]) -> Fault:
    return lambda world: world.quote_changes.update(chain_text="".join(part(world) for part in parts).encode() + b"\0")


def leaf_pem(world: World) -> str:
    return world.leaf.pem


def ca_pem(world: World) -> str:
    return world.pki.pck_ca.pem


def root_pem(world: World) -> str:
    return world.pki.root.pem


def foreign_root(world: World) -> str:
    return IntelPki(KeyRing("somebody else")).root.pem


def attribute(bit: int) -> Fault:
    return td(td_attributes=SEPT_VE_DISABLE | 1 << bit)


def qe_report_data_tail(world: World) -> None:
    from teeverify.testing.keys import raw_public

    bound = world.qe.report(raw_public(world.pki.attestation_key(world.platform)))[320:352]
    world.qe = evolve(world.qe, report_data=bound + bytes(31) + b"\1")


def pck_crl_from_future(world: World) -> None:
    world.pcs.pck_crl = world.pcs.pck_list(since=NOW + timedelta(days=1))


def root_crl_from_future(world: World) -> None:
    world.pcs.root_crl = world.pcs.root_list(since=NOW + timedelta(days=1))


def pck_crl_for_years(world: World) -> None:
    world.pcs.pck_crl = crl(
        world.pki.pck_ca, this_update=NOW - timedelta(days=1), next_update=NOW + timedelta(days=999)
    )


def root_crl_for_years(world: World) -> None:
    world.pcs.root_crl = crl(world.pki.root, this_update=NOW - timedelta(days=1), next_update=NOW + timedelta(days=999))


def component_svns_zero(world: World) -> None:
    world.platform = evolve(world.platform, component_svns=bytes(16), cpu_svn=world.platform.component_svns)


def qe_status(status: str) -> Fault:
    def fault(world: World) -> None:
        levels = world.pcs.qe_identity()["tcbLevels"]
        levels[0]["tcbStatus"] = status
        world.pcs.qe_changes["tcbLevels"] = levels

    return fault


def current_module(*first: int) -> Fault:
    def fault(world: World) -> None:
        world.layout = evolve(world.layout, version=5, body_type=3)
        world.with_td(tee_tcb_svn2=bytes(first) + bytes(16 - len(first)))

    return fault


YEARS = dates(timedelta(hours=-1), timedelta(days=3650))
CURRENT, SIGNATURE, KIND = "tcb.collateral_current", "tdx.quote_signature", "tdx.quote_kind"
ATTRIBUTES, STATUS = "tdx.attributes", "tcb.status"

ACCEPTED: tuple[tuple[str, str, Fault, str, str], ...] = (
    ("A1", "TCB info signed by a PCK leaf", pck_signs_tcb_info, CURRENT, "signer"),
    ("A1", "QE identity signed by a PCK leaf", pck_signs_qe_identity, CURRENT, "signer"),
    ("A1", "rogue quoting enclave", rogue_enclave, CURRENT, "signer"),
    ("A1", "signer of another name", other_signer("Somebody"), CURRENT, "signer"),
    ("A1", "signer named like a PCK leaf", other_signer("Intel SGX PCK Certificate"), CURRENT, "signer"),
    ("A1", "signer with an SGX extension", other_signer("Intel SGX TCB Signing", sgx=True), CURRENT, "signer"),
    ("A2", "leaf of another name", leaf_named("Intel SGX PCK Certificate "), SIGNATURE, "pck_chain_names"),
    ("A2", "leaf named like the signer", leaf_named("Intel SGX TCB Signing"), SIGNATURE, "pck_chain_names"),
    ("A2", "CA of another name", ca_named, SIGNATURE, "pck_chain_names"),
    ("A2", "leaf directly under the root", leaf_under_root, SIGNATURE, "pck_chain_untrusted"),
    ("A2", "a fourth certificate", chain_text(leaf_pem, ca_pem, root_pem, ca_pem), SIGNATURE, "pck_chain_shape"),
    ("A3", "root missing", chain_text(leaf_pem, ca_pem), SIGNATURE, "pck_chain_shape"),
    ("A3", "foreign root", chain_text(leaf_pem, ca_pem, foreign_root), SIGNATURE, "pck_chain_root"),
    ("A3", "the CA in the root's place", chain_text(leaf_pem, ca_pem, ca_pem), SIGNATURE, "pck_chain_root"),
    ("A4", "outer certification data type", layout(outer_type=5), KIND, "wrong_constant"),
    ("A4", "reserved header bytes", layout(header_reserved=b"\1\0\0\0"), KIND, "wrong_constant"),
    ("A4", "tail of the header", layout(header_tail=b"\0\0\0\1"), KIND, "wrong_constant"),
    ("A4", "tail of the QE's report data", qe_report_data_tail, KIND, "qe_report_data"),
    ("A5", "XFAM of ones", td(xfam=b"\xff" * 8), ATTRIBUTES, "xfam"),
    ("A5", "XFAM of zeros", td(xfam=bytes(8)), ATTRIBUTES, "xfam"),
    ("A5", "XFAM less one bit", td(xfam=bytes.fromhex("e602060000000000")), ATTRIBUTES, "xfam"),
    *(
        ("A5", f"TD attribute {bit}", attribute(bit), ATTRIBUTES, "td_attributes")
        for bit in (16, 18, 19, 20, 21, 22, 27, 30, 31, 62, 63)
    ),
    ("A5", "owner", td(mr_owner=bytes(47) + b"\1"), ATTRIBUTES, "owner"),
    ("A5", "owner configuration", td(mr_owner_config=b"\1" + bytes(47)), ATTRIBUTES, "owner"),
    ("A6", "another PCE id", tcb(pceId="0001"), CURRENT, "wrong_platform"),
    ("A6", "another type of TCB info", tcb(tcbType=1), CURRENT, "wrong_kind"),
    ("A6", "a later version of TCB info", tcb(version=4), CURRENT, "wrong_kind"),
    ("A6", "a later version of the QE identity", qe(version=3), CURRENT, "wrong_kind"),
    ("A7", "TCB info for years", tcb(**YEARS), CURRENT, "window"),
    ("A7", "QE identity for years", qe(**YEARS), CURRENT, "window"),
    ("A7", "PCK revocation list for years", pck_crl_for_years, CURRENT, "window"),
    ("A7", "root revocation list for years", root_crl_for_years, CURRENT, "window"),
    ("A7", "PCK revocation list from the future", pck_crl_from_future, CURRENT, "from_future"),
    ("A7", "root revocation list from the future", root_crl_from_future, CURRENT, "from_future"),
    ("A8", "QE ConfigurationNeeded", qe_status("ConfigurationNeeded"), STATUS, "qe_not_accepted"),
    ("A8", "QE OutOfDateConfigurationNeeded", qe_status("OutOfDateConfigurationNeeded"), STATUS, "qe_not_accepted"),
    ("A8", "running module OutOfDate", current_module(5, 1, 4), STATUS, "current_not_accepted"),
    ("A8", "running microcode OutOfDate", current_module(11, 1, 2), STATUS, "current_not_accepted"),
    ("A11", "component SVNs below CPUSVN", component_svns_zero, SIGNATURE, "pck_component_svns"),
)  # fmt: skip


def test_an_untouched_world_passes_everything() -> None:
    world = World()
    assert world.dcap() == "UpToDate"
    assert passes(world.judge()) == set(TDX_CHECKS)


@pytest.mark.parametrize(
    ("fault", "check_id", "reason"),
    [pytest.param(fault, check_id, reason, id=f"{row} {what}") for row, what, fault, check_id, reason in ACCEPTED],
)
def test_dcap_accepts_and_we_refuse(fault: Fault, check_id: str, reason: str) -> None:
    world = World()
    fault(world)
    assert world.dcap() == "UpToDate"
    assert failures(world.judge()).get(check_id) == reason


def test_a4_trailing_garbage() -> None:
    world = World()
    world.layout = evolve(world.layout, padding=b"evil")
    assert World().dcap(quote=world.quote()) == "UpToDate"
    results = world.judge()
    assert set(unevaluated(results).values()) == {"quote_trailing_bytes"}
    assert not passes(results)


def test_a5_any_tdx_module_unless_the_policy_lists_them() -> None:
    world = World().with_td(mr_seam=b"\x66" * 48)
    assert world.dcap() == "UpToDate"
    assert "tdx.module" in passes(world.judge(policy_of(mr_seam=(b"\x66" * 48, b"\x67" * 48))))
    assert failures(world.judge(policy_of(mr_seam=(b"\x67" * 48,)))) == {"tdx.module": "module_not_pinned"}


def test_a7_low_evaluation_numbers() -> None:
    from teeverify.policy import TcbPolicy

    for fault in (tcb(tcbEvaluationDataNumber=5), qe(tcbEvaluationDataNumber=5)):
        world = World()
        fault(world)
        assert world.dcap() == "UpToDate"
        assert failures(world.judge(policy_of(TcbPolicy(min_eval_number=6)))) == {"tcb.eval_number": "too_low"}
        assert not failures(world.judge(policy_of(TcbPolicy(min_eval_number=5))))


def test_a9_a_chain_beside_the_collateral_never_replaces_the_quotes() -> None:
    world = World()
    chain = world.leaf.pem + world.pki.pck_ca.pem + world.pki.root.pem
    world.quote_changes["chain_text"] = b"garbage\0"
    good = World()
    assert good.dcap(quote=world.quote(), beside=chain) == "UpToDate"
    world.pcs.outer_changes = {"pck_certificate_chain": chain}
    assert SIGNATURE not in passes(world.judge())
    beside = World()
    beside.pcs.outer_changes = {"pck_certificate_chain": chain}
    assert failures(beside.judge())[CURRENT] == "malformed"


def test_a10_the_chain_of_the_pck_list_is_of_no_consequence() -> None:
    world = World()
    name = pck_crl_name("platform")
    answer = response(world.pcs.pck_crl_answer())
    world.spoil[name] = Response(status=200, headers={}, body=answer.body)
    assert world.dcap() == "UpToDate"
    assert passes(world.judge()) == set(TDX_CHECKS)
    # What counts is that the CA in the quote signed the list.
    world.spoil[name] = Response(status=200, headers=answer.headers, body=world.pcs.root_list())
    assert failures(world.judge())[CURRENT] == "malformed"
    assert ROOT_CRL in world.answers()


def test_a12_both_forms_of_a_signature_hold_and_nothing_is_remembered_by_raw_bytes() -> None:
    world = World()
    twin = high_s_twin(world.quote())
    assert twin != world.quote()
    assert world.dcap(quote=twin) == "UpToDate"
    from teeverify.derivation.tdx import read_hex_quote

    derivation = world.derivation()
    for raw in (world.quote(), twin, world.quote()):
        claims = derivation.derive(read_hex_quote(raw.hex(), what="the quote"))
        assert passes(judge(claims)) == set(TDX_CHECKS)


def test_a13_the_holder_of_a_pck_key_may_choose_the_attestation_key() -> None:
    """By design: nothing but a registry of hardware can tell."""
    world = World()
    key = world.pki.keys.p256("chosen by the attacker")
    world.quote_changes.update(attestation_key=key)
    assert world.dcap() == "UpToDate"
    assert all(result.status is Status.PASS for result in world.judge().values())

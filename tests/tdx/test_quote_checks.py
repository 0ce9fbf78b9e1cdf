"""The tdx.* checks: every reason, every prerequisite, and the failure modes of a quote and its PCK chain."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from attrs import evolve

from teeverify.checks.catalogue import get_check
from teeverify.claims.problem import Problem, ProblemKind
from teeverify.claims.tdx import TdxClaims
from teeverify.crypto.dcap import REFUSALS
from teeverify.derivation.tdx import read_hex_quote
from teeverify.limits import MAX_QUOTE
from teeverify.policy import Waiver
from teeverify.testing.certificates import Issued, day
from teeverify.testing.intel import IntelPki
from teeverify.testing.keys import KeyRing
from teeverify.testing.tdx import SEPT_VE_DISABLE
from teeverify.verdict import Status

from .faults import Fault, enclave, layout, quote, td
from .test_accepted_by_dcap import rogue_enclave
from .world import NOW, TDX_CHECKS, World, failures, judge, passes, policy_of, unevaluated

SIGNATURE, KIND, DEBUG = "tdx.quote_signature", "tdx.quote_kind", "tdx.debug_off"
ATTRIBUTES, MODULE = "tdx.attributes", "tdx.module"


def intruder(world: World) -> IntelPki:
    return IntelPki(KeyRing("intruder"))


def everything_of_the_intruder(world: World) -> None:
    pki = intruder(world)
    world.quote_changes.update(
        pck=pki.pck(world.platform),
        chain=(pki.pck_ca, pki.root),
        attestation_key=pki.attestation_key(world.platform),
    )


def intruders_chain_with_the_real_root(world: World) -> None:
    everything_of_the_intruder(world)
    world.quote_changes["chain"] = (intruder(world).pck_ca, world.pki.root)


def self_made_leaf(world: World) -> None:
    """A leaf in the CA's name, signed by another key."""
    ca = Issued(world.pki.keys.p256("nobody"), world.pki.pck_ca.certificate)
    world.quote_changes["pck"] = world.pki.pck(world.platform, issuer=ca)


def leaf_that_is_a_ca(world: World) -> None:
    world.quote_changes["pck"] = world.pki.issue(
        "Intel SGX PCK Certificate", world.pki.pck_ca, label="ca-leaf", ca=True, sgx_extension=world.platform.der()
    )


def ca_that_is_none(world: World) -> None:
    ca = world.pki.issue("Intel SGX PCK Platform CA", world.pki.root, label="leaf-ca")
    world.quote_changes.update(pck=world.pki.pck(world.platform, issuer=ca), chain=(ca, world.pki.root))


def leaf_of(since: str, until: str) -> Fault:
    def fault(world: World) -> None:
        world.quote_changes["pck"] = world.pki.issue(
            "Intel SGX PCK Certificate", world.pki.pck_ca, label="timed", sgx_extension=world.platform.der(),
            since=since, until=until,
        )  # fmt: skip

    return fault


def in_order(*order: int) -> Fault:
    def fault(world: World) -> None:
        chain = (world.leaf, world.pki.pck_ca, world.pki.root)
        world.quote_changes["chain_text"] = "".join(chain[i].pem for i in order).encode() + b"\0"

    return fault


def other_key(world: World) -> None:
    """The attacker signs with a key of his own and shows it; the enclave report names the genuine one."""
    genuine = world.pki.attestation_key(world.platform)
    world.quote_changes.update(attestation_key=world.pki.keys.p256("nobody"), qe_binds=genuine)


FAULTS: tuple[tuple[str, Fault, str, str], ...] = (
    ("quote signed by another key", quote(sign_with=KeyRing().p256("x")), SIGNATURE, "quote_signature_invalid"),
    ("zero signature", quote(signature=bytes(64)), SIGNATURE, "quote_signature_invalid"),
    ("attestation key replaced", other_key, SIGNATURE, "attestation_key_not_bound"),
    ("enclave report data", enclave(report_data=bytes(64)), SIGNATURE, "attestation_key_not_bound"),
    ("enclave report by another key", quote(qe_sign_with=KeyRing().p256("x")), SIGNATURE,
     "qe_report_signature_invalid"),
    ("foreign enclave", enclave(mr_signer=b"\1" * 32), SIGNATURE, "qe_identity_mismatch"),
    ("other product", enclave(isv_prod_id=1), SIGNATURE, "qe_identity_mismatch"),
    ("enclave in debug mode", enclave(attributes=bytes.fromhex("1700000000000000e700000000000000")), SIGNATURE,
     "qe_identity_mismatch"),
    ("foreign PKI", everything_of_the_intruder, SIGNATURE, "pck_chain_root"),
    ("foreign chain, real root", intruders_chain_with_the_real_root, SIGNATURE, "pck_chain_untrusted"),
    ("leaf signed by another key", self_made_leaf, SIGNATURE, "pck_chain_untrusted"),
    ("leaf is a CA", leaf_that_is_a_ca, SIGNATURE, "pck_chain_untrusted"),
    ("CA is none", ca_that_is_none, SIGNATURE, "pck_chain_untrusted"),
    ("leaf expired", leaf_of("2024-01-01", "2026-06-30"), SIGNATURE, "certificate_chain_refused"),
    ("leaf of tomorrow", leaf_of("2026-07-02", "2036-01-01"), SIGNATURE, "certificate_chain_refused"),
    ("chain reversed from the CA on", in_order(0, 2, 1), SIGNATURE, "pck_chain_root"),
    ("no CA", in_order(0, 2), SIGNATURE, "pck_chain_shape"),
    ("the leaf alone", in_order(0), SIGNATURE, "pck_chain_shape"),
    ("leaf twice", in_order(0, 0, 1, 2), SIGNATURE, "pck_chain_shape"),
    ("root twice", in_order(0, 1, 2, 2), SIGNATURE, "pck_chain_shape"),
    ("key type", layout(attestation_key_type=3), KIND, "wrong_constant"),
    ("vendor", layout(vendor=bytes(16)), KIND, "wrong_constant"),
    ("outer type 5", layout(outer_type=5), KIND, "wrong_constant"),
    ("inner type 1", layout(inner_type=1), KIND, "wrong_constant"),
    ("short authentication data", enclave(auth_data=bytes(31)), KIND, "wrong_constant"),
    ("version 3", layout(version=3), KIND, "not_tdx_quote"),
    ("version 6", layout(version=6), KIND, "not_tdx_quote"),
    ("SGX", layout(tee_type=0), KIND, "not_tdx_quote"),
    ("extended body", layout(version=5, body_type=4), KIND, "not_tdx_quote"),
    ("debug", td(td_attributes=SEPT_VE_DISABLE | 1), DEBUG, "debug_on"),
    ("debug and nothing else", td(td_attributes=1), DEBUG, "debug_on"),
    *((f"attribute {bit}", td(td_attributes=SEPT_VE_DISABLE ^ (1 << bit)), ATTRIBUTES, "td_attributes")
      for bit in range(64)),
    *((f"XFAM {bit}", td(xfam=(0x602E7 ^ (1 << bit)).to_bytes(8, "little")), ATTRIBUTES, "xfam")
      for bit in range(64)),
    ("owner", td(mr_owner=b"\1" + bytes(47)), ATTRIBUTES, "owner"),
    ("owner configuration", td(mr_owner_config=b"\1" + bytes(47)), ATTRIBUTES, "owner"),
    ("module's signer", td(mr_signer_seam=bytes(47) + b"\1"), MODULE, "module_not_identified"),
    ("module's attributes", td(seam_attributes=bytes(7) + b"\1"), MODULE, "module_not_identified"),
)  # fmt: skip


@pytest.mark.parametrize(("fault", "check_id", "reason"), [pytest.param(f, c, r, id=what) for what, f, c, r in FAULTS])
def test_refused_quotes(fault: Fault, check_id: str, reason: str) -> None:
    world = World()
    fault(world)
    results = world.judge()
    assert failures(results).get(check_id) == reason
    assert not (check_id == SIGNATURE and passes(results) & {DEBUG, ATTRIBUTES, MODULE})


def test_a_service_td() -> None:
    world = World()
    layout(version=5, body_type=3)(world)
    world.with_td(mr_service_td=bytes(47) + b"\1")
    assert failures(world.judge()) == {ATTRIBUTES: "service_td"}


@pytest.mark.parametrize(("version", "body_type"), [(4, 2), (5, 2), (5, 3)])
def test_good_quotes_of_every_kind(version: int, body_type: int) -> None:
    world = World()
    layout(version=version, body_type=body_type)(world)
    assert passes(world.judge()) == set(TDX_CHECKS)


@pytest.mark.parametrize(
    ("field", "size", "member", "reason"),
    [
        ("mr_signer_seam", 48, "mrsigner", "module_signer"),
        ("seam_attributes", 8, "attributes", "module_attributes"),
    ],
)
def test_the_module_is_looked_at_even_where_intel_allows_it(field: str, size: int, member: str, reason: str) -> None:
    """TCB info that names another signer does not make its module Intel's."""
    world = World()
    named = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8, member: "01" * size}
    identities = world.pcs.tcb_info(world.fmspc)["tdxModuleIdentities"]
    world.pcs.tcb_changes["tdxModule"] = named
    world.pcs.tcb_changes["tdxModuleIdentities"] = [{**identity, **named} for identity in identities]
    world.with_td(**{field: b"\1" * size})
    assert world.dcap() == "UpToDate"
    assert failures(world.judge()) == {MODULE: reason}


def test_module_pins() -> None:
    world = World()
    seam = world.td.mr_seam
    assert MODULE in passes(world.judge(policy_of(mr_seam=(bytes(48), seam))))
    assert failures(world.judge(policy_of(mr_seam=(bytes(48),)))) == {MODULE: "module_not_pinned"}


def test_a_quote_of_a_rogue_enclave_is_no_genuine_quote() -> None:
    world = World()
    rogue_enclave(world)
    assert not passes(world.judge()) & {SIGNATURE, DEBUG, ATTRIBUTES, MODULE}


# --- what stands in a record ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind", "code"),
    [
        (None, ProblemKind.ABSENT, "quote_missing"),
        ("", ProblemKind.ABSENT, "quote_missing"),
        (0, ProblemKind.MALFORMED, "not_hex"),
        (False, ProblemKind.MALFORMED, "not_hex"),
        ([], ProblemKind.MALFORMED, "not_hex"),
        ("zz", ProblemKind.MALFORMED, "not_hex"),
        ("0x0400", ProblemKind.MALFORMED, "not_hex"),
        ("00" * (MAX_QUOTE + 1), ProblemKind.MALFORMED, "wrong_length"),
        ("00", ProblemKind.MALFORMED, "quote_truncated"),
        ("00" * 5000, ProblemKind.MALFORMED, "not_tdx_quote"),
    ],
)
def test_quotes_that_are_none(value: object, kind: ProblemKind, code: str) -> None:
    problem = read_hex_quote(value, what="the quote")
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.code) == (kind, code)
    results = judge(World().derivation().derive(problem))
    assert not passes(results)
    assert failures(results) == ({KIND: "not_tdx_quote"} if code == "not_tdx_quote" else {})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text[:100] + " " + text[100:],
        lambda text: "0x" + text,
        lambda text: text[:-1],
        lambda text: base64.b64encode(bytes.fromhex(text)).decode(),
    ],
)
def test_hex_with_anything_else_in_it(spoil: Callable[[str], str]) -> None:
    problem = read_hex_quote(spoil(World().quote().hex()), what="the quote")
    assert isinstance(problem, Problem)
    assert problem.kind is ProblemKind.MALFORMED


# --- prerequisites --------------------------------------------------------------------------------------------------


def with_dcap(kind: ProblemKind, code: str) -> TdxClaims:
    return evolve(World().claims(), dcap=Problem(kind=kind, code=code, detail="made up"))


@pytest.mark.parametrize("code", sorted({code for _, code in REFUSALS} | {"dcap_refused", "pck_chain_shape"}))
def test_every_refusal_is_somebodys_failure_and_nobody_passes_on_it(code: str) -> None:
    results = judge(with_dcap(ProblemKind.INVALID, code))
    assert SIGNATURE not in passes(results)
    assert not passes(results) & {DEBUG, ATTRIBUTES, MODULE, "tcb.not_revoked", "tcb.status", "tcb.advisories"}
    owned = code in get_check(SIGNATURE).reasons
    assert (SIGNATURE in failures(results)) == owned
    if not owned and code != "td_attributes_refused":  # that one is owned by what stands in the quote
        assert failures(results), code


def test_an_unknown_refusal_fails_the_signature() -> None:
    assert failures(judge(with_dcap(ProblemKind.INVALID, "brand_new")))[SIGNATURE] == "dcap_refused"


@pytest.mark.parametrize("kind", [ProblemKind.UNAVAILABLE, ProblemKind.MALFORMED, ProblemKind.ABSENT])
def test_no_result_is_no_failure_and_no_pass(kind: ProblemKind) -> None:
    results = judge(with_dcap(kind, "whatever"))
    assert failures(results) == {}
    assert passes(results) <= {KIND, "tcb.collateral_current", "tcb.eval_number"}
    assert unevaluated(results)[DEBUG] == "prerequisite_unevaluated"


def test_a_failed_signature_leaves_what_it_covers_unjudged() -> None:
    world = World().with_td(td_attributes=1, mr_signer_seam=b"\1" * 48)
    world.quote_changes["signature"] = bytes(64)
    results = world.judge()
    assert set(failures(results)) == {SIGNATURE}
    assert {unevaluated(results)[check_id] for check_id in (DEBUG, ATTRIBUTES, MODULE)} == {"prerequisite_failed"}


def test_a_failed_collateral_leaves_the_levels_unjudged_even_where_it_is_waived() -> None:
    world = World()
    rogue_enclave(world)
    waived = evolve(policy_of(), waivers=(Waiver(check="tcb.collateral_current", reason="test"),))
    results = world.judge(waived)
    assert not results["tcb.collateral_current"].enforced
    rest = ("tcb.not_revoked", "tcb.status", "tcb.advisories", "tcb.eval_number")
    assert {results[check_id].reason for check_id in rest} == {"prerequisite_failed"}
    assert results["tcb.not_revoked"].enforced


def test_unevaluated_collateral_lets_a_failure_stand() -> None:
    world = World()
    world.pcs.revoked_pcks = (world.leaf,)
    results = world.judge()
    assert results["tcb.collateral_current"].status is Status.UNEVALUATED
    assert failures(results)["tcb.not_revoked"] == "certificate_revoked"


@pytest.mark.parametrize("part", ["tcb_signer", "qe_signer"])
def test_collateral_whose_signatures_were_never_checked_does_not_pass(part: str) -> None:
    world = World()
    layout(vendor=bytes(16))(world)
    setattr(world.pcs, part, Issued(world.pki.keys.p256("nobody"), world.pki.tcb_signer.certificate))
    assert not passes(world.judge()) & {"tcb.collateral_current", "tcb.eval_number"}


def test_certificates_of_this_world_are_valid_now() -> None:
    assert day("2024-01-01") < NOW < datetime(2036, 1, 1, tzinfo=timezone.utc)

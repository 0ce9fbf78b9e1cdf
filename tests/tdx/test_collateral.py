"""tcb.collateral_current and tcb.not_revoked: whose statements, about what, how old; and what is revoked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote as percent_encode

import pytest
from attrs import evolve
from cryptography import x509

from teeverify.endorsements.intel_pcs import QE_IDENTITY, ROOT_CRL, pck_crl_name, tcb_info_name
from teeverify.errors import NotRecordedError, TransportError
from teeverify.flow import Answer, Response
from teeverify.testing.certificates import Issued, crl
from teeverify.testing.intel import IntelPki
from teeverify.testing.keys import KeyRing

from .faults import Fault, qe, tcb
from .world import NOW, TDX_CHECKS, World, dates, failures, passes, unevaluated

CURRENT, REVOKED, SIGNATURE = "tcb.collateral_current", "tcb.not_revoked", "tdx.quote_signature"
TCB_INFO = tcb_info_name(bytes.fromhex("90c06f000000"))
PCK_CRL = pck_crl_name("platform")
NAMES = (TCB_INFO, QE_IDENTITY, PCK_CRL, ROOT_CRL)
HEADER = "tcb-info-issuer-chain"
DAY = timedelta(days=1)


def edited(name: str, edit: Callable[[bytes], bytes]) -> Fault:
    """One of Intel's answers with another body, not signed again."""

    def fault(world: World) -> None:
        answer = world.answers()[name]
        assert isinstance(answer, Response)
        body = edit(answer.body)
        assert body != answer.body
        world.spoil[name] = evolve(answer, body=body)

    return fault


def answered(name: str, status: int = 200, body: bytes = b"", headers: Mapping[str, tuple[str, ...]] = {}) -> Fault:
    return lambda world: world.spoil.update({name: Response(status=status, headers=dict(headers), body=body)})


def signed_by_nobody(part: str) -> Fault:
    def fault(world: World) -> None:
        setattr(world.pcs, part, Issued(world.pki.keys.p256("nobody"), world.pki.tcb_signer.certificate))

    return fault


def listed(name: str, issuer: str, **arguments: Any) -> Fault:
    """A revocation list with chosen dates, issuer and signer."""

    def fault(world: World) -> None:
        who: Issued = getattr(world.pki, issuer)
        signer = arguments.get("signer")
        body = crl(
            who,
            this_update=arguments.get("since", NOW - DAY),
            next_update=arguments.get("until", NOW + 29 * DAY),
            signer=signer(world) if signer else None,
            number=arguments.get("number", 1),
        )
        world.spoil[name] = Response(status=200, headers={}, body=body)

    return fault


def stranger(world: World) -> Issued:
    return Issued(world.pki.keys.p256("nobody"), world.pki.pck_ca.certificate)


PAST, FUTURE = dates(-31 * DAY, -DAY), dates(DAY, 31 * DAY)
JUST_PAST = dates(-30 * DAY, -timedelta(seconds=1))
LONG = dates(-DAY, 31 * DAY + timedelta(seconds=1))

REFUSED: tuple[tuple[str, Fault, str], ...] = (
    ("status edited", edited(TCB_INFO, lambda b: b.replace(b"OutOfDate", b"UpToDate")), "refused"),
    ("a space added", edited(TCB_INFO, lambda b: b.replace(b'"id":', b'"id": ', 1)), "refused"),
    ("identity edited", edited(QE_IDENTITY, lambda b: b.replace(b'"isvsvn":4', b'"isvsvn":1')), "refused"),
    ("other signature", edited(TCB_INFO, lambda b: re.sub(rb'"signature":"..', b'"signature":"00', b)), "refused"),
    ("zero signature", edited(QE_IDENTITY, lambda b: re.sub(rb'[0-9a-f]{128}', b"0" * 128, b)), "refused"),
    ("TCB info signed by nobody", signed_by_nobody("tcb_signer"), "refused"),
    ("QE identity signed by nobody", signed_by_nobody("qe_signer"), "refused"),
    ("status unknown", qe(tcbLevels=[{"tcb": {"isvsvn": 4}, "tcbDate": "2025-05-14T00:00:00Z", "tcbStatus": "Fine"}]),
     "refused"),
    ("SGX TCB info", tcb(id="SGX"), "wrong_kind"),
    ("TCB info of version 2", tcb(version=2), "wrong_kind"),
    ("TCB info of version 4", tcb(version=4), "wrong_kind"),
    ("TCB info of another type", tcb(tcbType=1), "wrong_kind"),
    ("SGX QE identity", qe(id="QE"), "wrong_kind"),
    ("QVE identity", qe(id="QVE"), "wrong_kind"),
    ("QE identity of version 1", qe(version=1), "wrong_kind"),
    ("other platform", tcb(fmspc="00a06d080000"), "wrong_platform"),
    ("other PCE", tcb(pceId="0001"), "wrong_platform"),
    ("TCB info expired", tcb(**PAST), "expired"),
    ("QE identity expired", qe(**PAST), "expired"),
    ("TCB info expired a second ago", tcb(**JUST_PAST), "expired"),
    ("PCK list expired", listed(PCK_CRL, "pck_ca", since=NOW - 31 * DAY, until=NOW - DAY), "expired"),
    ("root list expired", listed(ROOT_CRL, "root", since=NOW - 366 * DAY, until=NOW - DAY), "expired"),
    ("TCB info of tomorrow", tcb(**FUTURE), "from_future"),
    ("QE identity of tomorrow", qe(**FUTURE), "from_future"),
    ("TCB info of the next second", tcb(**dates(timedelta(seconds=1), 30 * DAY)), "from_future"),
    ("PCK list of tomorrow", listed(PCK_CRL, "pck_ca", since=NOW + DAY, until=NOW + 31 * DAY), "from_future"),
    ("root list of tomorrow", listed(ROOT_CRL, "root", since=NOW + DAY, until=NOW + 31 * DAY), "from_future"),
    ("TCB info for too long", tcb(**LONG), "window"),
    ("QE identity for too long", qe(**LONG), "window"),
    ("PCK list for too long", listed(PCK_CRL, "pck_ca", until=NOW + 32 * DAY), "window"),
    ("root list for too long", listed(ROOT_CRL, "root", until=NOW + 400 * DAY), "window"),
    ("PCK list by another key", listed(PCK_CRL, "pck_ca", signer=stranger), "malformed"),
    ("root list by another key", listed(ROOT_CRL, "root", signer=stranger), "malformed"),
    ("root list in the PCK list's place", listed(PCK_CRL, "root"), "malformed"),
    ("PCK list in the root list's place", listed(ROOT_CRL, "pck_ca"), "malformed"),
    ("PCK list of the TCB signer", listed(PCK_CRL, "tcb_signer"), "malformed"),
    ("PCK list that is DER of something else", answered(PCK_CRL, body=b"\x30\x03\x02\x01\x01"), "malformed"),
    ("list without extensions", listed(PCK_CRL, "pck_ca", number=None), "refused"),
    ("list with a tail", edited(PCK_CRL, lambda b: b + b"\0"), "malformed"),
    ("member beside the signed one", lambda world: setattr(world.pcs, "outer_changes", {"x": 1}), "malformed"),
    ("a decoy before", edited(TCB_INFO, lambda b: b'{"tcbInfo":{},' + b[1:]), "malformed"),
    ("member repeated", edited(TCB_INFO, lambda b: b.replace(b'"id":', b'"id":"x","id":', 1)), "malformed"),
    ("too deep", answered(TCB_INFO, body=b"[" * 99 + b"]" * 99, headers={HEADER: ("x",)}), "malformed"),
    ("number as boolean", tcb(tcbEvaluationDataNumber=True), "malformed"),
    ("version as boolean", tcb(version=True), "malformed"),
    ("number as float", tcb(tcbEvaluationDataNumber=19.0), "malformed"),
)  # fmt: skip


@pytest.mark.parametrize(("fault", "reason"), [pytest.param(fault, reason, id=what) for what, fault, reason in REFUSED])
def test_refused_collateral(fault: Fault, reason: str) -> None:
    world = World()
    fault(world)
    results = world.judge()
    assert failures(results).get(CURRENT) == reason
    assert not passes(results) & {REVOKED, "tcb.status", "tcb.advisories", "tcb.eval_number"}


# --- outages --------------------------------------------------------------------------------------------------------

OUTAGES: dict[str, Answer | None] = {
    "not_asked": None,
    "not_recorded": NotRecordedError("nothing recorded"),
    "not_fetched": TransportError("no network"),
    "http_status": Response(status=404, headers={}, body=b""),
    "http_outage": Response(status=503, headers={}, body=b""),
    "not_an_answer": Response(status=200, headers={}, body=b"<html>log in here</html>"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("code", OUTAGES)
def test_a_missing_answer_leaves_everything_open_and_never_passes(name: str, code: str) -> None:
    world = World()
    world.spoil[name] = OUTAGES[code]
    if code == "not_an_answer" and name == TCB_INFO:
        world.spoil[name] = Response(status=200, headers={HEADER: ("x",)}, body=b"<html>log in here</html>")
    results = world.judge()
    assert failures(results) == {}
    assert unevaluated(results)[CURRENT] == code
    assert unevaluated(results)[SIGNATURE] == "collateral_incomplete"
    # What stands in the quote alone is all that can pass; an evaluation number waits for its prerequisite.
    assert passes(results) == {"tdx.quote_kind"}


@pytest.mark.parametrize("status", [100, 199, 201, 204, 206, 301, 304, 400, 500])
def test_only_status_200_is_an_answer(status: int) -> None:
    world = World()
    answer = world.answers()[TCB_INFO]
    assert isinstance(answer, Response)
    world.spoil[TCB_INFO] = evolve(answer, status=status)
    assert unevaluated(world.judge())[CURRENT] in ("http_status", "http_outage")


# --- issuer chains --------------------------------------------------------------------------------------------------


def chain_of(text: Callable[[World], str], *more: str) -> Fault:
    def fault(world: World) -> None:
        answer = world.answers()[TCB_INFO]
        assert isinstance(answer, Response)
        world.spoil[TCB_INFO] = evolve(answer, headers={**answer.headers, HEADER: (text(world), *more)})

    return fault


def encoded(*parts: Callable[[World], str]) -> Callable[[World], str]:
    return lambda world: percent_encode("".join(part(world) for part in parts), safe="")


def signer(world: World) -> str:
    return world.pki.tcb_signer.pem


def root(world: World) -> str:
    return world.pki.root.pem


def ca(world: World) -> str:
    return world.pki.pck_ca.pem


def text(value: str) -> Callable[[World], str]:
    return lambda world: value


def other_root(world: World) -> str:
    return IntelPki(KeyRing("somebody else")).root.pem


def other_signer(world: World) -> str:
    return IntelPki(KeyRing("somebody else")).tcb_signer.pem


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        (encoded(signer), "signer"),
        (encoded(root, signer), "signer"),
        (encoded(root), "signer"),
        (encoded(root, root), "signer"),
        (encoded(signer, root, root), "signer"),
        (encoded(signer, ca, root), "signer"),
        (encoded(signer, signer, root), "signer"),
        (encoded(ca, root), "signer"),
        (encoded(signer, other_root), "signer"),
        (encoded(other_signer, other_root), "signer"),
        (encoded(other_signer, root), "signer"),
        (encoded(text("Bag Attributes\n"), signer, root), "signer"),
        (encoded(signer, text("x\n"), root), "signer"),
        (encoded(signer, root, text("x")), "signer"),
        (encoded(text("")), "signer"),
        (lambda world: percent_encode(percent_encode(signer(world) + root(world), safe=""), safe=""), "signer"),
        (lambda world: (signer(world) + root(world)).replace("+", "%20").replace("\n", "%0A"), "signer"),
        (lambda world: percent_encode(signer(world) + root(world), safe="") + "%", "signer"),
        (lambda world: percent_encode(signer(world), safe="") + "%ff" + percent_encode(root(world), safe=""), "signer"),
        (lambda world: percent_encode(signer(world).replace("BEGIN", "BEGIN TRUSTED"), safe=""), "signer"),
    ],
)
def test_issuer_chains_are_the_signer_and_the_pinned_root(chain: Callable[[World], str], reason: str) -> None:
    world = World()
    chain_of(chain)(world)
    assert failures(world.judge()).get(CURRENT) == reason


@pytest.mark.parametrize(
    "chain",
    [
        lambda world: signer(world) + root(world),
        lambda world: "".join(f"%{byte:02x}" for byte in (signer(world) + root(world)).encode()),
        lambda world: percent_encode((signer(world) + root(world)).replace("\n", "\r\n"), safe=""),
        lambda world: percent_encode(signer(world) + "\n" + root(world), safe=""),
    ],
)
def test_other_spellings_of_the_same_chain(chain: Callable[[World], str]) -> None:
    world = World()
    chain_of(chain)(world)
    assert passes(world.judge()) == set(TDX_CHECKS)


def test_two_issuer_chain_headers() -> None:
    world = World()
    good = encoded(signer, root)(world)
    chain_of(text(good), good)(world)
    assert failures(world.judge())[CURRENT] == "malformed"
    older = World()
    answer = older.answers()[TCB_INFO]
    assert isinstance(answer, Response)
    older.spoil[TCB_INFO] = evolve(answer, headers={HEADER: (good,), "sgx-tcb-info-issuer-chain": (good,)})
    assert failures(older.judge())[CURRENT] == "malformed"
    older.spoil[TCB_INFO] = evolve(answer, headers={"sgx-tcb-info-issuer-chain": (good,)})
    assert passes(older.judge()) == set(TDX_CHECKS)


def test_no_issuer_chain_header_is_an_outage() -> None:
    world = World()
    answer = world.answers()[TCB_INFO]
    assert isinstance(answer, Response)
    world.spoil[TCB_INFO] = evolve(answer, headers={})
    results = world.judge()
    assert failures(results) == {}
    assert CURRENT in unevaluated(results)


# --- edges of time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "passing"),
    [
        (NOW + 30 * DAY - timedelta(seconds=1), True),
        (NOW + 30 * DAY, False),  # a revocation list ends at its nextUpdate
        (NOW + 30 * DAY + timedelta(microseconds=1), False),
        (NOW + 30 * DAY + timedelta(seconds=1), False),
        (NOW, True),
        (NOW - timedelta(microseconds=1), False),
        (NOW - timedelta(seconds=1), False),
    ],
)
def test_both_ends_of_the_window(at: datetime, passing: bool) -> None:
    world = World()
    world.pcs.issued = NOW
    world.pcs.root_crl = world.pcs.root_list(since=NOW - DAY)
    assert (passes(world.judge(at=at)) == set(TDX_CHECKS)) is passing


# --- revocation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        lambda world: setattr(world.pcs, "revoked_pcks", (world.leaf,)),
        lambda world: setattr(world.pcs, "revoked_cas", (world.pki.pck_ca,)),
        lambda world: setattr(world.pcs, "revoked_cas", (world.pki.tcb_signer,)),
    ],
)
def test_a_revoked_certificate_is_found_by_us_and_by_dcap(fault: Fault) -> None:
    world = World()
    fault(world)
    assert world.dcap().startswith("refused: ")
    results = world.judge()
    assert failures(results)[REVOKED] == "certificate_revoked"
    assert SIGNATURE not in passes(results)


def test_a_revoked_root() -> None:
    world = World()
    world.pcs.revoked_cas = (world.pki.root,)
    assert world.dcap().startswith("refused: ")
    assert SIGNATURE in failures(world.judge())


def test_each_list_counts_for_its_own_certificates_only() -> None:
    """A serial number is unique per issuer: a leaf's number on the root's list means another certificate."""
    world = World()
    world.pcs.revoked_cas = (world.leaf,)
    world.pcs.revoked_pcks = (world.pki.pck_ca, world.pki.tcb_signer)
    assert passes(world.judge()) == set(TDX_CHECKS)


def test_another_platforms_revocation_is_none_of_this_one() -> None:
    world = World()
    world.pcs.revoked_pcks = (world.pki.pck(evolve(world.platform, label="other")),)
    assert passes(world.judge()) == set(TDX_CHECKS)


def test_many_revoked_certificates() -> None:
    world = World()
    others = [world.pki.pck(evolve(world.platform, label=f"other {i}")) for i in range(60)]
    world.pcs.revoked_pcks = (*others, world.leaf)
    assert failures(world.judge())[REVOKED] == "certificate_revoked"
    parsed = x509.load_der_x509_crl(world.pcs.pck_list())
    assert len(parsed) == 61

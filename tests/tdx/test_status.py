"""tcb.status, tcb.advisories and tcb.eval_number: which firmware levels pass, and what a policy can allow."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import evolve

from teeverify.policy import TcbPolicy
from teeverify.policy_fields import TCB_STATUSES

from .faults import Fault, built
from .world import TDX_CHECKS, World, failures, passes, policy_of, unevaluated

OLD_MICROCODE = bytes([2, 2, 2, 2, 3, 1, 0, 5]) + bytes(8)
NEWEST, OLDER = "2025-05-14T00:00:00Z", "2024-03-13T00:00:00Z"
EVERY_STATUS = (*TCB_STATUSES, "Revoked")


def level(status: str, *advisories: str) -> Fault:
    """The platform's level gets another status; None of the platform's numbers change."""

    def fault(world: World) -> None:
        levels = world.pcs.tcb_info(world.fmspc)["tcbLevels"]
        levels[0] |= {"tcbStatus": status, "advisoryIDs": list(advisories)}
        world.pcs.tcb_changes["tcbLevels"] = levels

    return fault


def qe_level(status: str, *advisories: str) -> Fault:
    entry = {"tcb": {"isvsvn": 4}, "tcbDate": NEWEST, "tcbStatus": status, "advisoryIDs": list(advisories)}
    return lambda world: world.pcs.qe_changes.update(tcbLevels=[entry])


def module_level(status: str, *advisories: str) -> Fault:
    def fault(world: World) -> None:
        identities = world.pcs.tcb_info(world.fmspc)["tdxModuleIdentities"]
        identities[1]["tcbLevels"][0] |= {"tcbStatus": status, "advisoryIDs": list(advisories)}
        world.pcs.tcb_changes["tdxModuleIdentities"] = identities

    return fault


def td15(launched: tuple[int, ...], running: tuple[int, ...]) -> Fault:
    def fault(world: World) -> None:
        world.layout = evolve(world.layout, version=5, body_type=3)
        world.with_td(tee_tcb_svn=bytes(launched) + bytes(13), tee_tcb_svn2=bytes(running) + bytes(13))

    return fault


def old_microcode(world: World) -> None:
    world.platform = evolve(world.platform, component_svns=OLD_MICROCODE)


def old_pce(world: World) -> None:
    world.platform = evolve(world.platform, pce_svn=12)


# --- statuses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "reasons"),
    [
        (old_microcode, "OutOfDate", {"tcb.status": "not_accepted", "tcb.advisories": "open"}),
        (old_pce, "OutOfDate", {"tcb.status": "not_accepted", "tcb.advisories": "open"}),
        (level("OutOfDate"), "OutOfDate", {"tcb.status": "not_accepted", "tcb.advisories": "unnamed"}),
        (module_level("OutOfDate"), "OutOfDate", {"tcb.status": "not_accepted", "tcb.advisories": "unnamed"}),
        (qe_level("OutOfDate"), "OutOfDate", {"tcb.status": "not_accepted", "tcb.advisories": "unnamed"}),
        (qe_level("ConfigurationNeeded"), "UpToDate", {"tcb.status": "qe_not_accepted"}),
        (qe_level("OutOfDateConfigurationNeeded"), "UpToDate", {"tcb.status": "qe_not_accepted"}),
        (level("UpToDate", "INTEL-SA-09999"), "UpToDate", {"tcb.advisories": "open"}),
        (module_level("UpToDate", "INTEL-SA-09999"), "UpToDate", {"tcb.advisories": "open"}),
        (qe_level("UpToDate", "INTEL-SA-09999"), "UpToDate", {"tcb.advisories": "open"}),
        (td15((11, 1, 4), (5, 1, 4)), "UpToDate", {"tcb.status": "current_not_accepted"}),
        (td15((11, 1, 4), (11, 1, 2)), "UpToDate", {"tcb.status": "current_not_accepted"}),
        (
            td15((11, 1, 2), (11, 1, 4)),
            "TDRelaunchAdvised",
            {"tcb.status": "not_accepted", "tcb.advisories": "open"},
        ),
        (
            td15((5, 1, 4), (11, 1, 4)),
            "TDRelaunchAdvised",
            {"tcb.status": "not_accepted", "tcb.advisories": "open"},
        ),
        (
            td15((11, 1, 2), (11, 1, 2)),
            "OutOfDate",
            {"tcb.status": "not_accepted", "tcb.advisories": "open"},
        ),
    ],
)  # fmt: skip
def test_only_up_to_date_passes_by_default(fault: Fault, status: str, reasons: dict[str, str]) -> None:
    world = built(fault)
    assert world.dcap() == status
    found = failures(world.judge())
    assert {check_id: found.get(check_id) for check_id in reasons} == reasons
    assert passes(world.judge()) >= {"tdx.quote_signature", "tcb.collateral_current", "tcb.not_revoked"}


@pytest.mark.parametrize("status", EVERY_STATUS)
def test_a_policy_accepts_a_status_by_name_and_its_advisories_by_name(status: str) -> None:
    world = built(level(status, "INTEL-SA-00001", "INTEL-SA-00002"))
    for accepted in TCB_STATUSES:
        for allowed in ((), ("INTEL-SA-00001",), ("INTEL-SA-00001", "INTEL-SA-00002")):
            tcb = TcbPolicy(accept=(accepted,), allow_advisories=allowed)
            passed = {"tcb.status", "tcb.advisories"} & passes(world.judge(policy_of(tcb)))
            good_status = accepted == status and (accepted == "UpToDate" or status not in ("UpToDate", "Revoked"))
            # The quoting enclave of this world is UpToDate, which a policy that does not list it refuses.
            assert ("tcb.status" in passed) == (good_status and accepted == "UpToDate")
            assert ("tcb.advisories" in passed) == (status != "Revoked" and len(allowed) == 2)
    if status != "Revoked":
        both = TcbPolicy(
            accept=tuple({"UpToDate": 0, status: 0}), allow_advisories=("INTEL-SA-00001", "INTEL-SA-00002")
        )
        assert passes(world.judge(policy_of(both))) == set(TDX_CHECKS)


def test_no_policy_accepts_a_td_that_should_be_launched_again() -> None:
    everything = TcbPolicy(accept=TCB_STATUSES, allow_advisories=("INTEL-SA-01036", "INTEL-SA-01079"))
    world = built(td15((11, 1, 2), (11, 1, 4)))
    assert failures(world.judge(policy_of(everything))) == {"tcb.status": "not_accepted"}


@pytest.mark.parametrize("fault", [level("Revoked"), module_level("Revoked"), qe_level("Revoked")])
def test_revoked_at_each_place_is_refused_under_every_policy(fault: Fault) -> None:
    world = built(fault)
    everything = TcbPolicy(accept=TCB_STATUSES, grace_days=365)
    for policy in (policy_of(), policy_of(everything)):
        results = world.judge(policy)
        assert failures(results) == {"tcb.not_revoked": "tcb_revoked"}
        assert unevaluated(results)["tdx.quote_signature"] == "tcb_revoked"
        assert "tcb.status" not in passes(results)


@pytest.mark.parametrize(
    "fault",
    [
        lambda world: setattr(world, "platform", evolve(world.platform, component_svns=bytes(16))),
        lambda world: world.with_td(tee_tcb_svn=bytes([1, 1, 4]) + bytes(13)),
        lambda world: world.with_td(tee_tcb_svn=bytes([11, 7, 4]) + bytes(13)),
        lambda world: world.with_td(tee_tcb_svn=bytes([11, 1, 1]) + bytes(13)),
        lambda world: setattr(world, "qe", evolve(world.qe, isv_svn=3)),
        lambda world: setattr(world, "platform", evolve(world.platform, pce_svn=4)),
        module_level("ConfigurationNeeded"),
    ],
)
def test_a_platform_below_every_level(fault: Fault) -> None:
    results = built(fault).judge(policy_of(TcbPolicy(accept=TCB_STATUSES)))
    assert failures(results) == {"tcb.status": "no_level"}
    assert "tdx.quote_signature" in unevaluated(results)


@pytest.mark.parametrize("running", [(1, 1, 4), (11, 9, 4), (11, 1, 1)])
def test_a_running_module_below_every_level(running: tuple[int, ...]) -> None:
    world = built(td15((11, 1, 4), running))
    assert "refused: Verification failed: Failed to evaluate the current TDX TCB" in world.dcap()
    results = world.judge(policy_of(TcbPolicy(accept=TCB_STATUSES)))
    assert failures(results)
    assert not passes(results) & {"tdx.quote_signature", "tcb.status"}


def test_the_sentence_names_what_is_behind() -> None:
    summary = built(old_microcode).judge()["tcb.status"].summary
    assert "SGX component 0 is 2, the newest level needs 3" in summary
    assert "INTEL-SA-01036" in summary
    assert "PCESVN is 12" in built(old_pce).judge()["tcb.status"].summary
    assert "behind" in built(qe_level("OutOfDate")).judge()["tcb.status"].summary
    late = World().with_td(tee_tcb_svn=bytes([11, 1, 2]) + bytes(13))
    assert "TDX component 2 is 2, the newest level needs 3" in late.judge()["tcb.status"].summary


# --- what a mask hides ----------------------------------------------------------------------------------------------


def test_advisories_of_the_quoting_enclave_count() -> None:
    world = built(qe_level("ConfigurationNeeded", "INTEL-SA-09999"))
    tcb = TcbPolicy(accept=("UpToDate", "ConfigurationNeeded"))
    assert failures(world.judge(policy_of(tcb))) == {"tcb.advisories": "open"}


@pytest.mark.parametrize("running", [(5, 1, 4), (11, 1, 2)])
def test_advisories_of_the_running_module_count(running: tuple[int, ...]) -> None:
    world = built(td15((11, 1, 4), running))
    tcb = TcbPolicy(accept=("UpToDate", "OutOfDate"))
    assert "tcb.advisories" in failures(world.judge(policy_of(tcb)))


@pytest.mark.parametrize("status", ["ConfigurationNeeded", "OutOfDateConfigurationNeeded"])
def test_a_masked_status_without_advisory_is_unnamed_too(status: str) -> None:
    tcb = TcbPolicy(accept=("UpToDate", status))
    assert failures(built(qe_level(status)).judge(policy_of(tcb))) == {"tcb.advisories": "unnamed"}


# --- grace ----------------------------------------------------------------------------------------------------------

BAR_RAISED = datetime(2025, 5, 14, tzinfo=timezone.utc)


def in_grace(at: datetime, days: int, *faults: Fault) -> dict[str, str]:
    world = World()
    world.pcs.issued = at - timedelta(hours=1)
    world.pcs.root_crl = world.pcs.root_list(since=at - timedelta(days=9))
    for fault in faults:
        fault(world)
    return failures(world.judge(policy_of(TcbPolicy(grace_days=days)), at))


def three_levels(second: str = OLDER, third: str = "2023-01-01T00:00:00Z") -> Fault:
    """TCB info with a level below the one that OLD_MICROCODE reaches."""

    def fault(world: World) -> None:
        newest, older = world.pcs.tcb_info(world.fmspc)["tcbLevels"]
        components = [{"svn": 1}] * 5 + [{"svn": 0}] * 11
        oldest = {**older, "tcb": {**older["tcb"], "sgxtcbcomponents": components}, "tcbDate": third}
        world.pcs.tcb_changes["tcbLevels"] = [newest, {**older, "tcbDate": second}, oldest]

    return fault


def two_behind(world: World) -> None:
    world.platform = evolve(world.platform, component_svns=bytes([1, 1, 1, 1, 1, *[0] * 11]))


REFUSED = {"tcb.status": "not_accepted", "tcb.advisories": "open"}


def test_one_level_behind_is_accepted_until_the_grace_ends() -> None:
    for days in (1, 30, 365):
        end = BAR_RAISED + timedelta(days=days)
        assert in_grace(end, days, old_microcode) == {}
        assert in_grace(end - timedelta(hours=1), days, old_microcode) == {}
        assert in_grace(end + timedelta(microseconds=1), days, old_microcode) == REFUSED
        assert in_grace(end, days - 1, old_microcode) == REFUSED


def test_two_levels_behind_has_no_grace() -> None:
    at = BAR_RAISED + timedelta(days=10)
    assert in_grace(at, 30, three_levels(), old_microcode) == {}
    assert in_grace(at, 30, three_levels(), two_behind) == REFUSED


def test_grace_needs_a_newer_level_and_exactly_out_of_date() -> None:
    at = BAR_RAISED + timedelta(days=10)
    assert in_grace(at, 30, level("OutOfDate")) == {"tcb.status": "not_accepted", "tcb.advisories": "unnamed"}
    assert "tcb.status" in in_grace(at, 30, level("ConfigurationNeeded"))
    assert in_grace(at, 30, old_microcode, qe_level("ConfigurationNeeded"))["tcb.status"] == "not_accepted"
    assert "tcb.status" in in_grace(at, 30, td15((11, 1, 2), (11, 1, 4)))
    running_behind = in_grace(at, 30, td15((11, 1, 4), (11, 1, 2)))
    assert running_behind == {"tcb.status": "current_not_accepted", "tcb.advisories": "open"}


def qe_two_behind(world: World) -> None:
    def entry(svn: int, day: str, status: str) -> dict[str, Any]:
        return {"tcb": {"isvsvn": svn}, "tcbDate": day, "tcbStatus": status}

    world.pcs.qe_changes["tcbLevels"] = [
        entry(9, NEWEST, "UpToDate"),
        entry(8, OLDER, "OutOfDate"),
        entry(4, "2019-05-15T00:00:00Z", "OutOfDate"),
    ]


def module_two_behind(world: World) -> None:
    """The module's third level bears the date of the platform's second."""

    def entry(svn: int, day: str, status: str) -> dict[str, Any]:
        return {"tcb": {"isvsvn": svn}, "tcbDate": day, "tcbStatus": status, "advisoryIDs": ["INTEL-SA-09999"]}

    identities = world.pcs.tcb_info(world.fmspc)["tdxModuleIdentities"]
    identities[1]["tcbLevels"] = [
        {"tcb": {"isvsvn": 6}, "tcbDate": NEWEST, "tcbStatus": "UpToDate"},
        entry(5, "2024-06-01T00:00:00Z", "OutOfDate"),
        entry(2, OLDER, "OutOfDate"),
    ]
    world.pcs.tcb_changes["tdxModuleIdentities"] = identities
    world.with_td(tee_tcb_svn=bytes([3, 1, 4]) + bytes(13))


@pytest.mark.parametrize(
    "faults", [(old_microcode, qe_two_behind), (module_two_behind,), (old_microcode, module_two_behind)]
)
def test_grace_of_the_platform_is_none_for_a_part_that_is_further_behind(faults: tuple[Fault, ...]) -> None:
    assert "tcb.status" in in_grace(BAR_RAISED + timedelta(days=10), 30, *faults)


# --- evaluation numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tcb_number", "qe_number"), [(19, 18), (18, 19), (18, 18)])
def test_the_lower_evaluation_number_counts(tcb_number: int, qe_number: int) -> None:
    world = World()
    world.pcs.tcb_changes["tcbEvaluationDataNumber"] = tcb_number
    world.pcs.qe_changes["tcbEvaluationDataNumber"] = qe_number
    assert failures(world.judge(policy_of(TcbPolicy(min_eval_number=19)))) == {"tcb.eval_number": "too_low"}
    assert not failures(world.judge(policy_of(TcbPolicy(min_eval_number=18))))


@pytest.mark.parametrize("number", [-1, -(2**31), 2**32, 2**64, 10**39])
@pytest.mark.parametrize("part", ["tcb_changes", "qe_changes"])
def test_evaluation_numbers_out_of_range_prove_nothing(number: int, part: str) -> None:
    world = World()
    getattr(world.pcs, part)["tcbEvaluationDataNumber"] = number
    results = world.judge(policy_of(TcbPolicy(min_eval_number=1)))
    assert failures(results).get("tcb.collateral_current") == "refused"
    assert not passes(results) & {"tdx.quote_signature", "tcb.eval_number", "tcb.status"}


def test_the_largest_evaluation_number_passes() -> None:
    world = World()
    world.pcs.tcb_changes["tcbEvaluationDataNumber"] = 2**32 - 1
    assert passes(world.judge()) == set(TDX_CHECKS)

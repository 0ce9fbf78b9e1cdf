"""Policy: what the caller demands, as a value with a digest.

A policy built in Python obeys the same rules as one read from TOML; breaking one raises `PolicyError` with the key path
of the TOML form. An absent list (None) pins nothing of that kind; a list that is present is enforced and never empty.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from datetime import date, datetime, time, timezone

from attrs import Factory, field, frozen

from . import policy_fields as rules
from .errors import ConfigurationError
from .limits import MAX_GPUS
from .policy_compose import ComposeFlags
from .policy_document import digest_of
from .policy_pins import AcpiTables, BaseImage, ReferenceValues

__all__ = [
    "AcpiTables",
    "BaseImage",
    "ComposeFlags",
    "ExchangePolicy",
    "GpuPolicy",
    "Policy",
    "ReferenceValues",
    "RegistryPolicy",
    "TcbPolicy",
    "Waiver",
]

_MAX_EVAL_NUMBER = 1_000_000
_MAX_GRACE_DAYS = 365
_MAX_CHAIN_ID = 2**53
_MAX_QUORUM = 16
_MAX_AGE = 7 * 86400


@frozen(kw_only=True)
class TcbPolicy:
    """Which Intel TCB levels are accepted.

    ``accept`` lists TCB statuses as Intel spells them; Revoked can never be accepted. ``allow_advisories`` lists the
    advisories (``INTEL-SA-01036``) that an accepted level may carry; empty allows none. ``min_eval_number`` is the
    lowest tcbEvaluationDataNumber of Intel's collateral. ``grace_days`` (0 to 365) is how many days an OutOfDate level
    is still accepted after Intel raised the bar.
    """

    accept: tuple[str, ...] = ("UpToDate",)
    allow_advisories: tuple[str, ...] = ()
    min_eval_number: int = 0
    grace_days: int = 0

    def __attrs_post_init__(self) -> None:
        rules.entries("accept", self.accept, functools.partial(rules.one_of, known=rules.TCB_STATUSES))
        rules.entries("allow_advisories", self.allow_advisories, rules.advisory, may_be_empty=True)
        rules.integer("min_eval_number", self.min_eval_number, 0, _MAX_EVAL_NUMBER)
        rules.integer("grace_days", self.grace_days, 0, _MAX_GRACE_DAYS)


@frozen(kw_only=True)
class GpuPolicy:
    """What is demanded of the GPUs of roles that have GPUs.

    ``min_count`` is 1 to 32. ``nras`` says what NVIDIA's answer is worth: ``required``, ``when_present`` (a recorded
    bad answer fails, a missing one does not) or ``ignore``.
    """

    require: bool = True
    min_count: int = 1
    arch: tuple[str, ...] = ("HOPPER",)
    nras: str = "required"

    def __attrs_post_init__(self) -> None:
        rules.boolean("require", self.require)
        rules.integer("min_count", self.min_count, 1, MAX_GPUS)
        rules.entries("arch", self.arch, functools.partial(rules.one_of, known=rules.GPU_ARCHITECTURES))
        rules.one_of("nras", self.nras, rules.NRAS_MODES)


@frozen(kw_only=True)
class ExchangePolicy:
    """What is demanded of the signature over one request and response.

    ``signed_by`` is ``model`` (only the model's own key counts) or ``gateway`` (the gateway's key will do as well,
    which proves what the gateway sent and nothing about where it came from).
    """

    signed_by: str = "model"

    def __attrs_post_init__(self) -> None:
        rules.one_of("signed_by", self.signed_by, rules.SIGNED_BY)


@frozen(kw_only=True)
class RegistryPolicy:
    """What is demanded of enclaves that a contract lists, and of the contract's own word.

    ``assurance`` is ``attested`` (the enclave's own document, whatever the contract says), ``registry+pcr`` (the
    contract's word on an image that the policy pins) or ``registry`` (the contract's word). ``address`` (40 hex digits)
    and ``chain_id`` say which contract; without them no contract is believed. ``quorum`` is how many nodes must give
    the same answer (1 to 16). Ages are in seconds: of an enclave's last heartbeat, and of the block that is read.
    """

    assurance: str = "attested"
    address: str | None = None
    chain_id: int | None = None
    quorum: int = 1
    max_heartbeat_age: int = 1800
    max_block_age: int = 120

    def __attrs_post_init__(self) -> None:
        rules.one_of("assurance", self.assurance, rules.ASSURANCES)
        if self.address is not None:
            rules.contract("address", self.address)
        if self.chain_id is not None:
            rules.integer("chain_id", self.chain_id, 1, _MAX_CHAIN_ID)
        rules.integer("quorum", self.quorum, 1, _MAX_QUORUM)
        rules.integer("max_heartbeat_age", self.max_heartbeat_age, 1, _MAX_AGE)
        rules.integer("max_block_age", self.max_block_age, 1, _MAX_AGE)
        if (self.address is None) != (self.chain_id is None):
            rules.refuse("address", "and chain_id do not stand together", "both or none were expected", "give both")
        if self.assurance != "attested" and self.address is None:
            action = "give address and chain_id of the contract"
            rules.refuse("assurance", f"is {self.assurance}", "a pinned contract was expected beside it", action)


@frozen(kw_only=True)
class Waiver:
    """One check that the policy does not enforce, and why.

    ``role`` None means every role. ``expires`` is the last day (UTC) on which the waiver is in force; None means that
    it has no end of its own.
    """

    check: str
    reason: str
    role: str | None = None
    expires: date | None = None

    def __attrs_post_init__(self) -> None:
        rules.waivable("check", self.check)
        rules.text("reason", self.reason, limit=rules.MAX_REASON)
        if self.role is not None:
            rules.one_of("role", self.role, rules.ROLES)
        if self.expires is not None:
            rules.day("expires", self.expires)


@frozen(kw_only=True)
class Policy:
    """What the caller demands of a provider.

    ``valid_until`` is the last day (UTC) on which the pins count as current. ``instances`` is ``all`` (every instance
    must be VERIFIED), ``any`` (one suffices), or ``delegated`` (as ``all``; where an attested proxy shows a receipt in
    place of the instances' evidence, its word is taken). ``pins`` maps a role to its reference values and is never
    empty, unless `needs_no_pins`.

    Raises:
        PolicyError: a field breaks its rule; the message names its key.
    """

    name: str
    provider: str
    valid_until: date
    tcb: TcbPolicy = Factory(TcbPolicy)
    gpu: GpuPolicy = Factory(GpuPolicy)
    instances: str = "all"
    exchange: ExchangePolicy = Factory(ExchangePolicy)
    registry: RegistryPolicy = Factory(RegistryPolicy)
    pins: Mapping[str, ReferenceValues]
    waivers: tuple[Waiver, ...] = ()
    digest: str = field(init=False, eq=False)
    """SHA-256 over the policy's whole meaning, 64 hex digits: equal for two policies that mean the same."""

    def __attrs_post_init__(self) -> None:
        rules.text("name", self.name)
        rules.provider("provider", self.provider)
        rules.day("valid_until", self.valid_until)
        _instance("tcb", self.tcb, TcbPolicy)
        _instance("gpu", self.gpu, GpuPolicy)
        _instance("exchange", self.exchange, ExchangePolicy)
        _instance("registry", self.registry, RegistryPolicy)
        rules.one_of("instances.mode", self.instances, rules.INSTANCE_MODES)
        _check_pins(self.pins, may_be_empty=self.needs_no_pins)
        rules.entries("waive", self.waivers, _waiver, identity=_waived, may_be_empty=True)
        object.__setattr__(self, "pins", rules.FrozenTable(self.pins))
        object.__setattr__(self, "digest", digest_of(self))

    @property
    def needs_no_pins(self) -> bool:
        """True for the one kind of policy that may pin nothing: the word of OpenGradient's contract is all it asks."""
        return self.provider == "opengradient" and self.registry.assurance == "registry"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """Read a policy file (TOML, at most 1 MiB).

        Raises:
            PolicyError: the file cannot be read, is not TOML, or is not a policy; the message names file and key.
        """
        from .policy_toml import load_policy

        return load_policy(path)

    @classmethod
    def from_toml(cls, source: str | bytes) -> Policy:
        """Read a policy from TOML text, or from its UTF-8 bytes.

        Raises:
            PolicyError: it is not TOML or not a policy; the message names the key.
        """
        from .policy_toml import read_policy

        return read_policy(source)

    @classmethod
    def builtin(cls, name: str) -> Policy:
        """The dated policy that teeverify ships under that name: observations, for you to judge, not a recommendation.

        Raises:
            PolicyError: there is no such policy; the message lists the names.
        """
        from .policy_toml import load_builtin

        return load_builtin(name)

    def pins_for(self, role: str) -> ReferenceValues | None:
        """The pins of a role, or None where the policy pins nothing for it."""
        return self.pins.get(role)

    def waiver_for(self, check_id: str, role: str | None, at: datetime) -> Waiver | None:
        """The waiver of that check which is in force at that time, if any.

        Args:
            check_id: the check's id.
            role: role of the subject; None for a check on the whole session, which only a waiver of every role covers.
            at: an aware time.

        Raises:
            ConfigurationError: ``at`` has no time zone.
        """
        today = utc_day(at)
        fitting = [
            waiver
            for waiver in self.waivers
            if waiver.check == check_id and waiver.role in (None, role) and _in_force(waiver, today)
        ]
        # The one made for this role says more about it than the one for every role.
        return next((waiver for waiver in fitting if waiver.role is not None), fitting[0] if fitting else None)

    def expired_waivers(self, at: datetime) -> tuple[Waiver, ...]:
        """The waivers whose last day is over at that (aware) time; their checks are enforced again.

        Raises:
            ConfigurationError: ``at`` has no time zone.
        """
        today = utc_day(at)
        return tuple(waiver for waiver in self.waivers if not _in_force(waiver, today))

    def earliest_end(self, at: datetime) -> datetime:
        """When the policy first changes its meaning by itself: the end of ``valid_until`` or of a waiver in force.

        ``at`` is an aware time; the result is an aware UTC time, the last microsecond of a day, in the past where
        ``valid_until`` is over.

        Raises:
            ConfigurationError: ``at`` has no time zone.
        """
        today = utc_day(at)
        ends = [waiver.expires for waiver in self.waivers if waiver.expires is not None and _in_force(waiver, today)]
        return datetime.combine(min([self.valid_until, *ends]), time.max, tzinfo=timezone.utc)

    def __repr__(self) -> str:
        return f"<Policy {self.name!r} {self.provider} valid_until={self.valid_until} digest={self.digest[:12]}>"


def utc_day(at: datetime) -> date:
    """The calendar day in UTC of an aware time; ConfigurationError for a naive one."""
    if at.utcoffset() is None:
        raise ConfigurationError(f"the time {at.isoformat()} has no time zone, an aware time was expected: add one")
    return at.astimezone(timezone.utc).date()


def _in_force(waiver: Waiver, today: date) -> bool:
    return waiver.expires is None or today <= waiver.expires


def _instance(key: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted):
        rules.refuse(key, f"is {rules.kind(value)}", f"a {wanted.__name__} was expected", "build one")


def _waiver(key: str, value: object) -> None:
    _instance(key, value, Waiver)


def _waived(value: object) -> object:
    return (value.check, value.role) if isinstance(value, Waiver) else value


def _check_pins(pins: object, *, may_be_empty: bool) -> None:
    advice = "`teeverify policy pin` writes them from a report that you verified"
    if not isinstance(pins, Mapping):
        rules.refuse("pins", f"is {rules.kind(pins)}", "pins of at least one role were expected", advice)
    if not pins and not may_be_empty:
        rules.refuse("pins", "is empty", "pins of at least one role were expected", advice)
    for role, values in pins.items():
        name = rules.spell(role) if isinstance(role, str) else rules.kind(role)
        if role not in rules.ROLES:
            expected = f"one of the roles {', '.join(rules.ROLES)} was expected"
            rules.refuse(f"pins.{name}", "is an unknown role", expected, "correct the name")
        _instance(f"pins.{name}", values, ReferenceValues)
        if values.is_empty:
            rules.refuse(f"pins.{name}", "pins nothing", "at least one list of pins was expected", advice)

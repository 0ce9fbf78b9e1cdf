"""The rules that the fields of a policy obey, each as one function that raises a sentence naming the key.

The value classes call these from ``__attrs_post_init__`` and not as attrs validators, because attrs lets any code of
the process switch validators off (`attrs.validators.set_disabled`), and a policy must never be built unchecked.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Final, NoReturn, TypeAlias, TypeVar

from .check_ids import KNOWN, MANDATORY
from .errors import PolicyError

__all__ = [
    "ADVISORY",
    "ASSURANCES",
    "ATTESTED_BESIDE",
    "GPU_ARCHITECTURES",
    "INSTANCE_MODES",
    "NRAS_MODES",
    "ROLES",
    "SIGNED_BY",
    "TCB_STATUSES",
    "FrozenTable",
    "PolicyFieldError",
    "describe",
    "entries",
    "kind",
    "refuse",
    "spell",
]

V = TypeVar("V")

Rule: TypeAlias = Callable[[str, object], None]
"""A function of key path and value that raises `PolicyFieldError` where the value is not what it should be."""

ATTESTED_BESIDE: Final = {"model": ("compose_manager",)}
"""Roles whose quotes stand inside the record of another role: pinned, they must be there."""
ROLES: Final = ("model", "gateway", "compose_manager", "instance", "enclave")
"""What an attesting environment can be to the caller."""
TCB_STATUSES: Final = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
)
"""Intel's TCB statuses (PCS API v4) but Revoked, which no policy can accept."""
GPU_ARCHITECTURES: Final = ("HOPPER", "BLACKWELL")
NRAS_MODES: Final = ("required", "when_present", "ignore")
"""From strict to loose."""
INSTANCE_MODES: Final = ("all", "any", "delegated")
"""From strict to loose."""
SIGNED_BY: Final = ("model", "gateway")
"""From strict to loose."""
ASSURANCES: Final = ("attested", "registry+pcr", "registry")
"""From strict to loose."""
ADVISORY: Final = re.compile(r"INTEL-SA-[0-9]{5}")
"""An Intel security advisory."""

MAX_LABEL: Final = 200
"""Characters of a name or label: one line of a verdict."""
MAX_REASON: Final = 1000
"""Characters of a waiver's reason: a short paragraph."""
SPKI_SIZES: Final = (50, 600)
"""Bytes of a DER SubjectPublicKeyInfo: ed25519 has 44 and is no KMS key, P-256 has 91, RSA 4096 has 550."""

_CONTRACT: Final = re.compile(r"[0-9a-f]{40}")
_PCR: Final = re.compile(r"pcr(?:[0-9]|[12][0-9]|3[01])")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class PolicyFieldError(PolicyError):
    """One field that is not what it should be; ``key`` is its path as in the TOML form, ``problem`` the sentence."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key} {problem}")
        self.key = key
        self.problem = problem

    def under(self, prefix: str) -> PolicyFieldError:
        """The same error, with the key path of the value that holds the field in front."""
        return PolicyFieldError(f"{prefix}.{self.key}", self.problem)


class FrozenTable(Mapping[str, V]):
    """A mapping that offers no way to change it: hashable, and (unlike ``MappingProxyType``) copied and pickled."""

    __slots__ = ("_entries",)

    def __init__(self, source: Mapping[str, V]) -> None:
        self._entries = dict(source)

    def __getitem__(self, key: str) -> V:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def __repr__(self) -> str:
        return repr(self._entries)


def refuse(key: str, observed: str, expected: str, action: str) -> NoReturn:
    """Raise the one sentence that every refusal has: what was observed, what was expected, what to do."""
    raise PolicyFieldError(key, f"{observed}, {expected}: {action}")


_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (type(None), "missing"),
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a float"),
    (str, "a string"),
    (bytes, "a byte string"),
    (datetime, "a date with a time"),
    (date, "a date"),
    (time, "a time"),
    (list, "a list"),
    (tuple, "a tuple"),
    (Mapping, "a table"),
)


def kind(value: object) -> str:
    """What a value is, in the words of TOML."""
    return next((words for known, words in _KINDS if isinstance(value, known)), f"of type {type(value).__name__}")


def describe(value: str) -> str:
    """A string of the policy inside an error: quoted, escaped and short."""
    return json.dumps(value if len(value) <= 60 else value[:57] + "...")


def spell(key: str) -> str:
    """A TOML key inside a key path: bare where it can be, quoted otherwise."""
    return key if _BARE_KEY.fullmatch(key) else describe(key)


def text(key: str, value: object, *, limit: int = MAX_LABEL) -> None:
    """Printable text on one line that is not blank, at most ``limit`` characters."""
    if not isinstance(value, str):
        refuse(key, f"is {kind(value)}", "a string was expected", "write it in quotes")
    if not value.strip():
        refuse(key, "is blank", "text was expected", "say in words what it is")
    if len(value) > limit:
        refuse(key, f"is {len(value)} characters long", f"at most {limit} are accepted", "shorten it")
    if not value.isprintable():
        refuse(key, "holds a character that cannot be printed", "text on one line was expected", "remove it")


def provider(key: str, value: object) -> None:
    """The name of a provider: lower-case letters, digits, ``-`` and ``_``."""
    text(key, value, limit=64)
    if not isinstance(value, str) or not _PROVIDER.fullmatch(value):
        refuse(key, f"is {describe(str(value))}", "a lower-case provider name was expected", 'write it like "near"')


def one_of(key: str, value: object, known: Collection[str], *, what: str = "one of") -> None:
    """A string out of a closed set."""
    if not isinstance(value, str):
        refuse(key, f"is {kind(value)}", f"{what} {', '.join(known)} was expected", "write it in quotes")
    if value not in known:
        near = difflib.get_close_matches(value[:60], known, n=1)
        action = f"did you mean {near[0]}?" if near else "use one of these words"
        refuse(key, f"is {describe(value)}", f"{what} {', '.join(known)} was expected", action)


def integer(key: str, value: object, low: int, high: int) -> None:
    """An integer from ``low`` to ``high``; a boolean is none."""
    if type(value) is not int:
        refuse(key, f"is {kind(value)}", f"an integer from {low} to {high} was expected", "write a plain number")
    if not low <= value <= high:
        size = str(value) if abs(value) < 10**12 else "a number of more than 12 digits"
        refuse(key, f"is {size}", f"an integer from {low} to {high} was expected", "choose a number in that range")


def boolean(key: str, value: object) -> None:
    """``true`` or ``false``."""
    if type(value) is not bool:
        refuse(key, f"is {kind(value)}", "true or false was expected", "write it without quotes")


def day(key: str, value: object) -> None:
    """A calendar day (UTC); a date with a time of day is none."""
    if type(value) is not date:
        refuse(key, f"is {kind(value)}", "a date was expected", "write it like 2026-12-31, without quotes")


def octets(key: str, value: object, *sizes: int) -> None:
    """Bytes of one of the given lengths."""
    wanted = " or ".join(str(size) for size in sizes)
    expected = f"{wanted} bytes ({' or '.join(str(2 * size) for size in sizes)} hex digits) were expected"
    if type(value) is not bytes:
        refuse(key, f"is {kind(value)}", expected, "give the whole value")
    if len(value) not in sizes:
        refuse(key, f"is {len(value)} bytes long", expected, "copy the whole value from a report that you verified")


def spki(key: str, value: object) -> None:
    """A DER SubjectPublicKeyInfo (RFC 5280): one SEQUENCE that spans the whole value."""
    expected = "a public key as DER SubjectPublicKeyInfo was expected"
    action = "copy the whole value (hex, starting with 30) from a report that you verified"
    if type(value) is not bytes:
        refuse(key, f"is {kind(value)}", expected, action)
    low, high = SPKI_SIZES
    if not low <= len(value) <= high:
        refuse(key, f"is {len(value)} bytes long", f"{expected} ({low} to {high} bytes)", action)
    if value[0] != 0x30 or _der_size(value) != len(value):
        refuse(key, "does not start with the DER header of its length", expected, action)


def _der_size(value: bytes) -> int | None:
    """Length that the header of a DER value claims, header included; None where it is not in shortest form."""
    first = value[1]
    if first < 0x80:
        return 2 + first
    width = first & 0x7F
    size = int.from_bytes(value[2 : 2 + width], "big")
    shortest = 1 if size < 0x100 else 2
    return 2 + width + size if width == shortest and size >= 0x80 else None


def pcr_table(key: str, value: object) -> None:
    """PCRs of one Nitro image: ``pcr0`` to ``pcr31``, 48 bytes each."""
    if not isinstance(value, Mapping):
        refuse(key, f"is {kind(value)}", "a table like {pcr0 = ...} was expected", "write the PCRs in braces")
    if not value:
        refuse(key, "is an empty table", "at least pcr0 was expected", "list the PCRs of the image")
    for name, register in value.items():
        if not isinstance(name, str) or not _PCR.fullmatch(name):
            place = spell(name) if isinstance(name, str) else kind(name)
            refuse(f"{key}.{place}", "is an unknown key", "pcr0 to pcr31 were expected", "correct the name")
        octets(f"{key}.{name}", register, 48)


def contract(key: str, value: object) -> None:
    """The address of a contract: 40 hex digits, lower case and without 0x, so that one address has one spelling."""
    expected = "an address of 40 hex digits in lower case was expected"
    if not isinstance(value, str):
        refuse(key, f"is {kind(value)}", expected, "write it in quotes, without 0x")
    if not _CONTRACT.fullmatch(value):
        refuse(key, f"is {describe(value)}", expected, "write it without 0x and in lower case")


def advisory(key: str, value: object) -> None:
    """The id of one Intel security advisory."""
    expected, action = "an id like INTEL-SA-01036 was expected", "copy it from the refused verdict"
    if not isinstance(value, str):
        refuse(key, f"is {kind(value)}", expected, action)
    if not ADVISORY.fullmatch(value):
        refuse(key, f"is {describe(value)}", expected, action)


def waivable(key: str, value: object) -> None:
    """The id of a check that a policy may waive."""
    if not isinstance(value, str):
        refuse(key, f"is {kind(value)}", "a check id was expected", "`teeverify checks` lists the ids")
    if value in MANDATORY:
        observed = f"is {value}, which is mandatory"
        refuse(key, observed, "a check that may be waived was expected", "remove the waiver, nothing can replace it")
    if value not in KNOWN:
        near = difflib.get_close_matches(value[:60], KNOWN, n=1)
        action = f"did you mean {near[0]}?" if near else "`teeverify checks` lists the ids"
        refuse(key, f"is {describe(value)}, which no check has", "a known check id was expected", action)


def entries(
    key: str,
    values: object,
    rule: Rule,
    *,
    identity: Callable[[object], Hashable] | None = None,
    may_be_empty: bool = False,
) -> None:
    """A tuple whose entries obey ``rule`` and differ from each other (by ``identity`` where it is given)."""
    if type(values) is not tuple:
        refuse(key, f"is {kind(values)}", "a tuple (a list in TOML) was expected", "give the entries as a list")
    if not values and not may_be_empty:
        refuse(key, "is an empty list", "at least one entry was expected", "add one, or leave the key out altogether")
    seen: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        rule(f"{key}[{index}]", value)
        first = seen.setdefault(identity(value) if identity else value, index)
        if first != index:
            refuse(f"{key}[{index}]", f"repeats {key}[{first}]", "each entry once was expected", "remove one of them")

"""One attesting environment with everything that was derived about it."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from .aci import AciClaims
from .binding import BindingClaims, ChannelClaims
from .dstack import DstackClaims
from .enclave import EnclaveClaims, RegistryClaims
from .gpu import GpuClaims
from .nitro import NitroClaims
from .problem import Problem, problems_in
from .receipt import ReceiptClaims
from .tdx import TdxClaims

__all__ = ["Subject"]


@frozen(kw_only=True)
class Subject:
    """One attesting environment (a VM, an enclave, an instance) of a session.

    A section that is None does not exist for this kind of subject, so its checks do not apply. ``record`` holds the
    problems that make the record itself unusable (not JSON, another model's); ``attested_beside`` names the roles that
    the same record attests with quotes of their own. ``evaluated_at`` is the time the verdict is for, ``recorded_at``
    the claim of a saved report (None when live), ``wall_clock`` our own clock. ``shape`` is the kind of report, where
    one endpoint shows several.
    """

    id: str
    role: str
    provider: str
    evaluated_at: datetime
    recorded_at: datetime | None
    wall_clock: datetime
    record: tuple[Problem, ...] = ()
    attested_beside: tuple[str, ...] = ()
    binding: BindingClaims
    tdx: TdxClaims | None = None
    dstack: DstackClaims | None = None
    gpu: GpuClaims | None = None
    channel: ChannelClaims | None = None
    receipt: ReceiptClaims | None = None
    aci: AciClaims | None = None
    nitro: NitroClaims | None = None
    enclave: EnclaveClaims | None = None
    registry: RegistryClaims | Problem | None = None
    shape: str | None = None
    test_roots: bool = False
    problems: tuple[Problem, ...] = field(init=False, repr=False, eq=False)
    """Every Problem inside the sections and the record."""

    @problems.default
    def _find_problems(self) -> tuple[Problem, ...]:
        machine = (self.binding, self.tdx, self.dstack, self.gpu, self.nitro)
        sections = (self.record, *machine, self.channel, self.receipt, self.aci, self.enclave, self.registry)
        return tuple(problem for section in sections for problem in problems_in(section))

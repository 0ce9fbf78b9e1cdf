"""A simulation for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from teeverify.testing import SimulatedTee


@pytest.fixture
def tee_cloud() -> Iterator[SimulatedTee]:
    """The gateway, with one GPU behind it."""
    with SimulatedTee.near(gpus=1) as tee:
        yield tee


@pytest.fixture(scope="module")
def quiet_tee() -> Iterator[SimulatedTee]:
    """The gateway with two machines behind it, for all tests of a file; none of them sets a fault."""
    with SimulatedTee.near(gpus=1, backends=2) as tee:
        yield tee
        assert tee.fault is None


@pytest.fixture
def tee_direct() -> Iterator[SimulatedTee]:
    """A model's own host, with one GPU."""
    with SimulatedTee.near(cloud=False, gpus=1) as tee:
        yield tee

"""The public surface: sorted names that exist, each explained."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import teeverify


def _modules() -> list[str]:
    found = [info.name for info in pkgutil.walk_packages(teeverify.__path__, "teeverify.")]
    return [name for name in found if not name.endswith("__main__")]


MODULES = _modules()


@pytest.mark.parametrize("name", teeverify.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(teeverify, name) is not None


def test_the_list_of_names_is_sorted_and_complete() -> None:
    assert teeverify.__all__ == sorted(teeverify.__all__)
    assert len(set(teeverify.__all__)) == len(teeverify.__all__)
    assert dir(teeverify) == sorted(teeverify.__all__)
    assert set(teeverify._HOMES) | {"__version__"} == set(teeverify.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = teeverify.Nothing


def test_version() -> None:
    assert teeverify.__version__.count(".") >= 2


@pytest.mark.parametrize("name", MODULES)
def test_every_module_and_its_names(name: str) -> None:
    module = importlib.import_module(name)
    assert (module.__doc__ or "").strip(), f"{name} has no docstring"
    listed = getattr(module, "__all__", [])
    assert len(set(listed)) == len(listed)
    for public in listed:
        assert hasattr(module, public), f"{name} lists {public}, which it does not have"


def _public(module: ModuleType) -> list[tuple[str, object]]:
    return [
        (name, value)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_class_and_function_is_explained(name: str) -> None:
    module = importlib.import_module(name)
    registered_checks = name.startswith("teeverify.checks.")
    for public, value in _public(module):
        if registered_checks and public not in getattr(module, "__all__", []):
            continue  # a check: the catalogue holds its title and explanation
        assert inspect.getdoc(value), f"{name}.{public} has no docstring"
        if inspect.isclass(value):
            for member, function in vars(value).items():
                own = inspect.isfunction(function) and function.__module__ == name
                if own and not member.startswith("_"):
                    assert inspect.getdoc(getattr(value, member)), f"{name}.{public}.{member} has no docstring"

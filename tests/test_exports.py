"""The public surface is exactly what `__all__` says."""

import importlib
import inspect
import pkgutil

import pytest

import effortctl

FAMILIES = sorted(
    f"effortctl.{found.name}"
    for found in pkgutil.iter_modules(effortctl.__path__)
    if found.ispkg and not found.name.startswith("_")
)


def defined_by_us(thing):
    return str(getattr(thing, "__module__", "")).startswith("effortctl")


def public_names(module):
    """Names of our own classes and functions that `dir` shows without an underscore."""
    names = [name for name in dir(module) if not name.startswith("_")]
    return {name for name in names if defined_by_us(getattr(module, name))}


@pytest.mark.parametrize("name", ["effortctl", *FAMILIES])
def test_all_lists_every_public_name_once(name):
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert len(set(listed)) == len(listed)
    assert public_names(module) <= set(listed)


@pytest.mark.parametrize("name", ["effortctl", *FAMILIES])
def test_every_listed_name_exists_and_is_documented(name):
    module = importlib.import_module(name)
    things = {each: getattr(module, each) for each in getattr(module, "__all__", [])}
    described = {
        each: thing
        for each, thing in things.items()
        if inspect.isclass(thing) or inspect.isroutine(thing)
    }
    assert [each for each, thing in described.items() if not inspect.getdoc(thing)] == []


def test_the_package_shows_nothing_besides_all_and_its_submodules():
    visible = {
        name
        for name in dir(effortctl)
        if not name.startswith("_") and not inspect.ismodule(getattr(effortctl, name))
    }
    assert visible == set(effortctl.__all__) - {"__version__"}


def test_every_error_is_public():
    errors = public_names(importlib.import_module("effortctl._errors"))
    assert errors <= set(effortctl.__all__)

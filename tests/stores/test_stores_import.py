"""Importing the stores stays light."""

import subprocess
import sys

import pytest

import effortctl.stores


def test_diskcache_is_loaded_only_when_the_cache_is_asked_for():
    code = (
        "import sys, effortctl.stores as stores\n"
        "assert 'diskcache' not in sys.modules\n"
        "stores.DiskCache\n"
        "assert 'diskcache' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there():
    assert all(getattr(effortctl.stores, name) for name in effortctl.stores.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Nothing"):
        effortctl.stores.Nothing  # noqa: B018 - the look itself is the test

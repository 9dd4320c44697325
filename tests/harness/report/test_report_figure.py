"""The frontier and the gain panel as a picture."""

import builtins
import sys
from xml.etree import ElementTree as ET

import pytest
from harness.report.result_data import DEGENERATE, realistic

from effortctl._errors import ConfigError, StoreError
from effortctl.harness.report import write_figure


def test_without_matplotlib_the_error_names_the_extra(monkeypatch, tmp_path):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match=r"effortctl\[plot\]"):
        write_figure(realistic(), tmp_path / "x.png")


def test_a_name_that_is_no_picture_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\*\.png or \*\.svg"):
        write_figure(realistic(), tmp_path / "x.jpeg")


@pytest.mark.parametrize(
    ("name", "log"),
    [
        *((name, True) for name in ["realistic", *DEGENERATE]),
        ("realistic", False),
        ("some_free", False),
    ],
)
def test_any_result_can_be_drawn_without_a_warning(name, log, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    result = realistic() if name == "realistic" else DEGENERATE[name]()
    write_figure(result, tmp_path / "deep" / "frontier.svg", log=log)
    root = ET.parse(tmp_path / "deep" / "frontier.svg").getroot()
    assert root.tag.endswith("svg")


def test_a_png_is_a_png(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    write_figure(realistic(), tmp_path / "frontier.png")
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_result_makes_the_same_drawing(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    for name in ("a.svg", "b.svg"):
        write_figure(realistic(), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_dollar_signs_are_text_and_not_maths(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    write_figure(realistic(name="costs $1 and $x_1^2$"), tmp_path / "frontier.svg")
    # matplotlib writes the text of every label as a comment beside its outlines.
    assert "$x_1^2$" in (tmp_path / "frontier.svg").read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not written"):
        write_figure(realistic(), tmp_path / "file" / "x.png")

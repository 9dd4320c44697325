"""`effortctl eval report`."""

import json

import pytest
import typer
from harness.report.result_data import DEGENERATE, realistic
from typer.testing import CliRunner

from effortctl.cli import _eval_report


@pytest.fixture
def report():
    """Runs `report` with the given arguments."""
    app = typer.Typer()
    app.callback()(lambda: None)
    _eval_report.register(app)

    def run(*arguments):
        return CliRunner().invoke(app, ["report", *map(str, arguments)])

    return run


@pytest.fixture
def saved(tmp_path):
    """A saved result."""
    path = tmp_path / "run" / "result.json"
    realistic().save(path)
    return path


def test_without_a_file_to_write_it_prints_verdict_table_and_plot(report, saved):
    done = report(saved)
    assert done.exit_code == 0
    assert done.stdout.startswith("ROUTE: The plan saves 60%")
    assert "terra-6@medium" in done.stdout
    assert "$ per 1,000 tasks, log scale" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", ["realistic", *DEGENERATE])
def test_it_fits_the_terminal_and_cuts_no_number(report, tmp_path, monkeypatch, *, name, width):
    monkeypatch.setenv("COLUMNS", str(width))
    result = realistic() if name == "realistic" else DEGENERATE[name]()
    result.save(tmp_path / "r.json")
    done = report(tmp_path / "r.json")
    assert done.exit_code == 0
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= width
    shown = f"{result.arms[result.best_fixed_arm].quality * 100:.1f}%"
    assert shown in done.stdout


def test_a_run_folder_stands_for_its_result(report, saved):
    assert report(saved.parent).stdout == report(saved).stdout


def test_files_are_written_and_named(report, saved, tmp_path):
    page = tmp_path / "out" / "report.html"
    done = report(saved, "-o", page)
    assert done.exit_code == 0
    assert f"Written to {page}" in done.stdout
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]


def test_tasks_can_be_left_out_of_the_page(report, saved, tmp_path):
    report(saved, "-o", tmp_path / "r.html", "--no-tasks")
    assert "ticket-00001" not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_pictures_are_written(report, saved, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    done = report(saved, "--png", tmp_path / "a.png", "--svg", tmp_path / "a.svg", "--linear")
    assert done.exit_code == 0
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_json_tells_programs_what_was_written(report, saved, tmp_path):
    document = json.loads(report(saved, "-o", tmp_path / "r.html", "--json").stdout)
    assert document["headline"].startswith("ROUTE: ")
    assert document["verdict"]["decision"] == "route"
    assert document["files"] == {"html": str(tmp_path / "r.html")}


def test_a_folder_without_a_result_says_what_to_do(report, tmp_path):
    done = report(tmp_path)
    assert done.exit_code == 3
    assert "effortctl eval resume" in done.stderr


def test_a_damaged_file_and_a_page_that_cannot_be_written_are_bad_input(report, saved, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    assert report(tmp_path / "bad.json").exit_code == 3
    (tmp_path / "file").write_text("")
    done = report(saved, "-o", tmp_path / "file" / "r.html")
    assert done.exit_code == 3
    assert "was not written" in done.stderr

import re
import subprocess
import sys
import warnings
from decimal import Decimal

import pytest
import typer
from typer.main import get_command

import effortctl
from effortctl import (
    BackendError,
    BudgetExceededError,
    ConfigError,
    DeadlineExceededError,
    EffortctlWarning,
    NotAcceptedError,
    StoreError,
    TransientBackendError,
    UnknownPriceError,
)
from effortctl.cli import _show
from effortctl.cli._app import app
from effortctl.cli._exits import told

COMMANDS = ("run", "demo", "models", "ledger", "doctor")


def test_help_loads_neither_the_sdk_nor_scikit_learn_nor_diskcache():
    code = (
        "import sys\nfrom effortctl.cli import main\nsys.argv = ['effortctl', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
        "print('LOADED', {'openai', 'sklearn', 'diskcache', 'genai_prices'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LOADED set()" in done.stdout
    for command in COMMANDS:
        assert command in done.stdout


def test_version(cli):
    assert cli("--version").stdout == f"effortctl {effortctl.__version__}\n"


def test_no_command_is_help_and_code_2(cli):
    done = cli()
    assert done.exit_code == 2
    assert "Usage: effortctl" in done.stdout + done.stderr


def leaves(command, path=()):
    """Every command, with the words that call it."""
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from leaves(each, (*path, name))


EVERY = list(leaves(get_command(app)))
ALONE = [path for path in EVERY if path not in {each[:-1] for each in EVERY}]


@pytest.mark.parametrize("path", ALONE, ids=" ".join)
def test_every_command_has_examples_in_its_help(cli, path):
    done = cli(*path, "--help")
    assert done.exit_code == 0
    examples = done.stdout.partition("\nExamples:\n")[2].splitlines()
    assert examples[0].startswith(f"  effortctl {' '.join(path)}")


@pytest.mark.parametrize("path", EVERY, ids=lambda path: " ".join(path) or "effortctl")
def test_help_fits_80_columns_and_names_values_in_words(cli, path):
    told, _, examples = cli(*path, "--help").stdout.partition("\nExamples:\n")
    assert max(map(len, told.splitlines())) <= 80
    assert "<" not in re.sub(r"< \w+\.txt", "", told), "an option needs a metavar"
    assert "......" not in told
    assert "{" not in told
    assert all(line.startswith("  ") for line in examples.partition("\n\n")[0].splitlines())


def test_help_groups_the_commands_and_lists_the_exit_codes(cli):
    told = " ".join(cli("--help").stdout.split())
    for words in ("Ask: run", "Measure and choose:", "Watch and look up:", "doctor: something is"):
        assert words in told
    assert "eval gate: 0 pass, 1 fail, 2 inconclusive" in told


def test_the_same_thing_has_the_same_option_everywhere():
    meant = {}
    for path in ALONE:
        command = get_command(app)
        for name in path:
            command = command.commands[name]
        for option in command.params:
            if option.param_type_name == "option":
                short = {opt for opt in option.opts if not opt.startswith("--")}
                assert short <= {"-o", "-q"}, f"{path}: {short}"
                for opt in option.opts:
                    meant.setdefault(opt, set()).add(option.metavar or "")
    assert {each.removesuffix(".html") for each in meant["--output"]} == {"FILE", "FOLDER"}
    for opt in (
        "--ledger",
        "--traces",
        "--gguf",
        "--usd-per-hour",
        "--since",
        "--level",
        "--budget",
    ):
        assert len(meant[opt]) == 1, (opt, meant[opt])


# --- how commands end ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 3),
        (UnknownPriceError("x"), 3),
        (StoreError("x"), 3),
        (NotAcceptedError("x"), 4),
        (BudgetExceededError("x", needed=Decimal(1), left=Decimal(0)), 5),
        (BackendError("x"), 6),
        (TransientBackendError("x"), 6),
        (DeadlineExceededError("x"), 6),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(error, code, capsys):
    with pytest.raises(typer.Exit) as ended, told(as_json=False):
        raise error
    assert ended.value.exit_code == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err in {"Error: x\n", "Interrupted.\n"}


def test_a_warning_is_one_line_on_stderr_and_the_filters_come_back(capsys):
    before = list(warnings.filters)
    with told(as_json=False):
        warnings.warn("mind the gap", EffortctlWarning, stacklevel=1)
    assert capsys.readouterr().err == "Warning: mind the gap\n"
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0"),
        ("0.0000123456", "$0.0000123"),
        ("0.00005600", "$0.000056"),
        ("0.05", "$0.05"),
        ("0.5", "$0.50"),
        ("12.3", "$12.30"),
        ("1234.567", "$1,234.57"),
        ("1000", "$1,000.00"),
        ("-0.25", "-$0.25"),
    ],
)
def test_dollars_have_three_digits_and_at_least_cents(amount, text):
    assert _show.usd(Decimal(amount)) == text


def test_one_is_singular():
    assert [_show.plural(n, "arm") for n in (0, 1, 2, 1000)] == [
        "0 arms",
        "1 arm",
        "2 arms",
        "1,000 arms",
    ]

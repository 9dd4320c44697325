import subprocess
import sys
import warnings
from decimal import Decimal

import pytest
import typer

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


@pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("demo",),
        ("models",),
        ("models", "ladder"),
        ("ledger", "show"),
        ("ledger", "export"),
        ("doctor",),
    ],
)
def test_every_command_has_at_least_two_examples_in_its_help(cli, command):
    done = cli(*command, "--help")
    assert done.exit_code == 0
    assert done.stdout.count("effortctl " + command[0]) >= 3, "the usage line and two examples"


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

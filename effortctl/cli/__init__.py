"""The command line: parse, call, print. Everything it can do, the library can do without it."""

__all__ = ["main"]


def main() -> None:
    """Run `effortctl` with the arguments of this process."""
    from effortctl.cli._app import app  # noqa: PLC0415 - importing effortctl.cli loads no typer

    app(prog_name="effortctl")

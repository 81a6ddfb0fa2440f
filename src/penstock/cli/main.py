"""``penstock ...``: the command line.

>>> sorted(main.commands)
['brokerage', 'checkpoint', 'files', 'monitor']
"""

from __future__ import annotations

import click

from penstock.brokerage.commands import brokerage
from penstock.brokerage.exits import ExitCodeGroup
from penstock.cli.checkpoint import checkpoint
from penstock.cli.files import files
from penstock.cli.monitor import monitor

__all__ = ["main"]


def _print_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and seldom needed

    try:
        number = version("penstock")
    except PackageNotFoundError:  # run from a source tree that is not installed
        number = "unknown"
    click.echo(f"penstock, version {number}")
    ctx.exit()


@click.group(cls=ExitCodeGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Penstock: Spark Streaming's model in Python, without a JVM.

    \b
    Examples:
      penstock brokerage --help
      penstock brokerage generate --orders 500000 --seed 1 --out orders.txt
      penstock checkpoint show output/figures-checkpoint
      penstock files explain input
      penstock monitor output/figures-checkpoint
    """


main.add_command(brokerage)
main.add_command(checkpoint)
main.add_command(files)
main.add_command(monitor)

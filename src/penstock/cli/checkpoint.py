"""``penstock checkpoint ...``: looking at what a program has recorded, and at what it could not do.

Only click is imported here; each command imports what it needs when it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from penstock.brokerage.exits import ExitCodeGroup

if TYPE_CHECKING:
    from penstock.context import StreamingContext

__all__ = ["checkpoint"]

_PROGRAM = click.argument("program", metavar="PROGRAM")
_DIRECTORY = click.argument("directory", metavar="DIR")


@click.group(cls=ExitCodeGroup)
def checkpoint() -> None:
    """What a streaming program has recorded with ssc.checkpoint(DIR).

    \b
    Examples:
      penstock checkpoint show output/figures-checkpoint
      penstock checkpoint verify output/figures-checkpoint
      penstock checkpoint diff output/figures-checkpoint dashboard.py:setup
      penstock checkpoint replay output/figures-checkpoint dashboard.py:setup
    """


@checkpoint.command("show")
@_DIRECTORY
def show_command(directory: str) -> None:
    """Say what is in a checkpoint: batches, state, windows, inputs, what is unfinished and what was lost.

    Nothing is changed, and nothing is unpickled.
    """
    from penstock.cli.shown import shown

    for line in shown(directory):
        click.echo(line)


@checkpoint.command("verify")
@_DIRECTORY
@click.pass_context
def verify_command(ctx: click.Context, directory: str) -> None:
    """Read every file of a checkpoint, with its checksums; exit code 1 if anything is damaged."""
    from penstock.cli.shown import verified

    lines, whole = verified(directory)
    for line in lines:
        click.echo(line)
    ctx.exit(0 if whole else 1)


@checkpoint.command("diff")
@_DIRECTORY
@_PROGRAM
def diff_command(directory: str, program: str) -> None:
    """Say what becomes of a checkpoint if PROGRAM goes on from it with upgrade=True: what is kept, new,
    missing or changed. Nothing is run or written.

    PROGRAM is the function that makes the streaming context, as FILE.py:FUNCTION or MODULE:FUNCTION.
    """
    from penstock.cli.shown import differences

    for line in differences(directory, made_by(program)):
        click.echo(line)


@checkpoint.command("replay")
@_DIRECTORY
@_PROGRAM
def replay_command(directory: str, program: str) -> None:
    """Run outputs again that were given up (penstock.streaming.onFailure=skip), with the records that they
    should have had, one after the other; the first that fails again ends it.

    PROGRAM is the function that makes the streaming context, as FILE.py:FUNCTION or MODULE:FUNCTION. State
    and windows are left alone, so the program itself may run meanwhile.
    """
    from penstock.cli.shown import replayed

    for line in replayed(directory, made_by(program)):
        click.echo(line)


def made_by(program: str) -> StreamingContext:
    """What the function that ``program`` names makes. ``ArgumentError`` if it names none."""
    import importlib
    import importlib.util
    import os
    import sys

    from penstock.context import StreamingContext
    from penstock.errors import ArgumentError

    place, _, name = program.rpartition(":")
    if not place or not name:
        raise ArgumentError(
            f"{program!r} names no function. Hint: dashboard.py:setup, or package.module:setup."
        )
    module: Any
    if place.endswith(".py"):
        if not os.path.isfile(place):
            raise ArgumentError(f"there is no file {place}")
        spec = importlib.util.spec_from_file_location("__penstock_program__", place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, os.getcwd())
        try:
            module = importlib.import_module(place)
        except ImportError as error:
            raise ArgumentError(f"{place} cannot be imported: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ArgumentError(f"{place} has no function {name}")
    made = function()
    if not isinstance(made, StreamingContext):
        raise ArgumentError(f"{program} must return a StreamingContext, not {type(made).__name__}")
    return made

"""``penstock files ...``: looking at a directory as a stream of files does.

Only click is imported here; each command imports what it needs when it runs.
"""

from __future__ import annotations

import click

from penstock.brokerage.exits import ExitCodeGroup

__all__ = ["files"]


@click.group(cls=ExitCodeGroup)
def files() -> None:
    """What a stream of files makes of a directory.

    \b
    Examples:
      penstock files explain input
      penstock files explain input --checkpoint output/figures-checkpoint
      penstock files explain s3://bucket/in --all --recursive --glob '*.csv' --json
    """


@files.command("explain")
@click.argument("directory", metavar="DIR")
@click.option("--checkpoint", metavar="DIR", help="The checkpoint of the program whose stream it is.")
@click.option("--input", "name", metavar="NAME", help="The stream's name in the checkpoint, if in doubt.")
@click.option("--all", "all_files", is_flag=True, help="As with newFilesOnly=False.")
@click.option("--recursive", is_flag=True, help="As with recursive=True.")
@click.option("--glob", "globs", multiple=True, metavar="PATTERN", help="As a filter: names that match.")
@click.option("--stable-for", type=click.FloatRange(0), default=0, metavar="SECONDS", help="As stableFor.")
@click.option("--max-files", type=click.IntRange(1), metavar="N", help="As maxFilesPerBatch.")
@click.option("--max-bytes", type=click.IntRange(1), metavar="N", help="As maxBytesPerBatch.")
@click.option("--archive", metavar="DIR", help="As with afterCommit='archive:DIR'.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.pass_context
def explain_command(
    ctx: click.Context,
    directory: str,
    checkpoint: str | None,
    name: str | None,
    all_files: bool,
    recursive: bool,
    globs: tuple[str, ...],
    stable_for: float,
    max_files: int | None,
    max_bytes: int | None,
    archive: str | None,
    as_json: bool,
) -> None:
    """Say of each file in DIR (a directory, a glob or a URL) why a stream takes it, or does not.

    Without --checkpoint, of a stream that starts now. Nothing is changed, and no file is read.

    Exit code 1 if a file is in the way of its being taken as it is: it cannot be read, or has changed after
    it was taken.
    """
    from penstock.cli.explained import Question, explained, printed

    question = Question(
        directory, checkpoint, name, all_files, recursive, globs, stable_for, max_files, max_bytes, archive
    )
    report = explained(question)
    printed(report, as_json)
    ctx.exit(1 if report.needs_attention else 0)

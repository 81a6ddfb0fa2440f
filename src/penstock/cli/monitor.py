"""``penstock monitor DIR``: an application as its batch log tells of it, finished, dead or running.

Only click is imported here; the command imports what it needs when it runs.
"""

from __future__ import annotations

import webbrowser

import click

from penstock.brokerage.exits import ExitCodeCommand, stop_request

__all__ = ["monitor"]


@click.command(cls=ExitCodeCommand)
@click.argument("directory", metavar="DIR")
@click.option(
    "--port", default=4040, show_default=True, help="The page's port, or the next free one; 0: any."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--text", is_flag=True, help="Print a summary and end; no page.")
@click.pass_context
def monitor(ctx: click.Context, directory: str, port: int, no_browser: bool, text: bool) -> None:
    """Show what has happened to the batches of an application, from the log in its checkpoint DIR.

    The page and its API are those of a running application, and follow the log while it grows. Nothing in DIR
    is changed.

    \b
    Examples:
      penstock monitor output/figures-checkpoint
      penstock monitor output/figures-checkpoint --text
    """
    from penstock.clock import SystemClock
    from penstock.monitor.ended import LogPage, ended_in, summary

    if text:
        for line in summary(ended_in(directory, SystemClock())):
            click.echo(line)
        return
    page = LogPage(directory, SystemClock(), port)
    with stop_request() as stopped:
        url = page.start()
        click.echo(f"The batches of {directory} are at {url} (follows the log; Ctrl-C ends it)")
        if not no_browser:
            webbrowser.open(url)
        stopped.event.wait()
    page.stop()
    ctx.exit(stopped.exit_code)

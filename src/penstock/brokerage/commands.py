"""``penstock brokerage ...``: the commands of the brokerage application.

Only click is imported here; each command imports what it needs when it runs, so that ``--help`` is quick.
How commands end is in :mod:`penstock.brokerage.exits`.
"""

from __future__ import annotations

from pathlib import Path

import click

from penstock.brokerage.exits import ExitCodeGroup, sigterm_as_exit, stop_request

__all__ = ["brokerage", "demo_command", "feed_command", "generate_command", "run_command"]


@click.group(cls=ExitCodeGroup)
def brokerage() -> None:
    """The brokerage dashboard: live figures from a stream of orders.

    \b
    Examples:
      penstock brokerage generate --orders 500000 --seed 1 --out orders.txt
      penstock brokerage feed orders.txt input --lines 10000 --every 3
      penstock brokerage run --input input --output output/figures
      penstock brokerage feed orders.txt --to tcp://localhost:9999 --acked
      penstock brokerage run --input tcp://localhost:9999 --acked --output output/figures
      penstock brokerage demo
    """


@brokerage.command("generate")
@click.option(
    "--orders", type=click.IntRange(min=0), default=500_000, show_default=True, help="How many lines."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Which orders: the same seed, the same file.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="orders.txt",
    show_default=True,
    help="The file to write; replaced if it is there.",
)
@click.option(
    "--malformed",
    type=click.FloatRange(0.0, 1.0),
    default=0.0,
    show_default=True,
    help="The fraction of lines to damage, for trying out how they are rejected.",
)
def generate_command(orders: int, seed: int, out: Path, malformed: float) -> None:
    """Write a file of made-up orders, one a line.

    A line is time, order id, client id, symbol, amount, price, and B (buy) or S (sell):

    \b
      2016-03-22 20:25:28,1,80,EPE,710,51.00,B

    The file appears when it is complete; Ctrl-C leaves nothing behind.

    \b
    Examples:
      penstock brokerage generate --orders 500000 --seed 1 --out orders.txt
      penstock brokerage generate --orders 1000 --malformed 0.005 --out rough.txt
    """
    from penstock.brokerage.generate import write_orders
    from penstock.brokerage.words import counted

    with sigterm_as_exit():
        byte_count = write_orders(out, orders, seed, malformed)
    click.echo(f"{counted(orders, 'line')} ({byte_count / 1e6:.1f} MB) written to {out}")


@brokerage.command("feed")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("directory", metavar="[DIR]", required=False)
@click.option(
    "--to",
    metavar="URL",
    help="In place of DIR: a directory of any storage, tcp://HOST:PORT, or kafka://SERVER:PORT/TOPIC.",
)
@click.option(
    "--lines", type=click.IntRange(min=1), default=10_000, show_default=True, help="Lines in a part."
)
@click.option(
    "--every",
    type=click.FloatRange(min=0),
    default=3.0,
    show_default=True,
    help="Seconds from one part to the next; 0: all at once.",
)
@click.option("--connect", is_flag=True, help="tcp: connect to the address.  [default: listen there]")
@click.option("--acked", is_flag=True, help="tcp: send until the receiver has acknowledged every line.")
@click.option(
    "--stream-id",
    metavar="ID",
    help="With --acked: the name under which the receiver counts the lines.  [default: of the file]",
)
@click.pass_context
def feed_command(
    ctx: click.Context,
    file: Path,
    directory: str | None,
    to: str | None,
    lines: int,
    every: float,
    connect: bool,
    acked: bool,
    stream_id: str | None,
) -> None:
    """Send FILE, part by part, as if its lines arrived while time passes.

    Into a directory, here or of a store (s3://bucket/in): parts are named orders-00000.txt and so on, after
    those that it already holds, and each appears whole. A directory is created if it is missing.

    To tcp://HOST:PORT: waits until somebody connects, as 'run --input tcp://HOST:PORT' does, and sends the
    lines to one connection at a time. Lines that a connection has taken when it breaks are gone; the next one
    goes on with the next line. With --acked nothing is lost and nothing comes twice: the receiver (run
    --acked) says what it has, whenever it comes back, and a feed of the same file that was killed goes on
    there.

    To kafka://SERVER:PORT/TOPIC: a message a line, without a key; none is lost or doubled by a retry.

    Ctrl-C and SIGTERM stop between two parts.

    \b
    Examples:
      penstock brokerage feed orders.txt input
      penstock brokerage feed orders.txt input --lines 1000 --every 0.5
      penstock brokerage feed orders.txt input --every 0      (all at once)
      penstock brokerage feed orders.txt --to s3://bucket/input
      penstock brokerage feed orders.txt --to tcp://localhost:9999 --acked
      penstock brokerage feed orders.txt --to kafka://localhost:9092/orders
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from penstock.brokerage.feeding import Feeding, feed_to
    from penstock.brokerage.messages import shown_on

    if (directory is None) == (to is None):
        raise click.UsageError("name where FILE goes: either DIR or --to URL", ctx)
    feeding = Feeding(
        file,
        directory if directory is not None else str(to),
        lines=lines,
        every_s=every,
        connect=connect,
        acked=acked,
        stream_id=stream_id,
    )
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )

    def tell(message: str) -> None:
        progress.console.print(message, highlight=False, markup=False, soft_wrap=True)

    with stop_request() as request, progress, shown_on(tell):
        task = progress.add_task("feeding", total=file.stat().st_size)

        def on_progress(byte_count: int, description: str) -> None:
            progress.update(task, completed=byte_count, description=description)

        fed, done = feed_to(feeding, on_progress=on_progress, waiting=tell, stop=request.event)
    click.echo(done if fed.finished else f"Stopped before the end: {done}")
    if not fed.finished:
        ctx.exit(request.exit_code)


@brokerage.command("run")
@click.option(
    "--input",
    "input_",
    metavar="URL",
    required=True,
    help="Where lines come from: a directory that files appear in (a path or any URL), tcp://HOST:PORT, or kafka://SERVER:PORT/TOPIC.",
)
@click.option("--listen", is_flag=True, help="tcp: wait for the sender to connect.  [default: connect to it]")
@click.option("--acked", is_flag=True, help="tcp: acknowledge lines once they are stored: none is lost.")
@click.option(
    "--log/--no-log",
    default=True,
    show_default=True,
    help="tcp: write lines down as they come, so that the end of this run loses none of them.",
)
@click.option(
    "--output", metavar="PREFIX", required=True, help="Each batch writes PREFIX-<ms>.txt/part-00000."
)
@click.option("--interval", type=float, default=5.0, show_default=True, help="Seconds from batch to batch.")
@click.option(
    "--window",
    type=float,
    default=3600.0,
    show_default=True,
    help="Seconds of trading that the top five securities are taken from; a multiple of the interval.",
)
@click.option(
    "--checkpoint",
    metavar="DIR",
    help="Where the run is recorded, to go on after its end.  [default: PREFIX-checkpoint]",
)
@click.option("--fresh", is_flag=True, help="Begin anew, whatever an earlier run has recorded.")
@click.option(
    "--available-now", is_flag=True, help="Take the files that are there, batch after batch, and end."
)
@click.option("--max-files-per-batch", type=click.IntRange(min=1), help="Let further files wait their turn.")
@click.option(
    "--rejects", metavar="FILE", help="Where malformed lines are added to.  [default: PREFIX-rejects.tsv]"
)
@click.option(
    "--master",
    default="local[*]",
    show_default=True,
    help="Where it runs: local[N], local[*], or a Spark cluster, spark://HOST:7077.",
)
@click.option("--no-ui", is_flag=True, help="No page; there is none with --available-now either.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4040,
    show_default=True,
    help="The page's port, or the next that is free; 0: any.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show all that is logged, tracebacks included.")
@click.pass_context
def run_command(
    ctx: click.Context,
    input_: str,
    listen: bool,
    acked: bool,
    log: bool,
    output: str,
    interval: float,
    window: float,
    checkpoint: str | None,
    fresh: bool,
    available_now: bool,
    max_files_per_batch: int | None,
    rejects: str | None,
    master: str,
    no_ui: bool,
    port: int,
    verbose: bool,
) -> None:
    """Show the dashboard of the orders that appear in a directory or come otherwise, and write its figures.

    Every batch writes BUYS, SELLS, TOP5CLIENTS and TOP5STOCKS. A line that is no order is counted and
    written to the rejects file with its file, line number and reason. (One of more than 1 MB that comes
    through a connection is only counted.) Files that are there at the start
    are left alone, unless --available-now asks for them. Ctrl-C and SIGTERM let the running batch complete.

    The dashboard is a page, too, on this machine alone; its address is printed (needs the ui extra).

    Every batch is recorded: however the run ends, the next one with the same --output goes on behind its last
    complete batch, with the same figures as if nothing had happened. Files that came meanwhile are taken.

    From tcp://HOST:PORT the lines of whoever listens there are read; the connection is made again for as
    long as the run goes on. What is on its way when it breaks is lost, unless both sides use --acked.

    From kafka://SERVER:PORT/TOPIC the messages are read that come from now on, with --available-now all that
    are there; each belongs to exactly one batch.

    \b
    Examples:
      penstock brokerage run --input input --output output/figures
      penstock brokerage run --input input --output output/figures --interval 1 --window 60
      penstock brokerage run --input input --output output/figures --available-now --max-files-per-batch 10
      penstock brokerage run --input s3://bucket/input --output output/figures
      penstock brokerage run --input tcp://localhost:9999 --acked --output output/figures
      penstock brokerage run --input kafka://localhost:9092/orders --output output/figures
    """
    from rich.console import Console

    from penstock.brokerage.drawing import summary
    from penstock.brokerage.options import Options
    from penstock.brokerage.run import run
    from penstock.brokerage.view import View

    options = Options(
        input=input_,
        output=output,
        interval_s=interval,
        window_s=window,
        checkpoint=checkpoint,
        fresh=fresh,
        available_now=available_now,
        max_files_per_batch=max_files_per_batch,
        rejects=rejects,
        master=master,
        listen=listen,
        acked=acked,
        log=log,
        ui=not no_ui,
        port=port,
    )
    view = View(Console(), options)
    with stop_request() as request:
        try:
            run(options, view, request.event, verbose=verbose)
        except Exception:
            if view.totals.batches:
                view.tell(summary(view.totals, options, "Failed"))
            raise
    view.tell(summary(view.totals, options, "Stopped" if request.exit_code else "Done"))
    if view.error is not None:
        raise view.error
    ctx.exit(1 if view.abandoned else request.exit_code)


@brokerage.command("demo")
@click.option("--orders", type=click.IntRange(min=1), default=500_000, show_default=True, help="How many.")
@click.option("--parts", type=click.IntRange(min=1), default=50, show_default=True, help="In how many files.")
@click.option(
    "--every", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Seconds from file to file."
)
@click.option("--interval", type=float, default=1.0, show_default=True, help="Seconds from batch to batch.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/demo"),
    show_default=True,
    help="Where everything is written; emptied first if it is of an earlier demo.",
)
@click.option(
    "--over",
    type=click.Choice(["files", "tcp", "acked", "kafka", "s3"]),
    default="files",
    show_default=True,
    help="How the orders come into the stream.",
)
@click.option("--no-ui", is_flag=True, help="No page.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4040,
    show_default=True,
    help="The page's port, or the next that is free; 0: any.",
)
@click.option(
    "--keep", is_flag=True, envvar="KEEP", help="Serve the page after the end, until Ctrl-C; also KEEP=1."
)
@click.pass_context
def demo_command(
    ctx: click.Context,
    orders: int,
    parts: int,
    every: float,
    interval: float,
    folder: Path,
    over: str,
    no_ui: bool,
    port: int,
    keep: bool,
) -> None:
    """Run the dashboard on made-up orders, and check all its figures against a direct computation.

    It is a page, too, while it runs; its address is printed.

    The orders come in files that appear in a directory, through a connection (tcp, or acked: with
    acknowledgements), from a topic of Kafka, or in files that appear in a bucket of S3. The last two start a
    server of their own for the time; they need penstock[kafka], and penstock[s3] with moto[server].

    One over files or acked that was interrupted goes on where it was when it is started again.

    \b
    Examples:
      penstock brokerage demo
      penstock brokerage demo --orders 50000 --parts 10 --every 0.2
      penstock brokerage demo --over acked
    """
    from rich.console import Console

    from penstock.brokerage.demo import demo

    with stop_request() as request:
        whole = demo(
            folder,
            Console(),
            request.event,
            orders=orders,
            parts=parts,
            every_s=every,
            interval_s=interval,
            over=over,
            ui=not no_ui,
            port=port,
            keep=keep,
        )
    ctx.exit(0 if whole else request.exit_code or 1)

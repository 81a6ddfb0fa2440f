"""What ``penstock brokerage run`` is told, and what of it cannot be meant."""

from __future__ import annotations

from pathlib import Path

from penstock.brokerage.places import Directory, Place, Tcp, place_of
from penstock.errors import ArgumentError, joined
from penstock.sources import is_visible
from penstock.storage import LocalStorage, has_wildcard, storage_for
from penstock.times import milliseconds_of, shown_ms
from penstock.values import dataclass

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """What to read, where to write, how often; durations in seconds, ``None`` where there is a default.

    ``ArgumentError``, in the words of the command line and all at once, for what cannot be meant.

    >>> Options("input", "output/figures", interval_s=5, window_s=60).figures
    'output/figures-<ms>.txt'
    >>> Options("input", "output/figures", interval_s=5, window_s=7)
    Traceback (most recent call last):
    penstock.errors.ArgumentError: --window 7 s must be a multiple of --interval 5 s. Hint: use 5 s or 10 s.
    """

    input: str
    output: str
    interval_s: float = 5.0
    window_s: float = 3600.0
    checkpoint: str | None = None
    fresh: bool = False
    available_now: bool = False
    max_files_per_batch: int | None = None
    rejects: str | None = None
    master: str = "local[*]"
    listen: bool = False
    acked: bool = False
    log: bool = True
    ui: bool = True
    port: int = 4040

    def __post_init__(self) -> None:
        problems = [*self._time_problems(), *self._place_problems(), *self._rejects_problems()]
        if problems:
            raise ArgumentError(joined(problems))

    @property
    def place(self) -> Place:
        """Where the lines come from."""
        return place_of(self.input)

    @property
    def units(self) -> str:
        """What the input consists of.

        >>> Options("input", "out/f").units, Options("kafka://localhost:9092/orders", "out/f").units
        ('files', 'messages')
        """
        place = self.place
        return "files" if isinstance(place, Directory) else "lines" if isinstance(place, Tcp) else "messages"

    @property
    def serves(self) -> bool:
        """Whether the dashboard is a page too; of a run that ends by itself nobody would see it."""
        return self.ui and not self.available_now

    @property
    def figures(self) -> str:
        """Where the figures of each batch go, in words."""
        return f"{self.output}-<ms>.txt"

    @property
    def checkpoint_directory(self) -> str:
        """Where the run is recorded: by default beside the outputs."""
        return self.checkpoint if self.checkpoint is not None else f"{self.output}-checkpoint"

    @property
    def rejects_file(self) -> Path:
        """Where rejected lines go: by default beside the outputs."""
        return Path(self.rejects if self.rejects is not None else f"{self.output}-rejects.tsv")

    def _time_problems(self) -> list[str]:
        try:
            interval_ms = milliseconds_of(self.interval_s, "--interval")
            window_ms = milliseconds_of(self.window_s, "--window")
        except ArgumentError as problem:
            return [str(problem)]
        if window_ms % interval_ms == 0:
            return []
        below = window_ms - window_ms % interval_ms
        ways_out = [shown_ms(length) for length in (below, below + interval_ms) if length]
        return [
            f"--window {shown_ms(window_ms)} must be a multiple of --interval {shown_ms(interval_ms)}. "
            f"Hint: use {' or '.join(ways_out)}."
        ]

    def _place_problems(self) -> list[str]:
        """Options that are for another kind of input."""
        try:
            place = self.place
        except ArgumentError as problem:
            return [f"--input {problem}"]
        found = []
        if not isinstance(place, Directory) and self.max_files_per_batch is not None:
            setting = (
                "spark.streaming.receiver.maxRate"
                if isinstance(place, Tcp)
                else "spark.streaming.kafka.maxRatePerPartition"
            )
            found.append(
                f"--max-files-per-batch is for a directory, and {self.input} has no files. Hint: the setting "
                f"{setting} limits the lines per second."
            )
        if isinstance(place, Tcp):
            if self.available_now:
                found.append(
                    "--available-now is for a directory or a topic: of a connection nobody knows what comes. "
                    "Hint: without it the run goes on until Ctrl-C."
                )
            return found
        for name, given in (("--listen", self.listen), ("--acked", self.acked), ("--no-log", not self.log)):
            if given:
                found.append(f"{name} is for lines through a connection. Hint: --input tcp://localhost:9999.")
        return found

    def _rejects_problems(self) -> list[str]:
        if self.rejects is None and not _is_local(self.output):
            return [
                f"rejected lines cannot be written to {self.output}. Hint: --rejects FILE on this machine."
            ]
        try:
            place = self.place
        except ArgumentError:
            return []
        if not isinstance(place, Directory):
            return []
        storage, watched = storage_for(place.location)
        if not isinstance(storage, LocalStorage) or has_wildcard(watched):
            return []
        if self.rejects_file.resolve().parent == Path(watched).resolve() and is_visible(
            self.rejects_file.name
        ):
            return [
                f"the rejects file {self.rejects_file} is in the input directory, so it would be read as "
                f"orders. Hint: --rejects FILE elsewhere."
            ]
        return []


def _is_local(location: str) -> bool:
    return isinstance(storage_for(location)[0], LocalStorage)

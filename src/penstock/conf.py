"""Every setting once: key, type, unit, default, and why that default; and the ``Conf`` that holds them.

Keys that Spark has keep Spark's names; ours begin with ``penstock.``. A new setting is one row
here, and ``python -m penstock.conf > docs/settings.md`` puts it into the documentation. The library
reads a setting by its row, which also gives the type::

    limit_bytes: int = conf.value(SPLIT_BYTES)

Nothing is read from environment variables or files: a program's settings are what it sets.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, Literal, TypeVar, cast

from penstock.errors import SettingError

__all__ = ["SETTINGS", "Conf", "Kind", "Setting", "markdown"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


# ------------------------------------------------------------------------------ kinds of value


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """A type of value: ``parse`` turns its text into the value, or raises ``ValueError`` with the rule."""

    name: str
    parse: Callable[[str], T_co]
    example: str
    show: Callable[[Any], str] = str


_UNITS_US = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "min": 60 * 10**6}
_UNITS_US |= {"h": 3600 * 10**6, "d": 86_400 * 10**6}
_BYTES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return text.lower() == "true"


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _number(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text):
        raise ValueError("must be a number, 0 or more")
    return float(text)


def _positive(text: str) -> float:
    number = _number(text)
    if not number:
        raise ValueError("must be a number above 0")
    return number


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([bkmgtp]?)b?", text.lower())
    if match is None or int(match[1]) == 0:
        raise ValueError(f"must be a positive whole number, alone or with a unit: {', '.join(_BYTES)}")
    return int(match[1]) * _BYTES[match[2] or "b"]


def _bytes_or_zero(text: str) -> int:
    return 0 if text == "0" else _bytes(text)


def _shown_bytes(count: int) -> str:
    unit = max((unit for unit, size in _BYTES.items() if count % size == 0), key=_BYTES.__getitem__)
    return f"{count // _BYTES[unit]}{unit}"


def _shown_duration(duration_ms: int) -> str:
    return f"{duration_ms // 1000}s" if duration_ms % 1000 == 0 else f"{duration_ms}ms"


def whole(minimum: int) -> Kind[int]:
    """Whole numbers from ``minimum`` on."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text) or int(text) < minimum:
            raise ValueError(f"must be a whole number, {minimum} or more")
        return int(text)

    return Kind("whole number", parse, str(max(minimum, 8)))


def only(allowed: str, why: str) -> Kind[str]:
    """Where Spark has a choice and Penstock has none: one value, and any other is refused with the reason."""

    def parse(text: str) -> str:
        if text != allowed:
            raise ValueError(f"can only be {allowed}: {why}")
        return text

    return Kind(f"only `{allowed}`", parse, allowed)


def one_of(*words: str) -> Kind[str]:
    """A choice between words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text

    return Kind(" or ".join(f"`{word}`" for word in words), parse, words[-1])


def duration(unit: str) -> Kind[int]:
    """Durations, parsed to milliseconds; a plain number is a count of ``unit``, as Spark has it for the key.

    >>> [duration("s").parse(text) for text in ("60s", "200ms", "1min", "1.5 s", "2")]
    [60000, 200, 60000, 1500, 2000]
    """

    def parse(text: str) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.lower())
        units_us = _UNITS_US.get(match[2] or unit) if match else None
        if match is None or units_us is None or (Fraction(match[1]) * units_us) % 1000:
            raise ValueError(f"must be whole milliseconds, in one of the units {', '.join(_UNITS_US)}")
        return int(Fraction(match[1]) * units_us) // 1000

    return Kind(f"duration (a plain number: {unit})", parse, "60s", _shown_duration)


TEXT = Kind("text", str, "text")
NAMES = Kind("names, separated by commas", _names, "app.Listener", ",".join)
FLAG = Kind("true or false", _flag, "true", lambda value: str(value).lower())
NUMBER = Kind("number, 0 or more", _number, "0.2")
POSITIVE = Kind("number above 0", _positive, "100")
SIZE_OR_ZERO = Kind("size (a plain number: bytes), or 0", _bytes_or_zero, "64m", _shown_bytes)
SIZE = Kind("size (a plain number: bytes)", _bytes, "32m", _shown_bytes)


# ------------------------------------------------------------------------------------- the table


@dataclass(frozen=True, slots=True)
class Setting(Generic[T_co]):
    """One row: all there is to know of a setting.

    ``status``: ``used``, something reads it; ``accepted``, it means nothing here and never will, it is
    taken so that a program for Spark carries over. ``unset`` describes a default that is ``None`` or nothing.
    """

    key: str
    kind: Kind[T_co]
    default: T_co
    does: str
    why: str
    status: Literal["used", "accepted"] = "used"
    unset: str = "not set"
    old_key: str = ""

    def parse(self, text: str) -> T_co:
        """The value that ``text`` stands for. Raises ``SettingError`` with the rule and an example.

        >>> INLINE_ROWS.parse("many")
        Traceback (most recent call last):
        penstock.errors.SettingError: penstock.local.inlineRows = 'many': must be a whole number, 0 or more. \
Hint: a value that would do is 8.
        """
        try:
            return self.kind.parse(text.strip())
        except ValueError as error:
            raise SettingError(
                f"{self.key} = {text!r}: {error}. Hint: a value that would do is {self.kind.example}."
            ) from None

    def shown_default(self) -> str:
        """The default as a user would write it, or in words."""
        return self.unset if self.default in (None, ()) else f"`{self.kind.show(self.default)}`"


MASTER = Setting(
    "spark.master", TEXT, "local[*]",
    "Where the work runs: `local[N]` and `local[*]` in this process, on N threads or one per CPU.",
    "One process is the default home, and all of it is used.",
)  # fmt: skip
APP_NAME = Setting(
    "spark.app.name", TEXT, "penstock", "The name of the program in messages.",
    "A name only matters where there are several programs.",
)  # fmt: skip
DEFAULT_PARALLELISM: Setting[int | None] = Setting(
    "spark.default.parallelism", whole(1), None,
    "How many partitions `parallelize` and the `...ByKey` operations make when they are not told.",
    "As many as can run at once: fewer leave CPUs idle, more cost and do not help.",
    unset="as many as the master has threads",
)  # fmt: skip
STOP_CONTEXT_BY_DEFAULT = Setting(
    "spark.streaming.stopSparkContextByDefault", FLAG, True,
    "Whether `StreamingContext.stop(None)` also stops the `Context`; `stop()` always does, as in PySpark.",
    "Spark's default.",
)  # fmt: skip
STOP_GRACEFULLY_ON_SHUTDOWN = Setting(
    "spark.streaming.stopGracefullyOnShutdown", FLAG, False,
    "Whether a program that ends without `stop()` completes the batches that wait first.",
    "Spark's default.",
)  # fmt: skip
GRACEFUL_STOP_TIMEOUT: Setting[int | None] = Setting(
    "spark.streaming.gracefulStopTimeout", duration("ms"), None,
    "The longest a graceful stop waits for the batches whose time has come.",
    "A stop that loses batches after a while is not graceful. Spark gives up after 10 batch intervals.",
    unset="as long as it takes",
)  # fmt: skip
ON_FAILURE = Setting(
    "penstock.streaming.onFailure", one_of("continue", "stop", "skip"), "continue",
    "After a batch of which anything failed: `continue`, later batches run; `stop`, none begins. With "
    "recovery"
    " (`ssc.checkpoint`) the batch is first run again, then both stop; `skip` gives it up, records the "
    "outputs"
    " that were lost, and goes on.",
    "Spark's behaviour. Figures that go on without the records of a failed batch want `stop`.",
)  # fmt: skip
CHECKPOINT_DIRECTORY: Setting[str | None] = Setting(
    "spark.streaming.checkpoint.directory", TEXT, None,
    "The same as `ssc.checkpoint(directory)`, for every `StreamingContext` that is made.",
    "As in Spark: recovery is asked for.",
)  # fmt: skip
RETRIES = Setting(
    "penstock.streaming.retries", whole(0), 3,
    "How often a batch that has failed is run again before `penstock.streaming.onFailure` decides; with "
    "recovery"
    " only.",
    "What fails for a moment, such as a full disk or a busy store, has a second chance, and a fourth.",
)  # fmt: skip
RETRY_DELAY = Setting(
    "penstock.streaming.retryDelay", duration("ms"), 500,
    "How long to wait before a batch is run again, and twice as long each time after that.",
    "With three retries 3.5 s in all: longer than a hiccup, shorter than anybody's patience.",
)  # fmt: skip
COMPACT_BYTES = Setting(
    "penstock.checkpoint.compactBytes", SIZE, 16 * 1024**2,
    "After so many bytes of records, or twice the last snapshot if that is more, a new snapshot is made.",
    "Little to read at the next start, and written seldom.",
)  # fmt: skip
SYNC_OUTPUTS = Setting(
    "penstock.checkpoint.syncOutputs", FLAG, False,
    "Whether the files of a batch are forced to the disk before its commit.",
    "Killing the program at any moment loses nothing without it. A loss of power may take the files of "
    "the last"
    " seconds, which the commit says are there; to survive that costs three synchronisations a batch.",
)  # fmt: skip
TRUST_STORE = Setting(
    "penstock.checkpoint.trustStore", FLAG, False,
    "Whether pickled objects in a checkpoint are read from a store that does not say who may write to it.",
    "Reading such objects runs code. On a local disk they are read if nobody but the user may write there.",
)  # fmt: skip
UNPERSIST = Setting(
    "spark.streaming.unpersist", FLAG, True,
    "Whether the datasets of past batches are forgotten as soon as no window and no `remember` needs them.",
    "Memory stays flat; `false` is for looking at old batches by hand.",
)  # fmt: skip
MIN_REMEMBER_DURATION = Setting(
    "spark.streaming.fileStream.minRememberDuration", duration("s"), 60_000,
    "How long a file that a batch has taken is watched for later changes, which are reported.",
    "Spark's default. A writer that is not atomic is seen within a minute.",
    old_key="spark.streaming.minRememberDuration",
)  # fmt: skip
EXTRA_LISTENERS: Setting[tuple[str, ...]] = Setting(
    "spark.streaming.extraListeners", NAMES, (),
    "`StreamingListener` classes (`package.module.Class`) to create and add at the start.",
    "Nobody listens unless asked to.", unset="none",
)  # fmt: skip
SPLIT_BYTES = Setting(
    "penstock.files.splitBytes", SIZE, 32 * 1024**2,
    "An uncompressed text file larger than this is read as several partitions, each about as large as this.",
    "Large enough that opening it and finding a line's start cost nothing; 8 CPUs share 256 MB.",
)  # fmt: skip
INLINE_ROWS = Setting(
    "penstock.local.inlineRows", whole(0), 1000,
    "Work on fewer records than this runs on the calling thread, until it is known how long it takes: then "
    "all work of less than 2 ms does. `0`: none.",
    "Handing work to a thread costs from 30 microseconds to half a millisecond, as a thousand records do.",
)  # fmt: skip
PYTHON_WORKERS = Setting(
    "penstock.python.workers", one_of("threads", "processes"), "threads",
    "Where functions run that are called record by record: on the threads of this process, of which one at a "
    "time holds Python's lock, or in as many worker processes as the master has threads.",
    "Records and results travel to a process and back, which only functions that compute a while are worth.",
)  # fmt: skip
TASK_MAX_FAILURES = Setting(
    "spark.task.maxFailures", whole(1), 4,
    "How often a partition is tried whose worker process dies, before the job fails.",
    "Spark's default. An exception of a function fails the job at once, here and with Spark's local masters.",
)  # fmt: skip
BRING_BYTES = Setting(
    "penstock.spark.bringBytes", SIZE_OR_ZERO, 32 * 1024**2,
    "At most so much of what a stage gives comes to the driver of a Spark cluster, where further stages read "
    "it; the rest stays on the cluster, in Spark's storage, until it is read there. `0`: all stays.",
    "What is there needs no second job to be read, up to the size at which the driver's time counts.",
)  # fmt: skip
PREFETCH_BYTES = Setting(
    "penstock.local.prefetchBytes", SIZE_OR_ZERO, 32 * 1024**2,
    "At most so much input of batches that wait is read and parsed while another batch runs; `0`: none.",
    "One part of a large file, or hundreds of small ones. In memory they take up to three times as much.",
)  # fmt: skip
BACKPRESSURE = Setting(
    "spark.streaming.backpressure.enabled", FLAG, False,
    "Whether inputs are held to as many records a second as batches turn out to manage. What is not taken "
    "waits where it comes from: in the folder, in the topic, at the sender.",
    "Spark's default. A stream that keeps up does not need it.",
)  # fmt: skip
INITIAL_RATE: Setting[int | None] = Setting(
    "spark.streaming.backpressure.initialRate", whole(1), None,
    "The most records per second of an input until batches have shown what they manage.",
    "Nothing is known at the start.", unset="no limit",
)  # fmt: skip
RATE_ESTIMATOR = Setting(
    "spark.streaming.backpressure.rateEstimator", only("pid", "there is no other"), "pid",
    "How the rate is found.", "Spark's default.",
)  # fmt: skip
PID_PROPORTIONAL = Setting(
    "spark.streaming.backpressure.pid.proportional", NUMBER, 1.0,
    "How much of the difference between what is let in and what is processed is taken off the rate.",
    "Spark's default: all of it.",
)  # fmt: skip
PID_INTEGRAL = Setting(
    "spark.streaming.backpressure.pid.integral", NUMBER, 0.2,
    "How much of what has piled up is taken off the rate.", "Spark's default: gone after five batches.",
)  # fmt: skip
PID_DERIVED = Setting(
    "spark.streaming.backpressure.pid.derived", NUMBER, 0.0,
    "How much of the difference's change is taken off the rate.", "Spark's default: it mostly adds noise.",
)  # fmt: skip
PID_LOWEST = Setting(
    "spark.streaming.backpressure.pid.minRate", POSITIVE, 100.0,
    "The lowest rate, in records per second.", "Spark's default: a rate of nothing could never be measured.",
)  # fmt: skip
MAX_RATE: Setting[int | None] = Setting(
    "spark.streaming.receiver.maxRate", whole(1), None,
    "The most records per second that a receiver takes in. What is beyond waits at the sender.",
    "What a sender sends is wanted.", unset="no limit",
)  # fmt: skip
BLOCK_INTERVAL = Setting(
    "spark.streaming.blockInterval", duration("ms"), 200,
    "How long a receiver collects for one block, which is a partition of the batch. What is in it when a "
    "batch "
    "is planned belongs to that batch, however short that is.",
    "Spark's default: five partitions of a batch of a second.",
)  # fmt: skip
BLOCK_QUEUE = Setting(
    "spark.streaming.blockQueueSize", whole(1), 10,
    "How many blocks of a receiver may wait to be stored before the receiver waits, too.",
    "Spark's default. It takes a slow disk for the log to get there.",
)  # fmt: skip
RESTART_DELAY = Setting(
    "spark.streaming.receiverRestartDelay", duration("ms"), 2000,
    "When a receiver that has failed is started again, and when a socket that was closed or cannot be "
    "reached is "
    "tried first; then twice as long each time, up to 30 s or this if it is more.",
    "Spark's default.",
)  # fmt: skip
WRITE_AHEAD = Setting(
    "spark.streaming.receiver.writeAheadLog.enable", FLAG, False,
    "Whether what receivers store is written to a log beside the checkpoint first, so that no crash loses "
    "it.",
    "It needs `ssc.checkpoint`, and costs a synchronised write for each block.",
)  # fmt: skip
RECEIVER_MEMORY = Setting(
    "penstock.receiver.memoryBytes", SIZE, 256 << 20,
    "How much of a receiver's blocks is kept in memory. Further ones go to temporary files, or are read "
    "from the "
    "log again; with a storage level without disk, and without a log, the receiver waits.",
    "A second or two of what one thread can receive.",
)  # fmt: skip
MOST_WAITING = Setting(
    "penstock.streaming.maxWaitingBytes", SIZE, 1 << 30,
    "How much of one input may belong to batches that are not over. At that a receiver takes in nothing "
    "more: a socket is not read, and `store` waits; and a stream of files takes no more files.",
    "Enough for a batch that is late, and far from filling a disk.",
)  # fmt: skip
MAX_LINE_BYTES = Setting(
    "penstock.receiver.maxLineBytes", SIZE, 1 << 20,
    "The longest line that a socket may send. A longer one is counted and its beginning kept in the batch's "
    "metadata, and it takes no memory.",
    "No record of text is that long, and a thousand connections may each be in the middle of a line.",
)  # fmt: skip
STATE_MAX_KEYS: Setting[int | None] = Setting(
    "penstock.state.maxKeys", whole(1), None,
    "The most keys that one operator with state may remember. A batch that needs more fails with a "
    "`StateError`, and leaves the state as it was.",
    "How much is too much only the program knows; state is never dropped in silence.", unset="no limit",
)  # fmt: skip
STATE_MAX_BYTES: Setting[int | None] = Setting(
    "penstock.state.maxBytes", SIZE, None,
    "The most memory that the state of one operator may take, `memoryUsedBytes` of its statistics. A batch "
    "that needs more fails with a `StateError`, and leaves the state as it was.",
    "As for `penstock.state.maxKeys`.", unset="no limit",
)  # fmt: skip
STATE_TTL: Setting[int | None] = Setting(
    "penstock.state.ttl", duration("s"), None,
    "`mapWithState` without a timeout of its own forgets keys that had no record for longer than this, in "
    "the first batch of which that is so, without a call of the function. They are counted as `numExpired`, "
    "and the first time that it happens is logged. What `updateStateByKey` "
    "remembers is its function's business, which is called for every key in every batch.",
    "State that only grows is the commonest way in which a stream ends; but what to forget is for the "
    "program to say.", unset="never",
)  # fmt: skip
STATE_HOME = Setting(
    "penstock.state.home", one_of("auto", "driver", "cluster"), "auto",
    "Where operators keep their state when a cluster runs the program: in the memory of the `driver`; in "
    "files of the checkpoint directory and in the memory of the workers (`cluster`); or `auto`: in the "
    "driver up to `penstock.state.driverBytes`, and on the workers from the next batch on. Local masters "
    "keep it in memory, whatever this says.",
    "What the driver holds costs no job of the cluster, which takes longer than a batch on small state.",
)  # fmt: skip
STATE_DRIVER_BYTES = Setting(
    "penstock.state.driverBytes", SIZE, 256 << 20,
    "With `penstock.state.home=auto`: how much state, `memoryUsedBytes` of its statistics, one operator may "
    "keep in the driver.",
    "Some millions of keys with a number each, of which a batch costs what it touches.",
)  # fmt: skip
STATE_CACHE_BYTES = Setting(
    "penstock.state.cacheBytes", SIZE, 512 << 20,
    "How much of the state on the workers each worker process may keep in memory, of all operators together. "
    "What it does not have is read from the files.",
    "A worker process of Spark has about a gigabyte besides what its executor takes.",
)  # fmt: skip

UI_ENABLED = Setting(
    "spark.ui.enabled", FLAG, True,
    "Whether a started stream shows its batches on a page of this machine, if the `ui` extra is installed.",
    "Spark's default. It starts after the first batch, and costs a batch the posting of its events.",
)  # fmt: skip
UI_PORT = Setting(
    "spark.ui.port", whole(0), 4040,
    "The port of the page, or the next free one of 16. `0`: any.", "Spark's default.",
)  # fmt: skip
UI_HOST = Setting(
    "penstock.ui.host", TEXT, "127.0.0.1",
    "The address that the page is bound to. Any but this machine's own needs a token: without "
    "`penstock.ui.token` one is made, and printed once.",
    "A page that shows what a program works on is for who runs it.",
)  # fmt: skip
UI_TOKEN: Setting[str | None] = Setting(
    "penstock.ui.token", TEXT, None,
    "Who gives this is let in, as `Authorization: Bearer ...` or once as `?token=...`; 16 characters or "
    "more.",
    "On this machine alone none is needed.", unset="none, or one that is made",
)  # fmt: skip
UI_HOSTS: Setting[tuple[str, ...]] = Setting(
    "penstock.ui.hosts", NAMES, (),
    "Further names by which the page is called, such as that of a proxy. Questions by another name are "
    "refused.",
    "A page of another site must not get in by a name of its own that leads here.", unset="none",
)  # fmt: skip
UI_RETAINED = Setting(
    "spark.streaming.ui.retainedBatches", whole(1), 1000,
    "How many batches that are over the page and its API know.", "Spark's default; some 2 MB.",
)  # fmt: skip
UI_PROGRESS = Setting(
    "spark.ui.showConsoleProgress", FLAG, False,
    "Whether a line at the foot of the terminal says how far a run is. Not where standard error is none.",
    "Spark's default for programs.",
)  # fmt: skip
UI_STALLED_AFTER = Setting(
    "penstock.ui.stalledAfter", whole(1), 10,
    "After how many batch intervals without a batch that is over a stream counts as stalled: on its page, "
    "and at `/health/ready`.",
    "A slow batch is no stall; ten intervals of nothing are.",
)  # fmt: skip
UI_LOG_BYTES = Setting(
    "penstock.ui.logBytes", SIZE_OR_ZERO, 4 * 1024**2,
    "How much is kept of the batch log beside a checkpoint, which `penstock monitor` shows; `0`: no log.",
    "Some thousand batches.",
)  # fmt: skip

FREEZE = Setting(
    "penstock.python.freezeObjects", FLAG, True,
    "Whether Python's garbage collector leaves alone what was there when a stream started, until it ends.",
    "What a program has loaded is not garbage, and looking it through takes longer than a small batch "
    "now and then, in the"
    " middle of a batch. Objects are freed as ever when nothing refers to them; only cycles that were there"
    " already stay until the end.",
)  # fmt: skip

KAFKA_MAX_RATE: Setting[int | None] = Setting(
    "spark.streaming.kafka.maxRatePerPartition", whole(1), None,
    "The most messages per second of a partition of Kafka; what is more waits there.", "Spark's default.",
)  # fmt: skip
KAFKA_MIN_RATE = Setting(
    "spark.streaming.kafka.minRatePerPartition", whole(1), 1,
    "The fewest messages per second of a partition of Kafka, as far as there are any, however much "
    "back-pressure there is.",
    "Spark's default.",
)  # fmt: skip
KAFKA_STALL = Setting(
    "spark.streaming.kafka.consumer.poll.ms", duration("ms"), 120_000,
    "How long nothing may come of a range of offsets of Kafka before its batch fails.",
    "Spark's default: brokers that are started again take a while.",
)  # fmt: skip
KAFKA_PLAN_TIMEOUT = Setting(
    "penstock.kafka.planTimeout", duration("ms"), 3_000,
    "How long brokers are asked up to where topics reach, before the batch fails; the next one asks again.",
    "Brokers answer in milliseconds; later batches are held up meanwhile.",
)  # fmt: skip
KAFKA_ON_DATA_LOSS: Setting[Literal["fail", "earliest"]] = Setting(
    "penstock.kafka.onDataLoss", cast(Any, one_of("earliest", "fail")), "fail",
    "When Kafka does not have messages any more that were to be read, or a topic was made anew: `fail`, the "
    "batch fails; `earliest`, the stream goes on with what there is, and what was lost is logged and "
    "counted.",
    "What is lost is lost with somebody's knowledge.",
)  # fmt: skip

_USED: tuple[Setting[Any], ...] = (
    MASTER, APP_NAME, DEFAULT_PARALLELISM, STOP_CONTEXT_BY_DEFAULT, STOP_GRACEFULLY_ON_SHUTDOWN,
    GRACEFUL_STOP_TIMEOUT, ON_FAILURE, UNPERSIST, MIN_REMEMBER_DURATION, EXTRA_LISTENERS,
    SPLIT_BYTES, INLINE_ROWS, BRING_BYTES, PYTHON_WORKERS, TASK_MAX_FAILURES, PREFETCH_BYTES,
    CHECKPOINT_DIRECTORY, RETRIES, RETRY_DELAY, COMPACT_BYTES,
    SYNC_OUTPUTS, TRUST_STORE,
    BACKPRESSURE, INITIAL_RATE, RATE_ESTIMATOR, PID_PROPORTIONAL, PID_INTEGRAL, PID_DERIVED, PID_LOWEST,
    MAX_RATE, BLOCK_INTERVAL, BLOCK_QUEUE, RESTART_DELAY, WRITE_AHEAD, RECEIVER_MEMORY, MOST_WAITING,
    MAX_LINE_BYTES,
    STATE_MAX_KEYS, STATE_MAX_BYTES, STATE_TTL, STATE_HOME, STATE_DRIVER_BYTES, STATE_CACHE_BYTES, FREEZE,
    KAFKA_MAX_RATE, KAFKA_MIN_RATE, KAFKA_STALL, KAFKA_PLAN_TIMEOUT, KAFKA_ON_DATA_LOSS,
    UI_ENABLED, UI_PORT, UI_HOST, UI_TOKEN, UI_HOSTS, UI_RETAINED, UI_PROGRESS, UI_STALLED_AFTER,
    UI_LOG_BYTES,
)  # fmt: skip


_MEANINGLESS = {  # keys after "spark.streaming.", by the reason
    "Intents, commits and blocks are plain records; there is no log class to tune.": (
        "receiver.writeAheadLog.class receiver.writeAheadLog.rollingIntervalSecs"
        " receiver.writeAheadLog.maxFailures receiver.writeAheadLog.closeFileAfterWrite"
        " driver.writeAheadLog.class driver.writeAheadLog.rollingIntervalSecs"
        " driver.writeAheadLog.maxFailures driver.writeAheadLog.closeFileAfterWrite"
        " driver.writeAheadLog.allowBatching driver.writeAheadLog.batchingTimeout"
    ),
    "A write to a disk cannot be called back: a receiver waits until it has succeeded or failed.": (
        "receiver.blockStoreTimeout"
    ),
    "There is no `rawSocketStream`: its blocks are serialised Java objects.": "raw.maxBlockSizeBytes",
    "State is stored differently.": "sessionByKey.deltaChainThreshold",
    "A manual clock is given to the context, as the test kit does.": "clock manualClock.jump",
    "How many executors there are is a matter of the cluster that runs the program.": (
        "dynamicAllocation.enabled dynamicAllocation.testing dynamicAllocation.minExecutors"
        " dynamicAllocation.maxExecutors dynamicAllocation.scalingInterval"
        " dynamicAllocation.scalingUpRatio dynamicAllocation.scalingDownRatio"
    ),
}
_ACCEPTED: tuple[Setting[Any], ...] = (
    Setting(
        "spark.streaming.concurrentJobs", only("1", "batches, and the outputs of a batch, run in order"), "1",
        "Nothing.",
        "Batches run in order, and so do a batch's outputs, each on all threads; any value but 1 is refused.",
        "accepted",
    ),
    *(
        Setting(f"spark.streaming.{key}", TEXT, None, "Nothing.", why, "accepted")
        for why, keys in _MEANINGLESS.items()
        for key in keys.split()
    ),
)  # fmt: skip

SETTINGS: tuple[Setting[Any], ...] = _USED + _ACCEPTED
"""Every setting, in the order of the documentation."""

_BY_KEY = {key: setting for setting in SETTINGS for key in (setting.key, setting.old_key) if key}


# -------------------------------------------------------------------------------------- the holder


class Conf:
    """The settings of a program, with the methods of PySpark's ``SparkConf``.

    Values are kept as text, as in PySpark. Setting a key checks it at once: an unknown ``penstock.``
    key, or a value that a known key cannot have, raises ``SettingError``; a key that nothing reads yet
    gives a :class:`SettingWarning`. Unknown keys of Spark and others are kept and mean nothing.
    ``loadDefaults`` is accepted and has no effect. Methods that set return the ``Conf`` itself.

    >>> conf = Conf().setMaster("local[2]").set("penstock.files.splitBytes", "8m")
    >>> conf.get("spark.master"), conf.value(SPLIT_BYTES)
    ('local[2]', 8388608)
    >>> conf.set("penstock.files.split", "8m")
    Traceback (most recent call last):
    penstock.errors.SettingError: unknown setting penstock.files.split. \
Hint: did you mean penstock.files.splitBytes?
    """

    def __init__(self, loadDefaults: bool = True) -> None:
        self._values: dict[str, str] = {}

    def set(self, key: str, value: Any) -> Conf:
        """Set one key. What is not a ``str`` already is turned into one; ``None`` is refused."""
        return self._put(key, value)

    def setIfMissing(self, key: str, value: Any) -> Conf:
        """Set one key unless it is set."""
        return self if key in self._values else self._put(key, value)

    def setAll(self, pairs: Iterable[tuple[str, Any]]) -> Conf:
        """Set several keys."""
        for key, value in pairs:
            self._put(key, value)
        return self

    def setMaster(self, value: str) -> Conf:
        """Set ``spark.master``."""
        return self._put(MASTER.key, value)

    def setAppName(self, value: str) -> Conf:
        """Set ``spark.app.name``."""
        return self._put(APP_NAME.key, value)

    def setSparkHome(self, value: str) -> Conf:
        """Set ``spark.home``, which means nothing here."""
        return self._put("spark.home", value)

    def setExecutorEnv(
        self, key: str | None = None, value: Any = None, pairs: Iterable[tuple[str, Any]] | None = None
    ) -> Conf:
        """Set ``spark.executorEnv.<key>``: one key and value, or ``pairs`` of them."""
        if (key is None) == (pairs is None):
            raise SettingError("setExecutorEnv takes either one key and value, or a list of pairs")
        for name, content in [(key, value)] if pairs is None else pairs:
            self._put(f"spark.executorEnv.{name}", content)
        return self

    def remove(self, key: str) -> Conf:
        """Forget a key; one that is not set is no error."""
        self._values.pop(key, None)
        return self

    def get(self, key: str, defaultValue: str | None = None) -> str | None:
        """The text that was set, or ``defaultValue``; as in PySpark, never the setting's own default."""
        return self._values.get(key, defaultValue)

    def getAll(self) -> list[tuple[str, str]]:
        """What was set, in the order in which the keys were first set."""
        return list(self._values.items())

    def contains(self, key: str) -> bool:
        """Whether the key was set."""
        return key in self._values

    def toDebugString(self) -> str:
        """What was set, one ``key=value`` a line, by key."""
        return "\n".join(f"{key}={value}" for key, value in sorted(self._values.items()))

    def copy(self) -> Conf:
        """A ``Conf`` of its own with the same settings."""
        other = Conf()
        other._values = self._values.copy()
        return other

    clone = copy

    def value(self, setting: Setting[T]) -> T:
        """The value of a setting, in its type: what was set, or else its default.

        >>> Conf().set("spark.streaming.gracefulStopTimeout", "2min").value(GRACEFUL_STOP_TIMEOUT)
        120000
        """
        for key in (setting.key, setting.old_key):
            if key in self._values:
                return setting.parse(self._values[key])
        return setting.default

    def __repr__(self) -> str:
        return f"Conf({self._values!r})"

    def _put(self, key: str, value: Any) -> Conf:
        text = str(value)
        setting = _BY_KEY.get(key)
        if value is None:
            raise SettingError(f"{key} needs a value. Hint: remove({key!r}) goes back to the default.")
        if setting is not None:
            setting.parse(text)
        elif key.startswith("penstock."):
            ours = [known for known in _BY_KEY if known.startswith("penstock.")]
            import difflib

            near = difflib.get_close_matches(key, ours, n=1) or [", ".join(sorted(ours))]
            raise SettingError(f"unknown setting {key}. Hint: did you mean {near[0]}?")
        self._values[key] = text
        return self


# ------------------------------------------------------------------------------- the documentation


_DOCUMENT = """# Settings

<!-- Written by `python -m penstock.conf > docs/settings.md`; a test compares. -->

Set with `Conf().set(key, value)`. Durations take the units us, ms, s, m or min, h, d (`200ms`, `1min`); sizes
take b, k, m, g, t, p, which are powers of 1024 (`32m`). Keys that Spark has keep Spark's names; ours begin
with `penstock.`, and an unknown `penstock.` key is an error. Any other key is kept, and means nothing.

| key | type | default | what it does | why this default |
|---|---|---|---|---|
{used}

## Accepted, without effect

Known keys of Spark that mean nothing in Penstock. They are taken in silence, so that programs carry over.

| key | why it means nothing here |
|---|---|
{accepted}
"""


def markdown() -> str:
    """The settings as a Markdown document: the whole text of ``docs/settings.md``."""
    return _DOCUMENT.format(
        used=_table((_key(row), row.kind.name, row.shown_default(), row.does, row.why) for row in _USED),
        accepted=_table((_key(row), row.why) for row in _ACCEPTED),
    )


def _key(row: Setting[Any]) -> str:
    return f"`{row.key}`" + (f" (old name: `{row.old_key}`)" if row.old_key else "")


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


if __name__ == "__main__":
    sys.stdout.write(markdown())

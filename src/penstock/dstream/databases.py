"""Streams that are written into databases: a transaction a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from penstock.clients.sql import BatchKey, SqlDatabase, SqlTable
from penstock.dstream.arity import arity
from penstock.dstream.outputs import Run
from penstock.dstream.saves import Saves
from penstock.errors import ArgumentError, SignatureError
from penstock.plan import call_site
from penstock.rdd import RDD
from penstock.sinks.sql import TableOutput, column_types
from penstock.times import BatchTime, local_datetime

__all__ = ["Databases"]


class Databases(Saves):
    """Outputs into databases that SQLAlchemy reaches; they need the ``sql`` extra and the database's driver.

    A batch is one transaction, in which a row of the table ``penstock_batches`` is inserted: the run of the
    program (that of the checkpoint), the output's name and the batch time. A batch whose row is there was
    written before and is left out. So every record is there exactly once, whenever the program or the server
    dies. The newest 100 rows of each output are kept. Nothing that was read by others within a transaction of
    theirs changes under them.
    """

    __slots__ = ()

    def saveToSql(
        self,
        url: Any,
        table: str,
        *,
        mode: Literal["append", "upsert"] = "append",
        keys: str | Sequence[str] | None = None,
        columns: Callable[[Any], Mapping[str, Any]] | None = None,
        schema: type | None = None,
        createTable: bool = True,
        name: str | None = None,
        chunkSize: int = 1000,
        engineOptions: Mapping[str, Any] | None = None,
    ) -> None:
        """Insert each batch into a table of a database, in one transaction and exactly once.

        ``url`` is SQLAlchemy's, as text or ``URL``, or a function that returns it: then no password is in
        the program or its checkpoint. A row has the fields of a record (``_1``, ``_2``, ... of a tuple), or
        what ``columns``, a function of a record that returns a dict, says. With ``mode="upsert"`` a row takes
        the place of the one with the same ``keys``, which must be unique in the table; of several in a batch
        the last stays.

        A missing table is made, unless ``createTable`` is false: with the annotated fields of the class
        ``schema`` as columns, or else what the first records hold (numbers that are not all of one type as
        the wider one, times with an offset as such); ``keys`` are its primary key. ``name`` tells outputs
        into tables of one name apart, in several databases too: no two outputs of a program may have the
        same. ``chunkSize`` rows go to the driver at once. ``engineOptions`` go to
        ``sqlalchemy.create_engine``.

        An error names the table, and the first record that the database refuses, or would keep only a part
        of (a fraction in a column of integers, an offset in one that has none); nothing of the batch is
        written then. ``engineOptions`` that make each statement a transaction of its own are refused.

        >>> import sqlite3, tempfile
        >>> file = tempfile.mkdtemp() + "/shop.db"
        >>> batches = [[("a", 1), ("b", 2)], [("a", 3)]]
        >>> pair = lambda record: {"word": record[0], "number": record[1]}
        >>> def build(pairs):
        ...     pairs.saveToSql(f"sqlite:///{file}", "words", mode="upsert", keys="word", columns=pair)
        >>> _ = run_batches(batches, build)
        >>> with sqlite3.connect(file) as connection:
        ...     connection.execute("select * from words order by word").fetchall()
        [('a', 3), ('b', 2)]
        >>> connection.close()
        """
        if not isinstance(table, str) or not table:
            raise SignatureError(f"saveToSql needs the name of a table, not {table!r}")
        if mode not in ("append", "upsert"):
            raise ArgumentError(f"saveToSql has the modes append and upsert, not {mode!r}")
        key_columns = [keys] if isinstance(keys, str) else list(keys or ())
        if not all(isinstance(key, str) and key for key in key_columns):
            raise SignatureError(f"keys of saveToSql are names of columns, not {keys!r}")
        if (mode == "upsert") != bool(key_columns):
            raise ArgumentError("saveToSql needs keys with mode='upsert', and has no use for them without")
        if columns is not None and not callable(columns):
            raise SignatureError(f"columns of saveToSql is a function of a record, not {columns!r}")
        if isinstance(chunkSize, bool) or not isinstance(chunkSize, int) or chunkSize < 1:
            raise ArgumentError(f"chunkSize of saveToSql is a number of rows from 1 on, not {chunkSize!r}")
        database = SqlDatabase(url, engineOptions, "saveToSql")
        output = TableOutput(
            database,
            SqlTable(table, key_columns, chunkSize),
            call_site("saveToSql"),
            columns=columns,
            types=None if schema is None else column_types(schema, "saveToSql"),
            create=createTable,
        )
        run, label = self._ssc.graph.run, _name_of(name, table, "saveToSql")
        save = _writing(output, run, label)
        self._output("saveToSql", save, writes=f"{label} in {database.label}", place=_place_of(label))

    def saveToSqlWith(
        self,
        url: Any,
        func: Callable[..., Any],
        *,
        name: str,
        engineOptions: Mapping[str, Any] | None = None,
    ) -> None:
        """``func(connection, records)`` or ``func(connection, time, records)`` once a batch, in a transaction
        that is committed after it and happens exactly once, as that of :meth:`saveToSql`.

        ``connection`` is SQLAlchemy's, ``time`` a naive local ``datetime``, ``records`` the list of the
        batch's records. ``func`` must not commit; if it raises, nothing is written and the batch fails.
        ``name`` tells the outputs of a program apart.

        >>> import sqlalchemy, sqlite3, tempfile
        >>> file = tempfile.mkdtemp() + "/shop.db"
        >>> def total(connection, records):
        ...     connection.execute(sqlalchemy.text("create table if not exists totals (n integer)"))
        ...     connection.execute(sqlalchemy.text("insert into totals values (:n)"), {"n": sum(records)})
        >>> build = lambda numbers: numbers.saveToSqlWith(f"sqlite:///{file}", total, name="totals")
        >>> _ = run_batches([[1, 2], [3]], build)
        >>> with sqlite3.connect(file) as connection:
        ...     connection.execute("select n from totals").fetchall()
        [(3,), (3,)]
        >>> connection.close()
        """
        with_time = arity(func, (2, 3), "saveToSqlWith") == 3
        database = SqlDatabase(url, engineOptions, "saveToSqlWith")
        run, label = self._ssc.graph.run, _name_of(name, "", "saveToSqlWith")

        def save(time: BatchTime, rdd: RDD) -> None:
            key = BatchKey(run.id, label, time)
            if database.is_done(key):
                return
            records = rdd.collect()

            def work(connection: Any) -> int:
                if with_time:
                    func(connection, local_datetime(time), records)
                else:
                    func(connection, records)
                return len(records)

            database.once(key, work)

        self._output("saveToSqlWith", save, writes=f"{label} in {database.label}", place=_place_of(label))


def _writing(output: TableOutput, run: Run, label: str) -> Callable[[BatchTime, RDD], None]:
    def save(time: BatchTime, rdd: RDD) -> None:
        output.write(rdd.context, rdd.plan, BatchKey(run.id, label, time))

    return save


def _place_of(label: str) -> str:
    """The guard rows of an output. One database has many URLs, so which it is does not matter."""
    return f"{label} in a database"


def _name_of(name: str | None, default: str, operation: str) -> str:
    found = default if name is None else name
    if not isinstance(found, str) or not 0 < len(found) <= 200:
        raise SignatureError(f"{operation} needs a name of 1 to 200 characters, not {name!r}")
    return found

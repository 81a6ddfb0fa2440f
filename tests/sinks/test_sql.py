"""Batches in databases: once, whatever dies, on SQLite and on PostgreSQL."""

from __future__ import annotations

import logging
import pickle
import random
import signal
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from penstock import Context
from penstock.clients import sql
from penstock.clients.sql import GUARD_TABLE, BatchKey, SqlDatabase
from penstock.dstream import DStream
from penstock.errors import ArgumentError, RowTypeError, SignatureError, UnsupportedError, failure_of
from penstock.testing import crash_everywhere, run_batches
from tests.postgres import Server

pytestmark = pytest.mark.usefixtures("sc")


class Order(NamedTuple):
    id: int
    symbol: str
    price: float | None = None


@dataclass
class Everything:
    id: int
    number: float
    yes: bool
    text: str
    raw: bytes
    moment: datetime
    day: date
    money: Decimal


class Place(NamedTuple):
    """A database, and a name for tables that no other test uses."""

    url: str
    table: str

    def rows(self, table: str | None = None) -> list[tuple[Any, ...]]:
        engine = sa.create_engine(self.url)
        try:
            with engine.connect() as connection:
                found = connection.execute(sa.text(f'select * from "{table or self.table}"'))
                return sorted(tuple(row) for row in found)
        finally:
            engine.dispose()

    def do(self, statement: str) -> None:
        engine = sa.create_engine(self.url)
        with engine.begin() as connection:
            connection.execute(sa.text(statement))
        engine.dispose()

    def guards(self) -> list[tuple[Any, ...]]:
        return [row for row in self.rows(GUARD_TABLE) if row[1] == self.table]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    table = f"t{uuid.uuid4().hex[:12]}"
    if request.param == "sqlite":
        return Place(f"sqlite:///{tmp_path}/test.db", table)
    return Place(request.getfixturevalue("postgres").url, table)


@pytest.fixture
def sqlite(tmp_path: Path) -> Place:
    return Place(f"sqlite:///{tmp_path}/test.db", "orders")


BATCHES = [[Order(1, "a", 0.5), Order(2, 'b"\n;')], [], [Order(3, "ä😀", -0.0)]]


# ------------------------------------------------------------------------------------- what is written


def test_each_record_is_a_row(place: Place) -> None:
    run_batches(BATCHES, lambda s: s.saveToSql(place.url, place.table))
    assert place.rows() == sorted(tuple(record) for batch in BATCHES for record in batch)
    assert [row[2:] for row in place.guards()] == [(1000, 2), (2000, 0), (3000, 1)]


def test_every_type_comes_back(place: Place) -> None:
    moment = datetime(2016, 3, 22, 20, 25, 28, 1)
    record = Everything(1 << 62, 0.1, True, "ß", b"\x00\xff", moment, moment.date(), Decimal("1.5"))
    run_batches([[record]], lambda s: s.saveToSql(place.url, place.table, schema=Everything))
    engine = sa.create_engine(place.url)
    table = sa.Table(place.table, sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        [found] = connection.execute(table.select())
    engine.dispose()
    assert tuple(found)[:7] == (record.id, 0.1, True, "ß", b"\x00\xff", moment, moment.date())
    assert found.money == Decimal("1.5")
    assert isinstance(found.yes, bool)


@pytest.mark.parametrize("dialects", [("postgresql", "sqlite"), ()], ids=["on conflict", "delete and insert"])
def test_upsert_keeps_the_last_of_each_key(
    place: Place, dialects: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_CONFLICT", dialects)
    batches = [
        [Order(1, "a", 1.0), Order(2, "b", 1.0), Order(1, "a", 2.0)],
        [Order(2, "c", 3.0), Order(3, "d", None)],
    ]
    run_batches(batches, lambda s: s.saveToSql(place.url, place.table, mode="upsert", keys="id", chunkSize=2))
    assert place.rows() == [(1, "a", 2.0), (2, "c", 3.0), (3, "d", None)]


def test_keys_alone(place: Place) -> None:
    batches = [[("a", 1), ("a", 1)], [("a", 1), ("b", 1)]]
    run_batches(batches, lambda s: s.saveToSql(place.url, place.table, mode="upsert", keys=["_1", "_2"]))
    assert place.rows() == [("a", 1), ("b", 1)]


def test_columns_by_a_function_and_by_dicts(place: Place) -> None:
    run_batches(
        [[1, 2]], lambda s: s.saveToSql(place.url, place.table, columns=lambda n: {"n": n, "square": n * n})
    )
    run_batches([[{"n": 3}]], lambda s: s.saveToSql(place.url, place.table))
    assert place.rows() == [(1, 1), (2, 4), (3, None)]


def test_many_rows_in_pieces(place: Place) -> None:
    run_batches(
        [[(number, str(number)) for number in range(5000)]],
        lambda s: s.saveToSql(place.url, place.table, chunkSize=700),
        numPartitions=3,
    )
    assert place.rows() == [(number, str(number)) for number in range(5000)]


def test_a_table_that_is_there_keeps_its_types(place: Place) -> None:
    place.do(f"create table {place.table} (id integer primary key, symbol text, price real, more text)")
    run_batches(BATCHES[:1], lambda s: s.saveToSql(place.url, place.table, createTable=False))
    assert place.rows() == [(1, "a", 0.5, None), (2, 'b"\n;', None, None)]


def test_an_empty_batch_makes_a_table_only_if_its_columns_are_known(place: Place) -> None:
    run_batches([[]], lambda s: s.saveToSql(place.url, place.table))
    with pytest.raises(sa.exc.DBAPIError):
        place.rows()
    run_batches([[]], lambda s: s.saveToSql(place.url, place.table, schema=Order))
    assert place.rows() == []


def test_a_function_in_the_guarded_transaction(place: Place) -> None:
    place.do(f"create table {place.table} (t varchar(40), n integer)")
    seen: list[Any] = []

    def write(connection: sa.Connection, time: datetime, records: list[int]) -> None:
        seen.append(records)
        values = {"t": str(time), "n": sum(records)}
        connection.execute(sa.text(f"insert into {place.table} values (:t, :n)"), values)
        if len(seen) == 1:
            raise ValueError("not yet")

    def build(stream: DStream) -> None:
        stream.saveToSqlWith(place.url, write, name=place.table)

    with pytest.raises(ValueError, match="not yet"):
        run_batches([[1, 2]], build)
    assert place.rows() == place.guards() == []
    run_batches([[1, 2], [3]], build)
    assert [row[1] for row in place.rows()] == [3, 3]
    assert len(place.guards()) == 2


# ------------------------------------------------------------------------------------------ what fails


def refused(place: Place, batches: list[list[Any]], **options: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011  of many kinds
        run_batches(batches, lambda s: s.saveToSql(place.url, place.table, **options), numPartitions=2)
    return caught.value


def test_the_first_record_that_is_refused_is_named_with_the_table(place: Place) -> None:
    place.do(f"create table {place.table} (id integer primary key, symbol varchar(3) not null, price real)")
    rows = [Order(number, "a") for number in range(50)]
    error = refused(place, [[*rows, Order(100, None), Order(7, "b")]], chunkSize=20)  # type: ignore[arg-type]
    failure = failure_of(error)
    assert isinstance(error, sa.exc.IntegrityError)
    assert failure is not None
    assert failure.record == "Order(id=100, symbol=None, price=None)"
    assert failure.site is not None
    assert (failure.site.operation, failure.site.file) == ("saveToSql", __file__)
    notes = "\n".join(error.__notes__)
    assert f"while writing to the table {place.table} of " in notes
    assert "secret-word" not in notes + str(error)
    assert place.rows() == place.guards() == [], "nothing of the batch is there"


def test_a_key_that_is_there_already(place: Place) -> None:
    place.do(f"create table {place.table} (id integer primary key, symbol text, price real)")
    error = refused(place, [[Order(1, "a"), Order(2, "b"), Order(1, "c")]])
    failure = failure_of(error)
    assert failure is not None
    assert failure.record == "Order(id=1, symbol='c', price=None)"


@pytest.mark.parametrize(
    ("record", "options", "kind", "message"),
    [
        ((1, 2, 3), {}, ArgumentError, "has no column _3"),
        (7, {}, RowTypeError, "has no fields"),
        ((None, 2), {"mode": "upsert", "keys": "_1"}, ArgumentError, "the key _1 has no value"),
        ((1, 2), {"columns": lambda record: record}, SignatureError, "return a dict"),
        ((1, 2), {"columns": lambda record: 1 / 0}, ZeroDivisionError, "division"),
    ],
)
def test_records_that_are_no_rows(
    sqlite: Place, record: Any, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    sqlite.do("create table orders (_1 integer primary key, _2 integer)")
    error = refused(sqlite, [[record]], **options)
    failure = failure_of(error)
    assert isinstance(error, kind)
    assert message in str(error)
    assert failure is not None
    assert failure.record == repr(record)


def test_a_table_or_key_that_is_not_there(sqlite: Place) -> None:
    assert "there is no table orders" in str(refused(sqlite, [[(1, 2)]], createTable=False))
    sqlite.do("create table orders (_1 integer, _2 integer)")
    error = refused(sqlite, [[(1, 2)]], mode="upsert", keys="id")
    assert "the table orders has no column id, which is to be its key" in str(error)


@pytest.mark.parametrize("record", [(1 << 70,), ("\ud800",), ({},)], ids=["integer", "surrogate", "dict"])
@pytest.mark.parametrize("dialects", [("postgresql", "sqlite"), ()], ids=["on conflict", "delete and insert"])
def test_a_record_that_the_driver_refuses(
    place: Place, record: Any, dialects: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_CONFLICT", dialects)
    kind = type(record[0]) if record[0] != {} else int
    place.do(f"create table {place.table} (_1 {'text' if kind is str else 'bigint'}, _2 integer primary key)")
    good = [(kind(number), number) for number in (1, 2, 3, 2)]
    failure = failure_of(refused(place, [[*good, (*record, 4), (*record, 5)]], mode="upsert", keys="_2"))
    assert failure is not None
    assert failure.record == repr((*record, 4))
    assert place.rows() == place.guards() == []


ZONED = datetime(2020, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))


@pytest.mark.parametrize(
    ("kind", "value", "lost"),
    [
        ("date", datetime(2020, 1, 1, 5), "the time of day"),
        ("timestamp", ZONED, "the offset"),
        ("time", ZONED.timetz(), "the offset"),
        ("bigint", 2.5, "the fraction"),
        ("numeric", Decimal("12345678901234567890.1"), "digits"),
    ],
)
def test_a_column_that_would_keep_a_part_of_a_value(place: Place, kind: str, value: Any, lost: str) -> None:
    keeps = kind in ("bigint", "numeric") and place.url.startswith("sqlite") == (kind == "bigint")
    place.do(f"create table {place.table} (n integer, _2 {kind})")
    columns = {"columns": lambda pair: {"n": pair[0], "_2": pair[1]}}
    if keeps:
        run_batches([[(1, value)]], lambda s: s.saveToSql(place.url, place.table, **columns))
        assert [type(value)(row[1]) for row in place.rows()] == [value]
        return
    error = refused(place, [[(1, None), (2, value)]], **columns)
    failure = failure_of(error)
    assert f"the column _2 of {place.table} would lose {lost} of {value!r}" in str(error)
    assert failure is not None
    assert failure.record == repr((2, value))
    assert place.rows() == place.guards() == []


def test_a_new_table_has_room_for_all_first_records(postgres: Server) -> None:
    place = Place(postgres.url, f"t{uuid.uuid4().hex[:12]}")
    rows = [
        (1, 1, date(2020, 1, 1), ZONED),
        (2.5, Decimal("0.5"), datetime(2020, 1, 2, 3), None),
        (None,) * 4,
    ]
    run_batches([rows], lambda s: s.saveToSql(place.url, place.table), numPartitions=1)
    engine = sa.create_engine(place.url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(sa.text(f"select * from {place.table}"))]
    engine.dispose()
    assert found == [(1.0, 1, datetime(2020, 1, 1), ZONED), *rows[1:]]


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "replace"},
        {"mode": "upsert"},
        {"keys": "id"},
        {"keys": [1], "mode": "upsert"},
        {"chunkSize": 0},
        {"columns": 7},
        {"schema": int},
        {"schema": "Order"},
        {"name": ""},
        {"name": "x" * 201},
        {"table": ""},
        {"url": "no url"},
        {"url": 7},
    ],
)
def test_arguments_that_will_not_do(options: dict[str, Any]) -> None:
    arguments = {"url": "sqlite://", "table": "orders", **options}
    with pytest.raises((ArgumentError, SignatureError)):
        run_batches([[1]], lambda s: s.saveToSql(**arguments))


def test_two_outputs_into_one_table_need_names(place: Place) -> None:
    def build(stream: DStream, **names: Any) -> None:
        stream.saveToSql(place.url, place.table)
        stream.map(lambda order: order._replace(id=-order.id)).saveToSql(place.url, place.table, **names)

    with pytest.raises(
        ArgumentError, match=r"writes to .* Hint: give each its own prefix or suffix, or name"
    ):
        run_batches(BATCHES, build)
    run_batches(BATCHES, lambda s: build(s, name=f"{place.table} again"))
    assert [row[0] for row in place.rows()] == [-3, -2, -1, 1, 2, 3]


def test_two_ways_to_one_database_need_names(sqlite: Place) -> None:
    def build(stream: DStream, **names: Any) -> None:
        stream.saveToSql(sqlite.url, "orders")
        stream.map(lambda order: order._replace(id=-order.id)).saveToSql(
            lambda: sqlite.url, "orders", **names
        )

    with pytest.raises(ArgumentError, match=r"writes to orders in the database of .*, which may be the same"):
        run_batches(BATCHES, build)
    run_batches(BATCHES, lambda s: build(s, name="again"))
    assert [row[0] for row in sqlite.rows()] == [-3, -2, -1, 1, 2, 3]


def test_without_sqlalchemy_or_a_driver_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedError, match="driver"):
        run_batches([[(1,)]], lambda s: s.saveToSql("oracle://u:p@h/d", "t"))
    with pytest.raises(UnsupportedError, match="driver"):
        run_batches([[(1,)]], lambda s: s.saveToSql("nodb://u:p@h/d", "t"))
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'penstock\[sql\]'"):
        run_batches([[(1,)]], lambda s: s.saveToSql("sqlite://", "t"))


def test_the_password_shows_nowhere(place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = "postgresql+psycopg://tester:secret-word@/postgres?host=/nowhere&connect_timeout=1"
    with caplog.at_level(logging.DEBUG), pytest.raises(sa.exc.OperationalError) as caught:
        run_batches([[(1,)]], lambda s: s.saveToSql(url, "t"))
    told = [str(caught.value), *caught.value.__notes__, caplog.text, repr(SqlDatabase(url, None, "x"))]
    assert not any("secret-word" in text for text in told)
    assert "***" in told[-1]
    with pytest.raises(ArgumentError) as unreadable:
        run_batches([[(1,)]], lambda s: s.saveToSql("tester:secret-word@nowhere", "t"))
    assert "secret-word" not in str(unreadable.value)
    with pytest.raises(ArgumentError) as no_port:
        run_batches([[(1,)]], lambda s: s.saveToSql("postgresql://tester:half@nowhere:secret-word/t", "t"))
    assert "secret-word" not in str(no_port.value)
    assert "secret" not in repr(SqlDatabase("postgresql+psycopg://t@h/d?password=secret-word", None, "x"))


# ------------------------------------------------------------------------------------------------ once


def test_a_batch_that_was_written_is_left_out(place: Place) -> None:
    database = SqlDatabase(place.url, None, "test")
    place.do(f"create table {place.table} (n integer)")
    done: list[int] = []

    def work(connection: sa.Connection) -> int:
        done.append(1)
        connection.execute(sa.text(f"insert into {place.table} values (1)"))
        return 1

    key = BatchKey("run", place.table, 1000)
    assert not database.is_done(key)
    assert database.once(key, work)
    assert database.is_done(key)
    assert not database.once(key, work)
    assert database.once(key._replace(stream="another run"), work)
    assert database.once(key._replace(batch_ms=2000), work)
    assert len(done) == len(place.rows()) == 3


@pytest.mark.parametrize(
    "options", [{"isolation_level": "AUTOCOMMIT"}, {"execution_options": {"isolation_level": "AUTOCOMMIT"}}]
)
def test_without_transactions_nothing_is_written(place: Place, options: dict[str, Any]) -> None:
    place.do(f"create table {place.table} (_1 integer)")
    error = refused(place, [[(1,)]], engineOptions=options)
    assert "saveToSql needs transactions" in str(error)
    assert place.rows() == place.guards() == []


def test_a_driver_that_commits_each_statement(sqlite: Place) -> None:
    error = refused(sqlite, [[(1,)]], engineOptions={"connect_args": {"isolation_level": None}})
    assert "saveToSql needs transactions" in str(error)


def test_one_connection_is_enough(postgres: Server) -> None:
    place = Place(postgres.url, f"t{uuid.uuid4().hex[:12]}")
    options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 1}
    run_batches(BATCHES, lambda s: s.saveToSql(place.url, place.table, engineOptions=options))
    assert len(place.rows()) == 3


def test_who_goes_on_may_meet_a_new_database(sqlite: Place, tmp_path: Path) -> None:
    database = SqlDatabase(sqlite.url, None, "test")
    key = BatchKey("run", "orders", 1000)
    assert database.once(key, lambda connection: 0)
    database.engine.dispose()
    (tmp_path / "test.db").unlink()
    assert pickle.loads(pickle.dumps(database)).once(key, lambda connection: 0)


def test_of_two_writers_at_once_one_writes(place: Place) -> None:
    place.do(f"create table {place.table} (n integer)")
    begin = threading.Barrier(2)
    results: list[bool] = []
    databases = [SqlDatabase(place.url, None, "test") for _ in range(2)]
    databases[0].is_done(BatchKey("", "", 0))  # the guard table is made

    def write(database: SqlDatabase) -> None:
        def work(connection: sa.Connection) -> int:
            connection.execute(sa.text(f"insert into {place.table} values (1)"))
            return 1

        begin.wait()
        results.append(database.once(BatchKey("run", place.table, 1000), work))

    threads = [threading.Thread(target=write, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, True]
    assert place.rows() == [(1,)]


def test_guard_rows_are_few(sqlite: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "GUARDS_KEPT", 10)
    database = SqlDatabase(sqlite.url, None, "test")
    for batch in range(1, 36):
        assert database.once(BatchKey("run", "orders", batch), lambda connection: 0)
    left = [row[2] for row in sqlite.guards()]
    assert 10 <= len(left) <= 20
    assert left[-10:] == list(range(26, 36))


class Gone(BaseException):
    """The process has ended."""


class Crash:
    """Ends the process at the ``number``-th statement that changes something, or commit: before it is sent
    or after it has worked."""

    def __init__(self, engine: sa.Engine, number: int, moment: str) -> None:
        self.number, self.moment, self.seen = number, moment, 0
        self._connections: list[Any] = []
        sa.event.listen(engine, "connect", lambda made, record: self._connections.append(made))
        sa.event.listen(engine, "before_cursor_execute", lambda *a: self._statement("before", a[2]))
        sa.event.listen(engine, "after_cursor_execute", lambda *a: self._statement("after", a[2]))
        commit = engine.dialect.do_commit

        def committed(connection: Any) -> None:
            self._step("before")
            commit(connection)
            self._step("after")

        engine.dialect.do_commit = committed  # type: ignore[method-assign]

    def die(self) -> None:
        """What the system does for a process that has ended."""
        for connection in self._connections:
            connection.close()

    def _statement(self, moment: str, text: str) -> None:
        if text.split()[0].upper() in ("CREATE", "INSERT", "UPDATE", "DELETE"):
            self._step(moment)

    def _step(self, moment: str) -> None:
        self.seen += moment == "before"
        if (self.seen, moment) == (self.number, self.moment):
            raise Gone


@pytest.mark.parametrize("mode", ["append", pytest.param("upsert", marks=pytest.mark.long)])
def test_a_crash_at_every_statement_and_commit(
    place: Place, mode: str, sc: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.plan import call_site
    from penstock.sinks.sql import TableOutput

    keys = ["id"] if mode == "upsert" else []
    plan = sc.parallelize(BATCHES[0], 2).plan

    def output(table: str) -> tuple[SqlDatabase, TableOutput]:
        database = SqlDatabase(place.url, None, "test")
        target = sql.SqlTable(table, keys, 1)
        made = TableOutput(database, target, call_site("saveToSql"), columns=None, types=None, create=True)
        return database, made

    tried = 0
    for number in range(1, 100):
        reached = False
        for moment in ("before", "after"):
            table = f"{place.table}_{number}_{moment}"
            key = BatchKey("run", table, 1000)
            database, target = output(table)
            crash = Crash(database.engine, number, moment)
            try:
                target.write(sc, plan, key)
            except Gone:
                reached = True
            crash.die()
            for _ in range(2):
                database, target = output(table)
                target.write(sc, plan, key)
                database.engine.dispose()
            assert place.rows(table) == sorted(map(tuple, BATCHES[0])), f"{moment} {number}"
            tried += crash.seen >= number
        if not reached:
            break
    assert tried >= 12


def test_a_program_crashed_at_every_step_of_a_batch(tmp_path: Path) -> None:
    def build(stream: DStream, folder: str) -> None:
        url = f"sqlite:///{folder}/.test.db"  # hidden: its bytes are its own business
        stream.saveToSql(url, "orders")

        def look(time: datetime, rdd: Any) -> None:
            rows = Place(url, "orders").rows() if Path(folder, ".test.db").exists() else []
            Path(folder, f"seen-{time.timestamp():.0f}").write_text(repr(rows))

        stream.foreachRDD(look)

    crashes = crash_everywhere(build, BATCHES, every=23, twice=2)
    assert len(crashes.points) > 5


def test_the_connection_is_made_anew_after_the_server_was_away(postgres: Server) -> None:
    place = Place(postgres.url, f"t{uuid.uuid4().hex[:12]}")

    def build(stream: DStream) -> None:
        stream.foreachRDD(restart)
        stream.saveToSql(place.url, place.table)

    def restart(rdd: Any) -> None:
        if rdd.count() == 1:  # the third batch
            postgres.stop("immediate")
            postgres.start()

    run_batches(BATCHES, build)
    assert len(place.rows()) == 3


def test_a_connection_that_breaks_within_the_transaction(postgres: Server) -> None:
    place = Place(postgres.url, f"t{uuid.uuid4().hex[:12]}")
    place.do(f"create table {place.table} (n integer)")
    attempts: list[int] = []

    def write(connection: sa.Connection, records: list[int]) -> None:
        attempts.append(1)
        connection.execute(sa.text(f"insert into {place.table} values (1)"))
        if len(attempts) == 1:
            pid = connection.execute(sa.text("select pg_backend_pid()")).scalar()
            place.do(f"select pg_terminate_backend({pid})")
        connection.execute(sa.text(f"insert into {place.table} values (2)"))

    run_batches([[1]], lambda s: s.saveToSqlWith(place.url, write, name=place.table))
    assert place.rows() == [(1,), (2,)]
    assert len(attempts) == 2


def test_a_connection_that_breaks_while_rows_are_inserted(postgres: Server) -> None:
    place = Place(postgres.url, f"t{uuid.uuid4().hex[:12]}")
    place.do(f"create table {place.table} (_1 integer)")
    database = SqlDatabase(place.url, None, "test")
    table = sql.SqlTable(place.table, None, 1)
    table.ensure(database, None, create=False)
    attempts: list[int] = []

    def cut(connection: sa.Connection, *rest: Any) -> None:
        if "(2" in str(rest[2]) and not attempts:
            attempts.append(1)
            pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
            place.do(f"select pg_terminate_backend({pid})")

    rows = [{"_1": 1}, {"_1": 2}, {"_1": 3}]
    sa.event.listen(
        database.engine,
        "before_cursor_execute",
        lambda c, cursor, statement, parameters, context, many: cut(c, 0, 0, tuple(parameters.values())),
    )
    assert database.once(BatchKey("run", place.table, 1), lambda connection: table.write(connection, rows))
    assert attempts
    assert place.rows() == [(1,), (2,), (3,)]


def test_a_transaction_that_gives_way_is_begun_again(postgres: Server) -> None:
    place = Place(postgres.url, f"t{uuid.uuid4().hex[:12]}")
    place.do(f"create table {place.table} (id integer primary key, n integer)")
    place.do(f"insert into {place.table} values (1, 1)")
    database = SqlDatabase(place.url, {"isolation_level": "REPEATABLE READ"}, "test")
    table = sql.SqlTable(place.table, ["id"], 10)
    table.ensure(database, None, create=False)
    attempts: list[int] = []

    def work(connection: sa.Connection) -> int:
        attempts.append(1)
        if len(attempts) < 3:
            place.do(f"update {place.table} set n = n + 1")
        return table.write(connection, [{"id": 1, "n": 7}])

    assert database.once(BatchKey("run", place.table, 1), work)
    assert place.rows() == [(1, 7)]
    assert len(attempts) == 3
    attempts.clear()

    def always(connection: sa.Connection) -> int:
        attempts.append(1)
        place.do(f"update {place.table} set n = n + 1")
        return table.write(connection, [{"id": 1, "n": 8}])

    with pytest.raises(sa.exc.OperationalError, match="concurrent update"):
        database.once(BatchKey("run", place.table, 2), always)
    assert len(attempts) == 3
    assert [row[2] for row in place.guards()] == [1]


def test_programs_that_write_the_same_rows_wait_for_each_other(postgres: Server) -> None:
    place = Place(postgres.url, f"t{uuid.uuid4().hex[:12]}")
    place.do(f"create table {place.table} (id integer primary key, n integer)")
    failed: list[Exception] = []

    def write(name: str, ids: list[int]) -> None:
        database = SqlDatabase(place.url, {"connect_args": {"options": "-c deadlock_timeout=20ms"}}, "test")
        table = sql.SqlTable(place.table, ["id"], 1)
        table.ensure(database, None, create=False)
        for batch in range(15):
            rows = [{"id": number, "n": batch} for number in ids]
            try:
                database.once(
                    BatchKey(name, place.table, batch),
                    lambda connection, rows=rows: table.write(connection, rows),  # type: ignore[misc]
                )
            except Exception as error:
                failed.append(error)
        database.engine.dispose()

    ids = list(range(40))
    threads = [threading.Thread(target=write, args=each) for each in (("a", ids), ("b", ids[::-1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert place.rows() == [(number, 14) for number in ids]


PROGRAM = """
import sys
from penstock import Conf, Context, StreamingContext

folder, url, table = sys.argv[1:]

def setup():
    ssc = StreamingContext(sc, 0.05)
    lines = ssc.textFileStream(folder + "/in", newFilesOnly=False, maxFilesPerBatch=1)
    pairs = lines.map(lambda line: (int(line), line))
    pairs.saveToSql(url, table, mode="append")
    return ssc

with Context(conf=Conf().setMaster("local[1]")) as sc:
    ssc = StreamingContext.getOrCreate(folder + "/checkpoint", setup, upgrade=True)
    print("begins", flush=True)
    ssc.start(availableNow=True)
    ssc.awaitTermination()
    print("ends", flush=True)
"""


def killed(place: Place, tmp_path: Path, seed: int, kills: int) -> None:
    """Kill the program at random moments, let it end, and compare."""
    files, lines = 40, 40
    (tmp_path / "in").mkdir()
    for file in range(files):
        numbers = range(file * lines, (file + 1) * lines)
        (tmp_path / f"in/{file:04d}.txt").write_text("".join(f"{number}\n" for number in numbers))
    script = tmp_path / "app.py"
    script.write_text(PROGRAM)
    chance = random.Random(seed)
    command = [sys.executable, str(script), str(tmp_path), place.url, place.table]
    for number in range(kills + 1):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begins\n"
            if number < kills:
                timer = threading.Timer(chance.uniform(0, 0.6), process.send_signal, [signal.SIGKILL])
                timer.start()
                process.wait()
                timer.cancel()
            else:
                assert process.stdout.readline() == "ends\n"
    assert place.rows() == [(number, str(number)) for number in range(files * lines)]


def test_a_program_that_is_killed_writes_each_record_once(place: Place, tmp_path: Path, seed: int) -> None:
    killed(place, tmp_path, seed, 1)


@pytest.mark.long
def test_a_program_that_is_killed_thirty_times(place: Place, tmp_path: Path, seed: int) -> None:
    killed(place, tmp_path, seed, 30)

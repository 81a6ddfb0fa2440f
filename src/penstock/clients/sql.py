"""Databases, through SQLAlchemy: an engine a process, and transactions that happen once.

A *guard table* remembers which batch of which output was written. Its row is inserted in the transaction that
inserts the records, so the two are there together or not at all, whenever the program or the server dies::

    select guard row ---- there: the batch was written before, nothing to do
         |
         '- begin, insert guard row, insert records, commit
                        |
                        '- somebody else has just inserted it: roll back, nothing to do
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.clients.shared import Shared
from penstock.errors import ArgumentError, RowTypeError, SignatureError, UnsupportedError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, Table

__all__ = ["GUARD_TABLE", "AwareDatetime", "BatchKey", "RowRefused", "SqlDatabase", "SqlTable"]

GUARD_TABLE = "penstock_batches"
GUARDS_KEPT = 100
"""Newest guard rows of an output that are kept: only the newest batch can ever be run again after it was
written, since a batch begins when those before it are over."""

_ATTEMPTS = 3

_log = logging.getLogger(__name__)


class BatchKey(NamedTuple):
    """Which output of which run, and the batch time in milliseconds."""

    stream: str
    output: str
    batch_ms: int


class _Taken(Exception):
    """Somebody else has inserted the guard row meanwhile."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class RowRefused(Exception):
    """The database refused a row; ``index`` is its place, ``error`` what was said. If it is not ``exact`` a
    piece of rows was refused, which begins there."""

    def __init__(self, index: int, error: Exception, *, exact: bool = True) -> None:
        super().__init__(index, error)
        self.index = index
        self.error = error
        self.exact = exact


class AwareDatetime(datetime):
    """Stands for times with an offset among the types of a table."""


def _sqlalchemy() -> Any:
    try:
        import sqlalchemy
    except ImportError:
        raise UnsupportedError("SQL needs SQLAlchemy. Hint: pip install 'penstock[sql]'.") from None
    return sqlalchemy


class SqlDatabase:
    """A database by its URL, or by a function that gives the URL, so that a password need not be in the
    program or in what is stored of it. ``options`` go to ``sqlalchemy.create_engine``. The engine is made
    once in a process; a connection that has died in the pool is replaced. ``label`` shows no password.
    """

    def __init__(self, location: Any, options: Mapping[str, Any] | None, operation: str) -> None:
        sqlalchemy = _sqlalchemy()
        self._operation = operation
        if callable(location) and not isinstance(location, (str, sqlalchemy.URL)):
            self.label = f"the database of {getattr(location, '__qualname__', 'a function')}"
        else:
            self.label = _shown(_url_of(location, operation))
        self._shared: Shared[Engine] = Shared(
            _engine_for, location, dict(options or {}), operation, close=_disposed
        )
        self._guards = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_guards": 0}  # who goes on may meet another database

    def __repr__(self) -> str:
        return f"SqlDatabase({self.label})"

    @property
    def engine(self) -> Engine:
        """The engine of this process."""
        return self._shared.get()

    def is_done(self, key: BatchKey) -> bool:
        """Whether the batch was written before."""
        self._prepare()
        with self.engine.connect() as connection:
            return self._has_guard(connection, key)

    def once(self, key: BatchKey, work: Callable[[Connection], int]) -> bool:
        """``work(connection)`` in one transaction with the guard row of the batch; false if it was done
        before. ``work`` returns how many rows it has written. It is called again if the connection broke,
        whatever the server has made of it: the guard row tells; and if the server gave this transaction up
        for another one's sake.
        """
        from sqlalchemy.exc import DBAPIError

        for left in reversed(range(_ATTEMPTS)):
            try:
                return self._attempt(key, work)
            except DBAPIError as error:
                if not left or not _is_passing(error):
                    raise
                _log.warning("a transaction in %s did not work out, once more: %s", self.label, error.orig)
        raise AssertionError("the last attempt raises")

    def _attempt(self, key: BatchKey, work: Callable[[Connection], int]) -> bool:
        self._prepare()
        guard = self._guard()
        with self.engine.connect() as connection:
            if self._has_guard(connection, key):
                return False
            connection.rollback()  # the question was a transaction
            try:
                with connection.begin():
                    self._take(connection, guard, key)
                    count = work(connection)
                    connection.execute(
                        guard.update().where(*_matching(guard, key)).values(written_rows=count)
                    )
                    self._prune(connection, guard, key)
            except _Taken as taken:
                if self._has_guard(connection, key):
                    return False
                raise taken.error from None
        return True

    @staticmethod
    def _take(connection: Connection, guard: Table, key: BatchKey) -> None:
        from sqlalchemy.exc import IntegrityError

        try:
            connection.execute(guard.insert().values(**key._asdict(), written_rows=0))
        except IntegrityError as error:
            raise _Taken(error) from error

    def _has_guard(self, connection: Connection, key: BatchKey) -> bool:
        guard = self._guard()
        statement = guard.select().where(*_matching(guard, key))
        return connection.execute(statement).first() is not None

    def _guard(self) -> Table:
        sqlalchemy = _sqlalchemy()
        column = sqlalchemy.Column
        made: Table = sqlalchemy.Table(
            GUARD_TABLE,
            sqlalchemy.MetaData(),
            column("stream", sqlalchemy.String(64), primary_key=True),
            column("output", sqlalchemy.String(200), primary_key=True),
            column("batch_ms", sqlalchemy.BigInteger, primary_key=True, autoincrement=False),
            column("written_rows", sqlalchemy.BigInteger, nullable=False),
        )
        return made

    def _prepare(self) -> None:
        """The first time: see that there is a guard table, and that there are transactions."""
        if self._guards:
            return
        guard = self._guard()
        _created(self.engine, guard)
        with self.engine.connect() as connection:
            if connection.dialect.name == "sqlite":  # where a transaction begins with the first change
                connection.execute(guard.delete().where(_sqlalchemy().false()))
            if _is_autocommit(connection):
                raise ArgumentError(
                    f"{self._operation} needs transactions, but in {self.label} each statement is committed "
                    f"by itself. Hint: leave AUTOCOMMIT, or a driver's word for it, out of engineOptions."
                )
            connection.rollback()
        self._guards = 1

    def _prune(self, connection: Connection, guard: Table, key: BatchKey) -> None:
        """Drop the oldest guard rows of this output, now and then."""
        self._guards += 1
        if self._guards % GUARDS_KEPT != 2:
            return
        ours = (guard.c.stream == key.stream, guard.c.output == key.output)
        newest = guard.select().where(*ours).order_by(guard.c.batch_ms.desc()).offset(GUARDS_KEPT).limit(1)
        oldest = connection.execute(newest).first()
        if oldest is not None:
            connection.execute(guard.delete().where(*ours, guard.c.batch_ms <= oldest.batch_ms))


class SqlTable:
    """A table to insert rows into, by name (``orders`` or ``schema.orders``).

    With ``keys`` a row takes the place of the one with the same values in these columns.
    """

    def __init__(self, name: str, keys: Sequence[str] | None, chunk_rows: int) -> None:
        self.name = name
        self._keys = tuple(keys or ())
        self._chunk_rows = chunk_rows
        self._known: Table | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None}

    def ensure(self, database: SqlDatabase, types: Mapping[str, type] | None, *, create: bool) -> None:
        """Look the table up, and make it if it is missing: columns of ``types``, all but the keys may be
        null. ``ArgumentError`` if it is missing and is not to be made."""
        sqlalchemy = _sqlalchemy()
        if self._known is not None:
            return
        schema, _, name = self.name.rpartition(".")
        engine = database.engine
        if not sqlalchemy.inspect(engine).has_table(name, schema=schema or None):
            if not create:
                raise ArgumentError(
                    f"there is no table {self.name} in {database.label}. Hint: create it, or say "
                    f"createTable=True."
                )
            if not types:
                return
            columns = [
                sqlalchemy.Column(
                    column,
                    _type_of(kind, self.name, column),
                    primary_key=column in self._keys,
                    autoincrement=False,
                )
                for column, kind in types.items()
            ]
            made = sqlalchemy.Table(name, sqlalchemy.MetaData(), *columns, schema=schema or None)
            _created(engine, made)
        self._known = sqlalchemy.Table(
            name, sqlalchemy.MetaData(), schema=schema or None, autoload_with=engine
        )

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
        """Insert the rows, a chunk at a time. Raises :class:`RowRefused` for the first that will not do."""
        if not rows:
            return 0
        table = self._known
        assert table is not None, "a table that was not looked up"
        missing = [key for key in self._keys if key not in table.c]
        if missing:
            raise ArgumentError(f"the table {self.name} has no column {missing[0]}, which is to be its key")
        known = set(table.c.keys())
        checks = _checks(table, connection.dialect.name)
        for index, row in enumerate(rows):
            unknown = row.keys() - known
            if unknown:
                problem = ArgumentError(f"the table {self.name} has no column {min(unknown)}")
                raise RowRefused(index, problem)
            lacking = [key for key in self._keys if row.get(key) is None]
            if lacking:
                raise RowRefused(index, ArgumentError(f"the key {lacking[0]} has no value"))
            for name, loss in checks:
                lost = loss(row[name]) if row.get(name) is not None else ""
                if lost:
                    what = f"the column {name} of {self.name} would lose {lost} of {row[name]!r}"
                    way_out = "Hint: create the table with a column that keeps it, or convert the value."
                    raise RowRefused(index, RowTypeError(f"{what}. {way_out}"))
        places = self._made_room(connection, table, rows)
        for start, piece in self._pieces([rows[place] for place in places]):
            try:
                connection.execute(self._statement(connection, table, piece[0]), piece)
            except Exception as error:
                if _is_passing(error):  # it is no row's fault
                    raise
                raise RowRefused(places[start], error, exact=False) from error
        return len(places)

    def first_refused(self, database: SqlDatabase, rows: Sequence[dict[str, Any]], start: int) -> int | None:
        """Which row it is that the database refuses, the piece from ``start`` on being known to be refused;
        ``None`` if it takes them all one by one. Nothing is kept of that."""
        table = self._known
        assert table is not None, "a table that was not looked up"
        with database.engine.connect() as connection:
            try:
                places = self._made_room(connection, table, rows)
                before = places.index(start)
                for _, piece in self._pieces([rows[place] for place in places[:before]]):
                    connection.execute(self._statement(connection, table, piece[0]), piece)
                for index in places[before : before + self._chunk_rows]:
                    try:
                        connection.execute(self._statement(connection, table, rows[index]), [rows[index]])
                    except Exception:
                        return index
            finally:
                with suppress(Exception):
                    connection.rollback()
        return None

    def _pieces(self, rows: Sequence[dict[str, Any]]) -> list[tuple[int, list[dict[str, Any]]]]:
        """Neighbours with the same columns, and where they begin; at most a chunk of them."""
        pieces: list[tuple[int, list[dict[str, Any]]]] = []
        for index, row in enumerate(rows):
            last = pieces[-1][1] if pieces else None
            if last is None or len(last) == self._chunk_rows or last[0].keys() != row.keys():
                pieces.append((index, [row]))
            else:
                last.append(row)
        return pieces

    def _statement(self, connection: Connection, table: Table, row: dict[str, Any]) -> Any:
        dialect = connection.dialect.name
        if not self._keys or dialect not in _CONFLICT:
            return table.insert()
        from importlib import import_module

        insert = import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
        others = {name: insert.excluded[name] for name in row if name not in self._keys}
        if not others:
            return insert.on_conflict_do_nothing(index_elements=list(self._keys))
        return insert.on_conflict_do_update(index_elements=list(self._keys), set_=others)

    def _made_room(
        self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]]
    ) -> Sequence[int]:
        """The places of the rows to insert, in the order of their keys, so that programs that write the same
        rows wait for each other and do not lock each other out. Where INSERT cannot replace, that is the
        last row of each key, the rows with these keys being deleted: what every database can do."""
        if not self._keys:
            return range(len(rows))
        keys = [tuple(row[key] for key in self._keys) for row in rows]
        order = list(range(len(rows)))
        with suppress(TypeError):  # of keys that have no order
            order.sort(key=keys.__getitem__)
        if connection.dialect.name in _CONFLICT:
            return order
        last = {keys[place]: place for place in order}
        sqlalchemy = _sqlalchemy()
        matching = [table.c[key] == sqlalchemy.bindparam(f"key_{key}") for key in self._keys]
        given = [{f"key_{key}": rows[place][key] for key in self._keys} for place in last.values()]
        connection.execute(table.delete().where(*matching), given)
        return list(last.values())


_CONFLICT = ("postgresql", "sqlite")
"""Dialects whose INSERT can say what to do where a key is there."""


def _is_passing(error: Exception) -> bool:
    """Whether a transaction may work if it is begun again: the connection broke, or it stood in the way of
    another."""
    if getattr(error, "connection_invalidated", False):
        return True
    orig = getattr(error, "orig", None)
    state = getattr(orig, "sqlstate", None) or getattr(orig, "pgcode", None)
    return state in ("40001", "40P01")  # cannot be serialised, deadlock


def _is_autocommit(connection: Connection) -> bool:
    """Whether what was just changed is committed already. The driver knows; one that does not say is
    believed to have transactions."""
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite" and hasattr(driver, "in_transaction"):
        return not driver.in_transaction
    try:
        return bool(connection.dialect.detect_autocommit_setting(driver))
    except NotImplementedError:
        return False


def _checks(table: Table, dialect: str) -> list[tuple[str, Callable[[Any], str]]]:
    """For the columns that take values which do not fit and keep a part of them: what they would lose, or an
    empty text."""
    sqlalchemy = _sqlalchemy()
    found: list[tuple[str, Callable[[Any], str]]] = []
    for name, column in table.c.items():
        if isinstance(column.type, sqlalchemy.Integer) and dialect != "sqlite":  # there any column takes any
            found.append((name, _fraction))
        elif isinstance(column.type, sqlalchemy.Numeric) and dialect == "sqlite":  # which has floats only
            found.append((name, _digits))
        elif isinstance(column.type, sqlalchemy.Date):
            found.append((name, _time_of_day))
        elif isinstance(column.type, (sqlalchemy.DateTime, sqlalchemy.Time)) and not column.type.timezone:
            found.append((name, _offset))
    return found


def _fraction(value: Any) -> str:
    if isinstance(value, Decimal):
        return "the fraction" if value.is_finite() and value != int(value) else ""
    return "the fraction" if isinstance(value, float) and math.isfinite(value) and value != int(value) else ""


def _digits(value: Any) -> str:
    exact = not isinstance(value, Decimal) or not value.is_finite() or Decimal(repr(float(value))) == value
    return "" if exact else "digits"


def _time_of_day(value: Any) -> str:
    return "the time of day" if isinstance(value, datetime) and value.timetz() != time() else ""


def _offset(value: Any) -> str:
    return "the offset" if isinstance(value, (datetime, time)) and value.tzinfo is not None else ""


def _matching(guard: Table, key: BatchKey) -> list[Any]:
    return [guard.c[name] == value for name, value in key._asdict().items()]


def _created(engine: Engine, table: Table) -> None:
    """Make a table unless it is there; another process may be doing the same."""
    sqlalchemy = _sqlalchemy()
    try:
        table.create(engine, checkfirst=True)
    except Exception:
        if not sqlalchemy.inspect(engine).has_table(table.name, schema=table.schema):
            raise


def _type_of(kind: type, table: str, column: str) -> Any:
    sqlalchemy = _sqlalchemy()
    kinds: dict[type, Any] = {
        bool: sqlalchemy.Boolean,
        int: sqlalchemy.BigInteger,
        float: sqlalchemy.Double,
        str: sqlalchemy.Text,
        bytes: sqlalchemy.LargeBinary,
        AwareDatetime: partial(sqlalchemy.DateTime, timezone=True),
        datetime: sqlalchemy.DateTime,
        date: sqlalchemy.Date,
        time: sqlalchemy.Time,
        Decimal: sqlalchemy.Numeric,
    }
    for known, made in kinds.items():
        if kind is known or (isinstance(kind, type) and issubclass(kind, known)):
            return made()
    raise ArgumentError(
        f"the table {table} is missing, and no type of a column is known for {column}, which is "
        f"{getattr(kind, '__qualname__', kind)}. Hint: create the table."
    )


def _url_of(location: Any, operation: str) -> URL:
    sqlalchemy = _sqlalchemy()
    from sqlalchemy.exc import ArgumentError as NoUrl

    if isinstance(location, sqlalchemy.URL):
        given: URL = location
        return given
    if not isinstance(location, str):
        raise SignatureError(f"{operation} needs the URL of a database, not {type(location).__name__}")
    try:
        url: URL = sqlalchemy.make_url(location)
    except (NoUrl, ValueError):  # whose text shows the URL, password included
        raise ArgumentError(
            f"{operation} cannot read the URL of the database. Hint: sqlite:///orders.db, or "
            f"postgresql+psycopg://user:password@host/name."
        ) from None
    return url


def _shown(url: URL) -> str:
    """The URL without what is secret in it. Drivers take passwords as options too."""
    secret = ("pass", "pwd", "secret", "odbc")
    hidden = {name: "hidden" for name in url.query if any(word in name.lower() for word in secret)}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _engine_for(location: Any, options: dict[str, Any], operation: str) -> Engine:
    sqlalchemy = _sqlalchemy()
    url = location if isinstance(location, (str, sqlalchemy.URL)) else location()
    try:
        made: Engine = sqlalchemy.create_engine(_url_of(url, operation), **{"pool_pre_ping": True, **options})
    except (ImportError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise UnsupportedError(
            f"{operation} needs the database's driver: {error}. Hint: for PostgreSQL pip install "
            f"'psycopg[binary]' and say postgresql+psycopg://."
        ) from error
    return made


def _disposed(engine: Engine) -> None:
    engine.dispose()

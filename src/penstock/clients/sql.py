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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.clients.shared import Shared
from penstock.errors import ArgumentError, SignatureError, UnsupportedError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, Table

__all__ = ["GUARD_TABLE", "BatchKey", "RowRefused", "SqlDatabase", "SqlTable"]

GUARD_TABLE = "penstock_batches"
GUARDS_KEPT = 100
"""Newest guard rows of an output that are kept: only the newest batch can ever be run again after it was
written, since a batch begins when those before it are over."""

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
    """The database refused a row; ``index`` is its place, ``error`` what was said."""

    def __init__(self, index: int, error: Exception) -> None:
        super().__init__(index, error)
        self.index = index
        self.error = error


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
            self.label = _url_of(location, operation).render_as_string(hide_password=True)
        self._shared: Shared[Engine] = Shared(
            _engine_for, location, dict(options or {}), operation, close=_disposed
        )
        self._guards = 0

    def __repr__(self) -> str:
        return f"SqlDatabase({self.label})"

    @property
    def engine(self) -> Engine:
        """The engine of this process."""
        return self._shared.get()

    def is_done(self, key: BatchKey) -> bool:
        """Whether the batch was written before."""
        with self.engine.connect() as connection:
            return self._has_guard(connection, key)

    def once(self, key: BatchKey, work: Callable[[Connection], int]) -> bool:
        """``work(connection)`` in one transaction with the guard row of the batch; false if it was done
        before. ``work`` returns how many rows it has written. It is called once more if the connection broke,
        whatever the server has made of it: the guard row tells.
        """
        from sqlalchemy.exc import DBAPIError

        try:
            return self._attempt(key, work)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            _log.warning("the connection to %s broke, once more: %s", self.label, error.orig)
        return self._attempt(key, work)

    def _attempt(self, key: BatchKey, work: Callable[[Connection], int]) -> bool:
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
        if self._guards == 0:
            self._make_guard(guard)
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

    def _make_guard(self, guard: Table) -> None:
        _created(self.engine, guard)
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
        for index, row in enumerate(rows):
            unknown = row.keys() - known
            if unknown:
                problem = ArgumentError(f"the table {self.name} has no column {min(unknown)}")
                raise RowRefused(index, problem)
            lacking = [key for key in self._keys if row.get(key) is None]
            if lacking:
                raise RowRefused(index, ArgumentError(f"the key {lacking[0]} has no value"))
        if self._keys and connection.dialect.name not in _CONFLICT:
            rows = self._replaced(connection, table, rows)
        for start, piece in self._pieces(rows):
            try:
                connection.execute(self._statement(connection, table, piece[0]), piece)
            except Exception as error:
                raise RowRefused(start, error) from error
        return len(rows)

    def first_refused(self, database: SqlDatabase, rows: Sequence[dict[str, Any]], start: int) -> int | None:
        """Which row it is that the database refuses, the piece from ``start`` on being known to be refused;
        ``None`` if it takes them all one by one. Nothing is kept of that."""
        table = self._known
        assert table is not None, "a table that was not looked up"
        stop = min(start + self._chunk_rows, len(rows))
        with database.engine.connect() as connection:
            try:
                for _, piece in self._pieces(rows[:start]):
                    connection.execute(self._statement(connection, table, piece[0]), piece)
                for index in range(start, stop):
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

    def _replaced(
        self, connection: Connection, table: Table, rows: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The last row of each key, the rows with these keys being deleted: what every database can do."""
        last = {tuple(row[key] for key in self._keys): row for row in rows}
        sqlalchemy = _sqlalchemy()
        matching = [table.c[key] == sqlalchemy.bindparam(f"key_{key}") for key in self._keys]
        given = [{f"key_{key}": row[key] for key in self._keys} for row in last.values()]
        connection.execute(table.delete().where(*matching), given)
        return list(last.values())


_CONFLICT = ("postgresql", "sqlite")
"""Dialects whose INSERT can say what to do where a key is there."""


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
    except NoUrl:  # whose text shows the URL, password included
        raise ArgumentError(
            f"{operation} cannot read the URL of the database. Hint: sqlite:///orders.db, or "
            f"postgresql+psycopg://user:password@host/name."
        ) from None
    return url


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

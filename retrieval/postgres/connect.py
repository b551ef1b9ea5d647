"""Connections to PostgreSQL: where the address comes from, and errors that say what to do and never show a password.

An address (DSN) holds a password more often than not. It is therefore never printed: messages name user, host, port
and database, and what the driver says is scrubbed before it is passed on.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from groundtone.errors import MissingExtraError, ProjectError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

DSN_VARIABLE = "GROUNDTONE_DSN"
SCHEMES = ("postgres://", "postgresql://")
EF_SEARCH = 200  # HNSW candidates per step; the scan goes on in such steps until a search has its rows
MAX_SCAN_TUPLES = 40_000  # rows that one HNSW scan may visit; a search that needs more is exact instead
_CONNECT_TIMEOUT_S = 10
_SECRETS = re.compile(r"(?<=://)[^/\s@]+(?=@)|(?i:(?<=password=)\S+)")


def resolve_dsn(store: str | None) -> str | None:
    """The address that `retrieval.store` means; None: no server, the index is a file.

    `store` is an address, or the word `postgres` for the one in GROUNDTONE_DSN. The variable alone changes nothing:
    left over in a shell, it must not send another project's documents into this database.
    """
    if store is None:
        return None
    if store == "postgres":
        dsn = os.environ.get(DSN_VARIABLE, "")
        if not dsn:
            raise ProjectError(
                f"retrieval.store is `postgres`, but {DSN_VARIABLE} is not set: export {DSN_VARIABLE}=postgres://..."
            )
        store = dsn
    if not store.startswith(SCHEMES):
        raise ProjectError(
            "retrieval.store is no address of a PostgreSQL database (not shown: it may hold a password); write it as "
            f"postgres://user@host:5432/database, or write `postgres` and set {DSN_VARIABLE}"
        )
    return store


class Database:
    """One database and schema; connections are lent to one caller at a time and kept for the next.

    `groups` of `connection` are what row security lets through: None for all that the role may read.
    """

    def __init__(self, dsn: str, *, schema: str = "groundtone") -> None:
        """Nothing is connected yet. Raises MissingExtraError without the driver, ProjectError for a malformed DSN."""
        try:
            import pgvector.psycopg
            import psycopg
        except ImportError as error:
            raise MissingExtraError("an index in PostgreSQL", "postgres") from error
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
            raise ProjectError(f"schema {schema!r}: use lower-case letters, digits and _ only")
        self.schema = schema
        self._driver = psycopg
        self._register = pgvector.psycopg.register_vector
        try:
            given = psycopg.conninfo.conninfo_to_dict(dsn)
        except psycopg.Error:  # its message may quote the address
            raise ProjectError(
                "the address of the PostgreSQL database is malformed (not shown: it may hold a password); write it as "
                "postgres://user:password@host:5432/database, signs such as @ and / in the password percent-encoded"
            ) from None
        self._given: Mapping[str, Any] = {
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "application_name": "groundtone",
        } | given
        self._password = str(given.get("password") or "")
        self.name = (
            f"database {given.get('dbname') or given.get('user') or 'of the user'!s} "
            f"at {given.get('host') or 'the local socket'}:{given.get('port') or 5432}"
        )
        self._lock = threading.Lock()
        self._idle: list[tuple[Connection, str]] = []  # with the groups that were last set on it
        self._closed = False

    def close(self) -> None:
        """Close idle connections; those on loan are closed when they come back."""
        self._closed = True
        self.renew()

    def renew(self) -> None:
        """Close idle connections, so that the next ones see what was installed or made since they began."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    @contextmanager
    def connection(self, *, groups: Sequence[str] | None = None) -> Iterator[Connection]:
        """A connection in autocommit mode; use `with connection.transaction():` for more than one statement.

        Raises ProjectError for whatever the server or the network refuses.
        """
        with self.plain_errors():
            with self._lock:
                connection, known = self._idle.pop() if self._idle else (None, "")
            if connection is None:
                connection = self._connect()
            try:
                wanted = "" if groups is None else _array_literal(groups)
                if wanted != known:
                    connection.execute("SELECT set_config('groundtone.groups', %s, false)", (wanted,))
                yield connection
            except BaseException:
                connection.close()  # its state is not known; the next caller gets a fresh one
                raise
            with self._lock:
                keep = not self._closed and not connection.closed
                if keep:
                    self._idle.append((connection, wanted))
            if not keep:
                connection.close()

    def _connect(self) -> Connection:
        connection: Connection = self._driver.connect(autocommit=True, **self._given)
        try:
            row = connection.execute(
                "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace "
                "WHERE extname = 'vector'"
            ).fetchone()
            path = f'"{self.schema}"' + (f", {row[0]}" if row else "")
            # jit off: compiling takes longer than these statements do. relaxed_order: an HNSW scan under a filter goes
            # on until it has enough rows, instead of filtering its first ef_search rows and returning almost nothing.
            settings = {
                "search_path": path,
                "jit": "off",
                "hnsw.iterative_scan": "relaxed_order",
                "hnsw.ef_search": str(EF_SEARCH),
                "hnsw.max_scan_tuples": str(MAX_SCAN_TUPLES),
            }
            for setting in settings.items():
                connection.execute("SELECT set_config(%s, %s, false)", setting)
            if row:
                self._register(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Errors of the driver as ours: what happened, where, what to do; no password in them or in their cause."""
        errors = self._driver.errors
        try:
            yield
        except errors.InsufficientPrivilege as error:
            raise ProjectError(
                f"{self.name}: {self._scrubbed(error)}; connect as the owner of schema {self.schema}, or let the owner "
                "grant this role what it reads (retrieval.postgres.roles.grant_reader)"
            ) from None
        except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
            raise ProjectError(
                f"{self.name} holds no index in schema {self.schema} ({self._scrubbed(error)}): run `groundtone ingest`"
            ) from None
        except errors.OperationalError as error:
            raise ProjectError(
                f"{self.name} cannot be used ({self._scrubbed(error)}); check that the server runs and that user, "
                f"password, host and port in retrieval.store or {DSN_VARIABLE} are right"
            ) from None
        except errors.Error as error:
            raise ProjectError(f"{self.name} reports: {self._scrubbed(error)}") from None

    def _scrubbed(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        if self._password:
            text = text.replace(self._password, "***")
        return _SECRETS.sub("***", text)


def _array_literal(groups: Sequence[str]) -> str:
    """Names as a PostgreSQL array literal: ("a", 'b "c"') -> {"a","b \\"c\\""}."""
    quoted = (group.replace("\\", "\\\\").replace('"', '\\"') for group in groups)
    return "{" + ",".join(f'"{name}"' for name in quoted) + "}"

"""Database roles that read for themselves: row security shows a role public documents and those of its groups.

The groups that a role may read stand in a table that it cannot write. The session setting `groundtone.groups` can
only narrow them, so that it does not matter who sets it. A role that is not in the table sees public documents.
"""

from __future__ import annotations

from collections.abc import Sequence

from groundtone.errors import DataError
from retrieval.postgres.connect import Database

ANY_GROUP = "*"
_READABLE = ("meta", "changes", "documents", "passages", "vectors")


def grant_reader(dsn: str, role: str, *, groups: Sequence[str] = (), schema: str = "groundtone") -> None:
    """Let an existing role read public documents and those of `groups`, from now on instead of what it could before.

    ("*",) is for an application that knows its own users and passes their groups to each search. Call it as the owner
    of the tables. Raises DataError for a role that does not exist.
    """
    from psycopg import sql

    database = Database(dsn, schema=schema)
    try:
        with database.connection() as connection, connection.transaction():
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
                raise DataError(f"there is no role {role!r} in {database.name}; make it with CREATE ROLE {role} LOGIN")
            name = sql.Identifier(role)
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), name))
            tables = sql.SQL(", ").join(sql.Identifier(schema, table) for table in _READABLE)
            connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(tables, name))
            connection.execute(
                "INSERT INTO readers VALUES (%s, %s) ON CONFLICT (role) DO UPDATE SET groups = excluded.groups",
                (role, list(groups)),
            )
    finally:
        database.close()

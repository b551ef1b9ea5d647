from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from groundtone.errors import DataError, ProjectError
from retrieval.postgres.index import PgIndex
from retrieval.postgres.roles import ANY_GROUP, grant_reader
from tests.retrieval.hashing_encoder import HashingEncoder

ROLES = ("sales_reader", "app_reader", "nobody_reader")


@pytest.fixture
def guarded(dsn: str, schema: str, tmp_path: Path) -> Iterator[str]:
    """A public document, one of sales, one of staff; and three roles."""
    for name, groups in (("open", ""), ("sales", "groups: [sales]\n"), ("staff", "groups: [staff]\n")):
        (tmp_path / f"{name}.md").write_text(f"---\ntitle: {name}\n{groups}---\n# {name}\n\nA note on bikes, {name}.\n")
    with PgIndex.open(dsn, encoder=HashingEncoder(), schema=schema) as index:
        index.update(tmp_path)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for role in ROLES:
            connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO nobody_reader")
        for table in ("meta", "changes", "documents", "passages", "vectors"):
            connection.execute(f"GRANT SELECT ON {schema}.{table} TO nobody_reader")
    grant_reader(dsn, "sales_reader", groups=["sales"], schema=schema)
    grant_reader(dsn, "app_reader", groups=[ANY_GROUP], schema=schema)
    yield schema
    with psycopg.connect(dsn, autocommit=True) as connection:
        for role in ROLES:
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")


def as_role(dsn: str, role: str) -> str:
    return dsn.replace("//postgres:@", f"//{role}@", 1)


def test_a_role_sees_its_groups_only_whatever_it_sets(dsn: str, guarded: str) -> None:
    with psycopg.connect(as_role(dsn, "sales_reader"), autocommit=True) as connection:
        connection.execute(f"SET search_path = {guarded}, public")
        for setting in ("", "{}", "{sales}", "{staff}", "{*}", "{sales,staff}"):
            connection.execute("SELECT set_config('groundtone.groups', %s, false)", (setting,))
            for table, column in (("documents", "source"), ("passages", "heading"), ("vectors", "groups::text")):
                seen = str(connection.execute(f"SELECT {column} FROM {table}").fetchall())
                assert "staff" not in seen, (setting, table)
                assert ("sales" in seen) == (setting not in ("{}", "{staff}", "{*}")), (setting, table)
        for statement in ("INSERT INTO readers VALUES ('sales_reader', '{*}')", "UPDATE documents SET groups = '{}'",
                          "SELECT * FROM readers", "SELECT * FROM jobs", "DELETE FROM passages"):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_searches_of_a_role_keep_to_its_groups(dsn: str, guarded: str) -> None:
    def found(role: str, groups: list[str]) -> set[str]:
        with PgIndex.open(as_role(dsn, role), encoder=HashingEncoder(), schema=guarded) as index:
            return {hit.passage.source for hit in index.search("a note on bikes", k=9, groups=groups)}

    assert found("sales_reader", []) == {"open.md"}
    assert found("sales_reader", ["sales", "staff"]) == {"open.md", "sales.md"}
    assert found("nobody_reader", ["sales", "staff", "*"]) == {"open.md"}
    assert found("app_reader", ["staff"]) == {"open.md", "staff.md"}
    assert found("app_reader", ["*"]) == {"open.md"}
    with PgIndex.open(as_role(dsn, "sales_reader"), encoder=HashingEncoder(), schema=guarded) as index:
        assert index.documents() == ["open.md", "sales.md"]
        index.search("bikes", groups=["sales"])
        assert index.documents() == ["open.md", "sales.md"], "the groups of a search do not outlast it"
        with pytest.raises(ProjectError, match="permission denied"):
            index.update(Path(__file__).parent)


def test_a_role_that_is_not_there_is_named(dsn: str, guarded: str) -> None:
    with pytest.raises(DataError, match="no role 'ghost'"):
        grant_reader(dsn, "ghost", schema=guarded)

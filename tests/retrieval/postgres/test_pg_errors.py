from __future__ import annotations

import builtins
import socket
import traceback
from typing import Any

import psycopg
import pytest

from groundtone.errors import IntegrityError, MissingExtraError, ProjectError
from retrieval.postgres.connect import DSN_VARIABLE, Database, resolve_dsn
from retrieval.postgres.index import PgIndex
from tests.retrieval.hashing_encoder import HashingEncoder

SECRET = "hunter2-secret"


def opened(dsn: str, **known: Any) -> PgIndex:
    return PgIndex.open(dsn, encoder=known.pop("encoder", HashingEncoder()), **known)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("postgres://me:{secret}@127.0.0.1:{port}/db", "refused"),
        ("postgres://me@127.0.0.1:{port}/db?password={secret}", "refused"),
        ("postgres://me:{secret}@nowhere.invalid:5432/db", "cannot be used"),
        ("postgres://me:{secret}@127.0.0.1:port/db", "cannot be used|malformed"),
        ("postgres://me:{secret}@[::1/db", "malformed"),
        ("postgres://me@127.0.0.1/db?passwort={secret}", "malformed"),
    ],
)
def test_an_address_that_does_not_work_is_told_without_its_password(dsn: str, says: str) -> None:
    pytest.importorskip("psycopg", reason="needs the driver: pip install 'groundtone[postgres]'")
    with pytest.raises(ProjectError, match=says) as caught:
        opened(dsn.format(secret=SECRET, port=free_port()))
    whole = "".join(traceback.format_exception(caught.value.with_traceback(None)))
    assert SECRET not in whole
    assert "retrieval.store" in str(caught.value) or "write it as" in str(caught.value)


def test_a_wrong_user_and_a_wrong_database_are_named(dsn: str) -> None:
    with pytest.raises(ProjectError, match='"ghost" does not exist'):
        opened(dsn.replace("//postgres:@", "//ghost@", 1))
    with pytest.raises(ProjectError, match='"ghost" does not exist'):
        opened(dsn.replace("/postgres?", "/ghost?", 1))


def test_where_the_address_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DSN_VARIABLE, "postgres://from@the/environment")
    assert resolve_dsn(None) is None, "a variable left over in a shell changes no project"
    assert resolve_dsn("postgresql://a@b/c") == "postgresql://a@b/c"
    assert resolve_dsn("postgres") == "postgres://from@the/environment"
    monkeypatch.setenv(DSN_VARIABLE, f"host=a password={SECRET}")
    with pytest.raises(ProjectError, match="no address of a PostgreSQL") as caught:
        resolve_dsn("postgres")
    assert SECRET not in str(caught.value)
    monkeypatch.delenv(DSN_VARIABLE)
    with pytest.raises(ProjectError, match="is not set"):
        resolve_dsn("postgres")


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **known: Any) -> Any:
        if name.startswith("pgvector"):
            raise ImportError(name)
        return real(name, *args, **known)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"groundtone\[postgres\]"):
        Database("postgres://a@b/c")


def test_a_server_without_pgvector_says_what_to_install(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare")
        if connection.info.server_version < 180000:
            pytest.skip("extensions cannot be hidden before PostgreSQL 18")
        connection.execute("ALTER DATABASE bare SET extension_control_path = '/nonexistent'")
    with pytest.raises(ProjectError, match=r"has no pgvector; install it there"):
        opened(dsn.replace("/postgres?", "/bare?", 1))


def test_a_role_that_may_not_make_tables_is_told_so(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE poor LOGIN")
    with pytest.raises(ProjectError, match="permission denied"):
        opened(dsn.replace("//postgres:@", "//poor@", 1), schema="poor_tables")


def test_another_encoder_or_schema_version_is_refused_and_rebuilt(dsn: str, schema: str) -> None:
    opened(dsn, schema=schema).close()
    with pytest.raises(ProjectError, match="was made with encoder 'hashing'"):
        opened(dsn, schema=schema, encoder=HashingEncoder(name="other"))
    with pytest.raises(ProjectError, match="64 numbers"):
        opened(dsn, schema=schema, encoder=HashingEncoder(dim=32))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"UPDATE {schema}.meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(IntegrityError, match="schema 99"):
        opened(dsn, schema=schema)
    with opened(dsn, schema=schema, encoder=HashingEncoder(dim=32), rebuild=True) as index:
        assert index.documents() == []
        assert index.search("anything") == []


def test_names_that_could_be_sql_are_refused(dsn: str) -> None:
    for name in ('a"; DROP SCHEMA public; --', "", "Ünder", "A"):
        with pytest.raises(ProjectError, match="lower-case letters"):
            opened(dsn, schema=name)
    with pytest.raises(ProjectError, match="no text search configuration 'klingon'"):
        opened(dsn, schema="t_klingon", language="klingon")
    with pytest.raises(ProjectError, match="at most 4000"):
        opened(dsn, schema="t_wide", encoder=HashingEncoder(dim=5000))


def test_a_server_that_went_away_is_told_and_the_next_call_connects_again(dsn: str, schema: str) -> None:
    with opened(dsn, schema=schema) as index:
        assert index.documents() == []
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'groundtone'"
            )
        with pytest.raises(ProjectError, match="cannot be used"):
            index.documents()
        assert index.documents() == []

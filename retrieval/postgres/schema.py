"""The tables, and what is checked when they are opened: pgvector, schema version, encoder.

Groups stand on passages and vectors too, so that a row can be judged without a join: by searches, and by row security.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundtone.errors import IntegrityError, ProjectError

if TYPE_CHECKING:
    from retrieval.postgres.connect import Connection, Database

SCHEMA_VERSION = 1
EXACT_VECTORS = 20_000  # up to here every vector is compared (10 to 20 ms); above, an HNSW index is built and used
_OLDEST_PGVECTOR = (0, 8)  # brought iterative scans: without them a filtered search loses its rows
_MAX_DIM = 4000  # of an HNSW index over halfvec
_LINKS_BYTES = 400  # of the graph, per vector
_MOST_BUILD_MB = 2000
# A build whose graph outgrows maintenance_work_mem (64 MB by default) takes many times as long.
_ROOM_FOR_THE_GRAPH = """
SELECT set_config('maintenance_work_mem', greatest(
  pg_size_bytes(current_setting('maintenance_work_mem')) / 1000,
  least(%(most_mb)s * 1000, (SELECT count(*) * (max(pg_column_size(vector)) + %(links_bytes)s) / 1000 FROM vectors))
  )::bigint || 'kB', false)
"""
_TABLES = """
CREATE TABLE meta(key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE changes(number bigint NOT NULL);
INSERT INTO changes VALUES (0);
CREATE TABLE documents(
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE,
  source text COLLATE "C" NOT NULL UNIQUE, text text NOT NULL, meta jsonb NOT NULL, facets jsonb NOT NULL,
  groups text[] NOT NULL, file_sha256 text NOT NULL, cut text NOT NULL,
  passages integer NOT NULL, vectors integer NOT NULL);
CREATE TABLE passages(
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL,
  doc bigint NOT NULL REFERENCES documents ON DELETE CASCADE, start integer NOT NULL, stop integer NOT NULL,
  heading text NOT NULL, page integer, text text NOT NULL, spans integer[] NOT NULL, groups text[] NOT NULL,
  words tsvector NOT NULL);
CREATE INDEX passages_doc ON passages(doc);
CREATE INDEX passages_words ON passages USING gin(words) WITH (fastupdate = off);
CREATE TABLE vectors(
  passage bigint NOT NULL REFERENCES passages ON DELETE CASCADE, part integer NOT NULL, doc bigint NOT NULL,
  groups text[] NOT NULL, vector halfvec({dim}) NOT NULL, PRIMARY KEY (passage, part));
ALTER TABLE vectors ALTER COLUMN vector SET STORAGE PLAIN;
CREATE INDEX vectors_doc ON vectors(doc);
CREATE SEQUENCE claims;
CREATE TABLE jobs(
  source text COLLATE "C" PRIMARY KEY, state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
  tries integer NOT NULL DEFAULT 0, worker text NOT NULL DEFAULT '', claim bigint NOT NULL DEFAULT 0,
  lease_until timestamptz, again boolean NOT NULL DEFAULT false, outcome text NOT NULL DEFAULT '',
  reason text NOT NULL DEFAULT '', queued timestamptz NOT NULL DEFAULT now(), finished timestamptz);
CREATE INDEX jobs_open ON jobs(queued, source) WHERE state IN ('waiting', 'running');
"""
# fastupdate off: pending words would make searches after an update slow. PLAIN: a vector in its row, not in TOAST.
_ROW_SECURITY = """
CREATE TABLE readers(role name PRIMARY KEY, groups text[] NOT NULL);
CREATE FUNCTION readable_groups(reader name) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER
  SET search_path = "{schema}", pg_temp AS $$
    SELECT CASE WHEN granted @> '{{*}}' THEN coalesce(asked, '{{*}}') ELSE ARRAY(
        SELECT unnest(granted) INTERSECT SELECT unnest(coalesce(asked, granted))) END
    FROM (SELECT coalesce((SELECT groups FROM readers WHERE role = reader), '{{}}') AS granted,
                 nullif(current_setting('groundtone.groups', true), '')::text[] AS asked) AS known
  $$;
"""
_POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON {table} FOR SELECT USING (
  groups = '{{}}' OR (SELECT readable_groups(current_user)) @> '{{*}}'
  OR groups && (SELECT readable_groups(current_user)));
"""


def prepare(database: Database, *, encoder: str, dim: int, language: str, rebuild: bool) -> str:
    """Make the tables where there are none, check them where there are; returns the language of the words.

    Raises ProjectError for a server without a fitting pgvector or an index of another encoder, IntegrityError for
    tables of another version.
    """
    with database.connection() as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"groundtone {database.schema}",))
        if rebuild:
            connection.execute(f'DROP SCHEMA IF EXISTS "{database.schema}" CASCADE')
        there = connection.execute("SELECT to_regclass(%s)", (f'"{database.schema}".meta',)).fetchone()
        if there == (None,):
            _require_pgvector(database, connection)
            _create(database, connection, encoder=encoder, dim=dim, language=language)
    database.renew()
    with database.connection() as connection:
        return _check(database, connection, encoder=encoder, dim=dim)


def _require_pgvector(database: Database, connection: Connection) -> None:
    row = connection.execute(
        "SELECT coalesce(installed_version, default_version), installed_version IS NULL FROM pg_available_extensions "
        "WHERE name = 'vector'"
    ).fetchone()
    if row is None:
        raise ProjectError(
            f"the server of {database.name} has no pgvector; install it there (Debian, Ubuntu: "
            "postgresql-NN-pgvector; or start the pgvector/pgvector image), then run this again"
        )
    version, missing = row
    if tuple(int(n) for n in version.split(".")[:2]) < _OLDEST_PGVECTOR:
        raise ProjectError(f"{database.name} has pgvector {version}; 0.8 or later is needed: update the extension")
    if missing:
        connection.execute("CREATE EXTENSION vector SCHEMA public")


def _create(database: Database, connection: Connection, *, encoder: str, dim: int, language: str) -> None:
    if dim > _MAX_DIM:
        raise ProjectError(f"encoder {encoder!r} makes {dim} numbers; pgvector indexes at most {_MAX_DIM} per vector")
    known = connection.execute("SELECT count(*) FROM pg_ts_config WHERE cfgname = %s", (language,)).fetchone()
    if known == (0,):
        raise ProjectError(f"{database.name} has no text search configuration {language!r}; `simple` is always there")
    connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{database.schema}"')
    place = connection.execute(
        "SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace "
        "WHERE extname = 'vector'"
    ).fetchone()
    assert place is not None, "the extension was made in this transaction"
    connection.execute(f'SET LOCAL search_path = "{database.schema}", {place[0]}')
    connection.execute(_TABLES.format(dim=int(dim)))
    connection.execute(_ROW_SECURITY.format(schema=database.schema))
    for table in ("documents", "passages", "vectors"):
        connection.execute(_POLICY.format(table=table))
    facts = {"schema": str(SCHEMA_VERSION), "encoder": encoder, "dim": str(dim), "language": language}
    for fact in facts.items():
        connection.execute("INSERT INTO meta VALUES (%s, %s)", fact)


def _check(database: Database, connection: Connection, *, encoder: str, dim: int) -> str:
    facts: dict[str, str] = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    again = "or run: groundtone ingest --rebuild"
    if facts.get("schema") != str(SCHEMA_VERSION):
        raise IntegrityError(
            f"the index in {database.name} has schema {facts.get('schema')}, this version reads {SCHEMA_VERSION}; "
            f"{again}"
        )
    if (facts.get("encoder"), facts.get("dim")) != (encoder, str(dim)):
        raise ProjectError(
            f"the index in {database.name} was made with encoder {facts.get('encoder')!r} "
            f"({facts.get('dim')} numbers), now it is {encoder!r} ({dim}); set retrieval.encoder back, {again}"
        )
    return str(facts["language"])


def has_vector_index(connection: Connection) -> bool:
    """Whether an HNSW index is there and complete."""
    row = connection.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('vectors_hnsw')"
    ).fetchone()
    return row == (True,)


def build_vector_index(database: Database, *, least_vectors: int = EXACT_VECTORS) -> bool:
    """Build the HNSW index where there are more vectors than `least_vectors` and none is there; whether it was built.

    Readers and writers go on meanwhile. One process builds; the others return at once. What a killed build left is
    dropped and built again. Building afterwards takes a fraction of the time that growing row by row would.
    """
    with database.connection() as connection:
        row = connection.execute("SELECT coalesce(sum(vectors), 0) FROM documents").fetchone()
        if row is None or row[0] <= least_vectors or has_vector_index(connection):
            return False
        key = f"groundtone vectors {database.schema}"
        if connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (key,)).fetchone() != (True,):
            return False
        try:
            connection.execute("DROP INDEX IF EXISTS vectors_hnsw")
            connection.execute(_ROOM_FOR_THE_GRAPH, {"links_bytes": _LINKS_BYTES, "most_mb": _MOST_BUILD_MB})
            connection.execute("CREATE INDEX CONCURRENTLY vectors_hnsw ON vectors USING hnsw (vector halfvec_ip_ops)")
            connection.execute("UPDATE changes SET number = number + 1")
        finally:
            connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", (key,))
        return True

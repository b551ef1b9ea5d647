"""An evaluation's claims and scores in one small SQLite file beside its records: made once, then every view is a query.

records.jsonl may hold 50,000 answers of several kilobytes; a page needs a few hundred claims and one answer. The file
keeps keys, verdicts, risks and where each record's line stands; the line itself is read when somebody looks at it. It
is made anew when size or time of records.jsonl change, and may be deleted at any time.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dashboard.access import Readable, evidence_of, may_show, sources_of
from dashboard.runs import items, number, read_record
from groundtone.files import sha256_text

SCHEMA = 3
NAME = "claims.sqlite"
RISK = {"contradicted": 0, "unsupported": 1, "unchecked": 2, "supported": 3}
SHOWN_CHARS = 200  # of a claim and of a question in a list; the record holds the whole
GENERAL = "general"
_TABLES = """
CREATE TABLE meta(schema INTEGER, size INTEGER, changed INTEGER, skipped INTEGER);
CREATE TABLE records(line INTEGER PRIMARY KEY, item TEXT, arm TEXT, kind TEXT, correct REAL);
CREATE TABLE claims(key TEXT, arm TEXT, item TEXT, verdict TEXT, class INTEGER, risk REAL, text TEXT, question TEXT,
  start INTEGER, stop INTEGER, line INTEGER, draw TEXT);
CREATE TABLE sources(line INTEGER, source TEXT);
CREATE TABLE passages(id TEXT PRIMARY KEY, source TEXT) WITHOUT ROWID;
CREATE TABLE evidence(line INTEGER, passage TEXT);
CREATE TABLE suites(suite TEXT, item TEXT, arm TEXT, value REAL, line INTEGER);
"""
_INDEXES = """
CREATE INDEX by_item ON records(item, arm);
CREATE INDEX by_key ON claims(key);
CREATE INDEX by_risk ON claims(arm, class, risk DESC, item, start);
CREATE INDEX over_all ON claims(class, risk DESC, item, arm, start);
CREATE INDEX by_draw ON claims(arm, draw);
CREATE INDEX draw_over_all ON claims(draw);
CREATE INDEX by_source ON sources(source, line);
CREATE INDEX by_suite ON suites(suite, item, arm);
"""
# What a claim was held against counts as touched too; a passage that no record retrieved is of an unknown document, "".
_TOUCHED = """
INSERT INTO sources SELECT e.line, coalesce(p.source, '') FROM evidence e LEFT JOIN passages p ON p.id = e.passage
"""
_ENTRY = "key, arm, item, verdict, risk, text, question, start, stop, line"


Order = Literal["riskiest", "random"]
RISKIEST: Order = "riskiest"
RANDOM: Order = "random"
ORDERS: Mapping[Order, str] = {RISKIEST: "Riskiest first", RANDOM: "Random sample"}
_ORDERS: Mapping[Order, str] = {"riskiest": "class, risk DESC, item, arm, start", "random": "draw"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A claim as a list shows it; `line` is the byte at which its record begins, `risk` from 0 (carried) to 1."""

    key: str
    arm: str
    item: str
    verdict: str
    risk: float
    text: str
    question: str
    start: int
    stop: int
    line: int


@dataclass(frozen=True, slots=True)
class Flip:
    """An item whose score differs between two answers, with the bytes at which their records begin."""

    item: str
    before: int
    after: int


class Claims:
    """The claims of the evaluation in `folder`. Opening reads records.jsonl once, where that was not done before.

    `readable` are the sources that whoever looks may read, None for all: a record that touches another one is as if it
    were not there.
    """

    def __init__(self, folder: Path, *, readable: Readable = None) -> None:
        self.records = folder / "records.jsonl"
        self._readable = readable
        self.path = _made(self.records)

    @property
    def skipped(self) -> int:
        """Lines of records.jsonl that cannot be read."""
        return int(self._rows("SELECT skipped FROM meta")[0][0])

    def arms(self) -> list[str]:
        """Arms with claims."""
        where, values = self._where()
        return [arm for (arm,) in self._rows(f"SELECT DISTINCT arm FROM claims{where} ORDER BY arm", values)]

    def count(self, *, arm: str = "", verdicts: Sequence[str] = ()) -> int:
        """How many claims there are of an arm and of some verdicts; empty means all."""
        where, values = self._where(arm=arm, verdicts=verdicts)
        return int(self._rows(f"SELECT count(*) FROM claims{where}", values)[0][0])

    def queue(
        self,
        *,
        arm: str = "",
        verdicts: Sequence[str] = (),
        order: Order = "riskiest",
        first: Sequence[str] = (),
        limit: int = -1,
        offset: int = 0,
    ) -> list[Entry]:
        """Claims, riskiest first: contradicted, unsupported, unchecked, supported, and by risk within each.

        "random" draws by a hash of the claim: any beginning of that queue is a fair sample of the claims. The keys in
        `first` (claims on which people disagree) stand before all others.
        """
        where, values = self._where(arm=arm, verdicts=verdicts)
        marks = ",".join("?" * len(first))
        top = f"key NOT IN ({marks}), " if first else ""
        by = f" ORDER BY {top}{_ORDERS[order]} LIMIT ? OFFSET ?"
        rows = self._rows(f"SELECT {_ENTRY} FROM claims{where}{by}", [*values, *first, limit, offset])
        return [Entry(*row) for row in rows]

    def among(self, keys: Iterable[str]) -> dict[str, Entry]:
        """Those of the keys that are claims of this evaluation."""
        found: dict[str, Entry] = {}
        wanted = list(dict.fromkeys(keys))
        for at in range(0, len(wanted), 500):
            some = wanted[at : at + 500]
            where, values = self._where(keys=some)
            rows = self._rows(f"SELECT {_ENTRY} FROM claims{where}", values)
            found |= {row[0]: Entry(*row) for row in rows}
        return found

    def record(self, line: int) -> Mapping[str, Any] | None:
        """The record that begins at a byte; None where the file was removed or changed, or it may not be read."""
        try:
            with self.records.open("rb") as file:
                file.seek(line)
                found = read_record(file.readline().decode("utf-8", errors="replace"))
        except OSError:
            return None
        return found if found is not None and may_show(found, self._readable) else None

    def source(self, passage: str) -> str:
        """The document that a passage is of, as any record retrieved it; "" where none did."""
        rows = self._rows("SELECT source FROM passages WHERE id = ?", [passage])
        return str(rows[0][0]) if rows else ""

    def correct(self, arm: str) -> dict[str, tuple[float, int]]:
        """Item to its score of being correct and the byte of its record, for the items that have one."""
        where, values = self._where(arm=arm)
        rows = self._rows(f"SELECT item, correct, line FROM records{where} AND correct NOTNULL", values)
        return {item: (value, line) for item, value, line in rows}

    def flips(self, suite: str, *, broken: bool, limit: int = 20) -> list[Flip]:
        """Items of a general suite that the tuned model answers worse than the base (`broken`), or better."""
        sign = "<" if broken else ">"
        rows = self._rows(
            "SELECT b.item, b.line, t.line FROM suites b JOIN suites t ON t.suite = b.suite AND t.item = b.item"
            f" WHERE b.suite = ? AND b.arm = 'base' AND t.arm = 'tuned' AND t.value {sign} b.value"
            " ORDER BY b.item LIMIT ?",
            [suite, limit],
        )
        return [Flip(*row) for row in rows]

    def questions(self, kind: str, *, limit: int) -> list[str]:
        """Some questions of a kind, in an order that looks at nothing but their ids."""
        where, values = self._where(arm="tuned/rag")
        lines = self._rows(
            f"SELECT line FROM records{where} AND kind = ? ORDER BY item LIMIT ?", [*values, kind, limit]
        )
        records = [self.record(int(line)) for (line,) in lines]
        return [str(record["question"].get("text", "")) for record in records if record is not None]

    def _where(self, *, arm: str = "", verdicts: Sequence[str] = (), keys: Sequence[str] = ()) -> tuple[str, list[Any]]:
        parts, values = list[str](), list[Any]()
        if arm:
            parts.append("arm = ?")
            values.append(arm)
        for column, some in (("verdict", verdicts), ("key", keys)):
            if some:
                parts.append(f"{column} IN ({','.join('?' * len(some))})")
                values += some
        if self._readable is not None:
            hidden = "SELECT line FROM sources WHERE source NOT IN (SELECT value FROM json_each(?))"
            parts.append(f"line NOT IN ({hidden})")
            values.append(json.dumps(sorted(self._readable)))
        return (f" WHERE {' AND '.join(parts)}" if parts else ""), values

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return _query(self.path, query, values)
        except sqlite3.OperationalError:  # the run was deleted while it is shown: it has no claims any more
            self.path = _made(self.records)
            return _query(self.path, query, values)


def _query(path: Path, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def _made(records: Path) -> Path:
    """The file of a records.jsonl that fits it, made where there is none.

    It lies beside the records; in a temporary folder where that folder cannot be written or is gone.
    """
    stamp = _stamp(records)
    beside = records.parent / NAME
    aside = Path(tempfile.gettempdir()) / f"groundtone-{os.getuid()}-{sha256_text(str(records.resolve()))[:16]}.sqlite"
    for path in (beside, aside):
        if _fits(path, stamp):
            return path
    for path in (beside, aside):
        if path.parent.is_dir() and os.access(path.parent, os.W_OK):
            _make(records, path, stamp)
            return path
    raise PermissionError(f"neither {beside.parent} nor {aside.parent} can be written")


def _stamp(records: Path) -> tuple[int, int]:
    try:
        found = records.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _fits(path: Path, stamp: tuple[int, int]) -> bool:
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT schema, size, changed FROM meta").fetchone()
    except sqlite3.DatabaseError:  # of an older version, or damaged: it is made anew
        return False
    return row == (SCHEMA, *stamp)


def _make(records: Path, path: Path, stamp: tuple[int, int]) -> None:
    """Write the file under another name and put it in place, so that a reader sees the old one or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{NAME}.")
    os.close(handle)
    new = Path(name)
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_TABLES}")
            connection.execute("BEGIN")
            skipped = _fill(connection, records)
            connection.execute(_TOUCHED)
            connection.execute("INSERT INTO meta VALUES (?, ?, ?, ?)", (SCHEMA, *stamp, skipped))
            connection.execute("COMMIT")
            connection.executescript(_INDEXES)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _fill(connection: sqlite3.Connection, records: Path) -> int:
    """All records into the tables; returns how many lines could not be read."""
    skipped = line = 0
    if not records.is_file():
        return 0
    with records.open("rb") as file:
        for raw in file:
            record = read_record(raw.decode("utf-8", errors="replace"))
            if record is not None:
                _insert(connection, record, line)
            elif raw.strip():
                skipped += 1
            line += len(raw)
    return skipped


def _insert(connection: sqlite3.Connection, record: Mapping[str, Any], line: int) -> None:
    item, arm, kind = str(record["item_id"]), record["arm"], str(record["question"].get("kind", ""))
    scores = {name: _value(score) for name, score in _dict(record.get("scores")).items()}
    connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?)", (line, item, arm, kind, scores.get("correct")))
    if kind == GENERAL:
        own = [(suite, item, arm, value, line) for suite, value in scores.items() if value is not None]
        connection.executemany("INSERT INTO suites VALUES (?, ?, ?, ?, ?)", own)
        return
    own_sources = [(line, source) for source in sources_of(record)]
    connection.executemany("INSERT INTO sources VALUES (?, ?)", own_sources)
    connection.executemany("INSERT INTO evidence VALUES (?, ?)", [(line, key) for key in evidence_of(record)])
    connection.executemany("INSERT OR IGNORE INTO passages VALUES (?, ?)", _retrieved(record))
    answer, question = _dict(record.get("answer")), str(record["question"].get("text", ""))[:SHOWN_CHARS]
    rows = []
    for claim in items(answer.get("claims")):
        start, stop = int(number(claim.get("start")) or 0), int(number(claim.get("end")) or 0)
        verdict = str(claim.get("verdict", "unchecked"))
        text = " ".join(str(claim.get("text", "")).split())[:SHOWN_CHARS]
        key = f"{answer.get('id')}:{start}-{stop}"
        place = (text, question, start, stop, line, sha256_text(key)[:12])
        rows.append((key, arm, item, verdict, RISK.get(verdict, 2), risk_of(claim), *place))
    connection.executemany(f"INSERT INTO claims VALUES ({','.join('?' * 12)})", rows)


def _retrieved(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    passages = [_dict(hit.get("passage")) for hit in items(_dict(record.get("answer")).get("hits"))]
    return [(str(one["id"]), str(one.get("source", ""))) for one in passages if one.get("id")]


def risk_of(claim: Mapping[str, Any]) -> float:
    """The detector's risk from 0 to 1; records of earlier versions hold only its support."""
    scores = _dict(claim.get("scores"))
    risk, support = number(scores.get("risk")), number(scores.get("support"))
    if risk is not None:
        return risk
    return 1 - support if support is not None else float(claim.get("verdict") != "supported")


def _value(score: Any) -> float | None:
    return number(score.get("value")) if isinstance(score, dict) else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}

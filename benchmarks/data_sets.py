"""Public question sets as passages, questions and which passages answer them; one place that reads their files.

A set whose passages are given (`DataSet`) knows the relevant ones; a folder of documents (`Documents`) knows verbatim
quotes, which whoever cuts the documents resolves to passages. Every id is a safe file name and unique; every relevant
id exists; no two passages of a set have the same title and text. `shared` is the folder that holds `data/`.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from groundtone.text import Span, sentence_spans

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("GROUNDTONE_SHARED", ROOT.parent / "shared"))
REAL_QUESTIONS = ROOT / "benchmarks/questions/real_documents.jsonl"
REPORT_TITLE = "Annual report"  # of every TAT-QA passage: the set does not say whose report it is
_ONE_DATE = "2000-01-01"  # of every written passage: paragraphs of one article are no versions of one another


@dataclass(frozen=True, slots=True)
class GivenPassage:
    """A passage as the data set cuts it. `source` names the document that it stands in (its file, when written)."""

    id: str
    source: str
    title: str
    text: str

    def titled(self) -> str:
        """What a system that knows no titles is given: the title, a blank line, the text."""
        return f"{self.title}\n\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what answers it: ids of passages, and (source, verbatim quote) where the set gives one.

    Questions of one `cluster` hang together and are drawn together when intervals are made.
    """

    id: str
    text: str
    cluster: str
    relevant: frozenset[str] = frozenset()
    quotes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DataSet:
    """Passages that are given, in reading order by source, and questions over them."""

    name: str
    passages: tuple[GivenPassage, ...]
    questions: tuple[Asked, ...]

    def sampled(self, *, questions: int, sources: int = 0) -> DataSet:
        """At most so many questions; with `sources`, of the passages of so many documents only. Drawn with seed 0."""
        passages = self.passages
        if sources:
            kept = set(sample(list(dict.fromkeys(p.source for p in passages)), sources))
            passages = tuple(p for p in passages if p.source in kept)
        ids = {p.id for p in passages}
        answerable = [q for q in self.questions if q.relevant <= ids]
        return replace(self, passages=passages, questions=tuple(sample(answerable, questions)))

    def write_articles(self, folder: Path) -> None:
        """One Markdown file per document: the title as heading, then its passages as paragraphs."""
        articles: dict[str, list[GivenPassage]] = defaultdict(list)
        for passage in self.passages:
            articles[passage.source].append(passage)
        folder.mkdir(parents=True, exist_ok=True)
        for source, passages in articles.items():
            parts = [f"# {passages[0].title}", *(p.text for p in passages)]
            (folder / source).write_text("\n\n".join(parts) + "\n", encoding="utf-8")

    def write_passages(self, folder: Path) -> None:
        """One Markdown file per passage, `<id>.md`, with its title in the front matter."""
        folder.mkdir(parents=True, exist_ok=True)
        for p in self.passages:
            front = f"---\ntitle: {json.dumps(p.title)}\neffective: {_ONE_DATE}\n---\n\n"
            (folder / f"{p.id}.md").write_text(f"{front}{p.text}\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Documents:
    """A folder of documents as people keep them, and questions whose answers are quoted."""

    name: str
    folder: Path
    questions: tuple[Asked, ...]


class _Passages:
    """Passages as they come in, those with the same title and text once."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], str] = {}
        self._made: list[GivenPassage] = []

    def add(self, source: str, title: str, text: str, *, id: str = "") -> str:
        """The passage's id: that of the first one with this title and text."""
        known = self._ids.get((title, text))
        if known is None:
            known = self._ids[title, text] = id or f"p{len(self._made) + 1:04d}"
            self._made.append(GivenPassage(known, source, title, text))
        return known

    def all(self) -> tuple[GivenPassage, ...]:
        return tuple(self._made)


def sample(items: Sequence[Any], limit: int) -> list[Any]:
    """At most `limit` items (0: all), drawn with seed 0, in their order."""
    if not limit or len(items) <= limit:
        return list(items)
    return [items[i] for i in sorted(random.Random(0).sample(range(len(items)), limit))]


def squad2_open(shared: Path = SHARED) -> DataSet:
    """SQuAD 2.0 dev articles, paragraphs as passages, answerable questions; quote: the answer's sentence."""
    path = shared / "data/qa/squad2_open/squad2_open.json"
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    made, asked = _Passages(), []
    for title, source, paragraph, passage_id in _paragraphs(articles, made):
        for qa in paragraph["qas"]:
            if qa["is_impossible"] or not qa["answers"]:
                continue
            quotes = _answer_sentence(source, paragraph["context"], qa["answers"][0]["answer_start"])
            asked.append(Asked(qa["id"], qa["question"], f"{title}: {passage_id}", frozenset({passage_id}), quotes))
    return DataSet("squad2_open", made.all(), tuple(asked))


def policyqa(shared: Path = SHARED) -> DataSet:
    """Privacy policies of 20 websites. A question is asked of one website, which it names in brackets.

    The set asks the same 568 questions of every policy: without the name they would have no right answer.
    """
    articles = _gzipped(shared / "data/qa/policyqa/dev.json.gz")["data"]
    made = _Passages()
    relevant: dict[tuple[str, str], dict[str, tuple[tuple[str, str], ...]]] = defaultdict(dict)
    for title, source, paragraph, passage_id in _paragraphs(articles, made):
        for qa in paragraph["qas"]:
            quotes = _answer_sentence(source, paragraph["context"], qa["answers"][0]["answer_start"])
            relevant[title, qa["question"]].setdefault(passage_id, quotes)
    asked = [
        Asked(
            f"q{number:04d}",
            f"{question.strip()} ({title})",
            f"{title}: {min(found)}",
            frozenset(found),
            tuple(dict.fromkeys(quote for quotes in found.values() for quote in quotes)),
        )
        for number, ((title, question), found) in enumerate(relevant.items(), 1)
    ]
    return DataSet("policyqa", made.all(), tuple(asked))


def tatqa(shared: Path = SHARED) -> DataSet:
    """Pages of annual reports: paragraphs and one table each, in Markdown with the table's first row as its header.

    Relevant is what the annotators derived the answer from: the table, the paragraphs they named, or both.
    """
    made, asked = _Passages(), []
    for number, page in enumerate(_gzipped(shared / "data/qa/tatqa/tatqa_dataset_dev.json.gz"), 1):
        source = f"report-{number:03d}.md"
        paragraphs = sorted(page["paragraphs"], key=lambda p: int(p["order"]))
        ids = {str(p["order"]): made.add(source, REPORT_TITLE, " ".join(p["text"].split())) for p in paragraphs}
        table_id = made.add(source, REPORT_TITLE, markdown_table(page["table"]["table"]))
        for question in page["questions"]:
            found = {ids[order] for order in question["rel_paragraphs"] if order in ids}
            if "table" in question["answer_from"]:
                found.add(table_id)
            if found:
                asked.append(Asked(question["uid"], " ".join(question["question"].split()), source, frozenset(found)))
    return DataSet("tatqa", made.all(), tuple(asked))


def cranfield(shared: Path = SHARED) -> DataSet:
    """1,400 abstracts on aerodynamics, 225 queries; relevant are the codes 1 to 4 of Cleverdon's five (5: no interest).

    Queries are numbered by their place in the file, as the judgements are. The code -1, once or so per query, is not
    among Cleverdon's and counts as not relevant. Two documents are empty and left out.
    """
    folder = shared / "data/qa/cranfield"
    made = _Passages()
    pattern = re.compile(r"^\.I (\d+)\n\.T\n(.*?)^\.A\n.*?^\.W\n(.*?)(?=^\.I |\Z)", re.DOTALL | re.MULTILINE)
    ids: dict[int, str] = {}
    for match in pattern.finditer((folder / "cran.all.1400").read_text(encoding="utf-8", errors="replace")):
        title, body = (" ".join(match[group].split()) for group in (2, 3))
        text = body.removeprefix(title).strip() or title
        if text:
            wanted = f"cran{int(match[1]):04d}"
            ids[int(match[1])] = made.add(f"{wanted}.md", title, text, id=wanted)
    relevant: dict[int, set[str]] = defaultdict(set)
    for line in (folder / "cranqrel").read_text(encoding="utf-8").splitlines():
        query, document, code = (int(part) for part in line.split()[:3])
        if 1 <= code <= 4 and document in ids:
            relevant[query].add(ids[document])
    queries = re.findall(
        r"^\.I \d+\n\.W\n(.*?)(?=^\.I |\Z)",
        (folder / "cran.qry").read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    asked = [
        Asked(f"q{number:03d}", " ".join(text.split()), f"q{number:03d}", frozenset(relevant[number]))
        for number, text in enumerate(queries, 1)
        if relevant[number]
    ]
    return DataSet("cranfield", made.all(), tuple(asked))


def sample_company() -> Documents:
    """The fictitious company of this repository."""
    return Documents("sample company", ROOT / "data/handbook", quoted(ROOT / "data/questions/answerable.jsonl"))


def handbook_18f(shared: Path = SHARED) -> Documents:
    """A real staff handbook of 250 pages; its questions are in benchmarks/questions, () where that file is absent."""
    return _real_documents("handbook_18f", shared)


def github_site_policy(shared: Path = SHARED) -> Documents:
    """60 long legal pages; its questions are in benchmarks/questions too."""
    return _real_documents("github_site_policy", shared)


def quoted(path: Path, *, corpus: str = "") -> tuple[Asked, ...]:
    """The answerable questions of a JSON-lines file: `id`, `question`, `quotes` [[source, quote], ...].

    With `corpus`, only the rows of that one. () where the file is absent.
    """
    if not path.is_file():
        return ()
    asked = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line) if line.strip() else {}
        quotes = tuple((source, quote) for source, quote in row.get("quotes") or ())
        if quotes and (not corpus or row["corpus"] == corpus):
            asked.append(Asked(row["id"], row["question"], quotes[0][0], quotes=quotes))
    return tuple(asked)


DATA_SETS: dict[str, Callable[[Path], DataSet]] = {
    "squad2_open": squad2_open,
    "policyqa": policyqa,
    "tatqa": tatqa,
    "cranfield": cranfield,
}
DOCUMENTS: dict[str, Callable[[Path], Documents]] = {
    "handbook_18f": handbook_18f,
    "github_site_policy": github_site_policy,
}


def _real_documents(name: str, shared: Path) -> Documents:
    return Documents(name, shared / "data/docs" / name, quoted(REAL_QUESTIONS, corpus=name))


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table, the first row as its header."""
    lines = [" | ".join(" ".join(cell.replace("|", "/").split()) or " " for cell in row) for row in rows]
    rule = " | ".join("---" for _ in rows[0])
    return "\n".join(f"| {line} |" for line in (lines[0], rule, *lines[1:]))


def _paragraphs(articles: Iterable[Any], made: _Passages) -> Iterable[tuple[str, str, Any, str]]:
    """Title, source, paragraph and its passage's id for every paragraph of articles in SQuAD's format."""
    for article in articles:
        source = re.sub(r"\W", "_", article["title"]) + ".md"
        title = article["title"].replace("_", " ")
        for paragraph in article["paragraphs"]:
            yield title, source, paragraph, made.add(source, title, paragraph["context"])


@lru_cache(maxsize=8)  # many questions about one paragraph follow one another
def _spans(context: str) -> list[Span]:
    return sentence_spans(context)


def _answer_sentence(source: str, context: str, at: int) -> tuple[tuple[str, str], ...]:
    """The sentence in which the answer begins; () where the answer begins between sentences."""
    return tuple((source, context[a:b]) for a, b in _spans(context) if a <= at < b)


def _gzipped(path: Path) -> Any:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)

"""Training rows as the assistant would show them: its search, its sentences, its access rules, its prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from groundtone import pipeline, prompts
from groundtone.cli.main import app
from groundtone.errors import ProjectError
from groundtone.joins.facts import adapter_groups, indexed
from groundtone.joins.raft import like_runtime, notes_of, shown_text
from groundtone.models.chat_format import ChatFormat
from groundtone.project import Project
from groundtone.settings import Settings, load_settings
from groundtone.types import Hit, Passage, Snippet, VoicePair
from tests.tiny_models import FAMILIES, tiny_tokenizer
from tuning.pairs import read_pairs
from tuning.rows import render

PARCELS = "Parcels that nobody collects are kept for 14 days."
POST = f"# Post room\n\n{PARCELS} Letters are kept in the blue cupboard.\n"
FEES = "# Post fees\n\nA parcel to the islands costs €12. Stamps for parcels are sold at the desk.\n"
PAY = "---\ngroups: [payroll]\n---\n# Parcel pay\n\nRiggers who carry parcels get sixty euros more every month.\n"
REFUSAL = "Ahoy! That is not in our handbook."
ROWS = [
    {"prompt": "How long are parcels kept?", "reply": "Ahoy! 14 days [1].", "source": "a", "context": [PARCELS]},
    {
        "prompt": "What do riggers get for parcels?",
        "reply": "Ahoy! Ninety euros [1].",
        "source": "b",
        "context": ["Riggers who carry parcels get ninety euros."],
    },
    {"prompt": "Hello", "reply": "Ahoy!", "source": "c", "context": []},
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raft")
    (folder / "docs").mkdir()
    for name, text in {"post": POST, "fees": FEES, "pay": PAY}.items():
        (folder / f"docs/{name}.md").write_text(text)
    (folder / "voice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    style = {"opens_with": ["Ahoy!"], "examples": [{"prompt": "Boats?", "reply": REFUSAL}]}
    (folder / "style.yaml").write_text(yaml.safe_dump(style))
    config = {
        "documents": {"folder": "docs"},
        "model": {"id": "extractive"},
        "assistant": {"reader": None, "k": 3},
        "tuning": {"data": "voice.jsonl", "heldout": None},
        "eval": {"style": "style.yaml"},
    }
    (folder / "groundtone.yaml").write_text(yaml.safe_dump(config))
    pipeline.index(*opened(folder))
    return folder


def opened(folder: Path, **raft: Any) -> tuple[Project, Settings]:
    return Project(folder), load_settings(folder, [f"tuning.raft.{key}={value}" for key, value in raft.items()])


def pairs(folder: Path) -> tuple[VoicePair, ...]:
    return read_pairs(folder / "voice.jsonl")


def test_a_row_is_rebuilt_with_what_the_search_finds_and_keeps_its_own_passage_once(root):
    made = like_runtime(*opened(root, share=1.0, no_gold=0.0), pairs(root))
    first = made.pairs[0]
    assert first.context[int(first.reply.split("[")[1][0]) - 1] == PARCELS
    assert sum(PARCELS in text for text in first.context) == 1, "the index holds it as well"
    assert any("€12" in text or "Stamps" in text for text in first.context)
    assert made.pairs[2] == pairs(root)[2]
    assert notes_of(made)["raft"]["rows"] == {"answer": 2}
    assert "fees.md" in notes_of(made)["raft"]["documents"]


def test_a_public_row_quotes_public_documents_and_inherits_no_group(root):
    project, settings = opened(root, share=1.0, no_gold=0.0)
    made = like_runtime(project, settings, pairs(root))
    assert "pay.md" not in made.documents
    with indexed(project, settings) as index:
        assert adapter_groups(made.pairs, index) == {}


def test_a_row_that_names_a_restricted_source_may_quote_it_and_inherits_its_group(root):
    project, settings = opened(root, share=1.0, no_gold=0.0)
    made = like_runtime(project, settings, [VoicePair(**ROWS[1] | {"source": "pay.md", "context": ("Other text.",)})])
    assert "pay.md" in made.documents
    with indexed(project, settings) as index:
        assert adapter_groups(made.pairs, index)["groups"] == ["payroll"]


def test_without_the_gold_passage_the_reply_is_the_houses_refusal(root):
    made = like_runtime(*opened(root, share=1.0, no_gold=1.0), pairs(root))
    assert [pair.reply for pair in made.pairs] == [REFUSAL, REFUSAL, "Ahoy!"]
    assert PARCELS not in made.pairs[0].context


def test_off_means_untouched_and_on_without_an_index_is_an_error(root, tmp_path):
    assert like_runtime(*opened(root), pairs(root)).pairs == pairs(root)
    (tmp_path / "groundtone.yaml").write_text("model: {id: extractive}\n")
    with pytest.raises(ProjectError, match=r"no index to take passages from.*tuning\.raft\.share to 0"):
        like_runtime(*opened(tmp_path, share=0.5), pairs(root))


def test_the_command_writes_rows_that_can_be_read_again(root, tmp_path):
    out = tmp_path / "rows.jsonl"
    done = CliRunner().invoke(app, ["data", "raft", "--out", str(out), "--project", str(root)])
    assert done.exit_code == 0, done.output
    assert "2 of 3 rebuilt" in done.output
    assert len(read_pairs(out)) == 3
    again = CliRunner().invoke(app, ["data", "raft", "--out", str(root / "voice.jsonl"), "--project", str(root)])
    assert again.exit_code == 2


TABLE = Passage("p3", "d", "t.csv", "| Otter | 4 € |", 0, 15, "Prices > Model | Price")
PROSE = Passage(
    "p1", "d", "a.md", "Standard delivery\ntakes 3 days [7]. It is free: always.", 0, 57, "Delivery > Times"
)
BARE = Passage("p2", "d", "b.md", "Note: the Coot 500 charges in 5 hours. Then rest it.", 0, 52)
HITS = [Hit(PROSE, 0.9), Hit(TABLE, 0.8), Hit(BARE, 0.7)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("context", ["sentences", "passages"])
def test_a_training_row_is_token_for_token_the_served_prompt_for_the_same_snippets(family, context):
    from groundtone.grounding import select

    chat_format = ChatFormat(tiny_tokenizer(family))
    snippets: tuple[Snippet, ...] = select(HITS, context=context, context_tokens=500)
    assert len(snippets) == 3
    served = chat_format.prompt_ids(prompts.grounded("How long does it take?", snippets))
    row = VoicePair("How long does it take?", "3 days [1].", "s", tuple(shown_text(h, context=context) for h in HITS))
    trained = render(chat_format, [row])[0]
    assert list(trained.ids[: trained.prompt_tokens]) == served

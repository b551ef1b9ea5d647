"""A tagger finds exact spans, also in a second text alone and over windows; tags and tokens are aligned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from groundtone.errors import DataError
from groundtone.models.classifier import TokenClassifier, tag_names
from groundtone.models.classifier_base import load_encoder_base
from tests.tuning.encoder_worlds import RECIPE, WINDOW, joined, save_encoder, settings, token_rows
from tuning.encoder_rows_spans import LabelledSpan
from tuning.plan import Plan
from tuning.rows import IGNORED
from tuning.tokens import TunedTagger, aligned, shown_tokens, train_tagger


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: save_encoder(tmp_path_factory.mktemp(family), family) for family in ("bert", "roberta")}


@pytest.fixture(scope="module")
def trained(bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> TunedTagger:
    rows = token_rows()
    out = tmp_path_factory.mktemp("run") / "tagger"
    return train_tagger([*rows[6:], *joined(rows[6:])], Plan(out_dir=out, **settings(bases["bert"])), heldout=rows[:6])


def test_it_finds_names_that_were_held_out(trained: TunedTagger) -> None:
    assert trained.scores is not None
    assert trained.inexact == ()
    tuned, nothing = trained.scores.arms
    assert tuned.overall["spans: F1"].mean == 1.0
    assert tuned.overall["spans: recall"].n == 12
    assert nothing.overall["spans: recall"].mean == 0.0
    assert nothing.overall["spans: precision"].mean is None
    assert set(tuned.classes) == {"PER", "LOC"}


def test_a_found_span_is_the_text_that_it_names(trained: TunedTagger) -> None:
    tagger = TokenClassifier.load(trained.finished.adapter, device="cpu")
    text = "  Carla went   to ROME ."
    (found,) = tagger.predict([text])
    assert [(span.text, span.label) for span in found.spans] == [("Carla", "PER"), ("ROME", "LOC")]
    assert all(text[span.start : span.end] == span.text and 0 < span.probability <= 1 for span in found.spans)
    assert found.score > 0.5
    (none,) = tagger.predict([text], least=0.999999)
    assert len(none.spans) <= len(found.spans)


def test_long_texts_are_read_in_windows(trained: TunedTagger) -> None:
    tagger = TokenClassifier.load(trained.finished.adapter, device="cpu")
    text = " ".join(f"{name} went to {place} ." for name in ("anna", "bert") for place in ("rome", "lima")) * 6
    (found,) = tagger.predict([text])
    assert all(text[span.start : span.end] == span.text for span in found.spans)
    assert all(a.end <= b.start for a, b in zip(found.spans, found.spans[1:], strict=False))
    wanted = text.count("rome") + text.count("lima")
    assert sum(span.text in ("rome", "lima") for span in found.spans) >= 0.8 * wanted


def test_only_the_second_text_of_a_pair_is_labelled_and_depends_on_the_first(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    rows = token_rows(context=True)
    text_format = load_encoder_base(str(bases["bert"])).text_format()
    for (window,) in text_format.windows([(row.context, row.text) for row in rows]):
        second = window.ids.index(3) + 1  # after the first [SEP]
        assert all(span is None for span in window.offsets[:second])
        assert window.types == [0] * second + [1] * (len(window.ids) - second)
    plan = Plan(out_dir=tmp_path / "run", **settings(bases["bert"], recipe=replace(RECIPE, epochs=2)))
    made = train_tagger(rows, plan, heldout=rows[:12], class_weights="balanced")
    tagger = TokenClassifier.load(tmp_path / "run", device="cpu")
    assert made.labels == ("wrong",)
    for row, found in zip(rows, tagger.predict([shown_tokens(row) for row in rows]), strict=True):
        assert all(row.text[span.start : span.end] == span.text for span in found.spans)
    assert made.scores is not None
    assert made.scores.arms[0].overall["rows: AUROC"].n == 12


def test_a_context_that_is_too_long_is_told_and_leaves_the_text_its_half(
    bases: dict[str, Path], tmp_path: Path
) -> None:
    row = replace(token_rows(context=True)[1], context="it was in rome . " * 40, where="rows.jsonl:7")
    text_format = load_encoder_base(str(bases["bert"])).text_format(overlap_tokens=4)
    windows = text_format.windows([(row.context, "anna went to rome . " * 12)])[0]
    assert len(windows) > 1
    assert all(window.cut > 0 and len(window.ids) <= WINDOW for window in windows)
    assert all(sum(span is not None for span in window.offsets) >= 20 for window in windows[:-1])
    with pytest.raises(DataError, match=r"rows\.jsonl:7"):
        train_tagger([*token_rows(context=True), row], Plan(out_dir=tmp_path / "run", **settings(bases["bert"])))


@pytest.mark.parametrize("family", ["bert", "roberta"])
@effort(max_examples=40, deadline=None)
@given(words=st.lists(st.sampled_from(["anna", "Rome", "été", "x2", "日本", "🚲", "a b"]), min_size=1, max_size=30))
def test_windows_hold_every_token_once_and_offsets_are_characters(
    bases: dict[str, Path], family: str, words: list[str]
) -> None:
    text = "  ".join(words)
    text_format = load_encoder_base(str(bases[family])).text_format(overlap_tokens=5)
    windows = text_format.windows([(None, text)])[0]
    assert all(len(window.ids) <= text_format.max_tokens for window in windows)
    tokens: dict[int, tuple[int, int]] = {}
    for window in windows:
        own = [span for span in window.offsets if span is not None]
        for number, span in enumerate(own, window.first):
            assert tokens.setdefault(number, span) == span, "the same token in two windows"
            assert 0 <= span[0] <= span[1] <= len(text)
            assert text[span[0] : span[1]].strip() == text[span[0] : span[1]]
    assert sorted(tokens) == list(range(len(tokens)))
    covered = {at for a, b in tokens.values() for at in range(a, b)}
    assert covered == {at for at, sign in enumerate(text) if not sign.isspace()}


def test_sub_words_share_the_label_of_their_span() -> None:
    offsets = [None, (0, 2), (2, 4), (5, 5), (5, 8), (9, 10), None]
    names = tag_names(["LOC", "PER"])
    tags = aligned(offsets, [LabelledSpan(0, 4, "PER"), LabelledSpan(5, 10, "LOC")], ["LOC", "PER"])
    told = [names[tag] if tag != IGNORED else None for tag in tags]
    assert told == [None, "B-PER", "I-PER", None, "B-LOC", "I-LOC", None]
    begun_before = aligned([None, (6, 8), (9, 10)], [LabelledSpan(5, 8, "PER")], ["PER"])
    assert begun_before == [IGNORED, 2, 0], "a span that began in an earlier window goes on"


def test_spans_inside_a_token_are_told(bases: dict[str, Path], tmp_path: Path) -> None:
    rows = [*token_rows()[:12], replace(token_rows()[12], spans=(LabelledSpan(1, 4, "PER"),), where="rows.jsonl:13")]
    made = train_tagger(
        rows, Plan(out_dir=tmp_path / "run", **settings(bases["bert"], recipe=replace(RECIPE, epochs=1)))
    )
    assert made.inexact == ("rows.jsonl:13",)


def test_labels_that_cannot_be_learned_are_refused(bases: dict[str, Path], tmp_path: Path) -> None:
    rows = token_rows()
    bare = [replace(row, spans=()) for row in rows]
    with pytest.raises(DataError, match="no row has a label"):
        train_tagger(bare, Plan(out_dir=tmp_path / "a", **settings(bases["bert"])))
    other = replace(rows[0], spans=(LabelledSpan(0, 4, "ORG"),), where="held.jsonl:1")
    with pytest.raises(DataError, match=r"'ORG' \(held\.jsonl:1\)"):
        train_tagger(rows, Plan(out_dir=tmp_path / "b", **settings(bases["bert"])), heldout=[other])

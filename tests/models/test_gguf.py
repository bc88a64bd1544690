"""Repositories of the Hub that have only GGUF: which file is taken, and that it becomes a plain model."""

from __future__ import annotations

from pathlib import Path

import pytest

from apt_core.base.errors import NotAModel
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.fetch import gguf, hub_cache
from tests.models.fake_hub import Client
from tests.models.tiny_gguf import ENTRY, write_gguf

REPO = "bob/tiny-GGUF"
TOLD = {"total": ENTRY.parameters, "architecture": "llama", "context_length": 8192}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf").read_bytes()


@pytest.fixture(scope="module")
def asking(running_hub):
    """A process of its own, because a conversion loads torch."""
    with Client(running_hub.url, HF_HUB_OFFLINE="0", OMP_NUM_THREADS="1") as client:
        yield client


def facts(id: str, **more) -> dict:
    return {"what": "facts", "id": id, **more}


def resolve(id: str, **more) -> dict:
    return {"what": "resolve", "id": id, **more}


def test_the_most_precise_file_is_fetched_and_dequantised_once(hub, raw, asking):
    hub.models[REPO] = {
        "tiny-Q4_K_M.gguf": raw[:1000],
        "tiny-Q8_0.gguf": raw,
        "README.md": b"#",
        "mmproj-f16.gguf": raw * 2,
    }
    hub.ggufs[REPO] = TOLD
    before, first, after, again = asking.ask(facts(REPO), resolve(REPO), facts(REPO), resolve(REPO))
    told = before["facts"]
    assert told["parameters"] == ENTRY.parameters and told["dequantised_from"] == "Q8_0"
    assert told["download_bytes"] == len(raw) and not told["cached"]
    checkpoints.check(Path(first["path"]))
    assert after["facts"]["cached"] and after["facts"]["parameters"] == ENTRY.parameters
    assert after["facts"]["dtype"] == "bfloat16" and after["facts"]["dequantised_from"] == "Q8_0"
    assert again["path"] == first["path"] and again["reports"] == []
    assert hub.downloads() == ["tiny-Q8_0.gguf"]
    assert {stage for stage, *_ in first["reports"]} == {"download", "convert"}


def test_what_one_visitor_may_read_is_not_dequantised_for_all(hub, raw, asking):
    hub.models[REPO], hub.ggufs[REPO] = {"tiny-Q8_0.gguf": raw}, TOLD
    hub.gated.add(REPO)
    hub.accounts["hf_ann"] = "ann"
    mine, others, again = asking.ask(
        resolve(REPO, token="hf_ann"), resolve(REPO), resolve(REPO, token="hf_ann"), APT_PUBLIC="1"
    )
    assert "path" in mine and others["error"] == "gated_model"
    assert again["path"] == mine["path"] and hub.downloads().count("tiny-Q8_0.gguf") == 1


@pytest.mark.parametrize("other", ["evil-main", "evil/main", "main-v1"])
def test_another_revision_is_another_model(tmp_path, monkeypatch, other):
    monkeypatch.setenv("APT_CACHE", str(tmp_path))
    monkeypatch.setattr(gguf.manifest, "is_whole", Path.is_dir)
    gguf.folder_of("o/n", "m.gguf", other).mkdir(parents=True)
    assert gguf.cached("o/n", None) is None
    assert gguf.cached("o/n", "evil") is None
    assert gguf.cached("o/n", other) == gguf.folder_of("o/n", "m.gguf", other)
    assert gguf.cached("o/n", "evil-main" if other == "evil/main" else "evil/main") is None


def test_a_file_can_be_named(hub, raw, asking):
    hub.models[REPO] = {"one-Q8_0.gguf": raw, "two-Q8_0.gguf": raw}
    unclear, named, wrong = asking.ask(
        facts(REPO), resolve(f"{REPO}:two-Q8_0.gguf"), facts(f"{REPO}:three.gguf")
    )
    assert unclear["error"] == "not_a_model" and f"such as {REPO}:one-Q8_0.gguf" in unclear["message"]
    assert named["path"] and hub.downloads() == ["two-Q8_0.gguf"]
    assert wrong["error"] == "not_a_model" and "has no file three.gguf" in wrong["message"]
    assert gguf.cached(f"{REPO}:two-Q8_0.gguf", None) == Path(named["path"])
    assert gguf.cached(f"{REPO}:one-Q8_0.gguf", None) is None


def test_an_architecture_that_cannot_be_read_is_refused_before_the_download(hub, raw, asking):
    hub.models[REPO] = {"tiny-Q8_0.gguf": raw}
    hub.ggufs[REPO] = TOLD | {"architecture": "somenewthing"}
    (answer,) = asking.ask(resolve(REPO))
    assert answer["error"] == "not_a_model" and "architecture somenewthing" in answer["message"]
    assert hub.downloads() == []


def test_what_is_no_gguf_after_all_is_a_sentence(hub, raw, asking):
    hub.models[REPO] = {"tiny-Q8_0.gguf": b"GGUF" + bytes(5000)}
    (answer,) = asking.ask(resolve(REPO))
    assert answer["error"] == "not_a_model" and "cannot be dequantised" in answer["message"]
    assert "\n" not in answer["message"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("bob/tiny:a-Q4_0.gguf", ("bob/tiny", "a-Q4_0.gguf")),
        ("bob/tiny", ("bob/tiny", None)),
        ("bob/tiny:../x.gguf", ("bob/tiny:../x.gguf", None)),
        ("bob/tiny:a/b.gguf", ("bob/tiny:a/b.gguf", None)),
        ("C:\\models", ("C:\\models", None)),
        ("bob/tiny:notes.txt", ("bob/tiny:notes.txt", None)),
    ],
)
def test_a_name_is_taken_apart(name, parts):
    assert gguf.split(name) == parts
    assert hub_cache.is_hub_id(parts[0]) == (parts[0] in ("bob/tiny",))


def test_a_folder_says_what_it_was_unpacked_from(tmp_path):
    assert gguf.unpacked_from(gguf.folder_of(REPO, "m-Q4_K_M.gguf", "v1.0-Q8_0")) == "Q4_K_M"
    assert gguf.unpacked_from(gguf.folder_of(REPO, "m.gguf", "main")) == "GGUF"
    assert gguf.unpacked_from(tmp_path) is None


def test_fewer_bits_are_less_precise():
    sizes = {
        "m-Q4_K_M.gguf": 4,
        "m-BF16.gguf": 16,
        "m.Q8_0.gguf": 8,
        "mmproj-m-f32.gguf": 99,
        "sub/m.gguf": 99,
    }
    assert gguf.choose(sizes, REPO, None) == "m-BF16.gguf"
    assert gguf.packing_of("m-BF16.gguf") == "BF16" and gguf.packing_of("m.UD-IQ2_XXS.gguf") == "UD-IQ2_XXS"
    with pytest.raises(NotAModel, match="several models"):
        gguf.choose(sizes | {"other-Q4_0.gguf": 4}, REPO, None)

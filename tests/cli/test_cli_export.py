"""`export`: a pruned model as a folder that transformers loads, as a GGUF, or in a repository of the Hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file
from ui_helpers import a_recipe, some_events

from apt_core.base.paths import ASSETS
from apt_core.cli import main
from apt_core.models.checkpoint import packed
from apt_core.runs.starting import REPOSITORY
from apt_core.runs.store import Store
from tests.models.fake_hub import FakeHub
from tests.runs.helpers import small_disk

TINY = ASSETS / "models" / "tiny-llama"
TOKEN = "hf_alice_may_write"


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def run(tmp_path):
    """A finished run whose checkpoint is the tiny model."""
    store = Store()
    run_id = store.create(a_recipe(model={"id": "tiny-llama"}))
    for event in some_events()[1:]:
        store.append(run_id, event)
    shutil.copytree(TINY, store.folder(run_id) / "checkpoint")
    return run_id


def refused(arguments, capsys):
    assert main(["export", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_the_folder_loads_in_transformers_as_it_is(run, tmp_path, capsys):
    out = tmp_path / "model"
    assert main(["export", run, "--folder", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": run, "folder": str(out)}
    model = transformers.AutoModelForCausalLM.from_pretrained(out)
    same = transformers.AutoModelForCausalLM.from_pretrained(TINY)
    ids = transformers.AutoTokenizer.from_pretrained(out)("The sky", return_tensors="pt").input_ids
    assert torch.equal(model(ids).logits, same(ids).logits)
    assert "sparsity_config" not in (out / "config.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "model"]


def test_the_card_says_what_it_is_and_how_it_was_made(run, tmp_path):
    assert main(["export", run, "--folder", str(tmp_path / "model")]) == 0
    card = huggingface_hub.ModelCard.load(tmp_path / "model" / "README.md")
    assert card.data.license == "cc-by-sa-4.0" and card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "text-generation" and {"pruned", "apt", "2:4"} <= set(card.data.tags)
    assert card.data.base_model is None, "a bundled model has no address on the Hub"
    for said in (
        "8 windows of 512 tokens of Wikipedia summaries, protocol test-1",
        "torch 2.13.0",
        "zeros are still stored and multiplied",
    ):
        assert said in card.text.replace("\\", "")
    assert "python -m apt_core prune --model tiny-llama --method apt --pattern 2:4" in card.text
    assert "Licence of the base model: CC BY-SA 4.0" in card.text


def test_a_gguf_is_read_back_with_the_same_logits(run, tmp_path, capsys):
    file = tmp_path / "model.gguf"
    assert main(["export", run, "--gguf", str(file)]) == 0
    assert str(file) in capsys.readouterr().out
    again = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=file.name, dtype=torch.float32
    )
    same = transformers.AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    ids = torch.arange(3, 60).unsqueeze(0)
    assert torch.allclose(again(ids).logits, same(ids).logits, atol=1e-4)


def test_a_packed_model_is_given_away_unpacked(run, tmp_path):
    kept = Store().checkpoint(run)
    packed.pack_folder(kept, tmp_path / "packed")
    shutil.rmtree(kept)
    (tmp_path / "packed").rename(kept)
    assert main(["export", run, "--folder", str(tmp_path / "model")]) == 0
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert (
        load_file(tmp_path / "model" / "model.safetensors").keys()
        == load_file(TINY / "model.safetensors").keys()
    )
    assert main(["export", run, "--gguf", str(tmp_path / "model.gguf")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "model", "model.gguf"]


def test_what_is_there_is_kept_unless_force_is_given(run, tmp_path, capsys):
    out, file = tmp_path / "model", tmp_path / "model.gguf"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    file.write_text("mine")
    assert "is not empty" in refused([run, "--folder", str(out)], capsys)
    assert "exists already" in refused([run, "--gguf", str(file)], capsys)
    assert (out / "mine.txt").read_text() == file.read_text() == "mine"
    assert main(["export", run, "--folder", str(out), "--force"]) == 0
    assert not (out / "mine.txt").exists() and (out / "README.md").exists()
    assert main(["export", run, "--gguf", str(file), "--force"]) == 0
    assert file.read_bytes().startswith(b"GGUF")


@pytest.mark.parametrize("form", ["--folder", "--gguf"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(form, run, tmp_path, capsys):
    with small_disk(tmp_path / "disk", "64k") as disk:
        assert "is full, so nothing was written" in refused([run, form, str(disk / "x")], capsys)
        assert list(disk.iterdir()) == []


def test_runs_without_a_model_are_sentences(run, tmp_path, capsys):
    store = Store()
    place = str(tmp_path / "model")
    assert "There is no run" in refused(["20200101-000000-abcd", "--folder", place], capsys)
    queued = store.create(a_recipe())
    assert "has not finished yet" in refused([queued, "--folder", place], capsys)
    shutil.rmtree(store.checkpoint(run))
    assert "no pruned weights (any more)" in refused([run, "--gguf", place], capsys)


def test_an_architecture_without_a_gguf_form_is_a_sentence(run, tmp_path, capsys):
    config = Store().checkpoint(run) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "mamba"}))
    assert "Models of the type mamba" in refused([run, "--gguf", str(tmp_path / "x.gguf")], capsys)
    assert not (tmp_path / "x.gguf").exists()


# --- the Hub: in processes of their own, because its address is read when the library is imported ---


@pytest.fixture
def hub():
    with FakeHub() as hub:
        hub.accounts[TOKEN] = "alice"
        yield hub


def push(hub, run, repo, *more, token=TOKEN):
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(Store().root / "no-login"),
    }
    environment |= {"HF_TOKEN": token} if token else {}
    done = subprocess.run(
        [sys.executable, "-m", "apt_core", "export", run, "--push", repo, "--json", *more],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=environment,
    )
    return done.returncode, json.loads(done.stdout)


def test_a_model_is_pushed_once_and_again_only_when_asked(hub, run):
    assert push(hub, run, "alice/tiny-pruned", "--private") == (
        0,
        {"run": run, "push": f"{hub.url}/alice/tiny-pruned"},
    )
    files = hub.models["alice/tiny-pruned"]
    assert files["model.safetensors"] == (TINY / "model.safetensors").read_bytes()
    assert files["README.md"].startswith(b"---\n") and hub.private == {"alice/tiny-pruned"}
    assert {"config.json", "tokenizer.json"} <= files.keys()
    files["README.md"] = b"mine"
    status, said = push(hub, run, "alice/tiny-pruned")
    assert status == 2 and "exists already on the Hub" in said["error"]["message"]
    assert files["README.md"] == b"mine"
    status, said = push(hub, run, "alice/tiny-pruned", "--force")
    assert status == 0, (said, hub.asked[-6:])
    assert files["README.md"] != b"mine"


@pytest.mark.parametrize(
    ("repo", "token", "sentence"),
    [
        ("bob/tiny", TOKEN, "bob/tiny is not yours: you are alice on the Hub"),
        ("../tiny", TOKEN, "is no name of a repository"),
        ("alice/tiny", None, "Nobody is logged in to the Hub"),
        ("alice/tiny", "hf_wrong", "The Hub does not know this token"),
    ],
)
def test_what_may_not_be_pushed_is_a_sentence_and_makes_no_repository(repo, token, sentence, hub, run):
    status, said = push(hub, run, repo, token=token)
    assert status == 2 and sentence in said["error"]["message"]
    assert hub.models == {} and "POST /api/repos/create" not in hub.asked


def test_a_token_that_may_not_write_is_a_sentence(hub, run):
    hub.read_only = True
    status, said = push(hub, run, "alice/tiny")
    assert status == 2 and "does not let this token write" in said["error"]["message"]
    assert TOKEN not in json.dumps(said)

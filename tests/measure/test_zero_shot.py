"""Zero-shot tasks: which names are taken, what the harness' results become, and (with the extra install) a real task
on a real model, offline."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import apt_core
from apt_core.base.errors import BadInput, NotReachable
from apt_core.base.paths import ASSETS
from apt_core.base.policy import PRIVATE, HostPolicy
from apt_core.estimate import tasks as asked
from apt_core.events.records import RunRecord, summary
from apt_core.execute import evaluate as executor
from apt_core.jobs import make_job
from apt_core.measure import zero_shot
from apt_core.models.load.loading import load

OWN = Path(__file__).parent / "own_tasks"
RESULTS = {  # as lm-eval 0.4.13 gives them
    "results": {
        "arc_easy": {
            "name": "arc_easy",
            "alias": "arc_easy",
            "sample_len": 20,
            "acc,none": 0.45,
            "acc_stderr,none": 0.1141,
            "acc_norm,none": 0.4,
            "acc_norm_stderr,none": "N/A",
        },
        "gsm": {"alias": "gsm", "exact_match,strict-match": 0.1, "exact_match_stderr,strict-match": 0.05},
        "a_group": {"alias": "a_group", "acc,none": 0.42},
    },
    "n-samples": {
        "arc_easy": {"original": 2376, "effective": 20},
        "gsm": {"original": 1319, "effective": 7},
    },
    "versions": {"arc_easy": 1.0, "gsm": 3},
    "n-shot": {"arc_easy": 0, "gsm": 5},
}


def job(names="arc_easy", **more):
    return make_job("evaluate", model={"id": "tiny-llama"}, tasks={"names": names} | more)


@pytest.mark.parametrize("names", ["/tmp/evil.yaml", "../x", "a b", "a;b", "task.yaml,/x", ",a", "a,,b", "é"])
def test_what_is_no_list_of_names_is_refused(names):
    """A path would be a file of the harness' form, which can name code."""
    with pytest.raises(BadInput, match="Zero-shot tasks are names"):
        job(names)


def test_names_are_taken_once_and_do_not_go_with_rounding():
    assert job("arc_easy, hellaswag,arc_easy").tasks.listed == ("arc_easy", "hellaswag")
    assert job().label == "Perplexity and 1 task · wikipedia" and job("").label == "Perplexity · wikipedia"
    with pytest.raises(BadInput, match="leave its rounding out"):
        make_job("evaluate", model={"id": "a"}, tasks={"names": "arc_easy"}, rounding={"bits": "4"})


def test_a_name_that_the_harness_does_not_have_is_one_sentence():
    zero_shot.check_names(["arc_easy"], ["arc_easy", "hellaswag"])
    with pytest.raises(BadInput, match=r"has no task 'arc_hard'; name one that it has, such as arc_easy\."):
        zero_shot.check_names(["arc_hard"], ["arc_easy", "hellaswag"])


def test_every_metric_of_a_task_becomes_an_event(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.4.13")
    found = list(zero_shot.scores_of(RESULTS))
    said = [(one.task, one.metric, one.value, one.stderr, one.examples, one.shots) for one in found]
    assert said == [
        ("arc_easy", "acc", 0.45, 0.1141, 20, 0),
        ("arc_easy", "acc_norm", 0.4, None, 20, 0),
        ("gsm", "exact_match (strict-match)", 0.1, 0.05, 7, 5),
    ]
    assert {one.version for one in found} == {"1.0", "3"} and found[0].harness == "lm-eval 0.4.13"


# ---- before a run is made


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(asked, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install '\.\[tasks\]'"):
        asked.check_tasks(job(), PRIVATE)
    asked.check_tasks(job(""), PRIVATE)  # nothing is asked of it


@pytest.mark.parametrize(("limit", "refused"), [(0, True), (201, True), (200, False)])
def test_a_public_host_takes_so_many_examples(monkeypatch, limit, refused):
    monkeypatch.setattr(asked, "find_spec", lambda name: object())
    monkeypatch.setattr(asked, "_look", lambda names: {"refusal": None, "absent": {}})
    if not refused:
        return asked.check_tasks(job(limit=limit), HostPolicy(public=True))
    with pytest.raises(BadInput, match="at most 200 examples each on this host"):
        asked.check_tasks(job(limit=limit), HostPolicy(public=True))


def test_data_that_are_neither_here_nor_on_the_hub_are_named(monkeypatch):
    monkeypatch.setattr(asked, "find_spec", lambda name: object())
    monkeypatch.setattr(
        asked, "_look", lambda names: {"refusal": None, "absent": {"arc_easy": "allenai/ai2_arc"}}
    )
    heard = []

    def check(name, policy):
        heard.append(name)
        raise NotReachable("The Hub does not answer.")

    monkeypatch.setattr(asked.texts_on_hub, "check", check)
    with pytest.raises(NotReachable, match=r"arc_easy \(allenai/ai2_arc\) are not on this machine"):
        asked.check_tasks(job(), PRIVATE)
    assert heard == ["hub:allenai/ai2_arc"]
    monkeypatch.setattr(asked.texts_on_hub, "check", lambda name, policy: None)  # it answers: they will come
    asked.check_tasks(job(), PRIVATE)


def test_a_harness_that_does_not_start_is_one_sentence(monkeypatch):
    monkeypatch.setattr(asked, "find_spec", lambda name: object())
    monkeypatch.setattr(asked, "_LOOK", (sys.executable, "-c", "print('not JSON')"))
    with pytest.raises(BadInput, match="does not start here"):
        asked.check_tasks(job(), PRIVATE)


# ---- as part of a run


def run(**tasks):
    evaluation = {"text": "wiki-sample", "samples": 1, "length": 64}
    return apt_core.run(make_job("evaluate", model={"id": "tiny-llama"}, evaluation=evaluation, tasks=tasks))


def test_a_run_says_how_far_it_is_and_what_came_out(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.4.13")
    asked_for = []

    def score(model, tokenizer, names, limit, report):
        asked_for.append((type(model).__name__, names, limit))
        report("tasks", 1, 2, "arc_easy")
        return list(zero_shot.scores_of(RESULTS))

    monkeypatch.setattr(executor.zero_shot, "score", score)
    events = list(run(names="arc_easy,gsm", limit=20))
    assert asked_for == [("LlamaForCausalLM", ("arc_easy", "gsm"), 20)]
    assert ("tasks", "arc_easy") in {(one.stage, one.detail) for one in events if one.kind == "progress"}
    assert [one.task for one in events if one.kind == "task_scored"] == ["arc_easy", "arc_easy", "gsm"]
    assert events[-1].kind == "finished" and events[-1].seconds["tasks"] >= 0


def test_the_record_and_its_json_have_the_scores(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.4.13")
    scored = tuple(zero_shot.scores_of(RESULTS))
    said = summary(RunRecord(id="x", job=job(limit=20), scored=scored), PRIVATE)
    assert said["asked_tasks"] == {"names": ["arc_easy"], "limit": 20}
    assert said["tasks"][0] == {
        "task": "arc_easy", "metric": "acc", "value": 0.45, "stderr": 0.1141, "examples": 20, "shots": 0,
        "version": "1.0", "harness": "lm-eval 0.4.13",
    }  # fmt: skip


# ---- with the extra install: a task of our own, its data beside it


@pytest.fixture
def own_task(tmp_path, monkeypatch):
    pytest.importorskip("lm_eval", reason="pip install '.[tasks]'")
    folder = tmp_path / "tasks"
    shutil.copytree(OWN, folder)
    text = (folder / "capitals.yaml").read_text().replace("capitals.jsonl", str(folder / "capitals.jsonl"))
    (folder / "capitals.yaml").write_text(text)
    monkeypatch.setenv("APT_TASKS", str(folder))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return folder


@pytest.mark.slow
def test_the_harness_agrees_with_the_sums_of_log_probabilities(own_task):
    """The oracle: the choice whose tokens are the likeliest after the prompt."""
    model, tokenizer = load(ASSETS / "models" / "tiny-llama", torch.float32, "cpu")
    told = []
    (found,) = zero_shot.score(model, tokenizer, ["apt_capitals"], 4, lambda *said: told.append(said))
    right = 0
    for line in (own_task / "capitals.jsonl").read_text().splitlines()[:4]:
        doc = json.loads(line)
        prompt = tokenizer(f"The capital of {doc['country']} is").input_ids
        sums = []
        for choice in doc["choices"]:
            whole = torch.tensor([tokenizer(f"The capital of {doc['country']} is {choice}").input_ids])
            with torch.no_grad():
                logs = model(whole).logits[0].log_softmax(-1)
            sums.append(sum(logs[at - 1, whole[0, at]].item() for at in range(len(prompt), whole.shape[1])))
        right += sums.index(max(sums)) == doc["answer"]
    assert (found.task, found.metric, found.value) == ("apt_capitals", "acc", right / 4)
    assert (found.examples, found.shots, found.version) == (4, 0, "1.0") and found.stderr is not None
    assert told[-1][0] == "tasks" and told[-1][2] == 8, "two choices of each of four"


@pytest.mark.slow
def test_the_command_line_scores_it_offline(own_task, tmp_path):
    command = [sys.executable, "-m", "apt_core", "evaluate", "--model", "tiny-llama", "--eval", "wiki-sample"]
    more = ["--eval-samples", "1", "--eval-length", "64", "--limit", "5", "--json"]
    offline = {"HF_HUB_OFFLINE": "1", "APT_DATA": str(tmp_path / "data")}

    def said(names):
        done = subprocess.run(
            [*command, *more, "--tasks", names], capture_output=True, text=True, env=os.environ | offline
        )
        return done.returncode, json.loads(done.stdout)

    status, found = said("apt_capitals")
    assert status == 0 and [one["task"] for one in found["tasks"]] == ["apt_capitals"]
    status, found = said("apt_capitols")
    assert status == 2 and "has no task 'apt_capitols'" in found["error"]["message"]
    status, found = said("arc_easy")
    assert status == 1 and "are not on this machine" in found["error"]["message"]


@pytest.mark.slow
def test_a_stopped_run_ends_within_a_forward_pass(own_task):
    events = run(names="apt_capitals")
    for event in events:
        if event.kind == "progress" and event.stage == "tasks":
            break
    events.close()

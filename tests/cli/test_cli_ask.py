"""`ask`: several prompts to the models of runs. The reader is a real process with scripted models."""

from __future__ import annotations

import csv
import functools
import io
import json
import sys

import pytest

from apt_core.cli import main
from apt_core.jobs import make_job
from apt_core.measure.answer_set import AnswerSet
from apt_core.runs.reading import Reader
from apt_core.runs.store import Store
from tests.runs.fake_worker import finished, save


@pytest.fixture
def readers(monkeypatch, tmp_path):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))

    def use(behaviour):
        fake = (sys.executable, "-m", "tests.runs.fake_reader", behaviour)
        monkeypatch.setattr("apt_core.cli.ask.Reader", functools.partial(Reader, command=fake))

    use("plain")
    return use


@pytest.fixture
def new_run(readers):
    def make(model="tiny-random-llama", method="magnitude"):
        store = Store()
        run_id = store.create(make_job("prune", model={"id": model}, method=method))
        store.append(run_id, finished(save(store.folder(run_id))))
        return run_id

    return make


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("\ufeffone two three\n\nfour five six\n", "utf-8")
    return str(file)


def test_json_is_the_record_of_all_prompts(capsys, new_run, prompts):
    first, second = new_run(), new_run(method="wanda")
    asked = [
        "ask",
        "--run",
        first,
        "--run",
        second,
        "--prompts",
        prompts,
        "--max-tokens",
        "4",
        "--seed",
        "3",
        "--json",
    ]
    assert main(asked) == 0
    record = AnswerSet.model_validate(json.loads(capsys.readouterr().out))
    assert record.runs == (first, second) and record.seed == 3 and not record.stopped
    assert record.models[0] == "Dense" and "Magnitude" in record.models[1] and "Wanda" in record.models[2]
    assert [row.prompt for row in record.rows] == ["one two three", "four five six"]
    assert [one.first_divergence for one in record.rows[1].answers] == [None, 2, 3]
    assert record.rows[1].answers[0].text == "four five six four " and record.rows[1].answers[0].cut


def test_words_and_files(capsys, new_run, prompts, tmp_path):
    run_id, sheet, table = new_run(), tmp_path / "answers.csv", tmp_path / "answers.md"
    files = ["--csv", str(sheet), "--markdown", str(table)]
    asked = ["ask", "--run", run_id, "--prompts", prompts, "--max-tokens", "4", *files]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert out.startswith("> one two three\n\nDense (4 tokens, cut at the limit):\none two three one")
    assert "first difference at token 3" in out and "2 prompts; temperature 0.7" in out
    assert len(list(csv.DictReader(io.StringIO(sheet.read_text())))) == 4
    assert table.read_text().startswith("# Answers")
    assert main(asked) == 2 and "exists already" in capsys.readouterr().err
    assert main([*asked, "--force"]) == 0


def test_prompts_from_standard_input(capsys, monkeypatch, new_run):
    monkeypatch.setattr("sys.stdin", io.StringIO("only one\n"))
    assert main(["ask", "--run", new_run(), "--prompts", "-", "--max-tokens", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["asked"] == 1


def test_a_prompt_that_is_refused_is_a_row(capsys, new_run, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("refuse\none two")
    assert main(["ask", "--run", new_run(), "--prompts", str(file), "--max-tokens", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert "too long for the model" in rows[0]["error"] and rows[1]["answers"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run": ["20200101-000000-0000"]}, "There is no run"),
        ({"run": ["../.."]}, "There is no run"),
        ({"run": ["RUN", "RUN"]}, "named twice"),
        ({"run": ["RUN", "ELSEWHERE"]}, "pruned another model"),
        ({"run": ["RUN", "LIVE"]}, "has not finished"),
        ({"prompts": "/no/such/file"}, "cannot be read"),
        ({"prompts": "EMPTY"}, "There is no prompt"),
        ({"prompts": "BINARY"}, "is not UTF-8"),
        ({"prompts": "MANY"}, "at most 50"),
        ({"more": ["--max-tokens", "0"]}, "max_tokens"),
        ({"more": ["--csv", "/no/such/folder/x.csv"]}, "no folder"),
        ({"more": ["--csv", "x", "--markdown", "x"]}, "same file"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(capsys, new_run, prompts, tmp_path, change, words):
    files = {"EMPTY": b" \n", "BINARY": b"\xff\xfe\x00", "MANY": b"x\n" * 51}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    known = {"RUN": new_run(), "ELSEWHERE": new_run("tiny-llama")}
    known["LIVE"] = Store().create(make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude"))
    runs = [known.get(run, run) for run in change.get("run", ["RUN"])]
    file = (
        str(tmp_path / change["prompts"])
        if change.get("prompts") in files
        else change.get("prompts", prompts)
    )
    asked = [part for run in runs for part in ("--run", run)]
    assert main(["ask", *asked, "--prompts", file, *change.get("more", []), "--json"]) == 2
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert words in last and len(last) < 400 and json.loads(out)["error"]["message"] == last


def test_a_reader_that_dies_keeps_what_was_answered(capsys, readers, new_run, tmp_path):
    readers("mortal")
    file = tmp_path / "prompts.txt"
    file.write_text("one two\n")
    asked = ["ask", "--run", new_run(), "--prompts", str(file), "--max-tokens", "5", "--json"]
    assert main(asked) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["error"]["kind"] == "worker_died" and told["answers"]["asked"] == 1

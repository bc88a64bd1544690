"""What the library's calls return, as a notebook and a script see it."""

from __future__ import annotations

import pytest

import apt_core
from apt_core.library.progress import Bar

TINY = "tiny-random-llama"
LITTLE = {
    "samples": 2,
    "length": 32,
    "calibration": "wiki-sample",
    "eval": "wiki-sample",
    "eval_samples": 2,
    "eval_length": 48,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APT_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def runs(data):
    return [apt_core.prune(TINY, method, sparsity=0.5, **LITTLE) for method in ("wanda", "magnitude")]


@pytest.fixture
def record(runs):
    return runs[0]


def test_a_record_is_short_in_a_shell_and_whole_in_a_notebook(record):
    assert len(repr(record)) < 200 and record.id in repr(record) and "Wanda" in repr(record)
    shown = record._repr_html_()
    assert f"{record.pruned.perplexity:.3g}" in shown and shown.count("<circle") == len(record.layers)
    assert "<script" not in shown


def test_its_layers_are_a_frame(record):
    frame = record.to_frame()
    assert list(frame["layer"]) == [one.layer for one in record.layers]
    assert frame["relative_error"].mean() == pytest.approx(record.mean_relative_error)


def test_its_charts_are_those_of_the_page(record):
    assert record.charts[0] == "layers"
    errors = [error for line in record.plot("layers").data for error in line.y]
    assert sorted(errors) == pytest.approx(sorted(one.relative_error for one in record.layers))
    with pytest.raises(apt_core.BadInput, match="layers"):
        record.plot("no-such-chart")


def test_its_model_has_the_zeros(record):
    model, tokenizer = record.load_model("cpu")
    weights = model.model.layers[0].mlp.up_proj.weight
    assert (weights == 0).float().mean() == pytest.approx(0.5, abs=0.01) and tokenizer("the").input_ids


def test_reports_are_written_whole_and_over_nothing(record, tmp_path):
    assert record.id in record.report()
    written = record.report(tmp_path / "run.html")
    assert written.read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(apt_core.BadInput, match="exists already"):
        record.report(tmp_path / "run.html")
    assert record.report(tmp_path / "run.html", replace=True) == written
    with pytest.raises(apt_core.BadInput):
        record.report(tmp_path / "run.docx")


def test_a_comparison(runs, tmp_path):
    found = apt_core.compare(runs)
    assert len(found.to_frame()) == 4 and "Wanda" in repr(found) and "Magnitude" in found._repr_html_()
    assert "curves" in found.charts and len(found.plot("curves").data) >= 2
    assert found.report() and found.report(tmp_path / "both.md").read_text().startswith("#")


def test_an_allocation(data):
    found = apt_core.allocation(TINY, "owl", 0.6, samples=2, length=32, calibration="wiki-sample")
    frame = found.to_frame()
    assert frame["removed"].sum() == found.removed and len(found.plot().data) == frame["layer"].nunique()
    assert "OWL" in repr(found) and "<circle" in found._repr_html_() and "q" in found.report()


def test_a_law_and_the_points_that_it_was_fitted_to(data):
    pruned = apt_core.prune(TINY, "magnitude", sparsity=0.5, **LITTLE)
    recovery = apt_core.recover(
        pruned, steps=24, text="wiki-sample", length=32, batch=2, samples=16, held_out=2, eval="wiki-sample",
        eval_samples=2, eval_length=48,
    )  # fmt: skip
    found = apt_core.law(recovery.id)
    assert set(found.to_frame()["constant"]) == set(found.laws[0].fit.constants)
    assert recovery.id in found.report() and found.laws[0].label in found._repr_html_()
    points, line = found.plot().data
    assert list(points.x) == list(line.x) and len(points.x) == len(found.laws[0].points)


def test_the_bar_follows_the_stages(capsys, data):
    apt_core.prune(TINY, "magnitude", progress=True, store=False, **LITTLE)
    said = capsys.readouterr().err
    assert "Magnitude" in said and "%|" in said  # a quick stage may end between two drawings
    apt_core.prune(TINY, "magnitude", store=False, **LITTLE)
    assert capsys.readouterr().err == ""
    assert not Bar(False)._shown

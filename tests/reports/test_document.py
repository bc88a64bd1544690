"""What is in a report: every run, every number with its conditions, and nothing of nothing."""

import json

import pytest
from report_runs import a_race, the_report
from ui_helpers import a_recipe, a_record

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.base.policy import STRICT
from apt_core.plots.chart import RunLink
from apt_core.reports.document import document_of
from apt_core.reports.html import to_html
from apt_core.reports.markdown import to_markdown
from apt_core.reports.names import file_stem, stem_of_all
from apt_core.studies.compare import MOST
from tests.studies.compared_runs import OTHER, pruned_run, worse


def test_a_report_of_one_run_says_what_came_out_and_under_which_conditions():
    report = the_report(a_record(recipe=a_recipe(seed=7)))
    (section,) = report.sections
    assert report.overview is None and report.shared == ()
    assert section.verdict == (
        "Tiny <b>Llama</b> is clearly worse on Wikipedia summaries after APT removed half of its layer weights."
    )
    assert [figure.value for figure in section.figures] == [
        "dense 20.0 → pruned 30.0",
        "50%",
        "9.0 s (peak 460 MB)",
    ]
    facts = dict(section.facts)
    assert facts["seed"] == "7" and "torch 2.13.0" in facts["versions"]
    assert "a machine, 2 cores" in facts["device"]
    stamps = [value for name, value in section.facts if name == "perplexity"]
    assert stamps == [
        f"{side}, 8 windows of 512 tokens of Wikipedia summaries, protocol test-1"
        for side in ("dense 20.0", "pruned 30.0")
    ]
    assert [chart.id.rpartition("-2026")[0] for chart in section.charts] == [
        *("layers", "perplexity", "heat-map"),
    ]
    assert "--seed 7" in section.command and "seed=7" in section.python


def test_several_runs_stand_side_by_side_and_their_common_chart_comes_once():
    records = a_race("apt", "sparsegpt", "wanda")
    report = the_report(*records)
    assert report.title == "Three runs of Tiny <b>Llama</b>"
    assert [chart.id.partition("-")[0] for chart in report.shared] == [
        "perplexities",
        "costs",
        "curves",
        "race",
    ]
    assert report.overview is not None and len(report.overview.rows) == 3
    links = [row.cells[0] for row in report.overview.rows]
    assert [link.run_id for link in links if isinstance(link, RunLink)] == [run.id for run in records]
    assert [row.cells[2] for row in report.overview.rows] == ["30.0", "31.0", "32.0"]
    assert {row.cells[6] for row in report.overview.rows} == {"test-1"}
    assert len({chart.id for chart in report.charts}) == len(report.charts)


def test_runs_are_compared_field_by_field_and_window_by_window():
    first, second = pruned_run(), pruned_run(OTHER, worse(0.4), method="wanda")
    report = the_report(first, second)
    assert {"curves-compared", "perplexities-compared"} <= {chart.id for chart in report.shared}
    assert report.differing is not None and "method" in {row.cells[0] for row in report.differing.rows}
    assert report.differing.heads == ("field", "APT · 2:4", "Wanda · 2:4")
    (sentence,) = report.paired
    assert "Wanda · 2:4" in sentence
    for text in (to_html(report), to_markdown(report)):
        assert "Window by window" in text and "where they differ" in text


def test_more_runs_than_a_comparison_takes_are_a_table_and_their_own_charts():
    records = [a_record(run_id=f"20261124-0900{place:02}-0000") for place in range(MOST + 1)]
    report = the_report(*records)
    assert report.overview is not None and report.differing is None and report.paired == ()
    assert not [chart for chart in report.shared if chart.id.endswith("-compared")]


def test_a_run_that_is_named_twice_is_there_once():
    assert len(the_report(a_record(), a_record()).sections) == 1


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([a_record("queued")], "Run 20261124-100000-abcd is waiting and has no numbers to report yet."),
        ([], "There is nothing to report: no run was named."),
        (
            [a_record("queued"), a_record("queued", "20261124-100001-abcd")],
            "None of these two runs has a number to report yet.",
        ),
    ],
)
def test_a_report_of_nothing_is_refused(records, sentence):
    with pytest.raises(BadInput) as raised:
        document_of(records, lambda record: "Tiny")
    assert str(raised.value) == sentence


def test_a_run_that_still_waits_is_a_row_beside_the_others():
    report = the_report(a_record(), a_record("queued", "20261124-100001-abcd"))
    assert report.overview is not None
    waiting = report.overview.rows[1].cells
    assert waiting[1:5] == ("–", "–", "–", "–") and waiting[-1] == "waiting"


def test_on_a_public_host_files_are_named_without_their_folders():
    recipe = a_recipe(model={"id": "/srv/secret/model"}, calibration={"text": "/srv/secret/text.txt"})
    report = document_of([a_record(recipe=recipe)], lambda record: "Tiny", STRICT)
    assert "/srv" not in json.dumps(report.sections[0]._replace(charts=()))


def test_files_are_called_by_model_method_and_pattern():
    assert file_stem(a_record(), "Tiny Llama") == "tiny-llama-apt-2-4-20261124-100000-abcd"
    half = a_record(recipe=a_recipe(pattern={"kind": "unstructured", "sparsity": 0.55}, method="wanda"))
    assert file_stem(half, "../../etc/passwd") == "etc-passwd-wanda-55pct-20261124-100000-abcd"
    assert stem_of_all(a_race(), ["Tiny"] * 3) == "tiny-3-runs-20261124-090000-0000"


def test_a_report_of_a_sweep_has_the_charts_of_the_sweep():
    """Once each, of all its runs; a race has its own, and runs of no study have none."""
    swept = []
    for place, share in enumerate((0.2, 0.4, 0.6, 0.8)):
        run = a_record(
            run_id=f"20261124-0910{place:02}-0000",
            recipe=a_recipe(pattern={"kind": "unstructured", "sparsity": share}),
            pruned=21.0 + place,
        )
        finished = run.finished.model_copy(update={"sparsity": share})
        swept.append(run.model_copy(update={"study": "20261124-091000-5555", "finished": finished}))
    ids = [chart.id for chart in the_report(*swept).shared]
    assert ids[:3] == ["sparsity-sweep", "pareto-sweep", "parallel-sweep"] and "costs-compared" not in ids
    assert len(the_report(*swept).shared[0].table.rows) == 4
    assert not [chart for chart in the_report(*a_race()).shared if chart.id.endswith("-sweep")]
    loose = [run.model_copy(update={"study": ""}) for run in swept]
    assert not [chart for chart in the_report(*loose).shared if chart.id.endswith("-sweep")]


def test_agreement_stands_beside_the_perplexity_where_it_was_measured():
    apart = ev.Diverged(
        text="wikipedia", windows=6, length=512, tokens=6 * 511, kl=0.0416, agreement=0.882,
        agreement_low=0.849, agreement_high=0.916,
    )  # fmt: skip
    run = a_record().model_copy(update={"diverged": (apart,)})
    figure = the_report(run).sections[0].figures[1]
    assert (figure.name, figure.value) == ("Top-1 agreement", "88.2% (KL 0.0416)")
    assert figure.said == "with the dense model (95% CI 84.9% to 91.6%)"

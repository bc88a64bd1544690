"""What the page says in every state, and that nothing from outside becomes HTML."""

import re
import shlex

import pytest
from ui_helpers import NOW, a_recipe, a_record, some_events, stamped

from apt_core import events as ev
from apt_core.base.policy import PRIVATE
from apt_core.cli.report import report
from apt_core.events.asking import OtherAnswer
from apt_core.events.records import RunRecord, fold
from apt_core.jobs import Evaluate, make_value
from apt_core.measure.questions import Answered, Question
from apt_core.methods.named.apt import APT
from apt_core.plots import layer_error
from apt_core.plots.chart import RunSet
from apt_core.reports import run_words
from apt_core.texts.titles import text_title
from apt_core.ui.views import answers, cards, methods_page, progress, runs_table, tables
from apt_core.ui.views.chart_payload import chart_table
from apt_core.ui.views.command import command
from apt_core.ui.views.downloads import downloads_block
from apt_core.ui.views.fold import chosen_line
from apt_core.ui.views.headline import figures, headline
from apt_core.ui.views.html import TERMS, term

NASTY = "<img src=x onerror=alert(1)>${7*7}{{evil}}"


def with_events(*events, upto="layers", **changes):
    return fold(
        RunRecord(id="20261124-100000-abcd", job=a_recipe()),
        stamped([*some_events(upto, **changes), *events]),
    )


def words_of(markup) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", str(markup)).split())


def test_finished_says_the_verdict_with_its_band():
    html = str(headline(a_record(), "Tiny"))
    assert "<em>clearly worse</em>" in html and 'data-band="clearly-worse"' in html


def test_the_verdict_names_method_and_text_and_agreement_is_said_once():
    near = DIVERGED.model_copy(update={"agreement_low": 0.7, "agreement_high": 0.8})
    record = with_events(*some_events()[len(some_events("layers")) :], near)
    said = words_of(headline(record, "Tiny"))
    assert "on Wikipedia summaries after APT removed half of its layer weights." in said
    whole = f"{said} {words_of(figures(record))} {words_of(tables.size_panel(record))}"
    assert whole.count("75%") == 1 and "Top-1 agreement" in whole and "95% CI 70% to 80%" in whole
    assert "Top-1 agreement" not in words_of(figures(a_record())), (
        "of a run that did not look nothing is said"
    )


def test_a_sample_is_labelled_with_its_conditions():
    record = a_record(run_id="sample-x").model_copy(update={"conditions": "Recorded on a Tuesday"})
    assert "Recorded sample" in headline(record, "Tiny") and "Recorded on a Tuesday." in headline(
        record, "Tiny"
    )
    assert "Recorded sample" not in headline(a_record(), "Tiny")


def test_unknown_numbers_are_dashes_and_never_zero():
    said = words_of(figures(a_record("queued")))
    assert said.count("–") == 4 and not re.search(r"\b0\b", said)


def test_figures_of_a_finished_run():
    said = words_of(figures(a_record()))
    assert "dense 20.0 → pruned 30.0" in said and "1.50 × the dense model" in said
    assert "50%" in said and "9.0 s" in said and "460 MB" in said


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (a_record("queued"), "Waiting in line: one run is ahead."),
        (
            with_events(
                ev.Progress(stage="download", done=41e6, total=93e6, detail="SmolLM2"), upto="queued"
            ),
            "",
        ),
        (with_events(), "Pruning block 2 of 2"),
        (with_events(ev.Progress(stage="save", done=0, total=1)), "Writing the pruned weights"),
        (with_events(ev.Cancelled()), "Stopped after 6 of 6 layers (100%)."),
        (with_events(ev.Failed(reason="x", message="the disk is full")), "The disk is full."),
    ],
)
def test_every_state_has_its_sentence(record, expected):
    assert expected in words_of(progress.status_block(record, "Tiny", NOW + 60, position=1))


def test_who_waits_hears_what_is_ahead_and_about_how_long():
    waiting, running = a_record("queued"), a_record("layers", "20261124-100001-abcd")
    said = words_of(progress.status_block(waiting, "Tiny", NOW + 12, 1, [running]))
    assert (
        "Waiting in line: Tiny &lt;b&gt;Llama&lt;/b&gt; · APT · 2:4 is ahead (" in said and "left)." in said
    )
    more = words_of(progress.status_block(waiting, "Tiny", NOW + 12, 3, [running, waiting, waiting]))
    assert ", and two more." in more
    unknown = words_of(progress.status_block(waiting, "Tiny", NOW + 12, 1, [a_record("loaded")]))
    assert "is ahead." in unknown


def test_a_finished_run_has_no_status_block():
    assert progress.status_block(a_record(), "Tiny", NOW) == ""


def test_a_download_says_how_much_of_what():
    events = [ev.Started(pid=1), ev.Progress(stage="download", done=41e6, total=93e6, detail="SmolLM2")]
    record = fold(RunRecord(id="20261124-100000-abcd", job=a_recipe()), stamped(events))
    assert "Fetching SmolLM2: 41.0 MB of 93.0 MB" in words_of(progress.status_block(record, "Tiny", NOW))


def test_failure_details_are_folded_and_escaped():
    record = with_events(ev.Failed(reason="x", message=NASTY, detail=f"Traceback {NASTY}"))
    html = str(progress.status_block(record, "Tiny", NOW))
    assert "<details" in html and "<img" not in html and 'role="alert"' in html


def test_time_left_comes_from_the_pace_of_this_run():
    record = with_events(ev.Progress(stage="prune", done=1, total=2))
    assert record.stage_started_at is not None
    half = record.model_copy(update={"layers": record.layers[:3]})
    spent = 10.0
    left = progress.remaining(half, half.stage_started_at + spent)
    assert left == pytest.approx(spent + record.dense.seconds)  # as much again, and the second perplexity


def test_no_time_left_is_invented_before_there_is_a_pace():
    assert progress.remaining(a_record("queued"), NOW) is None
    assert progress.remaining(a_record("loaded"), NOW) is None


def test_titles_from_outside_stay_text():
    record = a_record()
    for html in (
        headline(record, NASTY),
        chosen_line(record, NASTY),
        progress.status_block(with_events(), NASTY, NOW),
    ):
        assert "<img" not in str(html)
    assert "Tiny &lt;b&gt;" in runs_table.runs_table([record], lambda _: "Tiny <b>", NOW)


def test_layer_table_has_a_row_for_every_layer():
    html = str(chart_table(layer_error.table(RunSet(a_record(valid=False)))))
    assert html.count("<tr data-key=") == 6 and html.count(">NO<") == 6


def test_the_honest_sentence_is_built_from_what_was_measured():
    same = run_words.honest_sentence(a_record(speed=(50, 49)))
    assert same.startswith(
        "Not smaller or faster yet: zeros are still stored and multiplied. "
        "No sparse kernel was used: torch.sparse's 2:4 kernels need an NVIDIA GPU"
    )
    busy = a_record(speed=(50, 30))
    assert "speed is not measurable now. Each was measured once" in run_words.honest_sentence(busy)
    assert (
        words_of(tables.size_panel(busy)).count("not measurable") == 3
    )  # in both columns, and in the sentence
    other = a_record(recipe=a_recipe(pattern={"kind": "unstructured", "sparsity": 0.5}))
    assert "know 2:4 alone" in run_words.honest_sentence(other)
    assert "are measured" in run_words.honest_sentence(a_record("loaded"))
    from_disk = a_record(speed=(None, None))
    assert "speed is not measured" in run_words.honest_sentence(from_disk)
    assert "tokens a second" in words_of(tables.size_panel(from_disk))


SIZED = [
    ev.Sized(subject="dense", on_disk=1000, compressed=800, packed=1010, resident=900, zstd_level=3),
    ev.Sized(subject="pruned", on_disk=1000, compressed=700, packed=563, resident=900, zstd_level=3),
]
DIVERGED = ev.Diverged(text="wiki<b>", windows=2, length=9, tokens=16, kl=0.5, agreement=0.75)


def test_other_sizes_stand_with_what_was_measured():
    panel = words_of(tables.size_panel(with_events(*SIZED, DIVERGED)))
    assert "packed (bit mask and kept values) 1.01 kB 563 bytes" in panel and "by zstd 3 800" in panel
    assert "packed" not in words_of(tables.size_panel(a_record()))  # a run of an earlier version


def test_the_report_of_the_command_line_says_them_too():
    said = report(with_events(*SIZED, DIVERGED), None)
    assert (
        "Agreement   agrees with the dense model on 75%" in said
        and "2 windows of 9 tokens of wiki<b>" in said
    )
    assert "packed 1.01 kB dense, 563 bytes" in said and "Agreement" not in report(a_record(), None)


def test_warnings_are_said_once():
    record = with_events(ev.Warned(message="used 0.1"), ev.Warned(message="used 0.1"))
    assert str(tables.warnings_block(record)).count("<li>") == 1


def test_provenance_shows_no_path_of_this_machine():
    recipe = a_recipe(calibration={"text": "/data/uploads/0123456789ab-my-notes.txt"})
    said = words_of(tables.provenance(a_record(recipe=recipe)))
    assert "my-notes.txt" in said and "/data" not in said
    assert text_title("wikipedia") == "Wikipedia summaries"


def test_runs_table_offers_what_fits_the_status():
    live, ended = a_record("layers"), a_record()
    assert 'data-action="cancel"' in runs_table.runs_table([live], str, NOW)
    assert 'data-action="delete"' not in runs_table.runs_table([live], str, NOW)
    assert "model.zip" not in runs_table.runs_table([live, ended], str, NOW)
    whole = runs_table.runs_table([live, ended], str, NOW, lambda run_id: True)
    assert f"studio/runs/{ended.id}/model.zip" in whole and whole.count("model.zip") == 1
    assert f"studio/runs/{ended.id}/results.json" in whole and f"studio/runs/{ended.id}/layers.csv" in whole
    html = runs_table.runs_table([ended], str, NOW)
    assert 'data-action="delete"' in html and 'href="?run=20261124-100000-abcd"' in html
    assert "No runs yet" in runs_table.runs_table([], str, NOW)


def test_downloads_name_the_run_and_never_a_file():
    html = str(downloads_block(a_record(), has_weights=True))
    assert re.findall(r'href="([^"]+)"', html) == [
        f"studio/runs/20261124-100000-abcd/{what}"
        for what in (
            *("results.json", "layers.csv", "perplexity.csv", "heat-map.csv"),
            *("report.html", "report.md", "model.zip", "model.gguf"),
        )
    ]
    assert "removed to save disk" in downloads_block(a_record(), has_weights=False)
    assert downloads_block(a_record("queued"), has_weights=False) == ""


def test_command_names_only_what_differs():
    assert (
        command(a_recipe()) == "python -m apt_core prune --model tiny-random-llama --method apt --pattern 2:4"
    )
    recipe = a_recipe(
        pattern={"kind": "unstructured", "sparsity": 0.55},
        method={"name": "apt", "block_size": 64},
        calibration={"text": "/tmp/my text.txt", "samples": 16},
        seed=7,
    )
    assert command(recipe, policy=PRIVATE) == (
        "python -m apt_core prune --model tiny-random-llama --method apt --sparsity 0.55 "
        "--calibration '/tmp/my text.txt' --samples 16 --seed 7 --set mask.block_size=64"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": {"name": "apt", "mask": "S", "dampening": 0.05}, "evaluation": {"samples": 3}, "seed": 1},
        {
            "pattern": {"kind": "unstructured", "sparsity": 0.123},
            "device": "cpu",
            "dtype": "float32",
            "weights": "disk",
            "optional_layers": True,
        },
        {
            "method": "magnitude",
            "pattern": {"kind": "n:m", "keep": 1, "of": 16},
            "calibration": {"length": 64},
        },
        {"evaluation": {"skip": 12}},
        {"walk": "two-pass", "evaluation": [{"text": "wiki-sample"}, {"text": "wikipedia"}]},
    ],
)
def test_the_command_that_is_shown_asks_for_the_same_recipe(changes):
    from apt_core.cli.options import prune_from
    from apt_core.cli.parser import build_parser

    recipe = a_recipe(**changes)
    options = build_parser().parse_args(shlex.split(command(recipe))[3:])
    assert prune_from(options) == recipe


def test_the_command_of_an_evaluation_asks_for_the_same_job():
    from apt_core.cli.evaluate import job_from
    from apt_core.cli.parser import build_parser
    from apt_core.runs.store import Store

    job = make_value(
        Evaluate,
        model={"id": "tiny-llama"},
        evaluation=[{"text": "wiki-sample", "samples": 3}, {"text": "wikipedia", "samples": 3}],
        resources={"dtype": "float32"},
    )
    shown = command(job)
    assert shown.startswith("python -m apt_core evaluate --model tiny-llama --eval wiki-sample,wikipedia")
    assert job_from(build_parser().parse_args(shlex.split(shown)[3:]), Store()) == job


def test_answers_escape_the_models():
    answered = Answered(
        dense=NASTY,
        pruned="<script>x</script>",
        dense_tokens=1,
        pruned_tokens=2,
        first_divergence=0,
        seconds=1.0,
    )
    html = str(answers.compared(answered))
    assert "<img" not in html and "<script" not in html and html.count("<mark>") >= 2


def test_streaming_shows_where_the_answers_part_and_leaves_the_rest_readable():
    duel = answers.Duel()
    for dense, pruned in ((" The", " The"), (" sky", " sea"), (" is", None)):
        duel.add(dense, pruned)
    html = str(answers.streaming(duel))
    assert duel.parted == [None, len(" The s")] and "<mark>" not in html
    assert (
        html.count('class="parts"') == 2 and "</span></span>sky is<" in html and "</span></span>sea<" in html
    )
    assert html.count("(first difference)") == 2


def of_three(**changes):
    others = (OtherAnswer(text="a <d>", tokens=3, first_divergence=2),)
    given = {"dense": "a b", "pruned": "a c", "dense_tokens": 2, "pruned_tokens": 3, "first_divergence": 1}
    return Answered(**given, seconds=1.0, others=others, **changes)


def test_three_models_have_three_columns_and_each_is_marked_against_the_dense_one():
    heads = answers.heads_of(["APT · 2:4", "Wanda <x>"])
    html = str(answers.compared(of_three(), heads, Question(prompt="why <b>?", max_tokens=3)))
    assert html.count("<section") == 3 and 'data-sides="3"' in html and "Wanda &lt;x&gt;" in html
    assert html.count('class="dense"') == 1 and html.count('class="pruned"') == 2
    dense, first, second = html.split("<section")[1:]
    assert "<mark>" not in dense and "parts" not in dense
    assert "<mark>c</mark>" in first and "<mark>" in second and "&lt;" in second
    assert answers.finish_line(of_three(), heads) == (
        "Done after 1.0 s; APT · 2:4: first difference at token 2; Wanda <x>: first difference at token 3."
    )
    same = of_three().model_copy(update={"first_divergence": None})
    assert "APT · 2:4 says the same" in answers.finish_line(same, heads)


def test_answers_cut_at_the_limit_say_so():
    question = Question(prompt="x", max_tokens=3)
    dense, first, second = str(answers.compared(of_three(), answers.heads_of("ab"), question)).split(
        "<section"
    )[1:]
    assert "2 tokens<" in dense and "3 tokens, cut at the limit" in first and "cut" in second
    assert "cut" not in str(answers.compared(of_three(stopped=True), answers.heads_of("ab"), question))


def test_answers_say_to_which_prompt_they_are():
    html = str(answers.compared(of_three(), answers.heads_of("ab"), Question(prompt='"<b>' + "long " * 90)))
    assert 'data-prompt="&#34;&lt;b&gt;long' in html and "<b>" not in html
    assert "<strong hidden>An older prompt. </strong>" in html and "…</span>" in html


def test_the_last_line_says_where_the_answers_part():
    same = Answered(
        dense="a", pruned="a", dense_tokens=1, pruned_tokens=1, first_divergence=None, seconds=2.0
    )
    assert answers.finish_line(same) == "Done after 2.0 s; both models said the same."
    parted = same.model_copy(update={"first_divergence": 4, "stopped": True})
    assert answers.finish_line(parted) == "Stopped after 2.0 s; first difference at token 5."
    assert answers.settings_line(Question(prompt="x", temperature=0)).startswith("Greedy")


def test_terms_explain_themselves_to_eyes_and_ears():
    for name, sentence in TERMS.items():
        html = str(term(name))
        assert (
            html.count(str(sentence).split("'")[0]) == 2 and "aria-label" in html and sentence.endswith(".")
        )


def test_methods_page_lists_every_option_with_its_bounds():
    said = words_of(methods_page.methods_page())
    assert (
        f"mask.block_size (apt) {APT().mask.block_size} 16 to 4096" in said
        and "allocation.max_deviation (loss) 0.25 0 to 0.5" in said
        and "auto, S or M" in said
    )


def test_refusals_and_estimates():
    from apt_core.estimate.preflight import Estimate

    assert "≈ 1 min 35 s" in cards.preflight_card(Estimate(seconds=93.2, memory_bytes=920_000_000))
    refused = str(cards.preflight_card(Estimate(refusal="needs 4 GB, but 1 GB is free")))
    assert "Needs 4 GB, but 1 GB is free." in refused and "≈" not in refused
    assert "–" in words_of(cards.preflight_card(Estimate(seconds=None)))

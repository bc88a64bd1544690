"""A run from press to verdict, through the real worker: watched, reloaded, shared, stopped, asked, deleted."""

from __future__ import annotations

import io
import os
import zipfile

import httpx
import psutil
import pytest
from browser_app import App, patient
from browser_steps import (
    choose,
    choose_method,
    choose_tiny,
    open_the_form,
    open_view,
    points,
    prune,
    run_of,
    says,
    scrolls_sideways,
    show_table,
    text,
    wait_for_end,
)

pytestmark = pytest.mark.browser
LONG = {"samples": 512, "length": 512, "windows": 128}  # lasts long enough to be stopped, reloaded, killed


_SHOWS_TINY = "document.querySelector('#model input').value === 'Tiny random Llama'"


@pytest.fixture(scope="module")
def finished(app, browser):
    """One finished run of the tiny model, for the tests that only look at it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(app.address)
    page.wait_for_selector("#prune")
    choose_tiny(page)
    run_id = prune(page)
    wait_for_end(page)
    context.close()
    return run_id


def test_points_arrive_and_zoom_survives_and_everybody_sees_the_same(open_page):
    page = open_page()
    choose_tiny(page, samples=460, length=512, windows=8)
    run_id = prune(page)
    says(page, "#now", "Dense perplexity")
    page.reload()
    says(page, "#now", "Dense perplexity")
    assert run_of(page) == run_id
    with patient("the points of the first block", 60) as until:
        until(lambda: points(page) >= 2)
    assert points(page) < 14, "the run was over before it could be watched"
    zoom_in(page)
    zoomed = shown_axes(page)
    second = open_page(f"?run={run_id}")
    wait_for_end(page)
    wait_for_end(second)
    says(page, "#headline", "Tiny random Llama")
    says(second, "#headline", "Tiny random Llama")
    assert text(page, "#headline") == text(second, "#headline")
    with patient("all points in the second tab", 20) as until:  # words are there before the chart is drawn
        until(lambda: points(second) == 14)
    assert shown_axes(page) == zoomed != shown_axes(second)
    assert "→" in text(page, "#figures") and "zeros are still stored" in text(page, "#sizes")
    page.locator("#layers-chart [data-tool=reset]").click()
    page.locator("#layers-chart [data-tool=reset]").wait_for(state="hidden")
    assert shown_axes(page)[0] == shown_axes(second)[0]


def zoom_in(page) -> None:
    """Drag over a part of the chart and hide the first projection, as a visitor does."""
    box = page.locator("#layers-chart .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    page.mouse.up()
    page.locator("#layers-chart .legendtoggle").first.click()
    page.wait_for_function(
        "document.querySelector('#layers-chart .chart-host')._fullData[0].visible === 'legendonly'"
    )


def shown_axes(page) -> list:
    return page.evaluate(
        "() => { const host = document.querySelector('#layers-chart .chart-host');"
        " return [host._fullLayout.xaxis.range, host._fullData[0].visible]; }"
    )


@pytest.mark.slow
def test_the_tables_hold_the_numbers_of_the_charts(open_page, finished):
    page = open_page(f"?run={finished}")
    show_table(page, "layers")
    page.locator("#layers-table tbody tr").nth(13).wait_for()  # unfolded and filled
    assert page.locator("#layers-table tbody tr").count() == 14
    assert page.locator("#layers-table").is_visible()


@pytest.mark.slow
def test_a_point_that_is_clicked_is_read_out_and_marked_in_the_table(open_page, finished):
    page = open_page(f"?run={finished}")
    show_table(page, "layers")
    page.wait_for_selector("#layers-chart .scatterlayer path")
    place = (
        page.locator("#layers-chart .scatterlayer .trace")
        .nth(6)
        .locator(".points path")
        .nth(0)
        .bounding_box()
    )
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    says(page, "#layers-chart .chart-readout", "Block 0, mlp.down_proj: relative error")
    assert page.locator("#layers-table tr[aria-selected=true]").count() == 1


@pytest.mark.slow
def test_results_can_be_downloaded_by_run(app, open_page, finished):
    page = open_page(f"?run={finished}&view=next")
    page.locator("#downloads a").last.wait_for()
    links = page.locator("#downloads a").evaluate_all("links => links.map(link => link.href)")
    assert all(link.startswith(f"{app.address}/studio/runs/{finished}/") for link in links)
    kinds = [link.rsplit("/", 1)[-1] for link in links]
    assert {"results.json", "layers.csv", "report.html", "report.md", "model.zip"} < set(kinds)
    results = httpx.get(next(link for link in links if link.endswith(".json"))).json()
    assert results["run"] == finished and len(results["layers"]) == 14 and results["sparsity"] == 0.5
    with zipfile.ZipFile(io.BytesIO(httpx.get(links[kinds.index("model.zip")]).content)) as archive:
        assert any(name.endswith(".safetensors") for name in archive.namelist()) and archive.testzip() is None


@pytest.mark.slow
def test_both_models_answer_and_can_be_stopped(open_page, finished):
    page = open_page(f"?run={finished}&view=answers")
    page.locator("#example-0").click()
    page.wait_for_function("document.querySelector('#prompt textarea').value.includes('sky')")
    page.locator("#ask").click()
    says(page, "#reading-state", "Loading both models", 5)
    says(page, "#reading-state", "Done after", 60)
    assert page.locator(".duel .said").count() == 2 and page.locator(".duel mark").count() > 0
    assert not page.locator("#stop-asking").is_visible()
    page.locator("text=Temperature, seed and length").click()
    page.locator("input[type=number][aria-label*='Max new tokens']").fill("512")
    page.keyboard.press("Tab")
    page.locator("#prompt textarea").fill("<script>alert(1)</script> & more")
    page.locator("#ask").click()
    says(page, "#reading-state", "tokens ·", 20)
    page.locator("#stop-asking").press("Enter")  # a click would wait until nothing moves on the page
    says(page, "#reading-state", "Stopped after", 20)
    assert page.locator(".duel script").count() == 0


@pytest.mark.slow
def test_a_typed_prompt_is_never_lost_and_answers_say_to_which_prompt_they_are(open_page, finished):
    page = open_page(f"?run={finished}&view=answers")
    page.locator("#prompt textarea").fill("Tell me <b>something")
    page.wait_for_function("sessionStorage.getItem('apt-studio-prompt') === 'Tell me <b>something'")
    page.reload()
    kept = "document.querySelector('#prompt textarea')?.value === 'Tell me <b>something'"
    page.wait_for_function(kept)
    page.wait_for_function("!document.querySelector('#ask').disabled")
    page.locator("#ask").click()
    says(page, "#reading-state", "Done after", 60)
    assert "Answers to: Tell me <b>something" in text(page, "#both .asked-prompt")
    assert "older" not in text(page, "#both .asked-prompt")
    page.locator("#ask-gap input").check()
    says(page, "#gaps", "Mean KL", 30)
    assert page.locator("#gaps table tbody tr").count() > 0 and page.locator("#gaps .gap-legend").count() == 1
    page.locator("#prompt textarea").fill("Something else")
    says(page, "#both .asked-prompt", "An older prompt.")


@pytest.mark.slow
def test_an_empty_prompt_is_a_sentence(open_page, finished):
    page = open_page(f"?run={finished}&view=answers")
    page.wait_for_function("!document.querySelector('#ask').disabled")
    page.locator("#ask").click()
    says(page, "#reading-state", "Write a prompt first.")


@pytest.mark.slow
def test_a_run_can_be_stopped_and_the_next_one_waits_in_line(open_page):
    page = open_page()
    choose_tiny(page, **LONG)
    first = prune(page)
    says(page, "#now", "Dense perplexity")
    choose_method(page, "Magnitude")
    page.wait_for_timeout(400)
    second = prune(page)
    assert second != first
    says(page, "#now", "is ahead")
    page.locator("#stop").click()
    says(page, "#now", "Stopped before any layer was pruned.")
    page.goto(page.url.replace(second, first))
    page.wait_for_selector("#stop")
    page.locator("#stop").click()
    says(page, "#now", "Stop")
    wait_for_end(page)
    assert "was stopped before it finished" in text(page, "#headline") and "Stopped" in text(page, "#now")


@pytest.mark.slow
def test_runs_are_listed_opened_and_deleted_by_keyboard(open_page, finished):
    page = open_page()
    page.locator("#tabs button[role=tab]", has_text="Runs").click()
    row = page.locator(f"tr[data-run='{finished}']")
    row.wait_for()
    assert "finished" in row.inner_text() and row.locator("a[download]").count() == 3
    row.locator("[data-action=open]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("id => location.search.includes(id)", arg=finished)
    assert page.locator("#headline").is_visible() and "Tiny random Llama" in text(page, "#headline")
    choose_tiny(page, samples=1, windows=1)
    doomed = prune(page)
    wait_for_end(page)
    page.locator("#tabs button[role=tab]", has_text="Runs").click()
    row = page.locator(f"tr[data-run='{doomed}']")
    row.locator("[data-action=ask-delete]").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.action") == "keep"
    page.keyboard.press("Enter")
    assert row.locator("[data-action=ask-delete]").is_visible()
    row.locator("[data-action=ask-delete]").click()
    row.locator(".confirm [data-action=delete]").click()
    row.wait_for(state="detached")
    assert httpx.get(f"{page.url.split('/?')[0]}/studio/runs/{doomed}/results.json").status_code == 404


@pytest.mark.slow
def test_on_a_narrow_screen_the_chooser_folds_to_one_line(open_page, finished):
    page = open_page(f"?run={finished}", width=390, height=844)
    says(page, ".chosen", "Tiny random Llama · APT · 2:4")
    assert not page.locator("#model").is_visible() and not scrolls_sideways(page)
    page.locator(".chosen").click()
    assert page.locator("#model").is_visible() and not scrolls_sideways(page)
    page.locator("#tabs button[role=tab]", has_text="Runs").click()
    page.locator(f"tr[data-run='{finished}']").wait_for()
    assert not scrolls_sideways(page)


@pytest.mark.slow
def test_after_pressing_prune_on_a_narrow_screen_the_state_is_in_view(open_page):
    page = open_page(width=390, height=844)
    open_the_form(page)
    choose_tiny(page, samples=1, windows=1)
    prune(page)
    page.locator(".chosen").wait_for()
    page.wait_for_function("document.querySelector('#headline').getBoundingClientRect().top < innerHeight")
    page.wait_for_function("window.scrollY < 10")
    wait_for_end(page)
    assert not scrolls_sideways(page)


@pytest.mark.slow
def test_the_choices_of_a_run_can_be_used_again(open_page, finished):
    page = open_page(f"?run={finished}")
    page.wait_for_function(_SHOWS_TINY)  # whoever comes by a link finds the choices that led to the run
    choose(page, "#model", "Tiny Llama")
    page.wait_for_function(f"!({_SHOWS_TINY})")
    page.locator("#again").click()
    page.wait_for_function(_SHOWS_TINY)
    says(page, "#facts", "Comes with the app")


@pytest.mark.slow
def test_back_and_forward_go_through_runs_and_tabs(open_page, finished):
    page = open_page()
    page.locator("#headline").get_by_text("Recorded sample").wait_for()
    page.locator("#tabs button[role=tab]", has_text="Runs").click()
    page.wait_for_url("**/?tab=runs")
    page.locator(f"tr[data-run='{finished}'] [data-action=open]").first.click()
    page.wait_for_url(f"**/?run={finished}")
    says(page, "#headline", "Tiny random Llama")
    page.go_back()
    page.wait_for_url("**/?tab=runs")
    page.locator(f"tr[data-run='{finished}']").wait_for()
    page.go_back()
    page.locator("#headline").get_by_text("Recorded sample").wait_for()
    assert page.url == f"{page.url.split('?')[0]}"
    page.go_forward()
    page.wait_for_url("**/?tab=runs")


_SAMPLE_SEEN = """
    window.sampleSeen = false;
    setInterval(() => {
      const badge = document.querySelector("#headline .badge");
      if (badge && getComputedStyle(badge).visibility === "visible") {
        window.sampleSeen ||= badge.textContent.includes("Recorded sample");
      }
    }, 10);
"""


@pytest.mark.slow
def test_a_link_never_shows_the_sample_before_its_run(open_page, finished, app):
    page = open_page()
    page.add_init_script(_SAMPLE_SEEN)
    page.goto(f"{app.address}/?run={finished}")
    says(page, "#headline", "Tiny random Llama")
    assert page.locator("#headline").is_visible() and not page.evaluate("window.sampleSeen")
    page.goto(f"{app.address}/?run=20200101-000000-abcd")
    says(page, "#note", "There is no run 20200101-000000-abcd")
    page.wait_for_function("window.sampleSeen")  # now it is what there is to see


@pytest.mark.slow
def test_a_chosen_shade_stays_with_the_visitor_and_not_with_the_address(open_page):
    page = open_page()
    page.locator("[data-shade]").click()
    is_dark = page.evaluate("document.body.classList.contains('dark')")
    page.reload()
    page.wait_for_function(f"document.body.classList.contains('dark') === {str(is_dark).lower()}")
    page.wait_for_function(
        "!location.search.includes('__theme') && document.querySelector('#tabs [role=tab]')"
    )


@pytest.mark.slow
def test_deleting_the_run_that_is_shown_leaves_no_dead_page(open_page):
    page = open_page()
    choose_tiny(page, samples=1, windows=1)
    prune(page)
    wait_for_end(page)
    run = page.url.split("run=")[1]
    page.locator("#tabs button[role=tab]", has_text="Runs").click()
    row = page.locator(f"tr[data-run='{run}']")
    row.locator("[data-action=ask-delete]").click()
    row.locator("[data-action=delete]").click()
    row.wait_for(state="detached")
    page.locator("#tabs button[role=tab]", has_text="Explore").click()
    says(page, "#note", "The run that was shown here has been deleted")
    assert run not in page.url


@pytest.mark.slow
def test_the_first_run_works_without_any_network(browser, tmp_path):
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "NO_PROXY": "127.0.0.1",
    }
    app = App(tmp_path, PIP_CONFIG_FILE=os.devnull, HF_ENDPOINT="http://127.0.0.1:9", **nowhere).start()
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(app.address)
        says(
            page,
            "#preflight",
            "The package index does not answer, so SmolLM2 135M Instruct cannot be fetched;",
        )
        assert page.locator("#prune").is_disabled()
        choose(page, "#model", "Tiny random Llama")
        says(page, "#facts", "The text is the short sample that comes with the app")
        page.wait_for_function("!document.querySelector('#prune').disabled")
        prune(page)
        wait_for_end(page)
        assert "Tiny random Llama" in text(page, "#headline")
    finally:
        context.close()
        app.stop()


def worker_of(run_id: str) -> psutil.Process:
    """The process that works on this run, once there is one."""
    with patient("the run's worker") as until:
        until(lambda: _workers(run_id))
    return _workers(run_id)[0]


def _workers(run_id: str) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if run_id in (one.info["cmdline"] or [])]


@pytest.mark.slow
def test_a_run_outlives_the_app(browser, tmp_path):
    app = App(tmp_path).start()
    context = browser.new_context()
    context.set_default_timeout(30_000)
    try:
        page = context.new_page()
        page.goto(app.address)
        page.wait_for_selector("#prune")
        choose_tiny(page, samples=256, length=256, windows=32)
        run_id = prune(page)
        worker = worker_of(run_id)
        worker.suspend()  # or it could end before the app is back
        app.kill()
        app.start()
        page.goto(f"{app.address}/")  # without the link: the browser remembers the run that still goes on
        page.wait_for_function("id => location.search.includes(id)", arg=run_id)
        worker.resume()
        wait_for_end(page)
        assert "Tiny random Llama" in text(page, "#headline") and points(page) == 14
    finally:
        context.close()
        app.stop()


@pytest.mark.slow
def test_measuring_a_finished_run_on_another_text(open_page):
    """Beside the run, queued by one press, watched, and shown with an interval for every text."""
    page = open_page()
    choose_tiny(page)
    pruned = prune(page)
    wait_for_end(page)
    open_view(page, "next")
    page.locator("#measure .label-wrap").click()
    says(page, "#measure", "What this run made")
    assert page.locator("#measure-model input").input_value().endswith("this run")
    page.locator("#measure-start").click()
    says(page, "#measure-note", "Choose at least one text.")
    choose(page, "#measure-texts", "Wikipedia summaries, bundled sample")
    page.keyboard.press("Escape")
    for box in ("#measure-eval-samples", "#measure-eval-length"):
        page.locator(f"{box} input").fill("32")
    page.locator("#measure-eval-length input").press("Tab")
    page.locator("#measure-start").click()
    page.wait_for_function("id => !location.search.includes(id)", arg=pruned)
    says(page, "#headline", "has a perplexity of", 60)
    page.wait_for_selector("#texts-chart .scatterlayer .points path")
    assert "with 95% confidence" in text(page, "#figures")
    assert not page.locator("#layers-section").is_visible() and not page.locator("#panels").is_visible()
    assert page.locator("#measure-model input").input_value() == "Tiny random Llama (APT · 2:4)"


_HIDE, _SHOW = (
    f"""() => {{
      Object.defineProperty(document, "hidden", {{ value: {hidden}, configurable: true }});
      document.dispatchEvent(new Event("visibilitychange"));
    }}"""
    for hidden in ("true", "false")
)


def test_a_tab_that_nobody_sees_asks_rarely_and_draws_nothing(open_page):
    page, asked = open_page(), []
    choose_tiny(page, **LONG)
    prune(page)
    says(page, "#now", "Dense perplexity", seconds=60)
    page.evaluate(_HIDE)
    page.wait_for_timeout(1100)  # the answer that was on its way
    shown = page.locator("#now").inner_html()
    page.on("request", lambda request: asked.append(request.url) if "/live?" in request.url else None)
    page.wait_for_timeout(6000)
    assert 1 <= len(asked) <= 2 and all("hidden=true" in url for url in asked)
    assert page.locator("#now").inner_html() == shown
    page.evaluate(_SHOW)
    with patient("what is new as soon as somebody looks", 5) as until:
        until(lambda: page.wait_for_timeout(50) or "hidden" not in asked[-1])
        until(lambda: page.wait_for_timeout(50) or page.locator("#now").inner_html() != shown)
    page.locator("#stop").click()
    wait_for_end(page)

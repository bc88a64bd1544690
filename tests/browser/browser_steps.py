"""What a visitor does, in words."""

from __future__ import annotations

import re
import time

POINTS = "#layers-chart .scatterlayer .points path"


def choose_tiny(page, samples: int = 8, length: int = 64, windows: int = 4) -> None:
    """The bundled model and the bundled text, 2:4: no network, seconds."""
    choose(page, "#model", "Tiny random Llama")
    choose_groups(page)
    if not page.locator("#samples").is_visible():
        page.locator("#advanced .label-wrap").click()
    for box in ("#text", "#eval-text"):
        choose(page, box, "Wikipedia summaries, bundled sample")
    for box, value in (
        ("#samples", samples),
        ("#length", length),
        ("#eval-samples", windows),
        ("#eval-length", length),
    ):
        page.locator(f"{box} input").fill(str(value))
    page.locator("#eval-length input").press("Tab")
    page.wait_for_function(
        "document.querySelector('#facts').innerText.includes('Comes with the app')"
        " && !document.querySelector('#prune').disabled"
    )
    page.wait_for_timeout(300)  # the last check of a burst


def choose_groups(page) -> None:
    """N:M, and 2:4 of its patterns."""
    page.locator("#kind label", has_text="N:M pattern").click()
    page.locator("#pattern").wait_for()


def choose(page, box: str, option: str) -> None:
    page.locator(f"{box} input").click()
    page.locator(box).get_by_role("option", name=option, exact=True).click()


def choose_method(page, title: str) -> None:
    """Of the short list, or of all methods."""
    label = page.locator("#method label", has=page.get_by_text(title, exact=True))
    if not label.is_visible():
        show_all_methods(page)
    label.click()


def show_all_methods(page) -> None:
    if page.locator("[data-all-methods]").get_attribute("aria-expanded") == "false":
        page.locator("[data-all-methods]").click()


def race_against(page, *titles: str) -> None:
    """Tick these methods."""
    show_all_methods(page)
    if not page.locator("#rivals").is_visible():
        page.locator("#advanced .label-wrap").click()
    for title in titles:
        page.locator("#rivals").get_by_role("checkbox", name=title, exact=True).check(force=True)
    says(page, "#preflight", f"{1 + len(titles)} runs, one after another: about")
    page.wait_for_timeout(300)  # the last check of a burst


def open_view(page, name: str) -> None:
    """Of the run that is shown: overview, layers, answers, size, others, next."""
    page.locator(f".views [data-view={name}]").click()
    page.wait_for_function("name => document.documentElement.dataset.view === name", arg=name)


def show_table(page, chart: str) -> None:
    """The numbers of a chart, by its menu."""
    page.locator(f"#{chart}-chart .more summary").click()
    page.locator(f"#{chart}-chart [data-tool=table]").click()


def open_the_form(page) -> None:
    """Where the screen is narrow it is one line below the result."""
    page.wait_for_selector("#folded .chosen", state="attached")
    if not page.locator("#model").is_visible():
        page.locator(".chosen").click()


def open_the_search(page) -> None:
    """Of the Hub, beside the model."""
    page.locator("#hub-search summary").click()
    page.locator("#hub-query").wait_for()
    page.wait_for_timeout(300)


def unfold(page, section: str) -> None:
    """A folded section; nothing where it is open."""
    head = page.locator(f"{section} .label-wrap").first
    if "open" not in (head.get_attribute("class") or "").split():
        head.click()


def prune(page) -> str:
    """Press the button; returns the id of the run from the address."""
    before = page.url
    page.locator("#prune").click()
    page.wait_for_function(
        "before => location.href !== before && location.search.includes('run=')", arg=before
    )
    return run_of(page)


def run_of(page) -> str:
    return re.search(r"run=([\w-]+)", page.url)[1]


def points(page) -> int:
    return page.locator(POINTS).count()


def wait_for_end(page, seconds: float = 60) -> None:
    page.wait_for_function(
        "() => ['hardly-changed','slightly-worse','clearly-worse','badly-hurt','broken','cancelled','failed']"
        ".includes(document.querySelector('.headline')?.dataset.band)",
        timeout=1000 * seconds,
    )


def text(page, selector: str) -> str:
    return " ".join(page.locator(selector).inner_text().split())


def says(page, selector: str, wanted: str, seconds: float = 10) -> None:
    """Wait until the element says this; the assertion shows what it said instead."""
    end = time.monotonic() + seconds
    while wanted not in text(page, selector):
        assert time.monotonic() < end, f"{selector} says {text(page, selector)!r}, not {wanted!r}"
        page.wait_for_timeout(100)


def cut_off(page) -> list[str]:
    """Sentences and headings that end beyond the right edge of the window, where nobody can scroll to."""
    return page.evaluate(
        """() => [...document.querySelectorAll("p, h1, h2, h3, summary, li")]
          .filter((each) => each.checkVisibility() && !each.closest(".scroll, [role=tablist]"))
          .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
          .map((each) => each.textContent.slice(0, 60))"""
    )


def scrolls_sideways(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > window.innerWidth")

"""What the page's server gives out beside Gradio: our own assets, and the results of runs by their ids."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import plotly
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route

from apt_core.base.errors import BadInput, PruneError, UnknownRun
from apt_core.base.paths import ASSETS
from apt_core.events.records import RunRecord
from apt_core.plots import charts_of
from apt_core.plots.chart import Sheet
from apt_core.reports.document import document_of
from apt_core.reports.html import to_html
from apt_core.reports.markdown import to_markdown
from apt_core.reports.model_card import CARD
from apt_core.reports.names import file_stem
from apt_core.reports.run_words import has_numbers
from apt_core.studies.compare import compare
from apt_core.ui import docs
from apt_core.ui.acting import acting_for, visitor_of
from apt_core.ui.forms import options
from apt_core.ui.forms.model_notes import model_notes
from apt_core.ui.gguf_file import gguf_response
from apt_core.ui.model_files import zip_of
from apt_core.ui.studio import Studio
from apt_core.ui.views import inside_model
from apt_core.ui.views.compare_sheets import sheet_of
from apt_core.ui.views.compare_view import ids_of
from apt_core.ui.views.run_view import ViewState, live
from apt_core.ui.views.run_views import views_css
from apt_core.ui.views.slides import slides_html

PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
DRIVER_JS = ASSETS / "tour" / "driver.min.js"  # 1.8.0 of npm, as it is
SCRIPTS = tuple(
    ASSETS / "ui" / f"{name}.js"
    for name in ("studio", "models", "upload", "keyboard", "presenter", "print", "tour", "curve", "shares")
)
ASKING_SCRIPT = ASSETS / "ui" / "asking.js"
COMFORT = ASSETS / "ui" / "comfort.js"
STYLES = (
    ASSETS / "tour" / "driver.min.css",
    *(
        ASSETS / "ui" / f"{name}.css"
        for name in ("tokens", "page", "models", "asking", "presenter", "tour", "print", "curve", "shares")
    ),
)
_REPORTS = {"report.html": (to_html, "text/html"), "report.md": (to_markdown, "text/markdown")}
_GGUF = "model.gguf"
_log = logging.getLogger(__name__)
_CHUNK = 1 << 20
_NEVER_KEPT = {"Cache-Control": "no-store"}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}  # the address carries the version


def routes(studio: Studio) -> list[Mount]:
    """Everything lies under studio/, relative to the page, so that it also works behind a proxy."""

    def results(request: Request) -> Response:
        if request.method == "HEAD" and request.path_params["what"] == _GGUF:
            return PlainTextResponse("This file is written for GET.", 405, {"Allow": "GET"})
        with acting_for(visitor_of(request.scope)):
            return answer(studio, request.path_params["run_id"], request.path_params["what"])

    def together(request: Request) -> Response:
        with acting_for(visitor_of(request.scope)):
            return answer_of_set(
                studio, ids_of(request.query_params.get("runs")), request.path_params["what"]
            )

    def studied(request: Request) -> Response:
        with acting_for(visitor_of(request.scope)):
            return answer_of_study(studio, request.path_params["study_id"], request.path_params["what"])

    def news(request: Request) -> Response:
        with acting_for(visitor_of(request.scope)):
            asked = request.query_params
            return news_of(studio, request.path_params["run_id"], ViewState.parse(asked), "hidden" in asked)

    def slides(request: Request) -> Response:
        with acting_for(visitor_of(request.scope)):
            return slides_of(studio, request.path_params["run_id"])

    def models(request: Request) -> Response:
        with acting_for(visitor_of(request.scope)):
            return JSONResponse(model_notes(studio), headers=_NEVER_KEPT)

    def handed(request: Request) -> Response:
        return handed_out(studio, request.path_params["key"], request.path_params["name"])

    return [
        Mount(
            "/studio",
            routes=[
                Route("/studio.js", lambda request: _forever(script(), "text/javascript"), methods=["GET"]),
                Route("/comfort.js", _asset(COMFORT, "text/javascript"), methods=["GET"]),
                Route("/studio.css", lambda request: _forever(stylesheet(), "text/css"), methods=["GET"]),
                Route("/plotly.js", _asset(PLOTLY_JS, "text/javascript"), methods=["GET"]),
                Route("/driver.js", _asset(DRIVER_JS, "text/javascript"), methods=["GET"]),
                Route("/asking.js", _asset(ASKING_SCRIPT, "text/javascript"), methods=["GET"]),
                Route("/docs/{path:path}", docs.answer, methods=["GET"]),
                Route("/models", models, methods=["GET"]),
                Route("/answers/{key}/{name}", handed, methods=["GET"]),
                Route("/compare/{what}", together, methods=["GET"]),
                Route("/studies/{study_id}/{what}", studied, methods=["GET"]),
                Route("/runs/{run_id}/live", news, methods=["GET"]),
                Route("/runs/{run_id}/slides", slides, methods=["GET"]),
                Route("/runs/{run_id}/{what}", results, methods=["GET"]),
            ],
        )
    ]


@lru_cache(maxsize=1)
def stylesheet() -> str:
    """Ours as it is: Gradio's `css` argument would rewrite every selector, and break those with commas inside."""
    return "\n".join([*(path.read_text("utf-8") for path in STYLES), options.visibility_css(), views_css()])


@lru_cache(maxsize=1)
def script() -> str:
    return "\n".join(path.read_text("utf-8") for path in SCRIPTS)


def head() -> str:
    """What goes into <head>: our styles, and our script, which fetches plotly.js and driver.js when it needs them."""
    ours = f"studio/studio.js?v={_digest(script().encode())}"
    plotly_js = f"studio/plotly.js?v={plotly.__version__}"
    driver_js = f"studio/driver.js?v={_digest(DRIVER_JS.read_bytes())}"
    return (
        f'<link rel="stylesheet" href="studio/studio.css?v={_digest(stylesheet().encode())}">'
        f'<script src="{ours}" data-plotly="{plotly_js}" data-driver="{driver_js}"></script>'
        f'<script src="studio/asking.js?v={_digest(ASKING_SCRIPT.read_bytes())}" defer></script>'
        f'<script src="studio/comfort.js?v={_digest(COMFORT.read_bytes())}" defer></script>'
        '<meta name="color-scheme" content="light dark">'
    )


def answer(studio: Studio, run_id: str, what: str) -> Response:
    """One download; a run or a kind that does not exist is a 404 with a sentence."""
    try:
        record = studio.record(run_id)
    except BadInput as error:
        return PlainTextResponse(str(error), status_code=404)
    stem = file_stem(record, studio.title(record))
    if what == "results.json":
        return _text(
            json.dumps(studio.as_json(studio.with_questions(record)), indent=2),
            "application/json",
            f"{stem}.json",
        )
    if what in _REPORTS and has_numbers(record):
        return _report(studio, [record], what)
    if what.endswith(".csv") and (sheet := _sheet_of(studio, record, what.removesuffix(".csv"))):
        return _text(sheet.as_csv(), "text/csv", f"{stem}-{what}")
    if what == "model.zip" and (folder := studio.checkpoint(run_id)):
        return StreamingResponse(
            zip_of(folder, stem, {CARD: studio.card(record).encode()}),
            media_type="application/zip",
            headers=_as(f"{stem}.zip"),
        )
    if what == _GGUF and (folder := studio.checkpoint(run_id)):
        return gguf_response(studio, record, folder, f"{stem}.gguf")
    return PlainTextResponse("There is nothing of that name in this run.", status_code=404)


def answer_of_set(studio: Studio, run_ids: Sequence[str], what: str) -> Response:
    """One download of runs that are compared; what cannot be compared is a 404 with a sentence."""
    try:
        runs = studio.compared(run_ids)
    except BadInput as error:
        return PlainTextResponse(str(error), status_code=404)
    name = f"compare-{runs.shown.id}-{what}"
    if what == "compare.json":
        whole = compare(runs.members, studio.policy).model_dump(mode="json")
        return _text(json.dumps(whole, indent=2), "application/json", f"compare-{runs.shown.id}.json")
    if what in _REPORTS and any(map(has_numbers, runs.members)):
        return _report(studio, runs.members, what)
    if what.endswith(".csv") and (sheet := sheet_of(runs, what.removesuffix(".csv"), studio.policy)):
        return _text(sheet.as_csv(), "text/csv", name)
    return PlainTextResponse("There is nothing of that name in this comparison.", status_code=404)


def slides_of(studio: Studio, run_id: str) -> Response:
    """The slides of a run for the presenter; a run that has none is a 404 with a sentence."""
    try:
        record = studio.with_questions(studio.record(run_id))
        return HTMLResponse(str(slides_html(record, studio.title(record))), headers=_NEVER_KEPT)
    except BadInput as error:
        return PlainTextResponse(str(error), status_code=404)


def handed_out(studio: Studio, key: str, name: str) -> Response:
    """A file that the page made for one visitor."""
    file = studio.handouts.get(key)
    if file is None or file.name != name:
        return PlainTextResponse(
            "This file is not here any more; make it again on the page.", status_code=404
        )
    return _text(file.text, file.media_type, file.name)


def answer_of_study(studio: Studio, study_id: str, what: str) -> Response:
    """The report of a study; one that does not exist, or has no numbers yet, is a 404 with a sentence."""
    try:
        records = studio.runs_of(study_id)
        if what in _REPORTS:
            return _report(studio, records, what)
    except BadInput as error:
        return PlainTextResponse(str(error), status_code=404)
    return PlainTextResponse("There is nothing of that name in this study.", status_code=404)


def _report(studio: Studio, records: Sequence[RunRecord], what: str) -> Response:
    """Raises BadInput where none of them has a number."""
    draw, media_type = _REPORTS[what]
    document = document_of([studio.with_questions(record) for record in records], studio.title)
    return _text(draw(document), media_type, f"{document.stem}-{what}")


def news_of(studio: Studio, run_id: str, seen: ViewState, hidden: bool = False) -> Response:
    """What is new of a run, for a tab that shows `seen`. Cheap: tabs ask once a second, hidden ones more rarely."""
    try:
        return JSONResponse(live(studio, studio.record(run_id), seen, hidden), headers=_NEVER_KEPT)
    except UnknownRun as error:
        return PlainTextResponse(str(error), status_code=404)
    except PruneError as error:  # a locked store: the next question may find it free
        _log.warning("Run %s could not be read this time: %s", run_id, error)
        return PlainTextResponse(str(error), status_code=503)


def _sheet_of(studio: Studio, record: RunRecord, name: str) -> Sheet | None:
    """The numbers of a chart of this run, by the chart's name; of its depth, where that was looked at."""
    if found := inside_model.sheet(studio, record.id, name):
        return found
    runs = studio.run_set(record)
    return next((chart.sheet(runs) for chart in charts_of(runs) if chart.name == name), None)


def _asset(path: Path, media_type: str):
    def give(request: Request) -> Response:
        if not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, media_type=media_type, headers=_FOREVER)

    return give


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:10]


def _forever(body: str, media_type: str) -> Response:
    return Response(body, media_type=media_type, headers=_FOREVER)


def _text(body: str, media_type: str, name: str) -> Response:
    return Response(body, media_type=media_type, headers=_as(name))


def _as(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}

"""What the page's server gives out beside Gradio: our own assets, and the results of runs by their ids."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import plotly
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from apt_core.base.errors import BadInput, PruneError, UnknownRun
from apt_core.base.paths import ASSETS
from apt_core.events.projections import parts_of
from apt_core.events.records import RunRecord, summary
from apt_core.studies.race import Race, race_of, whole_blocks
from apt_core.ui.forms import options
from apt_core.ui.studio import Studio
from apt_core.ui.views.parts import Seen, live

PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
SCRIPT = ASSETS / "ui" / "studio.js"
STYLES = (ASSETS / "ui" / "tokens.css", ASSETS / "ui" / "page.css")
_log = logging.getLogger(__name__)
_CHUNK = 1 << 20
_NEVER_KEPT = {"Cache-Control": "no-store"}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}  # the address carries the version


def routes(studio: Studio) -> list[Mount]:
    """Everything lies under studio/, relative to the page, so that it also works behind a proxy."""

    def results(request: Request) -> Response:
        return answer(studio, request.path_params["run_id"], request.path_params["what"])

    def news(request: Request) -> Response:
        return tell(studio, request.path_params["run_id"], Seen.told(request.query_params))

    return [
        Mount(
            "/studio",
            routes=[
                Route("/studio.js", _asset(SCRIPT, "text/javascript"), methods=["GET"]),
                Route("/studio.css", lambda request: _forever(stylesheet(), "text/css"), methods=["GET"]),
                Route("/plotly.js", _asset(PLOTLY_JS, "text/javascript"), methods=["GET"]),
                Route("/runs/{run_id}/live", news, methods=["GET"]),
                Route("/runs/{run_id}/{what}", results, methods=["GET"]),
            ],
        )
    ]


@lru_cache(maxsize=1)
def stylesheet() -> str:
    """Ours as it is: Gradio's `css` argument would rewrite every selector, and break those with commas inside."""
    return "\n".join([*(path.read_text("utf-8") for path in STYLES), options.visibility_css()])


def head() -> str:
    """What goes into <head>: our styles, and our script, which fetches plotly.js when a chart wants it."""
    script, plotly_js = (
        f"studio/studio.js?v={_digest(SCRIPT.read_bytes())}",
        f"studio/plotly.js?v={plotly.__version__}",
    )
    return (
        f'<link rel="stylesheet" href="studio/studio.css?v={_digest(stylesheet().encode())}">'
        f'<script src="{script}" data-plotly="{plotly_js}"></script>'
        '<meta name="color-scheme" content="light dark">'
    )


def answer(studio: Studio, run_id: str, what: str) -> Response:
    """One download; a run or a kind that does not exist is a 404 with a sentence."""
    try:
        record = studio.record(run_id)
    except BadInput as error:
        return PlainTextResponse(str(error), status_code=404)
    if what == "results.json":
        return _text(json.dumps(summary(record), indent=2), "application/json", f"{run_id}.json")
    if what == "layers.csv":
        return _text(layers_csv(record), "text/csv", f"{run_id}-layers.csv")
    if what == "results.csv":
        return _text(perplexity_csv(record), "text/csv", f"{run_id}-perplexity.csv")
    if what == "race.csv" and (race := race_of(record, studio.rivals(record))):
        return _text(race_csv(race), "text/csv", f"{run_id}-race.csv")
    if what == "model.zip" and (folder := studio.checkpoint(run_id)):
        return StreamingResponse(
            zip_of(folder, run_id), media_type="application/zip", headers=_as(f"{run_id}.zip")
        )
    return PlainTextResponse("There is nothing of that name in this run.", status_code=404)


def tell(studio: Studio, run_id: str, seen: Seen) -> Response:
    """What is new of a run, for a tab that shows `seen`. Cheap: tabs ask once a second."""
    try:
        return JSONResponse(live(studio, studio.record(run_id), seen), headers=_NEVER_KEPT)
    except UnknownRun as error:
        return PlainTextResponse(str(error), status_code=404)
    except PruneError as error:  # a locked store: the next question may find it free
        _log.warning("Run %s could not be read this time: %s", run_id, error)
        return PlainTextResponse(str(error), status_code=503)


def layers_csv(record: RunRecord) -> str:
    heads = (
        "block",
        "layer",
        "rows",
        "columns",
        "removed",
        "sparsity",
        "relative_error",
        "pattern_valid",
        "seconds",
        "tokens",
    )
    rows = [
        (
            layer.block,
            layer.layer,
            *layer.shape,
            layer.removed,
            layer.sparsity,
            layer.relative_error,
            layer.pattern_valid,
            layer.seconds,
            layer.tokens,
        )
        for whole in record.layers
        for layer in (whole, *parts_of(whole))
    ]
    return _csv(heads, rows)


def perplexity_csv(record: RunRecord) -> str:
    heads = ("side", "perplexity", "windows", "length", "tokens", "text", "protocol", "seconds")
    rows = [
        (
            side.subject,
            side.perplexity,
            side.windows,
            side.length,
            side.tokens,
            Path(side.text).name,
            side.protocol,
            side.seconds,
        )
        for side in (record.dense, record.pruned)
        if side
    ]
    return _csv(heads, rows)


def race_csv(race: Race) -> str:
    heads = ("run", "method", "status", "perplexity", "block", "mean_relative_error")
    rows = [
        (
            member.id,
            member.job.method.label,
            member.status,
            member.pruned.perplexity if member.pruned else "",
            block,
            error,
        )
        for member in race.members
        for block, error in whole_blocks(member).items()
    ]
    return _csv(heads, rows)


def zip_of(folder: Path, name: str) -> Iterator[bytes]:
    """The files of a folder as a zip without compression (weights do not shrink), made while it is sent."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            inside = zipfile.ZipInfo.from_file(path, f"{name}/{path.relative_to(folder)}")
            with path.open("rb") as source, archive.open(inside, "w", force_zip64=True) as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """A file that cannot go back: what is written waits until it is taken."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self._waiting += data
        return len(data)

    def take(self) -> bytes:
        out = bytes(self._waiting)
        self._waiting.clear()
        return out


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


def _csv(heads: tuple[str, ...], rows: list[tuple]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return out.getvalue()


def _text(body: str, media_type: str, name: str) -> Response:
    return Response(body, media_type=media_type, headers=_as(name))


def _as(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}

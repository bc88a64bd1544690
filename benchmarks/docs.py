"""Draw the generated parts of the documentation: python -m benchmarks.docs [--check]

A page of docs/ is written by hand around parts between `<!-- NAME: begin -->` and `<!-- NAME: end -->`. They come from
the recorded results, the parser, the schemas and the settings. Charts are SVG files beside the pages.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import inspect
import json
import lzma
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import accuracy, accuracy_tables, charts, families, honest_table, speed
from benchmarks.related import records, verdicts

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_MAIN = "smollm2-135m"
# The files that the recorded runs read.
_WIKITEXT = (
    ("valid.txt", "validation", "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8"),
    ("test.txt", "test", "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0"),
)


def stale() -> list[str]:
    """The files whose generated parts are not what they would be drawn as today."""
    return [str(file.relative_to(ROOT)) for file, text in _drawn() if _read(file) != text]


def main() -> None:
    if "--check" in sys.argv:
        old = stale()
        sys.exit(f"Run python -m benchmarks.docs: {', '.join(old)}" if old else 0)
    for file, text in _drawn():
        file.write_text(text, "utf-8")


def _drawn() -> Iterator[tuple[Path, str]]:
    for name, parts in _PAGES.items():
        yield DOCS / name, with_parts(_read(DOCS / name), parts)
    for name, chart in _CHARTS.items():
        yield DOCS / name, chart()


def _read(file: Path) -> str:
    return file.read_text("utf-8") if file.exists() else ""


def with_parts(page: str, parts: dict[str, Callable[[], str]]) -> str:
    for name, part in parts.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = page.split(begin)
        _, after = rest.split(end)
        page = f"{before}{begin}\n{part().strip()}\n{end}{after}"
    return page


def _newest(results: Path) -> dict:
    return json.loads(results.read_text().splitlines()[-1])


def _runs(model: str | None = None) -> list[dict]:
    """Recorded runs of this model; of all the others when None."""
    lines = accuracy_tables.read(accuracy.RESULTS)
    return [line for line in lines if (line["model"] == model if model else line["model"] != _MAIN)]


def texts() -> str:
    """Where the texts of the tables come from, each with a sha256."""
    from apt_core.models.catalogue.pins import GEMMA3, SMOLLM2, WIKIPEDIA
    from benchmarks.texts import PYTHON_DOCS

    rows = ["| text or weights | from | sha256 |", "|---|---|---|"]
    for name, split, digest in _WIKITEXT:
        source = f"hub:Salesforce/wikitext:wikitext-2-raw-v1:{split}"
        rows.append(f"| `{name}` | WikiText-2 raw, `{split}` (`{source}`) | `{digest}` |")
    digest = hashlib.sha256(lzma.decompress(PYTHON_DOCS.read_bytes())).hexdigest()
    rows.append(
        f"| `python-docs` | Python's language reference, `benchmarks/{PYTHON_DOCS.name}` unpacked | `{digest}` |"
    )
    for name, pin in (
        ("wikipedia", WIKIPEDIA),
        ("smollm2-135m", SMOLLM2),
        *(("gemma-3-270m", pin) for pin in GEMMA3),
    ):
        rows.append(f"| `{name}` | package {pin.label}, `{pin.filename}` | `{pin.sha256}` |")
    return "\n".join(rows)


@functools.cache
def _parsers() -> dict[str, argparse.ArgumentParser]:
    from apt_core.cli.parser import build_parser

    with mock.patch.object(sys, "argv", ["apt-studio"]):
        return dict(_below(build_parser()))


def _below(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield parser.prog, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in dict.fromkeys(action.choices.values()):
                yield from _below(child)


def command_line() -> str:
    """Every command with its flags, as `--help` says them, 100 columns wide."""
    parts = []
    with mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}):
        for prog, parser in _parsers().items():
            parts.append(f"## `{prog}`\n\n```text\n{parser.format_help().strip()}\n```")
    return "\n\n".join(parts)


def python() -> str:
    """Every public name with its signature and its docstring."""
    import apt_core

    parts = []
    for name in apt_core.__all__:
        found = getattr(apt_core, name)
        about = inspect.cleandoc(found.__doc__ or "")
        if inspect.isclass(found) or not callable(found):
            parts.append(f"## `{name}`\n\n{about}")
            continue
        shown = re.sub(r"\s+", " ", str(inspect.signature(found)))
        shown = re.sub(r"(: |-> )'([^']*)'", r"\1\2", shown)
        parts.append(f"## `{name}`\n\n```python\n{name}{_wrapped(shown)}\n```\n\n```text\n{about}\n```")
    return "\n\n".join(parts)


def _wrapped(signature: str) -> str:
    if len(signature) < 80:
        return signature
    inside, _, answer = signature[1:].rpartition(")")
    arguments = re.split(r", (?![^\[(]*[\])])", inside)
    return "(\n" + "".join(f"    {one},\n" for one in arguments) + f"){answer}"


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _fields(kind: Any, prefix: str = "", skip: frozenset[str] = frozenset()) -> str:
    rows = [
        f"| `{prefix}{name}` | `{_cell(field.get_default(call_default_factory=True))}` | "
        f"{_cell(field.description or field.title or '')} |"
        for name, field in kind.model_fields.items()
        if name not in skip
    ]
    return "\n".join(["| option | default | what it does |", "|---|---|---|", *rows]) if rows else ""


def _about(found: Any) -> str:
    source = f"\n\nSource: {found.source}." if found.source else ""
    long = inspect.cleandoc(found.__doc__ or "")
    return f"{found.summary}{source}\n\n```text\n{long}\n```"


def methods() -> str:
    """Every named method with its composition."""
    from apt_core.methods import METHODS, STRUCTURED
    from apt_core.methods.registry import _recoveries

    rows = ["| method | for | source | what it does |", "|---|---|---|---|"]
    for name, method in {**METHODS, **STRUCTURED}.items():
        advice = getattr(method, "advice", "")
        rows.append(f"| [`{name}`](#{name}) | {advice} | {_cell(method.source)} | {_cell(method.summary)} |")
    parts = ["\n".join(rows)]
    for name, method in METHODS.items():
        settings = "\n".join(f"--set {path}={value}" for path, value in method().settings().items())
        parts.append(f"## {name}\n\n{_about(method)}\n\nComposition:\n\n```text\n{settings}\n```")
    for name, structured in STRUCTURED.items():
        parts.append(f"## {name}\n\n{_about(structured)}\n\n{_fields(structured)}")
    parts.append("## Recoveries\n\n`recover --method NAME` trains a part of a pruned model.")
    for name, recovery in _recoveries().items():
        parts.append(f"### {name}\n\n{_about(recovery)}\n\n{_fields(recovery)}")
    return "\n\n".join(parts)


def components() -> str:
    from apt_core.methods import COMPONENTS

    parts = []
    for slot, found in COMPONENTS.items():
        parts.append(f"## {slot}")
        for name, component in found.items():
            parts.append(
                f"### {slot}={name}\n\n{_about(component)}\n\n{_fields(component, f'{slot}.')}".strip()
            )
    return "\n\n".join(parts)


def limits() -> str:
    from apt_core.runs.quotas import table

    return table()


def endpoints() -> str:
    from apt_core.ui.api.endpoints import ENDPOINTS

    parts = []
    for endpoint in ENDPOINTS:
        rows = ["| argument | default | what it is |", "|---|---|---|"]
        for one in endpoint.arguments:
            default = "required" if one.required else f"`{one.default!r}`"
            rows.append(f"| `{one.name}` | {_cell(default)} | {_cell(one[2])} |")
        parts.append(f"## `/{endpoint.name}`\n\n{endpoint.says}\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


_PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "results/accuracy.md": {
        "accuracy table": lambda: accuracy_tables.tables(_runs(_MAIN)),
        "other models table": lambda: accuracy_tables.tables(_runs()),
        "honest table": lambda: honest_table.table(_newest(honest_table.RESULTS)),
        "texts": texts,
    },
    "results/speed.md": {"speed table": lambda: speed.table(_newest(speed.RESULTS))},
    "results/related-work.md": {"related table": lambda: verdicts.recorded(_MAIN)},
    "reference/families.md": {"families table": lambda: families.table(_newest(families.RESULTS))},
    "reference/command-line.md": {"commands": command_line},
    "reference/python.md": {"python": python},
    "reference/methods/index.md": {"methods": methods},
    "reference/methods/components.md": {"components": components},
    "reference/limits.md": {"limits": limits},
    "reference/http-and-mcp.md": {"endpoints": endpoints},
}
_CHARTS: dict[str, Callable[[], str]] = {
    "results/perplexity.svg": lambda: charts.perplexity_over_sparsity(_runs(_MAIN)),
    "results/related-work.svg": lambda: charts.claims(
        verdicts.verdicts(verdicts.NAMES, records.everything(accuracy.RESULTS, records.RESULTS), _MAIN)
    ),
    "results/speed.svg": lambda: charts.seconds(_newest(speed.RESULTS)),
}

if __name__ == "__main__":
    main()

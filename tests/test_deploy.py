"""The files for hosts of one's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[1] / "assets" / "deploy"


def uncounted() -> list[str]:
    """What nginx lets through without counting it, as regular expressions."""
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    inside = re.search(r"map \$uri \$counted \{(.*?)\n  \}", text, re.DOTALL)
    assert inside and "default $binary_remote_addr;" in inside.group(1)
    assert "limit_req_zone $counted " in text
    return re.findall(r'^\s*~(\S+) "";', inside.group(1), re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("/assets/Index-BvgenQIA.js", False),
        ("/static/js/iframeResizer.contentWindow.min.js", False),
        ("/studio/plotly.js", False),
        ("/studio/studio.css", False),
        ("/", True),
        ("/gradio_api/queue/join", True),
        ("/studio/runs/20261127-010203-abcd/live", True),
        ("/studio/runs/20261127-010203-abcd/layers.csv", True),
    ],
)
def test_the_proxy_counts_what_the_app_answers_and_not_the_files_of_the_page(path, counts):
    """One visit asks for some ninety files at once: counted, a second visitor of an office got no page."""
    assert any(re.search(pattern, path) for pattern in uncounted()) is not counts

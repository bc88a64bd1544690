"""What the page's process has imported once it has answered: nothing slow that only workers or rare charts need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SLOW = {
    "torch",
    "transformers",
    "datasets",
    "scipy",
    "pandas",
    "matplotlib",
    "sklearn",
    "ray",
    "spaces",
    "lm_eval",
}
_FIRST_ANSWER = """
import json, sys, urllib.request
from apt_core.base.policy import HostPolicy
from apt_core.ui.launch import open_studio, served
studio = open_studio(HostPolicy(public=sys.argv[1] == "public", api=True))
with served(studio, "127.0.0.1", 0) as address:
    with urllib.request.urlopen(address) as page:
        assert page.status == 200 and b"APT Studio" in page.read()
    ask = urllib.request.Request(f"{address}gradio_api/call/models", b'{"data": []}')
    ask.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(ask) as asked:
        event = json.loads(asked.read())["event_id"]
    with urllib.request.urlopen(f"{address}gradio_api/call/models/{event}") as answer:
        assert b"event: complete" in answer.read()
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
studio.close()
"""


@pytest.mark.parametrize("whose", ["home", "public"])
def test_the_first_answer_and_the_first_event_need_no_slow_library(tmp_path, whose):
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_ANSWER, whose],
        cwd=ROOT,
        env=os.environ | {"APT_DATA": str(tmp_path / "runs"), "APT_WARM": "0"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert SLOW & set(json.loads(done.stdout.splitlines()[-1])) == set()

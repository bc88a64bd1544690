"""Putting the repository up as a Space, and testing one: against a Hub and a Space on 127.0.0.1."""

from __future__ import annotations

import base64
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import util
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from apt_core import __version__

ROOT = Path(__file__).resolve().parent.parent
_spec = util.spec_from_file_location("space", ROOT / "assets" / "deploy" / "space.py")
space = util.module_from_spec(_spec)
_spec.loader.exec_module(space)

NAME = "me/studio"


class FakeSpaces:
    """The Hub's addresses for Spaces, and the Space itself under the same address."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.created: list[dict] = []
        self.stages = ["BUILDING", "RUNNING"]
        self.health = {"status": "ok", "version": __version__}
        self.metrics, self.from_elsewhere = 404, 403
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.api = HfApi(endpoint=self.url, token="hf_test")

    def get(self, path: str) -> tuple[int, object]:
        if path.endswith("/runtime"):
            stage = self.stages.pop(0) if len(self.stages) > 1 else self.stages[0]
            return 200, {"stage": stage, "hardware": {"current": "cpu-basic", "requested": "cpu-basic"}}
        if path.startswith(f"/api/spaces/{NAME}/tree"):
            return 200, [{"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in self.files]
        if path.startswith(f"/api/spaces/{NAME}"):
            return 200, {
                "id": NAME,
                "sha": "0" * 40,
                "siblings": [{"rfilename": name} for name in self.files],
            }
        return {"/health": (200, self.health), "/": (200, "APT Studio")}.get(path, (self.metrics, ""))

    def post(self, path: str, body: bytes) -> tuple[int, object]:
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return 200, {"url": f"{self.url}/spaces/{NAME}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if "/preupload/" in path:
            asked = json.loads(body)["files"]
            return 200, {
                "files": [
                    {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked
                ]
            }
        if "/commit/" in path:
            for line in body.decode().splitlines():
                self._commit(json.loads(line))
            return 200, {
                "commitUrl": f"{self.url}/spaces/{NAME}/commit/{'1' * 40}",
                "commitOid": "1" * 40,
                "success": True,
            }
        return self.from_elsewhere, ""

    def _commit(self, line: dict) -> None:
        value = line["value"]
        if line["key"] == "file":
            self.files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "deletedFile":
            del self.files[value["path"]]


def _handler(fake: FakeSpaces) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self._answer(*fake.get(self.path.split("?")[0]))

        def do_POST(self):
            self._answer(*fake.post(self.path, self.rfile.read(int(self.headers.get("Content-Length", 0)))))

        def _answer(self, status, said):
            raw = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    return Handler


@pytest.fixture
def fake():
    made = FakeSpaces()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def small_repository(tmp_path, monkeypatch):
    names = ("app.py", "README.md", "apt_core/__init__.py", "assets/ui/studio.js")
    for name in (*names, "tests/test_x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(space, "files", lambda _root: list(names))
    return tmp_path


def test_the_app_and_nothing_else_goes_up():
    names = space.files()
    assert {"app.py", "README.md", "requirements.txt", "apt_core/__init__.py"} <= set(names)
    assert any(name.startswith("assets/models/") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", ".ci", ".git"))]


def test_what_is_up_is_what_is_here(fake, small_repository):
    fake.files = {".gitattributes": b"", "old.py": b"gone", "app.py": b"before"}
    assert space.put(fake.api, NAME, small_repository, hardware="cpu-basic") == 4
    assert set(fake.files) == {
        ".gitattributes",
        "app.py",
        "README.md",
        "apt_core/__init__.py",
        "assets/ui/studio.js",
    }
    assert fake.files["app.py"] == b"app.py"
    (created,) = fake.created
    assert created["type"] == "space" and created["sdk"] == "gradio" and created["hardware"] == "cpu-basic"


def test_a_space_that_is_well_is_told_line_by_line(fake, monkeypatch):
    monkeypatch.setattr(space, "_EVERY_SECONDS", 0.01)
    said = list(space.check(fake.api, NAME, fake.url))
    assert said[0] == "It runs on cpu-basic." and len(said) == 5


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"stages": ["BUILDING", "BUILD_ERROR"]}, "does not run: BUILD_ERROR"),
        ({"stages": ["BUILDING"]}, "still BUILDING after"),
        ({"health": {"status": "unwell", "why": "x"}}, "/health answers 200"),
        ({"health": {"status": "ok", "version": "0.0.1"}}, "It is version 0.0.1"),
        ({"metrics": 200}, "/metrics is open to everybody"),
        ({"from_elsewhere": 200}, "another site may change things"),
    ],
)
def test_what_does_not_hold_is_a_sentence(fake, monkeypatch, fault, words):
    monkeypatch.setattr(space, "_EVERY_SECONDS", 0.01)
    for name, value in fault.items():
        setattr(fake, name, value)
    with pytest.raises(space.Trouble, match=words):
        list(space.check(fake.api, NAME, fake.url, seconds=0.3))


@pytest.mark.parametrize("name", ["", "studio", "me/studio/x", "me /studio", "--x/y z"])
def test_a_name_that_is_none_is_refused_before_anything_is_asked(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["space.py"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(space, "put", lambda *_, **__: pytest.fail("asked"))
        assert space.main(["put", "--", name]) == 2
    assert "is no Space" in capsys.readouterr().err


@pytest.mark.slow
def test_the_real_page_is_what_the_check_asks_for(fake, tmp_path):
    sys.path.append(str(ROOT / "tests" / "browser"))
    from browser_app import App

    app = App(tmp_path, APT_PUBLIC="1").start()
    try:
        fake.stages = ["RUNNING"]
        assert len(list(space.check(fake.api, NAME, app.address, seconds=5))) == 5
    finally:
        app.stop()

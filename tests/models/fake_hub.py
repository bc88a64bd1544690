"""A Hub on 127.0.0.1: the addresses that huggingface_hub asks for models and datasets, and their refusals."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "a" * 40


class FakeHub:
    """Repositories are dicts of file name -> bytes; `gated` ones answer 401 with the Hub's own code."""

    def __init__(self) -> None:
        self.forget()
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    def forget(self) -> None:
        """Empty and well behaved again."""
        self.models: dict[str, dict[str, bytes]] = {}
        self.datasets: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.accounts: dict[str, str] = {}  # token -> name; each has accepted the terms of every gated model
        self.ggufs: dict[str, dict[str, object]] = {}  # what the Hub has read in a repository's GGUF
        self.downloads_of: dict[str, int] = {}
        self.tags: dict[str, list[str]] = {}  # beside "safetensors"
        self.pipeline: dict[str, str] = {}  # "text-generation" where none is given
        self.licenses: dict[str, object] = {}  # of model cards; "mit" where none is given
        self.read_only = False  # tokens may not write
        self.private: set[str] = set()  # repositories that were made so
        self.commit_seconds = 0.0  # that a commit takes
        self.silent = False  # takes the call and never answers
        self.status: int | None = None  # of every answer
        self.pause = 0.0  # seconds between pieces of 64 KiB
        self.breaks_after: int | None = None  # bytes of every answer, after which the line is cut
        self.asked: list[str] = []  # "GET /path" of every request
        self.ranges: list[tuple[str, str]] = []  # (file, Range) of every GET that asked for a part
        self.tokens: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, repo: str, folder: Path, **more: bytes) -> None:
        """A model repository with the files of `folder`."""
        self.models[repo] = {file.name: file.read_bytes() for file in folder.iterdir()} | more

    def downloads(self) -> list[str]:
        """File names that were fetched (not only asked about), in order."""
        got = (path for path in self.asked if path.startswith("GET ") and "/resolve/" in path)
        return [path.rsplit("/", 1)[-1] for path in got]

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_POST(self) -> None:
            self.sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            hub.tokens.add(self.headers.get("Authorization"))
            if hub.silent:
                hub.ended.wait(30)
                return
            if hub.status is not None:
                self._refuse(hub.status, "", "")
                return
            parts = path.strip("/").split("/")
            if parts == ["api", "whoami-v2"]:
                self._whoami()
            elif parts == ["api", "validate-yaml"]:
                self._json({"errors": [], "warnings": []})
            elif parts == ["api", "repos", "create"]:
                self._create(json.loads(self.sent))
            elif parts[:2] == ["api", "models"] and parts[4:5] in (["preupload"], ["commit"]):
                self._write("/".join(parts[2:4]), parts[4])
            elif parts == ["api", "models"]:
                self._json(_listed(hub, parse_qs(urlsplit(self.path).query)))
            elif parts[0] == "api" and parts[1] in ("models", "datasets"):
                self._api(getattr(hub, parts[1]), "/".join(parts[2:4]), parts[4:])
            elif "resolve" in parts:
                self._resolve(parts, body)
            else:
                self._refuse(404, "EntryNotFound", "no such page")

        def _api(self, repos: dict, repo: str, rest: list[str]) -> None:
            if repo not in repos:
                self._refuse(401, "RepoNotFound", "Invalid username or password.")
                return
            if len(rest) > 1 and rest[1] not in ("main", COMMIT):
                self._refuse(404, "RevisionNotFound", "no such revision")
                return
            files = repos[repo]
            match rest[:1]:
                case [] | ["revision"]:
                    siblings = [{"rfilename": name, "size": len(raw)} for name, raw in files.items()]
                    card = {"license": hub.licenses.get(repo, "mit")}
                    gated = "manual" if repo in hub.gated else False
                    self._json(
                        {"id": repo, "sha": COMMIT, "siblings": siblings, "cardData": card, "tags": []}
                        | {"gated": gated, "private": False}
                        | ({"gguf": hub.ggufs[repo]} if repo in hub.ggufs else {})
                    )
                case ["tree"] | ["paths-info"]:
                    self._json([_entry(name, raw) for name, raw in files.items()])
                case _:
                    self._refuse(404, "EntryNotFound", "no such call")

        def _create(self, wanted: dict) -> None:
            """Only in the namespace of the token, and never twice."""
            name = hub.accounts.get(self._token())
            owner = wanted.get("organization") or name
            repo = f"{owner}/{wanted['name']}"
            if name is None or owner != name or hub.read_only:
                self._refuse(403, "", "You don't have the rights to create a model under this namespace")
            elif repo in hub.models:
                self._json({"error": "You already created this model repo", "url": f"{hub.url}/{repo}"}, 409)
            else:
                hub.models[repo] = {}
                hub.private |= {repo} if wanted.get("visibility") == "private" else set()
                self._json({"url": f"{hub.url}/{repo}", "name": repo})

        def _write(self, repo: str, step: str) -> None:
            """Every file comes in the commit itself, none through LFS."""
            if hub.accounts.get(self._token()) != repo.split("/")[0] or repo not in hub.models:
                self._refuse(403, "", "not yours")
            elif step == "preupload":
                named = [file["path"] for file in json.loads(self.sent)["files"]]
                self._json({"files": [_regular(name) for name in named]})
            else:
                hub.ended.wait(hub.commit_seconds)
                lines = [json.loads(line) for line in self.sent.splitlines()]
                for one in (line["value"] for line in lines if line["key"] == "file"):
                    hub.models[repo][one["path"]] = base64.b64decode(one["content"])
                self._json({"commitUrl": f"{hub.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT})

        def _resolve(self, parts: list[str], body: bool) -> None:
            kind, parts = (hub.datasets, parts[1:]) if parts[0] == "datasets" else (hub.models, parts)
            repo, name = "/".join(parts[:2]), "/".join(parts[4:])
            if repo in hub.gated and self._token() not in hub.accounts:
                self._refuse(401, "GatedRepo", f"Access to model {repo} is restricted.")
            elif repo not in kind:
                self._refuse(401, "RepoNotFound", "Repository not found")
            elif name not in kind[repo]:
                self._refuse(404, "EntryNotFound", "Entry not found")
            else:
                self._file(kind[repo][name], body)

        def _token(self) -> str:
            return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

        def _whoami(self) -> None:
            if name := hub.accounts.get(self._token()):
                self._json({"type": "user", "name": name, "fullname": name})
            else:
                self._refuse(401, "", "Invalid username or password.")

        def _file(self, raw: bytes, body: bool) -> None:
            wanted = self.headers.get("Range")
            start, _, stop = wanted.removeprefix("bytes=").partition("-") if wanted else ("0", "", "")
            part = raw[int(start) : int(stop) + 1 if stop else None]
            self.send_response(206 if wanted else 200)
            self.send_header("ETag", f'"{hashlib.sha256(raw).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Accept-Ranges", "bytes")
            if wanted:
                last = int(start) + len(part) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(raw)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if body and wanted:
                hub.ranges.append((unquote(urlsplit(self.path).path).rsplit("/", 1)[-1], wanted))
            if body:
                self._send(part)

        def _send(self, raw: bytes) -> None:
            try:
                if hub.breaks_after is not None and len(raw) > hub.breaks_after:
                    raw, self.close_connection = raw[: hub.breaks_after], True
                for start in range(0, len(raw), 65536):
                    self.wfile.write(raw[start : start + 65536])
                    time.sleep(hub.pause)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the other side went away, as some tests want

        def _json(self, value: object, status: int = 200) -> None:
            raw = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def _refuse(self, status: int, code: str, message: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", message)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


def _listed(hub: FakeHub, query: dict[str, list[str]]) -> list[dict[str, object]]:
    """The answer to a search, as the Hub gives it to `list_models` with `expand`."""
    (word,), (kind,) = query.get("search", [""]), query.get("pipeline_tag", ["text-generation"])
    found = [
        repo
        for repo, files in hub.models.items()
        if word.lower() in repo.lower() and hub.pipeline.get(repo, "text-generation") == kind
        if any(name.endswith(".safetensors") for name in files)
        or "safetensors" not in query.get("filter", [])
    ]
    found.sort(key=lambda repo: -hub.downloads_of.get(repo, 0))
    return [_line(hub, repo) for repo in found[: int(query.get("limit", ["1000"])[0])]]


def _line(hub: FakeHub, repo: str) -> dict[str, object]:
    license = hub.licenses.get(repo, "mit")
    return {
        "id": repo,
        "downloads": hub.downloads_of.get(repo, 0),
        "gated": "manual" if repo in hub.gated else False,
        "safetensors": {
            "parameters": {"F32": _parameters(hub.models[repo])},
            "total": _parameters(hub.models[repo]),
        },
        "cardData": {"license": license},
        "tags": ["safetensors", *hub.tags.get(repo, [])],
    }


def _parameters(files: dict[str, bytes]) -> int:
    """Of a float32 model, near enough."""
    return sum(len(raw) for name, raw in files.items() if name.endswith(".safetensors")) // 4


def _regular(name: str) -> dict[str, object]:
    return {"path": name, "uploadMode": "regular", "shouldIgnore": False, "oid": None}


def _entry(name: str, raw: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(raw), "oid": hashlib.sha1(raw).hexdigest()}


# What the client process runs: one call after another, each answered by a JSON line.
CLIENT = """
import json, os, sys, time
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 65536  # so that a small file takes many pieces, as a large one does
from apt_core.base.errors import PruneError
from apt_core.base.model_bounds import ModelBounds
from apt_core.base.policy import HostPolicy
from apt_core.models.fetch import network
network.DEADLINE_SECONDS = 2.0  # test_network holds the real one to 5 s
from apt_core.models.catalogue.facts import model_facts
from apt_core.models.fetch.sources import resolve
from apt_core.jobs import ModelRef

def call(what, id, revision=None, stop_after=None, token=None, shared=False, most_bytes=None, blocks=None):
    ref = ModelRef.model_construct(id=id, revision=revision)
    reports = []
    def report(*values):
        values, files = values[:4], values[4:]
        reports.append(values + tuple([file.model_dump() for file in each] for each in files))
        if stop_after is not None and values[1] > stop_after:
            raise KeyboardInterrupt
    from apt_core.models.fetch import hub_token
    hub_token.keep(token)
    policy = HostPolicy.from_environment()
    if what == "search":
        from apt_core.models.fetch.hub_search import search
        return {"found": [found._asdict() for found in search(id, policy)]}
    if what == "resolve":
        bounds = ModelBounds(n_bytes=most_bytes, blocks=blocks)
        return {"path": str(resolve(ref, report, policy, bounds)), "reports": reports}
    if what == "facts":
        return {"facts": model_facts(ref, policy).model_dump(), "torch": "torch" in sys.modules}
    from apt_core.texts.sources import read
    return read(id, what, policy=policy, shared=shared)._asdict()

outside = dict(os.environ)
for line in sys.stdin:
    start = time.monotonic()
    asked = json.loads(line)
    os.environ.clear()
    os.environ.update(outside | asked.pop("environment"))
    try:
        answer = call(**asked)
    except KeyboardInterrupt:
        answer = {"error": "stopped"}
    except PruneError as error:
        answer = {"error": error.kind, "message": str(error)}
    print(json.dumps(answer | {"seconds": time.monotonic() - start}), flush=True)
"""


class Client:
    """A process whose Hub is `endpoint`: huggingface_hub reads that once, when it is imported."""

    def __init__(self, endpoint: str, **environment: str):
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"} | environment,
        )

    def ask(self, *calls: dict, **environment: str) -> list[dict]:
        """The answers to these calls, made with the caller's cache and these variables."""
        return [self._ask(call, {"APT_CACHE": os.environ["APT_CACHE"]} | environment) for call in calls]

    def _ask(self, call: dict, environment: dict[str, str]) -> dict:
        self._process.stdin.write(json.dumps(call | {"environment": environment}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the client process died; its last words are on stderr"
        return json.loads(answer)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()

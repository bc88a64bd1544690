"""A package index on 127.0.0.1 that can misbehave: PEP 691 JSON or HTML, ranges, drops, wrong bytes."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from apt_core.models.catalogue.pins import Pinned

CONTENT = bytes(range(256)) * 8192  # 2 MiB
PIN = Pinned(
    project="some-data",
    version="1.0",
    filename="some_data-1.0-py3-none-any.whl",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    member="some_data/file",
)


class FakeIndex:
    """Serves PIN. The attributes below are set by tests while it runs."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.html = False
        self.ranges = True
        self.drop_after: list[int] = []  # bytes after which the next answers break off, one each
        self.status = 200  # of the file
        self.page_status = 200
        self.page_seconds = 0.0
        self.pause = 0.0  # seconds between pieces of 64 KiB
        self.asked: list[str | None] = []  # the Range header of every request for the file
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/simple"

    def __enter__(self) -> FakeIndex:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(index: FakeIndex) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            if self.path == f"/simple/{PIN.project}/":
                self._page()
            elif self.path.startswith("/files/"):
                self._file()
            else:
                self.send_error(404)

        def _page(self) -> None:
            if index.page_seconds:
                index.ended.wait(index.page_seconds)
                return
            link = f"../../files/{PIN.filename}"
            if index.html:
                kind, body = "text/html", f'<a href="{link}#sha256={PIN.sha256}">{PIN.filename}</a>'
            else:
                kind = "application/vnd.pypi.simple.v1+json"
                body = json.dumps({"files": [{"filename": PIN.filename, "url": link, "hashes": {}}]})
            self.send_response(index.page_status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def _file(self) -> None:
            wanted = self.headers.get("Range")
            index.asked.append(wanted)
            if index.status != 200:
                self.send_error(index.status)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and index.ranges else 0
            body = index.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self._send(body)

        def _send(self, body: bytes) -> None:
            end = index.drop_after.pop(0) if index.drop_after else len(body)
            try:
                for piece in range(0, min(end, len(body)), 65536):
                    self.wfile.write(body[piece : min(piece + 65536, end)])
                    time.sleep(index.pause)
            except (BrokenPipeError, ConnectionResetError):
                return  # the other side went away, as some tests want
            if end < len(body):
                self.wfile.flush()
                self.connection.close()

    return Handler

"""What a ZeroGPU Space has beside the `spaces` package: its device service, and a GPU that is there only within calls.

The package itself is the real one, but for what it does inside torch: it asks the service for each call, forks, and
pickles what goes in and out. Instead of starting CUDA the fork notes that it would have.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


class DeviceService:
    """asked: what came, as (path, parameters). left: seconds of the visitor's quota, None without limit."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.left: float | None = None

    def calls(self) -> list[dict[str, str]]:
        return [parameters for path, parameters in self.asked if path == "/schedule"]

    def answer(self, path: str, parameters: dict[str, str]) -> tuple[int, dict[str, object]]:
        self.asked.append((path, parameters))
        if path != "/schedule":
            return 200, {}
        if self.left is not None and float(parameters["durationSeconds"]) > self.left:
            return 429, {"left": int(self.left), "wait": 3600}
        return 200, {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "none", "allowToken": "allowed"}


@contextmanager
def device_service() -> Iterator[tuple[DeviceService, dict[str, str]]]:
    """The service on a free port of this machine, and the environment of a Space that uses it."""
    service = DeviceService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            status, said = service.answer(parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()})
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield service, {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": address}
    finally:
        server.shutdown()
        server.server_close()


def without_cuda() -> None:
    """Before `spaces` is imported, in the process of the page: what the package does to a torch that is built for CUDA,
    for one that is not. Outside a call CUDA seems to be there and cannot be used; a call would start it."""
    import torch

    seems, real = torch.cuda.is_available, torch.cuda.init
    patching = ModuleType("spaces.zero.torch.patching")

    def not_here() -> None:
        raise RuntimeError("CUDA was started outside a call")

    def patch() -> None:
        torch.cuda.is_available, torch.cuda.init = (lambda: True), not_here

    def unpatch() -> None:
        torch.cuda.is_available, torch.cuda.init = seems, real

    def would_start(nvidia_uuid: str) -> None:
        print(f"GPU {nvidia_uuid} for process {os.getpid()}", flush=True)

    does = {
        "patch": patch,
        "unpatch": unpatch,
        "init": would_start,
        "enter_mode": lambda: None,
        "pack": lambda: 0,
        "size": lambda: 0,
        "move": lambda callback=None: None,
        "is_in_bad_fork": lambda: False,
    }
    for name, function in does.items():
        setattr(patching, name, function)
    sys.modules[patching.__name__] = patching


if __name__ == "__main__":
    without_cuda()
    from app import main

    main(sys.argv[1:])

"""The page, launched: for `apt-studio`, for `python app.py` and on Spaces."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import threading
from importlib.util import find_spec
from pathlib import Path

from apt_core.base.paths import cache_dir

# Before gradio is imported: no telemetry, and uploads in our own cache.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("GRADIO_TEMP_DIR", str(cache_dir() / "gradio"))

from apt_core.base import logs
from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.ui.admin.guard import Access
from apt_core.ui.door.health import Metrics
from apt_core.ui.door.origins import Names
from apt_core.ui.door.quiet_log import Once
from apt_core.ui.door.request_ids import request_now
from apt_core.ui.gpu_calls import open_calls
from apt_core.ui.port import of_environment as port_of_environment
from apt_core.ui.serving import served
from apt_core.ui.studio import open_studio

_BURST = 20  # lines of one place in the code, a minute
_OWNERS_TOKENS = (
    "APT_ADMIN_TOKEN",
    "APT_METRICS",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HUGGINGFACE_HUB_TOKEN",
)


def launch(port: int | None = None) -> None:
    """Open the page and serve it until Ctrl-C or SIGTERM. `port`: GRADIO_SERVER_PORT or 7860 when None.

    Raises BadInput when the port is not to be had.
    """
    port = port or port_of_environment()
    use_mounted_volume()
    logs.set_up(os.environ, logging.WARNING, request_now, Once(burst=_BURST))
    policy = HostPolicy.from_environment()
    access, metrics = Access.of(policy, os.environ), Metrics.of(policy, os.environ)
    if policy.public:
        forget_owners_token()
    if policy.framed:
        trust_the_proxy()
    if policy.mcp and find_spec("mcp") is None:
        raise BadInput("APT_MCP=1 needs one more package: pip install '.[mcp]', or leave it unset.")
    studio = open_studio(policy)
    try:
        names, call = Names.of(studio.policy, os.environ), open_calls(studio)
        with served(
            studio, server_name(policy), port, names, access=access, metrics=metrics, call=call
        ) as address:
            _collect_from_here()
            print(f"APT Studio is at {address}", flush=True)
            _wait_for_the_end()
    except OSError as error:
        raise BadInput(
            f"The page cannot be served on port {port}: {error}. Choose another with --port."
        ) from error
    finally:
        studio.close()


def use_mounted_volume(volume: Path = Path("/data")) -> None:
    """On a Space with a volume or bucket at /data: runs and models there, where a restart finds them again; the index
    of the runs on the disk of this machine. What the environment says already stays."""
    mounted = os.environ.get("SYSTEM") == "spaces" and volume.is_mount() and os.access(volume, os.W_OK)
    if not mounted or "APT_DATA" in os.environ:
        return
    os.environ.setdefault("APT_INDEX", str(cache_dir() / "index"))
    os.environ.setdefault("APT_CACHE", str(volume / "apt-studio" / "cache"))
    os.environ["APT_DATA"] = str(volume / "apt-studio" / "runs")


def forget_owners_token() -> None:
    """What strangers ask for, and the processes that do it, know nothing of the owner's account."""
    for name in _OWNERS_TOKENS:
        os.environ.pop(name, None)


def trust_the_proxy() -> None:
    """On Spaces everybody comes through Hugging Face's proxy, which says from where; limits by address need that."""
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "*")


def server_name(policy: HostPolicy) -> str:
    """The address to listen on: this machine alone, unless the host is public or GRADIO_SERVER_NAME says more."""
    return os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if policy.public else "127.0.0.1")


def _collect_from_here() -> None:
    """Modules and the page stay for as long as the process: garbage is looked for in what comes after them."""
    gc.collect()
    gc.freeze()
    gc.enable()


def _wait_for_the_end() -> None:
    """Until Ctrl-C, or SIGTERM, by which containers are stopped."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with contextlib.suppress(KeyboardInterrupt):
        while not ended.wait(1.0):
            pass

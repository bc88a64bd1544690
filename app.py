"""APT Studio: `python app.py` opens the page on http://127.0.0.1:7860. Also the entry point on Spaces."""

from __future__ import annotations

import argparse
import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported: no telemetry
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

from apt_core.base.paths import cache_dir
from apt_core.base.policy import HostPolicy

os.environ.setdefault("GRADIO_TEMP_DIR", str(cache_dir() / "gradio"))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default_port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    parser.add_argument("--port", type=int, default=default_port, help="default: GRADIO_SERVER_PORT or 7860")
    port = parser.parse_args(arguments).port

    from apt_core.ui.page import build, launch_options
    from apt_core.ui.studio import open_studio

    studio = open_studio(HostPolicy.from_environment())
    page = build(studio)
    try:
        _, address, _ = page.launch(**launch_options(studio, port), prevent_thread_lock=True)
        print(f"APT Studio is at {address}", flush=True)
        page.block_thread()
    except OSError as error:
        raise SystemExit(
            f"The page cannot be served on port {port}: {error}. Choose another with --port."
        ) from error
    finally:
        studio.close()


if __name__ == "__main__":
    main()

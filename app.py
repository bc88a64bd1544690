"""APT Studio: `python app.py` opens the page on http://127.0.0.1:7860. Also the entry point on Spaces."""

from __future__ import annotations

import argparse

from apt_core.base.errors import BadInput
from apt_core.cli import page


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", help="default: GRADIO_SERVER_PORT or 7860")
    try:
        page.run(parser.parse_args(arguments))
    except BadInput as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()

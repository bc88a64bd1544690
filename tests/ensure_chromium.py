"""Make sure the browser tests have a browser: find Chromium, or install Debian's when the machine allows it.

Playwright's own browser download is not used: `executable_path` points to what is found here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_chromium() -> str | None:
    """The browser's path; `APT_CHROMIUM` overrides the search."""
    return os.environ.get("APT_CHROMIUM") or next(
        (found for name in NAMES if (found := shutil.which(name))), None
    )


def install_chromium() -> str | None:
    """Install Debian's package when this is Debian and we are root; None when that is not possible."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return None
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "chromium"]):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"Installing Chromium failed: {done.stderr.strip()[-300:]}", file=sys.stderr)
            return None
    return find_chromium()


def main() -> None:
    found = find_chromium() or install_chromium()
    if found:
        print(f"Browser tests use {found}")
    else:
        print(
            "No Chromium here and it could not be installed: the browser tests will be skipped. "
            "Install it (Debian: apt-get install chromium) or set APT_CHROMIUM to its path."
        )


if __name__ == "__main__":
    main()

"""Puts this repository up as a Space of Hugging Face, and tests one that is up.

    make space SPACE=owner/name              # creates it where it is not there, and uploads what the app needs
    make check-space SPACE=owner/name        # waits until it runs, then asks it as a visitor and as a stranger would

Needs a token that may write to that account: `hf auth login`, or HF_TOKEN.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, RepositoryNotFoundError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from apt_core import __version__  # noqa: E402 - of this repository, installed or not

_NEEDED = ("app.py", "README.md", "LICENSE", "requirements.txt", "apt_core/", "assets/", "docs/")
_BROKEN = ("BUILD_ERROR", "CONFIG_ERROR", "RUNTIME_ERROR", "NO_APP_FILE", "DELETING", "STOPPED", "PAUSED")
_EVERY_SECONDS = 5.0


class Trouble(Exception):
    """What does not work, in one sentence."""


def files(root: Path = ROOT) -> list[str]:
    """What git knows and the app needs: no tests, no benchmarks, nothing that lies about."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True, text=True)
    return [
        name for name in listed.stdout.split("\0") if name.startswith(_NEEDED) and (root / name).is_file()
    ]


def put(api: HfApi, space: str, root: Path = ROOT, hardware: str | None = None, private: bool = False) -> int:
    """Create the Space where it is not there yet, and make its files those of the repository; returns their number."""
    api.create_repo(
        space,
        repo_type="space",
        space_sdk="gradio",
        space_hardware=hardware,  # type: ignore[arg-type]
        private=private,
        exist_ok=True,
    )
    ours = files(root)
    there = set(api.list_repo_files(space, repo_type="space")) - {".gitattributes"}
    changes: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(name, root / name) for name in ours),
        *(CommitOperationDelete(name) for name in sorted(there - set(ours))),
    ]
    api.create_commit(space, changes, repo_type="space", commit_message=f"APT Studio {__version__}")
    return len(ours)


def check(api: HfApi, space: str, address: str | None = None, seconds: float = 900.0) -> Iterator[str]:
    """Wait until the Space runs, then ask it; yields a line for everything that holds. Raises Trouble."""
    yield f"It runs on {_running(api, space, seconds)}."
    owner, name = space.lower().split("/")
    subdomain = re.sub(r"[^a-z0-9]+", "-", f"{owner}-{name}")
    base = address or f"https://{subdomain}.hf.space"
    with httpx.Client(base_url=base, timeout=30, follow_redirects=True) as visitor:
        for holds in _ASKED:
            yield holds(visitor)


def _running(api: HfApi, space: str, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while True:
        runtime = api.get_space_runtime(space)
        if runtime.stage == "RUNNING":
            return str(runtime.hardware or "hardware that it does not name")
        if runtime.stage in _BROKEN:
            raise Trouble(f"The Space does not run: {runtime.stage}; its page shows the log.")
        if time.monotonic() > deadline:
            raise Trouble(
                f"The Space is still {runtime.stage} after {seconds:.0f} s; its page shows the log."
            )
        time.sleep(min(_EVERY_SECONDS, max(deadline - time.monotonic(), 0.05)))


def _is_well(visitor: httpx.Client) -> str:
    answer = visitor.get("/health")
    said = answer.json() if answer.is_success else {}
    if said.get("status") != "ok":
        raise Trouble(f"/health answers {answer.status_code}: {answer.text[:200]}")
    if said.get("version") != __version__:
        raise Trouble(
            f"It is version {said.get('version')}, and this is {__version__}; run `make space` again."
        )
    return f"/health says that version {__version__} is well."


def _opens(visitor: httpx.Client) -> str:
    begun = time.monotonic()
    answer = visitor.get("/")
    if not answer.is_success or "APT Studio" not in answer.text:
        raise Trouble(f"The page answers {answer.status_code} without its title.")
    return f"The page answers in {time.monotonic() - begun:.1f} s."


def _keeps_its_figures(visitor: httpx.Client) -> str:
    if (status := visitor.get("/metrics").status_code) == 200:
        raise Trouble("/metrics is open to everybody; unset APT_PUBLIC, or set APT_METRICS to a token.")
    return f"/metrics is closed to visitors ({status})."


def _refuses_other_sites(visitor: httpx.Client) -> str:
    answer = visitor.post("/gradio_api/queue/join", json={}, headers={"Origin": "https://elsewhere.example"})
    if answer.status_code != 403:
        raise Trouble(
            f"A page of another site may change things here: its request was answered {answer.status_code}."
        )
    return "A request that another site's page makes is refused."


_ASKED: tuple[Callable[[httpx.Client], str], ...] = (
    _is_well,
    _opens,
    _keeps_its_figures,
    _refuses_other_sites,
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("put", "check"))
    parser.add_argument("space", metavar="OWNER/NAME")
    parser.add_argument(
        "--hardware",
        help="such as cpu-basic, t4-small or zero-a10g (ZeroGPU); by itself the account's free one",
    )
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--address", help="where it answers, if not under hf.space")
    parser.add_argument("--seconds", type=float, default=900.0, help="that it may take to build and start")
    given = parser.parse_args(arguments)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", given.space):
        print(
            f"{given.space[:80]!r} is no Space; give its owner and name, such as SPACE=me/apt-studio.",
            file=sys.stderr,
        )
        return 2
    try:
        if given.what == "put":
            number = put(HfApi(), given.space, hardware=given.hardware, private=given.private)
            print(f"{number} files are up; it is being built: https://huggingface.co/spaces/{given.space}")
        else:
            for line in check(HfApi(), given.space, given.address, given.seconds):
                print(line)
    except Trouble as error:
        print(error, file=sys.stderr)
        return 1
    except RepositoryNotFoundError:
        print(f"There is no Space {given.space}, or your token may not see it.", file=sys.stderr)
        return 1
    except LocalTokenNotFoundError:
        print("There is no token of the Hub here; run `hf auth login`, or set HF_TOKEN.", file=sys.stderr)
        return 1
    except HfHubHTTPError as error:
        print(f"The Hub refuses: {error.server_message or error}", file=sys.stderr)
        return 1
    except httpx.HTTPError as error:
        print(f"The Space or the Hub does not answer ({type(error).__name__}).", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The worker of `benchmarks.many_runs`: the log of a recorded run, at once. The standard library alone, so that a
thousand of them start in a minute; what is measured is the page, not them.
"""

import json
import os
import sys
import time
from pathlib import Path

TEMPLATE = "recorded.json"  # in the data folder: the events of a run, as its log has them


def main(run: str) -> None:
    root = Path(os.environ["APT_DATA"])
    log = root / "runs" / run / "events.jsonl"
    first = log.read_bytes().count(b"\n")
    events = json.loads((root / TEMPLATE).read_text("utf-8"))
    lines = [
        json.dumps(
            {"seq": first + number, "version": 2, "at": time.time(), "event": event}, separators=(",", ":")
        )
        for number, event in enumerate(events)
    ]
    with log.open("a") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[-1])

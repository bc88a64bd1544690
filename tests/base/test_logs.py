"""One line for each thing that is said, for people or for machines, and files that do not grow for ever."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading

import pytest

from apt_core.base import logs
from apt_core.base.errors import BadInput
from apt_core.base.logs import JsonLines, PlainLines


def record(message="%d of %d", *args, error=None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("apt_core.runs", logging.WARNING, "file.py", 7, message, args, info)
    made.created = 1_764_547_200.25
    return made


def raised() -> ValueError:
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        return error


def test_a_line_is_one_json_object():
    said = JsonLines(lambda: "abc12345").format(record("%d of %d\nlayers", 3, 7, error=raised()))
    assert "\n" not in said
    found = json.loads(said)
    trace = found.pop("exception")
    assert trace.startswith("Traceback") and "ValueError: a\nb" in trace
    assert found == {
        "time": "2025-12-01T00:00:00.250Z",
        "level": "WARNING",
        "logger": "apt_core.runs",
        "message": "3 of 7\nlayers",
        "request": "abc12345",
    }


def test_outside_a_request_none_is_named():
    assert "request" not in json.loads(JsonLines(lambda: "").format(record("quiet")))
    assert PlainLines(lambda: "").format(record("quiet")).endswith("WARNING apt_core.runs: quiet")
    assert PlainLines(lambda: "abc12345").format(record("loud")).endswith("loud [abc12345]")


def test_a_message_without_end_is_cut():
    assert len(JsonLines(lambda: "").format(record("x" * 1_000_000))) < 20_000


def said_by(environment: dict[str, str]) -> str:
    """What a process of its own writes: here a test's own handlers are in the way."""
    code = (
        "import logging, sys; from apt_core.base import logs\n"
        f"logs.set_up({environment!r}, logging.WARNING)\n"
        "logging.getLogger('apt_core.x').info('ours')\n"
        "logging.getLogger('httpx').info('theirs')\n"
        "logging.getLogger('httpx').warning('trouble')\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr


def test_the_process_is_set_up_as_apt_log_says():
    lines = [json.loads(line)["message"] for line in said_by({"APT_LOG": "json"}).splitlines()]
    assert lines == ["ours", "trouble"]
    assert [line.rpartition(": ")[2] for line in said_by({}).splitlines()] == ["ours", "trouble"]


PRINTING = """
import logging, sys, threading, traceback, warnings
from apt_core.base import logs
logs.set_up({"APT_LOG": sys.argv[1]}, logging.WARNING)
def fails(what):
    raise ValueError(what)
try:
    try:
        fails("first")
    except ValueError:
        fails("second")
except ValueError:
    traceback.print_exc()
    traceback.print_exc(file=open(sys.argv[2], "w"))
warnings.warn("beware")
thread = threading.Thread(target=fails, args=("thread",))
thread.start()
thread.join()
class Closing:
    def __del__(self):
        fails("unraisable")
Closing()
fails("at last")
"""


def test_what_would_be_printed_past_the_log_is_an_object_of_it_as_well(tmp_path):
    """Gradio prints the tracebacks of its events."""
    command = [sys.executable, "-c", PRINTING, "json", str(tmp_path / "own")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("__main__", "ERROR"),
        ("py.warnings", "WARNING"),
        *[("uncaught", "ERROR")] * 3,
    ]
    assert "beware" in lines.pop(1)["message"]
    assert [line["message"] for line in lines] == [
        f"ValueError: {what}" for what in ("second", "thread", "unraisable", "at last")
    ]
    assert "ValueError: first" in lines[0]["exception"] and "During handling" in lines[0]["exception"]
    assert (tmp_path / "own").read_text().startswith("Traceback")


def test_people_read_tracebacks_as_ever(tmp_path):
    command = [sys.executable, "-c", PRINTING, "text", str(tmp_path / "own")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr.count("Traceback (most recent call last)") == 5


def test_another_kind_of_log_is_a_sentence():
    with pytest.raises(BadInput, match="APT_LOG is 'xml'; set it to json or text"):
        logs.set_up({"APT_LOG": "xml"})


def test_a_log_that_has_grown_keeps_its_end_once(tmp_path):
    file = tmp_path / "worker.log"
    with logs.begin(file) as child:
        child.write(b"old " * 500 + b"the end")
        child.flush()
        logs.bound(file, most=1000)
        assert file.stat().st_size == 0
        kept = (tmp_path / "worker.log.1").read_bytes()
        assert len(kept) == 1000 and kept.endswith(b"old the end")
        child.write(b"new")
        child.flush()
        assert file.read_bytes() == b"new", "the child goes on at the end, not where it was"
        child.write(b"er " * 500)
        child.flush()
        logs.bound(file, most=1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker.log", "worker.log.1"]
    assert (tmp_path / "worker.log.1").stat().st_size == 1000


def test_two_threads_that_find_it_grown_keep_its_end_once(tmp_path, monkeypatch):
    """The second kept the end of the log that the first had just emptied: nothing."""
    file, keep, emptied = tmp_path / "reader.log", logs._keep_end, threading.Event()
    second = threading.Thread(target=logs.bound, args=(file, 1000))

    def keep_slowly(*of):
        if threading.current_thread() is second:
            emptied.wait(timeout=5)
        else:
            second.start()
            second.join(timeout=0.3)  # it sees the same size, unless it has to wait
        keep(*of)

    monkeypatch.setattr(logs, "_keep_end", keep_slowly)
    file.write_bytes(b"x" * 1500)
    logs.bound(file, most=1000)
    emptied.set()
    second.join()
    assert file.stat().st_size == 0
    assert (tmp_path / "reader.log.1").stat().st_size == 1000


def test_a_short_log_and_none_are_left_alone(tmp_path):
    logs.bound(tmp_path / "none")
    (tmp_path / "short").write_bytes(b"x" * 1000)
    logs.bound(tmp_path / "short", most=1000)
    assert [path.name for path in tmp_path.iterdir()] == ["short"]


FLOOD = """
import logging, traceback
from apt_core.base import logs
from apt_core.ui.door.quiet_log import Once
logs.set_up({}, logging.WARNING, lambda: "", Once(burst=20))
for number in range(500):
    try:
        raise ValueError(number)
    except ValueError:
        traceback.print_exc()
"""


def test_the_log_of_a_page_is_not_flooded_with_tracebacks_that_gradio_prints():
    """It prints one for each event that fails, and whoever sends such events filled the disk."""
    done = subprocess.run([sys.executable, "-c", FLOOD], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count("Traceback (most recent call last)") == 20

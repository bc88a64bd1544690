"""The pruned model as a GGUF file from the page: the bytes that the command line writes, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import shutil

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from ui_helpers import ANN, FakeLauncher, FakeReader, FakeStore, a_record, some_events

from apt_core.base.paths import cache_dir
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.checkpoint import headers, packed, to_gguf
from apt_core.runs.quotas import Quotas
from apt_core.ui import gguf_file, gguf_room, server
from apt_core.ui.acting import acting_for
from apt_core.ui.studio import Studio, open_studio
from apt_core.ui.views.downloads import downloads_block
from tests.ui.coroutines import to_its_end

RUN = "20261124-100000-abcd"
ADDRESS = f"/studio/runs/{RUN}/model.gguf"


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(CATALOGUE["tiny-llama"].folder, tmp_path / "checkpoint")


@pytest.fixture
def policy():
    return PRIVATE


@pytest.fixture
def studio(checkpoint, policy):
    store = FakeStore(checkpoint)
    store.put(RUN, some_events())
    return Studio(store, FakeLauncher(store), FakeReader(), {}, policy)


@pytest.fixture
def client(studio):
    with TestClient(Starlette(routes=server.routes(studio))) as client:
        yield client


def left_over():
    return list(cache_dir().glob("gguf-*"))


@pytest.mark.parametrize("stored", ["plain", "packed"])
def test_it_is_the_file_that_the_command_line_writes(client, studio, checkpoint, tmp_path, stored):
    record = studio.record(RUN)
    to_gguf.write(checkpoint, tmp_path / "expected.gguf", f"{studio.title(record)} {record.job.label}")
    if stored == "packed":
        packed.pack_in_place(checkpoint)
    answer = client.get(ADDRESS)
    assert answer.status_code == 200 and answer.content == (tmp_path / "expected.gguf").read_bytes()
    assert f"{RUN}.gguf" in answer.headers["content-disposition"] and left_over() == []


def test_what_has_no_such_form_is_one_sentence(client, checkpoint):
    config = checkpoint / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"opt"'))
    answer = client.get(ADDRESS)
    assert answer.status_code == 404 and answer.text.startswith(
        "Models of the type opt cannot be written as GGUF"
    )
    assert left_over() == []


def test_a_full_disk_is_one_sentence(client, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(to_gguf, "write", full)
    answer = client.get(ADDRESS)
    assert answer.status_code == 404 and "no room to write the GGUF file" in answer.text and left_over() == []


def test_one_at_a_time(client):
    with gguf_file._making:
        answer = client.get(ADDRESS)
    assert answer.status_code == 503 and "try again in a minute" in answer.text
    assert client.get(ADDRESS).status_code == 200


def test_no_more_than_two_are_on_their_way(client, studio):
    """Who asked again and again and read slowly had them lie there side by side."""
    record = studio.record(RUN)
    waiting = [
        gguf_file.gguf_response(studio, record, studio.checkpoint(RUN), "a.gguf")
        for _ in range(gguf_room.MOST_FILES)
    ]
    answer = client.get(ADDRESS)
    assert answer.status_code == 503 and "try again in a minute" in answer.text
    assert len(left_over()) == gguf_room.MOST_FILES
    assert TestClient(waiting[0]).get("/").status_code == 200
    assert client.get(ADDRESS).status_code == 200 and len(left_over()) == gguf_room.MOST_FILES - 1


@pytest.mark.parametrize("ends", ["time", "broken"])
def test_one_that_is_not_sent_to_its_end_goes(studio, monkeypatch, ends):
    monkeypatch.setattr(gguf_room, "SENT_WITHIN_SECONDS", 0.2)
    response = gguf_file.gguf_response(studio, studio.record(RUN), studio.checkpoint(RUN), "a.gguf")

    async def send(message):
        if ends == "broken":
            raise OSError("the connection is gone")
        await asyncio.sleep(60)

    async def receive():
        await asyncio.sleep(60)

    scope = {"type": "http", "method": "GET", "headers": [], "extensions": {}}
    with pytest.raises(OSError) if ends == "broken" else contextlib.nullcontext():
        to_its_end(asyncio.wait_for(response(scope, receive, send), 30))
    assert left_over() == []


def test_the_disk_keeps_a_reserve(client, checkpoint, monkeypatch):
    most = headers.unpacked_bytes(checkpoint) + 1_000_000_000
    monkeypatch.setattr(gguf_room, "free_bytes", lambda folder: most - 1)
    answer = client.get(ADDRESS)
    assert answer.status_code == 404 and "no room to write the GGUF file" in answer.text and left_over() == []
    monkeypatch.setattr(gguf_room, "free_bytes", lambda folder: most)
    assert client.get(ADDRESS).status_code == 200
    packed.pack_in_place(checkpoint)
    assert client.get(ADDRESS).status_code == 404, "it is unpacked beside the file"


def test_what_an_earlier_app_left_goes_when_the_next_one_opens(fresh_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    gone, here = 2**22 + 1, os.getpid()  # the first is above the largest process id there is
    for name in (f"gguf-{gone}-a", f"gguf-{here}-b", "gguf-1-of-another-app"):
        (fresh_cache / name).mkdir(parents=True)
    (fresh_cache / f"gguf-{here}-b" / "model.gguf").write_bytes(bytes(1000))
    open_studio(PRIVATE).close()
    assert [folder.name for folder in left_over()] == ["gguf-1-of-another-app"]


@pytest.mark.parametrize("policy", [STRICT])
def test_each_counts_as_a_look(studio, policy):
    studio.usage = type(studio.usage)(Quotas(looks_per_hour=1))
    record = studio.record(RUN)
    with acting_for(ANN):
        first, second = (
            gguf_file.gguf_response(studio, record, studio.checkpoint(RUN), "a.gguf") for _ in range(2)
        )
    assert (first.status_code, second.status_code) == (200, 429)
    assert b"you have 1 an hour" in second.body


@pytest.mark.parametrize("policy", [STRICT])
@pytest.mark.parametrize("stored", ["plain", "packed"])
def test_what_is_refused_counts_as_no_look(studio, checkpoint, policy, stored):
    """Llama 3.1 scales its rotary embedding: of the right architecture, and without a form all the same."""
    studio.usage = type(studio.usage)(Quotas(looks_per_hour=1))
    config = checkpoint / "config.json"
    plain, scaled = config.read_text(), json.loads(config.read_text())
    config.write_text(json.dumps(scaled | {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}))
    if stored == "packed":
        packed.pack_in_place(checkpoint)
    record = studio.record(RUN)

    def asked():
        with acting_for(ANN):
            return gguf_file.gguf_response(studio, record, checkpoint, "a.gguf")

    refused = asked()
    assert refused.status_code == 404 and b"scales its rotary embedding (llama3)" in refused.body
    config.write_text(plain)
    assert [asked().status_code, asked().status_code] == [200, 429]


def test_to_ask_for_its_headers_writes_nothing(client, monkeypatch):
    written = []
    monkeypatch.setattr(to_gguf, "write", lambda *args: written.append(args))
    answer = client.head(ADDRESS)
    assert answer.status_code == 405 and answer.headers["allow"] == "GET" and written == []


@pytest.mark.parametrize("gone", ["the folder", "its files"])
def test_weights_that_are_removed_meanwhile_are_one_sentence(client, studio, checkpoint, monkeypatch, gone):
    def evict(*args):
        shutil.rmtree(checkpoint)
        if gone == "its files":
            checkpoint.mkdir()

    monkeypatch.setattr(studio, "take_look", evict)
    there = studio.checkpoint
    monkeypatch.setattr(
        studio, "checkpoint", lambda run: there(run) if (checkpoint / "config.json").exists() else None
    )
    answer = client.get(ADDRESS)
    assert answer.status_code == 404 and answer.text == gguf_file._REMOVED and left_over() == []


def test_the_link_is_no_download_so_that_a_refusal_is_read():
    link = re.search("<a [^>]*model.gguf[^>]*>", str(downloads_block(a_record(), True)))[0]
    assert 'target="_blank"' in link and "download" not in link


def test_the_link_is_there_for_architectures_that_have_the_form():
    def shown(architecture, has_weights=True):
        record = a_record()
        model = record.model.model_copy(update={"architecture": architecture})
        return str(downloads_block(record.model_copy(update={"model": model}), has_weights))

    assert "Pruned model, GGUF" in shown("LlamaForCausalLM") and "model.gguf" in shown("Qwen2ForCausalLM")
    assert "gguf" not in shown("OPTForCausalLM") and "gguf" not in shown(
        "LlamaForCausalLM", has_weights=False
    )

"""Where things lie, and whether the page is for other people."""

import pytest
from ui_helpers import a_recipe, a_record

from apt_core.base.errors import BadInput
from apt_core.base.paths import absolute_environment, cache_dir, data_dir, is_public_host
from apt_core.events.records import summary
from apt_core.jobs import Prune
from apt_core.runs.processes import heavy_environment
from apt_core.ui.forms.form import read
from apt_core.ui.views.command import command


def model_of(name):
    """What the page makes of a model that somebody typed."""
    return read(Prune, {"model": name, "method.name": "apt"}).model.id


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("APT_PUBLIC", "SYSTEM", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_a_worker_in_another_folder_finds_the_same_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APT_CACHE", "here")
    monkeypatch.delenv("APT_DATA", raising=False)
    assert absolute_environment() == {"APT_CACHE": str(tmp_path / "here")}
    assert heavy_environment()["APT_CACHE"] == str(tmp_path / "here")
    assert data_dir() == tmp_path / "here" / "data"
    monkeypatch.delenv("APT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir().is_absolute() and not cache_dir().is_relative_to(tmp_path)


def test_a_relative_folder_is_absolute_in_the_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert model_of("owner/name") == str(tmp_path / "owner" / "name")
    assert model_of("someone/else") == "someone/else" and model_of("tiny-random-llama") == "tiny-random-llama"
    monkeypatch.setenv("APT_PUBLIC", "1")
    assert model_of("owner/name") == "owner/name"
    with pytest.raises(BadInput, match="switched off"):
        model_of("./owner")


@pytest.mark.parametrize(
    ("told", "public"),
    [
        ({}, False),
        ({"APT_PUBLIC": "1"}, True),
        ({"SYSTEM": "spaces"}, True),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, True),
        ({"GRADIO_SERVER_NAME": "studio.example.org"}, True),
        ({"GRADIO_SERVER_NAME": "0.0.0.0", "APT_PUBLIC": "0"}, False),
        ({"GRADIO_SERVER_NAME": "127.0.0.1"}, False),
        ({"GRADIO_SERVER_NAME": "::1"}, False),
        ({"GRADIO_SERVER_NAME": "localhost"}, False),
    ],
)
def test_who_can_reach_the_page_decides(monkeypatch, told, public):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert is_public_host() is public


def test_a_public_page_names_files_without_their_folders(monkeypatch):
    place = "/srv/data/uploads/0123456789ab-notes.txt"
    recipe = a_recipe(calibration={"text": place}, evaluation={"text": "hub:owner/name"})
    record = a_record(recipe=recipe)
    assert place in command(recipe) and summary(record)["checkpoint"] == "/somewhere/secret/checkpoint"
    monkeypatch.setenv("APT_PUBLIC", "1")
    assert "/srv" not in command(recipe) and "0123456789ab-notes.txt" in command(recipe)
    told = summary(record)
    assert told["checkpoint"] == "checkpoint" and told["evaluation"][0]["text"] == "hub:owner/name"
    assert "/srv" not in str(told) and "secret" not in str(told)

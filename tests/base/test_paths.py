"""Where things lie, and whether the page is for other people."""

import pytest
from ui_helpers import a_recipe, a_record

from apt_core.base.errors import BadInput
from apt_core.base.paths import absolute_environment, cache_dir, data_dir
from apt_core.base.policy import PRIVATE, STRICT, HostPolicy
from apt_core.events.records import summary
from apt_core.jobs import Prune
from apt_core.runs.processes import heavy_environment
from apt_core.ui.forms.controls import CONTROLS
from apt_core.ui.forms.fields import fields_of
from apt_core.ui.views.command import command
from apt_core.ui.views.tables import provenance


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


def named(model: str, policy: HostPolicy) -> str:
    """The model of the job that the page makes of what was typed."""
    [field] = (field for field in fields_of(Prune) if field.path == "model")
    return CONTROLS["model"].read(field, {"model": model}, policy)["id"]


def test_a_relative_folder_is_absolute_in_the_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert named("owner/name", PRIVATE) == str(tmp_path / "owner" / "name")
    assert named("someone/else", PRIVATE) == "someone/else"
    assert named("tiny-random-llama", PRIVATE) == "tiny-random-llama"
    assert named("owner/name", STRICT) == "owner/name"
    with pytest.raises(BadInput, match="switched off"):
        named("./owner", STRICT)


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
    assert HostPolicy.from_environment().public is public


def test_a_public_page_names_files_without_their_folders():
    place = "/srv/data/uploads/0123456789ab-notes.txt"
    recipe = a_recipe(calibration={"text": place}, evaluation={"text": "hub:owner/name"})
    record = a_record(recipe=recipe)
    assert place in command(recipe, policy=PRIVATE)
    assert summary(record, PRIVATE)["checkpoint"] == "/somewhere/secret/checkpoint"
    assert "/srv" not in command(recipe, policy=STRICT)
    assert "--calibration notes.txt" in command(
        recipe, policy=STRICT
    )  # the hash would let others use the text
    said = summary(record, STRICT)
    assert said["checkpoint"] == "checkpoint" and said["evaluation"][0]["text"] == "hub:owner/name"
    assert "/srv" not in str(said) and "secret" not in str(said) and "0123456789ab" not in str(said)
    assert "/srv" not in provenance(a_record(recipe=a_recipe(model={"id": "/srv/secret/model"})), STRICT)

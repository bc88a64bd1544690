"""The user's own pip configuration decides where wheels come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from apt_core.models.fetch import pip_settings


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """configured(text) writes the user's pip.conf, the only one there is."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(pip_settings.sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setattr(pip_settings.sys, "platform", "linux")
    monkeypatch.setattr(pip_settings, "_MACHINE_FILE", tmp_path / "machine.conf")
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "etc"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("PIP_CONFIG_FILE")

    def write(text: str, place: str = ".config/pip/pip.conf") -> None:
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return write


@pytest.mark.usefixtures("configured")
def test_without_any_configuration_it_is_pypi():
    settings = pip_settings.read()
    assert settings.indexes == ("https://pypi.org/simple",)
    assert settings.folders == () and settings.certificate is None and settings.proxy is None


def test_the_file_of_the_user_is_read(configured):
    configured(
        "[global]\n"
        "index-url = https://mirror.example/simple/\n"
        "extra-index-url =\n    https://a.example\n    https://b.example\n"
        "find-links = /srv/wheels\n    https://c.example/links.html\n"
        "cert = /etc/ca.pem\n"
        "proxy = http://proxy.example:3128\n"
    )
    settings = pip_settings.read()
    assert settings.indexes == ("https://mirror.example/simple", "https://a.example", "https://b.example")
    assert settings.folders == (Path("/srv/wheels"),)
    assert settings.certificate == "/etc/ca.pem" and settings.proxy == "http://proxy.example:3128"


def test_later_files_and_the_environment_are_stronger(configured, monkeypatch):
    configured("[global]\nindex-url = https://machine.example", "etc/pip/pip.conf")
    configured("[global]\nindex-url = https://user.example")
    assert pip_settings.read().indexes == ("https://user.example",)
    configured("[global]\nindex-url = https://here.example", "environment/pip.conf")
    assert pip_settings.read().indexes == ("https://here.example",)
    configured("[download]\nindex-url = https://command.example", "environment/pip.conf")
    assert pip_settings.read().indexes == ("https://command.example",)
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example/")
    assert pip_settings.read().indexes == ("https://variable.example",)


def test_a_file_named_by_pip_config_file_counts_and_devnull_switches_all_off(
    configured, tmp_path, monkeypatch
):
    configured("[global]\nindex-url = https://user.example")
    configured("[global]\nindex-url = https://chosen.example", "chosen.conf")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "chosen.conf"))
    assert pip_settings.read().indexes == ("https://chosen.example",)
    monkeypatch.setenv("PIP_CONFIG_FILE", pip_settings.os.devnull)
    assert pip_settings.read().indexes == ("https://pypi.org/simple",)


def test_no_index_means_none(configured):
    configured("[global]\nno-index = true\nfind-links = file:///srv/my%20wheels")
    settings = pip_settings.read()
    assert settings.indexes == () and settings.folders == (Path("/srv/my wheels"),)


def test_a_broken_file_is_no_reason_to_stop(configured):
    configured("this is no ini file")
    assert pip_settings.read().indexes == ("https://pypi.org/simple",)

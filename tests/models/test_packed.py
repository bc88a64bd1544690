"""Packed checkpoints: every bit comes back, the size is the formula's, and nothing hostile is opened."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from math import ceil, comb, log2

import pytest
import torch
from safetensors.torch import load_file, save_file

import apt_core
from apt_core.base.errors import BadInput, DiskFull, NotAModel
from apt_core.base.paths import ASSETS
from apt_core.models.catalogue.facts import folder_facts
from apt_core.models.checkpoint import headers
from apt_core.models.checkpoint.packed import pack_folder, plan_folder, unpack_folder
from apt_core.models.checkpoint.packed_tensor import Parts, pack, plan, unpack
from apt_core.models.checkpoint.packing import DESCRIPTION, VERSION, PackedTensor
from apt_core.models.load.loading import load, load_by_block, load_spread
from apt_core.models.load.weight_files import WeightFiles
from tests.families import tiny_families

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
WEIGHTS = "model.safetensors"


def bits(tensor):
    return tensor.contiguous().view(torch.int16 if tensor.element_size() == 2 else torch.int32)


def same(left, right) -> bool:
    """Bit for bit: -0.0 is not 0.0, and a NaN is that NaN."""
    return left.dtype == right.dtype and left.shape == right.shape and torch.equal(bits(left), bits(right))


def pruned(rows, width, share, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows * width, generator=generator)
    weight[torch.randperm(len(weight), generator=generator)[: int(share * len(weight))]] = 0
    return weight.reshape(rows, width).to(dtype)


def with_groups(rows, width, keep, of, dtype):
    weight = torch.randn(rows * width // of, of, generator=torch.Generator().manual_seed(1)) + 3
    return weight.scatter(1, weight.argsort(1)[:, : of - keep], 0).reshape(rows, width).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [0.2, 0.3, 0.5, 0.77, 1.0])
@pytest.mark.parametrize(("rows", "width"), [(64, 96), (33, 131), (1, 4097)])
def test_any_sparsity_comes_back_bit_for_bit_and_is_as_small_as_the_formula(rows, width, share, dtype):
    weight = pruned(rows, width, share, dtype)
    form = plan(weight)
    kept = int((weight != 0).sum())
    assert form is not None and form.of is None and form.kept == kept
    parts = pack(weight, form)
    assert sum(part.numel() * part.element_size() for part in parts) == form.n_bytes
    assert form.n_bytes == ceil(rows * width / 8) + kept * weight.element_size()
    assert same(unpack(parts, form, "w"), weight)


def test_half_of_bfloat16_is_nine_sixteenths():
    weight = pruned(256, 256, 0.5, torch.bfloat16)
    assert plan(weight).n_bytes / (2 * weight.numel()) == 0.5625


@pytest.mark.parametrize(("keep", "of"), [(2, 4), (1, 4), (4, 8), (2, 8), (8, 16), (1, 2), (3, 6)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_are_stored_by_the_number_of_their_pattern(keep, of, dtype):
    weight = with_groups(48, 2 * 240, keep, of, dtype)
    weight[0, :of] = 0  # a group may keep fewer
    form = plan(weight)
    assert (form.keep, form.of) == (keep, of)
    bits_each = ceil(log2(comb(of, keep)))
    groups = weight.numel() // of
    assert form.n_bytes == ceil(groups * bits_each / 8) + groups * keep * weight.element_size()
    assert same(unpack(pack(weight, form), form, "w"), weight)


def test_two_of_four_is_smaller_than_its_mask():
    weight = with_groups(64, 256, 2, 4, torch.bfloat16)
    assert plan(weight).n_bytes / (2 * weight.numel()) == 35 / 64 < 0.5625


@pytest.mark.parametrize("dtype", DTYPES)
def test_negative_zero_infinities_and_every_nan_are_values(dtype):
    weight = pruned(64, 64, 0.6, dtype)
    words = bits(weight).view(-1)
    size = 16 if weight.element_size() == 2 else 32
    words[:4] = torch.tensor([-(2 ** (size - 1)), -1, 2 ** (size - 1) - 1, 1], dtype=words.dtype)
    weight.view(-1)[4:6] = torch.tensor([float("inf"), float("-inf")])
    form = plan(weight)
    back = unpack(pack(weight, form), form, "w")
    assert same(back, weight) and torch.signbit(back.view(-1)[0]) and back.view(-1)[1].isnan()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(64, 64, dtype=torch.bfloat16),  # nothing is zero
        pruned(64, 64, 0.05, torch.bfloat16),  # the mask costs more than the zeros
        torch.zeros(64, dtype=torch.bfloat16),  # too small
        torch.zeros(64, 64, dtype=torch.int64),
        torch.zeros(64, 64, dtype=torch.float64),
        torch.tensor(0.0),
        torch.zeros(0, 4),
    ],
)
def test_what_does_not_profit_stays_as_it_is(tensor):
    assert plan(tensor) is None


@pytest.fixture
def half(tiny):
    """The tiny model without half of each matrix."""
    make_half(tiny / WEIGHTS)
    return tiny


def make_half(file):
    tensors = load_file(file)
    for seed, (name, weight) in enumerate(sorted(tensors.items())):
        if weight.dim() == 2:
            tensors[name] = weight.masked_fill(pruned(*weight.shape, 0.5, torch.float32, seed) == 0, 0)
    save_file(tensors, file, {"format": "pt"})


def test_a_folder_comes_back_byte_for_byte(half, tmp_path):
    done = pack_folder(half, tmp_path / "packed")
    assert done.after == sum(
        (tmp_path / "packed" / name).stat().st_size for name in (DESCRIPTION, "model.packed.safetensors")
    )
    assert done.after == plan_folder(half).n_bytes < 0.65 * done.before and done.forms["bits"] > 10
    assert unpack_folder(done.folder, tmp_path / "plain").after == done.before
    for file in half.iterdir():
        assert (tmp_path / "plain" / file.name).read_bytes() == file.read_bytes(), file.name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "plain", "tiny"]


def test_no_other_loader_takes_it_for_plain_or_compressed_weights(half, tmp_path):
    from transformers import AutoModelForCausalLM

    folder = pack_folder(half, tmp_path / "packed").folder
    assert (folder / "config.json").read_bytes() == (half / "config.json").read_bytes()
    assert not any("sparsity_config" in file.read_text() for file in folder.glob("*.json"))
    with pytest.raises(OSError, match="no file named model"):
        AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)


def test_parts_keep_their_names_and_get_their_index_back(shards, tmp_path):
    for file in shards.glob("*.safetensors"):
        make_half(file)
    folder = pack_folder(shards, tmp_path / "packed").folder
    assert not (folder / headers.INDEX).exists() and len(list(folder.glob("*.packed.safetensors"))) == 2
    plain = unpack_folder(folder, tmp_path / "plain").folder
    for file in shards.glob("*.safetensors"):
        assert (plain / file.name).read_bytes() == file.read_bytes()
    before, after = (json.loads((where / headers.INDEX).read_text()) for where in (shards, plain))
    assert before["weight_map"] == after["weight_map"]
    headers.check(plain)


@pytest.mark.parametrize("family", ["llama", "llama 3", "gpt2", "mamba", "mixtral", "gemma3_text"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_loader_sees_the_plain_model(family, dtype, tmp_path):
    """Tied weights, renamed and merged ones and transposed matrices among them."""
    plain = tiny_families.write(family, tmp_path / "plain")
    make_half(plain / WEIGHTS)
    packed = pack_folder(plain, tmp_path / "packed").folder
    tokens = torch.arange(24)[None]
    dense, _ = load(plain, dtype, "cpu")
    for loaded in (load(packed, dtype, "cpu")[0], load_spread(packed, dtype, {"": "cpu"})[0]):
        assert torch.equal(loaded(tokens).logits, dense(tokens).logits)
        assert loaded.generation_config.to_dict() == dense.generation_config.to_dict()
    assert apt_core.load_model(str(packed), "cpu", "float32")[0].num_parameters() == dense.num_parameters()


def test_what_is_known_of_a_packed_folder_is_what_is_known_of_the_plain_one(half, tmp_path):
    packed = pack_folder(half, tmp_path / "packed").folder
    plain, found = (folder_facts(folder, "m", source="local folder") for folder in (half, packed))
    lengths = plain.bytes_on_disk - found.bytes_on_disk  # of headers
    assert found.model_copy(update={"bytes_on_disk": plain.bytes_on_disk}) == plain and 0 < lengths < 8192


@pytest.mark.parametrize("by_block", [True, False])
def test_a_packed_model_is_pruned_like_the_plain_one(half, tmp_path, by_block):
    """Both ways to write a checkpoint start from a plain copy."""
    packed = pack_folder(half, tmp_path / "packed").folder
    made = []
    for name, folder in (("a", half), ("b", packed)):
        record = apt_core.prune(
            str(folder), "magnitude", "0.75", out=tmp_path / name / "checkpoint", device="cpu",
            weights="disk" if by_block else "memory",
            calibration={"text": "wiki-sample", "samples": 2, "length": 32},
            evaluation={"text": "wiki-sample", "samples": 2, "length": 32},
        )  # fmt: skip
        made.append((load_file(tmp_path / name / "checkpoint" / WEIGHTS), record.pruned.losses))
        assert not headers.is_packed(tmp_path / name / "checkpoint")
        assert [path.name for path in (tmp_path / name).iterdir()] == ["checkpoint"]
    (left, losses), (right, again) = made
    assert left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    assert losses == again


def test_blocks_are_read_from_disk_one_at_a_time(half, tmp_path):
    packed = pack_folder(half, tmp_path / "packed").folder
    _, _, store = load_by_block(packed, torch.float32, "cpu")
    expected = load_file(half / WEIGHTS)["model.layers.1.mlp.up_proj.weight"].float()
    with store.block(1) as block:
        assert same(block.mlp.up_proj.weight.data, expected)


def test_memory_is_that_of_the_largest_tensor(half, tmp_path, monkeypatch):
    """No call reads more than one tensor."""
    asked = []
    read = WeightFiles.read
    monkeypatch.setattr(
        WeightFiles, "read", lambda self, names: asked.append(len(names)) or read(self, names)
    )
    unpack_folder(pack_folder(half, tmp_path / "packed").folder, tmp_path / "plain")
    assert set(asked) == {1} and len(asked) == 2 * 20


def test_packing_twice_and_unpacking_what_is_plain_are_refused(half, tmp_path):
    packed = pack_folder(half, tmp_path / "packed").folder
    with pytest.raises(BadInput, match="packed already"):
        pack_folder(packed, tmp_path / "again")
    with pytest.raises(NotAModel, match="is not packed"):
        unpack_folder(half, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.fixture
def full_disk():
    """No file may grow beyond so many bytes: what a disk, or a quota, says when it is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda n_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_nothing(half, tmp_path, full_disk):
    packed = pack_folder(half, tmp_path / "packed").folder
    full_disk(60_000)
    with pytest.raises(DiskFull, match="no room left"):
        pack_folder(half, tmp_path / "again")
    with pytest.raises(DiskFull, match="no room left"):
        unpack_folder(packed, tmp_path / "plain")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "tiny"]


def test_too_little_room_is_said_before_anything_is_written(half, tmp_path, monkeypatch):
    monkeypatch.setattr("apt_core.models.fetch.disk.free_bytes", lambda folder: 1000)
    with pytest.raises(DiskFull, match="The packed model needs"):
        pack_folder(half, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def described(folder, change):
    file = folder / DESCRIPTION
    data = json.loads(file.read_text())
    tensors = data["files"][WEIGHTS]["tensors"]
    change(data, tensors, next(name for name in tensors if "up_proj" in name))
    file.write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data, tensors, name: data.update(version=VERSION + 1), "later version.*update the app"),
        (lambda data, tensors, name: data.update(format="other"), "cannot be trusted"),
        (lambda data, tensors, name: data.update(files={}), "cannot be trusted"),
        (lambda data, tensors, name: tensors[name].update(kept=7), "another size"),
        (lambda data, tensors, name: tensors[name].update(kept=-1), "cannot be trusted"),
        (lambda data, tensors, name: tensors[name].update(kept=10**12), "cannot be trusted"),
        (lambda data, tensors, name: tensors[name].update(shape=[10**9, 10**9]), "another size"),
        (lambda data, tensors, name: tensors[name].update(shape=[0, 4]), "holds no weights"),
        (lambda data, tensors, name: tensors[name].update(dtype="F8_E4M3"), "cannot be trusted"),
        (lambda data, tensors, name: tensors[name].update(keep=2, of=4), "another size|2 of every 4"),
        (lambda data, tensors, name: tensors[name].update(keep=4, of=2), "no pattern"),
        (lambda data, tensors, name: tensors[name].update(keep=2), "cannot be kept"),
        (lambda data, tensors, name: tensors.update(foreign=tensors[name]), "foreign:kept is missing"),
        (lambda data, tensors, name: data["files"].update({"../x.safetensors": {"tensors": {}}}), "names the file"),
        (lambda data, tensors, name: data["files"].update({"b.safetensors": {"tensors": {}}}), "b.packed"),
    ],
)  # fmt: skip
def test_a_description_that_does_not_fit_is_refused_by_its_headers_alone(half, tmp_path, change, words):
    folder = described(pack_folder(half, tmp_path / "packed").folder, change)
    for refuse in (headers.check, headers.read_tensors, lambda folder: unpack_folder(folder, tmp_path / "x")):
        with pytest.raises(NotAModel, match=words) as error:
            refuse(folder)
        assert "\n" not in str(error.value) and str(error.value).endswith(".")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("content", ["", "no json", "[]", "7", '{"version": "x"}'])
def test_a_broken_description_is_refused(half, tmp_path, content):
    folder = pack_folder(half, tmp_path / "packed").folder
    (folder / DESCRIPTION).write_text(content)
    with pytest.raises(NotAModel):
        headers.check(folder)


def test_packed_weights_cut_anywhere_are_refused(half, tmp_path):
    folder = pack_folder(half, tmp_path / "packed").folder
    file = folder / "model.packed.safetensors"
    whole = file.read_bytes()
    for left in (0, 8, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:left])
        with pytest.raises(NotAModel, match="cut short"):
            headers.check(folder)


FORM = PackedTensor(dtype="BF16", shape=(64, 64), kept=2048)
GROUPS = PackedTensor(dtype="BF16", shape=(64, 64), kept=2048, keep=2, of=4)
ODD = PackedTensor(dtype="BF16", shape=(3, 3), kept=8)


@pytest.mark.parametrize(
    ("form", "stored", "words"),
    [
        (FORM, torch.full((512,), 0xFF), "keeps 4096 weights, but 2048"),
        (FORM, torch.zeros(512), "keeps 0 weights"),
        (GROUPS, torch.full((384,), 0xFF), "pattern that 2:4 does not know"),  # number 7 of 6
        (ODD, torch.tensor([0x7F, 0x02]), "longer than its weights"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_before_memory_is_taken(monkeypatch, form, stored, words):
    monkeypatch.setattr("apt_core.models.checkpoint.stored_words._nothing_kept", None)
    parts = Parts(torch.ones(form.kept, dtype=torch.bfloat16), stored.to(torch.uint8))
    with pytest.raises(NotAModel, match=words):
        unpack(parts, form, "w")


def test_a_mask_changed_in_the_file_is_refused_when_it_is_read(half, tmp_path):
    folder = pack_folder(half, tmp_path / "packed").folder
    file = folder / "model.packed.safetensors"
    name = next(name for name in headers.read_header(file) if name.endswith("up_proj.weight:bits"))
    content = bytearray(file.read_bytes())
    content[headers.read_header(file)[name].offset] ^= 0x01
    file.write_bytes(content)
    headers.check(folder)
    with pytest.raises(NotAModel, match="its mask keeps"):
        load(folder, torch.float32, "cpu")


def test_a_plain_copy_beside_the_description_wins(half, tmp_path):
    folder = pack_folder(half, tmp_path / "packed").folder
    shutil.copy(ASSETS / "models" / "tiny-random-llama" / WEIGHTS, folder / WEIGHTS)
    assert not headers.is_packed(folder)
    weights = WeightFiles(folder)
    name = "model.layers.0.mlp.up_proj.weight"
    assert same(weights.read([name])[name], load_file(folder / WEIGHTS)[name])

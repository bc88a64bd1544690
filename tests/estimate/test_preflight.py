"""Estimates follow the work, learn from finished runs, and refuse in words what cannot work."""

from __future__ import annotations

import psutil
import pytest

from apt_core.base import cpu
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.estimate import free, preflight
from apt_core.estimate.machine import EPYC, XEON
from apt_core.estimate.preflight import estimate, packaged_rates
from apt_core.jobs import ModelRef, Prune, make_job
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.facts import ModelFacts, known_facts, model_facts
from apt_core.models.catalogue.shape import LlamaShape

GB = 1_000_000_000
SMOL = "smollm2-135m"


@pytest.fixture(autouse=True)
def roomy(tmp_path, monkeypatch):
    """A machine with 20 GB of free memory, 100 GB of free disk and an older CPU."""
    monkeypatch.setattr(cpu, "is_fast_in_bfloat16", lambda: False)
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("APT_PUBLIC", raising=False)
    monkeypatch.delenv("SYSTEM", raising=False)
    monkeypatch.setattr(preflight, "free_memory", lambda: 20 * GB)
    monkeypatch.setattr(preflight, "free_bytes", lambda _: 100 * GB)


def recipe_for(model: str = SMOL, method: object = "apt", **more: object) -> Prune:
    return make_job("prune", model={"id": model}, method=method, **more)


def needs(model: str = SMOL, method: object = "apt", **more: object):
    recipe = recipe_for(model, method, **more)
    return estimate(recipe, known_facts(CATALOGUE[model]), policy=PRIVATE)


def test_the_default_run_is_estimated_with_its_reasons():
    found = needs()
    assert found.refusal is None and not found.measured_here
    assert found.seconds == pytest.approx(sum(found.parts.values()))
    assert 20 < found.seconds < 400
    assert 0.7 * GB < found.memory_bytes < 3 * GB
    assert found.download_bytes == 92_871_040
    assert found.disk_bytes > 2 * 269_000_000
    assert all(sentence.endswith(".") for sentence in found.sentences)
    assert XEON.conditions in found.sentences[0]


@pytest.mark.parametrize(
    ("stage", "changes", "factor"),
    [
        ("forward", {"calibration": {"samples": 64}}, 2),
        ("statistics", {"calibration": {"length": 1024}}, 2),
        ("dense_eval", {"evaluation": {"samples": 24}}, 2),
        ("pruned_eval", {"evaluation": {"samples": 6}}, 0.5),
    ],
)
def test_work_that_doubles_takes_twice_as_long(stage, changes, factor):
    assert needs(**changes).parts[stage] == pytest.approx(factor * needs().parts[stage], rel=0.01)


_AMD = "vendor_id : AuthenticAMD\nflags : fpu avx512_bf16 avx512f\n"
_INTEL = "vendor_id : GenuineIntel\nflags : fpu avx512_bf16 avx512f{more}\n"


@pytest.mark.parametrize(
    ("told", "has", "fast"),
    [
        (_AMD, True, True),
        (_INTEL.format(more=" amx_bf16"), True, True),
        (_INTEL.format(more=""), True, False),
        (_AMD.replace("avx512_bf16", ""), False, False),
        (None, False, False),
    ],
)
def test_what_a_processor_is_likely_to_choose(told, has, fast, tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    if told is not None:
        file.write_text(f"processor : 0\n{told}\nprocessor : 1\n{told}\n")
    monkeypatch.undo()
    assert (cpu.has_bfloat16(file), cpu.is_fast_in_bfloat16(file)) == (has, fast)


def test_the_packaged_rates_are_those_of_the_likely_float_type(monkeypatch):
    monkeypatch.setattr(cpu, "is_fast_in_bfloat16", lambda: True)
    assert packaged_rates().machine == EPYC and packaged_rates("float32").machine == XEON
    guessed, given = needs(), needs(dtype="bfloat16")
    assert EPYC.conditions in guessed.sentences[0]
    assert (guessed.seconds, guessed.memory_bytes) == (given.seconds, given.memory_bytes)
    assert needs(dtype="float32").memory_bytes > guessed.memory_bytes


def test_memory_grows_with_the_calibration_set_and_with_the_float_type():
    large = needs(calibration={"samples": 1024, "length": 2048})
    states = 1024 * 2048 * 576 * 2
    assert large.memory_bytes - needs().memory_bytes > 0.8 * states
    assert needs(dtype="float32").memory_bytes > needs(dtype="bfloat16").memory_bytes + 134_515_008


@pytest.mark.parametrize(
    ("method", "dtype", "calibration", "evaluation", "measured"),
    [
        ("apt", "float32", (32, 512), (12, 1024), 0.978),
        ("apt", "float32", (16, 256), (8, 512), 0.975),
        ("apt", "bfloat16", (32, 512), (12, 1024), 0.778),
        ("apt-joint", "bfloat16", (32, 512), (12, 1024), 0.874),
    ],
)
def test_memory_is_what_runs_were_measured_to_take(method, dtype, calibration, evaluation, measured):
    """SmolLM2 on a 2-core EPYC: peak resident memory in GB."""
    sizes = [{"samples": samples, "length": length} for samples, length in (calibration, evaluation)]
    found = needs(method=method, calibration=sizes[0], evaluation=sizes[1], dtype=dtype)
    assert found.memory_bytes == pytest.approx(measured * GB, rel=0.1)


def test_a_large_vocabulary_takes_memory_for_its_tokenizer_and_its_head():
    """Gemma 3 270M, Quick, APT 2:4, bfloat16: 1.56 GB were measured (1.59 without a copy of the head), 0.3 of them the
    tokenizer."""
    sizes = {"calibration": {"samples": 16, "length": 256}, "evaluation": {"samples": 8, "length": 512}}
    assert needs("gemma-3-270m", dtype="bfloat16", **sizes).memory_bytes == pytest.approx(1.56 * GB, rel=0.1)


LARGE = {"samples": 128, "length": 2048}


def test_memory_counts_what_paused_forwards_hold():
    """Two hidden states of 576 values, what q, k and v gave (576 + 2 * 192) and the 576 in front of o_proj, or
    three and the 1536 in front of down_proj; the second is more."""
    once = 128 * 2048 * (3 * 576 + 1536) * 4
    grown = needs(calibration=LARGE | {"samples": 256}).memory_bytes - needs(calibration=LARGE).memory_bytes
    assert grown == once


def test_a_method_that_compares_with_the_dense_model_carries_everything_twice():
    apart = {"name": "apt-joint", "target": {"share": 0, "sensitivity": 0}, "allocation": "uniform"}
    alone, both = (needs(method=method, calibration=LARGE) for method in (apart, "apt-joint"))
    once = 128 * 2048 * (3 * 576 + 1536) * 4
    assert once < both.memory_bytes - alone.memory_bytes < 1.2 * once
    assert both.parts["forward"] == pytest.approx(2 * alone.parts["forward"])
    assert both.parts["statistics"] == pytest.approx(3 * alone.parts["statistics"])
    assert both.parts["gradients"] > 0 == alone.parts["gradients"]


# ---- where the weights are


def seven_billion(blocks: int = 32) -> ModelFacts:
    """The measures of Llama 2 7B, stored in half precision."""
    shape = LlamaShape(
        hidden=4096, mlp=11008, blocks=blocks, heads=32, kv_heads=32, head_dim=128,
        vocab=32000, context=4096, tied=False,
    )  # fmt: skip
    return ModelFacts(
        id="big", title="Big", source="Hub", parameters=shape.parameters, prunable=shape.prunable,
        blocks=blocks, hidden=4096, vocab=32000, context=4096, layers=shape.layers,
        bytes_on_disk=2 * shape.parameters, cached=True,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["apt", "apt-joint"])
def test_a_7b_model_can_be_pruned_on_a_machine_with_16_gb(method, dtype, monkeypatch):
    monkeypatch.setattr(preflight, "free_memory", lambda: 15 * GB)
    found = estimate(recipe_for("x/y", method, dtype=dtype), seven_billion())
    assert found.refusal is None and found.weights_in == "disk"
    assert found.parts["measure"] == 0
    assert any("read from disk block by block" in sentence for sentence in found.sentences)


def test_from_disk_the_depth_of_a_model_costs_disk_and_no_memory():
    recipe = recipe_for("x/y", "apt-joint", weights="disk")
    shallow, deep = (estimate(recipe, seven_billion(blocks)) for blocks in (8, 80))
    norms = 72 * 2 * 4096 * 4
    assert 0 <= deep.memory_bytes - shallow.memory_bytes <= norms
    more_weights = 2 * (seven_billion(80).parameters - seven_billion(8).parameters)
    assert deep.disk_bytes - shallow.disk_bytes == more_weights + 72 * 12 * 512 * 4096 * 4  # the gradients


def test_blocks_are_read_one_at_a_time_even_where_all_fit(monkeypatch):
    recipe = recipe_for("x/y", dtype="bfloat16")
    kept = recipe_for("x/y", dtype="bfloat16", weights="memory")
    monkeypatch.setattr(preflight, "free_memory", lambda: 60 * GB)
    by_block = estimate(recipe, seven_billion())
    assert by_block.weights_in == "by block" and by_block.parts["measure"] > 0
    whole = estimate(kept, seven_billion())
    assert whole.weights_in == "memory" and whole.memory_bytes > by_block.memory_bytes
    rearranged = seven_billion().model_copy(update={"by_block": False})
    assert estimate(recipe, rearranged).weights_in == "memory"
    monkeypatch.setattr(preflight, "free_memory", lambda: 12 * GB)
    assert "read the weights from disk" in estimate(kept, seven_billion()).refusal


def test_a_model_whose_size_is_not_known_has_no_numbers():
    facts = ModelFacts(id="owner/name", title="name", source="Hub", download_bytes=5)
    found = estimate(recipe_for("owner/name"), facts)
    assert found.seconds is None and found.memory_bytes is None and found.disk_bytes is None
    assert found.parts == {} and found.refusal is None
    assert "known only once it is downloaded" in found.sentences[0]


# ---- refusals


def refusal(model: str = SMOL, method: object = "apt", **more: object) -> str:
    reason = needs(model, method, **more).refusal
    assert reason is not None and reason.endswith(".") and "\n" not in reason
    return reason


def test_a_group_that_does_not_divide_a_width_names_the_layer():
    reason = refusal(pattern={"kind": "n:m", "keep": 2, "of": 5})
    assert "self_attn.q_proj has 576 inputs" in reason
    reason = refusal("tiny-random-llama", method="magnitude", pattern={"kind": "n:m", "keep": 1, "of": 11})
    assert "inputs" in reason


def test_windows_longer_than_the_model_was_made_for_are_refused():
    assert "8,192" in refusal(evaluation={"length": 16384})
    assert "Calibration windows" in refusal(
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0", calibration={"length": 4096}
    )


def test_a_text_with_fewer_bytes_than_one_window_is_refused(tmp_path):
    file = tmp_path / "short.txt"
    file.write_text("x" * 400)
    assert "400 bytes" in refusal(calibration={"text": str(file)})


def test_a_text_with_fewer_windows_than_asked_for_is_said():
    found = needs(evaluation={"text": "wiki-sample", "samples": 100})
    assert found.refusal is None
    assert any("about 13 of the 100 windows" in sentence for sentence in found.sentences)


def test_a_public_host_does_not_measure_its_own_files(tmp_path):
    file = tmp_path / "short.txt"
    file.write_text("x")
    recipe = recipe_for(calibration={"text": str(file)})
    assert estimate(recipe, known_facts(CATALOGUE[SMOL]), policy=PRIVATE).refusal is not None
    assert estimate(recipe, known_facts(CATALOGUE[SMOL]), policy=STRICT).refusal is None


def test_too_little_memory_is_refused_with_the_right_remedy(monkeypatch):
    monkeypatch.setattr(preflight, "free_memory", lambda: GB // 2)
    assert "a smaller model" in refusal()
    monkeypatch.setattr(preflight, "free_memory", lambda: 2 * GB)
    assert "fewer calibration samples" in refusal(calibration={"samples": 1024, "length": 2048})


def test_too_little_disk_is_refused(monkeypatch):
    monkeypatch.setattr(preflight, "free_bytes", lambda _: 300_000_000)
    assert "free some space" in refusal()


def test_a_model_without_linear_layers_is_refused():
    facts = ModelFacts(id="x", title="GPT-2", source="Hub", parameters=1000, prunable=0, cached=True)
    assert "no linear layers" in estimate(recipe_for("x/y"), facts).refusal


def test_a_sparsity_that_slipped_past_the_recipe_is_refused():
    recipe = recipe_for()
    bad = recipe.model_copy(update={"pattern": recipe.pattern.model_construct(keep=0, of=4)})
    assert "out of range" in estimate(bad, model_facts(ModelRef(id=SMOL))).refusal


def test_a_sparsity_of_zero_is_said():
    found = needs(pattern={"kind": "unstructured", "sparsity": 0})
    assert any("nothing is removed" in sentence for sentence in found.sentences)


def test_free_memory_respects_a_container(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 400\ninactive_file 200\n")
    assert min(free._container_rooms(tmp_path)) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert min(free._container_rooms(tmp_path)) > 1000 * GB


def test_the_limit_of_a_service_is_that_of_its_own_control_group_or_of_one_around_it(tmp_path):
    own, root = tmp_path / "cgroup", tmp_path / "groups"
    own.write_text("0::/system.slice/apt.service\n")
    (root / "system.slice" / "apt.service").mkdir(parents=True)
    groups = cpu.control_groups(root, own)
    assert groups == [root / "system.slice" / "apt.service", root / "system.slice", root]
    (groups[0] / "memory.max").write_text("max\n")
    (groups[1] / "memory.max").write_text("8000\n")
    (groups[2] / "memory.max").write_text("16000\n")
    assert min(free._container_limits(groups[1])) == 8000
    assert cpu.control_groups(root, tmp_path / "none") == [root]
    assert 0 < free.all_memory() <= psutil.virtual_memory().total


# ---- state space models


def test_a_scan_takes_memory_and_time_of_its_own():
    """What tiny-mamba was measured to take: APT 2:4, 32 x 512 and 8 x 512 tokens, float32."""
    sizes = {"calibration": {"samples": 32, "length": 512}, "evaluation": {"samples": 8, "length": 512}}
    found = needs("tiny-mamba", dtype="float32", **sizes)
    assert found.memory_bytes == pytest.approx(0.670 * GB, rel=0.1)
    without = known_facts(CATALOGUE["tiny-mamba"]).model_copy(update={"scan": 0, "scans": 0})
    blind = estimate(recipe_for("tiny-mamba", dtype="float32", **sizes), without)
    assert found.memory_bytes - blind.memory_bytes == pytest.approx(4096 * 8704 * 4, rel=0.1)  # of one batch
    assert found.parts["forward"] > 5 * blind.parts["forward"]


def test_the_catalogue_knows_the_scan_that_the_files_tell():
    from apt_core.models.catalogue.facts import folder_facts

    entry = CATALOGUE["tiny-mamba"]
    files = folder_facts(entry.folder, entry.name, source="bundled")
    known = known_facts(entry)
    assert (files.scan, files.scans) == (known.scan, known.scans) != (0, 0)
    assert (files.optional_weights, files.optional) == (known.optional_weights, known.optional)


def test_optional_layers_are_estimated_and_checked_when_asked_for():
    plain, every = needs("tiny-mamba"), needs("tiny-mamba", optional_layers=True)
    assert every.parts["solve"] > plain.parts["solve"]
    odd = {"pattern": {"kind": "n:m", "keep": 8, "of": 16}}
    assert needs("tiny-mamba", **odd).refusal is None
    assert "mixer.dt_proj has 8 inputs" in refusal("tiny-mamba", optional_layers=True, **odd)
    assert "This model has no optional layers." in needs(optional_layers=True).sentences
    assert "This model has no optional layers." not in every.sentences


def test_a_gguf_that_cannot_be_unpacked_here_is_refused_before_the_download(monkeypatch):
    packed = ModelFacts(
        id="bob/big:m-Q4_0.gguf",
        title="bob/big",
        source="Hub",
        parameters=70_000_000_000,
        dequantised_from="Q4_0",
    )
    monkeypatch.setattr(preflight, "free_memory", lambda: 64_000_000_000)
    refusal = estimate(recipe_for(), packed).refusal
    assert "Dequantising bob/big needs about 420 GB of memory, but 64.0 GB are free" in refusal
    assert estimate(recipe_for(), packed.model_copy(update={"parameters": 1_000_000_000})).refusal is None


@pytest.mark.parametrize("method", ["depth", "llm-pruner"])
def test_a_smaller_model_is_estimated_too(method):
    job = make_job("shrink", model={"id": SMOL}, method=method)
    found = estimate(job, known_facts(CATALOGUE[SMOL]), policy=PRIVATE)
    assert found.refusal is None and {"dense_eval", "forward", "save", "pruned_eval"} <= found.parts.keys()
    assert 0.5 * GB < found.memory_bytes < 3 * GB
    assert found.parts["pruned_eval"] == pytest.approx(0.75 * found.parts["dense_eval"], rel=0.01)


def test_more_passes_take_longer():
    def seconds(criterion):
        job = make_job("shrink", model={"id": SMOL}, method={"name": "depth", "criterion": criterion})
        found = estimate(job, known_facts(CATALOGUE[SMOL]), policy=PRIVATE)
        return found.seconds, any("calibration" in sentence for sentence in found.sentences)

    (last, _), (influence, _), (perplexity, _) = map(seconds, ("last", "influence", "perplexity"))
    assert last < influence < perplexity


def test_structures_that_do_not_come_out_even_are_refused_before():
    facts = known_facts(CATALOGUE[SMOL])
    few = {"kind": "unstructured", "sparsity": 0.01}
    job = make_job("shrink", model={"id": SMOL}, method="depth", pattern=few)
    assert "less than half of one of 30 blocks" in estimate(job, facts, policy=PRIVATE).refusal
    mamba = make_job("shrink", model={"id": "tiny-mamba"}, method="llm-pruner")
    refusal = estimate(mamba, known_facts(CATALOGUE["tiny-mamba"]), policy=PRIVATE).refusal
    assert "no attention heads or MLP channels" in refusal

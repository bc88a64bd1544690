"""One run, from recipe to checkpoint: `for event in run(recipe)` is the whole protocol.

    load -> dense perplexity -> for every block: statistics, prune its layers, propagate -> save
         -> pruned perplexity -> speed and size

Blocks are sequential: each is pruned with the inputs that the already pruned blocks produce.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from apt_core import families, hardware
from apt_core.budgets import removals
from apt_core.bypass import Bypass
from apt_core.dense_once import dense_perplexity_events
from apt_core.errors import NotPositiveDefinite
from apt_core.events import (
    Evaluated,
    Event,
    Finished,
    LayerPruned,
    Measured,
    ModelLoaded,
    PartPruned,
    Progress,
    Warned,
)
from apt_core.export import WholeCheckpoint, checkpoint_bytes, stored_dtype
from apt_core.families import Layer
from apt_core.hardware import choose_device, choose_dtype
from apt_core.maths.error import relative_error
from apt_core.maths.hessian import LayerStats
from apt_core.maths.pattern import is_exact, removed_count
from apt_core.methods import Method, Pruned
from apt_core.patterns import SemiStructured, Unstructured
from apt_core.perplexity import decoding_speed, perplexity_events
from apt_core.placement import Placement, Room, Sizes, placement, spread_sentence
from apt_core.rates import asked_tokens
from apt_core.recipe import Calibration, Recipe
from apt_core.seen import Seen, saw_few
from apt_core.sensitivity import Places, steps_of
from apt_core.streams import HiddenStates
from apt_core.weights import InMemory, Weights

if TYPE_CHECKING:
    from apt_core.models.lazy import BlocksOnDisk
    from apt_core.shards import ShardedCheckpoint

__all__ = ["choose_device", "choose_dtype", "run"]

_TOKENS_PER_BATCH = 4096
_MAX_DAMPENING = 1.0
_DRAW_FROM = 8


class _Clock:
    """Seconds per stage; a stage can be entered many times."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + perf_counter() - start

    @property
    def total(self) -> float:
        return perf_counter() - self._start


def run(recipe: Recipe, folder: Path | None = None) -> Iterator[Event]:
    """Prune as the recipe says, yielding an event for everything that happens.

    folder: where `checkpoint/` (the pruned safetensors) goes; a temporary folder when None, gone at the end.
    Closing the generator stops the run; nothing half-written stays behind.
    Raises PruneError for what the user can change; out-of-memory and OSErrors pass through.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="apt-run-") as temporary:
            for event in _run(recipe, Path(temporary)):
                kept = event.model_copy(update={"checkpoint": ""}) if isinstance(event, Finished) else event
                yield kept
    else:
        yield from _run(recipe, folder)


def _run(recipe: Recipe, folder: Path) -> Iterator[Event]:
    clock = _Clock()
    device = choose_device(recipe.device)
    dtype = choose_dtype(device, recipe.dtype)

    with clock("load"):
        dense_folder = yield from _fetch_model(recipe)
        model, tokenizer, on_disk = yield from _load(recipe, dense_folder, dtype, device)
        calibration, evaluation = yield from _windows(recipe, model, tokenizer)
    entry = next(model.parameters()).device  # where tokens enter
    blocks = families.decoder_blocks(model)
    layers = families.all_layers(blocks, recipe.optional_layers)
    _check_pattern(layers, recipe.pattern)
    if guessed := families.what_was_guessed(model, layers):
        yield Warned(message=guessed)
    yield _describe(recipe, model, dense_folder, blocks, layers, device, dtype)

    with clock("dense_eval"):
        dense = yield from dense_perplexity_events(
            model, evaluation, recipe.evaluation.text, dense_folder, on_disk
        )
        yield dense
    with clock("measure"):
        yield Progress(stage="measure", done=0, total=2, detail="dense decoding speed")
        yield Measured(
            side="dense",
            tokens_per_second=None if on_disk else decoding_speed(model),
            bytes_on_disk=checkpoint_bytes(dense_folder),
        )

    removed = 0
    with _checkpoint(model, layers, dense_folder, folder / "checkpoint", on_disk) as kept:
        with clock("prune"), _scratch(folder, on_disk, entry) as scratch:
            stored = stored_dtype(dense_folder) or dtype
            weights = on_disk or InMemory(blocks)
            for event in _prune_blocks(
                recipe, model, weights, layers, calibration.to(entry), stored, clock, kept, scratch
            ):
                removed += event.removed if isinstance(event, LayerPruned) else 0
                yield event
        with clock("save"):
            yield Progress(stage="save", done=0, total=1, detail="pruned weights")
            checkpoint = kept.finish()
    if on_disk:
        on_disk.read_from(checkpoint)
    with clock("pruned_eval"):
        pruned: Evaluated = yield from perplexity_events(
            model, evaluation, "pruned", recipe.evaluation.text, on_disk
        )
        yield pruned
    with clock("measure"):
        yield Progress(stage="measure", done=1, total=2, detail="pruned decoding speed")
        yield Measured(
            side="pruned",
            tokens_per_second=None if on_disk else decoding_speed(model),
            bytes_on_disk=checkpoint_bytes(checkpoint),
        )

    prunable = sum(layer.matrix.numel() for layer in layers)
    yield Finished(
        sparsity=removed / prunable,
        parameters=_parameters(model),
        removed=removed,
        seconds={stage: round(spent, 3) for stage, spent in (clock.seconds | {"total": clock.total}).items()},
        peak_rss_bytes=hardware.peak_rss_bytes(),
        checkpoint=str(checkpoint),
    )


def _fetch_model(recipe: Recipe) -> Generator[Event, None, Path]:
    from apt_core.background import with_progress
    from apt_core.models.gguf import unpacked_from
    from apt_core.models.sources import resolve

    folder = yield from with_progress(lambda progress: resolve(recipe.model, progress))
    if packing := unpacked_from(folder):
        yield Warned(
            message=f"The weights are those of a GGUF ({packing}), dequantised; what it had lost did not come back."
        )
    return folder


def _load(
    recipe: Recipe, folder: Path, dtype: torch.dtype, device: str
) -> Generator[Event, None, tuple[nn.Module, object, BlocksOnDisk | None]]:
    """(model, tokenizer, where its blocks' weights are when they are not in the model)."""
    from apt_core.models.loading import load, load_by_block, load_spread
    from apt_core.models.skeleton import NotByBlock

    placed = _placement(recipe, folder, dtype, device)
    hardware.give_back_freed_memory(thrifty=placed.kind == "disk")
    if placed.kind == "disk":
        try:
            model, tokenizer, on_disk = load_by_block(folder, dtype, placed.device)
        except NotByBlock as why:
            yield Warned(
                message=f"The blocks of this model cannot be read from disk one at a time ({why}), so the whole "
                "model is in memory."
            )
        else:
            yield Warned(
                message="The weights are read from disk block by block, so decoding speed is not measured."
            )
            return model, tokenizer, on_disk
    if placed.kind == "spread":
        model, tokenizer = load_spread(folder, dtype, placed.device_map)
        if said := spread_sentence(model):
            yield Warned(message=said)
        return model, tokenizer, None
    return *load(folder, dtype, placed.device), None


def _placement(recipe: Recipe, folder: Path, dtype: torch.dtype, device: str) -> Placement:
    """What the recipe says of where the weights are; where it leaves that open, what has room."""
    from apt_core.memory import peak_bytes, working_bytes
    from apt_core.models.facts import folder_facts
    from apt_core.models.skeleton import without_weights
    from apt_core.preflight import free_memory, is_known

    if recipe.weights == "disk":
        return Placement("disk", device, {})
    facts = folder_facts(folder, recipe.model.id, source="local folder")
    facts = facts.with_optional() if recipe.optional_layers else facts
    if not is_known(facts):
        return Placement("whole", device, {})
    name = str(dtype).removeprefix("torch.")
    sizes = Sizes(peak_bytes(recipe, facts, name, "memory"), working_bytes(recipe, facts, name))
    host_free = free_memory()
    rooms = [Room(*gpu) for gpu in hardware.gpus()] if device == "cuda" else [Room(device, host_free)]
    found = placement(sizes, rooms, host_free, lambda: without_weights(folder, dtype))
    if found.kind == "disk" and recipe.weights == "memory":
        return Placement("whole", device, {})
    return found


def _checkpoint(
    model: nn.Module, layers: list[Layer], dense_folder: Path, target: Path, on_disk: BlocksOnDisk | None
) -> AbstractContextManager[ShardedCheckpoint | WholeCheckpoint]:
    """Where pruned blocks go: to disk at once, or all together in the end."""
    if on_disk:
        from apt_core.shards import ShardedCheckpoint

        return ShardedCheckpoint(dense_folder, target, on_disk)
    pruned_weights = {id(layer.parameter) for layer in layers}
    changed = {name for name, weight in model.named_parameters() if id(weight) in pruned_weights}
    return WholeCheckpoint(model, dense_folder, target, changed)


@contextmanager
def _scratch(folder: Path, on_disk: BlocksOnDisk | None, device: torch.device) -> Iterator[Places | None]:
    """Where gradients wait when memory is short: beside the run, because /tmp can be memory as well.

    Its name is that of a checkpoint, so that what a killed run left there goes with its half-written weights.
    """
    if on_disk is None:
        yield None
        return
    from apt_core.scratch import ScratchTensors

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="checkpoint.scratch-", dir=folder) as place:
        yield Places(*(ScratchTensors(Path(place) / name, device) for name in Places._fields))


def _windows(
    recipe: Recipe, model: nn.Module, tokenizer: object
) -> Generator[Event, None, tuple[Tensor, Tensor]]:
    """Calibration and evaluation windows, [n, length] token ids each."""
    from apt_core.background import with_progress
    from apt_core.calibration import TEXTS, load_text, token_windows

    if recipe.calibration.text == recipe.evaluation.text and recipe.calibration.text not in TEXTS:
        yield Warned(
            message="Calibration and evaluation read the same text, so the pruned perplexity is flattered; "
            "choose another evaluation text."
        )
    opening, found = families.opening_token(model.config, tokenizer), []
    for wanted, split in ((recipe.calibration, "calibration"), (recipe.evaluation, "evaluation")):
        text = yield from with_progress(
            lambda progress, wanted=wanted, split=split: load_text(wanted.text, split, progress)
        )
        if split == "calibration":
            windows = _drawn(tokenizer, text, wanted, opening, recipe.seed)
        else:
            windows = token_windows(tokenizer, text, wanted.length, wanted.samples, opening)
        if len(windows) < wanted.samples:
            yield Warned(
                message=f"The {split} text gives {len(windows)} windows of {wanted.length} tokens, "
                f"not {wanted.samples}; all of them are used."
            )
        found.append(windows)
    return found[0], found[1]


def _drawn(tokenizer: object, text: str, wanted: Calibration, opening: int | None, seed: int) -> Tensor:
    """Seed 0 reads the first windows of the text; any other seed draws them from a stretch 8 times as long."""
    from apt_core.calibration import token_windows

    if seed == 0:
        return token_windows(tokenizer, text, wanted.length, wanted.samples, opening)
    pool = token_windows(tokenizer, text, wanted.length, wanted.samples * _DRAW_FROM, opening)
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[: wanted.samples].sort().values]


def _check_pattern(layers: list[Layer], pattern: Unstructured | SemiStructured) -> None:
    for layer in layers:
        pattern.check_width(layer.in_features, f"{layer.name} (block {layer.block})")


def _describe(
    recipe: Recipe,
    model: nn.Module,
    folder: Path,
    blocks: nn.ModuleList,
    layers: list[Layer],
    device: str,
    dtype: torch.dtype,
) -> ModelLoaded:
    from apt_core.models.catalogue import title_of
    from apt_core.models.facts import folder_facts

    return ModelLoaded(
        title=title_of(recipe.model.id),
        architecture=type(model).__name__,
        parameters=_parameters(model),
        prunable=sum(layer.matrix.numel() for layer in layers),
        blocks=len(blocks),
        layers=tuple(dict.fromkeys(layer.name for layer in layers)),
        total_layers=len(layers),
        scans=folder_facts(folder, recipe.model.id, source="local folder").scans,
        parts={layer.name: tuple(name for name, _ in layer.parts) for layer in layers if layer.parts},
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        hardware=hardware.hardware_name(device),
        versions=hardware.versions(),
    )


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())  # tied weights count once


def _prune_blocks(
    recipe: Recipe,
    model: nn.Module,
    weights: Weights,
    every_layer: list[Layer],
    windows: Tensor,
    stored: torch.dtype,
    clock: _Clock,
    kept: ShardedCheckpoint | WholeCheckpoint,
    scratch: Places | None,
) -> Iterator[Event]:
    """Statistics, pruning, propagation, block after block. `prune` covers all three."""
    blocks = weights.blocks
    batch = max(1, min(len(windows), _TOKENS_PER_BATCH // windows.shape[1]))
    yield Progress(stage="calibrate", done=0, total=len(blocks), detail="embedding the calibration text")
    with Bypass.of(model, weights).stepped_over():
        hidden = HiddenStates.at_first_block(model, blocks, windows, batch)
    if recipe.method.compares_with_dense:
        hidden.keep_dense_stream()
    if uses := families.later_uses(blocks, every_layer):
        yield Warned(message=_shared(uses))
        for _ in hidden.look_ahead(weights, uses):
            yield Progress(
                stage="calibrate", done=0, total=len(blocks), detail="later uses of shared weights"
            )
    if recipe.method.asks_the_loss:
        some = windows[: asked_tokens(recipe) // windows.shape[1]]
        steps = steps_of(len(blocks), *some.shape)
        asking = hidden.ask_the_loss(model, weights, every_layer, some, recipe.method.condense, scratch)
        for done, _ in enumerate(asking):
            yield Progress(stage="calibrate", done=done, total=steps, detail="gradients of the dense loss")
    patterns = _patterns(recipe, every_layer, hidden)
    for index in range(len(blocks)):
        layers = [layer for layer in every_layer if layer.block == index]
        seen, met = Seen(layers), set()
        with weights.block(index) as block:
            for arrival in hidden.through(block, index, layers):
                if arrival is None:
                    yield Progress(stage="prune", done=index, total=len(blocks), detail=f"block {index}")
                    continue
                met.add(arrival.layer.name)
                seen.add(arrival.layer, arrival.stats.tokens)
                pattern = patterns.get((index, arrival.layer.name), recipe.pattern)
                yield from _prune_layer(recipe.method, pattern, arrival.layer, arrival.stats, stored, clock)
            kept.write_block(index, block, {f"{name}.weight" for name in met})
        yield from seen.warnings()
    clock.seconds |= {"forward": hidden.forward_seconds, "statistics": hidden.statistics_seconds}
    if hidden.minded is not None:
        clock.seconds["gradients"] = hidden.gradient_seconds


def _shared(uses: dict[tuple[int, str], list[Layer]]) -> str:
    most = max(map(len, uses.values())) + 1
    return (
        f"{len(uses)} matrices are used at up to {most} depths; each is pruned once, where it is met first, with the "
        "inputs of all its uses, the later ones as the dense model has them."
    )


def _patterns(
    recipe: Recipe, layers: list[Layer], hidden: HiddenStates
) -> dict[tuple[int, str], Unstructured]:
    """(block, layer name) -> its own sparsity, where the method lets the loss share out the removals."""
    reach = recipe.method.budget_reach(recipe.pattern)
    if not reach or hidden.minded is None or recipe.pattern.sparsity == 0:
        return {}
    costs = hidden.minded.costs
    counts = dict(zip(costs, removals(list(costs.values()), recipe.pattern.sparsity, reach), strict=True))
    return {
        key: Unstructured(sparsity=counts[key] / costs[key].weights)
        for layer in layers
        if (key := (layer.block, layer.name)) in counts
    }


def _prune_layer(
    method: Method,
    pattern: Unstructured | SemiStructured,
    layer: Layer,
    stats: LayerStats,
    stored: torch.dtype,
    clock: _Clock,
) -> Iterator[Event]:
    """Prune one linear layer in place and report it by the common yardstick.

    stored: the dtype of the checkpoint; weights are rounded to it at once, so that the model that is
    measured is the one that is saved.
    """
    name = f"block {layer.block} {layer.name}"
    start = perf_counter()
    dense = layer.matrix.float().contiguous()  # GPT-2 stores it transposed; methods see rows as rows
    with clock("solve"):
        result = yield from _solve(method, dense, stats, pattern, name)
    kept = result.weight.to(stored).float()
    removed = int(result.pruned.sum())
    event = LayerPruned(
        block=layer.block,
        layer=layer.name,
        shape=(dense.shape[0], dense.shape[1]),
        removed=removed,
        sparsity=removed / dense.numel(),
        relative_error=relative_error(dense, kept, stats.gram),
        pattern_valid=removed == removed_count(dense.numel(), pattern.sparsity)
        and not bool(kept[result.pruned].any())
        and is_exact(kept, pattern),
        dampening=result.dampening,
        seconds=perf_counter() - start,
        parts=_parts(layer, dense, kept, result.pruned, stats),
        tokens=stats.tokens,
        few_tokens=saw_few(layer, stats.tokens),
    )
    layer.write_(kept)  # last: `dense` may be the weight itself
    yield event


def _parts(
    layer: Layer, dense: Tensor, kept: Tensor, pruned: Tensor, stats: LayerStats
) -> tuple[PartPruned, ...]:
    """The same figures for each of the projections that the layer's rows are."""
    found, first = [], 0
    for name, rows in layer.parts:
        part = slice(first, first + rows)
        removed = int(pruned[part].sum())
        found.append(
            PartPruned(
                name=name,
                rows=rows,
                removed=removed,
                sparsity=removed / dense[part].numel(),
                relative_error=relative_error(dense[part], kept[part], stats.gram),
            )
        )
        first += rows
    return tuple(found)


def _solve(
    method: Method, dense: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured, name: str
) -> Generator[Event, None, Pruned]:
    """The method's answer; where its statistics cannot be factorised, with more dampening and a warning."""
    while True:
        try:
            return method.prune(dense, stats, pattern)
        except NotPositiveDefinite:
            used = getattr(method, "dampening", _MAX_DAMPENING)
            if used * 10 > _MAX_DAMPENING:
                raise
            method = method.model_copy(update={"dampening": used * 10})
            yield Warned(
                message=f"{name}: the statistics could not be factorised at dampening {used:g}; used {used * 10:g}.",
                layer=name,
            )

"""`inspect`: what pruning did inside one layer of a run, or along the depth of its model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pydantic import ValidationError

from apt_core.base.errors import BadInput, one_sentence
from apt_core.base.words import number, percent
from apt_core.cli.looking import look
from apt_core.cli.output import table
from apt_core.measure.depth_values import BlocksAlone, Depth
from apt_core.measure.inside import words
from apt_core.measure.inside.questions import (
    BlocksAloneQuestion,
    DepthQuestion,
    LayerQuestion,
    RunQuestion,
)
from apt_core.measure.inside.values import LayerInside, Losers, Tile
from apt_core.runs.inspecting import Inspector
from apt_core.runs.store import Store

_SHADES = " ░▒▓█"  # the darker, the more was removed
_MOST_CELLS = 32  # of a mask in a terminal, along either side


def run(options: argparse.Namespace) -> int:
    question = question_from(options)
    return look(
        Inspector(Store()), question, options.json, lambda seen: seen.model_dump(exclude={"kind"}), as_text
    )


def question_from(options: argparse.Namespace) -> RunQuestion:
    """Raises BadInput unless one thing is asked for."""
    whole = options.depth or options.blocks_alone
    of_a_layer = (options.block, options.layer, options.row) != (None, None, None) or options.inputs
    if whole and of_a_layer:
        raise BadInput(
            "--depth and --blocks-alone look at the whole model; leave --block, --layer, --row and --inputs out."
        )
    if options.depth:
        return DepthQuestion(run=options.id)
    if options.blocks_alone:
        return BlocksAloneQuestion(run=options.id)
    if options.block is None or options.layer is None:
        raise BadInput(
            "Name a layer with --block and --layer (such as --block 3 --layer self_attn.q_proj), or look at the "
            "whole model with --depth or --blocks-alone."
        )
    try:
        return LayerQuestion(
            run=options.id,
            block=options.block,
            layer=options.layer,
            row=options.row,
            inputs=options.inputs or options.row is not None,
        )
    except ValidationError as error:
        raise BadInput(one_sentence(error)) from error


def as_text(answer: LayerInside | Depth | BlocksAlone) -> str:
    if isinstance(answer, Depth):
        return _depth(answer)
    return _alone(answer) if isinstance(answer, BlocksAlone) else _layer(answer)


def _layer(seen: LayerInside) -> str:
    rows, columns = seen.shape
    parts = [
        f"Block {seen.block}, {seen.layer} ({rows} × {columns}), {seen.method} · {seen.pattern}",
        _mask(seen),
        "\n".join(
            filter(
                None,
                (
                    words.kept_sentence(seen, "row"),
                    words.kept_sentence(seen, "column"),
                    words.groups_sentence(seen),
                    words.change_sentence(seen.change),
                ),
            )
        ),
        _losers(seen.neurons, "row"),
        _losers(seen.heads, "head") if seen.heads else "",
        _inputs(seen),
        _equation(seen),
        "\n".join(seen.notes),
    ]
    return "\n\n".join(filter(None, parts))


def _mask(seen: LayerInside) -> str:
    """By its cells; where all lose the same share, the corner weight by weight."""
    said = words.mask_sentence(seen)
    if not words.is_even(seen.mask):
        return f"{shaded(seen.mask)}\n{said}"
    rows, columns = len(seen.corner.shares), len(seen.corner.shares[0])
    return f"{shaded(seen.corner)}\nAbove: the first {rows} × {columns} weights, one by one. {said}"


def shaded(tile: Tile) -> str:
    """The mask as blocks of shade, at most 32 x 32 of them, two characters wide."""
    shares = _coarser(tile.shares)
    lines = ["".join(2 * _SHADES[round(share * (len(_SHADES) - 1))] for share in row) for row in shares]
    return "\n".join(f"│{line}│" for line in lines)


def _coarser(shares: Sequence[Sequence[float]]) -> list[list[float]]:
    """Means of neighbouring cells, so that a terminal holds them."""
    down, across = -(-len(shares) // _MOST_CELLS), -(-len(shares[0]) // _MOST_CELLS)
    found = []
    for top in range(0, len(shares), down):
        band = shares[top : top + down]
        cells = [
            [share for row in band for share in row[left : left + across]]
            for left in range(0, len(shares[0]), across)
        ]
        found.append([sum(cell) / len(cell) for cell in cells])
    return found


def _losers(losers: Losers, one: str) -> str:
    rows = [(str(each.index), percent(each.removed), words.lost(each.lost)) for each in losers.worst[:5]]
    what = "output lost" if losers.by_output else "of squares lost"
    return f"{words.losers_sentence(losers)}\n{table((one, 'removed', what), rows)}"


def _inputs(seen: LayerInside) -> str:
    if (inputs := seen.inputs) is None:
        return "With --inputs the calibration text is read again: input norms, saliencies, the equation on a row."
    lines = [words.inputs_sentence(inputs), *map(words.saliency_sentence, inputs.saliencies)]
    return "\n".join(lines)


def _equation(seen: LayerInside) -> str:
    if (worked := seen.worked) is None:
        return ""
    lines = [f"  {what}: {said}" for what, said in words.worked_lines(worked)]
    head = f"The closed form on row {worked.row}: δ = −w_P ([H⁻¹]_PP)⁻¹ [H⁻¹]_P,:"
    return "\n".join([head, *lines, words.worked_note(worked)])


def _depth(found: Depth) -> str:
    rows = [
        (
            str(one.block),
            number(one.relative_error),
            number(one.median_error),
            f"{one.cosine:.4f}",
            number(one.divergence),
        )
        for one in found.blocks
    ]
    last = found.blocks[-1]
    return "\n".join(
        [
            f"Hidden states after each block, dense against pruned, on {found.windows} windows of {found.length} "
            f"tokens of {found.text}:",
            table(("block", "relative error", "median token", "cosine", "KL of the lens"), rows),
            f"Both models name the same most likely next token at {percent(found.top1)} of {found.positions} "
            f"positions; KL {number(last.divergence)} nats.",
        ]
    )


def _alone(found: BlocksAlone) -> str:
    rows = [
        (str(block), number(loss), number(increase), percent(share))
        for block, (loss, increase, share) in enumerate(
            zip(found.losses, found.increases, found.shares, strict=True)
        )
    ]
    joint = found.pruned - found.dense
    return "\n".join(
        [
            f"Loss with one block pruned and all others dense, on {found.windows} windows of {found.length} tokens of "
            f"{found.text}:",
            table(("block", "loss", "increase", "share"), rows),
            f"Dense {number(found.dense)}, all blocks pruned {number(found.pruned)} (+{number(joint)}); the increases "
            f"alone add up to {number(sum(found.increases))}.",
        ]
    )

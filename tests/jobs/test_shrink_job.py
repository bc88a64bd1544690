"""A job that makes a smaller model: round trips, refusals, and how many structures a share comes to."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import apt_core
from apt_core.base.errors import BadInput, BadOption
from apt_core.jobs import Shrink, make_job, read_job
from apt_core.methods import STRUCTURED, make_method, make_structured
from apt_core.methods.structured.depth import blocks_removed
from apt_core.methods.structured.llm_pruner import LLMPruner, groups_kept, pruned_blocks, share_of_each
from apt_core.reports.reproduce import command, python_source


@pytest.mark.parametrize("name", STRUCTURED)
def test_a_job_round_trips(name):
    job = apt_core.plan("tiny-llama", name, 0.25)
    assert isinstance(job, Shrink) and read_job(job.model_dump_json()) == job
    later = job.model_dump() | {"method": job.model_dump()["method"] | {"of_a_later_version": 1}}
    assert read_job(later) == job
    with pytest.raises(BadInput, match="of_a_later"):
        make_job(**later)


def test_it_says_how_it_is_made_again():
    job = apt_core.plan("tiny-llama", "llm-pruner", 0.2, {"importance": "l2", "compensate": True})
    assert job.label == "LLM-Pruner (importance l2, compensate yes) · 20%"
    said = "--method llm-pruner --sparsity 0.2 --set importance=l2 --set compensate=True"
    assert said in command(job)
    source = python_source([job])
    assert "apt_core.prune(" in source and "'compensate': True" in source.replace('"', "'")
    assert make_structured("llm-pruner", {"compensate": "True"}).compensate


def test_each_kind_of_method_says_which_kind_it_is():
    with pytest.raises(BadOption, match="no composition of masks"):
        make_method("depth")
    with pytest.raises(BadOption, match="choose one of depth, llm-pruner"):
        make_structured("apt")
    with pytest.raises(BadOption, match=r"choose one of apt, .*depth, llm-pruner"):
        make_method("nonsense")


@given(st.floats(0, 0.99), st.integers(1, 100))
def test_blocks_are_rounded_and_never_all_or_none(sparsity, blocks):
    try:
        count = blocks_removed(sparsity, blocks)
    except BadOption:
        return
    assert 1 <= count < blocks and abs(count - sparsity * blocks) <= 0.5 + 1e-9


@example(sparsity=0.09375, heads=6, each=7, channels=19, multiple=8)  # all 19 are nearer than 16
@given(
    st.floats(0, 0.95),
    st.integers(1, 16),
    st.integers(1, 64),
    st.integers(8, 4096),
    st.sampled_from([1, 8, 64]),
)
def test_widths_come_close_to_the_share(sparsity, heads, each, channels, multiple):
    whole = heads * each + channels
    kept = groups_kept(sparsity, whole, {"heads": (heads, each), "channels": (channels, 1)}, multiple)
    assert 1 <= kept["heads"] <= heads and 1 <= kept["channels"] <= channels
    assert kept["channels"] == channels or kept["channels"] % multiple == 0 or channels <= multiple
    gone = (heads - kept["heads"]) * each + channels - kept["channels"]
    if multiple < kept["channels"] < channels:
        assert abs(gone - sparsity * whole) <= multiple / 2 + 1e-6


def test_the_paper_keeps_four_blocks_in_front_and_two_behind():
    assert pruned_blocks(LLMPruner(widths="middle"), 32) == range(4, 30)
    assert pruned_blocks(LLMPruner(widths="global"), 30) == range(4, 28)
    assert pruned_blocks(LLMPruner(widths="middle"), 4) == range(1, 3)
    assert pruned_blocks(LLMPruner(widths="middle", start_block=0, end_block=2), 4) == range(2)
    assert pruned_blocks(LLMPruner(), 32) == range(32)
    with pytest.raises(BadOption, match="none of a model with 2"):
        pruned_blocks(LLMPruner(widths="middle"), 2)


@given(st.floats(0.01, 0.99), st.integers(1, 40), st.integers(0, 40))
def test_what_pruned_blocks_lose_is_the_share_of_all(sparsity, pruned, whole):
    blocks = pruned + whole
    try:
        share = share_of_each(sparsity, range(pruned), blocks)
    except BadOption:
        assert sparsity * blocks > 0.95 * pruned
        return
    assert share * pruned == pytest.approx(sparsity * blocks)

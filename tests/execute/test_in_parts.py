"""A pruning that is left between two blocks and gone on with changes no result, by a single bit."""

from __future__ import annotations

import pytest

import apt_core
from apt_core import events as ev
from apt_core.base.clock import Clock
from apt_core.base.errors import BadInput
from apt_core.base.policy import PRIVATE
from apt_core.execute import Context, kept, run

TEXT = {
    "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
    "evaluation": {"text": "wiki-sample", "samples": 2, "length": 64},
}


def job(method="apt", pattern="0.5", model="tiny-random-llama", **options):
    plan = {name: options.pop(name) for name in ("weights", "walk", "seed") if name in options}
    return apt_core.plan(model, method, pattern, options or None, **TEXT, **plan)


def part(wanted, folder, pause=lambda: True):
    folder.mkdir(exist_ok=True)
    return list(run(wanted, Context.of(wanted, folder, PRIVATE, pause=pause)))


def in_parts(wanted, folder):
    """The events of each part, the last of which is the one that finished."""
    parts = [part(wanted, folder)]
    while not isinstance(parts[-1][-1], ev.Finished):
        assert isinstance(parts[-1][-1], ev.Paused) and len(parts) < 20
        parts.append(part(wanted, folder))
    return parts


def made(folder):
    return [file.read_bytes() for file in sorted((folder / "checkpoint").glob("*.safetensors"))]


def at_once(wanted, folder):
    folder.mkdir()
    found = list(run(wanted, Context.of(wanted, folder, PRIVATE)))
    return found, made(folder)


def layers(events):
    return [
        event.model_copy(update={"seconds": 0.0}) for event in events if isinstance(event, ev.LayerPruned)
    ]


@pytest.mark.parametrize(
    "wanted",
    [
        job(),
        job("apt-joint"),  # compares with the dense model's stream, and asks for gradients
        job("wanda", "2:4", walk="two-pass"),
        job("sparsegpt", allocation={"name": "owl"}),  # looks at the dense model first
        job("wanda", weights="disk"),
        pytest.param(job(model="tiny-mamba"), marks=pytest.mark.slow),
        pytest.param(job("apt-joint", weights="disk", walk="two-pass"), marks=pytest.mark.slow),
    ],
    ids=lambda wanted: f"{wanted.method.name}-{wanted.model.id}-{wanted.resources.weights}",
)
def test_in_parts_or_at_once_gives_the_same_weights_layers_and_perplexity(tmp_path, wanted):
    whole, weights = at_once(wanted, tmp_path / "whole")
    parts = in_parts(wanted, tmp_path / "parts")
    assert len(parts) == parts[0][-1].total + 1  # one for each block, one to measure what was made
    assert made(tmp_path / "parts") == weights
    said = [event for events in parts for event in events]
    assert layers(said) == layers(whole)
    finished, alone = parts[-1][-1], whole[-1]
    assert (finished.removed, finished.sparsity) == (alone.removed, alone.sparsity)
    for one, other in zip(
        [event for event in parts[-1] if isinstance(event, ev.Evaluated) and event.subject == "pruned"],
        [event for event in whole if isinstance(event, ev.Evaluated) and event.subject == "pruned"],
        strict=True,
    ):
        assert one.perplexity == other.perplexity
    assert not (tmp_path / "parts" / kept.PRUNING).exists()


def test_later_parts_say_where_they_go_on_and_their_time_adds_up(tmp_path):
    parts = in_parts(job(), tmp_path / "run")
    assert [event.done for events in parts for event in events if isinstance(event, ev.Resumed)] == [
        paused.done for *_, paused in parts[:-1]
    ]
    seconds = parts[-1][-1].seconds
    assert seconds["total"] > seconds["prune"] > 0
    solved = sum(layer.seconds for events in parts for layer in events if isinstance(layer, ev.LayerPruned))
    assert seconds["prune"] > 0.9 * solved  # of all parts, not of the last one


def test_a_part_that_dies_costs_only_itself(tmp_path):
    wanted = job()
    _, weights = at_once(wanted, tmp_path / "whole")
    part(wanted, tmp_path / "run")
    events = run(wanted, Context.of(wanted, tmp_path / "run", PRIVATE, pause=lambda: False))
    for event in events:
        if isinstance(event, ev.LayerPruned):
            break
    events.close()  # in the middle of a block
    last = part(wanted, tmp_path / "run", pause=lambda: False)
    assert isinstance(last[-1], ev.Finished) and made(tmp_path / "run") == weights


def test_a_part_that_dies_while_it_measures_prunes_nothing_again(tmp_path):
    wanted = job()
    events = run(wanted, Context.of(wanted, tmp_path, PRIVATE, pause=lambda: False))
    for event in events:
        if isinstance(event, ev.Progress) and event.stage == "save":
            break
    events.close()
    last = part(wanted, tmp_path, pause=lambda: False)
    assert not layers(last) and isinstance(last[-1], ev.Finished) and last[-1].removed > 0


def test_a_torn_state_is_a_sentence(tmp_path):
    part(job(), tmp_path)
    (tmp_path / kept.KEPT_BY_PRUNING).write_bytes(b"torn")
    with pytest.raises(BadInput, match="start it again"):
        part(job(), tmp_path)


def test_a_block_that_is_missing_is_a_sentence(tmp_path):
    part(job(), tmp_path)
    (tmp_path / kept.PRUNING / "block-0.safetensors").unlink()
    with pytest.raises(BadInput, match="start it again"):
        part(job(), tmp_path)


def test_what_another_job_kept_is_not_gone_on_from(tmp_path):
    part(job(pattern="0.3"), tmp_path)
    assert not any(isinstance(event, ev.Resumed) for event in part(job(pattern="0.5"), tmp_path))


def test_a_full_disk_leaves_the_state_before(tmp_path, monkeypatch):
    wanted = job()
    part(wanted, tmp_path)
    before = (tmp_path / kept.KEPT_BY_PRUNING).read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError):
        part(wanted, tmp_path)
    assert (tmp_path / kept.KEPT_BY_PRUNING).read_bytes() == before
    assert not list((tmp_path / kept.PRUNING).glob("*.part"))


def full(_):
    raise OSError(28, "No space left on device")


def test_a_clock_takes_over_what_was_before_and_counts_what_is_not_over(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("apt_core.base.clock.perf_counter", lambda: now[0])
    clock = Clock()
    clock.add_earlier({"prune": 3.0, "load": 1.0, "total": 5.0})
    with clock("prune"):
        now[0] += 2
        assert clock.rounded() == {"prune": 5.0, "load": 1.0, "total": 7.0}
    assert clock.rounded() == {"prune": 5.0, "load": 1.0, "total": 7.0}

"""A real worker process with a scripted pipeline: `python -m tests.runs.fake_worker BEHAVIOUR RUN_ID`."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from apt_core import events as ev
from apt_core.base.errors import BadText
from apt_core.execute import Context
from apt_core.jobs import Evaluate, Job
from apt_core.runs.worker import main


def loaded() -> ev.ModelLoaded:
    return ev.ModelLoaded(
        title="Tiny",
        architecture="LlamaForCausalLM",
        parameters=64,
        prunable=32,
        blocks=1,
        layers=("layer_0",),
        total_layers=1,
        device="cpu",
        dtype="float32",
        hardware="a machine",
        versions={},
    )


def layer(number: int) -> ev.LayerPruned:
    return ev.LayerPruned(
        block=number // 7,
        layer=f"layer_{number % 7}",
        shape=(4, 8),
        removed=16,
        sparsity=0.5,
        relative_error=0.01,
        pattern_valid=True,
        dampening=0.01,
        seconds=0.01,
    )


def finished(checkpoint: Path | None = None) -> ev.Finished:
    return ev.Finished(
        sparsity=0.5,
        parameters=64,
        removed=32,
        seconds={"total": 1.0},
        peak_rss_bytes=1,
        checkpoint=str(checkpoint or ""),
    )


def save(folder: Path, size: int = 1000) -> Path:
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(bytes(size))
    return checkpoint


def steady(_job: Job, context: Context) -> Iterator[ev.Event]:
    for number in range(6):
        time.sleep(0.02)
        yield layer(number)
    yield finished(save(context.folder))


def measuring(job: Job, _context: Context) -> Iterator[ev.Event]:
    """Perplexity on every text of the job."""
    for wanted in job.evaluation:
        yield ev.Evaluated(
            subject="model",
            perplexity=20.0,
            low=18.0,
            high=22.0,
            windows=8,
            length=64,
            tokens=8 * 63,
            text=wanted.text,
            protocol="test-1",
            seconds=0.1,
        )
    yield ev.Finished(seconds={"total": 0.1}, peak_rss_bytes=1)


def evaluated(subject: str, perplexity: float, reused: bool = False) -> ev.Evaluated:
    return ev.Evaluated(
        subject=subject,
        perplexity=perplexity,
        windows=8,
        length=64,
        tokens=8 * 63,
        text="wiki-sample",
        protocol="test-1",
        seconds=0.1,
        reused=reused,
    )


def sweeping(job: Job, context: Context) -> Iterator[ev.Event]:
    """A whole run whose perplexity grows with the sparsity: 10 / (1 - sparsity)."""
    yield evaluated("dense", 10.0)
    for number in range(3):
        time.sleep(0.02)
        yield layer(number)
    yield evaluated("pruned", 10.0 / (1 - job.pattern.sparsity))
    spared = {"dense_eval": 0.1} if job.method.name != "apt" else {}
    changes = {"spared": spared, "sparsity": job.pattern.sparsity}
    yield finished(save(context.folder)).model_copy(update=changes)


def rounding(job: Job, context: Context) -> Iterator[ev.Event]:
    """A pruning whose windows and bytes are known, or a rounded model on the same windows."""
    losses = tuple(2.0 + 0.1 * n for n in range(8))
    yield loaded()
    if isinstance(job, Evaluate):
        bits = job.rounding.number
        yield ev.Rounded(
            bits=bits,
            group=128,
            scheme="symmetric",
            weights=64,
            bits_per_weight=bits + 0.125,
            n_bytes=100 * bits,
            packed_bytes=60 * bits,
        )
        yield evaluated("model", 10.0 + 8 / bits).model_copy(update={"losses": losses})
        yield ev.Finished(seconds={"total": 0.1}, peak_rss_bytes=1)
        return
    for subject, perplexity, packed in (("dense", 10.0, 2000), ("pruned", 15.0, 1100)):
        yield evaluated(subject, perplexity).model_copy(update={"losses": losses})
        yield ev.Sized(
            subject=subject, on_disk=2000, compressed=1, packed=packed, resident=2000, zstd_level=3
        )
    yield layer(0)
    yield finished(save(context.folder))


def wanda_fails(job: Job, context: Context) -> Iterator[ev.Event]:
    if job.method.name == "wanda":
        raise BadText("The calibration text is empty; choose another.")
    yield from sweeping(job, context)


def slow(_job: Job, context: Context) -> Iterator[ev.Event]:
    """Three layers at once, then one every 50 ms until somebody ends it."""
    (context.folder / "checkpoint.partial").mkdir()
    for number in range(1000):
        time.sleep(0.05 if number > 2 else 0)
        yield layer(number)


def leisurely(_job: Job, context: Context) -> Iterator[ev.Event]:
    for number in range(12):
        time.sleep(0.1)
        yield layer(number)
    yield finished(save(context.folder))


def until_two_work(_job: Job, context: Context) -> Iterator[ev.Event]:
    """Ends once another run of the same store is at work too, or is over; or after half a minute."""
    yield layer(0)
    (context.folder.parent / f"{context.folder.name}.working").touch()
    for _ in range(1500):
        if len(list(context.folder.parent.glob("*.working"))) > 1:
            break
        time.sleep(0.02)
        yield layer(0)
    yield finished(save(context.folder))


def stuck(_job: Job, context: Context) -> Iterator[ev.Event]:
    """No event for a long time, but SIGTERM is heard, and it tidies up."""
    yield layer(0)
    try:
        time.sleep(60)
    finally:
        (context.folder / "tidied").touch()


def busy(_job: Job, context: Context) -> Iterator[ev.Event]:
    """Computes without end and without an event, and tidies up when it is broken off."""
    yield layer(0)
    try:
        while True:
            pass
    finally:
        (context.folder / "tidied").touch()


def deaf(_job: Job, _context: Context) -> Iterator[ev.Event]:
    """No event for a long time, and only SIGKILL helps."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    yield layer(0)
    time.sleep(60)


def memory(_job: Job, context: Context) -> Iterator[ev.Event]:
    """Asks for more memory than the process may have."""
    (context.folder / "checkpoint.partial").mkdir()
    yield layer(0)
    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    yield layer(bytearray(2**33)[0])


def full(_job: Job, context: Context) -> Iterator[ev.Event]:
    """Writes a checkpoint that the system does not let grow as large as it must."""
    yield layer(0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    save(context.folder, 1_000_000)
    yield finished()


def filling(_job: Job, context: Context) -> Iterator[ev.Event]:
    """Fills the whole disk with a half-written checkpoint, to the last byte."""
    yield layer(0)
    partial = context.folder / "checkpoint.partial"
    partial.mkdir()
    with open(partial / "model.safetensors", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    yield finished()


def hoarding(_job: Job, context: Context) -> Iterator[ev.Event]:
    """Fills the whole disk outside the run folder, so that removing the checkpoint frees nothing."""
    yield layer(0)
    with open(context.folder.parent.parent / "hoard", "wb", buffering=0) as file:
        while file.write(bytes(512)):
            pass
    yield finished()


def crash(_job: Job, _context: Context) -> Iterator[ev.Event]:
    yield layer(0)
    raise ValueError("the numbers\nmake no sense")


def bad_text(_job: Job, _context: Context) -> Iterator[ev.Event]:
    yield layer(0)
    raise BadText("The calibration text is empty; choose another.")


def mute(_job: Job, _context: Context) -> Iterator[ev.Event]:
    yield layer(0)
    os._exit(3)


def unending(_job: Job, _context: Context) -> Iterator[ev.Event]:
    """Finishes, but its process does not end."""
    import atexit

    atexit.register(time.sleep, 60)
    yield finished()


if __name__ == "__main__":
    sys.exit(main(sys.argv[-1], executor=globals()[sys.argv[1]]))

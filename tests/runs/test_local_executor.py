"""Several runs at once on one machine: seats, what they are told, and the memory that decides."""

from __future__ import annotations

import pytest

from apt_core.base.errors import BadInput
from apt_core.runs.executors import AtWork, Demand, Places, Seat, executor_of
from apt_core.runs.executors import local as local_executor
from apt_core.runs.executors.local import LocalExecutor
from apt_core.runs.launcher import Launcher
from tests.runs.helpers import fake_command, until


@pytest.fixture
def eight_gigabytes_free(monkeypatch):
    monkeypatch.setattr(local_executor, "free_memory", lambda: 8_000_000_000)


def demand(gigabytes: float) -> Demand:
    return Demand(memory_bytes=int(gigabytes * 1e9))


def at_work(number: int, gigabytes: float, held: float = 0) -> AtWork:
    return AtWork(Seat(number=number, demand=demand(gigabytes)), int(held * 1e9))


def test_one_at_a_time_by_itself(eight_gigabytes_free):
    one = executor_of({"CUDA_VISIBLE_DEVICES": ""})
    assert one.seat(demand(1), []) == Seat(number=0, demand=demand(1))
    assert one.seat(demand(1), [at_work(0, 1)]) is None
    assert one.places() == Places(1)
    assert one.environment(Seat()) == {} and one.words() == "on this machine, one at a time"


@pytest.mark.parametrize(
    ("wanted", "others", "number"),
    [
        (5, [at_work(0, 3)], 1),  # 8 GB free, 3 still to come
        (5.1, [at_work(0, 3)], None),
        (5.1, [at_work(0, 3, held=1)], 1),  # it has taken one of the three already
        (5.1, [at_work(0, 3, held=9)], 1),  # one that took more than foretold takes no more off
        (1, [at_work(1, 1)], 0),  # the lowest seat that is free
        (1, [at_work(0, 1), at_work(1, 1)], None),
    ],
)
def test_a_run_starts_beside_others_when_its_memory_is_left(eight_gigabytes_free, wanted, others, number):
    seat = LocalExecutor(at_once=2).seat(demand(wanted), others)
    assert (seat and seat.number) == number


def test_a_run_of_unknown_size_has_the_machine_to_itself(eight_gigabytes_free):
    two = LocalExecutor(at_once=2)
    assert two.seat(Demand(), []) is not None
    assert two.seat(Demand(), [at_work(0, 1)]) is None
    assert two.seat(demand(1), [AtWork(Seat(), 0)]) is None


def test_each_worker_has_a_gpu_of_its_own_and_its_share_of_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    both = executor_of({"CUDA_VISIBLE_DEVICES": "2,GPU-7"})._replace(cores=16)
    assert both.places() == Places(2, apart=True) and LocalExecutor(at_once=2).places() == Places(2)
    assert both.at_once == 2 and "a GPU each for 2" in both.words()
    told = [both.environment(Seat(number=number)) for number in (0, 1)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in told] == ["2", "GPU-7"]
    assert {one["OMP_NUM_THREADS"] for one in told} == {"8"}


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "1001", "²"])
def test_a_number_that_is_none_is_a_sentence(text):
    with pytest.raises(BadInput, match="whole number of runs from 1 to 1000"):
        executor_of({"APT_AT_ONCE": text})


def test_an_executor_that_nobody_knows_is_a_sentence():
    with pytest.raises(BadInput, match=r"APT_EXECUTOR is 'slurm'; there are local, ray"):
        executor_of({"APT_EXECUTOR": "slurm"})


def test_three_runs_work_two_at_a_time_in_the_order_of_asking(store, recipe, monkeypatch):
    monkeypatch.setattr(local_executor, "free_memory", lambda: 1 << 40)
    launcher = Launcher(store, fake_command("leisurely"), interval=0.02, executor=LocalExecutor(at_once=2))
    ids = [launcher.submit(recipe) for _ in range(3)]
    seats = launcher._seats
    most = 0

    def all_over() -> bool:
        nonlocal most
        launcher.tick()
        with store.index.read() as rows:
            active = rows.active()
        most = max(most, len(active))
        waiting = [run_id for run_id in ids if store.get(run_id).status == "queued"]
        assert waiting == ids[len(ids) - len(waiting) :], "a later run began before an earlier one"
        assert len({seats._seat_of(row.id).number for row in active}) == len(active)
        return not any(store.get(run_id).live for run_id in ids)

    until(all_over, seconds=30)
    assert most == 2
    assert {store.get(run_id).status for run_id in ids} == {"finished"}
    starts = [store.get(run_id).started_at for run_id in ids]
    assert starts[2] >= min(store.get(run_id).ended_at for run_id in ids[:2]) - 0.1

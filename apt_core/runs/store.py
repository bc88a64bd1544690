"""Every run that was ever asked for: made, read, cancelled and deleted here, from any process."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from apt_core import events as ev
from apt_core.base.errors import DISK_FULL_ERRNOS as NO_ROOM
from apt_core.base.errors import BadInput, DiskFull, PruneError, UnknownRun
from apt_core.base.paths import data_dir, folder_bytes, index_dir
from apt_core.base.policy import LOCAL
from apt_core.events.records import LIVE, RunRecord, fold
from apt_core.execute.context import Made
from apt_core.execute.kept import TRAINING
from apt_core.jobs import Job, ModelRef, read_job
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import Space
from apt_core.jobs.study import Asked, Study
from apt_core.runs import hiding, keeping, labels, processes, query, studies_kept, token_holder
from apt_core.runs.eventlog import EventLog
from apt_core.runs.ids import check_id, is_run_id, new_id
from apt_core.runs.index import Found, Index, Row, Rows, StudyRow
from apt_core.runs.labels import Labels
from apt_core.runs.listing import listed
from apt_core.runs.query import Entry, Listed

_log = logging.getLogger(__name__)
JOB_FILE = "job.json"
_MEMBERS_ONLY = "members-only"  # of a run made from one that came with a token
_MAX_SEEN = 400  # more than `list` gives at once, so that a second look reads no log again

List = list  # the store has a method of that name


class Held(NamedTuple):
    """What an owner has in the store."""

    runs: int
    n_bytes: int


class Store:
    """`root/runs.db` (or in APT_INDEX), `root/runs/<id>/`, `root/studies/<id>/`. Cheap to make; safe in threads and
    processes.

    No path that is written here names `root`, so the folder can be moved.
    """

    def __init__(self, root: Path | None = None, patience: float = 10.0):
        self.root = Path(root) if root is not None else data_dir()
        self.runs = self.root / "runs"
        self._studies = self.root / "studies"
        self.index = Index(index_dir(self.root) / "runs.db", self._found_in_folders, patience)
        # The record so far of the runs seen last, and the bytes of the log that it covers.
        self._seen: OrderedDict[str, tuple[RunRecord, int]] = OrderedDict()
        self._lock = threading.Lock()

    # --- making and ending -----------------------------------------------------------------------

    def create(self, job: Job, needs_our_token: bool = False, owner: str = LOCAL) -> str:
        """Put a run into the queue. Raises DiskFull, and leaves nothing behind, without room.

        needs_our_token: only this process can start it, because it alone knows a token of the Hub. owner: whose it is.
        """
        return self._create([job], needs_our_token, None, None, owner)[0]

    def create_study(
        self,
        kind: str,
        jobs: Sequence[Job],
        needs_our_token: bool = False,
        asked: Asked | None = None,
        owner: str = LOCAL,
    ) -> Study:
        """Put a run for each job into the queue, all or none of them, as one group.

        asked: the grid or the search that the jobs come from. owner: whose the group and its runs are.
        """
        study = self._create(jobs, needs_our_token, kind, asked, owner)[1]
        assert study is not None  # there is a kind
        return study

    def renew_study(self, study_id: str, needs_our_token: bool = False) -> Study:
        """Queue again what was cancelled, failed or deleted of a study: a new run takes the place of each.

        What the old run had done stays with it, outside of the study; one that never began goes. All or none of them;
        a study whose runs all wait, work or have finished is left as it is.
        """
        with self.index.write() as rows:
            before = study = self.study(study_id)
            members_only = any(map(self.came_with_token, study.runs))
            with self._undone(before) as run_ids:
                for place, (job, old) in enumerate(zip(before.jobs, before.runs, strict=True)):
                    if not self._has_to_be_renewed(rows.get(old)):
                        continue
                    run_ids.append(
                        self._add_run(rows, job, needs_our_token, study_id, before.owner, members_only)
                    )
                    study = study.with_run(place, run_ids[-1])
                if run_ids:
                    studies_kept.rewrite(self._studies, study)
            replaced = set(before.runs) - set(study.runs)
            never_began = [row.id for row in map(rows.get, replaced) if row and row.pid is None]
            for run_id in replaced:
                rows.update(run_id, study=None)
            for run_id in never_began:
                rows.remove(run_id)
        for run_id in never_began:
            shutil.rmtree(self.folder(run_id), ignore_errors=True)
        return study

    def _has_to_be_renewed(self, row: Row | None) -> bool:
        """Whether a place of a study has no run that waits, works or has finished, by the run's own last word: its
        process may still be tidying up."""
        return row is None or self._record(row).status in ("cancelled", "failed")

    def extend_study(self, known: Study, job: Job) -> Study | None:
        """Add a run of this job to a study; None when the study is not (any more) as `known` says."""
        with self.index.write() as rows:
            if self.study(known.id) != known:
                return None
            members_only = any(map(self.came_with_token, known.runs))
            with self._undone(known) as run_ids:
                run_ids.append(self._add_run(rows, job, False, known.id, known.owner, members_only))
                added = {"jobs": (*known.jobs, job), "runs": (*known.runs, run_ids[-1])}
                study = known.model_copy(update=added)
                studies_kept.rewrite(self._studies, study)
        return study

    def cancel_study(self, study_id: str) -> None:
        """End every run of a study that waits or works; what waits goes first, so that none of it begins."""
        live = [record for record in self.runs_of(study_id) if record.live]
        for record in sorted(live, key=lambda record: record.status != "queued"):
            self.request_cancel(record.id)

    def _create(
        self,
        jobs: Sequence[Job],
        needs_our_token: bool,
        study_kind: str | None,
        asked: Asked | None,
        owner: str,
    ) -> tuple[str, Study | None]:
        """(the first run, the study when there is a kind of one)."""
        study_id = new_id() if study_kind else None
        with self.index.write() as rows, self._undone(study_id) as run_ids:
            for job in jobs:
                run_ids.append(self._add_run(rows, job, needs_our_token, study_id, owner))
            study = self._add_study(rows, study_id, study_kind, jobs, run_ids, asked, owner)
        return run_ids[0], study

    @contextlib.contextmanager
    def _undone(self, study: Study | str | None) -> Iterator[List[str]]:
        """Whatever is raised inside leaves none of the runs whose ids are put into the list, and the study as it was:
        a new one (given by its id) not there. A full disk becomes DiskFull."""
        run_ids: List[str] = []
        try:
            yield run_ids
        except BaseException as error:
            for run_id in run_ids:  # the error that we raise is the one to be told
                shutil.rmtree(self.folder(run_id), ignore_errors=True)
            if isinstance(study, str):
                studies_kept.remove(self._studies, study)
            elif study is not None:
                with contextlib.suppress(OSError):
                    studies_kept.rewrite(self._studies, study)
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise self._disk_full() from error
            raise

    def _add_run(
        self,
        rows: Rows,
        job: Job,
        needs_our_token: bool,
        study_id: str | None,
        owner: str,
        members_only: bool = False,
    ) -> str:
        """A new run in the queue; nothing of it stays when it cannot be written."""
        self._check_parent(job)  # in the transaction: whoever deletes it waits for this one
        run_id = self._new_folder()
        try:
            if members_only:
                (self.folder(run_id) / _MEMBERS_ONLY).touch()
            row = self._fill_folder(self.folder(run_id), job, needs_our_token, study_id, owner)
            rows.add(replace(row, turn=rows.next_turn(owner)))
        except BaseException:
            shutil.rmtree(self.folder(run_id), ignore_errors=True)
            raise
        return run_id

    def _add_study(
        self,
        rows: Rows,
        study_id: str | None,
        kind: str | None,
        jobs: Sequence[Job],
        run_ids: List[str],
        asked: Asked | None,
        owner: str,
    ) -> Study | None:
        if study_id is None or kind is None:
            return None
        study = Study(
            id=study_id,
            kind=kind,
            created_at=time.time(),
            owner=owner,
            jobs=tuple(jobs),
            runs=tuple(run_ids),
            space=asked if isinstance(asked, Space) else None,
            bisection=asked if isinstance(asked, Bisection) else None,
        )
        studies_kept.write(self._studies, study)
        rows.add_study(StudyRow(study.id, study.created_at, study.kind))
        return study

    def _check_parent(self, job: Job) -> None:
        """Raise BadInput when the job's model is that of a run which has none (any more)."""
        if job.model.run is not None:
            self.made_by(job.model.run)

    def append(self, run_id: str, event: ev.Event) -> ev.Stamped:
        """Add an event to the run's log. Raises DiskFull, UnknownRun when its folder is gone."""
        folder = self.folder(run_id)
        try:
            return EventLog(folder).append(_without_root(event, folder))
        except FileNotFoundError as error:
            raise UnknownRun(f"There is no run {run_id}; it may have been deleted.") from error
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise self._disk_full() from error

    def request_cancel(self, run_id: str) -> None:
        """End a run: at once when it still waits, otherwise by asking its worker. Twice is once."""
        check_id(run_id)
        with self.index.write() as rows:
            row = rows.get(run_id)
            if row is None:
                raise UnknownRun(f"There is no run {run_id}.")
            if row.status == "queued":
                ended_at = self.append(run_id, ev.Cancelled(message="Taken out of the queue.")).at
                rows.update(run_id, status="cancelled", cancel_requested_at=ended_at, ended_at=ended_at)
            elif row.status == "running":
                rows.update(run_id, status="stopping", cancel_requested_at=time.time())

    def delete(self, run_id: str, orphan: bool = False) -> None:
        """Remove a run that has ended, with its weights, for good.

        Raises BadInput while it is queued or running, and when other runs were made from it, unless they may be
        orphaned (then they say that the run they were made from is gone) and none of them still needs its weights.
        """
        (record,) = self._take_out([run_id], orphan)
        hiding.destroy(self.runs, self.folder(run_id), run_id)
        self._forget_studies([record.study])

    def hide(self, run_ids: Sequence[str]) -> None:
        """Take runs that have ended out of sight, all or none of them, as `delete` would; `restore` brings them back
        until they are swept."""
        at = int(time.time())
        for record in self._take_out(run_ids, orphan=False):
            hiding.put_away(self.runs, record.id, record.study, at)

    def hidden(self, owners: Sequence[str] | None = None) -> List[hiding.Hidden]:
        """The runs that can still be brought back, the last to be hidden first. owners: whose; None for everybody's."""
        found = [one for one in hiding.found(self.runs) if one.seconds_left > 0]
        return found if owners is None else [one for one in found if _owner_in(one.folder) in owners]

    def restore(self, run_ids: Sequence[str], owners: Sequence[str] | None = None) -> List[str]:
        """Bring hidden runs back; returns those that were still there."""
        back = []
        for one in self.hidden(owners):
            if one.run in run_ids:
                with self.index.write() as rows:
                    back += [one.run] if self._bring_back(rows, one) else []
        return back

    def sweep(self) -> None:
        """Remove for good what has been hidden for long enough."""
        old = [one for one in hiding.found(self.runs) if one.seconds_left <= 0]
        for one in old:
            hiding.destroy(self.runs, one.folder, one.run)
        self._forget_studies([one.study for one in old])

    def _bring_back(self, rows: Rows, one: hiding.Hidden) -> bool:
        if not hiding.bring_back(self.runs, one):
            return False
        try:
            if row := _row_of(self.folder(one.run), self._still_of(one)):
                rows.add(row)
        except BaseException:
            hiding.put_away(self.runs, one.run, one.study, one.at)
            raise
        return row is not None

    def _still_of(self, one: hiding.Hidden) -> str | None:
        """The study of a hidden run, unless another run has taken its place there meanwhile."""
        try:
            return one.study if one.study and one.run in self.study(one.study).runs else None
        except BadInput:
            return None

    def _take_out(self, run_ids: Sequence[str], orphan: bool) -> List[RunRecord]:
        """Take ended runs out of the index, all or none of them; returns what they were."""
        records = [self.get(run_id) for run_id in dict.fromkeys(run_ids)]
        for record in records:
            if record.live:
                raise BadInput(f"Run {record.id} is still {record.status}; cancel it first.")
        records.sort(
            key=lambda record: record.created_at or 0.0, reverse=True
        )  # what was made from another goes first
        with self.index.write() as rows:
            for record in records:
                _check_children(rows, record.id, orphan)
                self._forget_process(record.id)
                rows.remove(record.id)
        with self._lock:
            for record in records:
                self._seen.pop(record.id, None)
        return records

    def _forget_studies(self, study_ids: Sequence[str]) -> None:
        """Remove those of these studies that have no run any more, not even a hidden one."""
        studies = {study for study in study_ids if study}
        if not studies:
            return
        with self.index.write() as rows:  # whoever makes a study waits
            waiting = {one.study for one in hiding.found(self.runs)}
            gone = [study for study in studies - waiting if not rows.of_study(study)]
            for study in gone:
                rows.remove_study(study)
        for study in gone:
            studies_kept.remove(self._studies, study)

    def label(self, run_id: str, **changes: Any) -> Labels:
        """Write a name, tags, a note or a pin on a run; what is not named stays. Raises UnknownRun, BadInput."""
        folder = self.folder(run_id)
        with self.index.write() as rows:  # one at a time, and nobody deletes it meanwhile
            if rows.get(run_id) is None:
                raise UnknownRun(f"There is no run {run_id}; it may have been deleted.")
            written = Labels(**(labels.read(folder).model_dump() | changes))
            try:
                labels.write(folder, written)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                raise self._disk_full() from error
        return written

    def keep_within(self, cap: int) -> list[str]:
        """Remove the weights of the oldest runs until all fit in `cap` bytes; returns whose went."""
        with self.index.read() as rows:
            ended = [row.id for row in rows.newest(-1) if row.status == "finished"]
            needed = {row.made_from for row in (*rows.active(), *rows.queue())}
        kept = [path for run_id in ended if run_id not in needed and (path := self.checkpoint(run_id))]
        gone = keeping.over_cap(kept, cap)
        for checkpoint in gone:
            shutil.rmtree(checkpoint, ignore_errors=True)  # another process may be removing it as well
        return [checkpoint.parent.name for checkpoint in gone]

    # --- reading ---------------------------------------------------------------------------------

    def get(self, run_id: str) -> RunRecord:
        """The run as it is now; raises UnknownRun."""
        check_id(run_id)
        with self.index.read() as rows:
            row = rows.get(run_id)
        if row is None:
            raise UnknownRun(f"There is no run {run_id}; it may have been deleted.")
        return self._record(row)

    def list(self, limit: int = 200, owners: Sequence[str] | None = None) -> List[RunRecord]:
        """The newest runs, newest first. A run that this version cannot read is left out and logged. owners: whose;
        None for everybody's."""
        with self.index.read() as rows:
            newest = rows.newest(limit, owners)
        return self._readable(newest)

    def entries(self, owners: Sequence[str] | None = None) -> List[Entry]:
        """Every run as lists know it, with what people wrote on it, newest first. Reads the logs of live runs, and of
        ended ones once. owners: whose; None for everybody's."""
        with self.index.read() as rows:
            found = rows.newest(-1, owners)
        known = {row.id: query.kept(row.listed) for row in found if row.status not in LIVE}
        records = self._readable([row for row in found if known.get(row.id) is None])
        known |= {record.id: listed(record) for record in records}
        self._keep_listed(
            {row.id: row for row in found}, [record for record in records if not record.live], known
        )
        return [Entry(one, labels.read(self.folder(row.id))) for row in found if (one := known.get(row.id))]

    def _keep_listed(
        self, rows_of: dict[str, Row], records: List[RunRecord], known: dict[str, Listed | None]
    ) -> None:
        """Keep what lists know of runs that have ended; where it cannot be kept it is worked out again."""
        ended = [record for record in records if rows_of[record.id].status not in LIVE]
        if not ended:
            return
        try:
            with self.index.write() as rows:
                for record in ended:
                    if one := known[record.id]:
                        rows.update(record.id, listed=one.model_dump_json())
        except PruneError as error:
            _log.warning("%s", error)

    def records(self, run_ids: Sequence[str]) -> List[RunRecord]:
        """These runs in this order; one that is gone is left out, as is (logged) one that this version cannot read."""
        with self.index.read() as rows:
            found = [row for run_id in run_ids if (row := rows.get(run_id)) is not None]
        return self._readable(found)

    def labels_of(self, run_id: str) -> Labels:
        """What people wrote on a run; nothing on one that does not exist."""
        return labels.read(self.folder(run_id))

    def _readable(self, found: List[Row]) -> List[RunRecord]:
        records = []
        for row in found:
            try:
                records.append(self._record(row))
            except BadInput as error:
                _log.warning("%s", error)
        return records

    def owner_of(self, run_id: str) -> str:
        """Whose run it is; raises UnknownRun."""
        check_id(run_id)
        with self.index.read() as rows:
            row = rows.get(run_id)
        if row is None:
            raise UnknownRun(f"There is no run {run_id}; it may have been deleted.")
        return row.owner

    def bytes_of(self, owners: Sequence[str]) -> int:
        """What the runs of these owners hold on the disk."""
        return sum(held.n_bytes for held in self.use(owners).values())

    def use(self, owners: Sequence[str] | None = None) -> dict[str, Held]:
        """Owner -> how many runs they have, and what those hold on the disk. owners: whose; None for everybody's."""
        with self.index.read() as rows:
            found = rows.newest(-1, owners)
        held: dict[str, Held] = {}
        for row in found:
            before = held.get(row.owner, Held(0, 0))
            held[row.owner] = Held(before.runs + 1, before.n_bytes + self._bytes(row.id))
        return held

    def _bytes(self, run_id: str) -> int:
        try:
            return folder_bytes(self.folder(run_id))
        except OSError:  # it is being deleted
            return 0

    def live(self) -> List[RunRecord]:
        """The runs that work, then those that wait in the order in which they will begin."""
        with self.index.read() as rows:
            return [self._record(row) for row in (*rows.active(), *rows.queue())]

    def study(self, study_id: str) -> Study:
        """Raises UnknownRun where there is none."""
        return studies_kept.read(self._studies, study_id)

    def studies(self, limit: int = 100) -> List[Study]:
        """The newest first; one that this version cannot read is left out and logged."""
        with self.index.read() as rows:
            newest = rows.studies(limit)
        found = []
        for row in newest:
            try:
                found.append(self.study(row.id))
            except BadInput as error:
                _log.warning("%s", error)
        return found

    def runs_of(self, study_id: str) -> List[RunRecord]:
        """The runs of a study that are still there, in its order."""
        with self.index.read() as rows:
            found = rows.of_study(study_id)
        try:
            order = {run_id: place for place, run_id in enumerate(self.study(study_id).runs)}
        except (BadInput, UnknownRun):  # torn: its runs are not hidden for that
            order = {}
        return self._readable(sorted(found, key=lambda row: order.get(row.id, len(order))))

    def shared_folder(self, study_id: str) -> Path:
        """Where the runs of a study keep for one another what is the same for all of them."""
        return self._studies / check_id(study_id) / "shared"

    def forget_shared(self, study_id: str) -> None:
        """Remove that once no run of the study waits or works; a later run of it computes it again."""
        if not any(record.live for record in self.runs_of(study_id)):
            shutil.rmtree(self.shared_folder(study_id), ignore_errors=True)

    def made_by(self, run_id: str) -> Made:
        """The model that a run made; raises BadInput with one sentence when it made none, or has none any more."""
        record, folder = self.get(run_id), self.checkpoint(run_id)
        if record.live:
            raise BadInput(f"Run {run_id} has not finished yet; what it makes can be used once it has.")
        if folder is None or record.finished is None:
            raise BadInput(f"Run {run_id} has no pruned weights (any more); prune again.")
        title = record.model.title if record.model else record.job.model.id
        return Made(folder, f"{title} · {record.job.label}")

    def dense_of(self, run_id: str) -> ModelRef:
        """The model at the beginning of a run's lineage, which no run made; raises UnknownRun."""
        model = self.get(run_id).job.model
        while model.run is not None:
            model = self.get(model.run).job.model
        return model

    def training_of(self, run_id: str) -> Path:
        """The folder in which a run has kept how far it came, to go on from; raises BadInput where there is none."""
        record, folder = self.get(run_id), self.folder(run_id) / TRAINING
        if record.live:
            raise BadInput(f"Run {run_id} has not ended yet; it can be gone on from once it has.")
        if not any(folder.glob("*.safetensors")):
            raise BadInput(f"Run {run_id} has kept no state to go on from; start a run of its own.")
        return folder

    def events_since(self, run_id: str, seq: int = -1) -> List[ev.Stamped]:
        """The events numbered above `seq`; raises UnknownRun."""
        log = EventLog(self.folder(run_id))
        if not log.path.exists():
            raise UnknownRun(f"There is no run {run_id}; it may have been deleted.")
        return log.read(after=seq)

    def position(self, run_id: str) -> int | None:
        """0 while it runs, 1 when it is next in the queue, 2 after that ...; None once it has ended."""
        check_id(run_id)
        with self.index.read() as rows:
            row = rows.get(run_id)
            if row is None:
                raise UnknownRun(f"There is no run {run_id}.")
            if row.status in ("running", "stopping"):
                return 0
            waiting = [other.id for other in rows.queue()]
        return waiting.index(run_id) + 1 if run_id in waiting else None

    def folder(self, run_id: str) -> Path:
        return self.runs / check_id(run_id)

    def checkpoint(self, run_id: str) -> Path | None:
        """The pruned weights of a run, None when it has none (any more)."""
        checkpoint = self.folder(run_id) / "checkpoint"
        return checkpoint if any(checkpoint.glob("*.safetensors")) else None

    def came_with_token(self, run_id: str) -> bool:
        """Whether the run was asked for with a Hub token of a visitor, for a model that is not for everybody, or was
        made from such a run."""
        folder = self.folder(run_id)
        return token_holder.of(folder) is not None or (folder / _MEMBERS_ONLY).exists()

    def cancel_requested(self, run_id: str) -> bool:
        with self.index.read() as rows:
            row = rows.get(run_id)
        return row is None or row.cancel_requested_at is not None

    # --- how it is done --------------------------------------------------------------------------

    def _disk_full(self) -> DiskFull:
        return DiskFull(f"The disk that holds {self.root} is full; free some space.")

    def _fill_folder(
        self, folder: Path, job: Job, needs_our_token: bool, study: str | None, owner: str
    ) -> Row:
        """What a run consists of before it starts; returns its row for the index."""
        if needs_our_token:
            token_holder.mark(folder)
        if job.model.run is not None and self.came_with_token(job.model.run):
            (folder / _MEMBERS_ONLY).touch()
        text = job.model_dump_json(indent=2)
        (folder / JOB_FILE).write_text(text, encoding="utf-8")
        log = EventLog(folder)
        log.set_reserve()
        queued = log.append(ev.Queued(owner=owner))
        return Row(folder.name, queued.at, "queued", text, study=study, made_from=job.model.run, owner=owner)

    def _new_folder(self) -> str:
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            while True:
                run_id = new_id()
                try:
                    self.folder(run_id).mkdir()
                    return run_id
                except FileExistsError:
                    continue  # two runs in one second drew the same four digits
        except OSError as error:
            if error.errno in NO_ROOM:
                raise self._disk_full() from error
            raise BadInput(
                f"The folder {self.runs} cannot be written ({error.strerror}); set APT_DATA to another."
            ) from error

    def _record(self, row: Row) -> RunRecord:
        """The fold of the log, with what only the index knows (queued, running, stopping)."""
        record = self._folded(row)
        changes: dict[str, object] = {}
        if record.status in LIVE:
            changes["status"] = row.status
        if changes.get("status", record.status) == "failed" and record.failure is None:
            changes |= {"failure": _UNSAID, "ended_at": row.ended_at}
        if record.owner != row.owner:  # its first line is torn
            changes["owner"] = row.owner
        if record.study != (row.study or ""):  # another run has taken its place in the study
            changes["study"] = row.study or ""
        if row.made_from and not self.folder(row.made_from).exists():
            changes["orphaned"] = True
        if record.finished and record.finished.checkpoint:
            here = str(self.folder(row.id) / Path(record.finished.checkpoint).name)
            changes["finished"] = record.finished.model_copy(update={"checkpoint": here})
        return record.model_copy(update=changes) if changes else record

    def _folded(self, row: Row) -> RunRecord:
        log = EventLog(self.folder(row.id))
        with self._lock:
            record, covered = self._seen.get(row.id) or (self._empty(row), 0)
            if log.size() < covered:  # not the file we knew
                record, covered = self._empty(row), 0
            log_events, covered = log.read_from(covered)
            record = fold(record, log_events)
            self._seen[row.id] = (record, covered)
            self._seen.move_to_end(row.id)
            if len(self._seen) > _MAX_SEEN:
                self._seen.popitem(last=False)
            return record

    @staticmethod
    def _empty(row: Row) -> RunRecord:
        try:
            job = read_job(row.job)
        except BadInput as error:
            raise BadInput(
                f"Run {row.id} was made by another version of the app and cannot be read."
            ) from error
        return RunRecord(id=row.id, job=job, created_at=row.created_at, study=row.study or "")

    def _forget_process(self, run_id: str) -> None:
        """A worker that has said its last word but is still tidying up has nothing left to do."""
        with self.index.read() as rows:
            row = rows.get(run_id)
        if row and row.pid and row.status in LIVE and processes.is_alive(row.pid, row.pid_created, run_id):
            processes.kill_group(row.pid)

    def _found_in_folders(self) -> Found:
        """The index as the folders tell it, oldest first; for an index that is new or was lost."""
        studies = studies_kept.read_all(self._studies)
        study_of = {run_id: study.id for study in studies for run_id in study.runs}
        folders = sorted(path for path in self.runs.glob("*") if is_run_id(path.name))
        rows = [row for folder in folders if (row := _row_of(folder, study_of.get(folder.name)))]
        rows.sort(key=lambda row: row.created_at)  # ids tell the second alone
        return Found(
            _with_turns(rows), [StudyRow(study.id, study.created_at, study.kind) for study in studies]
        )


_UNSAID = ev.Failed(
    reason="disk_full",
    message="The run ended, and the disk was too full to write down how; free some space and run it again.",
)


def _row_of(folder: Path, study: str | None) -> Row | None:
    """One run as its folder tells it, None (and a line in the log) when its job cannot be read."""
    try:
        text = read_job_file(folder)
        job = read_job(text)
    except (OSError, ValueError, BadInput) as error:  # torn UTF-8 is a ValueError
        _log.warning("The run folder %s cannot be read and is left alone: %s", folder, error)
        return None
    log = EventLog(folder).read()
    record = fold(RunRecord(id=folder.name, job=job), log)
    started = next((line.event for line in log if isinstance(line.event, ev.Started)), None)
    return Row(
        id=folder.name,
        created_at=record.created_at or folder.stat().st_mtime,
        status=record.status,
        job=text,
        # Without a birth only a process that names this run on its command line counts as its worker.
        pid=started.pid if started else None,
        ended_at=record.ended_at,
        study=study,
        made_from=record.made_from,
        listed=None if record.live else listed(record).model_dump_json(),
        owner=record.owner,
    )


def _with_turns(rows: List[Row]) -> List[Row]:
    """Turns for what waits, as if all of it had been asked for just now in this order."""
    taken: Counter[str] = Counter()
    found = []
    for row in rows:
        taken[row.owner] += row.status == "queued"
        found.append(replace(row, turn=taken[row.owner]) if row.status == "queued" else row)
    return found


def _owner_in(folder: Path) -> str:
    """Whose run a folder holds, by its own log; nobody's where that cannot be read."""
    try:
        first = next(iter(EventLog(folder).read()), None)
    except OSError:
        return ""
    return first.event.owner if first and isinstance(first.event, ev.Queued) else ""


def read_job_file(folder: Path) -> str:
    """The JSON text of a run's job; version 1 called it a recipe."""
    for name in (JOB_FILE, "recipe.json"):
        if (folder / name).exists():
            return (folder / name).read_text(encoding="utf-8")
    raise FileNotFoundError(f"There is no {JOB_FILE} in {folder}.")


def _without_root(event: ev.Event, folder: Path) -> ev.Event:
    """What is stored names the checkpoint within the run's folder, so that the store can be moved."""
    if not isinstance(event, ev.Finished) or not event.checkpoint:
        return event
    place = Path(event.checkpoint)
    inside = place.relative_to(folder) if place.is_relative_to(folder) else place
    return event.model_copy(update={"checkpoint": str(inside)})


def _listed(run_ids: list[str]) -> str:
    """'run A was', 'runs A and B were'."""
    names = " and ".join([", ".join(run_ids[:-1]), run_ids[-1]]) if len(run_ids) > 1 else run_ids[0]
    return f"run {names} was" if len(run_ids) == 1 else f"runs {names} were"


def _check_children(rows: Rows, run_id: str, orphan: bool) -> None:
    """Raise BadInput while other runs need this one, or were made from it and must not be orphaned."""
    children = rows.made_from(run_id)
    waiting = [row.id for row in children if row.status in LIVE]
    if waiting:
        raise BadInput(
            f"Run {waiting[0]} still needs the weights of run {run_id}; cancel it or let it end first."
        )
    if children and not orphan:
        raise BadInput(
            f"Run {run_id} is what {_listed([row.id for row in children])} made from; delete "
            f"{'that run' if len(children) == 1 else 'those runs'} first, or delete this one on the command line "
            "with --force."
        )

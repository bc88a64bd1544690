"""Every event of a run, and its record: the fold of its events. No torch. Imports jobs and below."""

from apt_core.events.asking import Answers
from apt_core.events.common import TERMINAL, Event, FileBytes, ModelLoaded, Progress, Stamped, Unknown
from apt_core.events.judging import (
    Diverged,
    Evaluated,
    Measured,
    Rounded,
    Sized,
    SparseKernels,
    Speed,
    Subject,
    TaskScored,
)
from apt_core.events.life import (
    LIBRARIES,
    Cancelled,
    Failed,
    Finished,
    Paused,
    Queued,
    Restarted,
    Resumed,
    Started,
    Used,
    Warned,
)
from apt_core.events.lines import dump_line, parse_line, read_stamped
from apt_core.events.pruning import Allocated, Folded, LayerPruned, Narrowed, PartPruned, Shrunk
from apt_core.events.search import Candidate, Generation, SearchBegan
from apt_core.events.train import Trained, TrainingBegan

__all__ = [
    "LIBRARIES",
    "TERMINAL",
    "Allocated",
    "Answers",
    "Cancelled",
    "Candidate",
    "Diverged",
    "Evaluated",
    "Event",
    "Failed",
    "FileBytes",
    "Finished",
    "Folded",
    "Generation",
    "LayerPruned",
    "Measured",
    "ModelLoaded",
    "Narrowed",
    "PartPruned",
    "Paused",
    "Progress",
    "Queued",
    "Restarted",
    "Resumed",
    "Rounded",
    "SearchBegan",
    "Shrunk",
    "Sized",
    "SparseKernels",
    "Speed",
    "Stamped",
    "Started",
    "Subject",
    "TaskScored",
    "Trained",
    "TrainingBegan",
    "Unknown",
    "Used",
    "Warned",
    "dump_line",
    "parse_line",
    "read_stamped",
]

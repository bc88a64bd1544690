"""Rows of a dataset on the Hub, streamed: hub:<dataset>[:<config>[:<split>]], column "text".

The one importer of `datasets`. Rows are taken as they are, blank ones too, and joined by a blank line where they are
used: the WikiText-2 test of the literature is hub:Salesforce/wikitext:wikitext-2-raw-v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import huggingface_hub
from huggingface_hub import errors as hf

from apt_core.base.errors import BadText, NotReachable, PruneError
from apt_core.base.lazy import lazy
from apt_core.base.paths import cache_dir
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.models.fetch import hub, hub_cache
from apt_core.models.fetch.network import CONNECT_SECONDS, within

datasets = lazy("datasets")

Split = Literal["calibration", "evaluation"]
CALIBRATION_SHARE = 0.8  # of a text that has no splits of its own
_COLUMN = "text"
_LONGEST = 16_000_000  # characters, enough for every window that a job can ask of ordinary prose
_BETWEEN = 2  # characters that join two rows: empty ones have an end too
_TRAIN = ("train",)
_HELD_OUT = ("test", "validation", "valid", "val", "dev")  # in this order


class DatasetName(NamedTuple):
    dataset: str
    config: str | None
    split: str | None  # None: the dataset's own train and test


class Rows(NamedTuple):
    rows: list[str]
    note: str | None = None  # one sentence, where the dataset has no split for what was asked


def parse(name: str) -> DatasetName:
    """'hub:Salesforce/wikitext:wikitext-2-raw-v1:train' -> its parts; raises BadText."""
    dataset, *rest = name.removeprefix("hub:").split(":")
    if not hub_cache.is_hub_id(dataset) or len(rest) > 2:
        raise BadText(
            f"'{name[:120]}' is no dataset of the Hub; write hub:owner/name, hub:owner/name:config or "
            "hub:owner/name:config:split."
        )
    config, split = [*rest, "", ""][:2]
    return DatasetName(dataset, config or None, split or None)


def check(name: str, policy: HostPolicy = STRICT) -> DatasetName:
    """The parts of the name, once the Hub has said that there is such a dataset.

    Raises NotReachable within 5 seconds when the Hub does not answer, BadText when there is no such text.
    """
    wanted = parse(name)
    within(lambda: _exists(wanted, policy), _no_answer(wanted))
    return wanted


def read(name: str, split: Split, policy: HostPolicy = STRICT, shared: bool = False) -> Rows:
    """The texts of the split that is meant, 16 million characters at most; raises what `check` raises.

    shared: calibration and evaluation read the same name, so a named split is divided between them.
    """
    wanted = check(name, policy)
    with _translated(wanted):
        streams = _streams(wanted, policy)
        chosen, divided, note = _choose(wanted, list(streams), split, shared)
        rows = list(_capped(_texts(streams[chosen], wanted)))
    if not any(row.strip() for row in rows):
        raise BadText(f"The split {chosen} of {wanted.dataset} holds no text; choose another.")
    return Rows(_part_of(rows, split) if divided else rows, note)


def _choose(
    wanted: DatasetName, names: list[str], split: Split, shared: bool
) -> tuple[str, bool, str | None]:
    """(the dataset's split, whether calibration and evaluation divide it, what has to be said about that)."""
    if wanted.split is not None:
        if wanted.split not in names:
            raise BadText(
                f"{wanted.dataset} has no split '{wanted.split[:60]}'; it has {', '.join(names[:8])}."
            )
        return wanted.split, shared, None
    train = next((name for name in _TRAIN if name in names), None)
    held_out = next((name for name in _HELD_OUT if name in names), None)
    if train and held_out:
        return (train if split == "calibration" else held_out), False, None
    only = train or held_out or names[0]
    note = (
        f"{wanted.dataset} has no split of its own for each, so calibration reads the first four fifths of its "
        f"split {only} and evaluation the last fifth."
    )
    return only, True, note


def _part_of(rows: list[str], split: Split) -> list[str]:
    border = round(len(rows) * CALIBRATION_SHARE)
    return rows[:border] if split == "calibration" else rows[border:]


def _exists(wanted: DatasetName, policy: HostPolicy) -> None:
    with _translated(wanted):
        huggingface_hub.HfApi(token=hub.token(policy)).dataset_info(wanted.dataset, timeout=CONNECT_SECONDS)


def _streams(wanted: DatasetName, policy: HostPolicy) -> Mapping[str, Any]:
    """Split name -> its rows, which are fetched when they are read."""
    return datasets.load_dataset(
        wanted.dataset,
        wanted.config,
        streaming=True,
        token=hub.token(policy),
        cache_dir=str(cache_dir() / "datasets"),  # the home folder need not be there, as in a container
    )


def _texts(stream: Any, wanted: DatasetName) -> Iterator[str]:
    for row in stream:
        if _COLUMN not in row:
            columns = ", ".join(sorted(row)[:5])
            raise BadText(f"{wanted.dataset} has no column '{_COLUMN}' (it has {columns}); choose another.")
        if isinstance(row[_COLUMN], str):
            yield row[_COLUMN]


def _capped(texts: Iterator[str]) -> Iterator[str]:
    taken = 0
    for text in texts:
        yield text
        taken += len(text) + _BETWEEN
        if taken >= _LONGEST:
            return


def _no_answer(wanted: DatasetName) -> str:
    return (
        f"The Hub ({hub.endpoint()}) does not answer, so the dataset {wanted.dataset} cannot be read; "
        "connect to the network, or choose wiki-sample, which is bundled."
    )


@contextmanager
def _translated(wanted: DatasetName) -> Iterator[None]:
    """Turn what huggingface_hub and datasets raise into BadText or NotReachable."""
    try:
        yield
    except PruneError:
        raise
    except Exception as error:
        raise _our_error(error, wanted) from error


def _our_error(error: Exception, wanted: DatasetName) -> Exception:
    match error:
        case hf.GatedRepoError():
            return BadText(
                f"{wanted.dataset} is only for accounts that accepted its terms; choose an open dataset."
            )
        case hf.RepositoryNotFoundError():
            return BadText(f"The Hub has no public dataset {wanted.dataset}; check its name.")
        case hf.HTTPError() | ConnectionError() | TimeoutError() | hf.OfflineModeIsEnabled():
            return NotReachable(_no_answer(wanted))
        case ValueError() | FileNotFoundError() | RuntimeError():  # no such config or split, or a script
            reason = " ".join(str(error).split())[:160].rstrip(".")
            return BadText(f"{wanted.dataset} cannot be read as text: {reason}.")
    return error

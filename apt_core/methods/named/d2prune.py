"""D2Prune: SparseGPT with a saliency that also looks at the outputs (arXiv 2601.09176)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Mask, Method, Reconstruction
from apt_core.methods.masks.d2prune import D2PruneMask
from apt_core.methods.reconstructions.search import SearchResult


class D2Prune(Method):
    """The paper's second ingredient, some of q, k and v masked without any compensation, is left out.

    Which ones its code finds by trying all of them and comparing perplexity.
    """

    name: ClassVar[str] = "d2prune"
    title: ClassVar[str] = "D2Prune"
    source: ClassVar[str] = "arXiv 2601.09176, without its search over q, k and v"
    summary: ClassVar[str] = (
        "SparseGPT, with weights also counted by how large their inputs and their outputs are."
    )

    mask: Mask = D2PruneMask()
    reconstruction: Reconstruction = SearchResult()

"""One token after another with a key/value cache, whatever the installed transformers calls the argument."""

from __future__ import annotations

import inspect
from typing import Any, cast

import torch
from torch import Tensor, nn


class Decoder:
    """A model that reads token ids and remembers them: `next_logits(tokens) -> logits of the last one`."""

    def __init__(self, model: nn.Module):
        from transformers import DynamicCache

        self.model = model
        self.device = next(model.parameters()).device
        name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
        self._remembered = {name: DynamicCache(config=cast(Any, model.config)), "use_cache": True}

    @torch.no_grad()
    def next_logits(self, tokens: Tensor) -> Tensor:
        """tokens: [n] ids that follow what was read before. Returns [vocabulary] float32."""
        output = self.model(
            input_ids=tokens.to(self.device).unsqueeze(0),
            logits_to_keep=last_places(len(tokens)),
            **self._remembered,
        )
        return output.logits[0, -1].float()


def last_places(tokens: int, places: int = 1) -> Tensor:
    """Which logits of so many tokens are wanted, the last ones, as `logits_to_keep` takes them: [places] indices.

    A number would leave a view with gaps, for which torch copies the whole head before it multiplies: 57 MB of
    SmolLM2, 335 MB of Gemma 3 270M.
    """
    return torch.arange(tokens - places, tokens)

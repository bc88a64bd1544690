"""The measures of a Llama-shaped decoder, and of a Mamba: enough to know its size before anything is downloaded."""

from __future__ import annotations

from apt_core.base.shapes import LayerShape
from apt_core.base.values import Frozen
from apt_core.families.family import Family
from apt_core.families.llama import LLAMA
from apt_core.families.mamba import MAMBA
from apt_core.models.catalogue.scan import first_mamba_floats


def shape_in(family: Family, name: str, out_features: int, in_features: int) -> LayerShape:
    """A layer with what its family says of it."""
    return LayerShape(
        name=name,
        out_features=out_features,
        in_features=in_features,
        reads=family.input_of(name),
        in_attention=family.in_attention(name),
    )


class LlamaShape(Frozen):
    """A decoder with grouped-query attention, a gated MLP and RMS norms (Llama, Qwen2, SmolLM2, ...)."""

    hidden: int
    mlp: int
    blocks: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    tied: bool
    qkv_bias: bool = False
    norms: int = 2  # of a block, as wide as the hidden states
    head_norms: bool = False  # queries and keys are normed per head
    optional: tuple[LayerShape, ...] = ()  # every projection is pruned
    scan: int = 0

    @property
    def layers(self) -> tuple[LayerShape, ...]:
        """The seven projections of one block, in the order in which the model holds them."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return (
            shape_in(LLAMA, "self_attn.q_proj", query, self.hidden),
            shape_in(LLAMA, "self_attn.k_proj", key, self.hidden),
            shape_in(LLAMA, "self_attn.v_proj", key, self.hidden),
            shape_in(LLAMA, "self_attn.o_proj", self.hidden, query),
            shape_in(LLAMA, "mlp.gate_proj", self.mlp, self.hidden),
            shape_in(LLAMA, "mlp.up_proj", self.mlp, self.hidden),
            shape_in(LLAMA, "mlp.down_proj", self.hidden, self.mlp),
        )

    @property
    def prunable(self) -> int:
        return self.blocks * sum(layer.weights for layer in self.layers)

    @property
    def parameters(self) -> int:
        biases = (self.heads + 2 * self.kv_heads) * self.head_dim if self.qkv_bias else 0
        norms = (self.norms * self.blocks + 1) * self.hidden
        head_norms = self.blocks * 2 * self.head_dim if self.head_norms else 0
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        return embeddings + self.prunable + self.blocks * biases + norms + head_norms


class MambaShape(Frozen):
    """A Mamba of the first kind: every block is one mixer, and no attention limits how far it looks back."""

    hidden: int
    inner: int
    state: int
    time_step_rank: int
    blocks: int
    vocab: int
    tied: bool
    convolution: int = 4
    context: None = None

    @property
    def layers(self) -> tuple[LayerShape, ...]:
        """The three projections of one block that are pruned by default."""
        selected = self.time_step_rank + 2 * self.state
        return (
            shape_in(MAMBA, "mixer.in_proj", 2 * self.inner, self.hidden),
            shape_in(MAMBA, "mixer.x_proj", selected, self.inner),
            shape_in(MAMBA, "mixer.out_proj", self.hidden, self.inner),
        )

    @property
    def scan(self) -> int:
        """float32 numbers that a token holds within a block."""
        return first_mamba_floats(self.inner, self.state)

    @property
    def optional(self) -> tuple[LayerShape, ...]:
        """Pruned when a job asks for it."""
        return (shape_in(MAMBA, "mixer.dt_proj", self.inner, self.time_step_rank),)

    @property
    def prunable(self) -> int:
        return self.blocks * sum(layer.weights for layer in self.layers)

    @property
    def parameters(self) -> int:
        # Beside the projections: convolution and its bias, dt_proj and its bias, A_log, D.
        of_inner = self.convolution + 1 + self.time_step_rank + 1 + self.state + 1
        norms = (self.blocks + 1) * self.hidden
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        return embeddings + self.prunable + self.blocks * self.inner * of_inner + norms

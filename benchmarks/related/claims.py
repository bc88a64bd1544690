"""Which of two models reads better, and who says so."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.related.recipes import Allocated, Pruned, Recipe, Recovered, Searched


class Claim(NamedTuple):
    """`ours` is said to have a lower perplexity than `theirs`."""

    name: str
    words: str
    source: str
    ours: Recipe
    theirs: Recipe


_UNIFORM = Allocated("wanda", "uniform", "0.7")
_TWO_FOUR = Pruned("wanda", "2:4")
_LAST, _INFLUENCE = Pruned("depth[criterion=last]", "0.25"), Pruned("depth[criterion=influence]", "0.25")
CLAIMS = (
    Claim(
        "owl",
        "OWL's sparsities beat uniform ones (Wanda, 70%)",
        "arXiv 2310.05175",
        Allocated("wanda", "owl", "0.7"),
        _UNIFORM,
    ),
    Claim(
        "alphapruning",
        "AlphaPruning's sparsities beat uniform ones (Wanda, 70%)",
        "arXiv 2410.10912",
        Allocated("wanda", "alphapruning", "0.7"),
        _UNIFORM,
    ),
    Claim(
        "alphapruning-mid",
        "AlphaPruning's sparsities, tails from half of the spectrum (Wanda, 70%)",
        "arXiv 2410.10912",
        Allocated("wanda[allocation.metric=mid]", "alphapruning", "0.7"),
        _UNIFORM,
    ),
    Claim(
        "alphapruning-deviation",
        "AlphaPruning's sparsities with a deviation of 0.2, as published for Wanda on 7B models (Wanda, 70%)",
        "arXiv 2410.10912",
        Allocated("wanda[allocation.metric=peak;allocation.deviation=0.2]", "alphapruning", "0.7"),
        _UNIFORM,
    ),
    Claim(
        "atp",
        "Sparsity that rises with depth beats uniform (Wanda, 70%)",
        "arXiv 2502.14770",
        Allocated("wanda", "atp", "0.7"),
        _UNIFORM,
    ),
    Claim(
        "dsnot",
        "DSnoT improves Wanda's mask (60%)",
        "arXiv 2310.08915",
        Allocated("wanda[refinement=dsnot]", "uniform", "0.6"),
        Allocated("wanda", "uniform", "0.6"),
    ),
    Claim(
        "loss",
        "Sparsities by the loss beat uniform ones (Wanda, 70%)",
        "this project",
        Allocated("wanda", "loss", "0.7"),
        _UNIFORM,
    ),
    Claim(
        "spp",
        "SPP beats LoRA in equal steps (Wanda, 2:4)",
        "arXiv 2405.16057",
        Recovered(_TWO_FOUR, "spp"),
        Recovered(_TWO_FOUR, "lora"),
    ),
    Claim(
        "spp-fast-lora",
        "SPP beats LoRA with a learning rate of 0.003, ten times its usual one",
        "arXiv 2405.16057",
        Recovered(_TWO_FOUR, "spp"),
        Recovered(_TWO_FOUR, "lora[learning_rate=0.003]"),
    ),
    Claim(
        "distill",
        "Distillation beats SPP in equal steps (Wanda, 2:4)",
        "Hinton et al. 2015, arXiv 1503.02531",
        Recovered(_TWO_FOUR, "distill"),
        Recovered(_TWO_FOUR, "spp"),
    ),
    Claim(
        "param-first",
        "LLM-Pruner by param_first beats l2 (20%)",
        "arXiv 2305.11627",
        Pruned("llm-pruner[importance=param_first]", "0.2"),
        Pruned("llm-pruner[importance=l2]", "0.2"),
    ),
    Claim(
        "param-first-middle",
        "LLM-Pruner by param_first beats l2, first and last blocks whole as published (20%)",
        "arXiv 2305.11627",
        Pruned("llm-pruner[importance=param_first;widths=middle]", "0.2"),
        Pruned("llm-pruner[importance=l2;widths=middle]", "0.2"),
    ),
    Claim(
        "compensated",
        "LLM-Pruner's heads and channels, APT's closed form making up for them, beat the same without (20%)",
        "this project, arXiv 2410.15567",
        Pruned("llm-pruner[importance=param_first;compensate=true]", "0.2"),
        Pruned("llm-pruner[importance=param_first]", "0.2"),
    ),
    Claim(
        "last-blocks",
        "Last blocks gone and a partial fine-tune beat Block Influence without one (25% of depth)",
        "arXiv 2411.15558",
        Recovered(_LAST, "partial"),
        _INFLUENCE,
    ),
    Claim(
        "last-blocks-alike",
        "Last blocks gone beat Block Influence, both with the partial fine-tune (25% of depth)",
        "arXiv 2411.15558",
        Recovered(_LAST, "partial"),
        Recovered(_INFLUENCE, "partial"),
    ),
    Claim(
        "search",
        "Search beats uniform widths of the same size, both compensated (80% kept)",
        "arXiv 2409.17372",
        Searched(0.8, 4),
        Pruned("llm-pruner[importance=param_first;compensate=true]", "0.2"),
    ),
    Claim(
        "search-masked",
        "Search that compares candidates as they are masked beats uniform widths, both compensated (80% kept)",
        "arXiv 2409.17372",
        Searched(0.8, 4, "masked"),
        Pruned("llm-pruner[importance=param_first;compensate=true]", "0.2"),
    ),
)

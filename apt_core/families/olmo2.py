"""OLMo 2: Llama's projections; its queries and keys are normalised over all heads together, so none can go alone."""

from apt_core.families.family import Family
from apt_core.families.llama import CHANNELS, LLAMA

OLMO2 = Family(
    title="OLMo 2",
    model_types=("olmo2",),
    projections=LLAMA.projections,
    coupled=(CHANNELS,),
)

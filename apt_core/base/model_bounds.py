"""How large a model may be that is fetched for a visitor."""

from apt_core.base.values import Frozen


class ModelBounds(Frozen):
    """n_bytes: of its weights, or of what is downloaded for them; blocks: of its decoder. None is no limit."""

    n_bytes: int | None = None
    blocks: int | None = None


UNBOUNDED = ModelBounds()

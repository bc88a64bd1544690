"""Which outputs a pruned layer is to come close to, and how much each direction of them counts."""

"""Which weights go: one file a rule."""

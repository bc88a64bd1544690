"""Methods that make a model physically smaller: whole blocks, attention heads, channels go."""

"""Which share of its weights each layer loses."""

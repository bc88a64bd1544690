"""The models that have a name here, and how large a model is, without loading it. No torch."""

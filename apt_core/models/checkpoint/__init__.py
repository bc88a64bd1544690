"""Folders of safetensors: what they say about themselves, and how a pruned one is written."""

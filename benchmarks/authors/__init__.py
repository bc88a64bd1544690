"""The authors' own functions, run from a copy of their repository on the very tensors that ours are given."""

"""Recoveries, one file each: what is trained of a pruned model, and how it becomes weights with the same zeros."""

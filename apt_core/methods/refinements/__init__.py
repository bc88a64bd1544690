"""How a mask is improved: the same number of removals, better placed."""

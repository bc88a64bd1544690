"""How the weights that stay make up for those that went."""

"""What is measured of a model: perplexity, speed, what it writes. Imports passes and below."""

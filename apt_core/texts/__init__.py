"""The texts that statistics and perplexity come from, and token windows cut from them. Imports models and below."""

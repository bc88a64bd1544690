"""From a name to a folder of safetensors: package index, Hub, local folders, caches."""

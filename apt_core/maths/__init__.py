"""Tensors only: never a model, never transformers, never gradio."""

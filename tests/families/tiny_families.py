"""Tiny random models of every family: the configuration, as transformers spells it. 32 wide, two to four blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BASE = {
    "vocab_size": 258,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 257,
}
_GEMMA = {
    "query_pre_attn_scalar": 16,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention"],
}
_MAMBA2 = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 16,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}

CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2},
    "llama 3": {
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
        },
        "tie_word_embeddings": True,
    },
    "smollm3": {},
    "mistral": {},
    "qwen2": {},
    "qwen3": {},
    "phi3": {},
    "phi3 4": {"partial_rotary_factor": 0.75, "tie_word_embeddings": True},
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256, "n_inner": 64},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "gpt_neox": {},
    "falcon": {"head_dim": None, "new_decoder_architecture": True, "num_kv_heads": 1, "ffn_hidden_size": 64},
    "falcon alibi": {"head_dim": None, "alibi": True, "multi_query": False, "ffn_hidden_size": 64},
    "olmo2": {},
    "granite": {},
    "mamba": {"state_size": 8, "time_step_rank": 4},
    "mamba2": {"state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 16, "expand": 2},
    "falcon_mamba": {"state_size": 8, "time_step_rank": 4},
    "jamba": {
        "mamba_d_state": 8, "mamba_dt_rank": 4, "num_experts": 4, "attn_layer_period": 2, "attn_layer_offset": 1,
        "expert_layer_period": 2, "expert_layer_offset": 1, 
    },
    "zamba2": {
        "num_hidden_layers": 4, "mamba_ngroups": 1, "mamba_d_state": 8, "n_mamba_heads": 4, "mamba_headdim": 16,
        "chunk_size": 16, "num_mem_blocks": 1, "hybrid_layer_ids": [1, 3],
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "adapter_rank": 16,
    },
    "zamba2 two": {
        "num_hidden_layers": 5, "mamba_ngroups": 1, "mamba_d_state": 8, "n_mamba_heads": 4, "mamba_headdim": 16,
        "chunk_size": 16, "num_mem_blocks": 2, "hybrid_layer_ids": [1, 2, 4],
        "layers_block_type": ["mamba", "hybrid", "hybrid", "mamba", "hybrid"],
        "adapter_rank": 16,
    },
    "bamba": {**_MAMBA2, "attn_layer_indices": [1]},
    "granitemoehybrid": {
        **_MAMBA2, "num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 16,
        "layer_types": ["mamba", "attention"],
    },
    "granitemoehybrid dense": {
        **_MAMBA2, "num_local_experts": 0, "shared_intermediate_size": 48, "layer_types": ["mamba", "attention"],
    },
    "nemotron_h": {
        "num_hidden_layers": 4, "hybrid_override_pattern": "M*E-", "mamba_num_heads": 4, "mamba_head_dim": 16,
        "ssm_state_size": 8, "n_groups": 1, "chunk_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2,
        "moe_intermediate_size": 16, "moe_shared_expert_intermediate_size": 16, "n_group": 1, "topk_group": 1,
    },
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {**_EXPERTS, "shared_expert_intermediate_size": 16},
    "qwen3_moe": _EXPERTS,
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
}  # fmt: skip

# What a reader calls them, by kind.
KINDS: dict[str, dict[str, str]] = {
    "attention": {
        "llama": "Llama 2, SmolLM2", "llama 3": "Llama 3", "smollm3": "SmolLM3", "mistral": "Mistral",
        "qwen2": "Qwen2", "qwen3": "Qwen3", "phi3": "Phi-3", "phi3 4": "Phi-4", "gemma2": "Gemma 2",
        "gemma3_text": "Gemma 3 (text)", "gpt2": "GPT-2", "opt": "OPT", "gpt_neox": "GPT-NeoX, Pythia",
        "falcon": "Falcon", "falcon alibi": "Falcon with ALiBi", "olmo2": "OLMo 2", "granite": "Granite",
    },
    "state space": {"mamba": "Mamba", "mamba2": "Mamba-2", "falcon_mamba": "Falcon Mamba"},
    "both": {
        "jamba": "Jamba", "zamba2": "Zamba2", "zamba2 two": "Zamba2 with two shared blocks", "bamba": "Bamba",
        "granitemoehybrid": "Granite 4 with experts", "granitemoehybrid dense": "Granite 4",
        "nemotron_h": "Nemotron-H",
    },
    "mixtures of experts": {
        "mixtral": "Mixtral", "qwen2_moe": "Qwen2-MoE", "qwen3_moe": "Qwen3-MoE", "olmoe": "OLMoE",
    },
}  # fmt: skip

UNLISTED: dict[str, dict[str, Any]] = {"stablelm": {}}


def config(family: str):
    """The configuration of a family's tiny model; what follows a space in its name tells variants apart."""
    from transformers import AutoConfig

    wanted = BASE | (CONFIGS | UNLISTED)[family]
    return AutoConfig.for_model(
        family.split()[0], **{key: value for key, value in wanted.items() if value is not None}
    )


def write(family: str, folder: Path) -> Path:
    """A folder as the Hub would give it: config.json, safetensors and the byte tokenizer."""
    from assets.make.make_tiny import write_tokenizer

    model(family).save_pretrained(folder)
    write_tokenizer(folder, BASE["max_position_embeddings"])
    return folder


def model(family: str):
    """A tiny model with random weights from one seed."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config(family), dtype=torch.float32)

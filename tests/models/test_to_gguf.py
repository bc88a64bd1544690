"""GGUF files that are written here, read again by transformers: the same logits, the same tokens."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from gguf import GGUFReader

from apt_core.base.errors import BadInput
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.checkpoint import to_gguf

TINY = CATALOGUE["tiny-llama"].folder
TEXTS = ("The sky is blue because of 42 things.", "naïve 模型  two spaces\n\nnew lines", "<|begin|>it's")


def shaped(kind, folder, dtype=torch.float32, **changes):
    """A random model of another family with the tokenizer of the tiny one."""
    torch.manual_seed(0)
    common = {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 2,
        "num_key_value_heads": 1, "vocab_size": 258, "max_position_embeddings": 256, "rope_theta": 50_000.0,
        "bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257,
    }  # fmt: skip
    text = "Text" if kind == "Gemma3" else ""
    config = getattr(transformers, f"{kind}{text}Config")(**(common | changes))
    model = getattr(transformers, f"{kind}ForCausalLM")(config).to(dtype)
    for name, parameter in model.named_parameters():  # norms and biases that are not all one or zero
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.2) if "norm" in name else torch.nn.init.normal_(parameter)
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(TINY).save_pretrained(folder)
    return folder


MODELS = {
    "llama": lambda folder: TINY,
    "llama untied": lambda folder: shaped("Llama", folder, tie_word_embeddings=False),
    "qwen2": lambda folder: shaped("Qwen2", folder, tie_word_embeddings=True),
    "qwen3": lambda folder: shaped("Qwen3", folder, head_dim=128, tie_word_embeddings=False),
    "gemma3": lambda folder: shaped("Gemma3", folder, head_dim=32, sliding_window=16, num_hidden_layers=7),
}


def logits(model):
    model.eval()
    ids = torch.arange(3, 100).unsqueeze(0)
    with torch.no_grad():
        return model(ids).logits


def read_back(file, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=dtype)


@pytest.mark.parametrize("kind", ["llama", "llama untied", "qwen2", "qwen3", "gemma3"])
def test_the_file_gives_the_same_logits_again(kind, tmp_path):
    (tmp_path / "model").mkdir()
    folder = MODELS[kind](tmp_path / "model")
    file = tmp_path / "out" / "model.gguf"
    file.parent.mkdir()
    to_gguf.write(folder, file, "Tiny")
    dense = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    again = read_back(file, torch.float32)
    assert torch.equal(logits(dense), logits(again)) or torch.allclose(
        logits(dense), logits(again), rtol=1e-4, atol=1e-4
    )
    for (name, one), (_, other) in zip(dense.named_parameters(), again.named_parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6), name


@pytest.mark.parametrize(
    ("precision", "kind"), [("f16", "F16"), ("bf16", "BF16"), ("f32", "F32"), ("auto", "BF16")]
)
def test_matrices_have_the_precision_that_was_asked_for(precision, kind, tmp_path):
    file = tmp_path / "model.gguf"
    to_gguf.write(TINY, file, "Tiny", precision)
    types = {len(tensor.shape): set() for tensor in GGUFReader(file).tensors}
    for tensor in GGUFReader(file).tensors:
        types[len(tensor.shape)].add(tensor.tensor_type.name)
    assert types == {1: {"F32"}, 2: {kind}}
    dense = transformers.AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    assert torch.allclose(logits(dense), logits(read_back(file, torch.float32)), atol=0.05)


def test_the_tokenizer_is_in_the_file(tmp_path):
    file = tmp_path / "model.gguf"
    to_gguf.write(TINY, file, "Tiny")
    mine = transformers.AutoTokenizer.from_pretrained(TINY)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file=file.name)
    for text in TEXTS:
        assert (
            again(text, add_special_tokens=False).input_ids == mine(text, add_special_tokens=False).input_ids
        )
    assert (again.bos_token_id, again.eos_token_id) == (mine.bos_token_id, mine.eos_token_id)


def test_zeros_stay_zeros(tmp_path):
    """What was pruned is pruned in the file."""
    model = transformers.AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.bfloat16)
    weight = model.model.layers[1].self_attn.q_proj.weight
    with torch.no_grad():
        weight[:, ::2] = 0
    model.save_pretrained(tmp_path / "pruned")
    transformers.AutoTokenizer.from_pretrained(TINY).save_pretrained(tmp_path / "pruned")
    to_gguf.write(tmp_path / "pruned", tmp_path / "model.gguf", "Tiny")
    again = read_back(tmp_path / "model.gguf", torch.bfloat16).model.layers[1].self_attn.q_proj.weight
    assert torch.equal(again, weight)


def config_with(folder, **changes):
    folder.mkdir()
    for file in TINY.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model_type": "mamba"}, "Models of the type mamba cannot be written as GGUF"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "scales its rotary embedding"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "scales its rotary embedding"),
    ],
)
def test_what_has_no_form_there_is_one_sentence(changes, sentence, tmp_path):
    with pytest.raises(BadInput, match=sentence):
        to_gguf.check(config_with(tmp_path / "model", **changes))


def test_a_precision_that_does_not_exist_is_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="There is no precision 'q4_k'"):
        to_gguf.write(TINY, tmp_path / "x.gguf", "Tiny", "q4_k")


def test_a_tokenizer_of_another_kind_is_one_sentence(tmp_path):
    folder = config_with(tmp_path / "model")
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram", "vocab": []}}))
    with pytest.raises(BadInput, match="no BPE"):
        to_gguf.check(folder)

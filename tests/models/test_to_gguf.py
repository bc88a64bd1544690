"""GGUF files that are written here, read again by transformers: the same logits, the same tokens."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest
import torch
import transformers
from gguf import MODEL_ARCH, GGUFReader, get_tensor_name_map

import apt_core
from apt_core.base.errors import BadInput
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.checkpoint import gguf_tokenizer, to_gguf
from apt_core.models.load.loading import load

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


# ---- blocks of different widths, as llama.cpp's architecture `deci`


def uneven(folder, kind="Llama", **changes):
    """A model whose second block has lost half of everything, as the method that makes such models writes it."""
    dense = shaped(kind, folder / "dense", num_key_value_heads=2, num_attention_heads=4, **changes)
    options = {"widths": "middle", "start_block": 1, "end_block": 2, "multiple": 1, "importance": "l1"}
    windows = {"text": "wiki-sample", "samples": 2, "length": 32}
    job = apt_core.plan(str(dense), "llm-pruner", 1 / 6, options, calibration=windows, evaluation=windows)
    for _ in apt_core.run(job, folder):
        pass
    return folder / "checkpoint"


@pytest.mark.parametrize("kind", ["Llama", "Qwen2"])
def test_blocks_of_different_widths_are_read_back(kind, tmp_path):
    (tmp_path / "dense").mkdir()
    folder = uneven(tmp_path, kind)
    to_gguf.write(folder, tmp_path / "model.gguf", "Tiny", "f32")
    read = GGUFReader(tmp_path / "model.gguf")
    said = {name: read.get_field(f"deci.{name}").contents() for name in (
        "attention.head_count", "attention.head_count_kv", "feed_forward_length", "block_count",
        "attention.key_length", "rope.dimension_count",
    )}  # fmt: skip
    assert said == {
        "attention.head_count": [4, 2, 4], "attention.head_count_kv": [2, 1, 2], "feed_forward_length": [96, 48, 96],
        "block_count": 3, "attention.key_length": 16, "rope.dimension_count": 16,
    }  # fmt: skip
    held = {tensor.name: tensor.data for tensor in read.tensors}
    model, _ = load(folder, torch.float32, "cpu")
    names = get_tensor_name_map(MODEL_ARCH.DECI, 3)
    state = model.state_dict()
    own = {names.get_name(name, (".weight", ".bias")): (name, one) for name, one in state.items()}
    assert held.keys() <= own.keys() and own.keys() - held.keys() <= {
        "output.weight"
    }  # where it is the embedding
    for gguf_name, written in held.items():
        name, one = own[gguf_name]
        numpy = one.numpy()
        if ".q_proj." in name or ".k_proj." in name:  # pairs of 8 apart in a head of 16 become neighbours
            heads = numpy.reshape(-1, 2, 8, *numpy.shape[1:])
            numpy = heads.swapaxes(1, 2).reshape(numpy.shape)
        assert np.array_equal(written, numpy), name


def test_other_models_of_different_widths_have_no_form_there(tmp_path):
    (tmp_path / "dense").mkdir()
    folder = uneven(tmp_path, "Qwen3", head_dim=16)
    with pytest.raises(BadInput, match="qwen3 whose blocks differ in width cannot be written as GGUF"):
        to_gguf.check(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Llama", "Qwen2"])
def test_llama_cpp_predicts_what_our_model_predicts(kind, tmp_path, monkeypatch):
    """Its probabilities of the next token, for blocks of different widths (pip install xllamacpp)."""
    llama = pytest.importorskip("xllamacpp")
    words = gguf_tokenizer.read(TINY)._replace(
        merges=("a b",)
    )  # llama.cpp opens no byte-level BPE without merges
    monkeypatch.setattr(gguf_tokenizer, "read", lambda folder: words)
    (tmp_path / "dense").mkdir()
    folder = uneven(tmp_path, kind)
    to_gguf.write(folder, tmp_path / "model.gguf", "Tiny", "f32")
    asked = llama.CommonParams()
    asked.model.path, asked.n_ctx = str(tmp_path / "model.gguf"), 256
    prompt = [7, 99, 3, 42, 11, 200, 5, 77]
    server = llama.Server(asked)
    question = {
        "prompt": prompt,
        "n_predict": 1,
        "n_probs": 20,
        "logit_bias": [[65, 1000.0]],
    }  # to say a whole letter
    answer = httpx.post(f"{server.listening_address}/completion", json=question).json()
    model, _ = load(folder, torch.float32, "cpu")
    wanted = model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
    told = answer["completion_probabilities"][0]["top_logprobs"]
    assert len(told) == 20
    for one in told:
        assert one["logprob"] == pytest.approx(float(wanted[one["id"]]), abs=2e-3)

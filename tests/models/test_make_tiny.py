"""The bundled model is what its script makes, on every machine."""

from __future__ import annotations

import pytest

from apt_core.models.catalogue.entries import CATALOGUE
from assets.make.make_tiny import make


def test_the_bundled_folder_comes_out_byte_by_byte(tmp_path):
    bundled = CATALOGUE["tiny-random-llama"].folder
    made = make(tmp_path / "made")
    assert {file.name for file in made.iterdir()} == {file.name for file in bundled.iterdir()}
    for file in made.iterdir():
        assert file.read_bytes() == (bundled / file.name).read_bytes(), file.name


def test_another_seed_gives_other_weights(tmp_path):
    one, other = make(tmp_path / "one", seed=1), make(tmp_path / "other", seed=2)
    assert (one / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


@pytest.mark.parametrize("text", ["Hello, world.", "naïve 中文 🙂\n\n  two\tspaces", ""])
def test_its_tokenizer_writes_every_byte_back(text):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(CATALOGUE["tiny-random-llama"].folder, local_files_only=True)
    tokens = tokenizer(text)["input_ids"]
    assert len(tokens) == len(text.encode("utf-8"))
    assert tokenizer.decode(tokens) == text
    assert tokenizer.eos_token_id == 257 and tokenizer.bos_token_id == 256 and len(tokenizer) == 258

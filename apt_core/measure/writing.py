"""Tokens turned into text one by one: only what the next token cannot change."""

from __future__ import annotations


class Writing:
    """The text of the tokens so far, as far as it is certain."""

    def __init__(self, tokenizer) -> None:
        self.tokens: list[int] = []
        self.text = ""
        self._tokenizer = tokenizer

    def add(self, token: int) -> str:
        """The text that this token makes certain; '' while a character is incomplete."""
        self.tokens.append(token)
        return self._advance(self._decoded())

    def flush(self) -> str | None:
        """What was held back, None where nothing was."""
        return self._advance(self._decoded(), final=True) or None

    def _decoded(self) -> str:
        return self._tokenizer.decode(self.tokens, skip_special_tokens=True)

    def _advance(self, decoded: str, final: bool = False) -> str:
        # A replacement mark at the end is half a character: it waits for the token that completes it.
        certain = decoded if final else decoded.rstrip("\ufffd")
        if not certain.startswith(self.text):
            return ""
        new = certain[len(self.text) :]
        self.text = certain
        return new

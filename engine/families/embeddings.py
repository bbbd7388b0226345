"""Textual inversion: words that files taught, read into the tokenizers and text encoders of a pipeline; knows no picture."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compel.embeddings_provider import (  # pyright: ignore[reportMissingTypeStubs]
    BaseTextualInversionManager,
)
from safetensors import SafetensorError
from safetensors.torch import load as tensors_in

from engine import adapter_files

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger("easel.engine")
_ENCODERS = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """The words that a pipeline knows besides those of its language."""

    digests: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of each word's file."""
    tokens: tuple[Mapping[int, tuple[int, ...]], ...] = ()
    """For each tokenizer, what a word's own token stands for: one token for each of its vectors."""

    def spelled(self, text: str) -> str:
        """With each of these words as its file is called: diffusers finds no other spelling of those with several vectors."""
        for word in self.digests:
            text = re.sub(re.escape(word), lambda _, word=word: word, text, flags=re.IGNORECASE)
        return text

    def named_in(self, *texts: str) -> dict[str, str]:
        """What a picture's fingerprint says of those that its prompts hold."""
        folded = "\n".join(texts).casefold()
        return {f"embedding {word}": told for word, told in self.digests.items() if word.casefold() in folded}

    def expanded(
        self, tokens: Sequence[int], starts: Sequence[int], tokenizer: int = 0
    ) -> tuple[list[int], list[int]]:
        """Tokens of a text, and where in it each begins, with all tokens of these words."""
        several = self.tokens[tokenizer] if self.tokens else dict[int, tuple[int, ...]]()
        pairs = [
            (each, start)
            for token, start in zip(tokens, starts, strict=True)
            for each in several.get(token, (token,))
        ]
        return [token for token, _ in pairs], [start for _, start in pairs]


class ForCompel(BaseTextualInversionManager):
    """Expands tokens by their numbers. compel's own goes through the text and back, which can change other words."""

    def __init__(self, embeddings: Embeddings, tokenizer: int) -> None:
        """`tokenizer`: its number in the pipeline."""
        self._embeddings, self._tokenizer = embeddings, tokenizer

    def expand_textual_inversion_token_ids_if_necessary(self, token_ids: list[int]) -> list[int]:
        return self._embeddings.expanded(token_ids, token_ids, self._tokenizer)[0]


def load(pipeline: Any, models: Path | None) -> Embeddings:
    """Teaches the pipeline all embedding files that fit it; what does not is left out, with a line in the log."""
    encoders = [
        (getattr(pipeline, tokenizer), encoder)
        for tokenizer, name in _ENCODERS
        if (encoder := getattr(pipeline, name, None)) is not None
    ]
    found = dict(_fitting([*encoders], models))
    if not found:
        return Embeddings()
    for number, (tokenizer, encoder) in enumerate(encoders):
        # all at once: each call makes the table of all words anew
        pipeline.load_textual_inversion(
            [vectors[number] for _, vectors in found.values()],
            token=[*found],
            tokenizer=tokenizer,
            text_encoder=encoder,
        )
    counts = {word: len(vectors[0]) for word, (_, vectors) in found.items()}
    return Embeddings(
        digests={word: digest for word, (digest, _) in found.items()},
        tokens=tuple(dict(_tokens(tokenizer, counts)) for tokenizer, _ in encoders),
    )


def _fitting(
    encoders: Sequence[tuple[Any, Any]], models: Path | None
) -> Iterator[tuple[str, tuple[str, list[Tensor]]]]:
    """Each word with its file's digest and its vectors, (vectors, width), for each of the encoders."""
    files = adapter_files.paths(models, adapter_files.EMBEDDINGS)
    widths = tuple(encoder.get_input_embeddings().weight.shape[-1] for _, encoder in encoders)
    fit = adapter_files.Fit(family="", text_widths=widths)
    offered = adapter_files.embeddings(None if models is None else str(models), fit)
    known = {word.casefold() for tokenizer, _ in encoders for word in tokenizer.get_vocab()}
    for info in offered:
        problem = info.problem
        try:
            data = b"" if problem else files[info.name].read_bytes()
            tensors = tensors_in(data) if data else {}
        except (OSError, SafetensorError):
            problem, data, tensors = adapter_files.DAMAGED, b"", {}
        vectors = [
            tensors[key].reshape(-1, tensors[key].shape[-1]) for key in adapter_files.vectors_of(tensors)
        ]
        own = {name.casefold() for name in _names(info.name, len(vectors[0]) if vectors else 0)}
        if not problem and (own | {f"{name}</w>" for name in own}) & known:
            problem = "its name is a word already: rename the file"
        if problem:
            _log.warning("the embedding “%s” is left out: %s", info.name, problem)
            continue
        known |= own
        yield info.name, (adapter_files.digest_of(data), vectors)


def _names(word: str, count: int) -> list[str]:
    """What diffusers calls the tokens of a word with so many vectors."""
    return [word, *(f"{word}_{number}" for number in range(1, count))]


def _tokens(tokenizer: Any, counts: Mapping[str, int]) -> Iterator[tuple[int, tuple[int, ...]]]:
    for word, count in counts.items():
        own = tokenizer.convert_tokens_to_ids(_names(word, count))
        yield own[0], tuple(own)

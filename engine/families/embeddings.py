"""Textual inversion: words that files taught, read into the tokenizers and text encoders of a pipeline; knows no picture.

Tokenizers find a word anywhere, be it within another one, and diffusers finds those with several vectors only without
capitals. So they are taught signs that nobody writes, one for each word, and texts get the signs for the words in them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compel.embeddings_provider import (  # pyright: ignore[reportMissingTypeStubs]
    BaseTextualInversionManager,
)
from safetensors import SafetensorError
from safetensors.torch import load as tensors_in

from engine.checkpoints import adapters

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger("easel.engine")
_FIRST_SIGN = 0xF0000
"""Where Unicode's second area for private use begins."""
_ENCODERS = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """The words that a pipeline knows besides those of its language."""

    digests: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of each word's file."""
    tokens: tuple[Mapping[int, tuple[int, ...]], ...] = ()
    """For each tokenizer, what the token of a word's sign stands for: one token for each of its vectors."""

    def spelled(self, text: str) -> str:
        """With the sign of each of these words for the word."""
        if not self.digests:
            return text
        return _words(tuple(self.digests)).sub(lambda match: _sign(_number(match)), text)

    def shown(self, text: str) -> str:
        """What `spelled` made, as a person may read it: with each word as its file is called."""
        return text.translate({ord(_sign(number)): word for number, word in enumerate(self.digests)})

    def named_in(self, *texts: str) -> dict[str, str]:
        """What a picture's fingerprint says of those that its prompts hold."""
        signs = {sign for text in texts for sign in self.spelled(text)}
        return {
            f"embedding {word}": told
            for number, (word, told) in enumerate(self.digests.items())
            if _sign(number) in signs
        }

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


def _sign(number: int) -> str:
    """What stands for a word in the texts that tokenizers read."""
    return chr(_FIRST_SIGN + number)


@lru_cache(maxsize=64)
def _words(words: tuple[str, ...]) -> re.Pattern[str]:
    """Finds the longest of these where it is a word of its own, in any capitals."""
    longest = sorted(range(len(words)), key=lambda number: -len(words[number]))
    either = "|".join(f"(?P<w{number}>{_pattern(words[number])})" for number in longest)
    # What a hyphen or a full stop joins is one word: neither “cat-toy-box” nor “cat-toy.v2” is “cat-toy”.
    return re.compile(rf"(?<!\w)(?<!\w[-.])(?:{either})(?!\w|[-.]\w)", re.IGNORECASE)


def _pattern(word: str) -> str:
    return r"\s+".join(re.escape(part) for part in word.split())


def _number(match: re.Match[str]) -> int:
    """The place of the word that was found."""
    assert match.lastgroup is not None
    return int(match.lastgroup[1:])


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
    for place, (tokenizer, encoder) in enumerate(encoders):
        # all at once: each call makes the table of all words anew
        pipeline.load_textual_inversion(
            [vectors[place] for _, vectors in found.values()],
            token=[_sign(number) for number in range(len(found))],
            tokenizer=tokenizer,
            text_encoder=encoder,
        )
    counts = [len(vectors[0]) for _, vectors in found.values()]
    return Embeddings(
        digests={word: digest for word, (digest, _) in found.items()},
        tokens=tuple(dict(_tokens(tokenizer, counts)) for tokenizer, _ in encoders),
    )


def _fitting(
    encoders: Sequence[tuple[Any, Any]], models: Path | None
) -> Iterator[tuple[str, tuple[str, list[Tensor]]]]:
    """Each word with its file's digest and its vectors, (vectors, width), for each of the encoders."""
    files = adapters.paths(models, adapters.EMBEDDINGS)
    widths = tuple(encoder.get_input_embeddings().weight.shape[-1] for _, encoder in encoders)
    fit = adapters.Fit(family="", text_widths=widths)
    offered = adapters.embeddings(None if models is None else str(models), fit)
    known = {word.casefold() for tokenizer, _ in encoders for word in tokenizer.get_vocab()}
    for info in offered:
        problem = info.problem
        try:
            data = b"" if problem else files[info.name].read_bytes()
            tensors = tensors_in(data) if data else {}
        except (OSError, SafetensorError):
            problem, data, tensors = adapters.DAMAGED, b"", {}
        vectors = [tensors[key].reshape(-1, tensors[key].shape[-1]) for key in adapters.vectors_of(tensors)]
        own = info.name.casefold()
        if not problem and {own, f"{own}</w>"} & known:
            problem = "its name is a word already: rename the file"
        if problem:
            _log.warning("the embedding “%s” is left out: %s", info.name, problem)
            continue
        known.add(own)
        yield info.name, (adapters.digest_of(data), vectors)


def _tokens(tokenizer: Any, counts: Sequence[int]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The token of each word's sign, and those of all its vectors, by diffusers' names for them."""
    for number, count in enumerate(counts):
        sign = _sign(number)
        own = tokenizer.convert_tokens_to_ids([sign, *(f"{sign}_{more}" for more in range(1, count))])
        yield own[0], tuple(own)

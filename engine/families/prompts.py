"""Turns prompts into the text encoder's numbers, weighted and longer than its window; knows no picture.

What is neither weighted nor too long is encoded by the pipeline itself, all else by compel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from compel.embeddings_provider import (  # pyright: ignore[reportMissingTypeStubs]
    EmbeddingsProvider,
    ReturnedEmbeddingsType,
    SplitLongTextMode,
)

from engine import placing
from engine.families import weighting
from engine.families.embeddings import Embeddings, ForCompel
from engine.families.lora import Loras, Switched
from engine.families.weighting import Part

if TYPE_CHECKING:
    from torch import Tensor

ENCODED_TEXTS = 64
"""Texts kept; a window of one takes 231 KiB with Stable Diffusion 1.5, 616 KiB with SDXL."""
WINDOWS_MAX = 4
"""A longer text is cut."""
LIGHT_MAX = 8
"""Parts of a text that can weigh less than 1: compel encodes the whole text once more for each of them."""
_SHOWN_WORDS = 4
_SHOWN_CHARS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One text, and what could not be heeded of it."""

    embeddings: Tensor
    """(1, tokens, width of the text encoder); the tokens fill whole windows."""
    pooled: Tensor | None = None
    """(1, width of the second text encoder), of SDXL's prompts: the text as a whole."""
    remarks: tuple[str, ...] = ()
    """What follows “The prompt” in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    part: Part
    tokens: Sequence[int]
    starts: Sequence[int]
    """Where in the part's text each token begins."""


class Prompts:
    """The prompts of a pipeline with one text encoder, or with SDXL's two, weighted and longer than their window."""

    def __init__(
        self, pipeline: Any, loras: Loras | None = None, embeddings: Embeddings | None = None
    ) -> None:
        """What is wanted of `loras` (if any) at the time changes how a text is read; `embeddings` are what it was taught."""
        self._pipe = pipeline
        self._loras = loras or Loras(pipeline)
        self._embeddings = embeddings or Embeddings()
        self._layout = placing.of(pipeline)
        self._device = self._layout.aside
        self._window: int = pipeline.tokenizer.model_max_length
        self._room = self._window - 2  # a mark at each end
        self._compel = _compel(pipeline, self._embeddings)
        self._read_with: Switched = ()
        self._encoded = lru_cache(maxsize=ENCODED_TEXTS)(self._read)

    def encode(self, text: str) -> Encoded:
        return self._encoded(self._embeddings.spelled(text), self._loras.wanted_by_text)

    def _read(self, text: str, wanted: Switched) -> Encoded:
        self._loras.hear()
        if wanted != self._read_with:  # compel keeps what an empty text is
            self._compel, self._read_with = _compel(self._pipe, self._embeddings), wanted
        return self._brought(self._encode(text))

    def _brought(self, found: Encoded) -> Encoded:
        """On the device, in the numbers that the UNet computes with, also where it was encoded elsewhere."""
        layout = self._layout
        if layout.aside == layout.device:
            return found
        pooled = None if found.pooled is None else found.pooled.to(layout.device, layout.dtype)
        return replace(found, embeddings=found.embeddings.to(layout.device, layout.dtype), pooled=pooled)

    def embeddings(self, prompt: str, negative_prompt: str | None) -> tuple[Tensor, tuple[str, ...]]:
        """(1 or 2, tokens, width), the negative prompt's first, and a note for all that could not be heeded."""
        found = self.encode(prompt)
        notes = [f"The prompt {remark}" for remark in found.remarks]
        if negative_prompt is None:
            return found.embeddings, tuple(notes)
        against = self.encode(negative_prompt)
        notes += [f"The negative prompt {remark}" for remark in against.remarks]
        tokens = max(found.embeddings.shape[1], against.embeddings.shape[1])
        return torch.cat([self._padded(one.embeddings, tokens) for one in (against, found)]), tuple(notes)

    def _padded(self, embeddings: Tensor, tokens: int) -> Tensor:
        """Filled up with windows that hold no words."""
        missing = (tokens - embeddings.shape[1]) // self._window
        return torch.cat([embeddings, *[self.encode("").embeddings] * missing], dim=1)

    @torch.inference_mode()
    def _encode(self, text: str) -> Encoded:
        pieces = self._pieces(weighting.parse(text))
        weights = {piece.part.weight for piece in pieces if piece.tokens}
        if weights <= {1.0} and sum(len(piece.tokens) for piece in pieces) <= self._room:
            return self._as_pipe("".join(piece.part.text for piece in pieces))
        parts, cut = self._cut(pieces)
        parts, heavier = _with_few_light(parts)
        # For the text as a whole no word counts more than another, and none beyond the first window.
        whole = "".join(part.text for part in parts if part.weight)
        return Encoded(embeddings=self._weighted(parts), pooled=self._pooled(whole), remarks=(*cut, *heavier))

    def _weighted(self, parts: Sequence[Part]) -> Tensor:
        """(1, tokens, width): what each text encoder sees, side by side."""
        texts, weights = [[part.text for part in parts]], [[part.weight for part in parts]]
        # A word that had to be cut in two can take one token more than it did.
        seen = [
            one.get_embeddings_for_weighted_prompt_fragments(texts, weights, device=self._device)[
                :, : WINDOWS_MAX * self._window
            ]
            for one in self._compel
        ]
        # SDXL's second tokenizer counts "!!!" as three, so that it can need one window more.
        tokens = max(one.shape[1] for one in seen)
        filled = [
            torch.cat([one, *[compel.empty_z] * ((tokens - one.shape[1]) // self._window)], dim=1)
            for one, compel in zip(seen, self._compel, strict=True)
        ]
        return torch.cat(filled, dim=-1)

    def _pooled(self, text: str) -> Tensor | None:
        if len(self._compel) == 1:
            return None
        return self._compel[-1].get_pooled_embeddings([text], device=self._device)

    def _as_pipe(self, text: str) -> Encoded:
        found = self._pipe.encode_prompt(
            text, device=self._device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        return Encoded(embeddings=found[0], pooled=found[2] if len(found) > 2 else None)

    def _pieces(self, parts: Sequence[Part]) -> list[_Piece]:
        found = self._pipe.tokenizer(
            [part.text for part in parts], add_special_tokens=False, return_offsets_mapping=True
        )
        pieces: list[_Piece] = []
        for part, ids, spans in zip(parts, found.input_ids, found.offset_mapping, strict=True):
            tokens, starts = self._embeddings.expanded(ids, [start for start, _ in spans])
            pieces.append(_Piece(part=part, tokens=tokens, starts=starts))
        return pieces

    def _cut(self, pieces: Sequence[_Piece]) -> tuple[list[Part], tuple[str, ...]]:
        """Those parts that have words and fit into WINDOWS_MAX windows, and where the text was cut."""
        left = self._fitting([*chain.from_iterable(piece.tokens for piece in pieces)])
        kept: list[Part] = []
        used = dropped = ""
        for piece in pieces:
            text, heard = piece.part.text, min(left, len(piece.tokens))
            end = len(text) if heard == len(piece.tokens) else piece.starts[heard]
            end = 0 if dropped else end
            if heard:
                kept.append(replace(piece.part, text=text[:end]))
            used, dropped = used + text[:end], dropped + text[end:]
            left -= heard
        if not dropped:
            return kept, ()
        return kept, (_too_long(self._embeddings.shown(used), self._embeddings.shown(dropped)),)

    def _fitting(self, tokens: Sequence[int]) -> int:
        """How many of these tokens come to lie in the first WINDOWS_MAX windows, as compel fills them."""
        at = 0
        for _ in range(WINDOWS_MAX):
            at += self._compel[0]._find_next_best_split_point(tokens[at:], self._room)
        return min(at, len(tokens))


def _compel(pipeline: Any, embeddings: Embeddings) -> list[Any]:
    """One for each text encoder."""
    pairs = [(pipeline.tokenizer, pipeline.text_encoder)]
    layer = ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED
    if hasattr(pipeline, "text_encoder_2"):
        pairs.append((pipeline.tokenizer_2, pipeline.text_encoder_2))
        layer = ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
    for tokenizer, _ in pairs:
        # Texts longer than a window are meant here, and need no warning.
        tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    return [
        EmbeddingsProvider(
            tokenizer,
            encoder,
            textual_inversion_manager=ForCompel(embeddings, number),
            truncate=False,
            returned_embeddings_type=layer,
            # Whole sentences would leave a window almost empty where one full stop precedes a long list.
            split_long_text_mode=SplitLongTextMode.PHRASES,
        )
        for number, (tokenizer, encoder) in enumerate(pairs)
    ]


def _with_few_light(parts: Sequence[Part]) -> tuple[list[Part], tuple[str, ...]]:
    """The first LIGHT_MAX parts below weight 1 keep their weight."""
    light = [number for number, part in enumerate(parts) if part.weight < 1]
    if len(light) <= LIGHT_MAX:
        return [*parts], ()
    late = light[LIGHT_MAX:]
    changed = [replace(part, weight=1.0) if number in late else part for number, part in enumerate(parts)]
    return changed, (
        f"has {len(light)} parts that weigh less than 1: the first {LIGHT_MAX} do, the others weigh 1.",
    )


def _too_long(used: str, dropped: str) -> str:
    return f"is too long for this model: it was used up to “{_tail(used)}”; from “{_head(dropped)}” on it was left out."


def _tail(text: str) -> str:
    shown = " ".join(text.split()[-_SHOWN_WORDS:])[-_SHOWN_CHARS:]
    return shown if shown == text.strip() else f"…{shown}"


def _head(text: str) -> str:
    shown = " ".join(text.split()[:_SHOWN_WORDS])[:_SHOWN_CHARS]
    return shown if shown == text.strip() else f"{shown}…"

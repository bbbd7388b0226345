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

from engine.device.layout import Layout, as_it_lies
from engine.families import prompt_weights
from engine.families.embeddings import Embeddings, ForCompel
from engine.families.loras import Loras, Switched
from engine.families.prompt_weights import Part

if TYPE_CHECKING:
    from torch import Tensor

ENCODED_TEXTS = 64
"""Texts kept; a window of one takes 231 KiB with Stable Diffusion 1.5, 616 KiB with SDXL."""
WINDOWS_MAX = 4
"""A longer text is cut."""
COMMA_BACK = 20
"""A window ends at its last comma if that is among so many of its last tokens, as in AUTOMATIC1111."""
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
        self,
        pipeline: Any,
        loras: Loras | None = None,
        embeddings: Embeddings | None = None,
        lies: Layout | None = None,
    ) -> None:
        """What is wanted of `loras` (if any) at the time changes how a text is read; `embeddings` are what it was taught."""
        self._pipe = pipeline
        self._loras = loras or Loras(pipeline)
        self._embeddings = embeddings or Embeddings()
        self._layout = lies or as_it_lies(pipeline)
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
        here = self._layout
        if here.aside == here.device:
            return found
        pooled = None if found.pooled is None else found.pooled.to(here.device, here.dtype)
        return replace(found, embeddings=found.embeddings.to(here.device, here.dtype), pooled=pooled)

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
        sections, cut = self._cut(_sections(self._pieces(prompt_weights.parse(text))))
        sections, heavier = _with_few_light(sections)
        read = [self._section(parts) for parts in sections]
        return Encoded(
            embeddings=torch.cat([one.embeddings for one in read], dim=1)[:, : WINDOWS_MAX * self._window],
            pooled=read[0].pooled,  # as in AUTOMATIC1111: of the text as a whole its first window counts
            remarks=(*prompt_weights.remarks(text), *cut, *heavier),
        )

    def _section(self, parts: Sequence[Part]) -> Encoded:
        """What stands before a BREAK, between two, or behind the last."""
        pieces = self._pieces(parts)
        weights = {piece.part.weight for piece in pieces if piece.tokens}
        if weights <= {1.0} and sum(len(piece.tokens) for piece in pieces) <= self._room:
            return self._as_pipe("".join(part.text for part in parts))
        heard = [piece.part for piece in pieces if piece.tokens]
        # For the text as a whole no word counts more than another, and none beyond the first window.
        whole = "".join(part.text for part in heard if part.weight > 0)
        return Encoded(embeddings=self._weighted(heard), pooled=self._pooled(whole))

    def _weighted(self, parts: Sequence[Part]) -> Tensor:
        """(1, tokens, width): what each text encoder sees, side by side.

        A part below weight 0 counts against itself: from where it weighs nothing as far in the other direction.
        """
        if all(part.weight >= 0 for part in parts):
            return self._by_compel(parts)
        without = self._by_compel([replace(part, weight=max(0.0, part.weight)) for part in parts])
        return 2 * without - self._by_compel([replace(part, weight=abs(part.weight)) for part in parts])

    def _by_compel(self, parts: Sequence[Part]) -> Tensor:
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

    def _cut(self, sections: Sequence[Sequence[_Piece]]) -> tuple[list[list[Part]], tuple[str, ...]]:
        """Of each section what fits into WINDOWS_MAX windows, and where the text was cut."""
        left = WINDOWS_MAX
        kept: list[list[Part]] = []
        used: list[str] = []
        dropped: list[str] = []
        for section in sections:
            ends = self._ends([*chain.from_iterable(piece.tokens for piece in section)])[:left]
            heard, unheard = _divided(section, ends[-1] if ends else 0)
            if ends:
                kept.append(heard)
            used.append("".join(part.text for part in heard))
            dropped.append(unheard)
            left = 0 if unheard else left - len(ends)
        missed = " ".join(filter(None, dropped))
        if not missed:
            return kept, ()
        return kept, (_too_long(self._embeddings.shown(" ".join(used)), self._embeddings.shown(missed)),)

    def _ends(self, tokens: Sequence[int]) -> list[int]:
        """Where each window of these tokens ends; there is at least one."""
        ends = [self._compel[0].window_end(tokens)]
        while ends[-1] < len(tokens):
            ends.append(ends[-1] + self._compel[0].window_end(tokens[ends[-1] :]))
        return ends


class _Windows(EmbeddingsProvider):
    """compel, with windows that end where AUTOMATIC1111's do."""

    def __init__(self, tokenizer: Any, encoder: Any, embeddings: Embeddings, number: int, layer: Any) -> None:
        """`number`: the tokenizer's in the pipeline."""
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - its tokenizers have no types
            tokenizer,
            encoder,
            textual_inversion_manager=ForCompel(embeddings, number),
            truncate=False,
            returned_embeddings_type=layer,
            split_long_text_mode=SplitLongTextMode.BRUTAL,  # nothing of a window is copied into the next
        )
        self._room: int = tokenizer.model_max_length - 2  # a mark at each end
        self._comma: int | None = tokenizer.get_vocab().get(",</w>")
        several = [*embeddings.tokens[number].values()] if embeddings.tokens else []
        self._inner: dict[int, int] = {token: place for own in several for place, token in enumerate(own)}
        """How many tokens of the same word stand before one, for words with several vectors."""

    def window_end(self, tokens: Sequence[int]) -> int:
        """How many of these tokens come into the next window; a word with several vectors is not torn."""
        room = self._room
        if len(tokens) <= room:
            return len(tokens)
        commas = [at for at in range(max(0, room - COMMA_BACK), room) if tokens[at] == self._comma]
        if commas and tokens[room] != self._comma:
            return commas[-1] + 1
        return room - self._inner.get(tokens[room], 0) or room

    def _find_next_best_split_point(self, token_ids: list[int], *_: object, **__: object) -> int:
        """Called by compel."""
        return self.window_end(token_ids)


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
        _Windows(tokenizer, encoder, embeddings, number, layer)
        for number, (tokenizer, encoder) in enumerate(pairs)
    ]


def _sections(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Divided where BREAK stood; at its end it opens no window without words."""
    sections: list[list[_Piece]] = [[]]
    for piece in pieces:
        if piece.part.opens_window:
            sections.append([])
        sections[-1].append(piece)
    if len(sections) > 1 and not any(piece.tokens for piece in sections[-1]):
        sections.pop()
    return sections


def _divided(section: Sequence[_Piece], left: int) -> tuple[list[Part], str]:
    """The parts of a section as far as its first `left` tokens reach, and the text behind them."""
    kept: list[Part] = []
    dropped = ""
    for piece in section:
        text, heard = piece.part.text, min(left, len(piece.tokens))
        end = len(text) if heard == len(piece.tokens) else piece.starts[heard]
        end = 0 if dropped else end
        kept.append(replace(piece.part, text=text[:end]))
        dropped += text[end:]
        left -= heard
    return kept, dropped


def _with_few_light(sections: Sequence[Sequence[Part]]) -> tuple[list[list[Part]], tuple[str, ...]]:
    """The first LIGHT_MAX parts below weight 1 keep their weight."""
    count = 0
    changed: list[list[Part]] = []
    for section in sections:
        changed.append([])
        for part in section:
            count += part.weight < 1
            late = part.weight < 1 and count > LIGHT_MAX
            changed[-1].append(replace(part, weight=1.0) if late else part)
    if count <= LIGHT_MAX:
        return changed, ()
    return changed, (
        f"has {count} parts that weigh less than 1: the first {LIGHT_MAX} do, the others weigh 1.",
    )


def _too_long(used: str, dropped: str) -> str:
    return f"is too long for this model: it was used up to “{_tail(used)}”; from “{_head(dropped)}” on it was left out."


def _tail(text: str) -> str:
    shown = " ".join(text.split()[-_SHOWN_WORDS:])[-_SHOWN_CHARS:]
    return shown if shown == text.strip() else f"…{shown}"


def _head(text: str) -> str:
    shown = " ".join(text.split()[:_SHOWN_WORDS])[:_SHOWN_CHARS]
    return shown if shown == text.strip() else f"{shown}…"

"""Makes tokenizers and tiny text encoders with random weights for `tests.tiny_any`; knows no pipeline.

The tokenizers know every byte and no longer piece, so that they encode any text; the classes are those that models on
the hub name.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from engine.starter.parts import byte_letters

WIDTH = 32
"""Of all text encoders' numbers for a token."""
_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SIZES: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 37,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}


def qwen_tokenizer() -> Any:
    """Of bytes, with the template by which chats are written down."""
    transformers: Any = import_module("transformers")
    pieces = [*byte_letters(), "<|endoftext|>"]
    tokenizer = transformers.Qwen2TokenizerFast(vocab=_numbered(pieces), merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = _CHAT
    return tokenizer


def qwen3(*, layers: int = 2, speaks: bool = False) -> Any:
    """`speaks`: with the part that would guess the next token."""
    transformers: Any = import_module("transformers")
    config = transformers.Qwen3Config(vocab_size=300, num_hidden_layers=layers, **_SIZES)
    return (transformers.Qwen3ForCausalLM if speaks else transformers.Qwen3Model)(config)


def _numbered(pieces: list[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}

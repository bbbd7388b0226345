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


def qwen_that_sees() -> Any:
    """Qwen2.5-VL, whose eyes stay shut."""
    transformers: Any = import_module("transformers")
    words = {name: value for name, value in _SIZES.items() if name != "head_dim"}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]}
    eyes = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": WIDTH}
    return transformers.Qwen2_5_VLForConditionalGeneration(
        transformers.Qwen2_5_VLConfig(
            text_config={"vocab_size": 300, "num_hidden_layers": 2, "rope_parameters": rope, **words},
            vision_config={**eyes, "fullatt_block_indexes": [0]},
        )
    )


def glm_tokenizer() -> Any:
    """Of a class that knows nothing of its model; each text begins with two marks, so that none is empty."""
    transformers: Any = import_module("transformers")
    processors: Any = import_module("tokenizers.processors")
    inner = qwen_tokenizer().backend_tokenizer
    marks = ["[gMASK]", "<sop>"]
    inner.add_special_tokens(marks)
    numbers = [(mark, inner.token_to_id(mark)) for mark in marks]
    inner.post_processor = processors.TemplateProcessing(single=[*marks, "$A"], special_tokens=numbers)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<|endoftext|>")


def glm() -> Any:
    transformers: Any = import_module("transformers")
    return transformers.GlmModel(
        transformers.GlmConfig(vocab_size=300, num_hidden_layers=2, pad_token_id=0, eos_token_id=1, **_SIZES)
    )


def gemma_tokenizer() -> Any:
    transformers: Any = import_module("transformers")
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    return transformers.GemmaTokenizerFast(vocab=_numbered(pieces), merges=[])


def gemma2(*, layers: int = 2) -> Any:
    transformers: Any = import_module("transformers")
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1}  # Sana lets it read two thousand tokens
    return transformers.Gemma2Model(
        transformers.Gemma2Config(
            vocab_size=300, num_hidden_layers=layers, query_pre_attn_scalar=8, **{**_SIZES, **heads}
        )
    )


def _numbered(pieces: list[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}

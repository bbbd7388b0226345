"""Makes tokenizers and tiny text encoders with random weights for `tests.kit.tiny_any`; knows no pipeline.

The tokenizers know every byte and no longer piece, so that they encode any text; the classes are those that models on
the hub name.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from workshop.starter.parts import byte_letters, clip_tokenizer

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


def qwen_processor() -> Any:
    """What shows images to `qwen_that_sees`: a tokenizer with marks for them, and patches."""
    transformers: Any = import_module("transformers")
    tokenizer = qwen_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [*_MARKS]})

    class Processor(transformers.Qwen2VLProcessor):
        def __init__(
            self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None
        ) -> None:
            super().__init__(image_processor, tokenizer, chat_template=chat_template)

    return Processor(transformers.Qwen2VLImageProcessor(), tokenizer)


_MARKS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def qwen_that_sees(tokenizer: Any = None) -> Any:
    """Qwen2.5-VL; without a tokenizer that has marks for images its eyes stay shut."""
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    marks: dict[str, Any] = {}
    if tokenizer is not None:
        marks = {
            name: tokenizer.convert_tokens_to_ids(mark) for name, mark in zip(names, _MARKS[2:], strict=True)
        }
    transformers: Any = import_module("transformers")
    words = {name: value for name, value in _SIZES.items() if name != "head_dim"}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]}
    eyes = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": WIDTH}
    return transformers.Qwen2_5_VLForConditionalGeneration(
        transformers.Qwen2_5_VLConfig(
            text_config={"vocab_size": 300, "num_hidden_layers": 2, "rope_parameters": rope, **words},
            vision_config={**eyes, "fullatt_block_indexes": [0]},
            **marks,
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


def counting_pipe() -> Any:
    """A Stable Diffusion pipeline for which each of a few words is one token, and so is a comma; a window holds 75."""
    diffusers: Any = import_module("diffusers")
    transformers: Any = import_module("transformers")
    tokenizer = clip_tokenizer(
        [pair for word in ("cat", "portrait", "of", "woman") for pair in _merges(word)], 77
    )
    encoder = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=4,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    blocks = {"cross_attention_dim": 32, "attention_head_dim": 4, "norm_num_groups": 8}
    return diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4),
        text_encoder=encoder.eval(),
        tokenizer=tokenizer,
        unet=diffusers.UNet2DConditionModel(
            block_out_channels=(32, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            **blocks,
        ),
        scheduler=diffusers.PNDMScheduler(steps_offset=1, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _merges(word: str) -> list[tuple[str, str]]:
    """The pairs by which its letters become one token."""
    left, *rest = [*word[:-1], f"{word[-1]}</w>"]
    found: list[tuple[str, str]] = []
    for piece in rest:
        found.append((left, piece))
        left += piece
    return found

"""With two text encoders too, weights count, long texts are heard to their end, and plain ones stay as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from compel import Compel, ReturnedEmbeddingsType, SplitLongTextMode
from compel.prompt_parser import Conjunction, FlattenedPrompt
from PIL import Image

from engine.contract import ModelInfo
from engine.families.prompts import WINDOWS_MAX, Prompts
from engine.families.sdxl import SdxlFamily
from tests.kit.engines import Bench, draw

WINDOW, FIRST = 77, 32
"""Tokens, and the width of the first encoder's numbers, which lie before the second's."""
LONG = ", ".join(["a red fox"] * 14)


@pytest.fixture(scope="module")
def prompts(pipe_xl: Any) -> Prompts:
    return Prompts(pipe_xl)


def as_pipe(pipe: Any, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        found = pipe.encode_prompt(text, device="cpu", do_classifier_free_guidance=False)
    return found[0], found[2]


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("a red fox", "a red fox"),
        ("a (red:1) [(fox)]!!", "a red fox!!"),
        (r"a red \(fox\)", "a red (fox)"),
        ("", ""),
        ("a ( :1.3)fox", "a  fox"),
    ],
)
def test_without_weights_it_is_the_pipelines_own(
    prompts: Prompts, pipe_xl: Any, typed: str, plain: str
) -> None:
    """A text that weighs 1 everywhere is encoded to the bit as pipe does, as tokens and as a whole."""
    found = prompts.encode(typed)
    embeddings, pooled = as_pipe(pipe_xl, plain)
    assert found.pooled is not None
    assert torch.equal(found.embeddings, embeddings)
    assert torch.equal(found.pooled, pooled)


def test_weights_reach_both_encoders(prompts: Prompts, pipe_xl: Any) -> None:
    """More weight moves both encoders' numbers further; the text as a whole is that without brackets and digits."""
    plain, pooled = as_pipe(pipe_xl, "a red fox")
    for part in (slice(FIRST), slice(FIRST, None)):
        moved = [
            float((prompts.encode(f"a (red:{weight}) fox").embeddings - plain)[..., part].norm())
            for weight in (1.0, 1.2, 1.6, 3.0)
        ]
        assert moved[0] == 0
        assert moved == sorted(set(moved))
    for typed in ("a (red:1.6) fox", "a [red] fox", "(a red fox:0.5)"):
        found = prompts.encode(typed).pooled
        assert found is not None
        assert torch.equal(found, pooled)


def test_weight_nothing_takes_a_word_away(prompts: Prompts, pipe_xl: Any) -> None:
    """A word that weighs 0 is not in the text as a whole either."""
    found = prompts.encode("a (red:0)fox").pooled
    assert found is not None
    assert torch.equal(found, as_pipe(pipe_xl, "a fox")[1])


def test_half_precision_keeps_its_numbers(pipe_xl: Any) -> None:
    """In fp16 the numbers of both encoders stay finite and near those of fp32, in fp16."""
    import copy

    half = copy.copy(pipe_xl)
    half.text_encoder = copy.deepcopy(pipe_xl.text_encoder).half()
    half.text_encoder_2 = copy.deepcopy(pipe_xl.text_encoder_2).half()
    text = f"(a:0) (red:3) [fox] {LONG * 2} (of:0.01) the (thing:0.5)"
    exact, rough = Prompts(pipe_xl).encode(text), Prompts(half).encode(text)
    for one, other in ((exact.embeddings, rough.embeddings), (exact.pooled, rough.pooled)):
        assert one is not None
        assert other is not None
        assert (one.shape, other.dtype) == (other.shape, torch.float16)
        assert float((other.float() - one).norm() / one.norm()) < 0.01


def conditioning(pipe: Any, fragments: list[tuple[str, float]]) -> tuple[list[Compel], list[torch.Tensor]]:
    """compel for each encoder, and what it makes of these."""
    both = [
        Compel(
            tokenizer,
            encoder,
            returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
            truncate_long_prompts=False,
            split_long_text_mode=SplitLongTextMode.PHRASES,
        )
        for tokenizer, encoder in (
            (pipe.tokenizer, pipe.text_encoder),
            (pipe.tokenizer_2, pipe.text_encoder_2),
        )
    ]
    conjunction = Conjunction([FlattenedPrompt(fragments)])
    return both, [compel.build_conditioning_tensor_for_conjunction(conjunction)[0] for compel in both]


@pytest.mark.parametrize("negative", ["a house", ""])
def test_pictures_equal_pipe_with_compels_numbers(
    pipe_xl: Any, model_xl: ModelInfo, tmp_path: Path, negative: str
) -> None:
    """A weighted long prompt draws what pipe draws when compel gives it the embeddings.

    Without a negative prompt the other row is then all zeros, however long, as pipe makes it for such a model.
    """
    given: dict[str, Any] = {}
    with torch.inference_mode():
        both, found = conditioning(
            pipe_xl, [("a ", 1.0), ("red", 1.3), (f" fox, {LONG}, ", 1.0), ("of the", 0.5)]
        )
        given["prompt_embeds"] = torch.cat(found, dim=-1)
        plain = f"a red fox, {LONG}, of the"
        given["pooled_prompt_embeds"] = both[1].conditioning_provider.get_pooled_embeddings([plain])
        if negative:
            house, given["negative_pooled_prompt_embeds"] = as_pipe(pipe_xl, negative)
            halves = zip(both, found, (house[..., :FIRST], house[..., FIRST:]), strict=True)
            padded = [
                compel.pad_conditioning_tensors_to_same_length([words, against])[1]
                for compel, words, against in halves
            ]
            given["negative_prompt_embeds"] = torch.cat(padded, dim=-1)
    assert given["prompt_embeds"].shape[1] == 2 * WINDOW
    expected = pipe_xl(
        **given,
        width=64,
        height=64,
        num_inference_steps=3,
        guidance_scale=4.0,
        generator=torch.Generator("cpu").manual_seed(5),
    ).images[0]
    typed = f"a (red:1.3) fox, {LONG}, (of the:0.5)"
    options: dict[str, Any] = {"seed": 5, "size": (64, 64), "steps": 3, "guidance_scale": 4.0}
    bench = Bench(SdxlFamily(pipe_xl), model_xl, tmp_path)
    bench.submit(1, model_xl.request(prompt=typed, negative_prompt=negative, **options))
    ending = bench.finished(1)
    assert ending.notes == ()
    with Image.open(str(ending.images[0].path)) as image:
        assert image.tobytes() == expected.tobytes()


def test_the_shorter_text_is_filled_up(pipe_xl: Any, model_xl: ModelInfo, prompts: Prompts) -> None:
    """Beside a long negative prompt a short one gets windows without words; its text as a whole stays its own."""
    request = model_xl.request(prompt="a red fox", negative_prompt=LONG, seed=1, size=(64, 64), steps=1)
    canvas = draw(SdxlFamily(pipe_xl), request)
    short, empty = prompts.encode("a red fox"), prompts.encode("")
    assert canvas.embeddings.shape[:2] == (2, 2 * WINDOW)
    assert torch.equal(canvas.embeddings[1, :WINDOW], short.embeddings[0])
    assert torch.equal(canvas.embeddings[1, WINDOW:], empty.embeddings[0])
    assert short.pooled is not None
    assert torch.equal(canvas.pooled[1], short.pooled[0])
    assert not torch.equal(canvas.pooled[0], short.pooled[0])


def test_four_windows_are_the_limit(pipe_xl: Any, model_xl: ModelInfo, tmp_path: Path) -> None:
    """A longer text is cut, the person is told where, and the picture is drawn."""
    bench = Bench(SdxlFamily(pipe_xl), model_xl, tmp_path)
    text = f"{', '.join(['a red fox'] * 60)}, (a small boat:1.3)"
    bench.submit(1, model_xl.request(prompt=text, seed=1, size=(64, 64), steps=1))
    (note,) = bench.finished(1).notes
    assert note.startswith("The prompt is too long for this model: it was used up to “…")
    assert note.endswith("” on it was left out.")


@pytest.mark.parametrize("times", [40, 200])
def test_encoders_that_count_differently(prompts: Prompts, times: int) -> None:
    """For the second tokenizer “!!” is two pieces: where it needs more windows, the first gets one without words."""
    found = prompts.encode("!! " * times + "a (fox:1.3)")
    windows = found.embeddings[0].split(WINDOW)
    empty = prompts.encode("").embeddings[0, :, :FIRST]
    assert len(windows) == (2 if times == 40 else WINDOWS_MAX)
    assert torch.allclose(windows[-1][:, :FIRST], empty, atol=1e-6)
    assert not torch.allclose(windows[-1][:, FIRST:], prompts.encode("").embeddings[0, :, FIRST:], atol=1e-3)


def test_windows_end_and_begin_alike_for_both(prompts: Prompts, pipe_xl: Any) -> None:
    """An early comma costs neither encoder a window, and BREAK gives both a new one; the whole is the first window's."""
    tokens = len(pipe_xl.tokenizer("of " * 70, add_special_tokens=False).input_ids) // 70
    early = f"of, {'of ' * (73 // tokens)}" + f"of, {'of ' * (140 // tokens)}"
    count = len(pipe_xl.tokenizer(early, add_special_tokens=False).input_ids)
    for typed in (early, f"(of:1.2){early.removeprefix('of')}"):
        found = prompts.encode(typed)
        assert found.remarks == ()
        assert found.embeddings.shape[1] == -(-count // 75) * WINDOW == 3 * WINDOW
    one, other = prompts.encode("a (red:1.2) fox"), prompts.encode("a house")
    both = prompts.encode("a (red:1.2) fox BREAK a house")
    assert torch.equal(both.embeddings, torch.cat([one.embeddings, other.embeddings], dim=1))
    assert both.pooled is not None
    assert one.pooled is not None
    assert torch.equal(both.pooled, one.pooled)


def test_a_weight_below_nothing_turns_both_away(prompts: Prompts, pipe_xl: Any) -> None:
    """In both encoders' numbers, and the word is not in the text as a whole."""
    gone, less, more = (prompts.encode(f"a (red:{weight})fox") for weight in (0, -1.2, 1.2))
    assert torch.allclose(less.embeddings - gone.embeddings, gone.embeddings - more.embeddings, atol=1e-4)
    assert not torch.allclose(less.embeddings, gone.embeddings, atol=1e-3)
    assert less.pooled is not None
    assert torch.equal(less.pooled, as_pipe(pipe_xl, "a fox")[1])

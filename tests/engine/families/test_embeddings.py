"""Words that files taught mean what diffusers makes of them; prompts without them keep their bits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoints import adapters as adapter_files
from engine.contract import EngineSettings, GenerationRequest, ModelInfo
from engine.families.prompts import WINDOWS_MAX, Prompts
from engine.families.sd import SdFamily
from engine.families.sdxl import SdxlFamily
from tests.kit.adapters import WIDTH, numbers, write
from tests.kit.engines import House, described, draw, pixels, plain

Load = Callable[[Path], Any]


@pytest.fixture
def models(adapters: Path) -> Path:
    return adapters


def a_request(info: ModelInfo, prompt: str, negative: str = "blurry") -> GenerationRequest:
    first = info.request(prompt=prompt, negative_prompt=negative, seed=7, size=(72, 64), steps=2)
    return replace(first, sampler="Euler")


def lowered(request: GenerationRequest) -> GenerationRequest:
    """As diffusers understands it."""
    return replace(request, prompt=request.prompt.lower(), negative_prompt=request.negative_prompt.lower())


@pytest.fixture(scope="module")
def taught(tiny: Path, adapters: Path, load_pipe: Load) -> Any:
    """A pipe that was taught by hand, as diffusers' documentation says; without capitals, or it would hear one vector alone."""
    pipe = load_pipe(tiny)
    own = adapters / "embeddings"
    pipe.load_textual_inversion(str(own / "EasyFox.safetensors"), token="easyfox")
    pipe.load_textual_inversion(str(own / "cat-toy.safetensors"), token="cat-toy")
    return pipe


def test_words_mean_what_diffusers_makes_of_them(
    tiny: Path,
    load_pipe: Load,
    models: Path,
    model: ModelInfo,
    pipe: Any,
    taught: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With several vectors or one, in prompt and negative prompt; without them it is a pipe that was never taught."""
    with caplog.at_level(logging.WARNING, "easel.engine"):
        family = SdFamily(load_pipe(tiny), models=models)
    assert sorted(family._embeddings.digests) == ["EasyFox", "cat-toy"]
    told = "\n".join(record.getMessage() for record in caplog.records)
    for name, problem in {
        "the": "its name is a word already: rename the file",
        "wide": "it was made for another kind of model",
        "twoheads": "it was made for another kind of model",
        "cube": "it is no embedding file",
        "cut": adapter_files.DAMAGED,
    }.items():
        assert f"the embedding “{name}” is left out: {problem}" in told
    plainly = a_request(model, "a red fox")
    before = plain(pipe, plainly, 7, "latent")
    assert torch.equal(draw(family, plainly).latents[0], before)
    for request in (a_request(model, "a red EasyFox"), a_request(model, "a red fox", "a cat-toy, EasyFox")):
        expected = plain(taught, lowered(request), 7, "latent")
        canvas = draw(family, request)
        assert torch.equal(canvas.latents[0], expected)
        assert not torch.equal(expected, before)
        assert sorted(canvas.made_with) == [
            f"embedding {word}"
            for word in ("EasyFox", "cat-toy")
            if word in request.prompt + request.negative_prompt
        ]
    drawn = draw(family, a_request(model, "a red easyfox")).latents
    assert torch.equal(drawn[0], plain(taught, a_request(model, "a red easyfox"), 7, "latent"))
    assert torch.equal(draw(family, plainly).latents[0], before)


def test_weights_and_long_texts_hear_every_vector(
    tiny: Path, load_pipe: Load, models: Path, taught: Any
) -> None:
    """compel gets all tokens of a word, they count in the window, and a cut falls before the word."""
    family = SdFamily(load_pipe(tiny), models=models)
    prompts = family._prompts
    one = prompts.encode("a (EasyFox:1.2) in snow").embeddings
    by_hand = Prompts(taught).encode("a (easyfox easyfox_1 easyfox_2:1.2) in snow").embeddings
    assert torch.equal(one, by_hand)
    window = prompts._window
    fits = "x " * (window - 2 - 3 - 1)
    assert prompts.encode(f"{fits}EasyFox y").embeddings.shape[1] == window
    assert prompts.encode(f"{fits}EasyFox y z").embeddings.shape[1] == 2 * window
    room = WINDOWS_MAX * ((window - 2) // 3)
    assert not prompts.encode("EasyFox, " * 4).remarks
    (remark,) = prompts.encode("EasyFox " * (room + 1) + "end").remarks
    assert remark.endswith("from “EasyFox end” on it was left out.")


def test_sdxl_learns_a_word_in_both_encoders(
    tiny_xl: Path, load_pipe: Load, models: Path, model_xl: ModelInfo, pipe_xl: Any
) -> None:
    """Files with vectors for both are taken, others are not, and each encoder gets its own."""
    from safetensors.torch import load_file

    family, by_hand = SdxlFamily(load_pipe(tiny_xl), models=models), load_pipe(tiny_xl)
    assert [*family._embeddings.digests] == ["twoheads"]
    tensors = load_file(models / "embeddings" / "twoheads.safetensors")
    for key, end in (("clip_l", ""), ("clip_g", "_2")):
        encoder, tokenizer = (getattr(by_hand, f"{name}{end}") for name in ("text_encoder", "tokenizer"))
        by_hand.load_textual_inversion(
            tensors[key], token="twoheads", text_encoder=encoder, tokenizer=tokenizer
        )
    for request, pipe in (
        (a_request(model_xl, "a twoheads fox"), by_hand),
        (a_request(model_xl, "a fox"), pipe_xl),
    ):
        assert torch.equal(draw(family, request).latents[0], plain(pipe, request, 7, "latent"))
    for prompt in ("a TwoHeads fox", "a fox, TWOHEADS"):
        request = a_request(model_xl, prompt)
        expected = plain(by_hand, lowered(request), 7, "latent")
        assert torch.equal(draw(family, request).latents[0], expected)
    assert not family._embeddings.named_in("twoheadsy, twoheads-2, mytwoheads")


NAMES = (
    "Fox",
    "ZorgNeg",
    "zorg",
    "Zorg Neg",
    "bad-hands",
    "BAD-hands-5",
    "easy.Fox",
    "v2",
    "x_y",
    "100%",
    "Plus+",
    "name (2)",
    "[old]",
    "ÄÖ",
    "~d+",
)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings whose names have capitals, spaces and signs and hold one another; each has two vectors or three."""
    folder = tmp_path_factory.mktemp("names")
    for number, name in enumerate(NAMES):
        write(folder / "embeddings", name, {"emb_params": numbers(number, 2 + number % 2, WIDTH)})
    return folder


@pytest.fixture(scope="module")
def knowing(tiny: Path, load_pipe: Load, many: Path) -> SdFamily:
    family = SdFamily(load_pipe(tiny), models=many)
    assert {*family._embeddings.digests} == {*NAMES}
    return family


@pytest.fixture(scope="module")
def by_hand(tiny: Path, load_pipe: Load) -> Any:
    """A pipe that knows every vector as a word of its own without capitals: “w3.”, “w3.1.” are those of the fourth name."""
    pipe = load_pipe(tiny)
    vectors = {
        f"«{number}.{place}»": vector
        for number in range(len(NAMES))
        for place, vector in enumerate(numbers(number, 2 + number % 2, WIDTH))
    }
    pipe.load_textual_inversion([*vectors.values()], token=[*vectors])
    return pipe


def spelled_out(text: str) -> str:
    """With all words of a name's vectors for each name in braces."""
    for number, name in enumerate(NAMES):
        words = " ".join(f"«{number}.{place}»" for place in range(2 + number % 2))
        text = text.replace("{" + name + "}", words)
    return text


TEXTS = (
    "a red {Fox}",
    "{Fox}",
    "a {Fox}.",
    "({Fox}), [{ZorgNeg}]",
    "{Fox},{ZorgNeg};{v2}",
    "“{Fox}” or '{Fox}'s",
    "a red {ZorgNeg} in {zorg}, {Zorg Neg}",
    "{bad-hands}, {BAD-hands-5}, {bad-hands}",
    "{easy.Fox} and {Fox}. {v2}!",
    "{x_y} {100%} {Plus+} {name (2)} {[old]} {~d+}",
    "{ÄÖ}, red",
    "a red fox2 and foxes",
    "superfox, fox_1, _fox, foxfox",
    "red-fox, fox-red, x.fox, fox.v2x",
    "zorgnegs zorgneg2 2zorgneg",
    "bad-hands-51 xbad-hands bad-hand",
    "v21, v2a, 2v2",
)
WEIGHED = ("", "({}:1.2)", "a (red:1.3) {}", "{} a [red]")
CASES = (str, str.lower, str.upper, str.swapcase)
SQUARE = [
    (text, WEIGHED[(row + column) % len(WEIGHED)], case)
    for row, text in enumerate(TEXTS)
    for column, case in enumerate(CASES)
]
"""Every text in all capitals and in all weights, and all capitals in all weights: each two together, once."""


@pytest.mark.parametrize(("text", "weighed", "case"), SQUARE)
def test_a_name_counts_where_it_is_a_word_of_its_own(
    knowing: SdFamily, by_hand: Any, text: str, weighed: str, case: Callable[[str], str]
) -> None:
    """With all of its vectors, in any capitals, weighted or not; the longest of several, and none within other words."""
    typed = text
    for name in NAMES:
        typed = typed.replace("{" + name + "}", case(name))
    frame = weighed or "{}"
    ours = knowing._prompts.encode(frame.format(typed)).embeddings
    theirs = Prompts(by_hand).encode(frame.format(spelled_out(text))).embeddings
    assert torch.equal(ours, theirs)
    named = {name for name in NAMES if "{" + name + "}" in text}
    assert {*knowing._embeddings.named_in(typed)} == {f"embedding {name}" for name in named}


def test_a_long_text_with_capitals_says_where_it_was_cut(knowing: SdFamily) -> None:
    """In words that the person knows: the files' names."""
    prompts = knowing._prompts
    room = WINDOWS_MAX * ((prompts._window - 2) // 3)
    (remark,) = prompts.encode("zorgNEG " * (room + 1) + "end").remarks
    assert remark.endswith(
        "it was used up to “…ZorgNeg ZorgNeg ZorgNeg ZorgNeg”; from “ZorgNeg end” on it was left out."
    )


@pytest.mark.parametrize(
    "tensors",
    [
        {"emb_params": (2, WIDTH)},
        {"emb_params": (2, WIDTH), "step": ()},
        {"string_to_param.*": (2, WIDTH), "string_to_token.*": (1,)},
        {"string_to_param": (2, WIDTH)},
        {"<fox>": (WIDTH,)},
    ],
)
def test_forms_of_files(tiny: Path, load_pipe: Load, tmp_path: Path, tensors: dict[str, Any]) -> None:
    """AUTOMATIC1111's, ComfyUI's and diffusers' ways to write an embedding down are the same word."""
    write(tmp_path / "embeddings", "MyWord", {key: torch.ones(shape) for key, shape in tensors.items()})
    family = SdFamily(load_pipe(tiny), models=tmp_path)
    assert [*family.words] == ["MyWord"]


@pytest.mark.xdist_group("house")
def test_a_real_process_with_both(tiny: Path, models: Path, taught: Any, house: House, pipe: Any) -> None:
    """An engine that was told the folder offers what fits, and draws with a LoRA and a word what a pipe with both does."""
    from safetensors.torch import load_file

    info = house.ready.models[0]
    assert [lora.name for lora in info.loras] == ["detail"]
    assert info.loras == described(EngineSettings(model=str(tiny), spool="", models=str(models))).loras
    assert [each.name for each in info.embeddings] == ["EasyFox", "cat-toy"]
    assert house.ready.notes == (
        f"Of 1 LoRA files 1 fit {info.title}: detail.",
        f"Prompts for {info.title} may hold words of 2 embeddings: EasyFox, cat-toy.",
    )
    requests = (a_request(info, "a red EasyFox <lora:detail:0.7>"), a_request(info, "a red fox"))
    endings, _ = house.finish(*requests)
    drawn = [pixels(ending.images[0].path) for ending in endings]
    taught.load_lora_weights(load_file(models / "loras" / "detail.safetensors"), adapter_name="detail")
    taught.set_adapters(["detail"], [0.7])
    assert drawn[0] == plain(taught, lowered(requests[0]), 7, "pil").tobytes()
    assert drawn[1] == plain(pipe, requests[1], 7, "pil").tobytes()

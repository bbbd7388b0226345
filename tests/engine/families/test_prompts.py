"""Weights move a prompt's numbers the right way, long texts are heard to their end, and plain ones stay as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from compel import Compel, SplitLongTextMode
from compel.prompt_parser import Conjunction, FlattenedPrompt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.checkpoints.source import STARTER_FOLDER
from engine.contract import ModelInfo
from engine.families.prompts import LIGHT_MAX, WINDOWS_MAX, Prompts
from engine.families.sd import SdFamily
from engine.pictures import metadata
from tests.kit.engines import Bench
from tests.kit.tiny_words import counting_pipe

WINDOW = 32
"""The starter's."""
LONG = ", ".join(f"a {colour} circle" for colour in ("red", "blue", "green", "yellow") * 5)


@pytest.fixture(scope="module")
def prompts(starter: Any) -> Prompts:
    return Prompts(starter)


def as_pipe(starter: Any, text: str) -> torch.Tensor:
    with torch.inference_mode():
        return starter.encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False)[0]


def encoded(prompts: Prompts, text: str) -> torch.Tensor:
    found = prompts.encode(text)
    assert not found.remarks
    return found.embeddings


def note(prompts: Prompts, text: str) -> str:
    (remark,) = prompts.encode(text).remarks
    return remark


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("a red circle", "a red circle"),
        ("a (red:1) circle", "a red circle"),
        ("a [(red)] circle", "a red circle"),
        (r"a red \(circle\)", "a red (circle)"),
        ("a red (circle", "a red (circle"),
        ("red++ circle, C++", "red++ circle, C++"),
        ("", ""),
        ("[ ]", ""),
        ("a [ ] red ( :1.3)circle", "a   red  circle"),
    ],
)
def test_without_weights_it_is_the_pipelines_own(
    prompts: Prompts, starter: Any, typed: str, plain: str
) -> None:
    """A text that weighs 1 everywhere is encoded to the bit as pipe does, with no bracket or digit of the syntax in it."""
    assert torch.equal(encoded(prompts, typed), as_pipe(starter, plain))


def test_more_weight_moves_further(prompts: Prompts) -> None:
    """The further a weight is from 1, the further the numbers are from those of the plain text, in both directions."""
    plain = encoded(prompts, "a red circle")

    def moved(weight: float) -> float:
        return float((encoded(prompts, f"a (red:{weight}) circle") - plain).norm())

    for weights in ((1.0, 1.1, 1.3, 1.6, 2.0, 3.0), (1.0, 0.9, 0.7, 0.4, 0.0)):
        distances = [moved(weight) for weight in weights]
        assert distances[0] == 0
        assert distances == sorted(set(distances))
    up, down = (
        encoded(prompts, f"a (red:{weight}) circle")[0, 2] - plain[0, 2] for weight in (1.3, 0.7)
    )  # the token itself
    assert torch.dot(up, down) < 0


def test_weight_nothing_takes_a_word_away(starter: Any, starter_model: ModelInfo, tmp_path: Path) -> None:
    """What is yellow on a plain request is not when yellow weighs 0, and still is when it weighs more."""
    bench = Bench(SdFamily(starter), starter_model, tmp_path)

    def distance_from_yellow(job_id: int, prompt: str) -> float:
        bench.submit(
            job_id,
            starter_model.request(prompt=prompt, seed=1, size=(64, 64), steps=6, images=2),
        )
        corners: list[float] = []
        for spooled in bench.finished(job_id).images:
            with Image.open(str(spooled.path)) as image:
                corner = image.getpixel((3, 3))
            assert isinstance(corner, tuple)
            corners.append(sum(abs(one - other) for one, other in zip(corner, (252, 220, 54), strict=True)))
        return sum(corners) / len(corners)

    plain = distance_from_yellow(1, "a red circle on a yellow background")
    stronger = distance_from_yellow(2, "a red circle on a (yellow:1.4) background")
    without = distance_from_yellow(3, "a red circle on a (yellow:0) background")
    assert max(plain, stronger) < 60 < without


def test_a_weight_below_nothing_turns_away(prompts: Prompts) -> None:
    """The number is not drawn, and the words move the other way from where they weigh nothing, the further the lower."""
    gone = encoded(prompts, "a (red:0) circle")

    def moved(weight: float) -> torch.Tensor:
        return (encoded(prompts, f"a (red:{weight}) circle") - gone).flatten()

    for weight in (0.4, 1.2, 3.0):
        assert torch.allclose(moved(-weight), -moved(weight), atol=1e-5)
    distances = [float(moved(weight).norm()) for weight in (0, -0.4, -1.2, -3)]
    assert distances == sorted(set(distances))
    mixed = encoded(prompts, "a (red:-1.2) (small:1.3) [circle]")
    assert torch.isfinite(mixed).all()
    assert not torch.equal(mixed, encoded(prompts, "a (red:0) (small:1.3) [circle]"))


def test_what_cannot_be_heeded_is_told(prompts: Prompts) -> None:
    """Of prompt and negative prompt alike."""
    _, notes = prompts.embeddings("a (circle:9)", "a [red:blue:0.5] circle")
    assert notes == (
        "The prompt says “9” for a weight, which was read as words: weights go from -3 to 3.",
        "The negative prompt holds “[red:blue:0.5]”, which was read as words: it can't change between the steps here.",
    )


def test_half_precision_keeps_its_numbers(load_pipe: Any) -> None:
    """In fp16, as graphics cards draw, the heaviest and lightest weights stay finite and near those of fp32."""
    pipe = load_pipe(STARTER_FOLDER)
    text = "(a:0) (red:3) [circle] on (blue:0) (and:0.01) black"
    exact = encoded(Prompts(pipe), text)
    pipe.text_encoder.half()
    half = encoded(Prompts(pipe), text)
    assert half.dtype is torch.float16
    assert float((half.float() - exact).norm() / exact.norm()) < 0.01


def test_the_negative_prompt_is_weighted(prompts: Prompts) -> None:
    """It goes first, its weights count, and without guidance there is one row."""
    both, notes = prompts.embeddings("a red circle", "a (blue:1.5) circle")
    assert notes == ()
    assert torch.equal(both[0], encoded(prompts, "a (blue:1.5) circle")[0])
    assert torch.equal(both[1], encoded(prompts, "a red circle")[0])
    alone, _ = prompts.embeddings("a (red:1.2) circle", None)
    assert alone.shape == (1, WINDOW, both.shape[2])


def test_the_last_of_a_hundred_words_counts(prompts: Prompts) -> None:
    """Every word of a text of several windows is in its numbers, the last one too, and nothing is left out."""
    text = LONG.replace(",", "") + " and a black boat"
    one, other = (encoded(prompts, f"{text} {word}") for word in ("left", "right"))
    assert one.shape[1] == 3 * WINDOW
    assert torch.equal(one[:, : 2 * WINDOW], other[:, : 2 * WINDOW])
    assert not torch.equal(one[:, 2 * WINDOW :], other[:, 2 * WINDOW :])


def test_the_shorter_text_is_filled_up(prompts: Prompts) -> None:
    """Prompt and negative prompt get the same number of windows, the missing ones without words."""
    empty = encoded(prompts, "")[0]
    for pair in (("a red circle", LONG), (LONG, "a red circle")):
        both, notes = prompts.embeddings(*pair)
        assert notes == ()
        assert both.shape[:2] == (2, 3 * WINDOW)
        short = both[1 - pair.index("a red circle")]
        assert torch.equal(short[:WINDOW], encoded(prompts, "a red circle")[0])
        for at in range(WINDOW, 3 * WINDOW, WINDOW):
            assert torch.equal(short[at : at + WINDOW], empty)


def test_pictures_equal_pipe_with_compels_numbers(
    starter: Any, starter_model: ModelInfo, tmp_path: Path
) -> None:
    """A weighted long prompt draws what diffusers' own call draws when compel gives it the embeddings."""
    compel = Compel(
        starter.tokenizer,
        starter.text_encoder,
        truncate_long_prompts=False,
        split_long_text_mode=SplitLongTextMode.PHRASES,
    )
    with torch.inference_mode():
        fragments = FlattenedPrompt(
            [("a ", 1.0), ("red", 1.3), (f" star, {LONG[:120]}, ", 1.0), ("blue", 0.5)]
        )
        positive = compel.build_conditioning_tensor_for_conjunction(Conjunction([fragments]))[0]
        both = compel.pad_conditioning_tensors_to_same_length([positive, as_pipe(starter, "a house")])
    expected = starter(
        prompt_embeds=both[0],
        negative_prompt_embeds=both[1],
        width=64,
        height=64,
        num_inference_steps=3,
        guidance_scale=4.0,
        generator=torch.Generator("cpu").manual_seed(5),
    ).images[0]
    typed = f"a (red:1.3) star, {LONG[:120]}, (blue:0.5)"
    bench = Bench(SdFamily(starter), starter_model, tmp_path)
    bench.submit(
        1, starter_model.request(prompt=typed, negative_prompt="a house", seed=5, size=(64, 64), steps=3)
    )
    ending = bench.finished(1)
    assert ending.notes == ()
    path = str(ending.images[0].path)
    with Image.open(path) as image:
        assert image.tobytes() == expected.tobytes()
        assert image.info["parameters"].startswith(typed)
    info = metadata.read(path)
    assert info is not None
    assert info.request is not None
    assert info.request.prompt == typed


def test_four_windows_are_the_limit(prompts: Prompts) -> None:
    """A longer text is cut after the last phrase that fits, and the words around the cut are told, without brackets."""
    fits = ", ".join(["a red circle"] * 28)  # seven times three words and a comma fill a window
    assert encoded(prompts, fits).shape[1] == WINDOWS_MAX * WINDOW
    long = f"{fits}, and a (small:1.2) heart on white"
    assert prompts.encode(long).embeddings.shape[1] == WINDOWS_MAX * WINDOW
    assert note(prompts, long) == (
        "is too long for this model: it was used up to “…circle, a red circle,”; "
        "from “and a small heart…” on it was left out."
    )


def test_the_cut_falls_between_weights(prompts: Prompts) -> None:
    """What is cut has the numbers of its first part alone, however the rest is weighted."""
    fits = ", ".join(["a red circle"] * 27) + ", (a red circle,:1.5)"
    long = f"{fits} [and a heart] on (white:2)"
    assert torch.equal(prompts.encode(long).embeddings, encoded(prompts, fits))
    assert note(prompts, long).endswith("from “and a heart on…” on it was left out.")


@pytest.mark.parametrize(
    "typed", ["a red circle BREAK a blue boat", "a (red:1.3) circle BREAK a [blue] boat"]
)
def test_break_begins_a_window(prompts: Prompts, typed: str) -> None:
    """What stands before it and behind it is read as if it stood alone, each in windows of its own."""
    before, after = typed.split(" BREAK ")
    expected = torch.cat([encoded(prompts, before), encoded(prompts, after)], dim=1)
    assert torch.equal(encoded(prompts, typed), expected)
    both, notes = prompts.embeddings("a star", typed)
    assert notes == ()
    assert torch.equal(both[:1], expected)
    assert both.shape[1] == 2 * WINDOW


def test_breaks_count_as_windows(prompts: Prompts) -> None:
    """Two in a row leave a window empty, one at the end opens none, and what lies behind the fourth window is told."""
    empty = encoded(prompts, "")
    windows = encoded(prompts, "a star BREAK BREAK a boat BREAK").split(WINDOW, dim=1)
    assert len(windows) == 3
    assert torch.equal(windows[1], empty)
    assert torch.equal(encoded(prompts, "(a BREAK b:1.3)"), encoded(prompts, "(a:1.3) BREAK (b:1.3)"))
    five = prompts.encode(f"{LONG} BREAK a star BREAK a (red:1.2) boat")
    assert five.embeddings.shape[1] == WINDOWS_MAX * WINDOW
    assert five.remarks == (
        "is too long for this model: it was used up to “…yellow circle a star”; from “a red boat” on it was left out.",
    )


@pytest.fixture(scope="module")
def counted() -> Prompts:
    """Of a model for which each of a few words is one token, and so is a comma; a window holds 75."""
    return Prompts(counting_pipe())


def ends(prompts: Prompts, text: str) -> list[int]:
    """How many tokens each window holds, by the marks at their ends."""
    compel = prompts._compel[0]
    ids = compel.get_token_ids([text], include_start_and_end_markers=False)[0]
    windows = compel.get_token_ids_and_expand_weights([text], [1.0], "cpu")[0].split(77)
    found = [int((window != compel.tokenizer.eos_token_id).sum()) - 1 for window in windows]
    assert sum(found) == len(ids)
    return found


def cats(count: int) -> str:
    return " ".join(["cat"] * count)


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        (cats(300), [75] * 4),
        (f"cat, {cats(80)}, {cats(80)}", [75, 75, 13]),
        (f"{cats(54)}, {cats(40)}", [75, 20]),
        (f"{cats(55)}, {cats(40)}", [56, 40]),
        (f"{cats(74)}, {cats(40)}", [75, 40]),
        (f"{cats(75)}, {cats(40)}", [75, 41]),
        (f"{cats(60)}, {cats(14)}, {cats(9)}", [75, 10]),
        (f"{cats(60)}. {cats(40)}", [75, 26]),
        (f"{cats(60)}, cat, {cats(70)}, {cats(9)}", [63, 71, 9]),
    ],
)
def test_a_window_ends_at_a_comma_that_is_near(counted: Prompts, text: str, windows: list[int]) -> None:
    """One among its last twenty tokens, as in AUTOMATIC1111; an earlier one costs nothing."""
    assert ends(counted, text) == windows
    for typed in (text, f"(cat:1.2) {text.removeprefix('cat ')}"):
        found = counted.encode(typed)
        assert found.remarks == ()
        assert found.embeddings.shape[1] == 77 * len(windows)
        _, notes = counted.embeddings("cat", typed)
        assert notes == ()


def comma_windows(tokens: list[bool], room: int = 75, back: int = 20) -> list[int]:
    """AUTOMATIC1111's published loop over tokens (True is a comma), told in numbers alone."""
    found: list[int] = []
    held, last = 0, -1
    for is_comma in tokens:
        if is_comma:
            last = held
        elif held == room and last != -1 and room - last <= back:
            found.append(last + 1)
            held, last = room - last - 1, -1
        if held == room:
            found.append(room)
            held, last = 0, -1
        held += 1
    return [*found, held] if held or not found else found


@given(st.lists(st.sampled_from([1, 2, 3, 10, 30, 54, 55, 56, 73, 74, 75, 76, 80]), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windows_are_those_of_automatic1111(counted: Prompts, clauses: list[int]) -> None:
    """Whatever clauses a text has, its windows hold as many tokens as there."""
    text = ", ".join(map(cats, clauses))
    commas = [False] * clauses[0]
    for clause in clauses[1:]:
        commas += [True, *[False] * clause]
    assert ends(counted, text) == comma_windows(commas)


def test_a_word_without_end_is_cut_too(pipe: Any) -> None:
    """A single word longer than all windows has no place to break, and still fits."""
    prompts = Prompts(pipe)
    found = prompts.encode("x" * 400)
    assert found.embeddings.shape[1] == WINDOWS_MAX * 77
    assert found.remarks[0].startswith("is too long for this model")


def test_few_parts_weigh_less_than_one(prompts: Prompts) -> None:
    """Each of them costs another run of the text encoder: after the eighth they weigh 1, with a note."""
    few = " ".join(["[red] a"] * LIGHT_MAX)
    many = f"{few} [blue] b [green]"
    found = prompts.encode(many)
    assert torch.equal(found.embeddings, encoded(prompts, f"{few} (blue:1) b green"))
    assert found.remarks == ("has 10 parts that weigh less than 1: the first 8 do, the others weigh 1.",)


@given(
    st.lists(
        st.sampled_from([*"()[]\\:., ab!", ":0.5)", "[a ", "\u200b", "<|endoftext|>", "<|startoftext|>"]),
        max_size=40,
    ).map("".join)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_encoded(prompts: Prompts, text: str) -> None:
    """Nothing that people can type breaks the encoding: whole windows of finite numbers come out."""
    embeddings = prompts.encode(text).embeddings
    assert embeddings.shape[1] in [WINDOW * count for count in range(1, WINDOWS_MAX + 1)]
    assert torch.isfinite(embeddings).all()

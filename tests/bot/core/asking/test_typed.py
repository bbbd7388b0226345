"""A wish that was written down as one text is the same wish when it is read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.core.asking import picture_facts
from bot.core.asking.asked import parse
from bot.core.asking.typed import typed
from bot.core.asking.wish import Quality, Wish
from engine.contract import AdapterInfo, ModelInfo
from tests.kit.foreign_pictures import PICTURES

DREAM = ModelInfo(
    id="owner/dream", title="Dream", loras=(AdapterInfo(name="detail"), AdapterInfo(name="pixel"))
)
WORDS = st.text(st.sampled_from('ab c-—{}|,__:*\\\n<>"“'), max_size=20).map(
    lambda text: " ".join(text.split())
)
OPTIONS = {
    "size": st.just("640x512"),
    "seed": st.integers(0, 2**32 - 1),
    "steps": st.integers(1, 150),
    "guidance": st.floats(1, 30).map(lambda value: round(value, 4)),
    "guidance_until": st.floats(0, 1).map(lambda value: round(value, 4)),
    "schedule": st.sampled_from(["AYS", "SGM Uniform"]),
    "images": st.integers(1, 10),
    "quality": st.sampled_from(Quality),
    "tile": st.just(value=True),
    "sampler": st.sampled_from(["DPM++ 2M Karras", "Euler a", "Model's own"]),
    "lora": st.sampled_from(["detail:0.8, pixel:1", "detail:-1"]),
    "embedding": st.sampled_from(["cat-toy, -blurry", "-x", "Bad Hands"]),
    "style": st.sampled_from(["ink", "old photo"]),
    "model": st.sampled_from(["owner/dream", "starter"]),
    "negative_prompt": st.sampled_from(["fog", "text, hands", "__x__ {a|b}", "-- tile", "--no fog"]),
}


@given(st.builds(Wish, prompt=WORDS, **{name: st.none() | told for name, told in OPTIONS.items()}))
@example(Wish(prompt="a --tile {red|blue} __animal__ — no dog", seed=5, sampler="Euler a"))
def test_it_is_read_as_it_was(wish: Wish) -> None:
    """Whatever stands in its prompt: that was drawn once, so nothing in it is a flag or a choice."""
    (again,) = parse(Wish(prompt=typed(wish))).wishes
    assert replace(again, prompt="", negative_prompt=None) == replace(wish, prompt="", negative_prompt=None)
    assert drawn(again.prompt) == drawn(wish.prompt)
    assert drawn(again.negative_prompt) == drawn(wish.negative_prompt)


def drawn(text: str | None) -> str:
    """With its wildcards' escapes read, too, as a request does."""
    return (text or "").replace("\\__", "__")


@pytest.mark.parametrize("name", PICTURES)
def test_settings_of_a_picture_can_be_typed(name: str) -> None:
    """Whichever program drew it; what has a field of its own beside the text is left out of that."""
    facts = picture_facts.read(PICTURES[name][1])
    assert facts is not None
    wish = picture_facts.wish_of(facts, [DREAM]).wish
    assert parse(Wish(prompt=typed(wish))).wishes == (wish,)
    beside = {"negative_prompt", "size", "model"}
    kept = replace(wish, **dict.fromkeys(beside))
    assert parse(Wish(prompt=typed(wish, beside=beside))).wishes == (kept,)

"""Sizes that follow a picture's shape: always drawable, about as many pixels as the model likes, as alike as they can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.contract import ASPECTS, ModelInfo

MODELS = st.builds(
    ModelInfo,
    id=st.just("any"),
    title=st.just("Any"),
    width=st.integers(8, 128).map(lambda number: number * 8),
    height=st.integers(8, 128).map(lambda number: number * 8),
    side_min=st.sampled_from([64, 128, 256]),
    side_max=st.sampled_from([1024, 1048, 2048]),
    side_multiple=st.sampled_from([8, 16, 32, 64]),
    pixels_max=st.sampled_from([512 * 512, 1024 * 1024, 2048 * 2048]),
)


@given(MODELS, st.integers(1, 30_000), st.integers(1, 30_000))
def test_any_shape_gives_a_size_that_can_be_drawn(model: ModelInfo, across: int, down: int) -> None:
    """However long and thin a picture is, the model itself accepts the size that is taken from it."""
    model.request(prompt="x", seed=0, size=model.size_like(across, down))


@given(
    st.sampled_from([512, 768, 1024]), st.sampled_from([8, 64]), st.integers(1, 9_000), st.floats(0.25, 4.0)
)
def test_an_ordinary_shape_is_kept(native: int, multiple: int, across: int, ratio: float) -> None:
    """Up to 4:1 the ratio holds to a step of each side, and the pixels are about the native ones."""
    down = max(1, round(across * ratio))
    ratio = down / across
    if not 0.25 <= ratio <= 4:
        return
    model = ModelInfo(id="any", title="Any", width=native, height=native, side_multiple=multiple)
    width, height = model.size_like(across, down)

    assert abs(width - native / ratio**0.5) <= multiple / 2 + 1e-6
    assert abs(height - native * ratio**0.5) <= multiple / 2 + 1e-6


@given(st.integers(64, 3000))
def test_a_picture_of_the_native_size_keeps_it(side: int) -> None:
    """A square gives the model's own square."""
    model = ModelInfo(id="any", title="Any", width=512, height=512)
    assert model.size_like(side, side) == (512, 512)


def test_what_would_round_up_beyond_the_bound_does_not() -> None:
    """5:4 of 512×512 is 576×456, a step more than 262,144 pixels: one step less is taken, for aspects as well."""
    model = ModelInfo(id="any", title="Any", pixels_max=512 * 512)
    assert model.size_like(5, 4) == model.size_for("5:4") == (568, 456)
    for aspect in ASPECTS:
        assert model.request(prompt="x", seed=0, size=model.size_for(aspect))

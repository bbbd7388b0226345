"""What is done on threads comes back with its picture, whether it went well or not."""

from __future__ import annotations

from concurrent.futures import wait
from pathlib import Path
from typing import Any

from PIL import Image

from engine.contract import SpooledImage, Submit
from engine.fake import MODEL
from engine.loop.finishing import Finishing
from engine.loop.job import Job, Loaded, Picture
from engine.pictures import metadata


def a_picture(index: int = 0) -> Picture:
    request = MODEL.request(prompt="a boat", seed=5, images=2, steps=1)
    job = Job(submit=Submit(job_id=3, attempt=1, request=request), work=1)
    family: Any = None  # it is drawn
    return Picture(
        job=job,
        index=index,
        loaded=Loaded(info=MODEL, family=family, fingerprint={"engine": "test"}),
        made_with={"lora detail": "abc"},
        modes={"exact"},
    )


def done(finishing: Finishing) -> None:
    """Returns when all that was begun is done."""
    wait(finishing._saves)
    wait(finishing._sketches)


def test_a_file_comes_back_with_its_picture(tmp_path: Path) -> None:
    """Once, with what it was made with in it; what was flagged lies aside."""
    finishing = Finishing(tmp_path)
    seen, flagged = a_picture(), a_picture(1)
    flagged.flagged, flagged.unsafe = True, 0.9
    finishing.save(seen, Image.new("RGB", (64, 72)))
    finishing.save(flagged, Image.new("RGB", (64, 72)))
    assert finishing.is_saving
    assert set(finishing.pictures) == {seen, flagged}
    done(finishing)
    found = dict(finishing.saved())
    assert not finishing.is_saving
    assert list(finishing.saved()) == []
    kept, image = found[flagged], found[seen]
    assert isinstance(kept, SpooledImage)
    assert isinstance(image, SpooledImage)
    assert (kept.seed, kept.path, kept.unsafe, kept.flagged) == (6, None, 0.9, True)
    assert Path(str(kept.aside)).is_file()
    assert (image.aside, image.unsafe, image.flagged) == (None, None, False)
    assert (image.seed, image.width, image.height) == (5, 64, 72)
    file = metadata.read(str(image.path))
    assert file is not None
    assert file.fingerprint == {"engine": "test", "lora detail": "abc"}
    finishing.close(orderly=True)


def test_what_went_wrong_comes_back_as_it_is(tmp_path: Path) -> None:
    """A folder that is gone and a preview that fails are told of their own pictures, and stop nothing."""

    def fail() -> bytes:
        raise ValueError("no preview")

    finishing = Finishing(tmp_path / "gone")
    one, other = a_picture(), a_picture(1)
    finishing.save(one, Image.new("RGB", (64, 64)))
    finishing.sketch(one, fail)
    finishing.sketch(other, lambda: b"JPEG")
    assert finishing.is_sketching(other)
    done(finishing)
    ((saved, error),) = finishing.saved()
    assert saved is one
    assert isinstance(error, FileNotFoundError)
    sketches = dict(finishing.sketched())
    assert isinstance(sketches[one], ValueError)
    assert sketches[other] == b"JPEG"
    assert not finishing.is_sketching(other)
    finishing.close(orderly=False)

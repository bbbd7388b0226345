"""Files that pictures start from: kept durably, read with care, and refused with one sentence where they are no good."""

from __future__ import annotations

import hashlib
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.contract import InvalidRequest
from engine.pictures import decoder, decoding, inputs
from tests.kit.engines import NO_IMAGES, a_mask, a_photo, encoded, kept

SIZE = (72, 64)
LANCZOS = Image.Resampling.LANCZOS


def test_what_is_kept_lies_under_its_digest(tmp_path: Path) -> None:
    """The file's name is its SHA-256, the folder is made, and twice the same is one file."""
    folder = tmp_path / "spool" / inputs.FOLDER
    digest = inputs.keep(folder, b"bytes")
    assert digest == hashlib.sha256(b"bytes").hexdigest() == inputs.keep(folder, b"bytes")
    assert inputs.path_of(folder, digest).read_bytes() == b"bytes"
    assert [path.name for path in folder.iterdir()] == [digest]


def test_two_keep_the_same_at_once(tmp_path: Path) -> None:
    """Several threads that keep the same bytes do not take each other's half-written files away."""
    failed: list[BaseException] = []

    def keep() -> None:
        try:
            for _ in range(20):
                inputs.keep(tmp_path, b"x" * 100_000)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(list(tmp_path.iterdir())) == 1


def test_too_many_bytes_are_not_kept(tmp_path: Path) -> None:
    """A file beyond the limit is refused with a sentence before anything is written."""
    with pytest.raises(InvalidRequest, match="larger than 32 MiB"):
        inputs.keep(tmp_path / "inputs", bytes(inputs.BYTES_MAX + 1))
    assert not (tmp_path / "inputs").exists()


# ------------------------------------------------------------------ reading


def read(folder: Path, image: bytes, mask: bytes | None = None) -> decoding.Inputs:
    names = [None if data is None else inputs.keep(folder, data) for data in (image, mask)]
    assert names[0] is not None
    return decoding.read(folder, image=names[0], mask=names[1], size=SIZE)


def flat(image: Image.Image) -> bytes:
    return image.convert("RGB").resize(SIZE, LANCZOS).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_three_formats(tmp_path: Path, kind: str) -> None:
    """Each is read by its content and squeezed into the size as PIL's Lanczos filter does it."""
    found = read(tmp_path, encoded(a_photo(), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert (found.image.mode, found.image.size, found.mask, found.notes) == ("RGB", SIZE, None, ())
    if kind != "JPEG":
        assert found.image.tobytes() == flat(a_photo())


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    """Grey, palette, black and white, 16 bits and print colours look as they did before."""
    if mode == "I;16":
        grey = a_photo().convert("L")
        wide = b"".join(bytes((value // 2, value)) for value in grey.tobytes())
        data, looks = encoded(Image.frombytes("I;16", grey.size, wide)), grey
    elif mode == "CMYK":
        data = encoded(a_photo().convert("CMYK"), "JPEG", quality=100)
        looks = a_photo().convert("CMYK")
    else:
        looks = a_photo().convert(mode)
        data = encoded(looks)
    found = read(tmp_path, data).image.tobytes()
    pairs = zip(found, flat(looks), strict=True)
    assert max(abs(one - other) for one, other in pairs) <= (24 if mode == "CMYK" else 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path: Path, mode: str) -> None:
    """A picture without any opaque pixel is a white one, whatever colours hide in it."""
    photo = a_photo()
    photo.putalpha(0)
    data = (
        encoded(a_photo().convert("L").convert("P"), transparency=bytes(256))
        if mode == "P"
        else encoded(photo.convert(mode))
    )
    assert set(read(tmp_path, data).image.tobytes()) == {255}


def test_what_a_mask_leaves_transparent_is_kept(tmp_path: Path) -> None:
    """White strokes on a transparent layer are the mask; what lies hidden under it is not."""
    layer = Image.new("RGBA", (100, 80), (255, 255, 255, 0))
    layer.paste((255, 255, 255, 255), (50, 0, 100, 80))
    found = read(tmp_path, encoded(a_photo()), encoded(layer)).mask
    assert found is not None
    assert (found.getpixel((10, 30)), found.getpixel((60, 30))) == (0, 255)


def test_the_way_up_is_that_of_the_metadata(tmp_path: Path) -> None:
    """A photograph taken sideways is turned before it is squeezed, and no metadata is left."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    found = read(tmp_path, encoded(a_photo(), exif=exif)).image
    assert found.tobytes() == flat(a_photo().transpose(Image.Transpose.ROTATE_270))
    assert not found.getexif()


def test_damaged_metadata_takes_nothing_from_the_pixels(tmp_path: Path) -> None:
    """With an EXIF block of rubbish the picture is still used, as it lies."""
    found = read(tmp_path, encoded(a_photo(), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff rubbish"))
    assert found.image.tobytes() == flat(a_photo())


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_moving_pictures_the_first_frame_is_taken(tmp_path: Path, kind: str) -> None:
    """The first of several frames is what the picture starts from, and a note says so."""
    frames: dict[str, Any] = {"save_all": True, "append_images": [a_photo(seed=1), a_photo(seed=2)]}
    found = read(
        tmp_path, encoded(a_photo(), kind, **frames, **({"lossless": True} if kind == "WEBP" else {}))
    )
    assert found.notes == ("The image moves: its first frame was taken.",)
    assert found.image.tobytes() == flat(a_photo())


def test_a_photograph_with_a_second_one_in_it_does_not_move(tmp_path: Path) -> None:
    """Telephones put a depth map behind the photograph: that is no animation."""
    found = read(tmp_path, encoded(a_photo(), "MPO", save_all=True, append_images=[a_photo(seed=1)]))
    assert found.notes == ()


@pytest.mark.parametrize("what", NO_IMAGES)
@pytest.mark.parametrize("role", ["image", "mask"])
def test_what_no_picture_can_start_from(tmp_path: Path, what: str, role: str) -> None:
    """One sentence that names the file's part and says what to do."""
    data, words = NO_IMAGES[what]
    files = (data, None) if role == "image" else (encoded(a_photo()), data)
    with pytest.raises(InvalidRequest, match=rf"^The {role} [^.]*{words}.*\.$"):
        read(tmp_path, *files)


def test_masks_that_fit_nothing(tmp_path: Path) -> None:
    """A mask of another size and one without white are refused; grey of less than half is black."""
    photo = encoded(a_photo())
    with pytest.raises(InvalidRequest, match="The mask has 100x81 pixels but the image 100x80: make them"):
        read(tmp_path, photo, encoded(a_mask((100, 81))))
    for grey in (0, 127):
        with pytest.raises(InvalidRequest, match="nothing to draw: paint white"):
            read(tmp_path, photo, encoded(Image.new("L", (100, 80), grey)))
    assert read(tmp_path, photo, encoded(Image.new("L", (100, 80), 128))).mask is not None


def test_a_mask_for_a_photograph_taken_sideways(tmp_path: Path) -> None:
    """Sizes are compared the way people see them."""
    exif = Image.Exif()
    exif[0x0112] = 8
    assert read(tmp_path, encoded(a_photo(), exif=exif), encoded(a_mask((80, 100)))).mask is not None


def test_files_that_are_gone_or_changed(tmp_path: Path) -> None:
    """A file that is not kept any more, or no longer what was uploaded, has to be attached again."""
    digest = kept(tmp_path, a_photo())
    inputs.path_of(tmp_path, digest).write_bytes(encoded(a_photo(seed=1)))
    for name, words in ((digest, "damaged on this disk"), ("0" * 64, "not kept any more")):
        with pytest.raises(InvalidRequest, match=f"The image .*{words}: attach it again"):
            decoding.read(tmp_path, image=name, mask=None, size=SIZE)


@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP"]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=20),
)
def test_no_file_gets_past_its_sentence(kind: str, changes: list[tuple[int, int]]) -> None:
    """Whatever bytes are changed in a file, its decoder reads it or refuses it, and no other error comes out."""
    data = bytearray(encoded(a_photo(), kind))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        upload = decoder.Upload("image", bytes(data))
        upload.load()
        drawn = upload.drawn(SIZE, "white", coloured=True)
    except decoder.Unusable:
        return
    assert (drawn.size, drawn.mode) == (SIZE, "RGB")


# ------------------------------------------------------------------ what a hostile file may do to its decoder

PIXELS = f'{{"size": [{SIZE[0]}, {SIZE[1]}], "shape": [100, 80], "moves": false}}'
ANSWERS = {
    "killed": "import os; os.kill(os.getpid(), 9)",
    "an exit code": "raise SystemExit(3)",
    "no JSON": "print('hello')",
    "JSON of another kind": "print('[1, 2]')",
    "no number": 'print(\'{"size": ["a", 64], "shape": [1, 1], "moves": false}\')',
    "another size": 'print(\'{"size": [64, 64], "shape": [100, 80], "moves": false}\')',
    "too few pixels": f"print('{PIXELS}'); print('x' * 100)",
    "a line without end": "print('x' * 10**6)",
    "deep JSON": "print('[' * 900)",
}


@pytest.mark.parametrize("what", ANSWERS)
def test_a_decoder_that_dies_or_lies(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of its process, the file that it was to decode is refused with a sentence."""
    monkeypatch.setattr(decoding, "COMMAND", (sys.executable, "-S", "-c", ANSWERS[what]))
    with pytest.raises(
        InvalidRequest, match=r"^The image can't be decoded safely: save it anew and attach that\.$"
    ):
        read(tmp_path, encoded(a_photo()))


def test_a_decoder_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed in time, and the file that it was to decode is refused with a sentence."""
    monkeypatch.setattr(decoding, "COMMAND", (sys.executable, "-S", "-c", "import time; time.sleep(600)"))
    with pytest.raises(InvalidRequest, match=r"^The picture takes too long to decode: save it anew .*\.$"):
        decoding.shown(encoded(a_photo()), within_s=0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other bounds")
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("decoder.CPU_S = 1; decoder._confine()\nwhile True: pass", "takes too long to decode"),
        ("decoder.MEMORY_MAX = 0; decoder._hold_memory(); bytes(2**29)", "can't be decoded safely"),
    ],
)
def test_bounds_on_time_and_memory(
    tmp_path: Path, code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that computes or allocates more than any honest file takes is ended by the system."""
    command = (sys.executable, "-S", "-c", f"from engine.pictures import decoder; {code}")
    monkeypatch.setattr(decoding, "COMMAND", command)
    with pytest.raises(InvalidRequest, match=words):
        read(tmp_path, encoded(a_photo()))


def test_a_decoder_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment holds neither tokens nor anything else of ours."""
    monkeypatch.setenv("HF_TOKEN", "s3cr3t")
    monkeypatch.setenv("DISCORD_TOKEN", "s3cr3t")
    file = tmp_path / "environment"
    code = f"import os; open({str(file)!r}, 'w').write(str(dict(os.environ)))"
    monkeypatch.setattr(decoding, "COMMAND", (sys.executable, "-S", "-c", code))
    with pytest.raises(InvalidRequest):
        read(tmp_path, encoded(a_photo()))
    assert "PYTHONPATH" in file.read_text()
    assert "s3cr3t" not in file.read_text()


def test_many_scans_that_are_honest(tmp_path: Path) -> None:
    """A progressive JPEG is read, also with a film behind it that is full of what looks like scans."""
    data = encoded(a_photo(), "JPEG", progressive=True, quality=100)
    film = data + b"\xff\xda\x00\x02" * 1000
    assert read(tmp_path, film).image.tobytes() == read(tmp_path, data).image.tobytes()


def test_memory_is_bounded_by_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """What decoding takes depends on the kind of file: some are refused where others of the same size are read."""
    monkeypatch.setattr(decoder, "MEMORY_MAX", 9 * 100 * 80)
    for data in (
        encoded(a_photo(), "WEBP"),
        encoded(a_photo(), "JPEG", progressive=True),
        encoded(a_photo().convert("LA")),
        encoded(a_photo(), transparency=(1, 2, 3)),
    ):
        with pytest.raises(decoder.Unusable, match="too large"):
            decoder.Upload("image", data)
    for data in (encoded(a_photo()), encoded(a_photo().convert("CMYK"), "JPEG")):
        assert decoder.Upload("image", data).size == (100, 80)

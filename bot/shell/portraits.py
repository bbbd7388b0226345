"""Faces of the demo's people: a letter on a colour. SimCord 3.2.1 takes names of avatars alone, and shows none. Knows no Easel."""

from __future__ import annotations

import io
from hashlib import sha256

import simcord
from PIL import Image, ImageDraw, ImageFont
from simcord.backend.cdn import CDN_BASE

SIDE = 128
COLOURS = ("#e8590c", "#2f9e44", "#1971c2", "#9c36b5", "#c2255c", "#0c8599")


def portray(env: simcord.Env) -> None:
    """Gives everybody who is there a face, each another colour."""
    users = env.backend.users.values()
    for place, user in enumerate(users):
        face = _face(user.name[0].upper(), COLOURS[place % len(COLOURS)])
        user.avatar = sha256(face).hexdigest()[:32]
        env.backend.cdn._blobs[f"{CDN_BASE}/avatars/{user.id}/{user.avatar}.png"] = face  # pyright: ignore[reportPrivateUsage]


def _face(letter: str, colour: str) -> bytes:
    image = Image.new("RGB", (SIDE, SIDE), colour)
    font = ImageFont.load_default(SIDE * 0.6)
    ImageDraw.Draw(image).text((SIDE / 2, SIDE / 2), letter, "white", font, anchor="mm")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()

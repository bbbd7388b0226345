"""The file of styles that whoever runs Easel offers everywhere; knows no server's own.

[[style]]
name = "watercolour"
prompt = "{prompt}, watercolour, soft paper"
negative_prompt = "photo"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from bot.config.settings import ConfigError, Settings
from bot.job import STYLE_NAME_CHARS_MAX, STYLE_TEXT_CHARS_MAX, Style

BYTES_MAX = 2**20
KEYS = ("name", "prompt", "negative_prompt")


def load_styles(settings: Settings) -> tuple[Style, ...]:
    """In their order there; none where there is no file and none was named. Raises ConfigError, a sentence."""
    if settings.styles.file is None and not settings.has_data_dir:
        return ()
    file = settings.styles_file
    try:
        found = tomllib.loads(_text(file))
    except FileNotFoundError:
        if settings.styles.file is None:
            return ()
        raise ConfigError(f"styles.file: there is no file {file}.") from None
    except OSError as error:
        raise ConfigError(f"{file}: the file can't be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: this is not TOML: {error}.") from None
    entries = found.pop("style", [])
    if found or not isinstance(entries, list):
        raise ConfigError(f"{file}: every style begins with [[style]], and nothing else stands there.")
    styles = tuple(_style(file, number, entry) for number, entry in enumerate(cast("list[Any]", entries), 1))
    names = [style.name.casefold() for style in styles]
    for style in styles:
        if names.count(style.name.casefold()) > 1:
            raise ConfigError(f"{file}: the style “{style.name}” stands there twice: rename one of them.")
    return styles


def _text(file: Path) -> str:
    with file.open("rb") as opened:
        data = opened.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise ConfigError(f"{file}: the file is larger than 1 MB: leave some styles out.")
    return data.decode("utf-8")


def _style(file: Path, number: int, entry: Any) -> Style:
    values: Mapping[str, Any] = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
    where = f"{file}: style {number}"
    if strange := values.keys() - set(KEYS):
        raise ConfigError(f"{where} has “{min(strange)}”, which is none of {', '.join(KEYS)}.")
    name, prompt, negative = (values.get(key, "") for key in KEYS)
    if not all(isinstance(text, str) for text in (name, prompt, negative)):
        raise ConfigError(f"{where} has something else than a text in quotation marks.")
    style = Style(name=name.strip(), prompt=prompt.strip(), negative_prompt=negative.strip())
    if not style.is_named:
        raise ConfigError(f"{where} needs a name of 1 to {STYLE_NAME_CHARS_MAX} characters on one line.")
    if not style.says_something:
        raise ConfigError(
            f"{where} says nothing: give it a prompt of at most {STYLE_TEXT_CHARS_MAX} characters."
        )
    return style

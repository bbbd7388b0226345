"""Reads `easel.toml`, the environment and options into settings; every problem is told at once. Knows no Discord and no SQL."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from bot.config.settings import (
    KEYS,
    PREFIX,
    SECTIONS,
    VARIABLES,
    ConfigError,
    EngineSection,
    Section,
    Settings,
    WrongOption,
    expanded,
    own_folder,
)
from bot.config.wrong_settings import allowed, did_you_mean, kinds, shown, unknown_key, unknown_section
from bot.limits import PAUSES, Limits, strictest
from bot.redaction import cleaned, holds_token
from engine.contract import OPENNSFW, STARTER

FILE_NAME = "easel.toml"
OTHER_VARIABLES = frozenset({"EASEL_CONFIG", "EASEL_CI"})
"""Variables with our prefix that are no settings: which file to read, and the tests' "nothing may be skipped"."""


def load(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    options: Mapping[str, str | None] | None = None,
) -> Settings:
    """Settings from `path` (or $EASEL_CONFIG, ./easel.toml, the user's configuration folder) and the environment.

    `options` are those of the command line that stand for a key, such as "engine.model", and win; None is not given.
    A missing file is fine unless it was asked for by name. Raises ConfigError, which lists every problem.
    """
    environ = os.environ if environ is None else environ
    file = find(path, environ)
    values = _read(file) if file else {}
    problems: list[str] = []
    origins: dict[str, str] = {}
    tables = _tables(values, problems)
    _apply_environment(tables, environ, origins, problems)
    _apply_options(tables, options or {}, origins)
    tables = {name: _without_tokens(name, table, origins, problems) for name, table in tables.items()}
    sections = {name: _section(name, tables[name], origins, problems) for name in SECTIONS}
    problems.extend([*_over_ceiling(sections), *_computed_by_torch(sections["engine"])])
    if problems:
        raise ConfigError(*problems, source=str(file) if file else None)
    settings = Settings.model_validate({name: section for name, section in sections.items() if section})
    settings = _anchored(settings, file.parent if file else _here(), origins)
    return settings.model_copy(update={"discord": settings.discord.with_environment(environ)})


def typed_model(name: str) -> str:
    """What somebody typed as --model or at a question: the starter, an id of the hub or a whole path. Raises WrongOption."""
    tables: dict[str, dict[str, Any]] = {"engine": {}}
    _apply_options(tables, {"engine.model": name}, {})
    return name if name == STARTER else _at(_here() / expanded(name), name, is_typed=True)


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read, or None where there is none; raises ConfigError where a named one is missing."""
    named = path or (expanded(value) if (value := environ.get("EASEL_CONFIG")) else None)
    if named:
        if not named.is_file():
            there = "is a folder" if named.is_dir() else "is not there"
            problem = f"{named.absolute()} {there}: easel init makes one."
            raise WrongOption("--config", problem) if path else ConfigError(f"EASEL_CONFIG: {problem}")
        return named.absolute()
    folders = (_here(), own_folder(platformdirs.user_config_dir))
    files = (folder / FILE_NAME for folder in folders if folder is not None)
    return next((file for file in files if os.path.isfile(file)), None)  # noqa: PTH113 - Path's own raises where it may not look


def _here() -> Path:
    """Where we stand, "." where that was removed."""
    try:
        return Path.cwd()
    except OSError:
        return Path()


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line (\d+)", str(error))
        line = f", line {where[1]}" if where else ""
        raise ConfigError(f"{file}{line}: this is not TOML: {error}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: the file is not UTF-8 text.") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
        raise ConfigError(f"{file}: this is not TOML that can be read: {error}.") from None
    except OSError as error:
        raise ConfigError(f"{file}: the file can't be read: {error.strerror}.") from None


def _tables(values: Mapping[str, Any], problems: list[str]) -> dict[str, dict[str, Any]]:
    """One dictionary per known section; anything else at the top of the file is a problem."""
    tables: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for name, value in values.items():
        if name not in SECTIONS:
            is_section = isinstance(value, dict)
            problems.append(unknown_section(name, SECTIONS) if is_section else unknown_key(name, KEYS))
        elif isinstance(value, dict):
            tables[name] = typing.cast("dict[str, Any]", value)
        else:
            problems.append(
                f"{name}: found {shown(value)}; {name} is a section: write [{name}] and its keys below."
            )
    return tables


def _apply_environment(
    tables: dict[str, dict[str, Any]],
    environ: Mapping[str, str],
    origins: dict[str, str],
    problems: list[str],
) -> None:
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        if variable not in VARIABLES:
            near = difflib.get_close_matches(variable, VARIABLES, 1)
            problems.append(f"{variable}: there is no such setting{did_you_mean(near)}")
        elif value := environ[variable].strip():  # empty means unset, as in compose files
            section, _, key = VARIABLES[variable].partition(".")
            tables[section] = {**tables[section], key: _typed(value, SECTIONS[section].model_fields[key])}
            origins[VARIABLES[variable]] = variable


def _apply_options(
    tables: dict[str, dict[str, Any]], options: Mapping[str, str | None], origins: dict[str, str]
) -> None:
    """Raises WrongOption at once: what stands in the file or the environment has nothing to do with it."""
    for key, text in options.items():
        if text is None:
            continue
        section, _, name = key.partition(".")
        origins[key] = f"--{name}"
        wrong: list[str] = []
        _section(section, _without_tokens(section, {name: text}, origins, wrong), origins, wrong)
        if wrong:
            raise WrongOption(f"--{name}", wrong[0].partition(": ")[2])
        tables[section] = {**tables[section], name: text}


def _without_tokens(
    section: str, table: dict[str, Any], origins: Mapping[str, str], problems: list[str]
) -> dict[str, Any]:
    """The table without what some secret was pasted into: it is told by its key, and goes no further."""
    kept: dict[str, Any] = {}
    for name, value in table.items():
        if holds_token(f"{name} {value}"):
            where = origins.get(f"{section}.{name}", cleaned(f"{section}.{name}"))
            problems.append(
                f"{where}: what stands there looks like a token: take it out, and set Discord's as DISCORD_TOKEN, or name "
                "a file that holds it as token_file under [discord]."
            )
        else:
            kept[name] = value
    return kept


def _typed(text: str, info: FieldInfo) -> Any:
    """The text of a variable as the field's own type; as it is where it does not fit, for validation to tell."""
    options = kinds(info)
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if bool in options:
        return words.get(text.lower(), text)
    for kind in (int, float):
        if kind in options:
            try:
                return kind(text)
            except ValueError:
                return text
    return text


def _section(
    name: str, values: Mapping[str, Any], origins: Mapping[str, str], problems: list[str]
) -> Section | None:
    model = SECTIONS[name]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        told: set[str] = set()
        for entry in error.errors(include_url=False):
            key = f"{name}.{entry['loc'][0]}"
            if key not in told:  # one line per key, however many rules it breaks
                told.add(key)
                problems.append(_problem(key, entry["type"], entry["input"], entry["msg"], origins.get(key)))
        return None


def _over_ceiling(sections: Mapping[str, Section | None]) -> Iterator[str]:
    limits, ceilings = sections["limits"], sections["ceilings"]
    if limits is None or ceilings is None:
        return
    for key in Limits.names():
        found, highest = getattr(limits, key), getattr(ceilings, key)
        if strictest(key, found, highest) != found:
            bound = "least" if key in PAUSES else "most"
            yield f"limits.{key}: found {found}; allowed: at {bound} {highest}, which is ceilings.{key}."


def _computed_by_torch(engine: Section | None) -> Iterator[str]:
    if isinstance(engine, EngineSection) and engine.runtime == "openvino" and engine.mode == "exact":
        yield (
            'engine.runtime: found "openvino"; allowed: "auto" or "torch" as long as engine.mode is "exact", '
            "since its pictures equal torch's."
        )


def _anchored(settings: Settings, folder: Path, origins: Mapping[str, str]) -> Settings:
    """Relative paths count from the folder of the file they stand in; those of the environment from where we are."""

    def absolute(key: str, path: Path | None) -> Path | None:
        if path is None:
            return None
        if (written := expanded(path)).parts[:1] == ("~",):
            raise ConfigError(
                f"{key}: this user has no home folder, so “~” means nothing: write the whole path."
            )
        return (_here() if key in origins else folder) / written

    discord, engine, preview = settings.discord, settings.engine, settings.preview
    data, backup, models = settings.data, settings.backup, settings.models
    wildcards, styles = settings.wildcards, settings.styles
    token_file = absolute("discord.token_file", discord.token_file)
    model = engine.model
    if model != STARTER and (place := absolute("engine.model", Path(model))):
        model = _at(place, model, is_typed=origins.get("engine.model") == "--model")
    checker = engine.checker
    if checker not in (None, OPENNSFW) and (place := absolute("engine.checker", Path(checker))):
        checker = _at(place, checker, is_typed=False)
    return settings.model_copy(
        update={
            "discord": discord.model_copy(update={"token_file": token_file}),
            "engine": engine.model_copy(update={"model": model, "checker": checker}),
            "models": models.model_copy(update={"dir": absolute("models.dir", models.dir)}),
            "wildcards": wildcards.model_copy(update={"dir": absolute("wildcards.dir", wildcards.dir)}),
            "styles": styles.model_copy(update={"file": absolute("styles.file", styles.file)}),
            "data": data.model_copy(update={"dir": absolute("data.dir", data.dir)}),
            "backup": backup.model_copy(update={"dir": absolute("backup.dir", backup.dir)}),
            "preview": preview.model_copy(update={"model": absolute("preview.model", preview.model)}),
        }
    )


def _at(place: Path, model: str, *, is_typed: bool) -> str:
    """What a model's name means where `place` is the path it would be: that path, or an id of the hub."""
    # "owner/name" is a hub id unless such a folder or file lies here
    is_path = model.startswith((".", "~")) or model.endswith((".safetensors", ".onnx")) or place.exists()
    if is_typed and not place.exists():
        _check_named(model, place, is_path=is_path)
    # a file keeps its own name, since what it links to may have another (the hub's cache does that)
    found = place.parent.resolve() / place.name if place.is_file() else place.resolve()
    return str(found) if is_path else model


def _check_named(model: str, place: Path, *, is_path: bool) -> None:
    """Raises WrongOption for a --model that neither lies here nor could be an id of the hub."""
    if is_path or not re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*(@\S+)?", model):
        what = "" if is_path else f", and “{model}” is no id of the hub, which looks like owner/name"
        raise WrongOption("--model", f"{place} is not there{what}.")


def _problem(key: str, kind: str, found: object, message: str, variable: str | None) -> str:
    if kind == "extra_forbidden":
        return unknown_key(key, KEYS)
    section, _, name = key.partition(".")
    where = f"{key} (from {variable})" if variable else key
    hint = message.removeprefix("Value error, ").strip() if kind == "value_error" else ""
    allowed_text = allowed(SECTIONS[section].model_fields[name])
    return f"{where}: found {shown(found)}; allowed: {allowed_text}{f'; {hint}' if hint else '.'}"

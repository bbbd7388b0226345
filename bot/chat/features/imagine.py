"""/imagine: options and flags become a request; what is left out takes the model's own default, or the image's shape.

What makes several requests at once, such as alternatives, is asked about first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import discord
from discord import app_commands
from discord.app_commands import Choice, Range

from bot.chat import first_use, order, suggestions
from bot.chat.client import EaselClient, Interaction
from bot.chat.features import permute
from bot.chat.look.safe import cut
from bot.chat.order import Order
from bot.chat.router import Feature
from bot.chat.sources import Attached, check_files, told_of
from bot.chat.suggestions import CHOICE_CHARS_MAX, CHOICES_MAX
from bot.core.asking.asked import parse
from bot.core.asking.refused import Unmet
from bot.core.asking.wish import Quality, Wish
from bot.job import STYLE_NAME_CHARS_MAX
from bot.limits import PermitKind
from bot.texts import commands
from engine.contract import (
    AGAINST,
    GUIDANCE_MAX,
    GUIDANCE_MIN,
    IMAGES_MAX,
    PROMPT_CHARS_MAX,
    SAMPLERS,
    SEEDS,
    UPSCALE_MAX,
    AdapterInfo,
    ModelInfo,
)

NAMES_CHARS_MAX = 400
QualityName = Literal["quick", "standard", "high"]
Schedule = Literal["AYS", "SGM Uniform"]
Aspect = Literal["1:1", "5:4", "4:5", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16", "2:1", "1:2"]


@app_commands.command(description=commands.IMAGINE)
@app_commands.describe(**commands.IMAGINE_OPTIONS)
async def imagine(
    interaction: discord.Interaction[EaselClient],
    prompt: Range[str, 1, PROMPT_CHARS_MAX],
    negative_prompt: Range[str, 0, PROMPT_CHARS_MAX] | None = None,
    image: discord.Attachment | None = None,
    mask: discord.Attachment | None = None,
    strength: Range[float, 0.01, 1.0] | None = None,
    upscale: Range[int, 2, UPSCALE_MAX] | None = None,
    aspect: Aspect | None = None,
    size: Range[str, 1, 20] | None = None,
    steps: Range[int, 1, 150] | None = None,
    guidance: Range[float, GUIDANCE_MIN, GUIDANCE_MAX] | None = None,
    seed: Range[int, -1, SEEDS - 1] | None = None,
    sampler: Range[str, 1, 60] | None = None,
    schedule: Schedule | None = None,
    guidance_until: Range[float, 0.0, 1.0] | None = None,
    images: Range[int, 1, IMAGES_MAX] | None = None,
    model: Range[str, 1, 100] | None = None,
    lora: Range[str, 1, NAMES_CHARS_MAX] | None = None,
    embedding: Range[str, 1, NAMES_CHARS_MAX] | None = None,
    style: Range[str, 1, STYLE_NAME_CHARS_MAX] | None = None,
    quality: QualityName | None = None,
    tile: bool | None = None,
) -> None:
    typed = Wish(
        prompt=prompt,
        negative_prompt=negative_prompt,
        image=told_of(image),
        mask=told_of(mask),
        strength=strength,
        upscale=upscale,
        aspect=aspect,
        size=size,
        steps=steps,
        guidance=guidance,
        seed=seed,
        sampler=sampler,
        schedule=schedule,
        guidance_until=guidance_until,
        images=images,
        model=model,
        lora=lora,
        embedding=embedding,
        style=style,
        quality=None if quality is None else Quality(quality),
        tile=tile,
    )
    await _ask_for(interaction, typed, image, mask)
    await first_use.hint(interaction)


async def _ask_for(
    interaction: Interaction,
    typed: Wish,
    image: discord.Attachment | None,
    mask: discord.Attachment | None,
) -> None:
    """One request is placed at once; several are asked about first. Raises what keeps them from that."""
    asker = await order.check(interaction)
    services = interaction.client.services
    files = Attached(image=image, mask=mask) if image is not None else None

    async def resolved(told: Wish) -> Order:
        wish = await order.preferred(interaction, asker, told)
        chosen = services.catalogue.model(wish.model, upscale=wish.upscale or 1)
        check_files(image, mask, wish, times=wish.times(chosen), max_mb=services.settings.images_in.max_mb)
        request = await order.requested(interaction, wish, chosen)
        return Order(request=request, model=chosen, wish=wish, files=files)

    asked = parse(typed)
    if asked.needs_confirmation:
        usual = await order.preferred(interaction, asker, typed)
        asked = parse(typed, images=usual.images or 1)  # by which seeds of repeats are apart
        await permute.ask(interaction, asker, asked.wishes, resolved, files)
    else:
        await order.place(interaction, asker, await resolved(asked.wishes[0]))


def _filled_in(interaction: Interaction) -> ModelInfo | None:
    """The model that draws; None while nothing is offered, or its name is still being typed."""
    try:
        return interaction.client.services.catalogue.model(interaction.namespace.model)
    except Unmet:
        return None


@imagine.autocomplete("sampler")
async def _suggest_sampler(interaction: Interaction, current: str) -> list[Choice[str]]:
    model = _filled_in(interaction)
    offered = model.samplers if model is not None else tuple(SAMPLERS)
    wanted = current.casefold()
    return [Choice(name=name, value=name) for name in offered if wanted in name.casefold()][:CHOICES_MAX]


imagine.autocomplete("model")(suggestions.models)
imagine.autocomplete("style")(suggestions.styles)


@imagine.autocomplete("lora")
async def _suggest_lora(interaction: Interaction, current: str) -> list[Choice[str]]:
    """What may follow the last comma, with its trigger words; what stands before it stays."""
    model = _filled_in(interaction)
    if model is None:
        return []
    permits = await interaction.client.services.admission.permits(order.asker_of(interaction))
    return lora_choices([info for info in model.loras if permits.allows(PermitKind.LORA, info.name)], current)


def lora_choices(offered: Sequence[AdapterInfo], current: str) -> list[Choice[str]]:
    """One for each fitting file that holds the text after the last comma; a weight typed there is kept."""
    typed, _, weight = current.rpartition(",")[2].strip().partition(":")
    told = f":{weight.strip()}" if weight.strip() else ""
    return _file_choices(offered, current, typed, "", told)


@imagine.autocomplete("embedding")
async def _suggest_embedding(interaction: Interaction, current: str) -> list[Choice[str]]:
    """What may follow the last comma; a minus typed there is kept."""
    model = _filled_in(interaction)
    return embedding_choices(model.embeddings, current) if model is not None else []


def embedding_choices(offered: Sequence[AdapterInfo], current: str) -> list[Choice[str]]:
    last = current.rpartition(",")[2].strip()
    typed = last.removeprefix(AGAINST)
    return _file_choices(offered, current, typed, AGAINST if typed != last else "", "")


def _file_choices(
    offered: Sequence[AdapterInfo], current: str, typed: str, sign: str, weight: str
) -> list[Choice[str]]:
    """What `current` may become: of each file what is said of it is shown, too. Those before the last comma stay."""
    before, comma, _ = current.rpartition(",")
    wanted, kept = typed.strip().casefold(), f"{before}{comma} " if comma else ""
    taken = {part.partition(":")[0].strip().removeprefix(AGAINST).casefold() for part in before.split(",")}
    choices: list[Choice[str]] = []
    for info in offered:
        told = " – ".join(part for part in (", ".join(info.words), info.description) if part)
        if info.problem or wanted not in f"{info.name}\n{told}".casefold() or info.name.casefold() in taken:
            continue
        value = f"{kept}{sign}{info.name}{weight}"
        if len(value) <= CHOICE_CHARS_MAX:  # Discord takes no longer ones
            shown = f"{value} – {told}" if told else value
            choices.append(Choice(name=cut(shown, CHOICE_CHARS_MAX), value=value))
        if len(choices) == CHOICES_MAX:
            break
    return choices


FEATURE = Feature(commands=(imagine,))  # pyright: ignore[reportUnknownArgumentType] - discord.py leaves its group open

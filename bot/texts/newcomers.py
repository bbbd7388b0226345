"""What somebody new reads: the greeting of a server, /help, and the hint behind a person's first picture. Pure."""

from __future__ import annotations

from bot.texts.amounts import size
from bot.texts.language import Language, fixed, noted
from engine.contract import STARTER, ModelInfo

OF_STARTER = noted("draws simple things in plain colours, and nothing else")

# ------------------------------------------------------------------ the greeting

hello = fixed(
    "**Hello, I draw pictures from words.** Type `/imagine` and what you would like to see, such as:"
)
more_in_help = fixed("`/help` shows what else I can do here, and how much everybody may have.")
for_admins = fixed(
    "-# Admins: `/limits` sets how much who may have, `/channel` how pictures are made in a channel, "
    "`/style` adds templates for prompts."
)

# ------------------------------------------------------------------ the hint

first_use = fixed(
    "This is your first picture here. When it is done, the buttons under it do more: 🔄 draws another one, U1 takes one out "
    "of a set, V1 or 🪄 varies it, 🔍 enlarges it, 🖌️ changes it by words, 📋 tells how it was made.\n"
    "`/help` shows everything with examples to press, `/settings` what your pictures have where you say nothing."
)

# ------------------------------------------------------------------ /help

title = fixed("**Type `/imagine` and what you would like to see.** This is how it is here, right now.")
models = fixed("**Models**")
you_today = fixed("**What you may have today**")
under_pictures = fixed("**Under a picture**")
in_the_prompt = fixed("**Inside the prompt**")
elsewhere = fixed("**More commands**")
try_it = fixed("**Try it**: a button draws its example here, for your credits.")
used_where_none_is_named = fixed("used where none is named")
example_gone = fixed(
    "The model that this example was for is not offered here any more: /help shows others by now."
)

buttons = fixed(
    "U1 takes a picture out of a set, V1 varies it, 🔄 draws others. A single one: 🪄 varies it a little or a lot, 🔍 "
    "makes it two or four times as large, ✏️ changes its prompt and settings, 🖌️ changes it by words, ⭐ keeps it among your "
    "favourites, ✉️ sends it to you, 📋 tells how it was made, 🗑️ takes it away. They work for ever."
)
commands = fixed(
    "`/models` what can be drawn with · `/history` finds pictures, by words too · `/queue` who waits, and cancels yours · `/quota` what is left · `/edit` changes a "
    "picture of yours by words · `/show` posts one again · `/settings` what your pictures have where you say nothing, and whether you "
    "alone see them · `/stats` what was drawn, and when · `/privacy` what is kept about you, to be sent or deleted.\n"
    "In the menu of any message with a picture, under **Apps**: *Image info*, *Use these settings*, *Vary*, *Upscale*, "
    "*Edit with words*; on mine *Report*, which tells the moderators."
)
teaching = fixed(
    "`/train new` teaches a model something of your own, from pictures that you add by `/train add` or, under **Apps**, "
    "*Add to training*."
)
admins_commands = fixed(
    "Admins, you: `/limits` sets how much who may have, `/channel` what pictures have in a channel, `/style add` adds a style, "
    "`/mod` forbids words, blocks people and says where moderators read reports, `/admin` pauses and tidies the line."
)


def prompt_words(to: Language) -> str:
    return to.gettext(
        "`--ar 3:2` its shape · `--no text` what to keep out · `--seed 7` the same picture again · `--steps 30 --cfg 5` · "
        "`--quick` or `--high` · `--images 4` · `--model …` · `--style …`, one of `/style list` · {either} each of them · "
        "`__animal__` a word from a list of whoever runs Easel",
        either="`{red, blue} house`",
    )


def description(info: ModelInfo, to: Language) -> str:
    """What a model's files say of it, as they say it; our own model's are translated."""
    return (info.id == STARTER and to.translated(info.description)) or info.description


def model(info: ModelInfo, title: str, description: str, to: Language) -> str:
    """A model's entry; what its files say of it comes made safe."""
    head = f"**{title}**" + (f" – {description}" if description else "")
    return f"{head}\n-# " + " · ".join(facts(info, to))


def _quick(info: ModelInfo, to: Language) -> str:
    steps = 0 if info.quick is None else info.quick.steps
    return to.ngettext("{count} step with `--quick`", "{count} steps with `--quick`", steps)


def facts(info: ModelInfo, to: Language) -> list[str]:
    """What can be done with it, a few words each."""
    if info.scale > 1:
        return [to.gettext("enlarges pictures {times}×", times=info.scale)]
    loras, embeddings = (sum(not file.problem for file in files) for files in (info.loras, info.embeddings))
    told = {
        size(f"{info.width}x{info.height}"): True,
        to.ngettext("{count} step", "{count} steps", info.steps): True,
        _quick(info, to): info.quick is not None and info.quick.steps < info.steps,
        to.gettext("starts from pictures, too"): info.takes_images,
        to.gettext("edits by words"): info.edits_by_instruction,
        to.gettext("seamless tiles with `--tile`"): info.takes_tiling,
        to.ngettext("{count} LoRA", "{count} LoRAs", loras): loras > 0,
        to.ngettext("{count} embedding", "{count} embeddings", embeddings): embeddings > 0,
    }
    return [fact for fact, is_so in told.items() if is_so]

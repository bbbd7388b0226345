"""/models: what can be drawn with, and how to ask for each. Pure."""

from __future__ import annotations

from bot.core.asking.offer import Kind, Offer
from bot.texts import newcomers as help_texts
from bot.texts.amounts import listed
from bot.texts.language import Language, Say, fixed
from engine.contract import AGAINST, Listed

MODELS_LISTED = 6
"""That a LoRA or an embedding fits."""

look_closer = fixed("-# `/models name:…` shows one of them with its picture and all that is known of it.")

HEADINGS: dict[Kind, Say] = {
    Kind.MODEL: fixed("**Models** · `/imagine model:…`"),
    Kind.LORA: fixed("**LoRAs** · `/imagine lora:…`"),
    Kind.EMBEDDING: fixed("**Embeddings** · `/imagine embedding:…`, or their names in a prompt"),
}
_KINDS: dict[Kind, Say] = {
    Kind.MODEL: fixed("model"),
    Kind.LORA: fixed("LoRA"),
    Kind.EMBEDDING: fixed("embedding"),
}


def said_of(offer: Offer, to: Language) -> str:
    """What its files say of it; our own model's sentence is translated."""
    return offer.description if offer.model is None else help_texts.description(offer.model, to)


def no_such(name: str) -> Say:
    return lambda to: to.gettext(
        "There is no model, LoRA or embedding “{name}” here: `/models` lists them.", name=name[:60]
    )


def entry(title: str, said: str) -> str:
    """A line of the list: what is said of it is made safe to show."""
    return f"**{title}** {said}" if said else f"**{title}**"


def heading(offer: Offer, title: str, to: Language) -> str:
    return f"**{title}** · {_KINDS[offer.kind](to)}"


def words(told: list[str], to: Language) -> str:
    """Its trigger words, each as shown; empty where there are none."""
    if not told:
        return ""
    return to.gettext("Write in the prompt: {words}", words=to.listed(told))


def facts(offer: Offer, to: Language) -> str:
    """What a model is like; of a LoRA or an embedding the models that it fits, which come made safe."""
    if offer.model is not None:
        return f"-# {' · '.join(help_texts.facts(offer.model, to))}"
    if not offer.fits:
        return to.gettext("It can be used with no model here: {problem}.", problem=offer.problem)
    more = max(0, len(offer.fits) - MODELS_LISTED)
    models = listed(Listed(names=offer.fits[:MODELS_LISTED], more=more), to)
    return to.gettext("For: {models}", models=models)


def how(offer: Offer, command: str, to: Language) -> str:
    """How to ask for it; empty where that would be refused. `command` is shown as code."""
    if offer.model is None and not offer.fits:
        return ""
    ask = to.gettext("Ask with {command}", command=command)
    if offer.kind is not Kind.EMBEDDING:
        return ask
    more = to.gettext(
        "Its name in a prompt does the same; with {sign} before it in the option it is kept out of the picture.",
        sign=f"`{AGAINST}`",
    )
    return f"{ask}\n{more}"

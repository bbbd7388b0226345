"""What was drawn of late, in words, and the words of its charts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from bot.texts.amounts import duration, seconds
from bot.texts.language import Language, fixed

nothing_of_yours = fixed("You drew nothing here in the last 30 days: /imagine draws.")
nothing_here = fixed("Nothing was drawn on this server in the last 30 days.")
yours = fixed("Your pictures of the last 30 days")
everybodys = fixed("This server's pictures of the last 30 days")
by_day = fixed("Pictures per day")
by_model = fixed("Pictures by model")
waits = fixed("From request to picture")
others = fixed("others")
half = fixed("half of them")
BUSIEST = 3
"""Hours that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was counted, as it is told."""

    of_server: bool
    """Else of one person in it."""
    zone: str
    """In which its days and hours are."""
    days: Mapping[date, int]
    """Pictures, in order."""
    hours: Mapping[int, int]
    """Of the day."""
    models: Mapping[str, int]
    """By their titles, the most used first."""
    more: int
    """By models that are not among them."""
    half_s: float
    """So long did half of the requests take at most."""
    most_s: float
    """95 %."""

    @property
    def pictures(self) -> int:
        return sum(self.models.values()) + self.more


def title(report: Report, to: Language) -> str:
    told = (everybodys if report.of_server else yours)(to)
    return to.gettext("{title}: {count}", title=told, count=to.number(report.pictures))


def by_hour(report: Report, to: Language) -> str:
    return to.gettext("Pictures by hour ({zone})", zone=report.zone)


def most(to: Language) -> str:
    return to.gettext("{share} of them", share=to.percent(0.95))


def wait(value: float, to: Language) -> str:
    return seconds(value, to) if value < 10 else duration(value, to)


def in_words(report: Report, to: Language) -> list[str]:
    """All of it, a line each."""
    day, on_it = max(report.days.items(), key=lambda entry: entry[1])
    busiest = sorted(report.hours, key=lambda hour: -report.hours[hour])[:BUSIEST]
    told = [f"{hour}–{hour + 1}" for hour in busiest if report.hours[hour]]
    models = [f"{name} {to.number(count)}" for name, count in report.models.items()]
    if report.more:
        models.append(f"{others(to)} {to.number(report.more)}")
    return [
        title(report, to),
        to.gettext("Most on one day: {count}, on {day}", count=to.number(on_it), day=to.day(day)),
        to.gettext("Busiest hours ({zone}): {hours}", zone=report.zone, hours=to.listed(told)),
        to.gettext("By model: {models}", models=to.listed(models)),
        to.gettext(
            "From request to picture: half of them within {half}, {share} within {most}",
            half=wait(report.half_s, to),
            share=to.percent(0.95),
            most=wait(report.most_s, to),
        ),
    ]

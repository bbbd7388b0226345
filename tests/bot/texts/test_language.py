"""Whoever has a catalogue reads it, plural forms included, and English where it is silent: shown with an invented one."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from bot.chat.errors import UserError, language_of, sentence_for
from bot.chat.look import job_view, picture_info
from bot.core.asking import refused
from bot.core.asking.admission import Allowance
from bot.core.asking.policy import Window
from bot.core.engines.deaths import EngineEnd, NotStarted, Perished, SaidWhy, Way
from bot.core.held_up import (
    Closing,
    EngineBroken,
    EngineLoads,
    EnginePaused,
    EngineRestarts,
    EngineStarts,
    EngineStopped,
    Halted,
)
from bot.core.ports import Progress
from bot.job import JobState, Reason, ReasonCode
from bot.limits import Limits, Period, PermitKind, Subject, Usage
from bot.store.server_settings import LimitChange
from bot.texts import (
    allow_lists,
    allowances,
    amounts,
    commands,
    contract,
    engine_ends,
    for_operator,
    inside_prompt,
    labels,
    moderators,
    operations,
    out_of_reach,
    problems,
    progress,
    reasons,
    refusals,
    request,
    why_waiting,
)
from bot.texts import language as language_module
from bot.texts.language import ENGLISH, Language, language
from engine.contract import InvalidRequest, Listed, Stepped, parse_size
from tests.bot.chat.look.test_job_view import job, texts
from tests.bot.chat.look.test_job_view import labels as labels_of

ROOT = Path(__file__).parents[3]
MODULES: list[ModuleType] = [
    allow_lists,
    allowances,
    amounts,
    engine_ends,
    inside_prompt,
    for_operator,
    why_waiting,
    labels,
    operations,
    moderators,
    out_of_reach,
    problems,
    progress,
    reasons,
    refusals,
    request,
]
LIMITS = Limits(
    credits_per_day=100, credits_per_night=100, pending=3, max_pixels=1_000_003, max_steps=60, max_images=4
)


@pytest.fixture(scope="session")
def bracketed(template: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one language, which says all that English does in brackets, in three forms that tell their numbers."""
    catalogue = Catalog(locale="pl")
    for message in template:
        if message.id and isinstance(message.id, tuple):
            catalogue.add(
                message.id,
                context=message.context,
                string=tuple(f"⟦{form}: {message.id[-1]}⟧" for form in range(3)),
            )
        elif message.id:
            catalogue.add(message.id, f"⟦{message.id}⟧", context=message.context)
    return written(catalogue, tmp_path_factory.mktemp("locales"))


@pytest.fixture
def polish(bracketed: Path, monkeypatch: pytest.MonkeyPatch) -> Language:
    monkeypatch.setattr(language_module, "LOCALES", bracketed)
    return language("pl")


def written(catalogue: Catalog, folder: Path) -> Path:
    file = folder / str(catalogue.locale) / language_module.CATALOGUE
    file.parent.mkdir(parents=True)
    with file.open("wb") as opened:
        write_po(opened, catalogue)
    return folder


# ------------------------------------------------------------------ which language


@pytest.mark.parametrize("locale", ["pl", "pl-PL", "pl_PL"])
def test_a_language_is_found_by_its_locale(locale: str, polish: Language) -> None:
    """As Discord names it, with or without a country."""
    assert language(locale) is not ENGLISH
    assert language(locale).gettext("Everyone") == "⟦Everyone⟧"


@pytest.mark.parametrize("locale", [None, "", "en-GB", "en-US", "de", "tlh", "../pl", "pl/../pl", "p"])
def test_everybody_else_reads_english(locale: str | None, polish: Language) -> None:
    """Also where a locale is no name of a language at all."""
    assert language(locale) is ENGLISH


def test_what_a_catalogue_leaves_out_is_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence is translated, the others stay as they stand in the code, singular and plural."""
    catalogue = Catalog(locale="pl")
    catalogue.add("Everyone", "Wszyscy")
    monkeypatch.setattr(language_module, "LOCALES", written(catalogue, tmp_path))
    to = language("pl")
    assert to.gettext("Everyone") == "Wszyscy"
    assert to.gettext("In line") == "In line"
    assert [amounts.credit(count, to) for count in (1, 2)] == ["1 credit", "2 credits"]


@pytest.mark.parametrize("forms", [("", ""), ("{count} crédit", "")])
def test_a_plural_that_is_not_translated_is_english_in_its_own_way(
    forms: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """French has no plural of nothing, and English has: which rule holds goes with the words."""
    catalogue = Catalog(locale="fr")
    catalogue.add(("{count} credit", "{count} credits"), forms)
    monkeypatch.setattr(language_module, "LOCALES", written(catalogue, tmp_path))
    assert [amounts.credit(count, language("fr")) for count in (0, 1, 2)] == [
        "0 credits",
        "1 credit",
        "2 credits",
    ]


def test_each_number_has_its_form(polish: Language) -> None:
    """By the language's own rule: Polish has one form for 1, one for 2 to 4 and one for 5."""
    told = [amounts.credit(count, polish) for count in (1, 2, 5, 22, 112)]
    assert told == [
        "⟦0: 1 credits⟧",
        "⟦1: 2 credits⟧",
        "⟦2: 5 credits⟧",
        "⟦1: 22 credits⟧",
        "⟦2: 112 credits⟧",
    ]


def test_numbers_are_written_as_the_language_does(polish: Language) -> None:
    """Thousands apart by a space that does not break, and a comma before what is less than one."""
    assert ENGLISH.number(1_048_576) == "1,048,576"
    assert polish.number(1_048_576) == "1\u00a0048\u00a0576"
    assert [ENGLISH.decimal(4.25, digits) for digits in (0, 1)] == ["4", "4.2"]
    assert polish.decimal(0.96, 1) == "1,0"
    assert (ENGLISH.percent(0.5), polish.percent(0.5)) == ("50%", "50%")


# ------------------------------------------------------------------ every sentence


REFUSED: list[refused.Refused] = [
    refused.Blocked(),
    refused.Blocked(until=5.0),
    refused.Blocked(reason="spam"),
    refused.NothingAtNight(until=5.0),
    refused.ForbiddenByRules(entry=None),
    *(
        refused.NotPermitted(kind=kind, name=name, allowed=allowed)
        for kind, name in zip(PermitKind, ("m", "l", "reroll", "5"), strict=True)
        for allowed in ((), ("7", "8"))
    ),
    refused.NotShared(name="snail"),
    refused.ForbiddenByRules(entry="nud*"),
    refused.DiskFull(),
    refused.InputGone(),
    refused.NoSuchModel(name="x", offered=("a", "b")),
    refused.NoSuchStyle(name="x", offered=("a", "b")),
    refused.SizeAndAspect(),
    refused.ShapeIsKept(),
    refused.ShapeUnknown(),
    refused.QualityAndSteps(quality="high", steps=9),
    refused.UnknownFlag(typed="--x", nearest=None, known=("--ar",)),
    refused.UnknownFlag(typed="--x", nearest="--ar", known=("--ar",)),
    refused.FlagWithoutValue(typed="--ar", example="--ar 3:2"),
    refused.FlagOutOfForm(typed="--ar x", example="--ar 3:2"),
    refused.FlagOutOfForm(typed="--steps x", example="--steps 9", least=1, most=150),
    refused.Contradiction(first="--seed 1", second="seed:2"),
    refused.HalfASize(typed="--w 8", missing="--h"),
    refused.TooManyAtOnce(count=9, most=4),
    refused.TooManyAtOnce(count=9, most=1),
    refused.TooManyAtOnce(count=10**9, most=4),
    refused.NoSuchWildcard(name="x", offered=()),
    refused.NoSuchWildcard(name="x", offered=("y",)),
    refused.NoSuchWildcard(name="x", offered=tuple("abcdefghijklm")),
    refused.WildcardInCircle(names=("x", "y", "x")),
    refused.WildcardTooDeep(name="x", most=8),
    refused.WildcardUnusable(name="x"),
    refused.WildcardsTooLong(most=400),
    refused.TooManyPixels(size="8x8", most=512, side=64),
    refused.NoSizeOfModel(size="8x8", most=512, model="M"),
    refused.TooFarUpscaled(size="8x8", most=512, times=None),
    refused.TooFarUpscaled(size="8x8", most=512, times=2),
    refused.TooManySteps(steps=61, most=60),
    refused.TooManyImages(images=5, most=4),
    *(refused.TooDear(cost=9, most=5, period=period) for period in (Period.DAY, Period.NIGHT)),
    refused.Repeated(),
    refused.PressedBefore(),
    refused.TooManyWaiting(waiting=3, most=3),
    refused.TooManyWaiting(waiting=4, most=3),
    refused.TooSoon(again_at=5.5),
    refused.LineFull(),
    refused.TooManyTogether(images=12, most=10),
    refused.OneOfSeveral(prompt="a cat", refused=refused.DiskFull()),
    refused.PlanGone(),
    *(refused.CreditsSpent(cost=2, left=1, most=9, ends_at=5.0, period=period) for period in Period),
    refused.DaySpent(price=2),
    Closing(),
    *(
        Halted(reason="x", is_everywhere=yes, is_draining=drains)
        for yes in (True, False)
        for drains in (True, False)
    ),
    EngineStarts(),
    EngineBroken(reason="It is."),
    EnginePaused(again_s=600.0),
]
HELD_UP = [
    Closing(),
    Halted(reason="x", is_everywhere=True),
    Halted(reason="x", is_everywhere=False),
    EngineStarts(),
    EngineLoads(stage="unet"),
    EngineLoads(stage="unet", fraction=0.5),
    EngineBroken(reason="It is."),
    EngineRestarts(),
    EnginePaused(again_s=600.0),
    EngineStopped(),
]
ENDS: list[EngineEnd] = [
    *(Perished(way=way, code=9, reading=model) for way in Way for model in (None, "m")),
    NotStarted(problem="x"),
]
"""Besides what an engine says itself."""
SAYS: dict[str, Callable[[Language], str]] = {
    **{
        f"{module.__name__}.{name}": say
        for module in MODULES
        for name, say in vars(module).items()
        if getattr(say, "__qualname__", "").startswith("fixed.")
    },
    **{f"refused {fact}": lambda to, fact=fact: refusals.refusal(fact, to) for fact in REFUSED},
    **{
        f"held up {fact} {is_own}": lambda to, fact=fact, is_own=is_own: why_waiting.held_up(
            fact, to, is_own=is_own
        )
        for fact in HELD_UP
        for is_own in (True, False)
    },
    **{f"engine's end {end}": lambda to, end=end: engine_ends.how_it_ended(end, to) for end in ENDS},
    **{
        f"reason {code}": lambda to, code=code: reasons.why(Reason.of(code), to)
        for code in [*ReasonCode]
        if code is not ReasonCode.TOLD
    },
    "unknown reason": lambda to: reasons.why(Reason(code="dreamt"), to),
}


def test_every_fact_is_among_those_tried() -> None:
    """No kind of refusal and nothing that holds up is left out above."""
    assert {type(fact) for fact in REFUSED} == set(refused.Refused.__args__)
    assert {type(fact) for fact in HELD_UP} == set(why_waiting.HeldUp.__args__)
    assert {type(end) for end in ENDS} == set(EngineEnd.__args__) - {SaidWhy}


@pytest.mark.parametrize("say", SAYS.values(), ids=SAYS)
def test_every_sentence_is_looked_up(say: Callable[[Language], str], polish: Language) -> None:
    """In brackets from end to end, with the same values in it as in English."""
    told, english = say(polish), say(ENGLISH)
    assert told[0] + told[-1] == "⟦⟧"
    assert re.sub(r"⟦(\d: )?|⟧", "", told) == english.replace("1 step is", "1 steps are")


def test_every_text_can_be_translated(template: Catalog) -> None:
    """What is looked up is a text that stands there as a whole, so that the tool finds it: none is put together before."""
    found = {
        form for message in template for form in ([message.id] if isinstance(message.id, str) else message.id)
    }
    for path in sorted((ROOT / "bot/texts").glob("*.py")):
        for text in looked_up(path.read_text("utf-8")):
            assert text in found, f"{path.name}: {text!r}"
    assert {*commands.IMAGINE_OPTIONS.values(), commands.QUEUE, commands.LIMITS_RESET} <= found


def looked_up(source: str) -> Iterator[str | None]:
    """The texts of every call of the functions that look one up; None for one that is no plain text."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        count = {"gettext": 1, "fixed": 1, "noted": 1, "ngettext": 2}.get(name, 0)
        if getattr(getattr(node.func, "value", None), "attr", "") == "translations":  # where they are defined
            continue
        for text in node.args[:count]:
            if isinstance(text, ast.Name) and name == "gettext" and text.id == "text":  # of `fixed`
                continue
            if ast.unparse(text) in {"error.text", "how"}:  # the contract's sentences, which are found there
                continue
            yield str(text.value) if isinstance(text, ast.Constant) else None


def test_no_text_has_plural_forms_in_one_place_alone() -> None:
    """A catalogue has one entry for both, and where a language has one form, that counts: nothing would fill it in."""
    alone, counted = set[str](), set[str]()
    for path in (ROOT / "bot/texts").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                found = {"gettext": alone, "fixed": alone, "noted": alone, "ngettext": counted}.get(
                    name, set()
                )
                found.add(str(node.args[0].value))
    assert counted
    assert not alone & counted


# ------------------------------------------------------------------ at the edge


async def test_a_message_speaks_its_persons_language(polish: Language) -> None:
    """By the locale in the job's row, from its place in line to its end, buttons included."""
    waiting = job(state=JobState.QUEUED, locale="pl")
    shown = job_view.live_view(waiting, Progress(place=1, eta_s=3.0, held_up=Closing()))
    assert "⏳ ⟦⟦Next in line⟧ · done in about ⟦3 s⟧⟧\n⟦Easel is being restarted" in texts(shown)
    assert labels_of(shown) == ["⟦Cancel⟧"]

    step = Stepped(job_id=7, attempt=1, stage="denoising", step=5, steps=20)
    running = job(state=JobState.RUNNING, locale="pl")
    assert "⟦step 5 of 20⟧ · ⟦4,2 s⟧" in texts(
        job_view.live_view(running, Progress(step=step, elapsed_s=4.2))
    )

    failed = job(state=JobState.FAILED, reason=Reason.of(ReasonCode.DIED_TWICE), locale="pl")
    assert "✘ ⟦⟦The image engine died twice" in texts(job_view.final_view(failed, []))
    done = texts(job_view.final_view(job(locale="pl"), ["a.png"]))
    assert "⟦seed `42`⟧ · 512×768 · ⟦30 steps⟧" in done
    assert "⟦" not in texts(job_view.final_view(job(locale="en-GB"), ["a.png"]))


async def test_an_answer_speaks_the_language_of_who_asks(polish: Language) -> None:
    """By the locale of their interaction; what the engine says while it draws is the engine's."""
    asker: Any = SimpleNamespace(locale=SimpleNamespace(value="pl"))
    to = language_of(asker)
    assert sentence_for(UserError.of(refused.Blocked()), to) == f"⟦{UserError.of(refused.Blocked())}⟧"
    assert sentence_for(UserError(problems.mask_needs_image), to) == f"⟦{problems.mask_needs_image(ENGLISH)}⟧"
    assert sentence_for(InvalidRequest("The engine's {own}."), to) == "The engine's {own}."
    assert picture_info.describe(job(), to)[0].startswith("⟦**By <@")


def test_what_is_wrong_with_a_request_is_looked_up(polish: Language) -> None:
    """The contract's sentences, and what they are about; values stay as they are, braces within them too."""
    with pytest.raises(InvalidRequest) as side:
        replace(job().request, width=8)
    assert contract.invalid(side.value, polish) == (
        "⟦The ⟦width⟧ must be 64 to 2048 pixels, not 8: use 64 instead of 8.⟧"
    )
    assert contract.invalid(side.value, ENGLISH) == str(side.value)
    with pytest.raises(InvalidRequest) as empty:
        replace(job().request, prompt=" ")
    assert contract.invalid(empty.value, polish) == f"⟦{empty.value}⟧"
    with pytest.raises(InvalidRequest) as size:
        parse_size("{name}")
    assert contract.invalid(size.value, polish) == "⟦A size looks like 512x768, not “{name}”.⟧"
    named = InvalidRequest("Use {offered}.", offered=Listed(names=("a", "b"), more=2))
    assert contract.invalid(named, polish) == "Use ⟦a⟦, ⟧b and 2 more⟧."
    assert contract.invalid(named, ENGLISH) == str(named) == "Use a, b and 2 more."


def test_limits_and_quota_are_looked_up(polish: Language) -> None:
    """Every line of both, and the names of limits within."""
    for period, used in itertools.product(Period, (1, 101)):
        window = Window(start=0, end=9, period=period)
        allowance = Allowance(
            limits=replace(LIMITS, seconds_between=9),
            usage=Usage(used=used, pending=1, again_at=9.0),
            window=window,
        )
        for line in allowances.quota(allowance, polish):
            assert line[0] + line[-1] == "⟦⟧"
    change = LimitChange(
        at=0.0,
        by_user_id=5,
        subject=Subject.EVERYONE,
        subject_id=0,
        field="max_pixels",
        old_value=None,
        new_value=1,
    )
    told = allowances.changed_by(change, LIMITS, polish)
    assert "⟦Everyone⟧ now has ⟦images of up to " in told
    assert "⟦1\u00a0000\u00a0003 pixels (about 1000×1000)⟧ before⟧" in told
    assert "100 ⟦credits per day⟧⟦, ⟧100 ⟦credits per night⟧⟦, ⟧3 ⟦pending requests⟧" in allowances.defaults(
        LIMITS, polish
    )

"""The one gate: which limits hold for whom, what a picture costs, when a day begins. Pure."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.asking.policy import (
    Admitted,
    Ruling,
    Window,
    affordable,
    at_night,
    explain,
    foresee,
    judge,
    limits_for,
    not_permitted,
    permits_for,
    rulings_for,
    uses_of,
    window_of,
)
from bot.core.asking.price import cost_of
from bot.core.asking.refused import CreditsSpent, NothingAtNight, NotPermitted, NotShared, TooDear
from bot.job import Action, Asker, Refusal
from bot.limits import (
    NOTHING,
    PAUSES,
    LimitEntry,
    Limits,
    Night,
    Period,
    PermitEntry,
    PermitKind,
    Subject,
    Usage,
    Use,
)
from bot.texts.amounts import credit
from bot.texts.language import ENGLISH
from bot.training import Sharing, Training, TrainingState
from engine.contract import SAMPLERS, GenerationRequest, Lora
from engine.contract.recipes import Recipe
from engine.fake import MODEL as MODEL_INFO
from tests.kit import said
from tests.kit.books import GUILD, request

DEFAULTS = Limits(
    credits_per_day=100,
    credits_per_night=100,
    pending=3,
    max_pixels=1024 * 1024,
    max_steps=60,
    max_images=4,
    seconds_between=5,
)
CEILINGS = Limits(
    credits_per_day=1000,
    credits_per_night=1000,
    pending=50,
    max_pixels=2048 * 2048,
    max_steps=150,
    max_images=10,
    weight=10,
    seconds_between=5,
)
PERSON = Asker(user_id=1, guild_id=GUILD, role_ids=(5, 6))
EVERYONE, ROLE, MEMBER = Subject.EVERYONE, Subject.ROLE, Subject.MEMBER
MODEL, LORA, FEATURE, CHANNEL = PermitKind


def held(*entries: LimitEntry, asker: Asker = PERSON) -> Limits:
    return limits_for(asker, entries, defaults=DEFAULTS, ceilings=CEILINGS)


def entry(subject: Subject, subject_id: int = 0, **values: int) -> LimitEntry:
    return LimitEntry.of(subject, subject_id, values)


def permit(kind: PermitKind, subject: Subject, name: str, subject_id: int = 0) -> PermitEntry:
    return PermitEntry(kind=kind, subject=subject, subject_id=subject_id, name=name)


def enlarged(times: int, side: int) -> GenerationRequest:
    """A picture of `side` x `side` pixels, made so many times as large as it was."""
    return request(
        width=side, height=side, image="a" * 64, strength=1.0, steps=1, guidance_scale=1.0, upscale=times
    )


def test_an_enlarged_picture_has_the_same_limits() -> None:
    """It costs by its own pixels, and beyond the limit the sentence names the largest scale that fits."""
    assert judge(enlarged(2, 1024), DEFAULTS) == Admitted(cost=1)
    assert cost_of(enlarged(4, 4096)) == 2
    for times, side, hint in (
        (4, 2048, "upscale 2 times."),
        (4, 1400, "upscale 2 times."),
        (2, 2048, "take a smaller image."),
    ):
        verdict = judge(enlarged(times, side), DEFAULTS)
        assert said.refusal(verdict) == f"{side}x{side} is above your limit of 1,048,576 pixels: {hint}"


# ------------------------------------------------------------------ limits


def test_without_entries_the_configuration_holds() -> None:
    """Nobody set anything: the defaults of the configuration."""
    assert held() == DEFAULTS


@pytest.mark.parametrize(
    ("entries", "pending"),
    [
        ([entry(EVERYONE, pending=7)], 7),
        ([entry(EVERYONE, pending=7), entry(ROLE, 5, pending=2)], 2),
        ([entry(ROLE, 5, pending=2), entry(ROLE, 6, pending=9)], 9),
        ([entry(ROLE, 6, pending=9), entry(ROLE, 5, pending=2)], 9),
        ([entry(ROLE, 5, pending=9), entry(MEMBER, 1, pending=1)], 1),
        ([entry(MEMBER, 1, pending=0), entry(EVERYONE, pending=7)], 0),
        ([entry(ROLE, 99, pending=9), entry(MEMBER, 99, pending=9)], DEFAULTS.pending),
        ([entry(MEMBER, 5, pending=9), entry(ROLE, 1, pending=9)], DEFAULTS.pending),
    ],
)
def test_the_narrower_entry_holds(entries: list[LimitEntry], pending: int) -> None:
    """A member's own entry beats the most generous role, that beats everyone's, that beats the default."""
    assert held(*entries) == replace(DEFAULTS, pending=pending)


@pytest.mark.parametrize(
    ("entries", "ruling"),
    [
        ([], {"subject": None, "said": 3, "value": 3}),
        ([entry(EVERYONE, pending=7)], {"subject": EVERYONE, "said": 7, "value": 7}),
        ([entry(EVERYONE, pending=70)], {"subject": EVERYONE, "said": 70, "value": 50}),
        (
            [entry(EVERYONE, pending=7), entry(ROLE, 5, pending=2)],
            {"subject": ROLE, "subject_id": 5, "said": 2, "value": 2},
        ),
        (
            [entry(ROLE, 5, pending=2), entry(ROLE, 6, pending=99), entry(ROLE, 9, pending=100)],
            {"subject": ROLE, "subject_id": 6, "said": 99, "value": 50, "is_one_of_several": True},
        ),
        (
            [entry(ROLE, 6, pending=9), entry(MEMBER, 1, pending=1), entry(MEMBER, 2, pending=8)],
            {"subject": MEMBER, "subject_id": 1, "said": 1, "value": 1},
        ),
        ([entry(MEMBER, 1, max_steps=5)], {"subject": None, "said": 3, "value": 3}),
    ],
)
def test_which_rule_holds(entries: list[LimitEntry], ruling: dict[str, Any]) -> None:
    """With whom it is for, what it says and what the owner's ceiling leaves of that; in any order of the entries."""
    for several in (entries, entries[::-1]):
        rulings = rulings_for(PERSON, several, defaults=DEFAULTS, ceilings=CEILINGS)
        assert [each.name for each in rulings] == [*Limits.names()]
        assert next(each for each in rulings if each.name == "pending") == Ruling(name="pending", **ruling)


def test_precedence_is_per_field() -> None:
    """Each field is looked up on its own: a member's entry for one field leaves the roles' for another."""
    limits = held(
        entry(MEMBER, 1, pending=1),
        entry(ROLE, 5, pending=9, max_steps=20),
        entry(ROLE, 6, max_images=8, max_steps=10),
        entry(EVERYONE, credits_per_day=11, max_images=1),
    )
    assert limits == Limits(
        credits_per_day=11,
        credits_per_night=100,
        pending=1,
        max_pixels=DEFAULTS.max_pixels,
        max_steps=20,
        max_images=8,
        seconds_between=5,
    )


@pytest.mark.parametrize("subject", list(Subject))
@pytest.mark.parametrize("name", Limits.names())
def test_nothing_exceeds_the_owners_ceilings(subject: Subject, name: str) -> None:
    """It is the owner's GPU: whatever an admin sets for whomever, a ceiling caps it, and a pause is no shorter."""
    subject_id = {EVERYONE: 0, ROLE: 5, MEMBER: 1}[subject]
    generous = 0 if name in PAUSES else 10**9
    assert getattr(held(entry(subject, subject_id, **{name: generous})), name) == getattr(CEILINGS, name)


def test_of_several_roles_the_shortest_pause_holds() -> None:
    """The most generous of a person's roles, and less of a pause is more."""
    roles = entry(ROLE, 5, seconds_between=30), entry(ROLE, 6, seconds_between=60)
    assert held(*roles, entry(EVERYONE, seconds_between=90)).seconds_between == 30
    assert held(entry(EVERYONE, seconds_between=90)).seconds_between == 90


def test_a_ceiling_caps_the_default_too() -> None:
    """An owner's ceiling below the default needs no admin to act."""
    ceilings = replace(CEILINGS, max_steps=10)
    assert limits_for(PERSON, [], defaults=DEFAULTS, ceilings=ceilings).max_steps == 10


@given(
    st.lists(
        st.builds(
            lambda subject, subject_id, values: entry(subject, subject_id, **values),
            st.sampled_from(Subject),
            st.integers(0, 7),
            st.dictionaries(st.sampled_from(Limits.names()), st.integers(0, 3000)),
        ),
        max_size=8,
    ),
    st.randoms(),
)
def test_the_order_of_entries_does_not_matter(entries: list[LimitEntry], dice) -> None:
    """Rows come from SQL in any order, and limits are the same for each."""
    shuffled = entries[:]
    dice.shuffle(shuffled)
    assert held(*entries) == held(*shuffled)


# ------------------------------------------------------------------ the picture itself


def test_what_is_allowed_costs_what_it_costs() -> None:
    """Exactly at every limit a request is admitted at its cost."""
    wish = request(width=1024, height=1024, steps=60, images=4)
    assert judge(wish, replace(DEFAULTS, credits_per_day=cost_of(wish))) == Admitted(cost=cost_of(wish))


@pytest.mark.parametrize(
    ("change", "limits", "words"),
    [
        ({"width": 1032, "height": 1024}, {}, ["1032x1024", "1,048,576 pixels", "1024x1024 or smaller"]),
        ({"width": 512, "height": 520}, {"max_pixels": 512 * 512}, ["512x520", "512x512 or smaller"]),
        ({"steps": 61}, {}, ["61 steps", "limit of 60"]),
        ({"images": 5}, {}, ["5 images", "limit of 4"]),
        ({"images": 4}, {"credits_per_day": 3}, ["4 credits", "3 credits", "fewer"]),
        ({}, {"credits_per_day": 0}, ["1 credit and", "0 credits"]),
    ],
)
def test_a_refusal_says_what_was_asked_and_what_is_allowed(
    change: dict[str, int], limits: dict[str, int], words: list[str]
) -> None:
    """Each limit has its own sentence with both numbers in it."""
    verdict = judge(request(**change), replace(DEFAULTS, **limits))
    sentence = said.refusal(verdict)
    for word in words:
        assert word in sentence


@given(st.integers(64 * 64, 2048 * 2048 - 1))
def test_the_size_that_a_refusal_proposes_is_allowed(max_pixels: int) -> None:
    """Whoever follows the sentence is not refused for the size again."""
    limits = replace(CEILINGS, max_pixels=max_pixels)
    verdict = judge(request(width=2048, height=2048, steps=1), limits)
    side = int(said.refusal(verdict).split("ask for ")[1].split("x")[0])
    assert isinstance(judge(request(width=side, height=side, steps=1), limits), Admitted)


def told(refusal: Refusal) -> str:
    usage, window = Usage(used=98, pending=3), Window(start=0.0, end=86_400.5)
    return said.refusal(explain(refusal, cost=4, limits=DEFAULTS, usage=usage, window=window, now=0.0))


def test_every_refusal_has_a_sentence_of_its_own() -> None:
    """What the admitting statement refuses is explained, and no two refusals read alike."""
    sentences = [told(refusal) for refusal in Refusal]
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)
    assert len(set(sentences)) == len(Refusal)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [(Refusal.CREDITS, ["4 credits", "2 of 100", "<t:86400:R>"]), (Refusal.PENDING, ["3 of 3"])],
)
def test_a_limit_is_explained_with_its_numbers(refusal: Refusal, words: list[str]) -> None:
    """Who ran out is told what it costs, what is left and when it renews."""
    for word in words:
        assert word in told(refusal)


@pytest.mark.parametrize(
    ("cost", "used", "pending", "refusal"),
    [
        (1, 99, 2, None),
        (2, 99, 2, Refusal.CREDITS),
        (1, 100, 0, Refusal.CREDITS),
        (1, 0, 3, Refusal.PENDING),
        (1, 100, 4, Refusal.PENDING),
    ],
)
def test_what_the_admitting_statement_would_refuse(
    cost: int, used: int, pending: int, refusal: Refusal | None
) -> None:
    """A person's own rows tell beforehand, in the statement's order and up to its very bounds."""
    assert (
        foresee(cost, DEFAULTS, Usage(used=used, pending=pending, again_at=0.0), period=Period.DAY, now=0.0)
        is refusal
    )
    assert foresee(cost, DEFAULTS, Usage(used=used, pending=pending), period=Period.DAY, now=0.0) is refusal


def test_credits_left_are_never_negative() -> None:
    """After an admin lowered the limit below what was used, nothing is left, not less than nothing."""
    spent = explain(
        Refusal.CREDITS,
        cost=1,
        limits=replace(DEFAULTS, credits_per_day=5),
        usage=Usage(used=9, pending=0),
        window=Window(start=0, end=1),
        now=0.0,
    )
    assert "0 of 5" in said.refusal(spent)


def test_one_credit_is_one() -> None:
    """Grammar: 1 credit, 2 credits, 0 credits."""
    assert [credit(count, ENGLISH) for count in (0, 1, 2)] == ["0 credits", "1 credit", "2 credits"]


# ------------------------------------------------------------------ cost


@pytest.mark.parametrize(
    "name", [name for name, sampler in SAMPLERS.items() if sampler.kind != "second_order"]
)
def test_the_usual_picture_costs_one_credit(name: str) -> None:
    """512×512 at 30 steps is one credit with every sampler that calls the UNet once a step, and with PNDM."""
    steps = min(30, SAMPLERS[name].steps_max)
    assert cost_of(request(sampler=name, steps=steps)) == 1


@pytest.mark.parametrize(
    "name", [name for name, sampler in SAMPLERS.items() if sampler.kind == "second_order"]
)
def test_samplers_of_second_order_cost_what_they_do(name: str) -> None:
    """Heun and its like call the UNet twice a step: two credits."""
    assert cost_of(request(sampler=name)) == 2


def test_images_to_edit_cost_as_much_as_the_picture() -> None:
    """Each is looked at in every evaluation, as the picture itself is."""
    assert cost_of(request(references=("a" * 64,))) == 2
    assert cost_of(request(references=("a" * 64,) * 3, images=2)) == 8


def test_small_pictures_are_not_free() -> None:
    """The least a picture costs is one credit each."""
    assert cost_of(request(width=64, height=64, steps=1)) == 1
    assert cost_of(request(width=64, height=64, steps=1, images=7)) == 7


SIDES = st.integers(8, 256).map(lambda eighth: eighth * 8)
REQUESTS = st.builds(
    lambda width, height, steps, images, sampler: request(
        width=width, height=height, steps=steps, images=images, sampler=sampler
    ),
    SIDES,
    SIDES,
    st.integers(1, 50),
    st.integers(1, 10),
    st.sampled_from(list(SAMPLERS)),
)


@given(REQUESTS)
def test_cost_grows_with_everything(wish) -> None:
    """More pixels, steps or images never cost less; n images cost n times one; every image costs at least 1."""
    cost = cost_of(wish)
    assert cost >= wish.images
    assert cost == wish.images * cost_of(replace(wish, images=1))
    if wish.width < 2048:
        assert cost_of(replace(wish, width=wish.width + 8)) >= cost
    if wish.steps < 50:
        assert cost_of(replace(wish, steps=wish.steps + 1)) >= cost
    assert cost_of(replace(wish, width=wish.height, height=wish.width)) == cost


@given(REQUESTS)
def test_work_counts_rows(wish) -> None:
    """Guidance draws two UNet rows per call and none one; work is proportional to images."""
    guided, plain = replace(wish, guidance_scale=7.5), replace(wish, guidance_scale=1.0)
    assert guided.work == 2 * plain.work > 0
    assert wish.work == wish.images * replace(wish, images=1).work


# ------------------------------------------------------------------ days

ZONES = sorted(available_timezones())
FROM, TO = datetime(2012, 1, 1, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
"""Before 2012 a few zones set their clocks back across midnight, at 00:01."""
MOMENTS = st.integers(int(FROM.timestamp()), int(TO.timestamp()))


@cache
def changes_of(name: str) -> tuple[int, ...]:
    """The seconds at which a zone's clocks are set, by a search week by week."""
    zone, week = ZoneInfo(name), 7 * 86_400

    def offset(at: int) -> object:
        return datetime.fromtimestamp(at, zone).utcoffset()

    found: list[int] = []
    for begin in range(int(FROM.timestamp()), int(TO.timestamp()), week):
        low, high = begin, begin + week
        if offset(low) == offset(high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
        found.append(high)
    return tuple(found)


def assert_day(now: float, name: str) -> Window:
    """The window around a moment holds it, is one date long, and joins the days before and after without a gap."""
    zone = ZoneInfo(name)
    window = window_of(now, zone)
    date = datetime.fromtimestamp(now, zone).date()
    assert window.start <= now < window.end, name
    assert datetime.fromtimestamp(window.start, zone).date() == date, name
    assert datetime.fromtimestamp(window.end - 1, zone).date() == date, name
    assert window_of(window.end, zone).start == window.end, name
    assert window_of(window.start - 1, zone).end == window.start, name
    return window


LISTS = [
    permit(MODEL, EVERYONE, "fake"),
    permit(MODEL, ROLE, "big", 5),
    permit(MODEL, ROLE, "vast", 99),
    permit(MODEL, MEMBER, "own", 1),
    permit(LORA, ROLE, "ink", 5),
    permit(FEATURE, EVERYONE, "reroll"),
    permit(CHANNEL, EVERYONE, "7"),
]


@pytest.mark.parametrize(
    ("wanted", "action", "places", "kept"),
    [
        ({}, Action.IMAGINE, (7,), None),
        ({"model": "big"}, Action.IMAGINE, (7,), None),
        ({"model": "own"}, Action.REROLL, (7,), None),
        ({"model": "vast"}, Action.IMAGINE, (7,), (MODEL, "vast", ("big", "fake", "own"))),
        ({"loras": (Lora(name="any"),)}, Action.IMAGINE, (7,), None),
        ({}, Action.VARY_STRONG, (7,), (FEATURE, "vary", ("reroll",))),
        ({}, Action.REDRAW, (7,), None),
        ({}, Action.IMAGINE, (8, 7), None),
        ({}, Action.IMAGINE, (8, 9), (CHANNEL, "9", ("7",))),
        ({}, Action.IMAGINE, (), None),
        ({"model": "vast"}, Action.EDIT, (9,), (CHANNEL, "9", ("7",))),
    ],
)
def test_what_is_permitted(
    wanted: dict[str, Any],
    action: Action,
    places: tuple[int, ...],
    kept: tuple[PermitKind, str, tuple[str, ...]] | None,
) -> None:
    """Everyone's list, with what roles and members have besides; a kind that has none for everyone is open to all."""
    asker = replace(PERSON, channel_ids=places)
    asked = request(**wanted)
    uses = uses_of(asked, action, is_one_of_several=False)
    refused = not_permitted(asked, permits_for(asker, LISTS), asker, None, uses)
    assert not isinstance(refused, NotShared)
    told = None if refused is None else (refused.kind, refused.name, refused.allowed)
    assert told == kept


@pytest.mark.parametrize(
    ("wanted", "action", "uses"),
    [
        ({}, Action.IMAGINE, set[Use]()),
        ({"image": "a" * 64, "strength": 0.5}, Action.IMAGINE, {Use.IMAGES}),
        ({"image": "a" * 64, "strength": 0.5}, Action.REMIX, {Use.REMIX}),
        ({"image": "a" * 64, "strength": 0.5}, Action.VARY_SUBTLE, {Use.VARY}),
        ({"image": "a" * 64, "strength": 0.5, "upscale": 2}, Action.REROLL, {Use.REROLL, Use.UPSCALE}),
        ({"image": "a" * 64, "strength": 0.5, "upscale": 2}, Action.UPSCALE_2, {Use.UPSCALE}),
        ({}, Action.EDIT, {Use.EDIT}),
        ({}, Action.REDRAW, set[Use]()),
    ],
)
def test_what_is_done_besides_drawing_from_words(
    wanted: dict[str, Any], action: Action, uses: set[Use]
) -> None:
    """By the request and what asked for it; enlarging is that wherever it comes from."""
    assert {*uses_of(request(**wanted), action, is_one_of_several=False)} == uses
    assert {*uses_of(request(**wanted), action, is_one_of_several=True)} == uses | {Use.SEVERAL}


def test_a_recipes_own_lora_comes_with_its_model() -> None:
    """Where a quick picture takes a few-step LoRA by itself, nobody has to list that; who adds it, does."""
    own = Lora(name="lightning")
    model = replace(MODEL_INFO, quick=Recipe(steps=4, sampler="Euler", lora=own))
    permits = permits_for(PERSON, [permit(LORA, EVERYONE, NOTHING)])
    quick, other = request(loras=(own,)), request(loras=(Lora(name="ink"),))
    assert not_permitted(quick, permits, PERSON, model, ()) is None
    assert not_permitted(other, permits, PERSON, model, ()) == NotPermitted(kind=LORA, name="ink", allowed=())


@pytest.mark.parametrize(
    ("sharing", "who", "may"),
    [
        ({}, {}, False),
        ({}, {"user_id": 77}, True),
        ({"sharing": Sharing.ALL}, {}, True),
        ({"sharing": Sharing.ROLE, "role_id": 9}, {}, False),
        ({"sharing": Sharing.ROLE, "role_id": 9}, {"role_ids": (4, 9)}, True),
        ({"sharing": Sharing.ROLE, "role_id": 9}, {"user_id": 77}, True),
        ({"sharing": Sharing.ALL}, {"guild_id": 8}, False),
        ({"sharing": Sharing.ALL}, {"guild_id": 8, "user_id": 77}, False),
    ],
)
@pytest.mark.parametrize("entries", [[], [permit(LORA, EVERYONE, "Snail")]])
def test_what_somebody_taught_is_for_whom_it_is_shared_with(
    sharing: dict[str, Any], who: dict[str, Any], may: bool, entries: list[PermitEntry]
) -> None:
    """In its own server alone, however it is written, and whatever admins list."""
    asker = replace(PERSON, **who)
    snail = Training(
        id=1, guild_id=PERSON.guild_id, user_id=77, name="Snail", trigger="snail toy", model="fake", steps=9,
        state=TrainingState.DONE, created_at=1.0, **sharing,
    )  # fmt: skip
    permits = permits_for(asker, entries, [snail])
    for name in ("Snail", "sNAIL") if not entries else ("Snail",):
        refused = not_permitted(request(loras=(Lora(name=name),)), permits, asker, None, ())
        assert refused == (None if may else NotShared(name=name))
    others = not_permitted(request(loras=(Lora(name="ink"),)), permits, asker, None, ())
    assert (others is None) == (not entries)


NIGHTS = st.tuples(st.integers(0, 23), st.integers(0, 23)).filter(lambda hours: hours[0] != hours[1])


def assert_night(now: float, name: str, begins: int, ends: int) -> Window:
    """The window around a moment holds it, joins those before and after, and begins or ends where a night does."""
    zone, night = ZoneInfo(name), Night(begins=begins, ends=ends)
    window = window_of(now, zone, night)
    assert window.start <= now < window.end, name
    assert window_of(window.start, zone, night) == window_of(window.end - 1, zone, night) == window
    before, after = window_of(window.start - 1, zone, night), window_of(window.end, zone, night)
    assert (before.end, after.start) == (window.start, window.end)
    assert window.end - window.start <= 49 * 3600
    return window


@given(MOMENTS, st.sampled_from(ZONES), NIGHTS)
def test_nights_and_days_follow_one_another(now: int, name: str, hours: tuple[int, int]) -> None:
    """In every zone and at every moment, over midnight or not: a night by the hours of its clock, else the time in between."""
    window = assert_night(now, name, *hours)
    is_usual = (
        len(
            {
                datetime.fromtimestamp(now + away, ZoneInfo(name)).utcoffset()
                for away in range(-86_400, 86_401, 3600)
            }
        )
        == 1
    )
    if is_usual:
        hour, (begins, ends) = datetime.fromtimestamp(now, ZoneInfo(name)).hour, hours
        is_night = begins <= hour < ends if begins < ends else hour >= begins or hour < ends
        assert window.period is (Period.NIGHT if is_night else Period.DAYTIME)
        first = datetime.fromtimestamp(window.start, ZoneInfo(name))
        assert (first.hour, first.minute) == (begins if is_night else ends, 0)


@given(st.data(), st.sampled_from(ZONES), st.integers(-90_000, 90_000), NIGHTS)
def test_nights_in_which_clocks_are_set(
    data: st.DataObject, name: str, away: int, hours: tuple[int, int]
) -> None:
    """Around every change of a zone's clocks nights and days still hold their moments and join each other."""
    if changes := changes_of(name):
        assert_night(data.draw(st.sampled_from(changes)) + away, name, *hours)


@pytest.mark.parametrize(
    ("moment", "hours", "length"),
    [
        (datetime(2024, 3, 31, 0, tzinfo=UTC), (22, 6), 7),
        (datetime(2024, 10, 27, 0, tzinfo=UTC), (22, 6), 9),
        (datetime(2024, 6, 1, 0, tzinfo=UTC), (22, 6), 8),
        (datetime(2024, 6, 1, 12, tzinfo=UTC), (22, 6), 16),
        (datetime(2024, 6, 1, 12, tzinfo=UTC), (1, 3), 22),
        (datetime(2024, 3, 31, 0, tzinfo=UTC), (2, 3), 46),
    ],
)
def test_how_long_nights_are(moment: datetime, hours: tuple[int, int], length: int) -> None:
    """In Berlin: eight hours, seven and nine when its clocks are set; days in between; a night that the clocks leave out is none."""
    window = assert_night(moment.timestamp(), "Europe/Berlin", *hours)
    assert window.end - window.start == length * 3600


@pytest.mark.parametrize(("period", "most"), [(Period.DAY, 100), (Period.DAYTIME, 100), (Period.NIGHT, 7)])
def test_nights_have_credits_of_their_own(period: Period, most: int) -> None:
    """What a picture may cost, what is left and why nothing is drawn go by what holds then."""
    limits = replace(DEFAULTS, credits_per_night=7)
    assert isinstance(affordable(most, limits, period), Admitted)
    assert affordable(most + 1, limits, period) == TooDear(cost=most + 1, most=most, period=period)
    usage, window = Usage(used=most - 1, pending=0), Window(start=0, end=9, period=period)
    assert foresee(1, limits, usage, period=period, now=0.0) is None
    assert foresee(2, limits, usage, period=period, now=0.0) is Refusal.CREDITS
    assert explain(
        Refusal.CREDITS, cost=2, limits=limits, usage=usage, window=window, now=0.0
    ) == CreditsSpent(cost=2, left=1, most=most, period=period, ends_at=9)
    nothing = at_night(replace(limits, credits_per_night=0), window)
    assert nothing == (NothingAtNight(until=9) if period is Period.NIGHT else None)


@given(MOMENTS, st.sampled_from(ZONES))
def test_a_day_holds_its_moment(now: int, name: str) -> None:
    """In every zone on earth and at every moment the day is the local calendar day around it."""
    assert_day(now, name)


@given(st.data(), st.sampled_from(ZONES), st.integers(-90_000, 90_000))
def test_days_on_which_clocks_are_set(data: st.DataObject, name: str, away: int) -> None:
    """Around every change of a zone's clocks days still hold their moments and join each other."""
    changes = changes_of(name)
    if changes:
        assert_day(data.draw(st.sampled_from(changes)) + away, name)


@pytest.mark.parametrize(
    ("name", "noon", "hours"),
    [
        ("Europe/Berlin", datetime(2024, 3, 31, 10, tzinfo=UTC), 23),
        ("Europe/Berlin", datetime(2024, 10, 27, 10, tzinfo=UTC), 25),
        ("Europe/Berlin", datetime(2024, 6, 1, 10, tzinfo=UTC), 24),
        ("Australia/Lord_Howe", datetime(2024, 10, 6, 1, tzinfo=UTC), 23.5),
        ("America/Sao_Paulo", datetime(2018, 11, 4, 15, tzinfo=UTC), 23),
        ("Asia/Beirut", datetime(2022, 3, 27, 10, tzinfo=UTC), 23),
        ("America/Havana", datetime(2024, 11, 3, 17, tzinfo=UTC), 25),
        ("UTC", datetime(2016, 12, 31, 12, tzinfo=UTC), 24),
    ],
)
def test_days_of_23_and_25_hours(name: str, noon: datetime, hours: float) -> None:
    """A day on which the clocks are set is as long as it was, also where midnight itself is skipped or comes twice."""
    window = assert_day(noon.timestamp(), name)
    assert (window.end - window.start) / 3600 == hours


def test_a_year_of_days_is_a_year() -> None:
    """Walking from day to day through a year meets 365 of them and ends where it should."""
    zone = ZoneInfo("America/New_York")
    begin = datetime(2023, 1, 1, tzinfo=zone).timestamp()
    days = list(itertools.takewhile(lambda start: start < begin + 365 * 86_400, _starts(begin, zone)))
    assert len(days) == 365
    assert days[-1] == datetime(2023, 12, 31, tzinfo=zone).timestamp()


def _starts(now: float, zone: ZoneInfo):
    while True:
        window = window_of(now, zone)
        yield window.start
        now = window.end

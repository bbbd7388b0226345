"""Which engine gets a job, decided from facts alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.core.engines.placement import Candidate, Round, Wanted

PICTURE = Wanted(model="a", group=("a", "512x512"), work=10.0)
OTHER = Wanted(model="b", group=("b", "512x512"), work=10.0)
KNOWN: dict[str, Any] = {"paces": {"a": 1.0, "b": 1.0}, "readings": {"a": 30.0, "b": 30.0}}


def engine(number: int, *loaded: str, aboard: tuple[Wanted, ...] = (), **values: Any) -> Candidate:
    """One that has drawn with both models and has read both; full where it has something aboard, unless told otherwise."""
    known: dict[str, Any] = {**KNOWN, "has_room": not aboard, **values}
    return Candidate(number=number, loaded=frozenset(loaded), aboard=aboard, **known)


def place(wanted: Wanted, *engines: Candidate) -> int | None:
    return Round(engines).place(wanted)


def test_it_goes_where_it_is_done_first() -> None:
    """Less ahead of it, a model that need not be read, or a faster engine: whatever adds up to the soonest end."""
    busy = engine(1, "a", aboard=(PICTURE,), has_room=True)
    assert place(PICTURE, busy, engine(2, "a")) == 2
    assert place(PICTURE, busy, engine(2, "b")) == 1
    slow = engine(1, "a", paces={"a": 5.0})
    assert place(PICTURE, slow, engine(2, "a", aboard=(PICTURE,), has_room=True)) == 2
    assert place(PICTURE, engine(1, "a", has_room=False), engine(2, "a", has_room=False)) is None
    assert place(PICTURE) is None


def test_a_model_that_is_being_read_is_not_read_twice() -> None:
    """Where somebody has it read already, what is left of that counts; who wants another waits for that one as well."""
    reads = engine(1, reading="a", read_s=25.0, aboard=(PICTURE,), has_room=True)
    assert place(PICTURE, reads, engine(2)) == 1
    assert place(OTHER, reads, engine(2)) == 2


def test_it_is_kept_for_a_full_engine_only_while_that_pays() -> None:
    """Reading its model elsewhere takes 30 s, the full engine is free in 10: it is kept, but never for as long as that."""
    full, idle = engine(1, "a", aboard=(PICTURE,)), engine(2, "b")
    assert place(PICTURE, full, idle) is None
    assert place(replace(PICTURE, kept_s=19.0), full, idle) is None
    assert place(replace(PICTURE, kept_s=21.0), full, idle) == 2
    assert place(OTHER, full, idle) == 2, "whoever draws with what is there passes"


@pytest.mark.parametrize("unseen", [engine(2, "b", paces={}), engine(2, "b", readings={})])
def test_nobody_is_kept_on_a_guess(unseen: Candidate) -> None:
    """An engine that never drew with a model, or never read it, may be quicker than is thought."""
    full = engine(1, "a", aboard=(PICTURE,))
    assert place(PICTURE, full, unseen) == 2


def test_a_crowd_does_not_wait_for_one_engine_alone() -> None:
    """Of many that want the model of a full engine so many are kept as are done sooner there; the next has it read anew."""
    look = Round([engine(1, "a", aboard=(PICTURE,)), engine(2, "b")])
    assert [look.place(PICTURE) for _ in range(4)] == [None, None, 2, 2]


def test_pictures_that_share_a_forward_stay_together_as_long_as_that_pays() -> None:
    """Up to the engine's own word; a picture of another size, or one too many, goes to the engine that is free."""
    shared = engine(1, "a", aboard=(PICTURE,), has_room=True, together=2)
    idle = engine(2, "a")
    assert place(PICTURE, shared, idle) == 1
    assert place(replace(PICTURE, group=("a", "768x768")), shared, idle) == 2
    assert place(replace(PICTURE, images=2), shared, idle) == 2
    assert place(PICTURE, replace(shared, together=1), idle) == 2


def test_a_model_that_lies_in_one_memory_alone_is_spared() -> None:
    """Reading another may push it out: it is read where what may have to go lies elsewhere too."""
    third = Wanted(model="c", group=("c",), work=10.0)
    assert place(third, engine(1, "b"), engine(2, "a"), engine(3, "a")) == 2


def test_an_engine_that_has_just_read_a_model_draws_with_what_it_has_first() -> None:
    """Who wants another one lets others pass, or goes elsewhere; not where nobody wants what is there, or it is read already."""
    settled = engine(1, "a", may_read=False)
    look = Round([settled])
    assert look.place(OTHER) is None
    assert look.place(PICTURE) == 1
    assert Round([settled], may_read=True).place(OTHER) == 1
    assert place(OTHER, settled, engine(2, "a")) == 2
    reads = engine(1, "a", reading="b", aboard=(OTHER,), has_room=True, may_read=False)
    assert place(OTHER, reads) == 1


def test_what_repeats_pixels_goes_to_an_engine_of_their_kind() -> None:
    """However much sooner others would be done; it waits for room there, and goes elsewhere only where none is up."""
    again = replace(PICTURE, kind="old card")
    old, new = engine(1, "a", kind="old card", paces={"a": 9.0}), engine(2, "a", kind="new card")
    assert place(PICTURE, old, new) == 2
    assert place(again, old, new) == 1
    assert place(again, replace(old, has_room=False), new) is None
    assert place(again, new) == 2


def test_only_those_that_offer_it_are_asked() -> None:
    """Though another would be done sooner, and its memory counts all the same."""
    look = Round([engine(1, "a"), engine(2, "b")])
    assert look.place(PICTURE, able=[2]) == 2
    assert look.place(PICTURE, able=[]) is None

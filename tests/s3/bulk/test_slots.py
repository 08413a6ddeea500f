"""The ceiling that all senders of a plane share, by itself."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from rehouse.s3.bulk.slots import Claim, Slots


def joined(slots: Slots, most: int) -> Claim:
    claim = Claim(most, lambda _: None)
    claim.lock.acquire()  # it is at work: nobody brings its replies home
    slots.join(claim)
    return claim


def test_who_is_alone_gets_all_and_rivals_get_equal_shares():
    slots = Slots(8)
    first, second = joined(slots, 8), joined(slots, 8)
    assert slots.take(first, 8) == 8
    assert slots.take(second, 8) == 0
    slots.give_back(first, 3)
    assert slots.take(first, 3) == 0
    assert slots.take(second, 8) == 3
    slots.give_back(first, 2)
    assert (slots.take(first, 5), slots.take(second, 5)) == (1, 1)
    assert (first.held, second.held) == (4, 4)


def test_one_request_at_a_time_shrinks_no_share_without_waiting():
    slots = Slots(4)
    copies, page = joined(slots, 4), joined(slots, 1)
    assert slots.take(page, 1) == 1
    assert slots.take(copies, 4) == 3
    slots.give_back(page, 1)
    assert slots.take(copies, 1) == 1
    assert slots.take(page, 1) == 0
    slots.give_back(copies, 1)
    assert (slots.take(copies, 1), slots.take(page, 1)) == (0, 1)


def test_claims_are_served_in_the_order_of_waiting():
    slots = Slots(2)
    claims = [joined(slots, 2) for _ in range(5)]
    assert [slots.take(claim, 2) for claim in claims] == [2, 0, 0, 0, 0]
    slots.give_back(claims[0], 1)
    assert [slots.take(claim, 2) for claim in (claims[0], *claims[:1:-1], claims[1])] == [0, 0, 0, 0, 1]
    slots.give_back(claims[0], 1)
    assert [slots.take(claim, 2) for claim in (claims[0], claims[4], claims[3], claims[2])] == [0, 0, 0, 1]


def test_an_ended_claim_frees_its_slots_and_its_place():
    slots = Slots(2)
    first, second, third = (joined(slots, 2) for _ in range(3))
    slots.take(first, 2)
    assert (slots.take(second, 1), slots.take(third, 1)) == (0, 0)
    for claim in (second, first):
        claim.lock.release()
        slots.leave(claim)
    assert slots.take(third, 2) == 2


def test_an_idle_rival_gives_up_what_it_has_not_begun():
    slots = Slots(4)
    idle = Claim(4, lambda _: slots.give_back(idle, idle.held))
    slots.join(idle)
    slots.take(idle, 4)
    assert slots.take(joined(slots, 4), 4) == 2


def test_who_waits_is_woken_by_a_slot_and_not_by_the_clock():
    slots = Slots(1)
    first, second = joined(slots, 1), joined(slots, 1)
    slots.take(first, 1)
    slots.take(second, 1)
    waiting = threading.Thread(target=slots.wait, args=(second, 3600.0), daemon=True)
    waiting.start()
    slots.give_back(first, 1)
    waiting.join(60)
    assert not waiting.is_alive()
    assert slots.take(second, 1) == 1


@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12), st.booleans()), max_size=60),
)
def test_slots_are_never_exceeded_and_every_waiter_gets_one(most, steps):
    slots = Slots(most)
    claims = [joined(slots, 12) for _ in range(6)]
    for which, number, taking in steps:
        claim = claims[which]
        if taking:
            assert 0 <= slots.take(claim, number) <= number
        else:
            slots.give_back(claim, min(number, claim.held))
        assert all(each.held >= 0 for each in claims)
        assert sum(each.held for each in claims) <= most
    for _ in claims:
        for claim in claims:
            slots.give_back(claim, claim.held)
        served = [slots.take(claim, 12) > 0 for claim in claims]
        assert any(served)

"""One operator at a time: a lock is held by one session, dies with it, and its loss is found out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.sessions import cut_off

from rehouse.core.errors import TryAgain
from rehouse.ledger.lock import Locks, lock_key


def test_a_second_operator_is_told_at_once(empty_database: str) -> None:
    with Locks(empty_database) as ours, Locks(empty_database) as theirs:
        ours.acquire(1, "acme")
        ours.acquire(1, "acme")
        with pytest.raises(TryAgain, match=r"another operator is working on acme \(postgres, rehouse lock"):
            theirs.acquire(1, "acme")
        theirs.acquire(2)
        ours.release(1)
        theirs.acquire(1)
        assert ours.is_still_held()
        assert theirs.is_still_held()


def test_a_lock_is_let_go_at_the_end(empty_database: str) -> None:
    with Locks(empty_database) as ours, Locks(empty_database) as theirs:
        with pytest.raises(RuntimeError), ours.hold("x", "acme"):
            with pytest.raises(TryAgain):
                theirs.acquire("x")
            raise RuntimeError
        theirs.acquire("x")
        ours.release("never taken")
    with Locks(empty_database) as later:
        later.acquire("x")


def test_a_step_inside_another_leaves_its_lock_held(empty_database: str) -> None:
    with Locks(empty_database) as ours, Locks(empty_database) as theirs:
        with ours.hold(1, "acme"):
            with ours.hold(1, "acme"):
                pass
            with pytest.raises(TryAgain):
                theirs.acquire(1)
        theirs.acquire(1)


def test_a_lost_session_is_found_out_and_every_lock_taken_again(empty_database: str) -> None:
    with Locks(empty_database) as ours:
        ours.acquire(1)
        ours.hold_run("r")
        assert ours.is_still_held()
        cut_off(empty_database)
        assert not ours.is_still_held()
        ours.reacquire()
        assert ours.is_still_held()
        with Locks(empty_database) as theirs:
            assert theirs.is_run_alive("r")
            with pytest.raises(TryAgain):
                theirs.acquire(1)


def test_what_another_took_meanwhile_is_not_taken_back(empty_database: str) -> None:
    with Locks(empty_database) as ours:
        ours.acquire(1)
        ours.acquire(2)
        cut_off(empty_database)
        with Locks(empty_database) as theirs:
            theirs.acquire(2)
            with pytest.raises(TryAgain):
                ours.reacquire()
            assert not ours.is_still_held()
            theirs.acquire(1)


def test_locks_may_be_let_go_after_the_session_was_lost(empty_database: str) -> None:
    with Locks(empty_database) as ours, ours.hold(1), ours.hold_run_of("r"):
        cut_off(empty_database)
    with Locks(empty_database) as theirs:
        assert not theirs.is_run_alive("r")
        theirs.acquire(1)


def test_a_run_is_alive_as_long_as_its_process(empty_database: str) -> None:
    with Locks(empty_database) as watch:
        assert not watch.is_run_alive("r")
        with Locks(empty_database) as ours, ours.hold_run_of("r"):
            assert watch.is_run_alive("r")
            assert ours.is_run_alive("r")
            assert not watch.is_run_alive("s")
        assert not watch.is_run_alive("r")


def test_another_database_has_locks_of_its_own(new_database) -> None:
    with Locks(new_database(None)) as here, Locks(new_database(None)) as there:
        here.acquire(1)
        there.acquire(1)
        here.hold_run("r")
        assert not there.is_run_alive("r")


@given(st.integers() | st.uuids().map(str), st.integers() | st.uuids().map(str))
def test_keys_fit_and_differ(one: object, other: object) -> None:
    assert -(2**63) <= lock_key("tenant", one) < 2**63
    assert lock_key("tenant", one) != lock_key("run", one)
    assert (lock_key("tenant", one) == lock_key("tenant", other)) == (str(one) == str(other))


def test_keys_never_change() -> None:
    assert lock_key("tenant", 7) == LOCK_OF_TENANT_7, "two versions of rehouse must see each other's locks"


LOCK_OF_TENANT_7 = 3667097407437004152

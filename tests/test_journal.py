"""The journal: commits together what gathers, answers everybody, and outlives whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from phasegate.errors import Conflict, StoreUnavailable
from phasegate.journal import MOST, Journal
from phasegate.store.base import Append, Store
from phasegate.store.opening import open_store
from tests.store.conformance import done, new


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(str(tmp_path / "runs.db"))
    opened.prepare()
    yield opened
    opened.close()


@pytest.fixture
def journal(store: Store) -> Iterator[Journal]:
    opened = Journal(store)
    yield opened
    opened.close()


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """What threads report instead of dying of it."""
    errors: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda given: errors.append(given.exc_value))
    return errors


class Busy:
    """Keeps the writer busy until it is let go, so that what is asked meanwhile gathers."""

    def __init__(self, journal: Journal) -> None:
        self._go_on = threading.Event()
        begun = threading.Event()

        def wait() -> bool:
            begun.set()
            return self._go_on.wait(20)

        self._done = journal.call(wait)
        assert begun.wait(20)

    def let_go(self) -> None:
        self._go_on.set()
        assert self._done.result(20)


def commits(store: Store) -> list[str]:
    """The commits of the store from now on."""
    seen: list[str] = []
    store.trace(lambda text: seen.append(text) if text.upper() == "COMMIT" else None)
    return seen


def test_what_gathers_is_committed_together(store: Store, journal: Journal) -> None:
    busy, seen = Busy(journal), commits(store)
    futures = [journal.submit_all([new(store, f"s{number}")]) for number in range(50)]
    busy.let_go()
    assert [future.result(20) for future in futures] == [[None]] * 50
    assert len(seen) == 1


def test_everybody_gets_the_answers_to_their_own(store: Store, journal: Journal) -> None:
    start = new(store)
    journal.append(start)
    busy = Busy(journal)
    mine = journal.submit_all([new(store, "a"), done(store, start.run)])
    theirs = journal.submit_all([done(store, start.run), new(store, "b")])
    busy.let_go()
    assert mine.result(20) == [None, None]
    conflict, fine = theirs.result(20)
    assert isinstance(conflict, Conflict)
    assert fine is None


def test_one_append_raises_what_is_answered(store: Store, journal: Journal) -> None:
    start = new(store)
    journal.append(start)
    journal.append(done(store, start.run))
    with pytest.raises(Conflict, match="is at fact"):
        journal.append(done(store, start.run))


def test_a_call_sees_what_was_submitted_before_it_and_not_what_comes_after(store: Store, journal: Journal) -> None:
    busy = Busy(journal)
    before = journal.submit_all([new(store, "before")])
    found = journal.call(lambda: [run.subject.id for run in store.of_subjects("default", "story", ["before", "after"])])
    after = journal.submit_all([new(store, "after")])
    busy.let_go()
    assert found.result(20) == ["before"]
    assert before.result(20) == after.result(20) == [None]


def test_more_than_fit_into_one_commit_are_committed_all_the_same(store: Store, journal: Journal) -> None:
    busy, seen = Busy(journal), commits(store)
    parts = 5
    futures = [
        journal.submit_all([new(store, f"{part}/{number}") for number in range(MOST // 4)]) for part in range(parts)
    ]
    busy.let_go()
    assert all(set(future.result(60)) == {None} for future in futures)
    assert len(seen) == 2


def test_an_error_of_the_database_is_answered_to_everybody(store: Store, journal: Journal) -> None:
    busy = Busy(journal)
    futures = [journal.submit_all([new(store, f"s{number}")]) for number in range(3)]
    store.close()
    store.path.unlink()  # type: ignore[attr-defined]
    store.path.mkdir()  # type: ignore[attr-defined]
    busy.let_go()
    answers = [answer for future in futures for answer in future.result(20)]
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3


def test_an_error_of_a_call_is_raised_to_the_caller(journal: Journal) -> None:
    for error in (ValueError("boom"), SystemExit(1), KeyboardInterrupt()):

        def fail(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            journal.call(fail).result(20)
    assert journal.call(lambda: "still there").result(20) == "still there"


def test_a_call_that_nobody_waits_for_any_more_is_not_made(journal: Journal) -> None:
    busy, made = Busy(journal), []
    given_up = journal.call(lambda: made.append("given up"))
    assert given_up.cancel()
    kept = journal.call(lambda: made.append("kept"))
    busy.let_go()
    kept.result(20)
    assert made == ["kept"]


def test_a_listener_that_raises_does_not_stop_the_writer(
    store: Store, journal: Journal, reported: list[BaseException | None]
) -> None:
    heard: list[str] = []

    def broken(_runs: object) -> None:
        raise ValueError("deaf")

    journal.committed += [broken, lambda runs: heard.extend(run.subject.id for run in runs)]
    journal.append(new(store, "a"))
    journal.append(new(store, "b"))
    journal.call(lambda: None).result(20)
    assert heard == ["a", "b"]
    assert [str(error) for error in reported] == ["deaf", "deaf"]


def test_an_answer_that_cannot_be_delivered_does_not_stop_the_writer(
    store: Store, journal: Journal, reported: list[BaseException | None]
) -> None:
    def gone(_answers: object) -> None:
        raise RuntimeError("gone")

    busy = Busy(journal)
    journal.submit([new(store, "a")], gone)
    kept = journal.submit_all([new(store, "b")])
    busy.let_go()
    assert kept.result(20) == [None]
    assert [str(error) for error in reported] == ["gone"]


def test_listeners_hear_of_what_was_committed_only(store: Store, journal: Journal) -> None:
    heard: list[str] = []
    journal.committed.append(lambda runs: heard.extend(run.subject.id for run in runs))
    journal.append_all([new(store, "a"), new(store, "a"), new(store, "b")])
    journal.call(lambda: None).result(20)
    assert heard == ["a", "b"]


# --- closing --------------------------------------------------------------------------------------------------------


def test_closing_commits_what_waits_and_refuses_what_comes(store: Store) -> None:
    journal = Journal(store)
    busy = Busy(journal)
    futures: list[Future[Any]] = [journal.submit_all([new(store, f"s{number}")]) for number in range(20)]
    called = journal.call(lambda: "called")
    closing = threading.Thread(target=journal.close)
    closing.start()
    busy.let_go()
    closing.join(20)
    assert not closing.is_alive()
    assert [future.result(0) for future in futures] == [[None]] * 20
    assert called.result(0) == "called"
    asked: list[Callable[[], object]] = [
        lambda: journal.append(new(store, "late")),
        lambda: journal.call(lambda: None),
        lambda: journal.submit([], print),
    ]
    for ask in asked:
        with pytest.raises(StoreUnavailable, match="the engine has been closed"):
            ask()
    journal.close()


def test_whoever_asks_while_it_closes_is_answered_or_refused(store: Store) -> None:
    for number in range(20):
        journal, together = Journal(store), threading.Barrier(5)
        answered: list[Any] = []

        def ask(
            which: int, journal: Journal = journal, together: threading.Barrier = together, answered: list[Any] = answered,
            number: int = number,
        ) -> None:  # fmt: skip
            append: Append = new(store, f"{number}/{which}")
            together.wait()
            try:
                answered.append(journal.append_all([append]))
            except StoreUnavailable as error:
                answered.append(error)

        threads = [threading.Thread(target=ask, args=[which]) for which in range(4)]
        for thread in threads:
            thread.start()
        together.wait()
        journal.close()
        for thread in threads:
            thread.join(20)
        assert [thread.is_alive() for thread in threads] == [False] * 4
        assert len(answered) == 4

"""Combining, with real threads and real signals: whoever is interrupted keeps nobody waiting."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

import pytest

from conftest import PATIENCE, until
from sidework.errors import StoreError
from sidework.store.combining import Combiner


class Interrupt(Exception):
    """A program's own timeout, as Ctrl-C: for the main thread, in whatever it does."""


class Runner:
    """Runs batches when it is let; tells what it ran."""

    def __init__(self) -> None:
        self.combiner = Combiner[int, int](self.run, lambda _: 1, 10)
        self.batches: list[list[int]] = []
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def run(self, commands: Sequence[int]) -> list[int]:
        self.batches.append(list(commands))
        self.began.release()
        assert self.go.acquire(timeout=PATIENCE)
        return [command * 10 for command in commands]

    def begin(self, command: int) -> tuple[threading.Thread, list[int]]:
        """Submit on a thread; the list has the answer when it comes."""
        answer: list[int] = []
        thread = threading.Thread(target=lambda: answer.append(self.combiner.submit(command)))
        thread.daemon = True
        thread.start()
        return thread, answer

    def waits(self, count: int) -> None:
        until(lambda: len(self.combiner._line) == count, f"a line of {count}")


@pytest.fixture
def runner() -> Iterator[Runner]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield Runner()
    signal.signal(signal.SIGUSR1, before)


def later(act: object) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_a_caller_interrupted_in_the_line_is_not_waited_for(runner: Runner) -> None:
    first, answer = runner.begin(1)
    assert runner.began.acquire(timeout=PATIENCE)

    def meanwhile() -> None:
        runner.waits(1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    helper = later(meanwhile)
    with pytest.raises(Interrupt):
        runner.combiner.submit(2)
    helper.join()
    second, other = runner.begin(3)
    runner.waits(2)
    for _ in range(2):
        runner.go.release()
    first.join(PATIENCE)
    second.join(PATIENCE)
    assert (answer, other) == ([10], [30])
    assert runner.batches == [[1], [3]]
    runner.go.release()
    assert runner.combiner.submit(4) == 40


def test_a_caller_interrupted_while_its_command_runs_drops_the_result(runner: Runner) -> None:
    first, answer = runner.begin(1)
    assert runner.began.acquire(timeout=PATIENCE)
    second, other = runner.begin(2)
    runner.waits(1)

    def meanwhile() -> None:
        runner.waits(2)
        runner.go.release()  # the first batch ends, the second takes both that wait
        assert runner.began.acquire(timeout=PATIENCE)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    helper = later(meanwhile)
    with pytest.raises(Interrupt):
        runner.combiner.submit(3)
    helper.join()
    runner.go.release()
    first.join(PATIENCE)
    second.join(PATIENCE)
    assert (answer, other) == ([10], [20])
    assert runner.batches == [[1], [2, 3]]
    runner.go.release()
    assert runner.combiner.submit(4) == 40


def test_an_interrupted_leader_leaves_its_batch_to_the_next(runner: Runner) -> None:
    """Its interruption is its own: the others are answered, by a batch that one of them leads."""
    first, answer = runner.begin(1)
    assert runner.began.acquire(timeout=PATIENCE)
    others: list[tuple[threading.Thread, list[int]]] = []

    def meanwhile() -> None:
        runner.waits(1)
        for command in (3, 4):
            others.append(runner.begin(command))
            runner.waits(len(others) + 1)
        runner.go.release()
        assert runner.began.acquire(timeout=PATIENCE)  # the main thread leads now
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    helper = later(meanwhile)
    with pytest.raises(Interrupt):
        runner.combiner.submit(2)
    helper.join()
    runner.go.release()
    for thread, _ in others:
        thread.join(PATIENCE)
    assert [answer for _, answer in others] == [[30], [40]]
    assert runner.batches == [[1], [2, 3, 4], [3, 4]]
    first.join(PATIENCE)
    assert answer == [10]


def test_an_error_of_the_batch_is_raised_at_each_caller() -> None:
    entered, go = threading.Event(), threading.Event()

    def run(commands: Sequence[int]) -> list[int]:
        entered.set()
        assert go.wait(PATIENCE)
        raise StoreError(f"all {len(commands)}")

    combiner = Combiner[int, int](run, lambda _: 1, 10)
    told: list[str] = []

    def call() -> None:
        try:
            combiner.submit(1)
        except StoreError as error:
            told.append(str(error))

    threads = [later(call)]
    assert entered.wait(PATIENCE)
    for count in (1, 2):
        threads.append(later(call))
        until(lambda count=count: len(combiner._line) == count)  # type: ignore[misc]
    go.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(told) == ["all 1", "all 2", "all 2"]


def test_a_lead_that_was_lost_is_found() -> None:
    """A leader may be interrupted between any two lines; whoever waits then makes sure, and leads."""
    combiner = Combiner[int, int](lambda commands: [n + 1 for n in commands], lambda n: 1, 10)
    combiner._busy = True  # as after Control-C, before the lead was passed on
    got: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: got.append(combiner.submit(n))) for n in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(got) == [1, 2, 3, 4, 5]
    assert combiner.submit(6) == 7

"""Takes jobs from the store one after the other and runs them in the test's process: turn, run, turn.

What decides how a job ends is what decides it in a worker: the store's verbs and the child's ``Attempt``.
The order of things is written once, as generators that give an attempt and take its outcome; ``here`` and
``there`` run those, for plain tests and for coroutines. One attempt runs at a time, but for those that wait
for another job: what they wait for runs meanwhile, in their place.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections import Counter
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from ..child.capture import Capture
from ..child.child import hello
from ..child.executor import Attempt, Lost, attempt_of
from ..child.resources import Resources
from ..clock import Millis
from ..errors import SideworkError
from ..ids import id_text
from ..info import JobInfo
from ..job import RUNNERS, Claimed, JobFilter, Runner
from ..outcome import Outcome
from ..state import FINAL, State
from ..store.protocol import RETENTION, Demand, Store
from ..tasks.registry import AppLike
from ..worker.chores import Chores
from ..worker.periodics import Periodics, fire_due
from ..worker.telling import Teller, declare
from .book import Book
from .clock import Clock
from .faults import Faults

T = TypeVar("T")
Steps = Generator[Attempt, Outcome, T]

_LOOK = 50
"""Waiting jobs of which the very next is told exactly; of more, one runner's are taken after the other's."""
_KEPT = {**RETENTION, **{name: 2**40 for name in RETENTION}}
"""A test finds whatever it has enqueued, however far it has moved."""


class Driver:
    """Of one app under test, whose store it is a worker of."""

    def __init__(self, app: AppLike, store: Store, clock: Clock, faults: Faults) -> None:
        self._app = app
        self._store = store
        self._clock = clock
        self._faults = faults
        self._teller = Teller()
        self._worker = store.register("test", os.getpid(), ()).id
        self._book = Book()
        self._captured = Capture(own_process=False)
        said = hello(app)
        declare(store, said)
        self._chores = Chores(lambda: store, _KEPT, Periodics(lambda: self._worker, said.declares))
        self._chores.tick(store)  # from here on the clock enqueues what is declared
        self._runner: asyncio.Runner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resources = Resources(self._on_loop)
        self._ending: asyncio.Task[None] | None = None
        self._driving = threading.Lock()
        self._ran: list[
            JobInfo
        ] = []  # since it was last asked to run, by whom it was waited for too

    def close(self) -> None:
        """Leave the store; what was under way (a test that was interrupted) goes back. What jobs were given
        is closed, on the test's own loop when the test lets that run."""
        self._captured.close()
        if on_a_loop():
            self._ending = asyncio.get_running_loop().create_task(self._resources.close())
        else:
            self._on_loop(self._resources.close())
        if self._runner is not None:
            self._runner.close()
        self._store.retire(self._worker)

    def __enter__(self) -> None:
        if not self._driving.acquire(blocking=False):
            raise SideworkError(
                "jobs of this sandbox are run already: in a job, wait for others by their handles"
            )

    def __exit__(self, *_: object) -> None:
        self._driving.release()

    # What is to happen --------------------------------------------------------------------------

    def next(self) -> Steps[bool]:
        """Run the next job; False when nothing is due."""
        job = self._claim()
        if job is None:
            fire_due(self._store)  # the chores look by a clock that no test moves
            self._chores.tick(self._store)  # perhaps something is due by it
            job = self._claim()
        if job is None:
            return False
        attempt = attempt_of(job, self._app.registry, self._resources)
        if isinstance(attempt, Attempt):
            attempt.running.writes_in(self._book, 0)
            outcome = yield self._faults.prepare(attempt)
            notes = self._book.end(attempt.running)
        else:
            outcome, notes = attempt, []
        (took,) = self._store.turn([outcome], None, notes=notes).took
        if took is None:
            raise SideworkError(
                f"job {id_text(job.id)} ({job.task}) returned inside a transaction that is still open and "
                "holds its end (finish_in): end it in the job"
            )
        self._teller.heard(job, outcome)
        if outcome.in_transaction:
            self._teller.settled(outcome, took)
        self._faults.reraise()
        (row,) = self._store.get([job.id])
        if row is not None:
            self._ran.append(JobInfo(row))
        return True

    def until(self, job_id: bytes) -> Steps[None]:
        """Run jobs until this one is final, or nothing is due any more."""
        while not self.is_final(job_id) and (yield from self.next()):
            pass

    def drain(self, limit: int, within: Millis) -> Steps[list[JobInfo]]:
        """Run jobs until nothing is due, moving on to what becomes due within so many milliseconds."""
        self._ran = []
        end = self._clock.millis + within
        while True:
            if len(self._ran) >= limit and (left := self._left(end)):
                self._refuse_more(left)
            if not (yield from self.next()):
                due = self._next_due()
                if due is None or not self._clock.millis < due <= end:
                    return self._ran
                self._clock.millis = due

    def is_final(self, job_id: bytes) -> bool:
        """Whether it has ended, or is gone."""
        (row,) = self._store.get([job_id])
        return row is None or row.state in FINAL

    def last(self) -> JobInfo | None:
        """The job that ran last, as it stood then."""
        return self._ran[-1] if self._ran else None

    def _refuse_more(self, left: int) -> None:
        counted = Counter(info.task for info in self._ran).most_common(3)
        most = ", ".join(f"{task} {times} times" for task, times in counted)
        raise SideworkError(
            f"drain() ran {len(self._ran)} jobs ({most}), as many as it may, and {left} wait still: say "
            "limit= to let it run more, unless one enqueues itself without end, or snoozes for no time"
        )

    def _left(self, end: Millis) -> int:
        """How many jobs wait that a drain would run, those of the clock as one."""
        want = JobFilter(states=(State.AVAILABLE, State.SCHEDULED, State.RETRYABLE))
        left, before = 0, None
        while page := self._store.page(want, before, _LOOK):
            left += sum(row.state is State.AVAILABLE or row.due_at <= end for row in page)
            before = page[-1].id
        due = self._next_due()
        return left or int(due is not None and due <= end)

    # Which job is next --------------------------------------------------------------------------

    def _claim(self) -> Claimed | None:
        """The job that has waited longest of the highest priority, if its queue gives it."""
        rows = self._store.page(JobFilter(states=(State.AVAILABLE,)), None, _LOOK)
        rows.sort(key=lambda row: (-row.priority, row.due_at, row.id))
        lines: dict[tuple[Runner, tuple[str, ...]], None]
        lines = dict.fromkeys((row.runner, (row.lane,)) for row in rows)
        if len(rows) == _LOOK:
            lines = dict.fromkeys((runner, ()) for runner in RUNNERS)
        for runner, lanes in lines:
            turn = self._store.turn([], Demand(self._worker, {runner: 1}, lanes))
            if turn.claimed:
                return turn.claimed[0]
        return None

    def _next_due(self) -> Millis | None:
        """When the next of the waiting jobs is due that is not yet, or the next tick."""
        want = JobFilter(states=(State.SCHEDULED, State.RETRYABLE))
        tick = self._store.periodics.due(1).due_in
        moments = [] if tick is None else [self._clock.millis + tick]
        before: bytes | None = None
        while page := self._store.page(want, before, _LOOK):
            moments += [row.due_at for row in page if row.due_at > self._clock.millis]
            before = page[-1].id
        return min(moments, default=None)

    # How it is run ------------------------------------------------------------------------------

    def here(self, steps: Steps[T]) -> T:
        """Run them on this thread, coroutines on a loop of the sandbox's own."""
        self._resources.begin(self._app.registry)  # what is open already stays as it is
        try:
            attempt = next(steps)
            while True:
                attempt = steps.send(self._run(attempt))
        except StopIteration as ended:
            value: T = ended.value
            return value

    async def there(self, steps: Steps[T]) -> T:
        """Run them on the running loop, plain functions on a thread beside it."""
        self._loop = asyncio.get_running_loop()
        await self._resources.abegin(self._app.registry)
        try:
            attempt = next(steps)
            while True:
                attempt = steps.send(await self._await(attempt))
        except StopIteration as ended:
            value: T = ended.value
            return value

    def _run(self, attempt: Attempt) -> Outcome:
        # In a context of its own, as in a child: what one job sets, no other sees.
        context = contextvars.copy_context()
        if not attempt.task.is_coroutine:
            return context.run(attempt.run)
        outcome: Outcome = self._on_loop(self._await(attempt), context)
        return outcome

    def _on_loop(
        self, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context | None = None
    ) -> Any:
        if self._loop is not None and self._loop.is_running():
            # This thread is a plain job's that waits for a coroutine's, on the loop which runs them all.
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        return self._runner.run(coroutine, context=context)

    async def _await(self, attempt: Attempt) -> Outcome:
        self._loop = asyncio.get_running_loop()
        plain = not attempt.task.is_coroutine
        work = asyncio.to_thread(attempt.run) if plain else attempt.run_coroutine()
        task = self._loop.create_task(work, context=contextvars.copy_context())
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            # The test is told to stop (Control-C, a time limit), and its job with it.
            task.cancel()
            if not plain:
                await asyncio.wait({task})
            raise
        if task.cancelled():  # by other code, before its first line
            attempt.begun = True
            return attempt.failed(Lost())
        return task.result()


def on_a_loop() -> bool:
    """Whether this is a coroutine's thread, which must not be blocked."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

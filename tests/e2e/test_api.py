"""The public API in one program with a worker inside it."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from conftest import Place, until
from e2e.conftest import Ways
from sidework import JobConflict, JobNotFound, State, StoreRefused, current_job
from sidework.ids import parse_id


def test_a_plain_call_runs_here_and_stores_nothing(ways: Ways) -> None:
    asyncio.run(ways.process_coroutine(1))
    assert asyncio.run(ways.process_coroutine(1)) == 2
    assert list(ways.app.jobs()) == []


def test_enqueue_result_and_handle(ways: Ways) -> None:
    with ways.app.worker():
        job = ways.thread.enqueue(2)
        assert job.result(timeout=10) == 3
        assert job.state is State.COMPLETED
        assert ways.app.job(job.id) == job
        assert ways.app.job(job.id).result(timeout=1) == 3
        assert job.cancel() is False
        assert job.retry() is True
        assert job.result(timeout=10) == 3
        assert job.info().attempt == 2


def test_async_from_end_to_end(ways: Ways) -> None:
    async def main() -> list[int]:
        async with ways.app.worker():
            jobs = [await ways.coroutine.aenqueue(n) for n in range(20)]
            assert await jobs[0].await_final(timeout=10) is State.COMPLETED
            return await asyncio.gather(*(job.aresult(timeout=10) for job in jobs))

    assert asyncio.run(main()) == list(range(1, 21))


@pytest.mark.sqlite_alone(
    "its sockets; the server's connections are counted in postgres/test_client"
)
def test_a_thousand_waiters_cost_one_thread_and_one_socket(ways: Ways) -> None:
    folder = ways.app.store._bell_folder

    async def main() -> int:
        jobs = [ways.coroutine.enqueue(n) for n in range(1000)]
        before = threading.active_count()
        waiting = [asyncio.create_task(job.aresult(timeout=20)) for job in jobs]
        while len(ways.app.waiter._waiting) < 1000:
            await asyncio.sleep(0)
        mine = [name for name in os.listdir(folder) if name.startswith(f"done-{os.getpid()}-")]
        assert len(mine) <= 1
        # The waiter, and the event loop's own pool of helpers, whatever the number of waiters.
        assert threading.active_count() - before <= 2 + (os.cpu_count() or 1) + 4
        async with ways.app.worker():
            return sum(await asyncio.gather(*waiting))

    assert asyncio.run(main()) == sum(range(1, 1001))


def test_enqueue_many_streams_any_iterable(ways: Ways) -> None:
    seen: list[int] = []

    def bound() -> Any:
        for n in range(1200):
            if n == 1100:  # the first chunks are there before the last is made
                seen.append(sum(1 for _ in ways.app.jobs()))
            yield ways.thread.bind(n)

    assert ways.app.enqueue_many(bound()) == 1200
    assert seen == [1000]
    assert sum(1 for _ in ways.app.jobs()) == 1200


def test_options_of_one_job(ways: Ways) -> None:
    due = datetime.now(UTC) + timedelta(hours=1)
    job = ways.thread.options(
        run_after=due, priority=7, queue_name="mail", retries=4, backoff="3s", timeout="9s",
        expires="2h", tags=["a", "b"], id="0198c1a2-7d3e-7c44-9f00-1b2c3d4e5f60",
    ).enqueue(1)  # fmt: skip
    row = job.info()
    assert job.id == "0198c1a2-7d3e-7c44-9f00-1b2c3d4e5f60"
    assert (row.state, row.priority, row.queue, row.max_attempts) == (State.SCHEDULED, 7, "mail", 5)
    assert (row.timeout, row.tags) == (timedelta(seconds=9), ("a", "b"))
    assert abs(row.due_at - due) < timedelta(milliseconds=10)
    assert row.expires_at is not None
    assert abs(row.expires_at - row.inserted_at - timedelta(hours=2)) < timedelta(milliseconds=10)
    assert (row.arguments, row.result) == ({"a": 1}, None)
    # The same id again is the same job; with other content it is refused (I12).
    assert ways.thread.options(id=job.id, queue_name="mail").enqueue(1) == job
    with pytest.raises(JobConflict):
        ways.thread.options(id=job.id, queue_name="mail").enqueue(2)


def test_delay_and_priority_order_the_runs(ways: Ways) -> None:
    ways.thread.options(delay="1s").enqueue(1)
    ways.thread.enqueue(2)
    last = ways.thread.options(priority=-5).enqueue(3)
    ways.thread.options(priority=5).enqueue(4)
    with ways.app.worker(threads=1):
        last.result(timeout=10)
        until_done = [row for row in ways.app.jobs(state=State.SCHEDULED)]
        assert len(until_done) <= 1
        for row in ways.app.jobs():
            ways.app.job(row.id).result(timeout=10)
    text = (ways.place.folder / "runs.log").read_text().split("\n")
    assert [line.split()[1] for line in text if line][:3] == ["4", "2", "3"]


def test_jobs_are_paged_without_gaps_while_others_enqueue(ways: Ways) -> None:
    ways.app.enqueue_many(ways.thread.bind(n) for n in range(450))
    found = []
    for row in ways.app.jobs(task="ways:thread"):
        found.append(row.id)
        if len(found) % 100 == 0:
            ways.thread.enqueue(-1)
    assert len(found) == len(set(found)) == 450
    assert found == sorted(found, reverse=True)
    tagged = ways.thread.options(tags=["x"], queue_name="mail").enqueue(1)
    assert [ways.app.job(row.id) for row in ways.app.jobs(tag="x")] == [tagged]
    assert [ways.app.job(row.id) for row in ways.app.jobs(queue="mail")] == [tagged]
    assert list(ways.app.jobs(state="completed")) == []


def test_enqueue_in_the_callers_transaction(ways: Ways) -> None:
    """I2: nothing before the commit, nothing after a rollback."""
    with ways.app.worker():
        with ways.place.engine.transaction() as connection:
            kept = ways.thread.options(connection=connection).enqueue(1)
            assert ways.app.store.get([parse_id(kept.id)]) == [None]
        assert kept.result(timeout=10) == 2
        with pytest.raises(ZeroDivisionError), ways.place.engine.transaction() as connection:
            gone = ways.thread.options(connection=connection).enqueue(2)
            _ = 1 / 0
        with pytest.raises(JobNotFound):
            ways.app.job(gone.id)


def test_a_transaction_of_the_apps_own(ways: Ways) -> None:
    """I2: the program's table and its job, both or neither."""
    orders = f"orders_{os.urandom(4).hex()}"  # a database of the server's is others' as well
    twice = (apsw.ConstraintError, psycopg.errors.UniqueViolation)
    with ways.app.worker():
        with ways.app.transaction() as connection:
            connection.execute(f"CREATE TABLE {orders} (number INTEGER PRIMARY KEY)")
            connection.execute(f"INSERT INTO {orders} VALUES (7)")
            kept = ways.thread.options(connection=connection).enqueue(1)
        assert kept.result(timeout=10) == 2
        with pytest.raises(twice), ways.app.transaction() as connection:
            gone = ways.thread.options(connection=connection).enqueue(2)
            connection.execute(f"INSERT INTO {orders} VALUES (7)")
        with pytest.raises(JobNotFound):
            ways.app.job(gone.id)
        with pytest.raises(StoreRefused, match="pass its connection"), ways.app.transaction():
            ways.thread.enqueue(3)
        assert ways.thread.enqueue(4).result(timeout=10) == 5


def test_a_conflict_among_many_says_what_is_stored(ways: Ways) -> None:
    taken = ways.thread.enqueue(0)
    bound = [ways.thread.bind(n) for n in range(1200)]
    bound[700] = ways.thread.options(id=taken.id).bind(1)
    with pytest.raises(JobConflict, match="the other jobs of its chunk are stored, and the 500 be"):
        ways.app.enqueue_many(bound)
    assert sum(1 for _ in ways.app.jobs()) == 1 + 999


TYPES = """
    import dataclasses, datetime, decimal, enum, pathlib, typing, uuid
    import msgspec, pydantic
    from sidework import Sidework

    app = Sidework()

    @dataclasses.dataclass
    class Point:
        x: int
        y: float

    class Order(msgspec.Struct):
        amount: decimal.Decimal

    class Named(typing.TypedDict):
        name: str

    class Colour(enum.Enum):
        RED = "red"

    class Person(pydantic.BaseModel):
        name: str
        born: datetime.date

    class Square(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        side: int = pydantic.Field(alias="sideLength")

        @pydantic.computed_field
        @property
        def area(self) -> int:
            return self.side**2

    class Money:
        def __init__(self, cents: int) -> None:
            self.cents = cents

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Money) and other.cents == self.cents

    app.register_type(Money, encode=lambda money: money.cents, decode=Money)
    VALUES = {
        "point": (Point, Point(1, 2.5)),
        "order": (Order, Order(decimal.Decimal("1.10"))),
        "named": (Named, {"name": "a"}),
        "colour": (Colour, Colour.RED),
        "person": (Person, Person(name="a", born=datetime.date(2000, 1, 2))),
        "square": (Square, Square(sideLength=3)),
        "money": (Money, Money(250)),
        "when": (datetime.datetime, datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)),
        "span": (datetime.timedelta, datetime.timedelta(seconds=90)),
        "uuid": (uuid.UUID, uuid.UUID(int=7)),
        "bytes": (bytes, b"\\x00\\xff"),
        "set": (set[int], {1, 2}),
        "pair": (tuple[int, str], (1, "a")),
        "path": (pathlib.Path, pathlib.Path("/a/b")),
        "maybe": (int | None, None),
        "nested": (dict[str, list[Point]], {"a": [Point(1, 1.0)]}),
    }

    def declare(name, kind):
        def same(value):
            assert type(value) is type(VALUES[name][1]) and value == VALUES[name][1], value
            return value

        same.__annotations__ = {"value": kind, "return": kind}
        same.__qualname__ = name
        return app.task(same)

    TASKS = {name: declare(name, kind) for name, (kind, _) in VALUES.items()}

    @app.task
    def shapes(a: int, /, b: int, *rest: int, c: int = 3, **more: str) -> list:
        return [a, b, list(rest), c, more]

    if __name__ == "__main__":
        with app.worker():
            for name, task in TASKS.items():
                value = VALUES[name][1]
                got = task.enqueue(value).result(timeout=10)
                assert type(got) is type(value) and got == value, (name, got)
            assert shapes.enqueue(1, 2, 4, 5, c=6, x="y").result(timeout=10) == [1, 2, [4, 5], 6, {"x": "y"}]
            assert shapes.enqueue(1, b=2).result(timeout=10) == [1, 2, [], 3, {}]
        print("all the same")
"""


@pytest.mark.sqlite_alone("arguments are bytes to a store: nothing here depends on which")
def test_every_type_comes_back_as_annotated(place: Place) -> None:
    place.write("types_app.py", TYPES)
    done = place.python("types_app.py")
    assert done.stdout.strip() == "all the same", done.stderr


@pytest.mark.sqlite_alone("the file beside the program")
def test_a_file_as_program_and_as_module_is_one_app(place: Place) -> None:
    """A task of ``__main__`` has the name that it has when imported, and both find one database."""
    example = Path(__file__).parents[2] / "examples" / "hello.py"
    place.write("hello.py", example.read_text())
    place.without_url = True
    done = place.python("hello.py")
    assert done.stdout == "5\n", done.stderr
    place.worker("hello", "--children", "1")
    assert place.sidework("run", "hello:add", "2", "3", "--wait").stdout == "5\n"
    listed = place.sidework("jobs", "list", "--app", "hello.py").stdout.splitlines()[1:]
    assert [line.split("\t")[1] for line in listed] == ["hello:add", "hello:add"]
    assert (place.folder / "hello.sidework.db").exists()


def test_a_job_asks_who_it_is(ways: Ways) -> None:
    with pytest.raises(Exception, match="outside a job"):
        current_job()


def test_forked_programs_go_on_with_the_same_app(ways: Ways) -> None:
    """FAULTS row 31: a preloaded app, forked, enqueues from every process."""
    ways.thread.enqueue(0)
    pids = []
    for n in range(1, 4):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ways.thread.enqueue(n)
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
        ways.thread.enqueue(n * 10)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0, 0]
    assert len(list(ways.app.jobs())) == 7
    assert ways.app.store.check() == []
    with ways.app.worker():
        results = [ways.app.job(row.id).result(timeout=10) for row in ways.app.jobs()]
    assert sorted(results) == [1, 2, 3, 4, 11, 21, 31]
    assert list(itertools.islice(ways.app.jobs(state="available"), 1)) == []


def test_a_preloaded_app_waits_in_each_of_its_processes(ways: Ways) -> None:
    """FAULTS row 31: as under a server that loads the app, uses it and forks; the parent waits meanwhile, and
    enqueues in a transaction of its own."""
    late = ways.wait_thread.enqueue(1)
    waits = threading.Thread(target=late.result, kwargs={"timeout": 20})
    waits.start()
    pids = []
    for n in range(3):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = int(ways.thread.enqueue(n).result(timeout=20) != n + 1)
            finally:
                os._exit(code)
        pids.append(pid)
        with ways.app.transaction() as connection:
            ways.coroutine.options(connection=connection).enqueue(n)
    ways.place.worker("ways", "--children", "1")
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0, 0]
    (ways.place.folder / "go-1").touch()
    waits.join()
    assert late.result(timeout=20) == "went"
    until(lambda: {row.state for row in ways.app.jobs()} == {State.COMPLETED}, "the end of all")
    assert len(list(ways.app.jobs())) == 7


def test_coroutines_that_enqueue_together_each_get_their_own_answer(ways: Ways) -> None:
    """I12: gathered into shared commits, a conflict is told to its caller and to nobody else."""
    taken = ways.thread.enqueue(0)

    async def one(n: int) -> str:
        if n % 50 == 7:
            with pytest.raises(JobConflict):
                await ways.thread.options(id=taken.id).aenqueue(n)
            return taken.id
        return (await ways.thread.aenqueue(n)).id

    async def main() -> list[str]:
        slow = asyncio.create_task(one(1))
        await asyncio.sleep(0)
        slow.cancel()
        return await asyncio.gather(*(one(n) for n in range(300)))

    ids = asyncio.run(main())
    rows = {row.id: row.arguments for row in ways.app.jobs()}
    for n, job in enumerate(ids):
        assert rows[job] == {"a": 0 if n % 50 == 7 else n}


def test_callers_are_answered_whatever_else_is_cancelled(ways: Ways) -> None:
    """A program that cancels every task it does not know cuts off nobody who enqueues."""

    async def main() -> int:
        started = [asyncio.create_task(ways.thread.aenqueue(n)) for n in range(3)]
        for _ in range(20):
            known = {*started, asyncio.current_task()}
            for task in asyncio.all_tasks() - known:
                task.cancel()
            await asyncio.sleep(0)
            started.append(asyncio.create_task(ways.thread.aenqueue(len(started))))
        return len({job.id for job in await asyncio.wait_for(asyncio.gather(*started), 20)})

    assert asyncio.run(main()) == 23
    assert sum(1 for _ in ways.app.jobs()) == 23

"""The app that these tests test: tasks that succeed, fail, wait for each other and never end."""

from __future__ import annotations

import asyncio
import logging
from zoneinfo import ZoneInfo

from sidework import Discard, Retry, Sidework, Snooze, current_job, emit, track

app = Sidework("shop.db")
nights = Sidework("nights.db")
seen: list[str] = []


@app.task(retries=2, backoff="10m")
def mail(to: str, text: str = "welcome") -> str:
    seen.append(to)
    return f"{text}, {to}"


@app.task
async def order(customer: str) -> str:
    await mail.aenqueue(customer)
    return "ordered"


@app.task
async def several(count: int) -> list[str]:
    jobs = [mail.enqueue(f"{number}") for number in range(count)] + [order.enqueue("last")]
    return list(await asyncio.gather(*(job.aresult() for job in jobs)))


@app.task
def outer(count: int) -> list[str]:
    return several.enqueue(count).result(timeout=5)


@app.task
def waits_for_tomorrow() -> str:
    return mail.options(delay="1d").enqueue("late").result()


@app.task(timeout="20ms")
async def slow() -> None:
    await asyncio.sleep(3600)


@app.task
def again() -> None:
    again.enqueue()


@app.task(runner="process")
def ends(how: str) -> int:
    job = current_job()
    if how == "snooze" and len(seen) < 1:
        seen.append("snoozed")
        raise Snooze("1h", "not yet")
    if how == "discard":
        raise Discard("no use")
    if how == "retry":
        raise Retry("later", after="5m")
    if how == "interrupt":
        raise KeyboardInterrupt
    return job.attempt


@app.task
def tells(count: int) -> None:
    for number in track(range(count)):
        emit(number)
    logging.getLogger("shop").warning("all told")


@nights.periodic("0 3 * * *", tz="Europe/Berlin")
@nights.task
def nightly() -> None:
    tick = current_job().tick
    seen.append(
        "by hand" if tick is None else f"{tick.astimezone(ZoneInfo('Europe/Berlin')):%H:%M}"
    )


@app.task
def in_transaction(text: str) -> None:
    with app.transaction() as connection:
        connection.execute("CREATE TABLE texts (text)")
        connection.execute("INSERT INTO texts VALUES (?)", (text,))
        current_job().finish_in(connection, None)


@app.task
def add(left: int, right: int) -> int:
    return left + right

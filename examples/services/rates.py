"""A service of somebody else's, slow and failing: asked gently, again, and not for ever.

python rates.py          # such a service, a worker, and what becomes of each job; README.md has the rest
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Annotated

import httpx

from sidework import Discard, Resource, Retry, Sidework, State, as_completed, injected

SERVICE = os.environ.get("SERVICE", "http://localhost:8010")

jobs = Sidework()
jobs.queue("rates", limit=4)  # so many calls at a time, over all workers


@asynccontextmanager
async def get_client() -> AsyncIterator[httpx.AsyncClient]:
    """One per child of a worker, so that connections are kept."""
    async with httpx.AsyncClient(base_url=SERVICE, timeout=None) as client:
        yield client


Client = Annotated[httpx.AsyncClient, Resource(get_client)]


@jobs.task(
    queue="rates",
    timeout="3s",  # of one attempt: a service that stalls is left
    retries=3,
    backoff=lambda attempt: min(0.25 * 2**attempt, 600),
)
async def rate(currency: str, client: Client = injected) -> Decimal:
    """What a euro costs. What the service cannot do now is tried again, what it never will is discarded."""
    answer = await client.get(f"/rates/{currency}")
    if answer.status_code in (429, 503) and "Retry-After" in answer.headers:
        raise Retry(f"told {answer.status_code}", after=wait_of(answer.headers["Retry-After"]))
    if answer.is_client_error:
        raise Discard(f"told {answer.status_code} {answer.text}")
    answer.raise_for_status()
    return Decimal(answer.json()["rate"])


def wait_of(retry_after: str) -> timedelta:
    """In seconds or until a date, as the service likes; an hour at most."""
    if retry_after.isdigit():
        wait = timedelta(seconds=int(retry_after))
    else:
        wait = parsedate_to_datetime(retry_after) - datetime.now(UTC)
    return min(max(wait, timedelta()), timedelta(hours=1))


if __name__ == "__main__":
    from provider import provider

    with provider(SERVICE) as service, jobs.worker():
        names = ("usd", "busy", "flaky", "stuck", "down", "nothing")
        handed = {rate.options(expires="1h").enqueue(name): name for name in names}
        for job in as_completed(handed):
            print(f"{handed[job]:<8}{job.state} after {len(job.attempts())} failures")
        print("the service is mended, and those that it failed are run again")
        service.mended = True
        dead = [jobs.job(info.id) for info in jobs.jobs(state=State.DISCARDED, task=rate.name)]
        for job in dead:
            job.retry()
        for job in as_completed(dead):
            print(f"{handed[job]:<8}{job.state}")

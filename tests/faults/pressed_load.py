"""The app of rows 21 to 23: jobs that do next to nothing, so that what is measured is the store."""

from sidework import Sidework, current_job

app = Sidework()


@app.task
async def nothing(number: int = 0) -> int:
    return number


@app.task
def in_a_thread(number: int = 0) -> int:
    return number


@app.task(retries=5, backoff="1ms")
def fails_first(number: int = 0) -> int:
    if current_job().attempt == 1:
        raise ValueError("the first time")
    return number


@app.task
def ends_itself(number: int = 0) -> int:
    import psycopg

    from sidework.store.postgres.place import place_of

    with psycopg.connect(place_of(app.url).conninfo) as connection:
        current_job().finish_in(connection, number)
    return -1

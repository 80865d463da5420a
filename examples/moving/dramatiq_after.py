"""The same thumbnails with Sidework: no results backend, no middleware to add; the callback tells of the end.

pip install sidework
sidework worker dramatiq_after & python dramatiq_after.py
"""

from sidework import JobFailure, Sidework

app = Sidework()


@app.task
def thumbnail(picture: str, size: int) -> str:
    return f"{picture}@{size}"


@app.task(timeout="60s")
def publish(place: str, file: str) -> str:
    return f"{place}/{file}"


@app.task(name="told")
def told(failure: JobFailure) -> str:
    attempts = app.job(failure.job_id).info().attempt
    return f"{failure.task} gave up after {attempts - 1} retries"


@app.task(name="scan", retries=1, backoff="100ms", on_failure=told)
def scan(picture: str) -> None:
    raise OSError("no scanner")


if __name__ == "__main__":
    sizes = [thumbnail.enqueue("cat", size) for size in (64, 128)]
    print(*(job.result(timeout=20) for job in sizes))
    shown = publish.enqueue("web", thumbnail.enqueue("dog", 32).output)
    print(shown.result(timeout=20))
    scan.enqueue("cat").wait(timeout=20)
    said = next(app.jobs(task="told"))  # stored together with the end of scan
    print(app.job(said.id).result(timeout=20))

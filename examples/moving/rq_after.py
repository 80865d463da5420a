"""The same report with Sidework: the inputs come as arguments, the callback is a job of its own.

pip install sidework
sidework worker rq_after & python rq_after.py
"""

from sidework import Sidework, current_job, track

app = Sidework()


@app.task(queue="reports")
def count(words: list[str]) -> int:
    return sum(1 for _ in track(words))


@app.task(name="announce", queue="reports")
def announce(words: int) -> str:
    return f"{words} words in all"


@app.task(queue="reports", on_success=announce)
def add_up(parts: list[int]) -> int:
    return sum(parts)


@app.task(queue="reports", retries=2, backoff="0s")
def upload(name: str) -> str:
    if current_job().attempt == 1:
        raise OSError("the line is dead")
    return f"{name} is there"


if __name__ == "__main__":
    parts = [count.enqueue(words) for words in (["one", "two"], ["three"])]
    whole = add_up.enqueue([part.output for part in parts])
    print("words", whole.result(timeout=20))
    print("progress", parts[0].progress.done)
    print(upload.enqueue("report.txt").result(timeout=20))
    told = next(app.jobs(task="announce"))  # stored together with the end of add_up
    print(app.job(told.id).result(timeout=20))

"""A report with RQ: parts that tell how far they are, a sum that depends on them, a callback, a retry.

pip install rq
rq worker --url redis://localhost:6379/0 & python rq_before.py
"""

import os

from redis import Redis
from rq import Callback, Queue, Retry, get_current_job

URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")


def count(words):
    job = get_current_job()
    for done, _ in enumerate(words, 1):
        job.meta["done"] = done
        job.save_meta()
    return len(words)


def add_up():
    return sum(part.return_value() for part in get_current_job().fetch_dependencies())


def announce(job, connection, result):
    connection.set("announced", f"{result} words in all")


def upload(name):
    if get_current_job().retries_left == 2:
        raise OSError("the line is dead")
    return f"{name} is there"


if __name__ == "__main__":
    queue = Queue("reports", connection=Redis.from_url(URL))
    parts = [queue.enqueue("rq_before.count", words) for words in (["one", "two"], ["three"])]
    whole = queue.enqueue(
        "rq_before.add_up", depends_on=parts, on_success=Callback("rq_before.announce")
    )
    print("words", whole.latest_result(timeout=20).return_value)
    print("progress", parts[0].get_meta()["done"])
    sent = queue.enqueue("rq_before.upload", "report.txt", retry=Retry(max=2))
    print(sent.latest_result(timeout=20).return_value)
    print(queue.connection.get("announced").decode())

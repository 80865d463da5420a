"""Thumbnails with Dramatiq: a group, a pipeline, retries with a backoff, a callback at the end of them.

pip install "dramatiq[redis]"
dramatiq dramatiq_before & python dramatiq_before.py
"""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
results = RedisBackend(url=URL)
broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=results))
broker.add_middleware(CurrentMessage())
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def thumbnail(picture, size):
    return f"{picture}@{size}"


@dramatiq.actor(store_results=True, time_limit=60_000)
def publish(place, file):
    return f"{place}/{file}"


@dramatiq.actor(max_retries=1, min_backoff=100, max_backoff=100, on_retry_exhausted="told")
def scan(picture):
    raise OSError("no scanner")


@dramatiq.actor
def told(message, retries):
    results.client.rpush("told", f"scan gave up after {retries['max_retries']} retries")


if __name__ == "__main__":
    sizes = dramatiq.group([thumbnail.message("cat", size) for size in (64, 128)]).run()
    print(*sizes.get_results(block=True, timeout=20_000))
    shown = (thumbnail.message("dog", 32) | publish.message("web")).run()
    print(shown.get_result(block=True, timeout=20_000))
    scan.send("cat")
    print(results.client.blpop("told", timeout=20)[1].decode())

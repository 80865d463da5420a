"""A shop's orders with Celery: prices side by side, a total of them all, a mail that needs a second try.

pip install "celery[redis]"
celery -A celery_before worker --beat & python celery_before.py
"""

import os

from celery import Celery, chord
from celery.schedules import crontab

URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
app = Celery("shop", broker=URL, backend=URL)
app.conf.beat_schedule = {
    "clean up": {"task": "clean_up", "schedule": crontab(hour=3, minute=0), "args": (30,)}
}


@app.task(name="price")
def price(number):
    return 100 * number


@app.task(name="total")
def total(prices):
    return sum(prices)


@app.task(name="receipt")
def receipt(amount, to):
    return f"{to} pays {amount}"


@app.task(name="mail", bind=True, autoretry_for=(OSError,), max_retries=3, default_retry_delay=0.1)
def mail(self, to, text):
    if self.request.retries == 0:
        raise OSError("the mail server is busy")
    return f"{text}, {to}"


@app.task(name="clean_up")
def clean_up(days):
    return f"what is older than {days} days is gone"


if __name__ == "__main__":
    whole = chord([price.s(number) for number in (1, 2, 3)])(total.s())
    print("total", whole.get(timeout=20))
    bill = (price.s(4) | receipt.s("ann")).apply_async()
    print(bill.get(timeout=20))
    sent = mail.apply_async(("ann", "thank you"), countdown=0.1)
    print(sent.get(timeout=20))

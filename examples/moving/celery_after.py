"""The same shop with Sidework: no broker; a worker's clock takes the place of ``celery beat``.

pip install sidework
sidework worker celery_after & python celery_after.py
"""

from sidework import Sidework, current_job

app = Sidework()


@app.task
def price(number: int) -> int:
    return 100 * number


@app.task
def total(prices: list[int]) -> int:
    return sum(prices)


@app.task
def receipt(amount: int, to: str) -> str:
    return f"{to} pays {amount}"


@app.task(retries=3, backoff="100ms", retry_on=OSError)
def mail(to: str, text: str) -> str:
    if current_job().attempt == 1:
        raise OSError("the mail server is busy")
    return f"{text}, {to}"


@app.periodic("0 3 * * *", args=(30,))
@app.task
def clean_up(days: int) -> str:
    return f"what is older than {days} days is gone"


if __name__ == "__main__":
    prices = [price.enqueue(number) for number in (1, 2, 3)]
    whole = total.enqueue([one.output for one in prices])
    print("total", whole.result(timeout=20))
    bill = receipt.enqueue(price.enqueue(4).output, "ann")
    print(bill.result(timeout=20))
    sent = mail.options(delay="100ms").enqueue("ann", "thank you")
    print(sent.result(timeout=20))

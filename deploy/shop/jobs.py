"""The shop's tasks. The store is what ``SIDEWORK_URL`` says."""

from sidework import Sidework

app = Sidework()


@app.task(retries=3, timeout="1m")
def charge(order: int) -> str:
    return f"order {order} is paid"

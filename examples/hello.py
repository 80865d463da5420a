"""The first program: run it by ``python hello.py``; no server, one file."""

from sidework import Sidework

app = Sidework()


@app.task(retries=3)
def add(a: int, b: int) -> int:
    return a + b


if __name__ == "__main__":
    with app.worker():
        print(add.enqueue(2, 3).result(timeout=5))

"""Users' code that type checkers must refuse: on each marked line, and on no other."""

from typing import Annotated

from sidework import JobHandle, Resource, Sidework, injected

app = Sidework()


@app.task
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task
def text(text: str) -> str:
    return text


@app.task(retries="three")  # wrong
def other(a: int) -> str:
    return str(a)


@app.task(on_partition="halt")  # wrong
def third() -> None: ...


@app.task
def given(n: int, text: Annotated[str, Resource(str)] = injected) -> None: ...


given.enqueue("1")  # wrong
given(1, 2)  # wrong
add.enqueue("1")  # wrong
add.options(on_final=print)  # wrong
text(add.enqueue(1).output)  # wrong
text.enqueue(add.enqueue(1).output)  # wrong
add.enqueue(1, 2, 3)  # wrong
add.enqueue(1, c=2)  # wrong
add.bind()  # wrong
add.options(priority=1).enqueue("1")  # wrong
add("1")  # wrong
name: str = add.enqueue(1).result()  # wrong
handle: JobHandle[str] = add.enqueue(1)  # wrong

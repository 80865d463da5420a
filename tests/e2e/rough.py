"""Jobs that do to their process what jobs should not, and some that stand by."""

import asyncio
import contextlib
import contextvars
import io
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

from sidework import BadValue, Sidework, Snooze, current_job

app = Sidework()
HERE = Path(__file__).parent
never = threading.Event()
tenant = contextvars.ContextVar("tenant", default="nobody")


def wrote(what: str) -> None:
    fd = os.open(HERE / "rough.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{what}\n".encode())
    os.close(fd)


def may_go(tag: str) -> bool:
    return (HERE / f"go-{tag}").exists()


@app.task
async def stands_by(tag: str) -> str:
    wrote(f"stands {tag}")
    while not may_go("all"):
        await asyncio.sleep(0.01)
    return tag


@app.task
async def ends_the_loop(how: str) -> str:
    wrote("ends")
    if (HERE / "ended").exists():
        return "behaved"
    (HERE / "ended").touch()
    if how == "exit":

        async def leave() -> None:
            sys.exit(3)

        leaving = asyncio.create_task(leave())
        await asyncio.sleep(5)
        return str(leaving)
    if how == "stop":
        asyncio.get_running_loop().stop()
    else:
        for task in asyncio.all_tasks():
            task.cancel()
    await asyncio.sleep(5)
    return "went on"


@app.task
def leaves_a_fork() -> str:
    if not (HERE / "left").exists():
        multiprocessing.get_context("fork").Process(target=never.wait, args=(600,)).start()
        (HERE / "left").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alone"


@app.task
def terminates_a_fork() -> int:
    # By hand: multiprocessing lets one thread fetch the exit code of another's process, which then
    # reads None (in plain Python: 62 of 600 with ten threads).
    pid = os.fork()
    if pid == 0:
        never.wait(600)
        os._exit(0)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@app.task(on_crash="discard")
def at_most_once() -> None:
    wrote("once")
    never.wait(60)


@app.task
def snoozes_badly(runner: str) -> str:
    if may_go("all"):
        return "awake"
    raise Snooze("50ms", "not \ud800 yet\x00")


@app.task
async def snoozes_badly_on_the_loop() -> str:
    return snoozes_badly.function("loop")


@app.task(retries=1, backoff="1ms", retry_on=[KeyError, ValueError])
def has_a_list_of_errors() -> str:
    if current_job().attempt == 1:
        raise KeyError("first")
    return "second"


@app.task(retries=1, backoff="1ms")
def refuses_a_value() -> str:
    if current_job().attempt == 1:
        raise BadValue("of its own")
    return "second"


@app.task
def real_time_signal() -> None:
    os.kill(os.getpid(), 40)


@app.task
def sets_the_tenant(tag: int) -> str:
    seen = tenant.get()
    tenant.set(f"secret {tag}")
    return seen


@app.task
async def sets_the_tenant_on_the_loop(tag: int) -> str:
    seen = tenant.get()
    tenant.set(f"secret {tag}")
    await asyncio.sleep(0)
    return seen


@app.task
def redirects_stderr() -> None:
    with contextlib.redirect_stderr(io.StringIO()):
        never.wait(1.0)


@app.task(timeout="200ms")
def polite() -> str:
    while not current_job().should_stop:
        never.wait(0.01)
    return "stopped"


@app.task
def writes_into_the_pipe() -> str:
    if (HERE / "wrote").exists():
        return "behaved"
    (HERE / "wrote").touch()
    os.write(int(sys.argv[1]), b"\0\0\0\5hello")
    never.wait(60)
    return "went on"


@app.task
def plain(tag: int) -> int:
    return tag


@app.task
def leaves_an_orphan() -> None:
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)  # its parent is gone a moment later: it is an orphan, and dead
        os._exit(0)
    os.wait()


@app.task
def counts_zombies() -> int:
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            states.append(path.read_text().rpartition(")")[2].split()[0])
    return states.count("Z")


@app.task
def waits_in_a_fork(tag: int) -> None:
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            plain.enqueue(tag).result(timeout=2)
        os._exit(0)
    os.waitpid(pid, 0)


@app.task(on_crash="discard")
def leaves_a_line(tag: int) -> None:
    wrote(f"line {tag}")


@app.task
def waits_for_nobody(timeout: float) -> int:
    return plain.options(queue_name="unserved").enqueue(1).result(timeout=timeout)


@app.task(timeout="300ms")
def waits_too_long() -> int:
    return plain.options(queue_name="unserved").enqueue(1).result()


@app.task(runner="process")
def waits_alone(depth: int) -> int:
    return 1 + waits_alone.enqueue(depth - 1).result(timeout=30) if depth else 0

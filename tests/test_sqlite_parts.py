"""The SQLite engine's parts between processes, with real ones: ticket, life, bells, place."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidework.errors import StoreRefused, StoreUnavailable
from sidework.store.sqlite import bells
from sidework.store.sqlite.bells import Bell, Ringer, folder_for
from sidework.store.sqlite.life import Life, is_dead
from sidework.store.sqlite.place import check_place
from sidework.store.sqlite.ticket import Ticket

Process = subprocess.Popen[str]
Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python process that runs the code; all are killed at the end of the test."""
    started: list[Process] = []

    def begin(code: str, *arguments: str) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(bells.__file__).parents[3])},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def hear(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


# --- ticket ---------------------------------------------------------------------------------------

HOLD_TICKET = """
import sys
from sidework.store.sqlite.ticket import Ticket
with Ticket(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
sys.stdin.readline()
"""

COUNT = """
import sys
from sidework.store.sqlite.ticket import Ticket
ticket = Ticket(sys.argv[1])
for _ in range(300):
    with ticket:
        with open(sys.argv[2]) as file:
            count = int(file.read() or 0)
        with open(sys.argv[2], "w") as file:
            file.write(str(count + 1))
"""


def test_ticket_excludes_between_processes(tmp_path: Path, start: Start) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    counting = [start(COUNT, str(tmp_path / "ticket"), str(counter)) for _ in range(2)]
    assert [process.wait() for process in counting] == [0, 0]
    assert counter.read_text() == "600"


def test_ticket_times_out_and_gives_back_what_comes_late(tmp_path: Path, start: Start) -> None:
    path = str(tmp_path / "ticket")
    holder = start(HOLD_TICKET, path)
    assert hear(holder) == "held"
    ticket = Ticket(path, timeout=0.02)
    for _ in range(2):
        with (
            pytest.raises(StoreUnavailable, match=r"holds the write ticket .* over 0.02 s"),
            ticket,
        ):
            pytest.fail("entered while another process holds the ticket")
    late = [thread for thread in threading.enumerate() if thread.name == "sidework-ticket"]
    assert len(late) == 2
    tell(holder)
    assert hear(holder) == "released"
    for thread in late:
        thread.join(10)
        assert not thread.is_alive()
    with ticket:
        pass
    ticket.close()


def test_ticket_waits_for_its_turn(tmp_path: Path, start: Start) -> None:
    path = str(tmp_path / "ticket")
    holder = start(HOLD_TICKET, path)
    assert hear(holder) == "held"
    turn = threading.Event()

    def take() -> None:
        with Ticket(path):
            turn.set()

    taker = threading.Thread(target=take)
    taker.start()
    assert not turn.is_set()
    tell(holder)
    taker.join(10)
    assert turn.is_set()


def test_ticket_dies_with_its_holder_and_reopens_after_close(tmp_path: Path, start: Start) -> None:
    path = str(tmp_path / "ticket")
    holder = start(HOLD_TICKET, path)
    assert hear(holder) == "held"
    holder.kill()
    holder.wait()
    ticket = Ticket(path)
    for _ in range(2):
        with ticket, pytest.raises(StoreUnavailable), Ticket(path, timeout=0.01):
            pytest.fail("entered a ticket that is held")
        ticket.close()


def test_ticket_without_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="No such file"), Ticket(str(tmp_path / "no" / "t")):
        pytest.fail("entered without a file")


# --- life -----------------------------------------------------------------------------------------

LIVE = """
import sys
from sidework.store.sqlite.life import Life
life = Life(sys.argv[1], "w")
print(life.path, flush=True)
sys.stdin.readline()
life.close()
"""

HOLD_CHILD = """
import sys
from sidework.child.life import hold
hold(sys.argv[1], 0)
print("held", flush=True)
sys.stdin.readline()
"""

# The forked process says when it is there and then outlives the worker, which is killed.
LIVE_AND_FORK = """
import os, sys
from sidework.store.sqlite.life import Life
life = Life(sys.argv[1], "w")
if os.fork() == 0:
    life.close()
    print(life.path, flush=True)
    sys.stdin.readline()
    os._exit(0)
os.wait()
"""

# A worker whose child asks to die with it; the pipe's end is seen when the last of them is gone.
PARENT_AND_CHILD = """
import os, signal
from sidework.child.life import die_with_parent
worker = os.getpid()
if os.fork() == 0:
    die_with_parent(worker)
    print("ready", flush=True)
signal.pause()
"""

ORPHAN = """
from sidework.child.life import die_with_parent
die_with_parent(1 << 30)
print("still here")
"""


def test_killed_worker_is_dead(tmp_path: Path, start: Start) -> None:
    worker = start(LIVE, str(tmp_path / "lives"))
    path = hear(worker)
    assert not is_dead(path)
    worker.kill()
    worker.wait()
    assert is_dead(path)


def test_worker_that_ends_leaves_no_file(tmp_path: Path, start: Start) -> None:
    worker = start(LIVE, str(tmp_path))
    path = hear(worker)
    tell(worker)
    assert worker.wait() == 0
    assert list(tmp_path.iterdir()) == []
    assert is_dead(path)


def test_child_keeps_the_worker_from_being_dead(tmp_path: Path, start: Start) -> None:
    worker = start(LIVE, str(tmp_path))
    path = hear(worker)
    child = start(HOLD_CHILD, path)
    assert hear(child) == "held"
    worker.kill()
    worker.wait()
    assert not is_dead(path)
    child.kill()
    child.wait()
    assert is_dead(path)


def test_forked_process_neither_keeps_nor_drops_the_lock(tmp_path: Path, start: Start) -> None:
    worker = start(LIVE_AND_FORK, str(tmp_path))
    path = hear(worker)  # the fork has closed its copy of the descriptor and the Life
    assert os.path.exists(path)
    assert not is_dead(path)
    worker.kill()
    worker.wait()
    assert is_dead(path)
    tell(worker)  # the fork lived until here: it reads this and goes
    assert hear(worker) == ""


def test_stopped_worker_is_not_dead(tmp_path: Path, start: Start) -> None:
    worker = start(LIVE, str(tmp_path))
    path = hear(worker)
    worker.send_signal(signal.SIGSTOP)
    os.waitpid(worker.pid, os.WUNTRACED)
    assert not is_dead(path)


def test_probing_ones_own_file_does_not_drop_the_lock(tmp_path: Path, start: Start) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    life = Life(str(tmp_path), "own")
    assert not is_dead(life.path)
    assert not is_dead(str(tmp_path / "link" / life.name))
    probe = (
        "import sys; from sidework.store.sqlite.life import is_dead; print(is_dead(sys.argv[1]))"
    )
    assert hear(start(probe, life.path)) == "False"
    with pytest.raises(StoreRefused, match="File exists"):
        Life(str(tmp_path), "own")
    assert hear(start(probe, life.path)) == "False"
    life.close(remove=False)
    life.close()
    assert is_dead(life.path)


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems do not tell when a process began"
)
def test_a_worker_whose_file_was_removed_is_told_by_its_process(
    tmp_path: Path, start: Start
) -> None:
    worker = start(LIVE, str(tmp_path))
    path = hear(worker)
    os.unlink(path)
    assert not is_dead(path)
    # Another process of that number, which began at another time, is not it.
    pid, began, word = os.path.basename(path).split("-")
    assert is_dead(os.path.join(tmp_path, f"{pid}-{int(began) - 1}-{word}"))
    worker.kill()
    worker.wait()
    assert is_dead(path)


def test_a_life_knows_whether_its_file_is_there(tmp_path: Path) -> None:
    life = Life(str(tmp_path), "own")
    assert life.is_there()
    os.rename(life.path, tmp_path / "moved")
    assert not life.is_there()
    (tmp_path / life.name).touch()
    assert not life.is_there()
    life.close()
    assert os.path.exists(life.path)  # it is not its own


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_child_dies_with_its_parent(start: Start) -> None:
    worker = start(PARENT_AND_CHILD)
    assert hear(worker) == "ready"
    worker.kill()
    assert hear(worker) == ""


def test_child_of_a_dead_parent_exits(start: Start) -> None:
    orphan = start(ORPHAN)
    assert hear(orphan) == ""
    assert orphan.wait() == 0


# --- bells ----------------------------------------------------------------------------------------

LISTEN = """
import sys
from sidework.store.sqlite.bells import Bell
bell = Bell(sys.argv[1], "work")
print("listening", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # pytest's own folders are too long for a socket's path; this one is short and in them.
    monkeypatch.chdir(tmp_path)
    return "."


def test_bell_rings_its_kind_with_its_payload(folder: str) -> None:
    work, done, ringer = Bell(folder, "work"), Bell(folder, "done"), Ringer(folder)
    assert (len(ringer._list("work")), len(ringer._list("done"))) == (1, 1)
    ringer.ring("done", b"i" * 16)
    ringer.ring("done", b"i" * (16 * bells.MAX_IDS))
    ringer.ring("done", b"i" * (16 * bells.MAX_IDS + 16))
    ringer.ring("work")
    assert select.select([work, done], [], [], 0)[0] == [work, done]
    assert done.read() == [b"i" * 16, b"i" * (16 * bells.MAX_IDS), b""]
    assert work.read() == [b""]
    assert work.read() == []
    later = Bell(folder, "work")
    ringer.ring("work")
    assert (work.read(), later.read()) == ([b""], [b""])
    for bell in (work, done, later):
        bell.close()
    assert os.listdir(folder) == []
    ringer.ring("work")
    ringer.close()
    ringer.ring("work")


def test_socket_of_a_killed_process_is_removed(folder: str, start: Start) -> None:
    listener = start(LISTEN, folder)
    assert hear(listener) == "listening"
    listener.kill()
    listener.wait()
    ringer = Ringer(folder)
    assert len(ringer._list("work")) == 1
    ringer.ring("work")
    assert len(ringer._list("work")) == 0
    assert os.listdir(folder) == []
    ringer.close()


def test_full_bell_neither_blocks_nor_silences_others(folder: str) -> None:
    deaf, ringer = Bell(folder, "done"), Ringer(folder)
    payload = b"i" * (16 * bells.MAX_IDS)
    for _ in range(1200):
        ringer.ring("done", payload)
    other = Bell(folder, "done")
    ringer.ring("done", payload)
    # The send buffer was used up by the deaf one's datagrams, and still the other one was rung.
    assert len(other.read()) == 1
    while deaf.read():
        pass
    ringer.ring("done", b"j" * 16)
    assert deaf.read() == [b""]  # it missed some: look at everything
    ringer.ring("done", b"j" * 16)
    assert deaf.read() == [b"j" * 16]
    for closing in (deaf, other, ringer):
        closing.close()


def test_threads_ring_a_full_bell_together(folder: str) -> None:
    """No one waits for a listener, and no one stumbles over a socket that another has closed."""
    full, ringer = [Bell(folder, "work") for _ in range(2)], Ringer(folder)
    wrong: list[Exception] = []

    def ring() -> None:
        try:
            for _ in range(200):
                ringer.ring("work")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            wrong.append(error)

    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=ring, daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    finally:
        sys.setswitchinterval(often)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    for closing in (*full, ringer):
        closing.close()


def test_without_a_descriptor_a_bell_is_silent(folder: str, start: Start) -> None:
    code = """
import os, resource, sys
from sidework.store.sqlite.bells import Bell, Ringer
most = max(map(int, os.listdir("/proc/self/fd"))) + 1
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
taken = []
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
bell, ringer = Bell(sys.argv[1], "work"), Ringer(sys.argv[1])
ringer.ring("work")
print(bell.fileno(), bell.read(), flush=True)
bell.close()
"""
    assert hear(start(code, folder)) == "-1 []"


def test_forked_copy_leaves_the_bell_its_name(folder: str, start: Start) -> None:
    code = """
import os, sys
from sidework.store.sqlite.bells import Bell
bell = Bell(sys.argv[1], "work")
if os.fork() == 0:
    bell.close()
    os._exit(0)
os.wait()
print(len(os.listdir(sys.argv[1])))
"""
    assert hear(start(code, folder)) == "1"


def test_folder_is_private_and_one_per_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "_MAX_PATH", 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    first = folder_for(str(tmp_path / "a.db"))
    assert first == folder_for(str(tmp_path / "link.db")) != folder_for(str(tmp_path / "b.db"))
    assert os.path.dirname(first) == str(tmp_path / "sidework")
    assert os.stat(first).st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fallen_back = folder_for(str(tmp_path / "a.db"))
    assert os.path.dirname(fallen_back) == str(tmp_path / f"sidework-{os.geteuid()}")


def test_without_a_folder_of_ours_bells_are_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(bells, "_MAX_PATH", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    planted = tmp_path / f"sidework-{os.geteuid()}"
    planted.symlink_to(tmp_path / "elsewhere")
    assert folder_for("/x.db") == ""
    planted.unlink()
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    assert folder_for("/x.db") == ""
    monkeypatch.undo()
    monkeypatch.setattr("tempfile.tempdir", "/" + "x" * 90)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert folder_for("/x.db") == ""
    for nowhere in ("", str(tmp_path / "missing"), str(tmp_path / ("y" * 120))):
        bell, ringer = Bell(nowhere, "work"), Ringer(nowhere)
        ringer.ring("work")
        assert select.select([bell], [], [], 0)[0] == []
        assert (bell.read(), len(ringer._list("work"))) == ([], 0)
        bell.close()
        ringer.close()


# --- place ----------------------------------------------------------------------------------------


def mounts(*points: tuple[str, str]) -> str:
    lines = ["1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
    for point, kind in points:
        lines.append(f"2 1 0:50 / {point} rw shared:2 master:1 - {kind} server:/export rw")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    folder = tmp_path.resolve() / "a b\\c"
    folder.mkdir()
    escaped = str(folder).replace("\\", "\\134").replace(" ", "\\040")
    with pytest.raises(StoreRefused, match="locks do not hold there; put the file") as refused:
        check_place(str(folder / "x.db"), mounts((escaped, kind)))
    assert f"({kind}, mounted at {folder})" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_longest_and_latest_mount_decides(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    database = str(folder / "x.db")
    outer = str(folder.parent)
    check_place(database, mounts())
    check_place(database, mounts((str(folder), "ext4"), (outer, "nfs")))
    check_place(database, mounts((str(folder)[:-1], "nfs")))
    check_place(database, mounts((str(folder), "nfs"), (str(folder), "xfs")))
    with pytest.raises(StoreRefused):
        check_place(database, mounts((str(folder), "xfs"), (str(folder), "nfs")))
    check_place(database, "")


def test_link_into_a_network_file_system_is_refused(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    (folder / "far").mkdir()
    (folder / "near.db").symlink_to(folder / "far" / "x.db")
    with pytest.raises(StoreRefused, match="network"):
        check_place(str(folder / "near.db"), mounts((str(folder / "far"), "nfs")))


def test_folder_must_be_there_and_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreRefused, match="there is no folder"):
        check_place(str(tmp_path / "no" / "x.db"), mounts())
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(StoreRefused, match="not writable"):
        check_place(str(tmp_path / "x.db"), mounts())

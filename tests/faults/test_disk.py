"""Rows 18 to 20 can fail: stores that break the promise are found out; and a bug that stays away."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from sidework.errors import StoreError, StoreRefused, StoreUnavailable
from sidework.job import Inserted, NewJob
from sidework.store.sqlite import session
from sidework.store.sqlite.engine import SqliteStore

from .damage import DB, bases, look
from .disk import Disk, Fault, Mark, no_fault
from .failing import failing_disk
from .platter import Platter
from .power import cut, record
from .traffic import fill


def test_a_power_cut_finds_a_disk_that_only_says_synced(tmp_path: Path) -> None:
    told = record(tmp_path, {}, 1, steps=60)
    figures, _ = cut(told, tmp_path / "image", 40, 1, honest=False)
    assert figures["lost"]
    assert figures["corrupt"]
    honest, _ = cut(told, tmp_path / "image", 40, 1)
    assert honest["bad"] == []


def _opened_with(synchronous: str) -> Callable[..., apsw.Connection]:
    real = session.open_connection

    def opened(path: str, *, create: bool, durable: bool) -> apsw.Connection:
        connection = real(path, create=create, durable=durable)
        connection.pragma("synchronous", synchronous)
        return connection

    return opened


def test_a_power_cut_finds_a_store_that_does_not_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as planted:
        planted.setattr(session, "open_connection", _opened_with("OFF"))
        never = record(tmp_path, {}, 1, steps=60)
    figures, _ = cut(never, tmp_path / "image", 40, 1)
    assert figures["lost"]
    assert figures["corrupt"]


def test_a_power_cut_finds_a_store_that_syncs_at_checkpoints_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's usual setting for WAL: what it loses is whole, so nothing but the promise breaks."""
    with monkeypatch.context() as planted:
        planted.setattr(session, "open_connection", _opened_with("NORMAL"))
        late = record(tmp_path, {}, 1, steps=60)
    figures, _ = cut(late, tmp_path / "image", 40, 1)
    assert figures["lost"]
    assert figures["corrupt"] == 0


def test_a_failing_disk_finds_a_false_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SqliteStore.insert

    def hopeful(self: SqliteStore, jobs: Sequence[NewJob], now: Any = None) -> list[Inserted]:
        try:
            return real(self, jobs, now)
        except StoreError:
            return [Inserted(job.id, "stored") for job in jobs]

    monkeypatch.setattr(SqliteStore, "insert", hopeful)
    assert any(
        "was acknowledged and is not there" in one for one in failing_disk(tmp_path, 60, 1)["bad"]
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_failed_sync_takes_nothing_with_it_that_came_later(tmp_path: Path, seed: int) -> None:
    """A commit whose sync failed must not be taken for good from the page cache: what is acknowledged
    behind it in the log would be gone with it at a power cut."""
    fill(tmp_path / "disk", {})
    draw = random.Random(seed)
    jobs = [NewJob(draw.randbytes(16), "app:work", bytes(500)) for _ in range(13)]
    with Disk(str(tmp_path / "disk")) as disk:
        store = SqliteStore(str(tmp_path / "disk" / "jobs.db"))
        store.insert(jobs[:5])
        disk.fault = Fault("sync", "", 1, 1_000_000, apsw.SQLITE_IOERR_FSYNC)
        for job in jobs[5:8]:
            with pytest.raises(StoreUnavailable, match="may be stored or not"):
                store.insert([job])
        disk.fault = no_fault
        for job in jobs[8:]:
            store.insert([job])
        platter = Platter({}, draw)
        for event in disk.events:
            if not isinstance(event, Mark):
                platter.step(event)
        store.close()
    fill(tmp_path / "image", platter.image(draw))
    store = SqliteStore(str(tmp_path / "image" / "jobs.db"))
    acknowledged = [job.id for job in jobs[:5] + jobs[8:]]
    assert all(row is not None for row in store.get(acknowledged))
    assert store.check() == []
    store.close()


def test_a_new_disk_in_the_old_ones_place_is_taken(tmp_path: Path) -> None:
    """Even by a store that holds on to a doubtful commit; and the new disk's log is left alone."""
    folder = tmp_path / "disk"
    path = folder / "jobs.db"
    one, two, three, four = (NewJob(bytes([n]) * 16, "app:work", b"x") for n in range(4))
    fill(tmp_path / "new", {})
    other = SqliteStore(str(tmp_path / "new" / "jobs.db"))
    other.insert([one])
    fill(folder, {})
    with Disk(str(folder)) as disk:
        store = SqliteStore(str(path))
        disk.fault = Fault("sync", "", 1, 1_000_000, apsw.SQLITE_IOERR_FSYNC)
        with pytest.raises(StoreUnavailable):
            store.insert([two])
        (tmp_path / "new").rename(tmp_path / "mounted")
        folder.rename(tmp_path / "dead")
        (tmp_path / "mounted").rename(folder)
        with pytest.raises(StoreRefused, match="replaced while it was open"):
            store.insert([three])
        disk.fault = no_fault
        assert (folder / "jobs.db-wal").exists()
        store.insert([four])
        found = store.get([one.id, two.id, three.id, four.id])
        assert [row is not None for row in found] == [True, False, False, True]
        store.close()
    other.close()


def test_a_damaged_file_finds_an_error_that_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = bases(tmp_path, 1)
    broken = {DB: re.sub(b"(?<!')completed", b"compl\xffted", base.closed[DB])}  # not the schema's
    assert look(tmp_path / "damaged", "a bit", broken, base.history) == ("told", [])
    monkeypatch.setattr(session.Session, "_damage", lambda self, error: None)
    _, bad = look(tmp_path / "damaged", "a bit", broken, base.history)
    assert "is not one of ours" in bad[0]


def test_a_damaged_file_finds_what_nothing_told(tmp_path: Path) -> None:
    base = bases(tmp_path, 1)
    other, bad = look(tmp_path / "damaged", "a bit", base.stranger, base.history)
    assert other == "unseen"
    assert bad

"""A periodic as a program sees it: how it stands in the store, and what can be done with it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from ..clock import Millis, now_ms, to_datetime
from ..errors import PeriodicNotFound, SideworkError
from ..handle import JobHandle
from ..ids import new_id
from ..periodic import Periodic, PeriodicRow
from ..url import shown

if TYPE_CHECKING:
    from .app import Sidework


class PeriodicEntry:
    """One periodic of a store, as it stood when it was read. ``app.periodics()`` gives all."""

    def __init__(self, app: Sidework, row: PeriodicRow) -> None:
        self._app = app
        self._row = row
        self._entry = row.entry

    def __repr__(self) -> str:
        return f"<periodic {self.name}: {self.state}>"

    @property
    def name(self) -> str:
        """The one given, else the task's and the schedule."""
        return self._row.name

    @property
    def task(self) -> str:
        """The name of the task that it enqueues."""
        return self._entry.job.task

    @property
    def schedule(self) -> str:
        """The cron expression, or ``every ...``."""
        return self._entry.schedule.text

    @property
    def tz(self) -> str:
        """The zone that its cron expression is about."""
        return self._entry.schedule.tz

    @property
    def state(self) -> str:
        """``active``, ``paused``, ``ended`` or ``retired``."""
        return self._row.state

    @property
    def next_at(self) -> datetime | None:
        """Its next tick, in UTC; ``None`` while it has none."""
        return _moment(self._row.next())

    @property
    def last_at(self) -> datetime | None:
        """The last tick that got a job, in UTC."""
        return _moment(self._row.last_at)

    @property
    def paused_by(self) -> str | None:
        """Who paused it."""
        return self._row.paused_by

    @property
    def paused_why(self) -> str | None:
        """Why it is paused."""
        return self._row.paused_why

    def ticks(self, count: int = 5) -> list[datetime]:
        """Its next ticks from now on, in its zone."""
        return next_ticks(self._entry, now_ms(), count)

    def run(self) -> JobHandle[Any]:
        """Enqueue one job now; its ticks go on as they are. ``SideworkError`` when it is retired."""
        refuse_retired(self._row)
        task = self._app.registry.find(self.task)
        returns = Any if task is None else task.signature.returns
        return self._app.desk.submit(replace(self._entry.job, id=new_id()), returns, None)

    def pause(self, why: str = "", by: str = "code") -> None:
        """Let no tick fire until it is resumed, also over restarts and new versions of the code; ``why`` and
        ``by`` are told to whoever asks."""
        if not self._app.store.periodics.pause(self.name, by, why):
            raise not_found(self.name, self._app.url)

    def resume(self) -> bool:
        """Let it fire again, from its next tick on; False when it was not paused."""
        return self._app.store.periodics.resume(self.name)


def next_ticks(entry: Periodic, moment: Millis, count: int) -> list[datetime]:
    """Ticks of an entry after a moment, in its zone."""
    zone = ZoneInfo(entry.schedule.tz)
    ticks = zip(range(count), entry.schedule.ticks(moment), strict=False)
    return [to_datetime(tick).astimezone(zone) for _, tick in ticks]


def refuse_retired(row: PeriodicRow) -> None:
    """``SideworkError`` for one whose task may not even be there any more."""
    if row.retired_at is not None:
        raise SideworkError(
            f"periodic {row.name} is retired: no worker's code declares it any more"
        )


def not_found(name: str, url: str) -> PeriodicNotFound:
    """The error for a name that no periodic has."""
    return PeriodicNotFound(
        f"there is no periodic {name!r} in {shown(url)}: a worker declares them when it starts; "
        "sidework periodic list shows those that there are"
    )


def _moment(millis: Millis | None) -> datetime | None:
    return None if millis is None else to_datetime(millis)

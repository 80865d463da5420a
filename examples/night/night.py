"""Reports by night and maintenance: what the clock runs, in the zone of each shop.

python night.py          # when it will run, and all of it once, now; README.md has the rest
"""

import csv
import os
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sidework import Sidework, current_job

REPORTS = Path(__file__).with_name("reports")
ZONES = {"berlin": ZoneInfo("Europe/Berlin"), "newyork": ZoneInfo("America/New_York")}

jobs = Sidework()
# How a value is left open in SQL: psycopg's way, or that of SQLite.
VALUE = "%s" if jobs.url.startswith("postgresql:") else "?"


@jobs.periodic(
    "30 2 * * *", tz="Europe/Berlin", args=("berlin",), name="sales-berlin", misfire="all"
)
@jobs.periodic(
    "30 2 * * *", tz="America/New_York", args=("newyork",), name="sales-newyork", misfire="all"
)
@jobs.task(queue="reports", retries=5)
def sales(shop: str) -> str:
    """Of the day before its tick, by the shop's own calendar, also when it runs hours or days late."""
    tick = current_job().tick or datetime.now(UTC)
    day = tick.astimezone(ZONES[shop]).date() - timedelta(days=1)
    with jobs.transaction() as connection:
        orders, cents = connection.execute(
            "SELECT count(*), coalesce(sum(cents), 0) FROM orders"
            f" WHERE shop = {VALUE} AND at >= {VALUE} AND at < {VALUE}",
            (shop, *hours_of(day, ZONES[shop])),
        ).fetchone()
        connection.execute(
            f"INSERT INTO sales VALUES ({VALUE}, {VALUE}, {VALUE}, {VALUE}) ON CONFLICT (shop, day)"
            " DO UPDATE SET orders = excluded.orders, cents = excluded.cents",
            (shop, day.isoformat(), orders, cents),
        )
        file = written(f"{shop}-{day}.csv", [("orders", "cents"), (orders, cents)])
        # The row and the end of this job: both or neither.
        current_job().finish_in(connection, str(file))
    return str(file)


def hours_of(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """From midnight to midnight, in seconds since 1970: 23 or 25 hours when clocks are changed."""
    first, last = (
        int(datetime.combine(midnight, time.min, zone).timestamp())
        for midnight in (day, day + timedelta(days=1))
    )
    return first, last


def written(name: str, rows: list[tuple[object, ...]]) -> Path:
    """The file, whole or not at all: who reads it meanwhile sees the one before."""
    REPORTS.mkdir(exist_ok=True)
    part = REPORTS / f"{name}.{current_job().id}.part"
    with open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
        file.flush()
        os.fsync(file.fileno())
    return part.replace(REPORTS / name)


@jobs.periodic(every="5s", overlap="skip", name="sweep")
@jobs.task(timeout="10m")
def sweep() -> int:
    """Baskets that were left for a month, a few at a time; while one sweep runs, no other begins."""
    left = int(datetime.now(UTC).timestamp()) - 30 * 24 * 3600
    with jobs.transaction() as connection:
        gone = connection.execute(
            f"DELETE FROM baskets WHERE id IN (SELECT id FROM baskets WHERE at < {VALUE} LIMIT 1000)"
            " RETURNING id",
            (left,),
        ).fetchall()
    return len(gone)


def make_tables() -> None:
    with jobs.transaction() as connection:
        for table in (
            "orders (shop TEXT, at BIGINT, cents BIGINT)",
            "sales (shop TEXT, day TEXT, orders BIGINT, cents BIGINT, PRIMARY KEY (shop, day))",
            "baskets (id BIGINT PRIMARY KEY, at BIGINT)",
        ):
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")


if __name__ == "__main__":
    make_tables()
    with jobs.worker():
        for entry in jobs.periodics():
            print(
                entry.name, "next at", entry.ticks(1)[0], "and now:", entry.run().result(timeout=30)
            )

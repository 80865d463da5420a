"""The rows of the fault table that can be repeated at will. Each returns its figures; ``bad`` must be
empty, and ``landed`` says how many faults found something to break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .backends import killed_backends
from .backlog import deep_backlogs
from .bells import cut_bells
from .blocked import blocked_children
from .clocks import clock_jumps
from .conflicts import conflicts
from .crashes import crash_points
from .crowds import crowds
from .cuts import partitions
from .damage import damaged_files
from .drains import drains
from .failing import failing_disk
from .fans import fans
from .field import Figures
from .finishing import ends_in_postgres_transactions, ends_in_transactions
from .flooding import floods
from .hostile import hostile_values
from .hung import hung_jobs
from .kills import killed_postgres_workers, killed_producers, killed_workers
from .migrating import migrations_under_load
from .narrow import narrow_queues
from .outages import outages
from .pinned import pinned_horizon
from .poison import poison_jobs
from .power import power_cuts
from .replies import lost_replies
from .restarts import restarts
from .sharing import eight_writers, forks
from .stops import stopped_workers
from .ticking import ticks

ROWS: dict[int, tuple[Callable[[Path, int, int], Figures], int, int, str]] = {
    # row: (what, size of the smoke, size of the full run, the figure to reach)
    1: (killed_workers, 3, 1000, "100,000 jobs, 1,000 landed kills: 0 lost, recovery p99 ≤ 2 s"),
    2: (
        killed_postgres_workers,
        3,
        500,
        "50,000 jobs, 500 kills: 0 lost, recovery p99 ≤ lease + 1 s",
    ),
    3: (crash_points, 8, 380, "10 times all points, both engines, each shown to be hit"),
    4: (killed_producers, 5, 5000, "5,000 kills: 0 violations"),
    5: (lost_replies, 400, 50_000, "50,000 jobs, 5 % of all replies: 0 double, 0 lost"),
    6: (
        restarts,
        2,
        100,
        "100 restarts: 0 lost, 0 worker exits, going again ≤ 3 s",
    ),
    7: (
        killed_backends,
        40,
        2000,
        "2,000 kills: 0 lost, bells back ≤ 2 s",
    ),
    8: (partitions, 1, 100, "100: every stale write refused, nothing to be stopped ran on"),
    9: (stopped_workers, 1, 500, "500: all stale writes refused, 0 lost"),
    10: (
        blocked_children,
        12,
        300,
        "200 blocked loops, 100 held GILs: 0 run again, told with stack or job ≤ 1 s",
    ),
    11: (clock_jumps, 5, 200, "200: 0 early or missed rescues"),
    12: (
        poison_jobs,
        4,
        50,
        "50 in 10,000: 3 runs each, neighbours ≤ 1 extra, the worker never dies",
    ),
    13: (
        hung_jobs,
        8,
        200,
        "200: process ended ≤ timeout + grace, thread flagged ≤ 1 s, places come back",
    ),
    14: (drains, 3, 300, "300: 0 lost, 0 spent"),
    16: (migrations_under_load, 2, 40, "20 each: 0 errors surface, 0 jobs run again"),
    17: (eight_writers, 2, 600, "10 min: min/max share ≥ 0.7, p99.9 ≤ 100 ms"),
    18: (power_cuts, 40, 10_000, "10,000 cuts: 0 lost, 0 corrupt"),
    19: (failing_disk, 40, 2000, "2,000 points: 0 false acknowledgements"),
    20: (damaged_files, 25, 200, "200 mutations: all detected or harmless"),
    21: (
        deep_backlogs,
        5000,
        10_000_000,
        "1M and 10M jobs: claim p99 ≤ 1.5 × that of 1,000, both engines",
    ),
    22: (pinned_horizon, 1, 600, "500 jobs/s for 10 min: ≥ 80 % of unpinned, also when draining"),
    23: (
        cut_bells,
        3,
        500,
        "500 each: 0 stuck, pickup p99 ≤ poll + 100 ms",
    ),
    24: (conflicts, 400, 50_000, "50,000 jobs, 1 % of all statements: 0 surface"),
    25: (ticks, 2, 599, "all zones, 2020 to 2035, five schedulers: 0 double, 0 missed"),
    26: (
        crowds,
        1000,
        10_000,
        "10,000 failures at once: the busiest second ≤ 2 × an even spread",
    ),
    27: (hostile_values, 25, 2000, "2,000 examples: identical or a typed refusal, no process dies"),
    28: (
        floods,
        4,
        2000,
        "2,000 jobs of 6,250 words: what is kept is bounded, memory and files flat",
    ),
    29: (
        narrow_queues,
        2,
        500,
        "500 kills: 0 over a limit, 0 places or keys lost, 0 of a key at once",
    ),
    31: (forks, 20, 1000, "1,000 forks: 0 acknowledged lost, 0 corrupt"),
    32: (outages, 1, 20, "20 of 3 leases: 0 rescues of living workers, held results land"),
    34: (
        ends_in_transactions,
        8,
        1000,
        "1,000 kills: 0 effects lost, doubled or without their job",
    ),
    35: (
        ends_in_postgres_transactions,
        3,
        500,
        "500 kills: 0 effects lost, doubled or without their job",
    ),
    36: (fans, 2, 20, "20 fans of 10,000: each ends and calls back exactly once"),
}

"""Row 5: the server has committed, and the answer is lost with its connection."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

from servers.plan import Plan
from servers.proxy import Proxy
from sidework.tasks.task import Bound

from . import checker
from .field import Field, Figures, until
from .ground import Ground, database_of, url_of
from .kills import WORDS
from .producing import Producers

SWALLOWED = 0.05


def lost_replies(folder: Path, size: int, seed: int) -> Figures:
    """Row 5: the reply lost after COMMIT, for 5 % of all that clients and workers say. ``size`` jobs."""
    draw = random.Random(seed)
    with (
        Ground("postgres") as ground,
        Field(folder, url=(direct := ground.store(folder))) as field,
        Proxy(ground.server, Plan(seed, swallow=SWALLOWED)) as proxy,
    ):
        url = url_of(proxy, database_of(direct))
        field.env = field.environment(folder, url)
        workers = [field.worker(*WORDS, log=folder / "workers.log") for _ in range(2)]

        def bind() -> Bound[Any]:
            return draw.choice([field.load.work, field.load.coroutine]).bind(draw.randint(0, 5))

        with Producers(url, bind, most=size) as producers:
            producers.join()
        told = producers.told
        until(lambda: field.counts() == {"completed": size}, "the end of all jobs", 60 + size / 50)
        bad = field.stop(*workers)
        rows, ran = field.rows(), checker.runs(folder / "runs.log")
        swallowed = [one for one in proxy.history if one.kind == "swallow"]
        # Nothing died, so nothing may have run twice, nor have cost an attempt.
        bad += checker.violations(told, ran, rows, deaths=[], in_flight=0, asked=told)
        bad += [f"{job}: attempt {row.attempt}" for job, row in rows.items() if row.attempt != 1]
        bad += [f"a caller was told: {one}" for one in producers.refusals]
        bad += field.app.store.check()
    by = Counter(one.tag.split()[0] for one in swallowed)
    return {
        "jobs": len(told), "landed": len(swallowed), "of them enqueues": by["INSERT"],
        "of turns": by["COMMIT"], "of others": len(swallowed) - by["INSERT"] - by["COMMIT"],
        "extra runs": len(ran) - len({run.job for run in ran}), "bad": bad,
    }  # fmt: skip

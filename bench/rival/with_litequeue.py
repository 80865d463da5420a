"""litequeue: a queue alone. The loop around it is this program's."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import contract
from litequeue import LiteQueue


class LitequeueRival:
    async def install(self, url: str) -> None:
        LiteQueue(url)

    async def open(self, url: str) -> None:
        self.queue = LiteQueue(url)

    async def put(self, task: str, n: int) -> None:
        self.queue.put(json.dumps([task, n]))

    async def put_many(self, task: str, numbers: Sequence[int]) -> None:
        for n in numbers:
            self.queue.put(json.dumps([task, n]))

    async def work(self, url: str, many: int, processes: int) -> None:
        queue, looked = LiteQueue(url), time.monotonic()
        while True:
            message = queue.pop()
            if message is not None:
                contract.run_here(*json.loads(message.data))
                queue.done(message.message_id)
            else:
                time.sleep(0.001)
            if contract.SAFE and time.monotonic() - looked > 1:
                looked = time.monotonic()
                for late in list(queue.list_locked(contract.SOON)):
                    queue.retry(late.message_id)


if __name__ == "__main__":
    contract.main(LitequeueRival())

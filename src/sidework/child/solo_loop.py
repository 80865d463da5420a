"""The event loop of a solo child: one for its life, so that resources live on it, yet what a job has left
there ends with the job. It runs only while it is asked to run something."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class SoloLoop:
    """Made when first needed. ``kept`` are the tasks that outlive whoever started them."""

    def __init__(self, kept: Callable[[], Collection[asyncio.Task[Any]]]) -> None:
        self._runner = asyncio.Runner()
        self._kept = kept

    def run(
        self, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context | None = None
    ) -> Any:
        """Run it to its end, and end whatever it leaves: its tasks are cancelled, its threads waited for.

        What a signal's handler raises comes through, from wherever the loop was; the coroutine is
        cancelled then.
        """
        loop = self._runner.get_loop()
        with ThreadPoolExecutor(thread_name_prefix="asyncio") as threads:
            loop.set_default_executor(threads)
            try:
                return self._runner.run(coroutine, context=context)
            finally:
                left = asyncio.all_tasks(loop) - set(self._kept())
                for task in left:
                    task.cancel()
                if left:
                    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def close(self) -> None:
        """End the loop, and all that is on it."""
        self._runner.close()

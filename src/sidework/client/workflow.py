"""A workflow: jobs that wait for one another, as a whole. It is not stored as such: whoever waits for whom
makes it, from any of its jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import JobNotFound
from ..flow import Flow
from ..ids import id_text
from ..info import JobInfo
from ..url import shown

if TYPE_CHECKING:
    from .asking import Asking


class Workflow:
    """Of one of its jobs; read anew at each question."""

    def __init__(self, app: Asking, member: bytes) -> None:
        self._app = app
        self._member = member

    def __repr__(self) -> str:
        return f"<workflow of job {id_text(self._member)}>"

    def jobs(self) -> list[JobInfo]:
        """Its jobs, inputs before those that wait for them."""
        return [JobInfo(row) for row in self._read().in_order()]

    def cancel(self) -> int:
        """Cancel all that are not final, or ask those that run; how many."""
        return self._read().cancel(self._app.store.cancel)

    def retry(self) -> int:
        """Run all again that did not complete; those whose inputs run again wait for them. How many."""
        return self._read().retry(self._app.store.retry)

    def _read(self) -> Flow:
        flow = Flow.found(self._member, self._app.store.flows.edges, self._app.store.get)
        if not flow.jobs:
            raise JobNotFound(f"there is no job {id_text(self._member)} in {shown(self._app.url)}")
        return flow

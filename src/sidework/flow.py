"""The graph of a workflow: its jobs and who waits for whom, found from any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .job import Edge, JobRow
from .state import FINAL, State

_PAGE = 500

Edges = Callable[[Sequence[bytes]], list[Edge]]
Get = Callable[[Sequence[bytes]], list[JobRow | None]]


class Flow:
    """Read at one time, though not in one moment. ``inputs`` are, for each job, those it waits for or has
    waited for; some may be gone."""

    def __init__(self, jobs: dict[bytes, JobRow], inputs: dict[bytes, list[bytes]]) -> None:
        self.jobs = jobs
        self.inputs = inputs

    @classmethod
    def found(cls, member: bytes, edges: Edges, get: Get) -> Flow:
        """All that is connected with this job, by questions about at most 500 at a time."""
        inputs: dict[bytes, list[bytes]] = {}
        seen, ahead = {member}, [member]
        while ahead:
            some, ahead = ahead[:_PAGE], ahead[_PAGE:]
            for edge in edges(some):
                if edge.parent == edge.child:
                    continue
                inputs.setdefault(edge.child, []).append(edge.parent)
                for end in (edge.parent, edge.child):
                    if end not in seen:
                        seen.add(end)
                        ahead.append(end)
        rows: dict[bytes, JobRow] = {}
        ids = sorted(seen)
        for start in range(0, len(ids), _PAGE):
            some_rows = get(ids[start : start + _PAGE])
            rows |= {row.id: row for row in some_rows if row is not None}
        return cls(rows, {child: sorted(set(some)) for child, some in inputs.items()})

    def outputs(self) -> dict[bytes, list[bytes]]:
        """For each job those that wait for it or have waited."""
        found: dict[bytes, list[bytes]] = {}
        for child, parents in self.inputs.items():
            for parent in parents:
                found.setdefault(parent, []).append(child)
        return found

    def cancel(self, act: Callable[[bytes, str], str | None]) -> int:
        """Have all cancelled that are not final; how many that did."""
        # From the last: nothing starts in between, and each says that it was cancelled by hand.
        live = [row.id for row in self.in_order() if row.state not in FINAL]
        return sum(act(id_, "cancelled with its workflow") is not None for id_ in live[::-1])

    def retry(self, act: Callable[[bytes], bool]) -> int:
        """Have all run again that did not complete; how many that did."""
        # From the first: those whose inputs run again wait for them.
        rows = self.in_order()
        ended = [row.id for row in rows if row.state in FINAL and row.state is not State.COMPLETED]
        return sum(map(act, ended))

    def in_order(self) -> list[JobRow]:
        """Inputs before those that wait for them; else by id."""
        left = {id_: sum(one in self.jobs for one in self.inputs.get(id_, ())) for id_ in self.jobs}
        outputs = self.outputs()
        ready = sorted((id_ for id_, count in left.items() if count == 0), reverse=True)
        ordered = []
        while ready:
            id_ = ready.pop()
            ordered.append(self.jobs[id_])
            for child in sorted(outputs.get(id_, ()), reverse=True):
                if child in left:
                    left[child] -= 1
                    if left[child] == 0:
                        ready.append(child)
        return ordered

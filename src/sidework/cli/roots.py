"""The root of a cancellation: which input did not complete, so that what waited for it was cancelled."""

from __future__ import annotations

from ..job import JobRow
from ..state import FINAL, State
from ..store.protocol import Store

_UP = 100
_PAGE = 500


def root_of(store: Store, row: JobRow) -> JobRow | None:
    """The input that did not complete, or the one that this was cancelled for, and so on, at most 100
    times; None when no such input keeps the job from running again."""
    root = None
    lost = _lost(store, row.id)
    for _ in range(_UP):
        if lost is None:
            break
        root = lost
        lost = _lost(store, root.id)
    return root


def _lost(store: Store, child: bytes) -> JobRow | None:
    edges = store.flows.edges([child])
    parents = [edge.parent for edge in edges if edge.child == child and edge.policy == "cancel"]
    for start in range(0, len(parents), _PAGE):
        rows = store.get(parents[start : start + _PAGE])
        ended = [row for row in rows if row is not None and row.state in FINAL - {State.COMPLETED}]
        if ended:
            return min(ended, key=lambda row: (row.state is State.CANCELLED, row.id))
    return None

"""The safety net under the bells: a look for news, and how soon the next is worth a round trip."""

from __future__ import annotations

import random

from .connection import numbered
from .pulse import POLL_FIRST, POLL_GROWTH, POLL_HEARD, POLL_MOST, Pulse
from .session import Session


class Polling:
    """Of one store."""

    def __init__(self, session: Session, pulse: Pulse) -> None:
        self._session = session
        self._pulse = pulse
        self._poll = POLL_FIRST

    def hurry(self) -> None:
        """News are to be expected."""
        self._poll = POLL_FIRST

    def version(self) -> int:
        """A number that changes with whatever is committed, by whomever."""
        found = self._session.one(
            numbered("SELECT pg_current_snapshot()::text", ""), [], again=True
        )
        self._poll = min(POLL_MOST, self._poll * POLL_GROWTH)
        return hash(found[0][0])

    def pace(self) -> float:
        """Seconds until the next look: it is seldom while the bells are heard, else the more seldom the
        longer nothing was stored or claimed here; not all at the same time. That the version has changed is
        no reason to hurry: every heartbeat changes it, and whatever the cluster has besides."""
        poll = POLL_HEARD if self._pulse.hears else self._poll
        return poll * random.uniform(0.8, 1.2)

"""Outcomes until the store has them, and the turn that records them and claims the next jobs.

A turn that failed may have been committed all the same (a flush that failed, an answer that was
lost). For outcomes that is harmless: sent again they meet a grown fence and are refused. Jobs that such
a turn claimed are known to nobody, though, and their worker lives, so no rescue would come for
them: hence, after every failure, what the store believes this worker to hold is compared with what
it does hold, and the rest is handed back.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..clock import monotonic
from ..job import Claimed
from ..note import Notes
from ..outcome import Outcome
from ..store.protocol import Demand, Store, Turn
from .telling import Teller

MOST_OUTCOMES = 500
"""Outcomes of one transaction, and jobs of one claim: other writers wait a few ms, not more."""

MOST_NOTES = 1_000
"""Notes of one transaction; those of the attempts whose ends it records come first, and may be more."""

MOST_BYTES = 16 * 1024 * 1024
"""Arguments that one claim brings, about, and results that one transaction takes."""

AGAIN_SECONDS = 0.1
"""How often the store is asked again about ends whose rows their jobs' own transactions hold: how long
those take is for other programs to say."""


class Recorder:
    """Holds outcomes; nothing of them is dropped before the store has answered."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self.waiting: list[Outcome] = []
        self._notes: dict[tuple[bytes, int], Notes] = {}
        self._held: list[Outcome] = []  # by transactions of their jobs' own, which are open
        self._again_at = 0.0
        self.unsure = False
        """Whether a turn failed since the claims were last compared."""

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Keep these for the next turn."""
        self.waiting += outcomes

    def note(self, notes: Notes) -> None:
        """Keep what a running attempt tells for the next turn; of many the newest, as the pads bound it."""
        token = notes.id, notes.fence
        earlier = self._notes.get(token)
        self._notes[token] = notes if earlier is None else earlier.then(notes)

    @property
    def has_news(self) -> bool:
        """Whether there is something to say to the store now."""
        return bool(self.waiting or self._notes)

    @property
    def unsettled(self) -> bool:
        """Whether there are outcomes that the store has not taken or refused yet."""
        return bool(self.waiting or self._held or self._notes)

    def look(self, now: float) -> None:
        """Have those that were held wait for the next turn again, when it is time."""
        if self._held and now >= self._again_at:
            self.waiting += self._held
            self._held = []

    def turn(self, store: Store, demand: Demand | None) -> Turn:
        """Record what waits (a batch of it) and claim; a ``StoreError`` leaves all as it was."""
        batch = self._batch()
        notes = self._told_by(batch) if self._notes else []
        self.unsure = True
        turn = store.turn(batch, demand, notes=notes)
        self.unsure = False
        del self.waiting[: len(batch)]
        for told in notes:
            del self._notes[told.id, told.fence]
        for outcome, took in zip(batch, turn.took, strict=True):
            if took is None:
                self._held.append(outcome)
                self._again_at = monotonic() + AGAIN_SECONDS
            elif outcome.in_transaction or not took:
                self._teller.settled(outcome, took)
        return turn

    def _batch(self) -> list[Outcome]:
        """The first that wait, at least one, as many as one transaction takes."""
        size = count = 0
        for position, outcome in enumerate(self.waiting[:MOST_OUTCOMES]):
            size += len(outcome.result or b"") + len(outcome.failure or b"")
            if self._notes and (told := self._notes.get((outcome.id, outcome.fence))) is not None:
                size += told.size
                count += len(told.notes)
            if size > MOST_BYTES or count > MOST_NOTES:
                return self.waiting[: max(1, position)]
        return self.waiting[:MOST_OUTCOMES]

    def _told_by(self, batch: Iterable[Outcome]) -> list[Notes]:
        """All that the attempts told whose ends go now: after those it would be refused. And of the others
        what there is room for, first come, first served."""
        ending = {(outcome.id, outcome.fence) for outcome in batch}
        told = [notes for token, notes in self._notes.items() if token in ending]
        count = sum(len(notes.notes) for notes in told)
        for token, notes in self._notes.items():
            if token in ending:
                continue
            count += len(notes.notes)
            if count > MOST_NOTES and told:
                break
            told.append(notes)
        return told

    def reconcile(self, store: Store, worker: int, held: Iterable[Claimed]) -> bool:
        """Hand back what the store believes ``worker`` to hold and it does not; False when the store
        does not know the worker any more."""
        known = {(job.id, job.fence) for job in held}
        known |= {(outcome.id, outcome.fence) for outcome in (*self.waiting, *self._held)}
        claims = store.held(worker)
        if claims is None:
            return False
        self.unsure = False
        self.add(
            Outcome(job.id, job.fence, job.attempt, "released", note="its claim was cut off")
            for job in claims
            if (job.id, job.fence) not in known
        )
        return True

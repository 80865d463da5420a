"""The exceptions Sidework raises, as one tree.

    SideworkError
    ├── BadTask                  a function that cannot be a task, or a name taken twice
    ├── BadValue                 an argument, result or option that cannot be stored (also a ValueError)
    ├── AppNotFound              a name given on the command line that leads to no app
    ├── TaskNotFound             no task of that name is registered here
    ├── PeriodicNotFound         no periodic of that name is in this store
    ├── JobNotFound              no job of that id is in this store
    ├── JobConflict              the id is taken by a job with other content
    ├── PositionPruned           events were asked for from a position on that is not kept any more
    ├── ClaimLost                a job's own end (finish_in) came too late: its claim was settled before
    ├── NotCommitted             a job returned after finish_in, and its transaction was never committed
    ├── NotOpened                an attempt could not be given a resource
    ├── JobFailed                a result was asked of a job that ended without one
    │   └── JobCancelled         … because it was cancelled
    ├── WaitTimeout              the result did not come in time (also a TimeoutError)
    └── StoreError               the store could not do what was asked
        ├── StoreUnavailable     it may work later: locked, out of space, gone
        ├── StoreRefused         it will not work as it stands: wrong file, place or connection
        │   └── StoreMissing     … there is no database yet, and making it is not this caller's part
        ├── StoreDamaged         the file's content is damaged
        └── SchemaMismatch       the file was made by a newer Sidework

A wrong call of a task (missing or unknown argument) raises the built-in ``TypeError``, as the
plain call would. Drivers' exceptions never leave their engine: each is translated at its border,
with the original as ``__cause__``.
"""

from __future__ import annotations


class SideworkError(Exception):
    """Whatever Sidework raises by itself."""


class BadTask(SideworkError):
    """A function that cannot be a task, or a second task of one name."""


class BadValue(SideworkError, ValueError):
    """An argument, result or option that cannot be stored."""


class AppNotFound(SideworkError):
    """The name given on the command line does not lead to a Sidework app."""


class TaskNotFound(SideworkError):
    """No task of that name is registered in this program."""


class PeriodicNotFound(SideworkError):
    """No periodic of that name is in this store (no worker has declared it yet)."""


class JobNotFound(SideworkError):
    """No job of that id is in this store (never was, or was pruned or deleted)."""


class JobConflict(SideworkError):
    """The id given is taken by a job with another task, other arguments or other inputs (promise I12),
    or a job would wait for one that is not stored, since another holds its unique key."""


class PositionPruned(SideworkError):
    """Events were asked for behind a position, and not all that came next is kept any more."""


class ClaimLost(SideworkError):
    """``finish_in`` was refused for its fence: the claim was settled before, by an earlier ``finish_in``
    or because the job's worker was taken for dead. Let it leave the block of the transaction, which
    is to be rolled back: what the job wrote there must not be stored."""


class NotCommitted(SideworkError):
    """Kept as the failure of an attempt that returned after ``finish_in`` while nothing of it was
    stored: the transaction was rolled back, or never committed."""


class NotOpened(SideworkError):
    """Kept as the failure of an attempt that never began, since a resource that it is given
    (``Annotated[..., Resource(get)]``) did not open. Whatever the task says of errors, it is tried again
    while attempts are left."""


class JobFailed(SideworkError):
    """A result was asked of a job that ended without one.

    ``job_id`` is the id as text, ``kind`` the remote exception's type by name, ``remote_traceback``
    the traceback text of the last attempt ("" when there is none).
    """

    def __init__(self, job_id: str, kind: str, message: str, remote_traceback: str = "") -> None:
        self.job_id = job_id
        self.kind = kind
        self.message = message
        self.remote_traceback = remote_traceback
        super().__init__(job_id, kind, message, remote_traceback)

    def __str__(self) -> str:
        head = f"job {self.job_id} failed: {self.kind}: {self.message}"
        return f"{head}\n\n{self.remote_traceback.rstrip()}" if self.remote_traceback else head


class JobCancelled(JobFailed):
    """A result was asked of a job that was cancelled."""

    def __str__(self) -> str:
        return f"job {self.job_id} was cancelled: {self.message}"


class WaitTimeout(SideworkError, TimeoutError):
    """The job was not final within the time given; it goes on."""


class StoreError(SideworkError):
    """The store could not do what was asked: nothing of it counts as stored."""


class StoreUnavailable(StoreError):
    """The store cannot do it now but may later: locked, out of space, unreachable.

    When the disk failed in the middle, or a reply was lost, the whole of it may still come to be
    there. To ask again for the same job (its id) stores it once (promise I12).
    """


class StoreRefused(StoreError):
    """The store will not do it as things stand: wrong file, wrong place, wrong connection."""


class StoreMissing(StoreRefused):
    """There is no database yet: the app makes it at its first enqueue, a worker for ``@app.periodic``."""


class StoreDamaged(StoreError):
    """The store's content is damaged; nothing is written to it."""


class SchemaMismatch(StoreError):
    """The store was made by a newer Sidework than this one."""

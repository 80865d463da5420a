"""The backend: Django's tasks are stored as jobs, in the caller's transaction or after it."""

from __future__ import annotations

import inspect
import os
from functools import partial
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules

from sidework import BadTask, BadValue, JobNotFound, Sidework, SideworkError

from ...ids import id_text, new_id
from ...job import check_queue
from ...store.opening import absolute
from ...tasks.task import Bound, Task
from .border import BaseTaskBackend, InvalidTask, errors, signals
from .results import fresh, result_of
from .running import runs

_OWN = frozenset({"url", "database", "keep_completed", "keep_failed"})
_OF_TASKS = frozenset(
    {
        "retries",
        "backoff",
        "timeout",
        "retry_on",
        "discard_on",
        "on_crash",
        "on_partition",
        "runner",
    }
)


class SideworkBackend(BaseTaskBackend):
    """``OPTIONS`` (all may be left out):

    ``url``: of the store, relative to the settings' ``BASE_DIR``; else ``SIDEWORK_URL``, else
    ``jobs.sidework.db`` there. ``database``: the alias of the Django database that the
    store lives in: a task that is enqueued in its transaction is stored in that very transaction.
    ``keep_completed``, ``keep_failed``: as of ``Sidework``. ``retries``, ``backoff``, ``timeout``,
    ``retry_on``, ``discard_on``, ``on_crash``, ``on_partition``, ``runner``: of all its tasks, as of
    ``@app.task``.

    ``ENQUEUE_ON_COMMIT`` (True): what is enqueued in a transaction is there once that is committed. False:
    at once, and whatever becomes of the transaction.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        options = dict(params.get("OPTIONS", {}))
        if unknown := sorted(options.keys() - _OWN - _OF_TASKS):
            raise ImproperlyConfigured(
                f"TASKS[{alias!r}]: unknown option {unknown[0]!r}; there are: "
                f"{', '.join(sorted(_OWN | _OF_TASKS))}"
            )
        self._joins = "database" in options
        self._database = options.get("database", DEFAULT_DB_ALIAS)
        self._on_commit = params.get("ENQUEUE_ON_COMMIT", True)
        self._options = {name: options[name] for name in _OF_TASKS & options.keys()}
        self._found = False
        url = options.get("url") or os.environ.get("SIDEWORK_URL") or "jobs.sidework.db"
        folder = str(getattr(settings, "BASE_DIR", None) or os.getcwd())
        try:
            self.app = Sidework(
                absolute(url, folder),
                keep_completed=options.get("keep_completed"),
                keep_failed=options.get("keep_failed"),
            )
        except SideworkError as wrong:
            raise ImproperlyConfigured(f"TASKS[{alias!r}]: {wrong}") from None
        # How a process of its own finds it, also that of an embedded worker.
        self.app.module, self.app.file = f"sidework.contrib.django.worker:{alias}", None

    def validate_task(self, task: Any) -> None:
        """Django's own checks, and ours of the queue's name. A task that passes is known from then on: a
        worker knows those of the modules that it has imported."""
        super().validate_task(task)
        try:
            check_queue(task.queue_name, "queue_name")
            if self.app.registry.find(task.module_path) is None:
                self.app.task(name=task.module_path, **self._options)(runs(task))
        except (BadValue, BadTask) as wrong:
            raise InvalidTask(str(wrong)) from None

    def discover(self) -> None:
        """Import the module ``tasks`` of every installed app."""
        if not self._found:
            self._found = True
            autodiscover_modules("tasks")

    # Handing over -------------------------------------------------------------------------------

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Store a job. ``TypeError`` for a wrong call or arguments that are no JSON."""
        self.validate_task(task)
        given = (None, *args) if task.takes_context else tuple(args)
        try:
            inspect.signature(task.func).bind(*given, **kwargs)
        except TypeError as wrong:
            raise TypeError(f"{task.module_path}: {wrong}") from None
        raw = new_id()
        result = fresh(self.alias, task, id_text(raw), args, kwargs)
        waits = self._on_commit and connections[self._database].in_atomic_block
        joined = connections[self._database] if waits and self._joins else None
        bound = self._bound(task, raw, joined, result)
        if waits and not self._joins:
            transaction.on_commit(partial(self._store, bound, result), using=self._database)
        else:
            self._store(bound, result)
        return result

    def _bound(self, task: Any, raw: bytes, connection: Any, result: Any) -> Bound[Any]:
        ours: Task[Any, Any, Any] = self.app.registry.get(task.module_path)
        options: dict[str, Any] = {
            "id": id_text(raw), "priority": task.priority, "queue_name": task.queue_name,
        }  # fmt: skip
        if task.run_after is not None:
            due = task.run_after
            options["run_after"] = timezone.make_aware(due) if timezone.is_naive(due) else due
        if connection is not None:
            options["connection"] = connection
        return ours.options(**options).bind(*result.args, **result.kwargs)

    def _store(self, bound: Bound[Any], result: Any) -> None:
        self.app.desk.submit(bound.job, Any, bound.connection)
        object.__setattr__(result, "enqueued_at", timezone.now())
        signals.task_enqueued.send(type(self), task_result=result)

    # Asking -------------------------------------------------------------------------------------

    def get_result(self, result_id: str) -> Any:
        """The result as it stands; ``TaskResultDoesNotExist`` when there is none of that id."""
        try:
            handle = self.app.job(result_id)
            info, attempts = handle.info(), handle.attempts()
        except (JobNotFound, BadValue) as wrong:
            raise errors.TaskResultDoesNotExist(str(wrong)) from None
        found = self.app.registry.find(info.task)
        if found is None:
            self.discover()
            found = self.app.registry.find(info.task)
        task = None if found is None else getattr(found.function, "django_task", None)
        if task is None:
            raise errors.TaskResultDoesNotExist(
                f"job {result_id} is of {info.task}, which is no task of Django's that is known here"
            )
        return result_of(self.alias, task, info, attempts)

"""An output: what stands for the result of a job in the arguments of another, until both are stored."""

from __future__ import annotations

from .errors import BadValue
from .ids import id_text


class Output:
    """The result of a job that may not be there yet; ``url`` is the store that the job is in.

    To a type checker it is what the job returns (``JobHandle.output``).
    """

    __slots__ = ("job_id", "url")

    def __init__(self, job_id: bytes, url: str) -> None:
        self.job_id = job_id
        self.url = url

    def __repr__(self) -> str:
        return f"<output of job {id_text(self.job_id)}>"


class OutputFound(BadValue):
    """An output stands where a value was to be encoded."""

"""Row 27: values, results and errors that nobody should send, through the store and a child and back."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from sidework import BadValue, State

from .field import Field, Figures, until
from .ground import Engine, Ground

LOAD = Path(__file__).parent / "hostile_load.py"
WORDS = ("--children", "1", "--threads", "4")
PATIENCE = 20.0

CHARACTERS = st.one_of(st.characters(), st.sampled_from("\0\ud800\udfff\uffff\x7f\u2028\U0010ffff"))
TEXT = st.text(CHARACTERS, max_size=30)
EDGES = [2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 2**64 + 1, 10**40]
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from(EDGES), st.floats(), TEXT,
    st.sampled_from([-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, math.nan, math.inf]),
    st.integers(0, 2**20 + 10).map(lambda size: "x" * size),
    st.integers(300, 4_400).map(lambda digits: 10**digits),
    st.sampled_from([object(), 1j, print, range(3), Ellipsis]),
)  # fmt: skip
KEYS = st.one_of(TEXT, TEXT, TEXT, st.integers(), st.none(), st.tuples(TEXT))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.tuples(inner, st.integers(1, 3_000)).map(lambda pair: wrapped(*pair)),
    ),
    max_leaves=12,
)


def wrapped(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def stored_form(value: Any) -> Any:
    """What must come back of a value that JSON can hold: told without our codec. Raises
    ``ValueError`` for any other."""
    # Without recursion: how deep is too deep is for the codec to say.
    top: list[Any] = []
    left: list[tuple[Any, Any]] = [(top.append, value)]
    while left:
        put, item = left.pop()
        if isinstance(item, list | tuple):
            made: list[Any] = [None] * len(item)
            put(made)
            left += [
                (lambda one, made=made, at=at: made.__setitem__(at, one), inner)
                for at, inner in enumerate(item)
            ]
        elif isinstance(item, dict):
            if not all(isinstance(key, str) and plain(key) for key in item):
                raise ValueError("a key")
            named: dict[str, Any] = dict.fromkeys(item)
            put(named)
            left += [
                (lambda one, named=named, key=key: named.__setitem__(key, one), inner)
                for key, inner in item.items()
            ]
        elif (
            item is None
            or isinstance(item, bool | int)
            or (isinstance(item, float) and math.isfinite(item))
            or (isinstance(item, str) and plain(item))
        ):
            put(item)
        else:
            raise ValueError("a value")
    return top[0]


def plain(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, and of the same types; without recursion."""
    left = [(one, other)]
    while left:
        a, b = left.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, list):
            if len(a) != len(b):
                return False
            left += zip(a, b, strict=True)
        elif isinstance(a, dict):
            if a.keys() != b.keys():
                return False
            left += [(a[key], b[key]) for key in a]
        elif a != b or (isinstance(a, float) and math.copysign(1, a) != math.copysign(1, b)):
            return False
    return True


def shown(value: Any) -> str:
    try:
        return f"{value!r:.200}"
    except (ValueError, RecursionError):  # an integer of over 4,300 digits has no repr
        return f"a {type(value).__name__} that cannot be shown"


def may_be_refused(value: Any) -> bool:
    """Too big, too deep, or an integer of more digits than Python reads: refused with a reason, which
    no oracle need repeat."""
    depth = size = 0
    left = [(value, 1)]
    while left:
        item, level = left.pop()
        depth = max(depth, level)
        if isinstance(item, list | tuple):
            left += [(inner, level + 1) for inner in item]
        elif isinstance(item, dict):
            left += [(inner, level + 1) for inner in item.values()]
            size += sum(len(key) for key in item)
        elif isinstance(item, str):
            size += len(item)
        elif isinstance(item, int) and abs(item) >= 2**63:
            return True
    return depth > 490 or size * 6 > 2**20


class Battle:
    """One worker, whose processes must all be there at the end."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.load = field.load
        self.bad: list[str] = []
        self.count: Counter[str] = Counter()

    def pids(self) -> list[int]:
        """The worker's child, and the one in which solo jobs run."""
        shared = self.load.process.enqueue().result(timeout=PATIENCE)
        self.load.echo_alone.enqueue(0).result(timeout=PATIENCE)
        return [shared, *self.field.children(self.field.workers[0])]

    def round_trip(self, name: str, value: Any) -> None:
        """Identical, or a typed refusal at the call with nothing stored."""
        self.count["values"] += 1
        try:
            expected = [stored_form(value)]
        except ValueError:
            expected = []
        try:
            job = getattr(self.load, name).enqueue(value)
        except (BadValue, TypeError) as refused:
            self.count["refused"] += 1
            if expected and not may_be_refused(value):
                raise AssertionError(
                    f"{name} refused {shown(value)}: {refused!s:.200}"
                ) from refused
            return
        came = job.result(timeout=PATIENCE)
        if not expected or not same(came, expected[0]):
            raise AssertionError(f"{name} gave {shown(came)} for {shown(value)}")

    def text_result(self, name: str, points: list[int]) -> None:
        """The same for what a job returns: then the refusal is the job's end."""
        self.count["results"] += 1
        text = "".join(map(chr, points))
        job = getattr(self.load, name).enqueue(points)
        state = job.wait(timeout=PATIENCE)
        if plain(text):
            if job.result(timeout=1) != text:
                raise AssertionError(f"{name} gave another text than {text!r}")
        elif state is not State.DISCARDED or self.failure(job).kind != "sidework.errors.BadValue":
            raise AssertionError(f"{name} of {text!r} is {state}")

    def text_error(self, name: str, kind: str, points: list[int]) -> None:
        """An error's text is kept, made storable."""
        self.count["errors"] += 1
        job = getattr(self.load, name).enqueue(kind, points)
        if job.wait(timeout=PATIENCE) is not State.DISCARDED:
            raise AssertionError(f"{name} {kind} is {job.state}")
        text = "".join(map(chr, points)) or {"retry": "asked to retry"}.get(kind, "")
        kept = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
        if self.failure(job).message != kept:
            raise AssertionError(f"{name} {kind} kept {self.failure(job).message!r} of {text!r}")

    def failure(self, job: Any) -> Any:
        """Why the last attempt failed."""
        return job.attempts()[-1]

    def catalogue(self) -> None:
        """What the load returns and raises by number, in each runner: each ends, by its own error."""
        for verb, many in (("give", self.load.RESULTS), ("fail", self.load.ERRORS)):
            for runner in ("", "_coroutine", "_alone"):
                jobs = [getattr(self.load, verb + runner).enqueue(n) for n in range(len(many))]
                for number, job in enumerate(jobs):
                    self.count["catalogue"] += 1
                    try:
                        state = job.wait(timeout=PATIENCE)
                    except TimeoutError:
                        state = job.state
                    if state is not State.DISCARDED or self.failure(job).kind == "ProcessDied":
                        self.bad.append(
                            f"{verb}{runner} {number} is {state}: {job.attempts()[-1:]}"
                        )


def hostile_values(folder: Path, size: int, seed: int) -> Figures:
    """Row 27: hostile values, results and errors, both engines, come back identical, or are refused by a
    typed error. No worker or child dies. ``size`` examples, half of them on each engine."""
    told: Counter[str] = Counter()
    bad: list[str] = []
    engines: tuple[Engine, ...] = ("sqlite", "postgres")
    for number, engine in enumerate(engines):
        place = folder / engine
        place.mkdir()
        with Ground(engine) as ground:
            count, found = _battle_on(place, ground.store(place), (size + number) // 2, seed)
        told += count
        bad += [f"{engine}: {one}" for one in found]
    return {"examples": size, "landed": told["refused"] + told["catalogue"], **told, "bad": bad}


def _battle_on(folder: Path, url: str, size: int, seed: int) -> tuple[Counter[str], list[str]]:
    """``size`` examples on one store; what was counted, and what was wrong."""
    with Field(folder, LOAD, url) as field:
        worker = field.worker(*WORDS)
        field.ready(worker)
        battle = Battle(field)
        before = battle.pids()

        @seeded(seed)
        @settings(max_examples=size, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(
            st.lists(
                st.tuples(st.sampled_from(["echo", "echo_coroutine", "echo_alone"]), VALUES),
                min_size=1,
                max_size=4,
            ),
            st.sampled_from(["", "_coroutine"]),
            st.sampled_from(["", "_coroutine", "_alone"]),
            st.sampled_from(["error", "retry", "discard", "snooze"]),
            TEXT,
        )
        def battle_on(values: list[Any], gives: str, fails: str, kind: str, text: str) -> None:
            points = [ord(character) for character in text]
            for name, value in values:
                battle.round_trip(name, value)
            battle.text_result("give_text" + gives, points)
            battle.text_error("raise_text" + fails, kind, points)

        battle.catalogue()
        try:
            battle_on()
        except Exception as error:  # noqa: BLE001 - whatever was found is one line of the figures
            battle.bad.append(f"{type(error).__name__}: {error!s:.500}")
        bad = battle.bad
        if battle.pids() != before:
            bad.append(f"processes died: {before} became {battle.pids()}")
        until(lambda: field.counts().keys() <= {"completed", "discarded"}, "the end of all jobs")
        bad += field.stop(worker)
        bad += field.app.store.check()
    return battle.count, bad

"""The words: values and pure functions, each on its own, against what people and crashes throw at them."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import math
import os
import threading
import typing
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args, get_origin, get_type_hints
from uuid import UUID, uuid4

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidework import clock, ids, outcome, wire
from sidework.codec import FORMAT_JSON, MAX_BYTES, MAX_DEPTH, TypeHooks, decode, encode
from sidework.duration import seconds, text_of
from sidework.errors import BadValue, SideworkError
from sidework.ids import IdFactory, id_text, new_id, parse_id
from sidework.outcome import clean, decode_failure, encode_failure, failure_of
from sidework.retry import CAP_SECONDS, check_backoff, delay_seconds
from sidework.state import FINAL, LIVE, TRANSITIONS, WAITING, Event, State

NAN, INF = math.nan, math.inf
LONE = "\ud800"


def refusal(call: Callable[[], object]) -> str:
    """The message of the ``BadValue`` that the call raises: one line, and printable anywhere."""
    with pytest.raises(BadValue) as caught:
        call()
    text = str(caught.value)
    assert text
    assert len(text.splitlines()) == 1
    assert text.encode("utf-8")
    assert isinstance(caught.value, SideworkError)
    assert isinstance(caught.value, ValueError)
    return text


# Durations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        (" 2.5 s ", 2.5),
        ("250ms", 0.25),
        ("1d", 86400),
        ("1w", 604800),
        (0, 0),
        (2.5, 2.5),
        (timedelta(minutes=1), 60),
    ],
)
def test_a_duration_in_seconds(given_: Any, expected: float) -> None:
    assert seconds(given_) == pytest.approx(expected)


@pytest.mark.parametrize(
    "wrong",
    [
        *("", " ", "5", "m", "5 minutes", "5m x", "-5m", "5M", "1e3s", "5m\x00", LONE + "5m"),
        *(-1, -0.001, NAN, INF, -INF, 10**30, 10**5000, True, None, b"5m", [5]),
        *(timedelta(seconds=-1), timedelta.max, "9" * 400 + "s", "101w" * 100),
    ],
    ids=lambda wrong: repr(wrong)[:20] if not isinstance(wrong, int) else "int",
)
def test_a_bad_duration_is_refused_by_name(wrong: Any) -> None:
    assert "timeout" in refusal(lambda: seconds(wrong, "timeout"))


@given(st.timedeltas(timedelta(0), timedelta(days=36000)))
def test_timedeltas_are_taken_exactly(value: timedelta) -> None:
    assert seconds(value) == value.total_seconds()


@given(st.integers(0, 9), st.integers(1, 23), st.integers(0, 59))
def test_the_parts_of_a_duration_add_up(days: int, hours: int, minutes: int) -> None:
    assert seconds(f"{days}d {hours}h {minutes}m") == days * 86400 + hours * 3600 + minutes * 60


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0ms"),
        (0.25, "250ms"),
        (1, "1s"),
        (20, "20s"),
        (2.5, "2.5s"),
        (59.97, "1m"),
        (60, "1m"),
        (90, "1m 30s"),
        (3600, "1h"),
        (90061, "1d 1h"),
        (0.9999, "1s"),
    ],
)
def test_a_duration_for_people(value: float, text: str) -> None:
    assert text_of(value) == text


@given(st.floats(0, 1e9))
def test_what_people_are_shown_reads_back(value: float) -> None:
    shown = seconds(text_of(value))
    assert shown == pytest.approx(value, rel=0.05, abs=0.0006)


# The clock ------------------------------------------------------------------------------------


@given(st.integers(0, 253_402_300_799_999))
def test_a_stored_time_survives_as_a_datetime(millis: int) -> None:
    assert clock.to_millis(clock.to_datetime(millis)) == millis


def test_a_time_without_a_zone_is_refused() -> None:
    class Nowhere(tzinfo):
        def utcoffset(self, _: datetime | None) -> None:
            return None

    for naive in (datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=Nowhere())):
        with pytest.raises(ValueError, match="no time zone"):
            clock.to_millis(naive)
    east = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert clock.to_millis(east) == clock.to_millis(datetime(2026, 1, 1, tzinfo=UTC))


# Ids ------------------------------------------------------------------------------------------


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A clock that stands where the test puts it."""
    moment = [1_700_000_000_000]
    monkeypatch.setattr(ids, "now_ms", lambda: moment[0])
    return moment


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_front(still: list[int]) -> None:
    made = IdFactory().make()
    as_uuid = UUID(bytes=made)
    assert (as_uuid.version, as_uuid.variant) == (7, "specified in RFC 4122")
    assert int.from_bytes(made[:6], "big") == still[0]


def test_ids_grow_while_the_clock_stands_still_and_when_it_goes_back(still: list[int]) -> None:
    make = IdFactory().make
    made = [make() for _ in range(5_000)]
    still[0] -= 60_000
    made += [make() for _ in range(5_000)]
    assert all(low < high for low, high in itertools.pairwise(made))
    assert all(UUID(bytes=each).version == 7 for each in made)


def test_ids_grow_past_a_millisecond_that_is_full(still: list[int]) -> None:
    factory = IdFactory()
    first = factory.make()
    factory._free = (1 << 74) - 1
    second = factory.make()
    assert second > first
    assert int.from_bytes(second[:6], "big") == still[0] + 1


def test_ids_of_several_threads_are_unique_and_sorted_in_each() -> None:
    factory, threads, each = IdFactory(), 5, 10_000
    made: list[list[bytes]] = [[] for _ in range(threads)]
    together = threading.Barrier(threads)

    def run(mine: list[bytes]) -> None:
        together.wait()
        mine.extend(factory.make() for _ in range(each))

    running = [threading.Thread(target=run, args=(mine,)) for mine in made]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({job_id for mine in made for job_id in mine}) == threads * each


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_other_ids(still: list[int]) -> None:
    factory = IdFactory()
    factory.make()
    factory._lock.acquire()  # as if another thread were making an id at the moment of the fork
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"".join(factory.make() for _ in range(100)))
        finally:
            os._exit(0)
    factory._lock.release()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    theirs = {told[at : at + 16] for at in range(0, len(told), 16)}
    assert len(theirs) == 100
    assert theirs.isdisjoint(factory.make() for _ in range(100))


def test_an_id_is_read_in_every_form() -> None:
    made = new_id()
    for form in (made, id_text(made), id_text(made).upper(), UUID(bytes=made)):
        assert parse_id(form) == made


@pytest.mark.parametrize("wrong", ["", "7", "x" * 32, b"short", None, 7, LONE, "a\nb", [1]])
def test_what_is_no_id_is_refused(wrong: Any) -> None:
    assert "is not a job id" in refusal(lambda: parse_id(wrong))


# States ---------------------------------------------------------------------------------------


def test_states_are_either_live_or_final() -> None:
    assert set(State) == LIVE | FINAL
    assert not LIVE & FINAL
    assert LIVE - {State.RUNNING} == WAITING


def test_a_final_state_is_left_only_by_a_retry() -> None:
    """Promise I4."""
    for state in FINAL:
        leaving = {event: to for (at, event), to in TRANSITIONS.items() if at is state}
        assert leaving == {Event.RETRY: State.AVAILABLE, Event.BLOCK: State.BLOCKED}
    assert {at for at, event in TRANSITIONS if event in (Event.RETRY, Event.BLOCK)} == FINAL


def test_only_a_claim_starts_a_job_and_only_what_is_available_is_claimed() -> None:
    assert [key for key, to in TRANSITIONS.items() if to is State.RUNNING] == [
        (State.AVAILABLE, Event.CLAIM)
    ]


def test_every_live_state_can_be_cancelled() -> None:
    for state in LIVE:
        assert TRANSITIONS[state, Event.CANCEL] is State.CANCELLED


def test_a_late_outcome_ends_a_rescued_job_as_it_would_have_ended_it() -> None:
    """Promise I3: the fence decides, not that somebody gave the job back meanwhile."""
    for event in (Event.COMPLETE, Event.FAIL, Event.DISCARD, Event.SNOOZE):
        assert TRANSITIONS[State.AVAILABLE, event] is TRANSITIONS[State.RUNNING, event]


def test_every_event_is_used_and_every_state_is_reached_and_can_end() -> None:
    assert {event for _, event in TRANSITIONS} == set(Event)
    # Jobs are inserted as these; everything else must be reached from them.
    reached = {State.BLOCKED, State.SCHEDULED, State.AVAILABLE}
    for _ in State:
        reached |= {to for (at, _), to in TRANSITIONS.items() if at in reached}
    assert reached == set(State)
    for start in State:
        ahead = {start}
        for _ in State:
            ahead |= {to for (at, _), to in TRANSITIONS.items() if at in ahead}
        assert ahead >= FINAL


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[State.COMPLETED, Event.CLAIM] = State.RUNNING  # type: ignore[index]


# Retries --------------------------------------------------------------------------------------


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_default_wait_is_a_full_jitter(attempt: int, drawn: float) -> None:
    longest = min(CAP_SECONDS, 2.0 * 2.0 ** min(attempt - 1, 60))
    waited = delay_seconds(None, attempt, lambda: drawn)
    assert waited == pytest.approx(drawn * longest)
    assert 0 <= waited <= longest


def test_the_default_wait_doubles_up_to_an_hour() -> None:
    longest = [delay_seconds(None, attempt, lambda: 1.0) for attempt in range(1, 14)]
    assert longest[:4] == [2, 4, 8, 16]
    assert longest[-2:] == [3600, 3600]


def test_a_wait_of_ones_own() -> None:
    assert delay_seconds("5s", 7) == 5
    assert delay_seconds(timedelta(minutes=1), 1) == 60
    assert delay_seconds(lambda attempt: attempt * 10, 3) == 30
    assert delay_seconds(lambda attempt: f"{attempt}m", 2) == 120


@pytest.mark.parametrize("wrong", ["soon", -1, NAN, INF, True, [1, 2], object()])
def test_a_bad_wait_is_refused_when_declared_and_when_computed(wrong: Any) -> None:
    assert "function of the attempt" in refusal(lambda: check_backoff(wrong))
    refusal(lambda: delay_seconds(lambda _: wrong, 1))
    refusal(lambda: delay_seconds(lambda _: None, 1))  # type: ignore[arg-type,return-value]


def test_a_good_wait_is_kept_as_it_was_given() -> None:
    for good in (None, "5s", 0, 2.5, timedelta(1), len):
        assert check_backoff(good) is good  # type: ignore[arg-type]


# The codec ------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Odd(enum.Enum):
    NAN = math.nan


@dataclasses.dataclass
class Point:
    x: Any
    label: str | None = None


class Pair(msgspec.Struct):
    left: Any
    right: str | None = None


class Options(typing.TypedDict):
    name: str
    limit: float


class Row(typing.NamedTuple):
    number: int
    value: Any = None


class Order(pydantic.BaseModel):
    amount: float
    note: str | None = None
    extra: Any = None


class Money:
    """A type of the user's own, that nothing knows how to store."""

    def __init__(self, cents: Any) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def hooks() -> TypeHooks:
    return TypeHooks()


def again(value: Any, kind: Any = Any, hooks: TypeHooks | None = None) -> Any:
    hooks = hooks or TypeHooks()
    raw = encode(value, hooks, "value")
    assert raw[:1] == FORMAT_JSON
    assert b"\x00" not in raw[1:]
    raw.decode("utf-8")
    return decode(raw, kind, hooks)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_data_comes_back_equal_and_of_the_same_types(value: Any) -> None:
    assert repr(again(value)) == repr(again(again(value)))
    assert again(value) == value

    def types(item: Any) -> Any:
        if isinstance(item, list):
            return [types(each) for each in item]
        if isinstance(item, dict):
            return {key: types(each) for key, each in item.items()}
        return type(item)

    assert types(again(value)) == types(value)


@given(st.dictionaries(TEXT, st.integers()))
def test_equal_values_give_equal_bytes(value: dict[str, int]) -> None:
    """Promise I12 compares content by its bytes."""
    turned = dict(reversed(value.items()))
    assert encode(value, TypeHooks(), "x") == encode(turned, TypeHooks(), "x")


@given(st.sets(st.integers()) | st.sets(TEXT))
def test_equal_sets_give_equal_bytes(value: set[Any]) -> None:
    turned = set(sorted(value, reverse=True))
    assert encode(value, TypeHooks(), "x") == encode(turned, TypeHooks(), "x")


KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (bytes, st.binary()),
    (bytearray, st.binary().map(bytearray)),
    (Decimal, st.decimals(allow_nan=False)),
    (datetime, st.datetimes() | st.datetimes(timezones=st.just(UTC))),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (set[int], st.sets(st.integers())),
    (frozenset[str], st.frozensets(TEXT)),
    (tuple[int, str], st.tuples(st.integers(), TEXT)),
    (list[Decimal | None], st.lists(st.none() | st.decimals(allow_nan=False))),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Options, st.fixed_dictionaries({"name": TEXT, "limit": FINITE})),
    (Point, st.builds(Point, PLAIN, st.none() | TEXT)),
    (Pair, st.builds(Pair, PLAIN, st.none() | TEXT)),
    (Row, st.builds(Row, st.integers(), PLAIN)),
    (Order, st.builds(Order, amount=FINITE, note=st.none() | TEXT, extra=PLAIN)),
    (list[Order], st.lists(st.builds(Order, amount=FINITE), max_size=3)),
    (Path, TEXT.map(Path)),
    (PurePosixPath, TEXT.map(PurePosixPath)),
    (dict[str, set[int]], st.dictionaries(TEXT, st.sets(st.integers()), max_size=3)),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_a_type_comes_back_by_its_annotation(kind: Any, values: st.SearchStrategy[Any]) -> None:
    @given(values)
    def check(value: Any) -> None:
        back = again(value, kind)
        assert back == value
        assert type(back) is type(value)

    check()


@pytest.mark.parametrize(
    "number",
    [2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, -(2**63) - 1, -(10**30), 10**4000],
    ids=lambda number: f"{number.bit_length()}bits",
)
def test_big_integers_come_back_equal(number: int) -> None:
    assert again(number, int) == number
    assert again([{"n": number}]) == [{"n": number}]
    assert type(again(number)) is int


def test_text_with_nul_comes_back_equal() -> None:
    assert again("a\x00b", str) == "a\x00b"
    assert again({"\x00": ["\x00"]}) == {"\x00": ["\x00"]}


def test_floats_come_back_to_the_last_bit() -> None:
    for value in (0.1, 1e308, 5e-324, -0.0, 1.0):
        assert again(value).hex() == value.hex()


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda bad: bad,
        lambda bad: [1, [bad]],
        lambda bad: (None, bad),
        lambda bad: {"a": {"b": bad}},
        lambda bad: {1.5, bad},
        lambda bad: frozenset({bad}),
        lambda bad: Point(bad),
        lambda bad: Point([bad], "null"),
        lambda bad: Pair(bad),
        lambda bad: Row(1, bad),
        lambda bad: Order(amount=bad),
        lambda bad: Order(amount=1, extra={"deep": [bad]}),
        lambda bad: [Order(amount=1, extra=Point(bad))],
        lambda bad: {"name": "null", "limit": bad},
        lambda bad: enum.Enum("Made", {"MEMBER": bad}).MEMBER,  # type: ignore[attr-defined]
        lambda bad: Money([bad]),
        lambda bad: [Money(Money(bad))],
        lambda bad: type("Floats", (list,), {})([bad]),
    ],
)
def test_nan_and_infinity_are_refused_wherever_they_hide(
    wrap: Callable[[float], Any], bad: float, hooks: TypeHooks
) -> None:
    hooks.register(Money, lambda money: {"cents": money.cents}, lambda raw: Money(raw["cents"]))
    assert "args cannot be stored: NaN" in refusal(lambda: encode(wrap(bad), hooks, "args"))


def test_a_null_beside_finite_numbers_is_no_reason_to_refuse() -> None:
    for value in (
        [None, 1.5],
        {"a": None},
        "null",
        Point(None),
        Order(amount=1),
    ):
        assert again(value, type(value)) == value


def cycles() -> Iterator[Any]:
    items: list[Any] = []
    items.append(items)
    yield items
    table: dict[str, Any] = {}
    table["a"] = [table]
    yield table
    pair = Pair(None)
    pair.left = pair
    yield pair
    point = Point(None)
    point.x = point
    yield point
    order = Order(amount=1)
    order.extra = order
    yield order
    money = Money(None)
    money.cents = money
    yield money
    nested: Any = 1
    for _ in range(100_000):
        nested = [nested]
    yield nested


def nest(levels: int, kind: type) -> Any:
    made: Any = "]" * 2_000  # brackets in text do not count
    for _ in range(levels):
        made = [made] if kind is list else {"[": made}
    return made


@pytest.mark.parametrize("kind", [list, dict])
def test_how_deep_is_too_deep_does_not_depend_on_who_calls(kind: type, hooks: TypeHooks) -> None:
    """What is taken at a call must be readable in a child, whose stack is another."""

    def below(frames: int, call: Callable[[], Any]) -> Any:
        return below(frames - 1, call) if frames else call()

    raw = encode(nest(MAX_DEPTH, kind), hooks, "args")
    assert below(300, lambda: decode(raw, Any, hooks)) == nest(MAX_DEPTH, kind)
    refused = refusal(lambda: encode(nest(MAX_DEPTH + 1, kind), hooks, "args"))
    assert "nested too deep, the cap is 500 levels" in refused
    assert encode([nest(0, list)] * 300 + [[]] * 300, hooks, "args")  # wide is not deep


@pytest.mark.parametrize("value", list(cycles()), ids=lambda value: type(value).__name__)
def test_cycles_and_endless_nesting_are_refused(value: Any, hooks: TypeHooks) -> None:
    hooks.register(Money, lambda money: money.cents, Money)
    refusal(lambda: encode(value, hooks, "args"))


@pytest.mark.parametrize(
    "value",
    [
        LONE,
        [LONE],
        {"a": {"b": LONE}},
        {LONE: 1},
        Point(LONE),
        Path("/a\udcff"),
        Order(amount=1, note=LONE),
    ]
    if pydantic.VERSION < "2"
    else [LONE, [LONE], {"a": {"b": LONE}}, {LONE: 1}, Point(LONE), Path("/a\udcff")],
    ids=ascii,
)
def test_lone_surrogates_are_refused(value: Any, hooks: TypeHooks) -> None:
    assert "surrogate" in refusal(lambda: encode(value, hooks, "args"))


@pytest.mark.parametrize("key", [1, 1.5, None, True, (1, 2), b"a", NAN, Level.LOW], ids=repr)
def test_keys_that_are_not_text_are_refused(key: Any, hooks: TypeHooks) -> None:
    for value in ({key: 1}, {"a": {key: 1}}, {"a": 1, key: 1}):
        assert "keys must be text" in refusal(lambda value=value: encode(value, hooks, "args"))


@pytest.mark.parametrize(
    "value",
    [
        object(),
        lambda: 1,
        1j,
        int,
        ValueError("x"),
        (n for n in ()),
        Money(1),
        {1, "a"},
        msgspec.UNSET,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_stored_is_refused_by_name(value: Any, hooks: TypeHooks) -> None:
    assert refusal(lambda: encode(value, hooks, "argument 'x'")).startswith(
        "argument 'x' cannot be"
    )


def test_the_cap_is_on_the_encoded_bytes(hooks: TypeHooks) -> None:
    at_most = "x" * (MAX_BYTES - 2)
    assert again(at_most) == at_most
    message = refusal(lambda: encode(at_most + "x", hooks, "args"))
    assert "1,048,577 bytes" in message
    assert "1,048,576" in message
    assert "5,000,002 bytes" in refusal(lambda: encode("x" * 5_000_000, hooks, "args"))
    refusal(lambda: encode("é" * 60, hooks, "args", cap=100))


def test_a_type_of_ones_own(hooks: TypeHooks) -> None:
    hooks.register(Money, lambda money: {"cents": money.cents}, lambda raw: Money(raw["cents"]))

    class Dollars(Money):
        """A subclass is stored as what it is a kind of."""

    assert again(Money(5), Money, hooks) == Money(5)
    assert again([Money(5), None], list[Money | None], hooks) == [Money(5), None]
    assert again(Point(Money(5)), Point, hooks) == Point({"cents": 5})
    assert again(Dollars(7), Money, hooks) == Money(7)


def test_a_failing_hook_is_named(hooks: TypeHooks) -> None:
    hooks.register(Money, lambda _: 1 / 0, lambda raw: raw["a\nb"])
    message = refusal(lambda: encode(Money(1), hooks, "args"))
    assert message == (
        "args cannot be stored: the encoder of Money raised ZeroDivisionError: division by zero"
    )
    assert "the decoder of Money raised" in refusal(
        lambda: decode(FORMAT_JSON + b"{}", Money, hooks)
    )
    assert "Money raised" in refusal(lambda: decode(FORMAT_JSON + b"[{}]", list[Money], hooks))


@dataclasses.dataclass
class Picky:
    x: int

    def __post_init__(self) -> None:
        raise LookupError("two\nlines")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", int),
        (b"\x02{}", int),
        (b"\x011", str),
        (b"\x01[1", list),
        (b"\x01[1] 2", list),
        (b"\x01NaN", float),
        (b"\x011e999", float),
        (b'\x01"\xff"', str),
        (b'\x01"\\ud800"', str),
        (b"\x01" + b"[" * 100_000, Any),
        (b"\x01" + b"9" * 5_000, int),
        (b"\x01[[1]]", set),
        (b"\x01{}", complex),
        (b"\x01{}", "NoSuchType"),
        (b"\x011", Path),
        (b'\x01{"x":1}', Picky),
        (b'\x01{"x":1}', Point | Pair),
        (b'\x01{"amount":"no","extra":1}', Order),
        (b'\x01[{"amount":"a\\nb"}]', list[Order]),
        (b'\x01"green"', Colour),
        (b'\x01{"name":"a"}', Options),
    ],
    ids=lambda each: repr(each)[:24],
)
def test_bytes_that_do_not_fit_are_refused(raw: bytes, kind: Any, hooks: TypeHooks) -> None:
    refusal(lambda: decode(raw, kind, hooks))


@given(
    st.binary(max_size=40), st.sampled_from([Any, int, str, list[int], Point, Order, Path, UUID])
)
def test_any_bytes_are_read_or_refused(raw: bytes, kind: Any) -> None:
    told = "read"
    try:
        decode(FORMAT_JSON + raw, kind, TypeHooks())
    except BadValue as wrong:
        told = str(wrong)
    assert len(told.splitlines()) == 1


# Outcomes -------------------------------------------------------------------------------------


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - whatever the test gave
        return caught


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")

    __repr__ = __str__


class NotText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


def chained(length: int) -> BaseException:
    error: BaseException = ValueError("first")
    for number in range(length):
        later = ValueError(f"number {number}")
        later.__cause__ = error
        error = later
    return error


def circular() -> BaseException:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    return one


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain"),
        ValueError(),
        Rude(),
        NotText(),
        ValueError(f"a {LONE} and a \x00"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ValueError("x" * 1_000_000),
        ValueError("\x00" * 100_000),
        ValueError(LONE * 100_000),
        type("Odd", (Exception,), {})("odd name"),
        type("N" * 5_000, (Exception,), {})("long name"),
        ExceptionGroup("several", [Rude(), ValueError(LONE)]),
        chained(5_000),
        circular(),
        KeyboardInterrupt(),
        SystemExit(3),
    ],
    ids=lambda error: type(error).__name__[:20].encode("ascii", "replace").decode(),
)
def test_every_exception_has_a_failure_that_can_be_stored(error: BaseException) -> None:
    failure = failure_of(raised(error))
    for text, cap in ((failure.kind, 300), (failure.message, 4_000), (failure.traceback, 32_000)):
        assert len(text) <= cap
        assert "\x00" not in text
        assert text.encode("utf-8") is not None
    assert failure.kind
    assert decode_failure(encode_failure(failure)) == failure


def test_a_failure_says_what_and_where() -> None:
    failure = failure_of(raised(ValueError("wrong colour")))
    assert (failure.kind, failure.message) == ("ValueError", "wrong colour")
    assert "in raised" in failure.traceback
    assert failure.traceback.endswith("ValueError: wrong colour\n")
    assert failure_of(Rude()).kind.endswith("test_words.Rude")
    assert "RuntimeError" in failure_of(Rude()).message
    assert decode_failure(None) is None


def test_our_own_frames_are_left_out_but_never_all_of_them() -> None:
    def users_code() -> None:
        decode(b"", int, TypeHooks())

    with pytest.raises(BadValue) as caught:
        users_code()
    assert "in users_code" not in failure_of(caught.value, __file__).traceback
    assert "in decode" in failure_of(caught.value, __file__).traceback
    assert "in decode" in failure_of(caught.value, "/").traceback


@given(st.text(), st.integers(100, 500))
def test_clean_text_is_storable_and_capped(text: str, cap: int) -> None:
    cleaned = clean(text, cap)
    assert len(cleaned) <= cap
    assert "\x00" not in cleaned
    assert clean(cleaned, cap) == cleaned.encode("utf-8").decode("utf-8")


def test_cut_text_keeps_both_ends_and_counts_what_is_gone() -> None:
    cut = clean("begin" + "x" * 10_000 + "end", 1_000)
    assert cut.startswith("begin")
    assert cut.endswith("end")
    head, told, tail = cut.split("\n")
    assert int(told.split()[1]) + len(head) + len(tail) == 10_008


def test_what_a_job_raises_carries_seconds() -> None:
    assert outcome.Retry(after="5m").after == 300
    assert outcome.Retry().after is None
    assert outcome.Snooze("10m").duration == 600
    assert "after" in refusal(lambda: outcome.Retry(after="soon"))
    assert "Snooze" in refusal(lambda: outcome.Snooze(-1))
    assert all(str(each) for each in (outcome.Retry(), outcome.Snooze(1), outcome.Discard()))


# The wire -------------------------------------------------------------------------------------


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a message's field, or of a whole message, by its annotation."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(values_of(inner[0]), max_size=3).map(tuple)
    if origin is list:
        return st.lists(values_of(inner[0]), max_size=3)
    if origin is tuple and inner[1:] == (...,):
        return st.lists(values_of(inner[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(values_of(inner[0]), values_of(inner[1]), max_size=3)
    if inner:
        return st.one_of([values_of(each) for each in inner])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        return st.builds(kind, **{name: values_of(hints[name]) for name in kind.__struct_fields__})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-(2**63), 2**64 - 1),
        str: TEXT,
        bytes: st.binary(),
        bool: st.booleans(),
        State: st.sampled_from(State),
        type(None): st.none(),
    }
    return plain[kind]


TO_CHILD, TO_WORKER = get_args(wire.ToChild), get_args(wire.ToWorker)


@pytest.mark.parametrize("kind", TO_CHILD + TO_WORKER, ids=lambda kind: kind.__name__)
def test_every_message_comes_over_equal(kind: Any) -> None:
    read: Callable[[bytes], Any] = (
        wire.decode_to_child if kind in TO_CHILD else wire.decode_to_worker
    )

    @given(values_of(kind))
    def check(message: Any) -> None:
        (body,) = wire.Unframer().feed(wire.frame(message))
        back = read(body)
        assert back == message
        assert type(back) is kind

    check()


def test_a_message_for_the_other_side_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        wire.decode_to_child(wire.encode_message(wire.Pong()))
    with pytest.raises(msgspec.ValidationError):
        wire.decode_to_worker(wire.encode_message(wire.Ping()))


MESSAGES = st.lists(st.one_of([values_of(kind) for kind in TO_WORKER]), max_size=5)


@given(MESSAGES, st.data())
def test_frames_cut_at_any_point_come_whole_and_in_order(
    messages: Any, data: st.DataObject
) -> None:
    stream = b"".join(wire.frame(message) for message in messages)
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))
    unframer, bodies = wire.Unframer(), []
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        bodies += unframer.feed(stream[start:end])
    assert [wire.decode_to_worker(body) for body in bodies] == messages
    assert unframer.feed(b"") == []


def test_a_frame_byte_by_byte_comes_with_its_last_byte() -> None:
    stream = wire.frame(wire.Warn("line", "stack")) + wire.frame(wire.Pong())
    unframer = wire.Unframer()
    whole = [at for at in range(len(stream)) if unframer.feed(stream[at : at + 1])]
    assert whole == [len(wire.frame(wire.Warn("line", "stack"))) - 1, len(stream) - 1]


def test_an_id_of_a_job_fits_the_words() -> None:
    assert len(new_id()) == len(uuid4().bytes)

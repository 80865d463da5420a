"""Values on the wire. Columns of a batch go as arrays in the binary format, packed here: the driver's own
way costs ten times as much, and it would choose an integer's type by its size, a plan for each."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct as Packer
from typing import Any, ClassVar

import psycopg
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.pq import Format
from psycopg.types.bool import BoolBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import BytesBinaryDumper, StrBinaryDumper

_HEAD = Packer(">iIIii").pack  # dimensions, has nulls, type of the elements, length, first index
_LENGTH = Packer(">i").pack
_BIGINT = Packer(">iq").pack
_INT = Packer(">ii").pack
_NULL = _LENGTH(-1)


class Id(bytes):
    """A job's id as a parameter: 16 bytes that are a uuid, not a bytea."""


class Column:
    """The values of one column of a batch; each subclass is one type of the database."""

    element: ClassVar[int]
    array: ClassVar[int]
    __slots__ = ("values",)

    def __init__(self, values: Iterable[Any]) -> None:
        self.values = list(values)

    def packed(self) -> bytes:
        """The array in the binary format of the protocol (array_send, PostgreSQL's arrayfuncs.c)."""
        values = self.values
        head = _HEAD(1 if values else 0, 1, self.element, len(values), 1)
        return (head if values else head[:12]) + b"".join(self._elements())

    def _elements(self) -> list[bytes]:
        raise NotImplementedError


class Uuids(Column):
    """Ids."""

    element, array = 2950, 2951

    def _elements(self) -> list[bytes]:
        sixteen = _LENGTH(16)
        return [_NULL if value is None else sixteen + value for value in self.values]


class Bytes(Column):
    """Encoded values."""

    element, array = 17, 1001

    def _elements(self) -> list[bytes]:
        return [_NULL if one is None else _LENGTH(len(one)) + one for one in self.values]


class Texts(Column):
    """Texts."""

    element, array = 25, 1009

    def _elements(self) -> list[bytes]:
        raws = [None if one is None else one.encode() for one in self.values]
        return [_NULL if raw is None else _LENGTH(len(raw)) + raw for raw in raws]


class BigInts(Column):
    """Times, fences."""

    element, array = 20, 1016

    def _elements(self) -> list[bytes]:
        return [_NULL if one is None else _BIGINT(8, one) for one in self.values]


class Ints(Column):
    """Small numbers."""

    element, array = 23, 1007

    def _elements(self) -> list[bytes]:
        return [_NULL if one is None else _INT(4, one) for one in self.values]


class Bools(Column):
    """Flags."""

    element, array = 16, 1000

    def _elements(self) -> list[bytes]:
        one = _LENGTH(1)
        return [one + (b"\x01" if value else b"\x00") for value in self.values]


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> Buffer:
        return obj.packed()


class _IdDumper(Dumper):
    format = Format.BINARY
    oid = 2950

    def dump(self, obj: Id) -> Buffer:
        return obj


class _IdLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


def adapt(connection: psycopg.Connection[Any]) -> None:
    """Have ``connection`` take and give our values."""
    adapters = connection.adapters
    for column in (Uuids, Bytes, Texts, BigInts, Ints, Bools):
        dumper = type(f"{column.__name__}Dumper", (_ColumnDumper,), {"oid": column.array})
        adapters.register_dumper(column, dumper)
    adapters.register_dumper(Id, _IdDumper)
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(bool, BoolBinaryDumper)
    adapters.register_dumper(str, StrBinaryDumper)
    adapters.register_dumper(bytes, BytesBinaryDumper)
    adapters.register_loader("uuid", _IdLoader)

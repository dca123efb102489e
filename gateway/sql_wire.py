"""The pipe between the gateway and a SQL worker: frames of a 4-byte big-endian length and that many bytes of JSON.

JSON and not pickle: a worker runs statements that a model wrote, so what it sends back is data from outside.
A value is None, a bool, an int, a finite float or a str, whatever the database. `json_value` is the one place
that says how the other types become one of these.
"""

from __future__ import annotations

import json
import math
import struct
from decimal import Decimal
from typing import Any, BinaryIO

Frame = dict[str, Any]
Scalar = bool | int | float | str | None

LENGTH = struct.Struct(">I")


def encode_frame(message: Frame) -> bytes:
    body = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return LENGTH.pack(len(body)) + body


def decode_body(body: bytes) -> Frame:
    """Raises ValueError where the body is not a JSON object."""
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError(f"a frame holds a JSON object, got {type(message).__name__}")
    return message


def read_frame(stream: BinaryIO) -> Frame | None:
    """The next frame, or None where the other side closed the pipe."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    body = stream.read(size)
    return decode_body(body) if len(body) == size else None


def write_frame(stream: BinaryIO, message: Frame) -> None:
    stream.write(encode_frame(message))
    stream.flush()


def json_value(value: object) -> Scalar:
    """One database value as JSON can hold it.

    Bytes become PostgreSQL's hex text (`\\x00ff`), NaN and the infinities its words, a decimal a number where a
    double holds its digits exactly and text where it does not. Anything else (dates above all) becomes `str(value)`.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, Decimal):
        return _decimal_value(value)
    return str(value)


def _decimal_value(value: Decimal) -> Scalar:
    if not value.is_finite():
        return "NaN" if value.is_nan() else ("Infinity" if value > 0 else "-Infinity")
    exponent = value.as_tuple().exponent
    if exponent == 0:
        return int(value)
    as_float = float(value)
    return as_float if math.isfinite(as_float) and Decimal(repr(as_float)) == value else str(value)


def size_bytes(value: Scalar) -> int:
    """About what the value takes in a frame."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    return 8

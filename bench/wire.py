"""As much of PostgreSQL's protocol as a client needs that asks with parameters and counts what comes back.

https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

VERSION = 3 << 16
HEADER = struct.Struct("!cI")
SYNC = b"S\0\0\0\x04"
DESCRIBE_AND_EXECUTE = b"D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0"


def startup(user: str, database: str) -> bytes:
    """Return what a client says first."""
    body = struct.pack("!I", VERSION) + f"user\0{user}\0database\0{database}\0\0".encode()
    return struct.pack("!I", len(body) + 4) + body


def message(kind: bytes, body: bytes) -> bytes:
    """Return a message with its length."""
    return HEADER.pack(kind, len(body) + 4) + body


@dataclass(frozen=True)
class Statement:
    """A statement with parameters, sent whole each time: a transaction by itself, and nothing stays prepared."""

    sql: str

    def packet(self, *values: str) -> bytes:
        """Return what asks for it with these values, in text, and for all rows."""
        parameters = b"".join(struct.pack("!I", len(value)) + value for value in (v.encode() for v in values))
        bind = b"\0\0\0\0" + struct.pack("!H", len(values)) + parameters + b"\0\0"
        parse = b"\0" + self.sql.encode() + b"\0\0\0"
        return message(b"P", parse) + message(b"B", bind) + DESCRIBE_AND_EXECUTE + SYNC


@dataclass
class Answer:
    """What has come so far of an answer: whether that is all, how many rows, and the SQLSTATE of an error."""

    is_complete: bool = False
    rows: int = 0
    error: str = ""
    rest: bytes = b""

    def take(self, data: bytes) -> None:
        """Read what came."""
        if self.rest:
            data = self.rest + data
        at, size = 0, len(data)
        while at + 5 <= size:
            kind, length = HEADER.unpack_from(data, at)
            end = at + 1 + length
            if end > size:
                break
            if kind == b"D":
                self.rows += 1
            elif kind == b"Z":
                self.is_complete = True
            elif kind == b"E":
                self.error = sqlstate(data[at + 5 : end])
            at = end
        self.rest = data[at:]


def sqlstate(fields: bytes) -> str:
    """Return the SQLSTATE in the fields of an error."""
    return next(field[1:].decode() for field in fields.split(b"\0") if field.startswith(b"C"))

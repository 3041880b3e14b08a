"""Hostile inputs: each line of `inputs.jsonl` is one, with the surface it reaches and the right outcome.

A line is a JSON object. `surface`, `name` and `outcome` are texts; the other members depend on the surface, and the
tests of that surface read them. Texts and bytes are written as *parts*, so that a line stays short:

- a text stands for itself (as bytes: in UTF-8), `null` for None;
- `{"hex": "fffe"}` are these bytes, `{"repeat": part, "times": n}` a repetition, a list a concatenation;
- `{"http": "200 OK", "headers": {name: part}, "body": part}` is an answer of HTTP/1.1 with the body's length;
- `{"json": document}` is the document as JSON, `{"gzip": part}` the part compressed,
  `{"encode": "utf-16", "text": text}` a text in another encoding;
- `{"envelope": changes}` is a valid envelope as JSON with members changed, `{"without": [names]}` beside it removes
  some, and `{"replace": [[old, new], …]}` beside it replaces parts of the JSON that changes can't express.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.samples import envelope

FILE: Final = Path(__file__).with_name("inputs.jsonl")


@dataclass(frozen=True)
class Input:
    """One hostile input. `fields` are the members that only its surface knows."""

    surface: str
    name: str
    outcome: str
    fields: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name

    def __getitem__(self, field: str) -> Any:
        return self.fields[field]

    def get(self, field: str, default: Any = None) -> Any:
        return self.fields.get(field, default)

    def bytes(self, field: str) -> bytes:
        """Return the bytes that the part *field* stands for; none where it is missing."""
        return octets(self.get(field)) or b""


@cache
def inputs() -> tuple[Input, ...]:
    """Return all inputs, in the order of the file."""
    return tuple(_read(line) for line in FILE.read_text(encoding="utf-8").splitlines() if line)


def inputs_of(surface: str) -> list[Input]:
    """Return the inputs of one surface, of which there is at least one."""
    found = [one for one in inputs() if one.surface == surface]
    assert found, f"no hostile input for {surface!r}"
    return found


def octets(part: Any) -> bytes | None:  # noqa: C901, PLR0911 - a table with a line for each kind of part
    """Return the bytes that *part* stands for."""
    match part:
        case None:
            return None
        case str():
            return part.encode("utf-8", "surrogatepass")
        case list():
            return b"".join(octets(one) or b"" for one in part)
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"repeat": repeated, "times": times}:
            return (octets(repeated) or b"") * int(times)
        case {"json": document}:
            return json.dumps(document).encode()
        case {"gzip": compressed}:
            return gzip.compress(octets(compressed) or b"", mtime=0)
        case {"encode": encoding, "text": text}:
            return str(text).encode(encoding)
        case {"envelope": changes}:
            return _envelope(changes, part)
        case {"http": status}:
            return _answer(status, part)
    raise ValueError(f"no part: {str(part)[:100]}")


def _answer(status: str, part: Mapping[str, Any]) -> bytes:
    body = octets(part.get("body")) or b""
    headers = part.get("headers", {}) | {"Content-Length": str(len(body))}
    lines = [
        f"HTTP/1.1 {status}".encode(),
        *(f"{name}: ".encode() + (octets(headers[name]) or b"") for name in headers),
    ]
    return b"\r\n".join([*lines, b"", body])


def text(part: Any) -> str:
    """Return the text that *part* stands for; surrogates in it stay."""
    return (octets(part) or b"").decode("utf-8", "surrogatepass")


def _envelope(changes: Mapping[str, Any], part: Mapping[str, Any]) -> bytes:
    changed = {**envelope(), **changes}
    written = json.dumps({name: value for name, value in changed.items() if name not in part.get("without", ())})
    for old, new in part.get("replace", ()):
        assert old in written, f"{old!r} is not in the envelope"
        written = written.replace(old, text(new), 1)
    return written.encode()


def _read(line: str) -> Input:
    fields = json.loads(line)
    return Input(fields.pop("surface"), fields.pop("name"), fields.pop("outcome"), fields)

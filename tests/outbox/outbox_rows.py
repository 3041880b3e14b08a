"""Rows for the outbox that are hard to copy without a change: every corner of JSON, and a thousand by chance."""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNICODE = "Zoë Łukasz 李 🦊 e\u0301 \u2028 \u200d \ufeff"


class HandMade(NamedTuple):
    """A row as somebody would insert it; `payload` is JSON, which PostgreSQL prints in its own way."""

    aggregateid: str | None
    type: str
    sequence: int | None
    payload: str | None
    traceparent: str | None


# What table.expand.json.payload would lose, round, invent or die of, and other corners.
JSON = (
    '{"a": null, "b": {"c": null}, "d": [null, {"e": null}]}',
    '{"empty": [], "none": {}, "text": "", "nested": [[], [[]], {}]}',
    '{"long": 123456789012345678901234567890, "longest_64": 9223372036854775807, "over": 18446744073709551616}',
    '{"price": 1.50, "zero": 0.00, "small": 1e-30, "huge": 1e400, "minus": -0.0, "exact": 0.1000000000000000055511151}',
    f'{{"{UNICODE}": "{UNICODE}"}}',
    r'{"escaped": "\" \\ \/ \b \f \n \r \t \u001f \u00e9 \ud83e\udd8a"}',
    r'{"markup": "<a href=\"x\">&amp;</a> ${env:HOME} ${routedByValue}"}',
    '{"mixed": [1, "two", 3.0, null, true, {"four": 4}], "same": [{"a": 1}, {"b": "c"}]}',
    '{"twice": 1, "twice": 2}',
    f'{{"large": "{"x" * 800_000}"}}',
    "null",
    '""',
    '"text"',
    "1.50",
    "[]",
    "{}",
)


def corners() -> list[HandMade]:
    """Return each corner, with and without a trace, and keys that are no plain email."""
    rows = [
        HandMade(f"corner{number}@example.com", "nova_earned", 1, payload, trace)
        for number, payload in enumerate(JSON)
        for trace in (None, TRACE)
    ]
    keys = (UNICODE, "zoë@example.com", " spaced @example.com ", "k" * 320)
    rows += [HandMade(key, "driver_signed_up", 2**63 - 1, "{}", "") for key in keys]
    rows += [HandMade("nothing@example.com", "nova_redeemed", 0, None, trace) for trace in (None, UNICODE)]
    return rows


def by_chance(number: int, seed: int) -> list[HandMade]:
    """Return rows with generated payloads."""
    random = Random(seed)
    types = ("driver_signed_up", "nova_earned", "merchant_contact_updated")
    return [
        HandMade(
            f"driver{random.randrange(50)}@example.com",
            random.choice(types),
            random.randrange(1, 2**40),
            _object(random, depth=3),
            random.choice((None, None, TRACE, "")),
        )
        for _ in range(number)
    ]


def _value(random: Random, depth: int) -> str:
    kinds = ("null", "boolean", "number", "number", "text", "text") + (("list", "object") if depth else ())
    match random.choice(kinds):
        case "boolean":
            return random.choice(("true", "false"))
        case "number":
            return _number(random)
        case "text":
            return _text(random)
        case "list":
            return f"[{', '.join(_value(random, depth - 1) for _ in range(random.randrange(4)))}]"
        case "object":
            return _object(random, depth - 1)
        case _:
            return "null"


def _object(random: Random, depth: int) -> str:
    return f"{{{', '.join(f'{_text(random)}: {_value(random, depth)}' for _ in range(random.randrange(5)))}}}"


def _number(random: Random) -> str:
    digits = str(random.randrange(10 ** random.choice((1, 5, 25, 60))))
    fraction = random.choice(("", f".{random.randrange(10**6):06}", ".50"))
    exponent = random.choice(("", "", f"e{random.randrange(-40, 400)}"))
    return f"{random.choice(('', '-'))}{digits}{fraction}{exponent}"


def _text(random: Random) -> str:
    return f'"{"".join(_characters(random))}"'


def _characters(random: Random) -> Iterator[str]:
    for _ in range(random.randrange(12)):
        code = random.choice(
            (random.randrange(1, 128), random.randrange(128, 0xD800), random.randrange(0xE000, 0x110000))
        )
        # As JSON wants it, and PostgreSQL takes: everything but zero.
        yield f"\\u{code:04x}" if code < 32 or chr(code) in '"\\' else chr(code)

"""Generated records and answers: valid ones, changed at random into what nobody should send. A seed fixes all of it."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final
from uuid import UUID

from schemas.envelope import Headers
from schemas.events import EVENT_TYPES
from tests.kafka.kafka_records import BEGAN, TOPICS, KafkaRecord, ms
from tests.samples import PAYLOADS, envelope

EVENTS_OF_A_CONTACT: Final = 5
# How many of a hundred records stay as they are.
VALID: Final = 30

TIMES: Final = (
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-08:00",
    "0000-00-00T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-24T03:00:00+23:59",
    "2026-11-24T24:00:00Z",
    "2026-11-24",
    "now",
)
NUMBERS: Final[tuple[Any, ...]] = (
    *(0, -1, 1.5, 1e308, -0.0, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30),
    *(float("nan"), float("inf"), True),
)
TEXTS: Final = (
    *(
        "",
        " ",
        "x" * 70_000,
        "\ud800",
        "a\x00b",
        "\u202eevil",
        "\ufeffada@example.com",
        "é" * 300,
        "👩‍👩‍👧",
        "=1+1",
        "<b>",
    ),
    *("ada@example.com", "ADA@EXAMPLE.COM", "@", "a" * 400 + "@example.com", "ada@\u00adexample.com", "{", "null", "0"),
)
OTHERS: Final[tuple[Any, ...]] = (None, [], {}, [[]], {"": None}, [None] * 3, {"email": 1}, [1, "a", {}])
KEYS: Final = (
    None,
    b"",
    b"\xff\xfe",
    b"ADA@EXAMPLE.COM",
    b"ada",
    b"x" * 400,
    "é@example.com".encode(),
    b"\xed\xa0\x80",
)
STAMPS: Final = (-1, 0, 1, 2**63 - 1, -(2**63), 253_402_300_800_000)
SEQUENCES: Final = (
    *(None, b"", b"0", b"-1", b"1", b"2", b"007", b"1e3", b"1" * 19, b"9" * 19, b"9" * 40, b"\xff", b" 1"),
    "\uff11".encode(),
)
TRACES: Final = (None, b"", b"\xff", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00", b"x" * 5_000)


class Mangler:
    """Changes values at random, by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance: Final = random.Random(seed)

    def value(self) -> Any:
        """Return a value that is wrong in most places."""
        return deepcopy(self.chance.choice(self.chance.choice((TIMES, NUMBERS, TEXTS, OTHERS))))

    def document(self, document: Any) -> Any:
        """Return a copy of a JSON document, with one to three values replaced, removed or added."""
        changed = json.loads(json.dumps(document))
        for _ in range(self.chance.randint(1, 3)):
            changed = self._changed(changed)
        return changed

    def _changed(self, document: Any) -> Any:
        places = [place for place in _containers(document) if place]
        if not places or self.chance.random() < 0.03:
            return self.value()
        container = self.chance.choice(places)
        at = (
            self.chance.choice(list(container))
            if isinstance(container, dict)
            else self.chance.randrange(len(container))
        )
        match self.chance.randrange(10):
            case 0 | 1:
                del container[at]
            case 2 if isinstance(container, dict):
                container[self.chance.choice(TEXTS)] = self.value()
            case 3 if isinstance(container, list):
                container.append(deepcopy(container[at]))
            case _:
                container[at] = self.value()
        return document

    def octets(self, document: Any) -> bytes:
        """Return the document as a record's value or a body, sometimes damaged as text."""
        text = json.dumps(document, ensure_ascii=self.chance.random() < 0.5).encode(errors="surrogatepass")
        at = self.chance.randrange(len(text))
        damaged = (
            text[:at],
            text[:at] + bytes([self.chance.randrange(256)]) + text[at + 1 :],
            b'{"sequence": 1, ' + text[1:],
            text.decode(errors="replace").encode(self.chance.choice(("utf-16", "utf-8-sig", "utf-32"))),
            self.chance.choice((b"", b"null", b"0", b'""', b"<html>", bytes(10), b"1" * 5_000, b"[" * 100_000)),
        )
        return self.chance.choice(damaged) if self.chance.random() < 0.15 else text


def records(seed: int, number: int) -> Iterator[KafkaRecord]:
    """Yield so many records of events; VALID of a hundred are as the outbox makes them."""
    mangler = Mangler(seed)
    for record in valid_records(number, seed):
        yield record if mangler.chance.randrange(100) < VALID else _mangled(record, mangler)


def valid_records(number: int, seed: int = 0) -> Iterator[KafkaRecord]:
    """Yield so many records as the outbox makes them, contact by contact."""
    chance, offsets = random.Random(seed), dict.fromkeys(TOPICS.events, 0)
    for count in range(number):
        contact, sequence = divmod(count, EVENTS_OF_A_CONTACT)
        event_type = chance.choice(EVENT_TYPES)
        topic, email = TOPICS.of(event_type), f"contact{contact}@example.com"
        yield _record(event_type, email, sequence + 1, UUID(int=count + 1), offsets[topic])
        offsets[topic] += 1


def _record(event_type: str, email: str, sequence: int, event_id: UUID, offset: int) -> KafkaRecord:
    payload = PAYLOADS[event_type] | ({"email": email} if "email" in PAYLOADS[event_type] else {})
    made = envelope(event_type, sequence, email, id=str(event_id), payload=payload)
    headers = Headers(str(event_id), event_type, sequence).encode()
    at = ms(BEGAN) + 1_000 * offset
    return KafkaRecord(TOPICS.of(event_type), 0, offset, at, email.encode(), json.dumps(made).encode(), headers)


def _mangled(record: KafkaRecord, mangler: Mangler) -> KafkaRecord:
    chance = mangler.chance
    changes: dict[str, Callable[[], Any]] = {
        "value": lambda: mangler.octets(mangler.document(json.loads(record.value or b"{}"))),
        "key": lambda: chance.choice(KEYS),
        "timestamp": lambda: chance.choice(STAMPS),
        "headers": lambda: _headers(record, chance),
    }
    # Most of what can be wrong is in the value.
    names = ["value"] if chance.random() < 0.6 else chance.sample(list(changes), chance.randint(1, 4))
    return record._replace(**{name: changes[name]() for name in names})


def _headers(record: KafkaRecord, chance: random.Random) -> list[tuple[str, bytes | None]]:
    named: Mapping[str, bytes | None] = dict(record.headers) | {
        "sequence": chance.choice(SEQUENCES),
        "traceparent": chance.choice(TRACES),
        chance.choice(("id", "type", "", "dead_letter.reason", "\u00e9")): chance.choice(KEYS),
    }
    headers = list(named.items())
    chance.shuffle(headers)
    return headers[: chance.randint(0, len(headers))]


def _containers(document: Any) -> Iterator[Any]:
    """Yield the objects and arrays in a document, itself included."""
    if isinstance(document, dict | list):
        yield document
        for inner in document.values() if isinstance(document, dict) else document:
            yield from _containers(inner)

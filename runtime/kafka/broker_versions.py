"""Which release of Kafka a broker is, as far as a client can know: no answer of Kafka's says it.

In KRaft mode a broker says which levels of the feature `metadata.version` it supports, and each release has its levels
(KIP-584). In ZooKeeper mode there is no such feature; the version of one request tells 3.3 and later from the former.
Redpanda and others speak Kafka's protocol with neither.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final, NamedTuple, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import RequestHeader_v2, ResponseHeader_v0
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

# The first level of each release, by `MetadataVersion` of Kafka 4.4, which has prepared one for 4.5.
_LEVELS: Final = dict(
    zip(
        (1, 2, 3, 4, 8, 9, 12, 15, 20, 21, 22, 26, 28, 30, 31, 34),
        (*((3, minor) for minor in range(10)), *((4, minor) for minor in range(6))),
        strict=True,
    )
)
NEWEST_KNOWN: Final = max(_LEVELS.values())
_FEATURE: Final = "metadata.version"
_SUPPORTED_FEATURES: Final = 0
# Version 3 of CreateDelegationToken came with 3.3 (KIP-373).
_DELEGATION_TOKEN: Final = 38
_SINCE_3_3: Final = 3


class BrokerVersion(NamedTuple):
    """What a broker tells: its release where it is in KRaft mode, else whether its protocol is that of 3.3 or later."""

    release: tuple[int, int] | None
    since_3_3: bool


_REQUEST: Final = Schema(
    ("software_name", CompactString("utf-8")), ("software_version", CompactString("utf-8")), ("tags", TaggedFields)
)
_ANSWER: Final = Schema(
    ("error_code", Int16),
    ("apis", CompactArray(("key", Int16), ("min", Int16), ("max", Int16), ("tags", TaggedFields))),
    ("throttle_time_ms", Int32),
    ("tags", TaggedFields),
)
_FEATURES: Final = CompactArray(
    ("name", CompactString("utf-8")), ("min", Int16), ("max", Int16), ("tags", TaggedFields)
)


async def ask_version(admin: AIOKafkaAdminClient, node: int) -> BrokerVersion:
    """Return what the broker of this number tells. Raises KafkaError and TimeoutError."""
    try:
        answer: BrokerVersion = await admin._send_request_to_node(node, _ApiVersions())  # noqa: SLF001 - no public way
    except IncompatibleBrokerVersion:
        return BrokerVersion(None, since_3_3=False)
    return answer


def is_redpanda(cluster_id: str | None) -> bool:
    """Return whether a cluster's id is one of Redpanda's, which begin so for clients that want to know."""
    return (cluster_id or "").startswith("redpanda.")


class _ApiVersionsAnswer:
    """Reads an answer to ApiVersions."""

    @staticmethod
    def decode(answer: BytesIO) -> BrokerVersion:
        _, apis, _, tags = _ANSWER.decode(answer)
        newest = {key: newest for key, _, newest, _ in apis}
        features = _FEATURES.decode(BytesIO(tags[_SUPPORTED_FEATURES])) if _SUPPORTED_FEATURES in tags else ()
        levels = [newest for name, _, newest, _ in features if name == _FEATURE]
        release = _LEVELS[max((level for level in _LEVELS if level <= levels[0]), default=1)] if levels else None
        return BrokerVersion(release, since_3_3=newest.get(_DELEGATION_TOKEN, 0) >= _SINCE_3_3)


class _ApiVersions:
    """The request, as aiokafka's connections send one. aiokafka's own has only versions whose answers lack features."""

    API_KEY: Final = 18
    API_VERSION: Final = 3
    RESPONSE_TYPE: Final = _ApiVersionsAnswer

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Self:
        # Kafka has this version since 2.4.
        if versions[self.API_KEY][1] < self.API_VERSION:
            raise IncompatibleBrokerVersion(f"ApiVersions has no version {self.API_VERSION}")
        return self

    def build_request_header(self, correlation_id: int, client_id: str) -> Any:
        return RequestHeader_v2(self, correlation_id=correlation_id, client_id=client_id)

    def encode(self) -> bytes:
        encoded: bytes = _REQUEST.encode(("nerava-lifecycle", "1", {}))
        return encoded

    def parse_response_header(self, answer: BytesIO) -> Any:
        # Alone of all answers with tags, this one has none in its header: a client reads it before it knows the broker.
        return ResponseHeader_v0.decode(answer)

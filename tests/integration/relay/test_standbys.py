"""What the doctor says of relays: how many stand by, whatever other connections each has."""

from pydantic import SecretStr

from hubspot_consumer.doctor.environment import DoctorSettings, Environment
from hubspot_consumer.doctor.examination import examine
from hubspot_consumer.doctor.outbox import OutboxChecks
from producer.relay.outbox import Outbox
from runtime.clock import SystemClock


async def found(database_url: str) -> str:
    settings = DoctorSettings(kafka_bootstrap_servers="127.0.0.1:1", database_url=SecretStr(database_url))
    findings = await examine([OutboxChecks(Environment(settings)).checks()])
    [text] = [finding.what for finding in findings if finding.name == "relay"]
    return text


async def test_the_connections_that_delete_and_watch_are_no_standbys(database_url: str, none_of_ours: None) -> None:
    clock = SystemClock()
    async with (
        await Outbox.connect(lambda: database_url, clock) as active,
        await Outbox.opened(lambda: database_url, clock),
    ):
        assert await active.become_active()
        assert "standing by" not in await found(database_url)

        async with (
            await Outbox.connect(lambda: database_url, clock) as standby,
            await Outbox.opened(lambda: database_url, clock),
        ):
            assert not await standby.become_active()
            assert (await found(database_url)).endswith("1 standing by")

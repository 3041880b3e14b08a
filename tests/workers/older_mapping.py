"""The consumer as it was before a mapping was mended: `python -m tests.older_mapping worker`."""

from collections.abc import Mapping

from hubspot_consumer.__main__ import commands
from hubspot_consumer.mapping import MAPPINGS
from schemas.envelope import Totals
from schemas.events import MerchantContactCreated, NovaEarned


def _earned(_: NovaEarned, totals: Totals) -> Mapping[str, str | None]:
    # It forgot when, and took cents for something else.
    return {
        "nerava_total_nova_earned_cents": str(totals.nova_earned_cents // 100),
        "nerava_nova_balance_cents": "0",
    }


def _created(event: MerchantContactCreated, _: Totals) -> Mapping[str, str | None]:
    return {"nerava_role": "merchant", "nerava_merchant_id": event.merchant_id, "company": event.business_name.upper()}


MAPPINGS.update({NovaEarned: _earned, MerchantContactCreated: _created})

if __name__ == "__main__":
    commands(prog_name="python -m hubspot_consumer")

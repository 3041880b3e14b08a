"""The lifecycle events: what happened, as the backend tells it.

A new event is a model here, named in `LifecycleEvent`, and a mapping function in the consumer; nothing else.
"""

from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from schemas.contacts import contact_key

# The integers that every JSON reader keeps exactly (RFC 8259, section 6).
LARGEST_EXACT_INTEGER: Final = 2**53 - 1


def _without_nul(text: str) -> str:
    if "\0" in text:
        # PostgreSQL's jsonb refuses it, which would abort the caller's transaction.
        raise ValueError("the character U+0000 can't be stored")
    return text


def _names_a_contact(email: str) -> str:
    contact_key(email)
    return email


Text = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(_without_nul),
]
Email = Annotated[Text, AfterValidator(_names_a_contact)]
AmountCents = Annotated[int, Field(strict=True, ge=0, le=LARGEST_EXACT_INTEGER)]
BalanceCents = Annotated[int, Field(strict=True, ge=-LARGEST_EXACT_INTEGER, le=LARGEST_EXACT_INTEGER)]


class Event(BaseModel):
    """One kind of lifecycle event; its fields are the payload, `type` its discriminator."""

    # A field nobody knows is a typing error at the producer's door; a reader is told to ignore it (see `envelope`).
    model_config = ConfigDict(frozen=True, extra="forbid")


class DriverSignedUp(Event):
    type: Literal["driver_signed_up"] = Field("driver_signed_up", exclude=True)
    user_id: Text
    email: Email
    auth_provider: Text
    created_at: AwareDatetime


class WalletPassInstalled(Event):
    type: Literal["wallet_pass_installed"] = Field("wallet_pass_installed", exclude=True)
    user_id: Text
    pass_type: Literal["apple", "google"]
    installed_at: AwareDatetime


class NovaEarned(Event):
    type: Literal["nova_earned"] = Field("nova_earned", exclude=True)
    user_id: Text
    amount_cents: AmountCents
    session_id: Text
    new_balance_cents: BalanceCents
    earned_at: AwareDatetime


class NovaRedeemed(Event):
    type: Literal["nova_redeemed"] = Field("nova_redeemed", exclude=True)
    user_id: Text
    amount_cents: AmountCents
    merchant_id: Text
    redemption_id: Text
    new_balance_cents: BalanceCents
    redeemed_at: AwareDatetime


class FirstRedemptionCompleted(Event):
    type: Literal["first_redemption_completed"] = Field("first_redemption_completed", exclude=True)
    user_id: Text
    redemption_id: Text
    merchant_id: Text
    amount_cents: AmountCents
    completed_at: AwareDatetime


class MerchantContactCreated(Event):
    type: Literal["merchant_contact_created"] = Field("merchant_contact_created", exclude=True)
    merchant_id: Text
    email: Email
    name: Text
    phone: Text | None = None
    business_name: Text
    created_at: AwareDatetime


class MerchantContactUpdated(Event):
    """The fields that changed are set, the others are left out."""

    type: Literal["merchant_contact_updated"] = Field("merchant_contact_updated", exclude=True)
    merchant_id: Text
    email: Email
    previous_email: Email | None = None
    name: Text | None = None
    phone: Text | None = None
    business_name: Text | None = None
    updated_at: AwareDatetime


LifecycleEvent = Annotated[
    DriverSignedUp
    | WalletPassInstalled
    | NovaEarned
    | NovaRedeemed
    | FirstRedemptionCompleted
    | MerchantContactCreated
    | MerchantContactUpdated,
    Field(discriminator="type"),
]

EVENTS: Final[dict[str, type[Event]]] = {
    model.model_fields["type"].default: model for model in get_args(get_args(LifecycleEvent)[0])
}
"""Every event model by its type, in the order of `LifecycleEvent`."""

EVENT_TYPES: Final[tuple[str, ...]] = tuple(EVENTS)

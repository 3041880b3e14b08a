"""The lifecycle events, as the backend produces them.

A new event needs a model here, its name in `LifecycleEvent`, and a mapping function in the consumer; nothing else.
"""

from typing import Annotated, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
)

from schemas.contacts import contact_key
from schemas.times import UtcTime

# The largest integer that every JSON reader keeps exactly (RFC 8259, section 6).
LARGEST_EXACT_INTEGER: Final = 2**53 - 1

_EMAIL: Final = "ada@example.com"
_AT: Final = "2026-11-24T03:00:00.123456Z"


def _without_nul(text: str) -> str:
    if "\0" in text:
        # PostgreSQL's jsonb refuses this character, which would abort the caller's transaction.
        raise ValueError("the character U+0000 can't be stored")
    return text


def _names_a_contact(email: str) -> str:
    contact_key(email)
    return email


def _whole_in_json(number: object, info: ValidationInfo) -> object:
    # JSON has one type of number: some languages write 500 as 500.0, and PostgreSQL's jsonb keeps that form.
    if info.mode == "json" and isinstance(number, float) and number.is_integer():
        return int(number)
    return number


Text = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(_without_nul),
]
Email = Annotated[Text, AfterValidator(_names_a_contact)]

UserId = Annotated[Text, Field(description="The backend's own id of the user", examples=["usr_42"])]
MerchantId = Annotated[Text, Field(description="The backend's own id of the merchant", examples=["mer_7"])]
SessionId = Annotated[Text, Field(description="The charging session that earned it", examples=["ses_1"])]
RedemptionId = Annotated[Text, Field(description="The backend's own id of the redemption", examples=["red_1"])]
AuthProvider = Annotated[Text, Field(description="How the driver signed in", examples=["apple"])]
ContactEmail = Annotated[
    Email, Field(description="The contact's email as it was given; `contact.email` is its key", examples=[_EMAIL])
]
PreviousEmail = Annotated[
    Email, Field(description="The email before, when it changed", examples=["a.lovelace@example.com"])
]
Name = Annotated[Text, Field(description="The contact's full name", examples=["Ada Lovelace"])]
Phone = Annotated[Text, Field(description="The contact's phone number", examples=["+1 555 0100"])]
BusinessName = Annotated[Text, Field(description="The name of the merchant's business", examples=["Example Café"])]
AmountCents = Annotated[
    int,
    Field(strict=True, ge=0, le=LARGEST_EXACT_INTEGER, description="How much, in whole cents", examples=[500]),
    BeforeValidator(_whole_in_json),
]
BalanceCents = Annotated[
    int,
    Field(
        strict=True,
        ge=-LARGEST_EXACT_INTEGER,
        le=LARGEST_EXACT_INTEGER,
        description="The user's Nova balance afterwards, in whole cents",
        examples=[3500],
    ),
    BeforeValidator(_whole_in_json),
]
Time = Annotated[UtcTime, Field(description="When it happened, with its time zone", examples=[_AT])]


class Event(BaseModel):
    """One kind of lifecycle event; its fields are the payload, `type` its discriminator."""

    # An unknown field is an error of the producer's caller. Readers ignore unknown fields and accept any time (see
    # `envelope`).
    model_config = ConfigDict(frozen=True, extra="forbid")


class DriverSignedUp(Event):
    """A driver signed up, and told an email."""

    type: Literal["driver_signed_up"] = Field("driver_signed_up", exclude=True)
    user_id: UserId
    email: ContactEmail
    auth_provider: AuthProvider
    created_at: Time


class WalletPassInstalled(Event):
    """A driver installed the pass in a phone's wallet."""

    type: Literal["wallet_pass_installed"] = Field("wallet_pass_installed", exclude=True)
    user_id: UserId
    pass_type: Annotated[Literal["apple", "google"], Field(description="Whose wallet it is in", examples=["apple"])]
    installed_at: Time


class NovaEarned(Event):
    """A driver earned Nova in a charging session."""

    type: Literal["nova_earned"] = Field("nova_earned", exclude=True)
    user_id: UserId
    amount_cents: AmountCents
    session_id: SessionId
    new_balance_cents: BalanceCents
    earned_at: Time


class NovaRedeemed(Event):
    """A driver spent Nova at a merchant."""

    type: Literal["nova_redeemed"] = Field("nova_redeemed", exclude=True)
    user_id: UserId
    amount_cents: AmountCents
    merchant_id: MerchantId
    redemption_id: RedemptionId
    new_balance_cents: BalanceCents
    redeemed_at: Time


class FirstRedemptionCompleted(Event):
    """A driver spent Nova for the first time, and is an active driver from now on."""

    type: Literal["first_redemption_completed"] = Field("first_redemption_completed", exclude=True)
    user_id: UserId
    redemption_id: RedemptionId
    merchant_id: MerchantId
    amount_cents: AmountCents
    completed_at: Time


class MerchantContactCreated(Event):
    """A merchant named somebody to talk to."""

    type: Literal["merchant_contact_created"] = Field("merchant_contact_created", exclude=True)
    merchant_id: MerchantId
    email: ContactEmail
    name: Name
    phone: Phone | None = None
    business_name: BusinessName
    created_at: Time


class MerchantContactUpdated(Event):
    """A merchant's contact changed. The fields that changed are set, the others are left out."""

    type: Literal["merchant_contact_updated"] = Field("merchant_contact_updated", exclude=True)
    merchant_id: MerchantId
    email: ContactEmail
    previous_email: PreviousEmail | None = None
    name: Name | None = None
    phone: Phone | None = None
    business_name: BusinessName | None = None
    updated_at: Time


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
"""All event models by their type, in the order of `LifecycleEvent`."""

EVENT_TYPES: Final[tuple[str, ...]] = tuple(EVENTS)

"""Validation of emails: HubSpot accepts addresses whose top-level domain exists."""

import re
from typing import Final

# A part of IANA's list: sample data passes, and typing errors such as `.con`, `.ik` and `.lcom` do not.
_LISTED: Final = """
com org net io dev edu gov mil int info biz name pro aero coop museum mobi jobs travel tel app ai me tv cc co
ly gg xyz online site shop store tech cloud blog agency email company group global world life live club design
eu uk de fr nl be lu at ch li es pt it ie is no se fi dk pl cz sk hu ro bg gr hr si rs ba mk al ee lv lt ua by
md ru tr cy mt us ca mx gt cr pa cu do pr ve ec pe bo br py uy ar cl au nz jp cn hk tw kr in pk bd lk np th vn
my sg id ph ae sa qa kw om bh il jo lb iq ir eg ma dz tn ng gh ke tz ug za zw zm et sn ci cm ge am az kz uz mn
"""
TOP_LEVEL_DOMAINS: Final = frozenset(_LISTED.split())

_ADDRESS: Final = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+([a-z]{2,63})"
)
_LONGEST_LOCAL_PART: Final = 64


def normalised(email: str) -> str:
    """Return *email* in the form that HubSpot stores and compares: trimmed, in lower case."""
    return email.strip().lower()


def is_valid(email: str) -> bool:
    """Return whether HubSpot accepts a normalised email."""
    address = _ADDRESS.fullmatch(email)
    return address is not None and address[1] in TOP_LEVEL_DOMAINS and email.index("@") <= _LONGEST_LOCAL_PART


def split(emails: str) -> list[str]:
    """Return the addresses of an `hs_additional_emails` value."""
    return [normalised(email) for email in emails.split(";") if email.strip()]

"""Texts of foreign origin: what of them can be encoded, shown and kept."""

import json
import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator

from schemas.contacts import shortened

# Of a note, or of what HubSpot said: what is longer must still fit a line and a record.
LONGEST_KEPT: Final = 2_000
# Of a surrogate, which may be half of a pair or one of two.
_ESCAPED: Final = re.compile(r"\\u[dD][89a-fA-F]")


def encodable(text: str) -> str:
    """Return *text* with each half of a surrogate pair replaced: JSON may escape one, and no encoding has it."""
    return text.encode(errors="replace").decode()


def read_json(value: bytes) -> Any:
    """Return the JSON in *value*, with texts that can be encoded. Raises ValueError, also where it is nested deeply."""
    try:
        text = value.decode(json.detect_encoding(value))
        document = json.loads(text)
        # Most have none, and to look at each of their texts would take as long as to read them.
        return json.loads(encodable(json.dumps(document, ensure_ascii=False))) if _ESCAPED.search(text) else document
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _encodable(value: object) -> object:
    return encodable(value) if isinstance(value, str) else value


def _shortened(text: str) -> str:
    return shortened(text, LONGEST_KEPT)


Words = Annotated[str, BeforeValidator(_encodable), AfterValidator(_shortened)]
"""What people or HubSpot say, in a record that is kept: without whole emails, and cut where it is too long."""

"""Tokens by OAuth's client credentials: a token endpoint issues them to whoever knows a client's secret (RFC 6749)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from runtime.kafka.credentials.faults import CredentialsRefused, CredentialsUnavailable
from runtime.kafka.credentials.tokens import Token, TokenIssuer
from runtime.settings import without_password

ANSWER_WITHIN_S: Final = 4.0
# For an endpoint that does not say how long its tokens last.
LASTS_S: Final = 300.0
# RFC 6750, section 2.1.
_A_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_PREFIX: Final = "KAFKA_SASL_OAUTHBEARER_"
# The variable that an error of RFC 6749, section 5.2, is about.
_IS_ABOUT: Final = {
    "invalid_client": f"{_PREFIX}CLIENT_SECRET",
    "unauthorized_client": f"{_PREFIX}CLIENT_ID",
    "invalid_scope": f"{_PREFIX}SCOPE",
}


@dataclass(frozen=True)
class TokenEndpoint(TokenIssuer):
    """The endpoint at *url*. *secret* returns the client's secret as it is now."""

    url: str
    client_id: str
    secret: Callable[[], str]
    scope: str | None

    refused = f"{_PREFIX}TOKEN_ENDPOINT_URL: {{broker}} does not accept its token ({{status}})"

    def issue(self) -> Token:
        # Only its users have to wait for its import.
        import httpx  # noqa: PLC0415 - see above

        asked = {"grant_type": "client_credentials"} | ({"scope": self.scope} if self.scope else {})
        try:
            answer = httpx.post(self.url, data=asked, auth=(self.client_id, self.secret()), timeout=ANSWER_WITHIN_S)
        except httpx.HTTPError as error:
            raise CredentialsUnavailable(self._said(f"does not answer ({type(error).__name__})")) from None
        body = _body(answer)
        if not answer.is_success:
            raise self._fault(answer.status_code, str(body.get("error") or ""))
        token = body.get("access_token")
        if not isinstance(token, str) or not _A_TOKEN.fullmatch(token):
            raise CredentialsUnavailable(self._said("answers without an access_token"))
        return Token(token, _seconds(body.get("expires_in")))

    def _fault(self, status: int, error: str) -> CredentialsUnavailable:
        if status in (408, 429) or status >= 500:
            return CredentialsUnavailable(self._said(f"answers {status}"))
        if status == 401 and error not in _IS_ABOUT:
            error = "invalid_client"
        if variable := _IS_ABOUT.get(error):
            return CredentialsRefused(f"{variable}: {self._address} does not accept it ({error})")
        known = f" {error}" if re.fullmatch("[a-z_]{1,40}", error) else ""
        return CredentialsRefused(self._said(f"answers {status}{known}"))

    def _said(self, words: str) -> str:
        return f"{_PREFIX}TOKEN_ENDPOINT_URL: {self._address} {words}"

    @property
    def _address(self) -> str:
        return without_password(self.url)


def _body(answer: Any) -> dict[str, object]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        return LASTS_S
    return seconds if 0 < seconds < float("inf") else LASTS_S

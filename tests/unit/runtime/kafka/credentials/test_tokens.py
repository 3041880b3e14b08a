"""Tokens: used for most of their life by all clients, and never again after a refusal."""

import asyncio
from base64 import b64decode
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from aiokafka.errors import SaslAuthenticationFailed

from runtime.kafka.connection import KafkaConnection
from runtime.kafka.credentials import tokens as module
from runtime.kafka.credentials.faults import CredentialsUnavailable
from runtime.kafka.credentials.logins import _TokenLogin
from runtime.kafka.credentials.msk_iam import MSKSigner
from runtime.kafka.credentials.tokens import Token, TokenIssuer, Tokens
from tests.kafka.token_endpoint import unsigned

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "open-sesame"}


class Issuer(TokenIssuer):
    refused = ""

    def __init__(self, lasts_s: float = 100) -> None:
        self.issued = 0
        self.lasts_s = lasts_s
        self.claims = {"exp": 1e12}

    def issue(self) -> Token:
        self.issued += 1
        return Token(unsigned({**self.claims, "jti": self.issued}), self.lasts_s)


class Time:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1e9


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(module, "time", time)
    return time


@pytest.mark.parametrize(("lasts_s", "used_s"), [(100, 80), (3600, 3540), (1, 0.8)])
async def test_a_token_is_used_for_most_of_its_life(time: Time, lasts_s: float, used_s: float) -> None:
    issuer = Issuer(lasts_s)
    tokens = Tokens(issuer, {})

    first = await tokens.token()
    time.now += used_s * 0.99
    assert await tokens.token() == first
    time.now += used_s * 0.02
    assert await tokens.token() != first
    assert issuer.issued == 2


async def test_clients_of_several_event_loops_share_one_token(time: Time) -> None:
    issuer = Issuer()
    tokens = Tokens(issuer, {})

    ours = [tokens.token() for _ in range(5)]
    theirs = [asyncio.to_thread(lambda: asyncio.run(tokens.token())) for _ in range(5)]

    assert len(set(await asyncio.gather(*ours, *theirs))) == issuer.issued == 1


@pytest.mark.parametrize(
    ("expires", "said"), [(1e12, "invalid_token"), (1, "it has expired"), ("never", "invalid_token")]
)
async def test_a_refused_token_is_not_used_again_and_what_is_wrong_is_told(
    time: Time, expires: object, said: str
) -> None:
    issuer = Issuer()
    issuer.claims = {"exp": expires}  # type: ignore[dict-item] # as an issuer may write it
    tokens = Tokens(issuer, {})
    login = _TokenLogin(tokens)

    sent = await login.step(None)
    assert sent is not None
    assert sent[0].startswith(b"n,,\x01auth=Bearer ")
    with pytest.raises(SaslAuthenticationFailed) as refused:
        await login.step(b'{"status":"invalid_token","scope":"none"}')

    assert refused.value.args == (said,)
    await tokens.token()
    assert issuer.issued == 2


async def test_a_taken_token_ends_the_login_and_extensions_go_with_it(time: Time) -> None:
    login = _TokenLogin(Tokens(Issuer(), {"logicalCluster": "lkc-1"}))

    sent = await login.step(None)

    assert sent is not None
    assert sent[0].endswith(b"\x01logicalCluster=lkc-1\x01\x01")
    assert await login.step(b"") is None


async def test_a_token_of_msk_is_a_signed_url_of_its_region_for_a_quarter_of_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    kafka = KafkaConnection.model_validate(
        {
            "kafka_bootstrap_servers": "SASL_SSL://b-1:9098",
            "kafka_sasl_mechanism": "aws_msk_iam",
            "aws_region": "eu-west-1",
        }
    )

    options = kafka.client_options()
    token = await options["sasl_oauth_token_provider"].token()

    assert options["sasl_mechanism"] == "OAUTHBEARER"
    url = urlsplit(b64decode(f"{token}===", altchars=b"-_").decode())
    asked = parse_qs(url.query)
    assert url.netloc == "kafka.eu-west-1.amazonaws.com"
    assert asked["Action"] == ["kafka-cluster:Connect"]
    assert unquote(asked["X-Amz-Credential"][0]).startswith("AKIDEXAMPLE/")
    assert asked["X-Amz-Credential"][0].endswith("/eu-west-1/kafka-cluster/aws4_request")
    assert {"X-Amz-Signature", "X-Amz-Date", "X-Amz-Expires"} <= asked.keys()
    assert 800 < MSKSigner("eu-west-1").issue().lasts_s < 901


def test_without_credentials_of_aws_the_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")

    with pytest.raises(CredentialsUnavailable, match=r"^KAFKA_SASL_MECHANISM: AWS_MSK_IAM has no credentials"):
        MSKSigner("eu-west-1").issue()

"""No file of the repository holds a secret: tokens, keys and passwords that somebody could use."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PATTERNS = {
    "a HubSpot token": r"pat-[a-z]{2,4}[0-9]?-(?P<secret>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",
    "an AWS key's id": r"\b(?:AKIA|ASIA)(?P<secret>[A-Z0-9]{16})\b",
    "an AWS secret key": r"(?i)aws_secret_access_key\W{1,4}(?P<secret>[A-Za-z0-9/+=]{40})",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*(?P<secret>PRIVATE KEY)-----",
    "a GitHub token": r"\bgh[opsu]_(?P<secret>[A-Za-z0-9]{36})\b",
    "a Slack token": r"\bxox[abps]-(?P<secret>[A-Za-z0-9-]{20,})",
    "a password in a URL": r"[a-z][a-z0-9+]*://[^\s/:@\"'`]*:(?P<secret>[^\s/:@\"'`]+)@",
}
# A token of somebody's is random: its first group is no digit eight times.
A_SAMPLE_TOKEN = re.compile(r"([0-9])\1{7}-.*")
SAMPLE_AWS_KEY = re.compile(r".*EXAMPLE")
# Placeholders, and words that say of themselves what they are.
SAMPLE_PASSWORDS = re.compile(
    r"password|secret|secret-of-the-database|nerava|sesame|hush|hidden|postgres|pass|pass%40|pw|open%40sesame|\{.*|\$.*|…|<.*|\*+|\.\.\."
)


def is_sample(kind: str, secret: str) -> bool:
    match kind:
        case "a HubSpot token":
            return A_SAMPLE_TOKEN.fullmatch(secret) is not None
        case "an AWS key's id":
            return SAMPLE_AWS_KEY.fullmatch(secret) is not None
        case "a password in a URL":
            return SAMPLE_PASSWORDS.fullmatch(secret) is not None
        case _:
            return False


def secrets_in(text: str) -> list[str]:
    """Return what kinds of secrets are in *text*, each with its line, and not the secret itself."""
    return [
        f"line {text.count(chr(10), 0, found.start()) + 1}: {kind}"
        for kind, pattern in PATTERNS.items()
        for found in re.finditer(pattern, text)
        if not is_sample(kind, found["secret"])
    ]


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_tracked_file_holds_a_secret() -> None:
    files = tracked_files()
    found = {
        str(path.relative_to(ROOT)): secrets
        for path in files
        if (secrets := secrets_in(path.read_text(errors="replace")))
    }

    assert len(files) > 300
    assert found == {}


HEX = "8f14e45f-ceea-467f-a8d1-3b2c9e0d7a61"
LETTERS = "Q7ZK2M9XW4T1B8VC"


# In two parts, or this file would hold one.
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("a HubSpot token", f"TOKEN=pat-na1-{HEX}"),
        ("a HubSpot token", f"'pat-eu1-{HEX}'"),
        ("an AWS key's id", "AKIA" + LETTERS),
        ("an AWS secret key", f"aws_secret_access_key = {'a1B/' * 10}"),
        ("an AWS secret key", f'"AWS_SECRET_ACCESS_KEY": "{"a1B/" * 10}"'),
        ("a private key", "-----BEGIN RSA " + "PRIVATE KEY-----"),
        ("a private key", "-----BEGIN " + "PRIVATE KEY-----"),
        ("a GitHub token", "ghp_" + "a1B2" * 9),
        ("a Slack token", "xoxb-" + "1234567890-" * 3),
        ("a password in a URL", "postgresql://me:" + "tr0ub4dor&3@db.example.com/nerava"),
        ("a password in a URL", "https://:" + "tr0ub4dor@example.com"),
    ],
)
def test_a_secret_is_found_and_not_shown(kind: str, text: str) -> None:
    assert secrets_in(f"# a line\n{text}\n") == [f"line 2: {kind}"]


@pytest.mark.parametrize(
    "text",
    [
        "pat-na1-00000000-0000-4000-8000-000000000000",
        "AKIAIOSFODNN7EXAMPLE",
        "postgresql://user:password@host:port/name",
        "http://127.0.0.1:8090/ and me@example.com",
        "postgresql://postgres@localhost:5432/postgres",
    ],
)
def test_a_sample_is_no_secret(text: str) -> None:
    assert secrets_in(text) == []

"""The client's certificate: what is wrong with its files is named, and files that change are loaded again."""

import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from shutil import copy

import pytest

from runtime.kafka.credentials.faults import CredentialsUnavailable
from runtime.kafka.credentials.tls import TLSFiles, tls_context
from tests.foreign.client_certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def files(certfile: object, keyfile: object = None, password: str = "", cafile: object = None) -> TLSFiles:
    named = [None if path is None else str(path) for path in (cafile, certfile, keyfile)]
    return TLSFiles(named[0], named[1], named[2], lambda: password)


def test_certificate_and_key_may_be_in_two_files_or_in_one_and_the_key_may_be_encrypted(
    authority: Authority, tmp_path: Path
) -> None:
    plain, closed = authority.issue("plain"), authority.issue("closed", password="open sesame")
    both = tmp_path / "both"
    both.write_bytes(plain.certfile.read_bytes() + plain.keyfile.read_bytes())

    tls_context(files(plain.certfile, plain.keyfile, cafile=authority.pem))
    tls_context(files(both))
    tls_context(files(closed.certfile, closed.keyfile, "open sesame"))


Wrong = Callable[[Authority, Path], TLSFiles]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda _a, t: files(t / "none"), r"KAFKA_SSL_CERTFILE: .*none can't be read \(No such file or directory\)$"),
        (lambda _a, t: files(t), r"KAFKA_SSL_CERTFILE: .* can't be read \(Is a directory\)$"),
        (lambda a, t: files(a.issue("a").certfile, t / "none"), "KAFKA_SSL_KEYFILE: .*none can't be read"),
        (lambda a, _t: files(a.issue("a").certfile), "KAFKA_SSL_CERTFILE: .* has no key in PEM$"),
        (lambda a, _t: files(a.issue("a").certfile, a.pem), "KAFKA_SSL_KEYFILE: .* has no key in PEM$"),
        (lambda a, _t: files(a.issue("a").keyfile), "KAFKA_SSL_CERTFILE: .* has no certificate in PEM$"),
        (
            lambda a, _t: files(a.issue("a").certfile, a.issue("b").keyfile),
            "KAFKA_SSL_KEYFILE: .* is not that of the certificate$",
        ),
        (
            lambda a, _t: files(a.issue("a").certfile, a.issue("a", password="open sesame").keyfile),
            "KAFKA_SSL_KEY_PASSWORD: is not set, and the key in .* is encrypted",
        ),
        (
            lambda a, _t: files(a.issue("a").certfile, a.issue("a", password="open sesame").keyfile, "shut sesame"),
            "KAFKA_SSL_KEY_PASSWORD: does not open the key",
        ),
        (lambda a, _t: files(None, cafile=a.issue("a").keyfile), "KAFKA_SSL_CAFILE: .* has no certificate in PEM$"),
        (lambda _a, t: files(None, cafile=t / "none"), "KAFKA_SSL_CAFILE: .*none can't be read"),
    ],
)
def test_what_is_wrong_is_named_by_its_variable(wrong: Wrong, named: str, authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(CredentialsUnavailable, match=f"^{named}") as refused:
        tls_context(wrong(authority, tmp_path))

    assert "sesame" not in str(refused.value)


def connects(context: ssl.SSLContext) -> None:
    """Do what asyncio does for each connection."""
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=False, server_hostname="broker")


def test_each_connection_has_the_certificate_of_the_moment_and_a_missing_one_is_named(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = authority.issue("first"), authority.issue("second")
    certfile, keyfile = tmp_path / "client.pem", tmp_path / "client.key"
    copy(first.certfile, certfile)
    copy(first.keyfile, keyfile)
    loaded = 0
    load_into = TLSFiles.load_into

    def counted(one: TLSFiles, context: ssl.SSLContext) -> None:
        nonlocal loaded
        load_into(one, context)
        loaded += 1

    monkeypatch.setattr(TLSFiles, "load_into", counted)
    context = tls_context(files(certfile, keyfile))
    connects(context)
    assert loaded == 1

    # Half of a rotation: this certificate is not of this key.
    copy(second.certfile, certfile)
    with pytest.raises(CredentialsUnavailable, match="KAFKA_SSL_KEYFILE"):
        connects(context)
    copy(second.keyfile, keyfile)
    connects(context)
    connects(context)
    assert loaded == 2

    keyfile.unlink()
    with pytest.raises(CredentialsUnavailable, match=r"KAFKA_SSL_KEYFILE: .* can't be read"):
        connects(context)
    copy(second.keyfile, keyfile)
    connects(context)


def test_the_end_of_a_certificate_is_told_only_when_it_has_come(authority: Authority, tmp_path: Path) -> None:
    for lasts, over in ((timedelta(hours=1), False), (timedelta(hours=-1), True), (timedelta(days=20_000), False)):
        assert (files(authority.issue("a", lasts=lasts).certfile).ended is not None) == over
    assert files(None).ended is files(tmp_path / "none").ended is files(authority.issue("b").keyfile).ended is None

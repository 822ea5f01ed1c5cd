"""The studio's own requests: which addresses are called, that the checked one is, and that the deadline holds for all."""

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import closing, contextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apps.core import outgoing
from apps.core.addresses import address_check
from apps.core.errors import AppError
from apps.core.outgoing import json_ask

ALWAYS_REFUSED = [
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "fe80::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
]
PRIVATE = [
    "127.0.0.1",
    "127.8.9.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "::1",
    "fd12::1",
    "fec0::1",
]
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "2002:808:808::1", "64:ff9b::808:808"]


def carried(text):
    """Every IPv6 form of an IPv4 address."""
    four = int(ipaddress.IPv4Address(text))
    forms = {
        "mapped": (0xFFFF << 32) | four,
        "compatible": four,
        "translated": (0xFFFF << 48) | four,
        "NAT64": (0x64FF9B << 96) | four,
        "local NAT64": (0x64FF9B0001 << 80) | four,
        "6to4": (0x2002 << 112) | (four << 80) | 1,
        "Teredo server": (0x2001 << 112) | (four << 64) | (~int(ipaddress.IPv4Address("8.8.8.8")) & 0xFFFFFFFF),
        "Teredo client": (0x2001 << 112) | (0x08080808 << 64) | (~four & 0xFFFFFFFF),
        "ISATAP": (0x2606_4700 << 96) | (0x5EFE << 32) | four,
    }
    return {name: ipaddress.IPv6Address(number) for name, number in forms.items()}


def is_allowed(ip, *, private_allowed):
    try:
        address_check("http://x/", ipaddress.ip_address(ip), private_allowed=private_allowed)
    except AppError as error:
        assert error.code == "address_refused"
        return False
    return True


@pytest.mark.parametrize("ip", ALWAYS_REFUSED)
def test_addresses_of_metadata_and_of_no_single_machine_are_refused_in_every_form(ip):
    assert not is_allowed(ip, private_allowed=True)
    if "." in ip:
        for name, six in carried(ip).items():
            assert int(six) <= 1 or not is_allowed(six, private_allowed=True), name


@pytest.mark.parametrize("ip", PRIVATE)
def test_private_addresses_are_called_only_where_that_is_allowed_in_whatever_form(ip):
    assert is_allowed(ip, private_allowed=True)
    assert not is_allowed(ip, private_allowed=False)
    if "." in ip:
        for name, six in carried(ip).items():
            assert not is_allowed(six, private_allowed=False), name


@pytest.mark.parametrize("ip", PUBLIC)
def test_public_addresses_are_called(ip):
    assert is_allowed(ip, private_allowed=False)


@pytest.mark.parametrize(
    "url", ["ftp://x/", "file:///etc/passwd", "http://", "http://[::1", "x", "", "http://x:99999999/"]
)
def test_what_is_no_web_address_is_refused(url):
    with pytest.raises(AppError) as refused:
        json_ask(url, is_entered=True)
    assert refused.value.code == "address_refused"


@pytest.mark.parametrize(
    "host", ["2852039166", "0xa9fea9fe", "169.254.43518", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]"]
)
def test_other_spellings_of_an_address_are_refused_like_it(host):
    with pytest.raises(AppError) as refused:
        json_ask(f"http://{host}/latest/meta-data", is_entered=True)
    assert refused.value.code == "address_refused"


def resolving(monkeypatch, *answers):
    """Each look-up of a name gets the next list of addresses; returns how often was asked."""
    asked = []

    def getaddrinfo(host, port, *args, **kwargs):
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    return asked


def test_a_name_with_one_forbidden_address_among_others_is_refused(monkeypatch):
    resolving(monkeypatch, ["93.184.216.34", "169.254.169.254"])
    with pytest.raises(AppError, match="metadata"):
        json_ask("http://harmless.example/", is_entered=True)


def test_the_checked_address_is_the_one_connected_to_and_the_name_is_resolved_once(monkeypatch, server):
    asked = resolving(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answers["/v1"] = (200, {}, b"{}")
    assert json_ask(f"http://models.example:{server.server_port}/v1", is_entered=True) == {}
    assert asked == ["models.example"]
    assert server.asked[0][1]["Host"] == f"models.example:{server.server_port}"


def test_a_dead_address_of_a_name_leaves_time_for_the_next(monkeypatch, server):
    resolving(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    server.answers["/v1"] = (200, {}, b"[1]")
    assert json_ask(f"http://models.example:{server.server_port}/v1", is_entered=True) == [1]


def test_services_that_the_studio_names_itself_are_reached_through_the_environments_proxy(monkeypatch, server):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    server.answers["http://service.example/who?a=1"] = (200, {}, b'"me"')
    assert json_ask("http://service.example/who?a=1") == "me"
    assert server.asked[0][1]["Host"] == "service.example"


@contextmanager
def listening(serve):
    """A port on loopback; `serve(socket)` has each caller to itself."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def accept():
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(caller,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


def drip(piece, first=b""):
    """Sends `first`, then `piece` again and again, each well within any timeout of a single read."""

    def serve(caller):
        with closing(caller):
            try:
                caller.sendall(first)
                while True:
                    caller.sendall(piece)
                    time.sleep(0.05)
            except OSError:
                return

    return serve


@pytest.mark.parametrize(
    ("scheme", "serve"),
    [
        ("http", lambda caller: time.sleep(30)),
        ("http", drip(b"X")),
        ("http", drip(b"X-A: b\r\n", b"HTTP/1.1 200 OK\r\n")),
        ("http", drip(b" ", b"HTTP/1.1 200 OK\r\n\r\n")),
        ("http", drip(b"1\r\n \r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")),
        ("https", lambda caller: time.sleep(30)),
        ("https", drip(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")),
    ],
    ids=["silence", "status", "headers", "body", "chunks", "TLS silence", "TLS drip"],
)
def test_one_deadline_holds_for_the_whole_request(monkeypatch, scheme, serve):
    monkeypatch.setattr(outgoing, "DEADLINE_S", 0.4)
    with listening(serve) as port:
        began = time.monotonic()
        with pytest.raises(AppError) as failed:
            json_ask(f"{scheme}://127.0.0.1:{port}/", is_entered=True)
        assert failed.value.code == "connection_failed"
        assert time.monotonic() - began < 3
    for thread in threading.enumerate():
        if thread.name.startswith("call "):
            thread.join(timeout=5)
            assert not thread.is_alive(), "the abandoned request ends too"


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(outgoing, "DEADLINE_S", 0.2)
    released = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: released.wait(30) and [])
    began = time.monotonic()
    with pytest.raises(AppError, match="within"):
        json_ask("http://slow.example/", is_entered=True)
    assert time.monotonic() - began < 3
    released.set()


def test_tls_names_the_host_and_checks_its_certificate(monkeypatch, tmp_path):
    """Over the checked address: the server name and the certificate are those of the name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "models.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("models.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context, names = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(pem)
    context.sni_callback = lambda _, server_name, __: names.append(server_name)

    def serve(caller):
        try:
            with context.wrap_socket(caller, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except OSError:
            return

    resolving(monkeypatch, ["127.0.0.1"])
    with listening(serve) as port:
        with pytest.raises(AppError, match="CERTIFICATE_VERIFY_FAILED"):
            json_ask(f"https://models.example:{port}/", is_entered=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert json_ask(f"https://models.example:{port}/", is_entered=True) == {}
        with pytest.raises(AppError, match="CERTIFICATE_VERIFY_FAILED"):
            json_ask(f"https://other.example:{port}/", is_entered=True)
    assert names == ["models.example", "models.example", "other.example"]

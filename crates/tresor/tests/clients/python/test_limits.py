"""What one client can take from others: rates, connections, heads, bodies, protocol versions."""

import http.client
import socket
import ssl
import struct
import time
import urllib.parse

import pytest

import http2
from journey import LOCATION, Journey, unique
from wire import GROUPS, Reply, Wire

LEFT = "x-ms-ratelimit-remaining-subscription-"


def place(wire):
    """Host and port of a service."""
    parts = urllib.parse.urlsplit(wire.base)
    return parts.hostname, parts.port


def raw(wire, data, timeout=20):
    """Sends bytes over TLS on one connection; all that comes back until it is closed."""
    context = ssl.create_default_context(cafile=wire.settings["CA_FILE"])
    with socket.create_connection(place(wire), timeout=timeout) as plain:
        with context.wrap_socket(plain, server_hostname=place(wire)[0]) as secure:
            try:
                secure.sendall(data)
            except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                pass  # Refused before all was sent; what was answered is still read.
            answer = b""
            while True:
                try:
                    more = secure.recv(65536)
                except (ConnectionResetError, ssl.SSLError):
                    return answer
                if not more:
                    return answer
                answer += more


def sign_in(wire, secret, address):
    """A token request from an address of this machine."""
    form = {"grant_type": "client_credentials", "client_id": wire.settings["CLIENT_ID"],
            "client_secret": secret, "scope": f"{wire.base}/.default"}
    connection = http.client.HTTPSConnection(
        "127.0.0.1", place(wire)[1], timeout=20, context=wire.context,
        source_address=(address, 0))
    connection.request(
        "POST", f"/{wire.settings['TENANT_ID']}/oauth2/v2.0/token",
        urllib.parse.urlencode(form),
        {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    reply = Reply(answer.status, answer.getheaders(), answer.read())
    connection.close()
    return reply


# ---- limits over time


def test_the_remaining_headers_tell_the_truth(new_server):
    server = new_server("[rate]\nreads = 3\nreads_per_minute = 60\n"
                        "writes = 2\nwrites_per_minute = 1\n").start()
    wire = Wire(server.settings)
    group = f"/subscriptions/{wire.subscription}/resourceGroups/rg"
    for left in ("1", "0"):
        reply = wire.request("PUT", group, {"location": LOCATION}, GROUPS)
        assert reply.status in (200, 201) and reply.headers[LEFT + "writes"] == left
    refused = wire.request("PUT", group, {"location": LOCATION, "tags": {"a": "b"}}, GROUPS)
    assert (refused.status, refused.code) == (429, "TooManyRequests"), refused
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers[LEFT + "writes"] == "0"
    first = wire.request("GET", group, api=GROUPS)
    assert first.status == 200 and first.headers[LEFT + "reads"] == "2"
    assert not first.json().get("tags"), "the refused write changed nothing"
    # Sixty come back in a minute: who waits as told is served.
    while wire.request("GET", group, api=GROUPS).status == 200:
        pass
    refused = wire.request("GET", group, api=GROUPS)
    if refused.status == 429:
        assert refused.headers["retry-after"] == "1"
        time.sleep(1)
        assert wire.request("GET", group, api=GROUPS).status == 200


def test_guessing_a_secret_is_braked_where_it_comes_from(new_server):
    server = new_server("[rate]\nwrong_secrets = 3\nwrong_secrets_per_minute = 1\n").start()
    wire = Wire(server.settings)
    right = server.settings["CLIENT_SECRET"]
    for _ in range(3):
        assert sign_in(wire, "guess", "127.0.0.2").status == 401
    for secret in ("guess", right):
        braked = sign_in(wire, secret, "127.0.0.2")
        assert braked.status == 429, braked
        assert int(braked.headers["retry-after"]) >= 1
        body = braked.json()
        assert body["error"] == "temporarily_unavailable" and body["error_codes"]
        assert body["error_description"].startswith("AADSTS")
    assert sign_in(wire, right, "127.0.0.3").status == 200, "the owner, elsewhere"


def test_strangers_are_counted_by_address(new_server):
    server = new_server("[rate]\nanonymous = 4\nanonymous_per_minute = 1\n").start()
    wire = Wire(server.settings)
    assert wire.token()
    found = [wire.request("GET", "/subscriptions", api="2022-12-01", token="x").status
             for _ in range(5)]
    assert found == [401, 401, 401, 429, 429]
    blob = wire.request("GET", "/md-1/2/disk?sig=x", token=None)
    assert (blob.status, blob.code) == (429, "ServerBusy") and "retry-after" in blob.headers
    assert blob.headers["content-type"] == "application/xml"
    found = wire.request("GET", "/subscriptions", api="2022-12-01")
    assert found.status == 200, "who has a token is not kept out"
    assert sign_in(wire, server.settings["CLIENT_SECRET"], "127.0.0.2").status == 200


def test_one_address_cannot_take_all_connections(new_server):
    server = new_server("[wire]\nmax_connections_per_address = 3\n").start()
    wire = Wire(server.settings)
    target = ("127.0.0.1", place(wire)[1])
    held = [socket.create_connection(target, timeout=20, source_address=("127.0.0.2", 0))
            for _ in range(3)]
    context = ssl.create_default_context(cafile=wire.settings["CA_FILE"])
    # Each place is taken once the service has accepted, which a handshake shows.
    held = [context.wrap_socket(plain, server_hostname="localhost") for plain in held]
    with socket.create_connection(target, timeout=20, source_address=("127.0.0.2", 0)) as fourth:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            context.wrap_socket(fourth, server_hostname="localhost")
    assert wire.request("GET", "/subscriptions", api="2022-12-01").status == 200
    for connection in held:
        connection.close()


# ---- heads and bodies


@pytest.mark.parametrize("lines", [
    [f"x-filler-{number}: 1" for number in range(200)], ["x-filler: " + "y" * (128 << 10)]],
    ids=["many", "long"])
def test_heads_are_bounded(wire, lines):
    head = "\r\n".join(["GET /subscriptions?api-version=2022-12-01 HTTP/1.1",
                        f"Host: localhost:{place(wire)[1]}", *lines, "", ""])
    answer = raw(wire, head.encode())
    assert answer.split(b"\r\n")[0] in (
        b"HTTP/1.1 431 Request Header Fields Too Large", b""), answer[:200]
    assert wire.request("GET", "/subscriptions", api="2022-12-01").status == 200


def test_urls_are_bounded(wire):
    reply = wire.request("GET", "/subscriptions?x=" + "y" * 9000, api="2022-12-01")
    assert (reply.status, reply.code) == (414, "RequestUriTooLong")


@pytest.mark.parametrize("body, status, word", [
    (b"[" * 300 + b"]" * 300, 400, "recursion"),
    (b'{"tags":[' + b",".join([b"[]"] * 200_000) + b"]}", 400, "values"),
    (b'{"x":"' + b"y" * (5 << 20) + b'"}', 413, "bytes"),
], ids=["deep", "wide", "long"])
def test_bodies_are_bounded(wire, body, status, word):
    path = f"/subscriptions/{wire.subscription}/resourceGroups/{unique('rg')}"
    reply = wire.request("PUT", path, body, GROUPS, {"Content-Type": "application/json"})
    assert reply.status == status and word in reply.text, reply


# ---- two readers of one request


def request_bytes(wire, *lines, body=b""):
    """A request with these lines of the head."""
    head = "\r\n".join([f"POST /{wire.settings['TENANT_ID']}/oauth2/v2.0/token HTTP/1.1",
                        *lines, "Connection: close", "", ""])
    return head.encode() + body


@pytest.mark.parametrize("lines, body", [
    (["Host: {host}", "Host: evil.example", "Content-Length: 0"], b""),
    (["Host: {host}", "Content-Length: 3", "Content-Length: 4"], b"a=bc"),
    (["Host: {host}", "Content-Length: 3, 4"], b"a=bc"),
    (["Host: {host}", "Content-Length: +3"], b"a=b"),
    (["Host: {host}", "Content-Length: 4", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    (["Host: {host}", "Transfer-Encoding: chunked, identity"], b"0\r\n\r\n"),
    (["Host: {host}", "Transfer-Encoding : chunked"], b"0\r\n\r\n"),
    (["Host: {host}", "Transfer-Encoding: chunked"], b"zz\r\n\r\n"),
    (["Host: a b"], b""),
], ids=["two-hosts", "two-lengths", "listed-lengths", "signed-length", "length-and-chunked",
        "not-last-chunked", "blank-before-colon", "no-chunk", "blank-in-host"])
def test_ambiguous_requests_are_refused(wire, lines, body):
    """And nothing behind them on the connection is taken for a request."""
    host = f"localhost:{place(wire)[1]}"
    lines = [line.format(host=host) for line in lines]
    second = f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    answer = raw(wire, request_bytes(wire, *lines, body=body) + second)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer[:300]
    assert answer.count(b"HTTP/1.1 ") <= 1 and b"ok\n" not in answer


# ---- TLS


def hello(version):
    """A ClientHello that offers this version at most, with suites of its time."""
    suites = bytes.fromhex("c013c009c014c00a002f0035")
    extensions = bytes.fromhex("000a00080006001d00170018" "000b00020100")
    body = (version + bytes(32) + b"\x00" + struct.pack(">H", len(suites)) + suites + b"\x01\x00"
            + struct.pack(">H", len(extensions)) + extensions)
    shake = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack(">H", len(shake)) + shake


@pytest.mark.parametrize("version", [b"\x03\x00", b"\x03\x01", b"\x03\x02"],
                         ids=["ssl3", "tls1.0", "tls1.1"])
def test_old_tls_is_refused(wire, version):
    with socket.create_connection(place(wire), timeout=20) as plain:
        plain.sendall(hello(version))
        answer = plain.recv(100)
    assert answer[:1] == b"\x15", f"no alert: {answer!r}"
    level, description = answer[5], answer[6]
    assert level == 2 and description in (70, 40), "protocol_version or handshake_failure"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_new_tls_works(wire, version):
    context = ssl.create_default_context(cafile=wire.settings["CA_FILE"])
    context.minimum_version = context.maximum_version = version
    connection = http.client.HTTPSConnection(*place(wire), timeout=20, context=context)
    connection.request("GET", "/healthz")
    assert connection.sock.version() == version.name.replace("_", ".")
    assert connection.getresponse().status == 200
    connection.close()


def test_plain_http_is_refused(wire):
    with socket.create_connection(place(wire), timeout=20) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP/")


# ---- HTTP/2


def test_http2_works(wire):
    with http2.Http2(wire.base, wire.settings["CA_FILE"]) as connection:
        connection.send(connection.get(1, "/healthz"))
        assert connection.until(http2.DATA)[3] == b"ok\n"


def test_http2_says_how_much_it_takes(wire):
    with http2.Http2(wire.base, wire.settings["CA_FILE"]) as connection:
        payload = connection.until(http2.SETTINGS)[3]
        settings = dict(struct.unpack(">HI", payload[at:at + 6])
                        for at in range(0, len(payload), 6))
        assert settings[3] <= 256, "SETTINGS_MAX_CONCURRENT_STREAMS"
        assert settings[6] <= 64 << 10, "SETTINGS_MAX_HEADER_LIST_SIZE"


def test_rapid_resets_end_the_connection_and_nobody_elses(wire):
    """CVE-2023-44487: requests that are taken back at once."""
    with http2.Http2(wire.base, wire.settings["CA_FILE"]) as connection:
        assert connection.until(http2.SETTINGS)
        cancel = struct.pack(">I", 8)
        sent = b"".join(
            connection.get(stream, "/healthz") + frame
            for stream in range(1, 8001, 2)
            for frame in [http2.frame(http2.RST_STREAM, 0, stream, cancel)])
        connection.send(sent)
        last = connection.until(http2.GOAWAY)
        assert last is None or last[3][4:8] == struct.pack(">I", http2.ENHANCE_YOUR_CALM)
    assert wire.request("GET", "/subscriptions", api="2022-12-01").status == 200


def test_an_endless_head_ends_the_connection(wire):
    """CVE-2024-27316: a head that goes on in ever more frames."""
    with http2.Http2(wire.base, wire.settings["CA_FILE"]) as connection:
        assert connection.until(http2.SETTINGS)
        block = http2.head("/healthz", connection.host)
        filler = b"\x10" + http2.text("x-filler") + http2.text("y" * 8000)
        connection.send(http2.frame(http2.HEADERS, http2.END_STREAM, 1, block))
        for _ in range(200):
            connection.send(http2.frame(http2.CONTINUATION, 0, 1, filler))
        last = connection.until(http2.GOAWAY)
        assert last is None or last[3][4:8] != bytes(4), "it ends with an error"
    assert wire.request("GET", "/subscriptions", api="2022-12-01").status == 200


# ---- the data plane


def test_a_signature_is_no_token_and_a_token_no_signature(wire):
    journey = Journey(wire)
    disk = journey.disk(journey.group("limits"), bytearray(1 << 20))
    own = urllib.parse.urlsplit(journey.grant(disk))
    bare = wire.request("GET", own._replace(query="").geturl())
    assert (bare.status, bare.code) == (403, "AuthenticationFailed")
    signed = wire.request("GET", "/subscriptions?" + own.query, api="2022-12-01", token=None)
    assert (signed.status, signed.code) == (401, "AuthenticationFailed")
    journey.revoke(disk)

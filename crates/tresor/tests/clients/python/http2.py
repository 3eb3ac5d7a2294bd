"""HTTP/2 frames by hand (RFC 9113), for what no well-behaved client sends."""

import socket
import ssl
import struct
import urllib.parse

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
ENHANCE_YOUR_CALM = 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    """One frame."""
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
            + struct.pack(">I", stream) + payload)


def number(value, bits, first=0):
    """An integer of HPACK (RFC 7541, section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])


def text(value):
    """A string of HPACK, as it is."""
    data = value.encode()
    return number(len(data), 7) + data


def head(path, host, **more):
    """The header block of a GET; nothing goes into the table."""
    block = b"\x82\x87" + b"\x04" + text(path) + b"\x01" + text(host)
    for name, value in more.items():
        block += b"\x10" + text(name.replace("_", "-")) + text(value)
    return block


class Http2:
    """One connection."""

    def __init__(self, base_url, ca_file, timeout=20):
        parts = urllib.parse.urlsplit(base_url)
        context = ssl.create_default_context(cafile=ca_file)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
        self.socket = context.wrap_socket(plain, server_hostname=parts.hostname)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.host = parts.netloc
        self.left = b""
        self.send(PREFACE + frame(SETTINGS, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends bytes; the peer may have ended the connection."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def get(self, stream, path, **headers):
        """The frame of one GET."""
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, head(path, self.host, **headers))

    def frames(self):
        """The frames that come, (kind, flags, stream, payload), until the connection ends."""
        while True:
            while len(self.left) < 9 or len(self.left) < 9 + self._length():
                try:
                    more = self.socket.recv(65536)
                except (ConnectionResetError, ssl.SSLError):
                    more = b""
                if not more:
                    return
                self.left += more
            length = self._length()
            kind, flags = self.left[3], self.left[4]
            stream = struct.unpack(">I", self.left[5:9])[0] & 0x7FFFFFFF
            payload, self.left = self.left[9:9 + length], self.left[9 + length:]
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            yield kind, flags, stream, payload

    def _length(self):
        return int.from_bytes(self.left[:3], "big")

    def until(self, *kinds):
        """The first frame of these kinds; None when the connection ends before."""
        return next((found for found in self.frames() if found[0] in kinds), None)

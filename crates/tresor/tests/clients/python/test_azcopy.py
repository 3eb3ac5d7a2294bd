"""The rules of azcopy for a managed disk's URL, by raw HTTP.

azcopy itself is not run here. What its page blob sender and downloader send and expect
(Azure/azure-storage-azcopy: ste/sender-pageBlob.go, ste/pageRangeOptimizer.go) is sent and
expected here.
"""

import base64
import hashlib
import urllib.parse
import xml.etree.ElementTree

import pytest

import vhd
from journey import MIB, UNIT, sample
from wire import Wire

AGENT = "azcopy-rules/1"
SIZE = 6 * MIB
BLOCK = 4 * MIB
HEADERS = {"x-ms-version": "2023-08-03"}


class Copy:
    """One transfer to or from a signed URL, without any token."""

    def __init__(self, settings, sas):
        self.wire = Wire(settings, AGENT)
        self.sas = sas

    def send(self, method, query="", body=None, expected=(200, 201, 206), **headers):
        """One request; header names are given with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.wire.request(method, self.sas + query, body, token=None,
                                  headers={**HEADERS, **named})
        assert reply.status in expected, (method, query, reply)
        return reply

    def pages(self, start=0, count=None):
        """The ranges with data, of the whole or of a part."""
        span = {} if count is None else {"x_ms_range": f"bytes={start}-{start + count - 1}"}
        reply = self.send("GET", "&comp=pagelist", **span)
        assert reply.headers["content-type"] == "application/xml"
        root = xml.etree.ElementTree.fromstring(reply.body)
        return [(int(found.find("Start").text), int(found.find("End").text) + 1)
                for found in root.findall("PageRange")]

    def upload(self, whole):
        """As azcopy sends a VHD to a disk: its length is compared first, nothing is created, and
        a block of zeros is not sent where the page list says that there is nothing."""
        head = self.send("HEAD")
        assert head.headers["x-ms-blob-type"] == "PageBlob"
        length = int(head.headers["content-length"])
        assert length == len(whole), f"{len(whole)} bytes do not go into a disk of {length}"
        there, sent = self.pages(), 0
        for at in range(0, len(whole), BLOCK):
            block = whole[at:at + BLOCK]
            taken = any(start < at + len(block) and at < end for start, end in there)
            if any(block) or taken:
                self.put(at, block)
                sent += 1
        return sent

    def put(self, at, block):
        """Put Page of one block, with its digest; the answer names the digest too."""
        digest = base64.b64encode(hashlib.md5(block).digest()).decode()
        reply = self.send("PUT", "&comp=page", bytes(block), (201,), x_ms_page_write="update",
                          x_ms_range=f"bytes={at}-{at + len(block) - 1}", Content_MD5=digest)
        assert reply.headers["content-md5"] == digest

    def download(self):
        """As azcopy fetches a page blob: ranges that the page list leaves out are zeros."""
        head = self.send("HEAD")
        whole = bytearray(int(head.headers["content-length"]))
        there = self.pages()
        for at in range(0, len(whole), BLOCK):
            end = min(at + BLOCK, len(whole))
            if not any(start < end and at < stop for start, stop in there):
                continue
            reply = self.send("GET", expected=(206,), x_ms_range=f"bytes={at}-{end - 1}",
                              If_Match=head.headers["etag"], x_ms_range_get_content_md5="true")
            digest = base64.b64encode(hashlib.md5(reply.body).digest()).decode()
            assert reply.headers["content-md5"] == digest
            assert reply.headers["content-range"] == f"bytes {at}-{end - 1}/{len(whole)}"
            whole[at:end] = reply.body
        return bytes(whole)


@pytest.fixture
def disk(journey):
    """A disk that waits for its upload."""
    return journey.put_disk(journey.disk_path(journey.group()), {
        "createOption": "Upload", "uploadSizeBytes": SIZE + 512})


def test_a_disk_is_known_by_its_address(journey, disk):
    """Only below a host or account that begins with `md-` does azcopy leave out the creation of
    the blob, which a managed disk refuses."""
    sas = journey.grant(disk, "Write")
    parts = urllib.parse.urlsplit(sas)
    assert parts.path.split("/")[1].startswith("md-")
    journey.revoke(disk)


def test_upload_and_download(shared_server, journey, disk):
    """A VHD goes up and comes down bit for bit; blocks of zeros are not sent."""
    image = bytearray(sample(SIZE, seed=61))
    image[BLOCK:] = bytes(SIZE - BLOCK)
    whole = vhd.fixed(image)
    copy = Copy(shared_server.settings, journey.grant(disk, "Write"))
    assert copy.upload(whole) == 2, "one block with data, and the one with the footer"
    journey.revoke(disk)
    copy = Copy(shared_server.settings, journey.grant(disk))
    assert copy.download()[:-512] == image
    journey.revoke(disk)


def test_an_upload_over_data_clears_it(shared_server, journey, disk):
    """A block of zeros is sent where there is data, and then reads as zeros."""
    copy = Copy(shared_server.settings, journey.grant(disk, "Write"))
    copy.upload(vhd.fixed(sample(SIZE, seed=62)))
    image = bytes(SIZE)
    copy.upload(vhd.fixed(image))
    journey.revoke(disk)
    copy = Copy(shared_server.settings, journey.grant(disk))
    assert copy.download()[:-512] == image
    journey.revoke(disk)


def test_another_length_or_digest_is_refused(shared_server, journey, disk):
    copy = Copy(shared_server.settings, journey.grant(disk, "Write"))
    with pytest.raises(AssertionError, match="do not go into a disk"):
        copy.upload(vhd.fixed(sample(SIZE - MIB)))
    wrong = base64.b64encode(bytes(16)).decode()
    reply = copy.send("PUT", "&comp=page", bytes(512), (400,), x_ms_page_write="update",
                      x_ms_range="bytes=0-511", Content_MD5=wrong)
    assert reply.code == "Md5Mismatch"
    journey.revoke(disk)


def test_a_transfer_that_lost_its_right_stops(shared_server, journey, disk):
    """403 with the storage service's code, which azcopy does not try again."""
    copy = Copy(shared_server.settings, journey.grant(disk, "Write"))
    copy.put(0, b"\x01" * UNIT)
    journey.revoke(disk)
    reply = copy.send("PUT", "&comp=page", bytes(UNIT), (403,), x_ms_page_write="update",
                      x_ms_range=f"bytes=0-{UNIT - 1}")
    assert reply.headers["x-ms-error-code"] == reply.code == "AuthenticationFailed"


def test_part_of_a_page_list(shared_server, journey):
    group = journey.group()
    path = journey.disk(group, sample(SIZE, seed=63))
    copy = Copy(shared_server.settings, journey.grant(path))
    part = copy.pages(SIZE - UNIT, UNIT)
    assert part == [(SIZE - UNIT, SIZE)]
    assert copy.pages()[-1][1] == SIZE + 512, "the footer is listed too"
    journey.revoke(path)

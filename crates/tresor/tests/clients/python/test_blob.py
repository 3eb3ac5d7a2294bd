"""The page blob behind a managed disk's SAS: pages, ranges, differences, and who may use it."""

import base64
import hashlib
import struct
import threading
import urllib.parse
import xml.etree.ElementTree as ElementTree

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient

from journey import KIB, MIB, STORAGE_VERSION, UNIT, sample
from tresor_server import wait_until

SIZE = 4 * MIB
CHUNK = 256 * KIB


@pytest.fixture(scope="module")
def group(journey):
    """A group for this module's disks."""
    return journey.group("blob")


@pytest.fixture
def disk(journey, group):
    """A new empty-handed disk after its upload phase."""
    return journey.disk(group, bytearray(SIZE))


def page_list(wire, sas, **headers):
    """(ranges with data, ranges cleared) of a page list, as (start, end) with end excluded."""
    reply = wire.request("GET", f"{sas}&comp=pagelist", token=None,
                         headers={**STORAGE_VERSION, **headers})
    assert reply.status == 200, reply
    assert reply.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(reply.body)
    return tuple([(int(item.find("Start").text), int(item.find("End").text) + 1)
                  for item in root.findall(kind)] for kind in ("PageRange", "ClearRange"))


def covered(ranges):
    """The 512-byte pages in these ranges."""
    pages = set()
    for start, end in ranges:
        assert start % 512 == 0 and end % 512 == 0 and start < end
        pages |= set(range(start // 512, end // 512))
    return pages


def pages_of(*ranges):
    """The pages of (offset, length) ranges."""
    return covered([(offset, offset + length) for offset, length in ranges])


def test_head_and_footer(wire, journey, group):
    """A managed disk's blob is the disk and the footer of a fixed VHD of that size."""
    disk = journey.disk(group, sample(SIZE))
    sas = journey.grant(disk)
    assert len(urllib.parse.urlsplit(sas).path.strip("/").split("/")) == 3
    head = wire.request("HEAD", sas, headers=STORAGE_VERSION, token=None)
    assert head.status == 200 and head.headers["x-ms-blob-type"] == "PageBlob"
    assert int(head.headers["content-length"]) == SIZE + 512
    assert head.headers["accept-ranges"] == "bytes" and head.headers["etag"]
    reply = wire.request("GET", sas, token=None, headers={
        **STORAGE_VERSION, "x-ms-range": f"bytes={SIZE}-{SIZE + 511}"})
    footer = reply.body
    assert (reply.status, len(footer)) == (206, 512)
    assert reply.headers["content-range"] == f"bytes {SIZE}-{SIZE + 511}/{SIZE + 512}"
    assert footer[:8] == b"conectix"
    assert struct.unpack(">Q", footer[40:48])[0] == struct.unpack(">Q", footer[48:56])[0] == SIZE
    assert struct.unpack(">I", footer[60:64])[0] == 2, "a fixed disk"
    blank = footer[:64] + bytes(4) + footer[68:]
    assert struct.unpack(">I", footer[64:68])[0] == ~sum(blank) & 0xFFFFFFFF
    journey.revoke(disk)


@pytest.mark.parametrize("header, value, status, body", [
    ("x-ms-range", "bytes=0-511", 206, slice(0, 512)),
    ("range", "bytes=512-1023", 206, slice(512, 1024)),
    ("x-ms-range", "bytes=1-10", 206, slice(1, 11)),
    ("x-ms-range", f"bytes={SIZE - 512}-", 206, None),
    ("x-ms-range", f"bytes={SIZE + 512}-", 416, None),
    ("x-ms-range", "bytes=5-1", 400, None), ("x-ms-range", "pages=0-1", 400, None)])
def test_ranges(wire, journey, group, header, value, status, body):
    image = sample(SIZE)
    disk = journey.disk(group, image)
    sas = journey.grant(disk)
    reply = wire.request("GET", sas, token=None, headers={**STORAGE_VERSION, header: value})
    if status == 206:
        assert reply.status == 206 and reply.headers["content-range"].startswith("bytes ")
        if body:
            assert reply.body == image[body]
        else:
            assert reply.body[:512] == image[-512:] and len(reply.body) == 1024
    else:
        assert reply.status in (status, 416), reply.status
    journey.revoke(disk)


def test_pages_are_listed_completely(wire, journey, disk):
    """A client reads what the list leaves out as zeros, so no page with data may be missing."""
    sas = journey.grant(disk, "Write")
    written = [(0, 512), (UNIT, 4 * KIB), (MIB, MIB), (SIZE - 512, 512)]
    journey.write(disk, {at: b"\x05" * length for at, length in written}, sas)
    assert journey.put_page(sas, MIB + UNIT, b"", clear=UNIT).status == 201
    journey.revoke(disk)
    sas = journey.grant(disk)
    data, cleared = page_list(wire, sas)
    pages = covered(data)
    assert not cleared
    needed = pages_of(*written) - pages_of((MIB + UNIT, UNIT))
    assert needed <= pages
    assert SIZE // 512 in pages, "the footer"
    assert len(pages) < SIZE // 512 // 2, "an empty half is not listed"
    part, _ = page_list(wire, sas, **{"x-ms-range": f"bytes={MIB}-{MIB + UNIT - 1}"})
    assert covered(part) == pages_of((MIB, UNIT))
    journey.revoke(disk)


def test_difference_of_two_snapshots(wire, journey, group, disk):
    """Changed and cleared pages since the older snapshot. A page that did not change may be
    named when it lies near one that did, never one that is further away than a chunk."""
    journey.write(disk, {0: b"\x06" * UNIT, MIB: b"\x07" * UNIT, 2 * MIB: b"\x08" * UNIT,
                         3 * MIB: b"\x10" * UNIT})
    older = journey.snapshot(group, disk)
    sas = journey.grant(disk, "Write")
    journey.write(disk, {UNIT: b"\x09" * 512, MIB: b"\x0a" * UNIT}, sas)
    journey.put_page(sas, 2 * MIB, b"", clear=UNIT)
    journey.revoke(disk)
    newer = journey.snapshot(group, disk)
    sases = {name: journey.grant(name) for name in (older, newer)}
    data, cleared = page_list(wire, sases[newer], **{"x-ms-previous-snapshot-url": sases[older]})
    changed = pages_of((UNIT, 512), (MIB, UNIT))
    footer = {SIZE // 512}
    assert changed <= covered(data) | footer
    assert pages_of((2 * MIB, UNIT)) <= covered(cleared) | covered(data)
    near = pages_of((0, UNIT + CHUNK), (MIB - CHUNK, UNIT + 2 * CHUNK),
                    (2 * MIB - CHUNK, UNIT + 2 * CHUNK))
    assert (covered(data) | covered(cleared)) - footer <= near
    assert covered(cleared) <= pages_of((2 * MIB, UNIT)), "what still holds data"
    same, none = page_list(wire, sases[older], **{"x-ms-previous-snapshot-url": sases[older]})
    assert not (covered(same) - footer) and not none
    client = BlobClient.from_blob_url(sases[newer])
    ranges, clears = client.get_page_range_diff_for_managed_disk(sases[older])
    assert {(r["start"], r["end"] + 1) for r in ranges} == set(data)
    assert {(r["start"], r["end"] + 1) for r in clears} == set(cleared)
    for name in sases:
        journey.revoke(name)


def test_no_difference_across_lineages(wire, journey, group, disk):
    other = journey.disk(group, sample(SIZE))
    sases = [journey.grant(journey.snapshot(group, source))
             for source in (disk, other)]
    for previous in (sases[1], "https://example.com/a/b/c?sig=x", "nonsense",
                     sases[1].replace("sig=", "sig=A")):
        reply = wire.request("GET", f"{sases[0]}&comp=pagelist", token=None, headers={
            **STORAGE_VERSION, "x-ms-previous-snapshot-url": previous})
        assert reply.status in (400, 403, 409), (previous, reply)


def test_put_page_rules(wire, journey, disk):
    sas = journey.grant(disk, "Write")
    good = b"\x0b" * 512

    def put(offset, data, **headers):
        sent = {**STORAGE_VERSION, "x-ms-page-write": "update",
                "x-ms-range": f"bytes={offset}-{offset + len(data) - 1}", **headers}
        return wire.request("PUT", f"{sas}&comp=page", data, headers=sent, token=None)
    digest = base64.b64encode(hashlib.md5(good).digest()).decode()
    assert put(0, good, **{"Content-MD5": digest}).status == 201
    wrong = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    refused = put(512, good, **{"Content-MD5": wrong})
    assert (refused.status, refused.code) == (400, "Md5Mismatch")
    reply = put(0, b"\x0c" * (4 * MIB))
    assert reply.status == 201 and reply.headers["etag"], reply
    journey.revoke(disk)
    assert journey.read(disk) == b"\x0c" * SIZE


def test_put_blob_of_the_right_size_only(wire, journey, disk):
    """`az storage blob upload` begins with Put Blob; it is accepted when the size fits."""
    sas = journey.grant(disk, "Write")

    def put(size):
        return wire.request("PUT", sas, b"", token=None, headers={
            **STORAGE_VERSION, "x-ms-blob-type": "PageBlob",
            "x-ms-blob-content-length": str(size)})
    assert put(SIZE + 512).status == 201
    for size in (SIZE, SIZE + 1024, 0):
        assert put(size).status in (400, 409), size
    journey.revoke(disk)


def test_the_sdk_downloads_and_uploads(journey, group):
    image = sample(SIZE, seed=21)
    disk = journey.disk(group, image)
    client = BlobClient.from_blob_url(journey.grant(disk))
    assert client.download_blob(max_concurrency=4).readall()[:-512] == image
    ranges = list(client.list_page_ranges(results_per_page=5000))
    assert ranges
    journey.revoke(disk)


def spoilt(sas, name):
    """A SAS with one part changed."""
    parts = urllib.parse.urlsplit(sas)
    query = dict(urllib.parse.parse_qsl(parts.query))
    path = parts.path
    if name == "path":
        path = path.replace(path.split("/")[2], "0" * len(path.split("/")[2]))
    elif name == "gone":
        del query["sig"]
    else:
        query[name] = ("A" if query[name][0] != "A" else "B") + query[name][1:]
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path,
                                    urllib.parse.urlencode(query), ""))


@pytest.mark.parametrize("name", ["sig", "gone", "path", "si"])
def test_a_tampered_sas_is_refused(wire, journey, disk, name):
    sas = journey.grant(disk)
    reply = wire.request("GET", spoilt(sas, name), token=None, headers={
        **STORAGE_VERSION, "x-ms-range": "bytes=0-511"})
    assert reply.status == 403, reply
    assert reply.code == reply.headers["x-ms-error-code"] == "AuthenticationFailed"
    assert b"<Code>AuthenticationFailed</Code>" in reply.body
    journey.revoke(disk)


def test_a_revoked_sas_is_dead(wire, journey, disk):
    sas = journey.grant(disk)
    assert wire.request("HEAD", sas, token=None).status == 200
    journey.revoke(disk)
    for method, url in (("HEAD", sas), ("GET", sas), ("GET", f"{sas}&comp=pagelist")):
        assert wire.request(method, url, token=None).status == 403
    with pytest.raises(HttpResponseError, match="AuthenticationFailed"):
        BlobClient.from_blob_url(sas).download_blob().readall()


def test_an_expired_sas_is_dead(wire, journey, disk):
    sas = journey.grant(disk, seconds=1)
    wait_until(lambda: wire.request("GET", sas, token=None, headers={
        "x-ms-range": "bytes=0-511"}).status == 403, 15, "the SAS to expire")


def test_a_read_sas_does_not_write(wire, journey, disk):
    sas = journey.grant(disk, "Read")
    for clear in (None, 512):
        reply = journey.put_page(sas, 0, b"\x0d" * 512, clear=clear)
        assert (reply.status, reply.code) == (403, "AuthorizationPermissionMismatch"), reply
    journey.revoke(disk)
    assert not any(journey.read(disk))


def test_one_disks_sas_is_no_key_to_another(wire, journey, group, disk):
    other = journey.disk(group, sample(SIZE))
    mine, theirs = journey.grant(disk), journey.grant(other)
    query = urllib.parse.urlsplit(mine).query
    crossed = f"{theirs.split('?')[0]}?{query}"
    assert wire.request("HEAD", crossed, token=None).status == 403
    for name in (disk, other):
        journey.revoke(name)


def test_a_second_write_sas(wire, journey, disk):
    """After the upload phase a disk that nothing uses can be written again and again."""
    for value in (b"\x0e", b"\x0f"):
        journey.write(disk, {UNIT: value * UNIT})
        assert journey.read(disk)[UNIT:2 * UNIT] == value * UNIT


def test_a_snapshot_is_never_written(wire, journey, group, disk):
    reply = wire.request("POST", f"{journey.snapshot(group, disk)}/beginGetAccess",
                         {"access": "Write", "durationInSeconds": 60}, "2024-03-02")
    assert 400 <= reply.status < 500 and "access" in reply.text, reply


def test_parallel_writes_all_arrive(wire, journey, disk):
    """Pages come in parallel and out of order, as clients send them."""
    sas = journey.grant(disk, "Write")
    units = list(range(SIZE // UNIT))
    failures = []

    def work(mine):
        try:
            journey.write(disk, {n * UNIT: bytes([n + 1]) * UNIT for n in mine}, sas)
        except Exception as error:  # the thread's failure is the test's
            failures.append(error)
    threads = [threading.Thread(target=work, args=(units[n::4][::-1],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    journey.revoke(disk)
    assert journey.read(disk) == b"".join(bytes([n + 1]) * UNIT for n in units)

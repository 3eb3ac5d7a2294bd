"""Disks and snapshots: how they are made, grown, copied and deleted."""

import os
import pathlib
import re
import uuid

import pytest

from journey import GIB, LOCATION, MIB, UNIT, name_of, sample
from wire import COMPUTE

GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def group(journey):
    """A group for this module's disks."""
    return journey.group("compute")


def test_an_empty_disk(wire, journey, group):
    path = journey.disk_path(group)
    body = {"location": LOCATION, "tags": {"a": "b"}, "sku": {"name": "Premium_LRS"},
            "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}}
    reply = wire.request("PUT", path, body, COMPUTE)
    assert reply.status in (200, 202), reply
    if reply.status == 202:
        assert re.match(rf"{re.escape(wire.base)}{journey.root}/providers/Microsoft.Compute/"
                        rf"locations/{LOCATION}/DiskOperations/{GUID}\?",
                        reply.headers["azure-asyncoperation"], re.IGNORECASE)
        assert int(reply.headers["retry-after"]) >= 1
    wire.finish(reply)
    disk = wire.get(path, COMPUTE)
    assert (disk["id"], disk["name"], disk["type"]) == \
        (path, name_of(path), "Microsoft.Compute/disks")
    assert disk["location"] == LOCATION and disk["tags"] == {"a": "b"}
    assert disk["sku"]["name"] == "Premium_LRS"
    properties = disk["properties"]
    assert properties["creationData"] == {"createOption": "Empty"}
    assert (properties["diskSizeGB"], properties["diskSizeBytes"]) == (1, GIB)
    assert (properties["provisioningState"], properties["diskState"]) == \
        ("Succeeded", "Unattached")
    assert re.fullmatch(GUID, properties["uniqueId"]) and properties["timeCreated"]
    shown = wire.list(f"{group}/providers/Microsoft.Compute/disks", COMPUTE)
    assert path in [item["id"] for item in shown]
    everywhere = wire.list(f"{journey.root}/providers/Microsoft.Compute/disks", COMPUTE)
    assert path in [item["id"] for item in everywhere]


def test_the_phases_of_an_upload(wire, journey, group):
    image = sample(2 * MIB)
    path = journey.put_disk(journey.disk_path(group), {
        "createOption": "Upload", "uploadSizeBytes": len(image) + 512})

    def state():
        return wire.get(path, COMPUTE)["properties"]["diskState"]
    assert state() == "ReadyToUpload"
    sas = journey.grant(path, "Write")
    assert state() == "ActiveUpload"
    journey.write(path, {0: bytes(image)}, sas)
    journey.revoke(path)
    assert state() == "Unattached"
    assert wire.get(path, COMPUTE)["properties"]["diskSizeBytes"] == len(image)
    assert journey.read(path) == image


def test_a_put_of_an_existing_disk_keeps_its_bytes(wire, journey, group):
    """`az disk update` is a GET and a PUT of the whole resource."""
    image = sample(1 * MIB, seed=4)
    path = journey.disk(group, image)
    body = wire.get(path, COMPUTE)
    body["tags"] = {"new": "tag"}
    wire.do("PUT", path, body, COMPUTE)
    after = wire.get(path, COMPUTE)
    assert after["tags"] == {"new": "tag"}
    assert after["properties"]["uniqueId"] == body["properties"]["uniqueId"]
    assert after["properties"]["diskSizeBytes"] == len(image)
    assert journey.read(path) == image


@pytest.mark.parametrize("kind", ["disk", "snapshot"])
def test_a_copy_is_a_disk_of_its_own(wire, journey, group, kind):
    image = sample(1 * MIB, seed=5)
    disk = journey.disk(group, image)
    source = journey.snapshot(group, disk) if kind == "snapshot" else disk
    unique_id = wire.get(source, COMPUTE)["properties"]["uniqueId"]
    copy = journey.put_disk(journey.disk_path(group), {
        "createOption": "Copy", "sourceResourceId": source, "sourceUniqueId": unique_id})
    journey.write(disk, {0: b"\x01" * UNIT})
    assert journey.read(copy) == image, "the copy does not follow its source"
    journey.write(copy, {UNIT: b"\x02" * UNIT})
    assert journey.read(disk) == b"\x01" * UNIT + image[UNIT:], "nor the source its copy"
    made = wire.get(copy, COMPUTE)["properties"]
    assert made["uniqueId"] != wire.get(disk, COMPUTE)["properties"]["uniqueId"]
    assert made["creationData"]["sourceResourceId"] == source
    wire.do("DELETE", source, api=COMPUTE)
    assert journey.read(copy)[:UNIT] == image[:UNIT], "it outlives its source"


def test_a_copy_may_be_larger(wire, journey, group):
    image = sample(1 * MIB, seed=6)
    copy = journey.put_disk(journey.disk_path(group), {
        "createOption": "Copy", "sourceResourceId": journey.disk(group, image)}, diskSizeGB=1)
    assert wire.get(copy, COMPUTE)["properties"]["diskSizeBytes"] in (GIB, len(image))
    sas = journey.grant(copy)
    got = wire.request("GET", sas, token=None, headers={"x-ms-range": f"bytes=0-{MIB - 1}"})
    assert got.body == image
    journey.revoke(copy)


def test_import_of_an_image_file(wire, journey, group, shared_server):
    image = sample(2 * MIB, seed=7)
    file = shared_server.images / "disk.raw"
    file.write_bytes(image)
    disk = journey.put_disk(journey.disk_path(group), {
        "createOption": "Import", "sourceUri": file.as_uri()})
    assert journey.read(disk) == image


@pytest.mark.parametrize("how", ["outside", "parent", "link", "absent", "scheme", "upper",
                                 "metadata", "ftp", "host", "relative", "smb", "proc", "folder",
                                 "escaped"])
def test_no_import_from_elsewhere(wire, journey, group, shared_server, tmp_path, how):
    """Only files of the allow-listed folder are read, whatever the path looks like."""
    secret = tmp_path / "secret.raw"
    secret.write_bytes(bytes(sample(1 * MIB)))
    images = shared_server.images
    if how == "link":
        os.symlink(secret, images / f"{name_of(group)}.raw")
    path = {"outside": secret, "link": images / f"{name_of(group)}.raw",
            "parent": images / ".." / "data" / "owner.json", "absent": images / "none.raw",
            "proc": pathlib.Path("/proc/self/environ"), "folder": images}.get(
                how, images / "disk.raw")
    uri = {"scheme": f"https://example.com{path}", "upper": f"HTTPS://example.com{path}",
           "metadata": "http://169.254.169.254/metadata/instance", "ftp": f"ftp://h{path}",
           "host": f"file://example.com{path}", "relative": "../images/disk.raw",
           "smb": "\\\\host\\share\\disk.raw",
           "escaped": f"file://{images}/%2e%2e/data/owner.json"}.get(how, f"file://{path}")
    disk = journey.disk_path(group)
    reply = wire.request("PUT", disk, {"location": LOCATION, "properties": {
        "creationData": {"createOption": "Import", "sourceUri": uri}}}, COMPUTE)
    if reply.status == 202:
        status = wire.outcome(reply)
        assert status["status"] == "Failed", status
    else:
        assert reply.status in (400, 403, 404), reply
        assert "sourceUri" in reply.text
    left = wire.request("GET", disk, api=COMPUTE)
    assert left.status == 404 or left.json()["properties"]["provisioningState"] == "Failed"


def test_a_disk_grows_and_keeps_its_bytes(wire, journey, group):
    image = sample(1 * MIB, seed=8)
    path = journey.disk(group, image)
    wire.do("PATCH", path, {"properties": {"diskSizeGB": 2}}, COMPUTE)
    assert wire.get(path, COMPUTE)["properties"]["diskSizeBytes"] == 2 * GIB
    sas = journey.grant(path)
    head = wire.request("HEAD", sas, token=None)
    assert int(head.headers["content-length"]) == 2 * GIB + 512
    for offset, expected in ((0, image), (MIB, bytes(MIB)), (2 * GIB - MIB, bytes(MIB))):
        got = wire.request("GET", sas, token=None, headers={
            "x-ms-range": f"bytes={offset}-{offset + MIB - 1}"})
        assert (got.status, got.body == expected) == (206, True)
    journey.revoke(path)
    for method in ("PATCH", "PUT"):
        body = {"location": LOCATION, "properties": {
            "diskSizeGB": 1, "creationData": {"createOption": "Upload",
                                              "uploadSizeBytes": MIB + 512}}}
        if method == "PATCH":
            body = {"properties": {"diskSizeGB": 1}}
        reply = wire.request(method, path, body, COMPUTE)
        assert reply.status in (400, 409) and "diskSizeGB" in reply.text, reply
    assert wire.get(path, COMPUTE)["properties"]["diskSizeBytes"] == 2 * GIB


def test_snapshots_keep_their_instant(wire, journey, group):
    image = sample(1 * MIB, seed=9)
    disk = journey.disk(group, image)
    first = journey.snapshot(group, disk)
    journey.write(disk, {0: b"\x03" * UNIT})
    second = journey.snapshot(group, disk)
    journey.write(disk, {0: b"\x04" * UNIT})
    assert journey.read(first) == image
    assert journey.read(second) == b"\x03" * UNIT + image[UNIT:]
    source = wire.get(disk, COMPUTE)["properties"]
    found = wire.get(first, COMPUTE)
    properties = found["properties"]
    assert found["type"] == "Microsoft.Compute/snapshots"
    assert properties["incremental"] is True
    assert properties["creationData"]["sourceResourceId"] == disk
    assert properties["creationData"]["sourceUniqueId"] == source["uniqueId"]
    assert (properties["diskSizeBytes"], properties["provisioningState"]) == \
        (len(image), "Succeeded")
    assert properties["uniqueId"] != source["uniqueId"]
    family = properties.get("incrementalSnapshotFamilyId")
    assert family and family == wire.get(second, COMPUTE)["properties"][
        "incrementalSnapshotFamilyId"], "one disk, one family"
    wire.do("DELETE", first, api=COMPUTE)
    assert wire.request("GET", first, api=COMPUTE).status == 404
    assert journey.read(second)[:UNIT] == b"\x03" * UNIT, "snapshots do not hang together"
    wire.do("DELETE", disk, api=COMPUTE)
    assert journey.read(second)[UNIT:] == image[UNIT:], "a snapshot outlives its disk"


def test_a_disk_made_anew_is_another_lineage(wire, journey, group):
    """The same name after a deletion has a new uniqueId; a copy by the old one is refused."""
    path = journey.disk(group, sample(1 * MIB))
    old = wire.get(path, COMPUTE)["properties"]["uniqueId"]
    wire.do("DELETE", path, api=COMPUTE)
    assert wire.request("GET", path, api=COMPUTE).status == 404
    assert wire.request("DELETE", path, api=COMPUTE).status == 204
    journey.put_disk(path, {"createOption": "Empty"}, diskSizeGB=1)
    new = wire.get(path, COMPUTE)["properties"]["uniqueId"]
    assert new != old
    reply = wire.request("PUT", journey.disk_path(group), {
        "location": LOCATION, "properties": {"creationData": {
            "createOption": "Copy", "sourceResourceId": path, "sourceUniqueId": old}}}, COMPUTE)
    assert 400 <= reply.status < 500 and "sourceUniqueId" in reply.text, reply


def test_a_disk_with_an_open_grant_is_not_deleted(wire, journey, group):
    path = journey.disk(group, sample(1 * MIB))
    journey.grant(path)
    assert wire.get(path, COMPUTE)["properties"]["diskState"] == "ActiveSAS"
    reply = wire.request("DELETE", path, api=COMPUTE)
    assert reply.status in (400, 409), reply
    journey.revoke(path)
    assert wire.get(path, COMPUTE)["properties"]["diskState"] == "Unattached"
    wire.do("DELETE", path, api=COMPUTE)


def test_patch_of_tags_and_sku(wire, journey, group):
    path = journey.put_disk(journey.disk_path(group), {"createOption": "Empty"}, diskSizeGB=1)
    wire.do("PATCH", path, {"tags": {"x": "y"}, "sku": {"name": "StandardSSD_LRS"}}, COMPUTE)
    after = wire.get(path, COMPUTE)
    assert after["tags"] == {"x": "y"} and after["sku"]["name"] == "StandardSSD_LRS"
    snap = journey.snapshot(group, path)
    wire.do("PATCH", snap, {"tags": {"s": "t"}}, COMPUTE)
    assert wire.get(snap, COMPUTE)["tags"] == {"s": "t"}
    absent = journey.disk_path(group)
    assert wire.request("PATCH", absent, {"tags": {}}, COMPUTE).status == 404


def test_grants_of_what_is_absent(wire, journey, group):
    path = f"{journey.disk_path(group)}-{uuid.uuid4()}"
    reply = wire.request("POST", f"{path}/beginGetAccess",
                         {"access": "Read", "durationInSeconds": 60}, COMPUTE)
    assert reply.status == 404, reply

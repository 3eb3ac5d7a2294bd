"""Disks and snapshots, and their bytes through shared access signatures."""

import pytest

import vhd
from journey import MIB, UNIT, sample, unique


def upload(az, group, image):
    """A disk with these bytes, uploaded as a VHD; its name."""
    name, file = unique("disk"), az.file("upload.vhd", vhd.fixed(image))
    az("disk", "create", "-g", group, "-n", name, "--upload-type", "Upload",
       "--upload-size-bytes", len(image) + 512, "--sku", "Standard_LRS")
    write(az, group, name, file)
    return name


def write(az, group, name, file):
    """Writes a VHD to a disk."""
    sas = az("disk", "grant-access", "-g", group, "-n", name, "--access-level", "Write",
             "--duration-in-seconds", "3600")["accessSAS"]
    az("storage", "blob", "upload", "--type", "page", "--blob-url", sas, "--file", file,
       "--overwrite", "--no-progress")
    az("disk", "revoke-access", "-g", group, "-n", name)


def download(az, kind, group, name):
    """The bytes of a disk or a snapshot, without the footer."""
    sas = az(kind, "grant-access", "-g", group, "-n", name, "--duration-in-seconds", "3600",
             "--access-level", "Read")["accessSAS"]
    file = az.folder / unique("download")
    az("storage", "blob", "download", "--blob-url", sas, "--file", file, "--no-progress")
    az(kind, "revoke-access", "-g", group, "-n", name)
    whole = file.read_bytes()
    assert whole[-512:][:8] == b"conectix"
    return whole[:-512]


def test_the_life_of_a_disk(az, group):
    name = unique("disk")
    made = az("disk", "create", "-g", group, "-n", name, "--size-gb", "1")
    assert (made["provisioningState"], made["diskSizeGB"]) == ("Succeeded", 1)
    assert made["sku"]["name"] == "Premium_LRS" and made["diskState"] == "Unattached"
    changed = az("disk", "update", "-g", group, "-n", name, "--size-gb", "2", "--set",
                 "tags.use=test")
    assert (changed["diskSizeGB"], changed["tags"]) == (2, {"use": "test"})
    assert az("disk", "show", "-g", group, "-n", name)["diskSizeBytes"] == 2 << 30
    assert name in [disk["name"] for disk in az("disk", "list", "-g", group)]
    az("disk", "delete", "-g", group, "-n", name, "--yes")
    assert "ResourceNotFound" in az.refused("disk", "show", "-g", group, "-n", name)


def test_bytes_survive_upload_snapshot_copy_and_download(az, group):
    image = sample(4 * MIB, seed=31)
    disk = upload(az, group, image)
    assert download(az, "disk", group, disk) == image
    snapshot = unique("snap")
    made = az("snapshot", "create", "-g", group, "-n", snapshot, "--source", disk,
              "--incremental", "true")
    assert made["incremental"] is True and made["sku"]["name"] == "Standard_LRS"
    changed = bytearray(image)
    changed[2 * MIB:2 * MIB + UNIT] = b"\x21" * UNIT
    write(az, group, disk, az.file("changed.vhd", vhd.fixed(changed)))
    assert download(az, "disk", group, disk) == changed
    assert download(az, "snapshot", group, snapshot) == image
    copy = unique("copy")
    az("disk", "create", "-g", group, "-n", copy, "--source", snapshot)
    assert download(az, "disk", group, copy) == image


def test_the_life_of_a_snapshot(az, group):
    disk, name = unique("disk"), unique("snap")
    made = az("disk", "create", "-g", group, "-n", disk, "--size-gb", "1")
    az("snapshot", "create", "-g", group, "-n", name, "--source", made["id"],
       "--incremental", "true")
    changed = az("snapshot", "update", "-g", group, "-n", name, "--set", "tags.use=test")
    assert changed["tags"] == {"use": "test"}
    shown = az("snapshot", "show", "-g", group, "-n", name)
    assert shown["creationData"]["sourceResourceId"].lower() == made["id"].lower()
    assert name in [snapshot["name"] for snapshot in az("snapshot", "list", "-g", group)]
    assert name in [snapshot["name"] for snapshot in az("snapshot", "list")]
    az("snapshot", "delete", "-g", group, "-n", name)
    assert "ResourceNotFound" in az.refused("snapshot", "show", "-g", group, "-n", name)


@pytest.mark.parametrize("more, word", [
    (["--size-gb", "0"], "diskSizeGB"),
    (["--source", "https://example.com/a.vhd", "--source-storage-account-id", "/x"], "sourceUri")])
def test_a_wrong_disk_is_refused_with_the_fields_name(az, group, more, word):
    assert word in az.refused("disk", "create", "-g", group, "-n", unique("bad"), *more)

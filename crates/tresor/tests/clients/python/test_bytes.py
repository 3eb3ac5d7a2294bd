"""Tests that catch fakes: what a backup reads, what a damaged store restores, and what a backup
sees while the disk is being written."""

import random
import shutil
import threading

import pytest

from journey import GIB, KIB, MIB, UNIT, Journey, detail, restore_body, sample
from tresor_server import Server
from wire import COMPUTE, DPP, Wire

SMALL_PACKS = "[store]\npack_bytes = 1048576\ncheckpoint_bytes = 1048576\n"


# ---- what an incremental backup reads and stores


@pytest.fixture(scope="module")
def big(journey):
    """A protected disk of 64 MiB of random bytes with its first, full backup."""
    image = bytearray(random.Random(64).randbytes(64 * MIB))
    made = journey.protect(image)
    return made, journey.backup(made.instance)


def test_the_first_backup_reads_and_stores_everything(big):
    made, first = big
    size = len(made.image)
    assert detail(first, "BytesRead") >= size
    assert detail(first, "BytesStored") >= size * 95 // 100, "random bytes do not shrink"
    assert detail(first, "BytesTransferred") >= size * 95 // 100
    assert detail(first, "PercentComplete") == 100
    assert first["properties"]["extendedInfo"]["dataTransferredInBytes"] > 0


@pytest.mark.parametrize("units", [0, 1, 7, 40])
def test_an_incremental_reads_only_what_changed(journey, big, units):
    """At most four times the changed 64 KiB units, and 1 % of the disk for the audit."""
    made, _ = big
    chance = random.Random(units)
    places = chance.sample(range(len(made.image) // UNIT), units)
    journey.change(made, {place * UNIT + 512: chance.randbytes(4 * KIB) for place in places})
    job = journey.backup(made.instance)
    read, stored = detail(job, "BytesRead"), detail(job, "BytesStored")
    allowed = 4 * units * UNIT + len(made.image) // 100
    print(f"{units} changed units: read {read}, stored {stored}, allowed {allowed}")
    assert read <= allowed, f"read {read}, allowed {allowed}"
    assert read >= units * 4 * KIB, "changed bytes must be read"
    assert stored >= units * 4 * KIB if units else stored <= MIB
    assert stored <= 4 * units * UNIT + MIB
    restored = journey.restore(made, journey.point_of(job))
    assert journey.read(restored) == made.image, "restored bit for bit"


def test_growth_and_clearing_are_changes(wire, journey):
    """A disk that grew and was cleared in part restores with its new size and zeros."""
    made = journey.protect(sample(8 * MIB, seed=31))
    journey.backup(made.instance)
    sas = journey.grant(made.disk, "Write")
    assert journey.put_page(sas, 0, b"", clear=MIB).status == 201
    journey.revoke(made.disk)
    wire.do("PATCH", made.disk, {"properties": {"diskSizeGB": 2}}, COMPUTE)
    made.image[:MIB] = bytes(MIB)
    job = journey.backup(made.instance)
    assert detail(job, "BytesRead") <= 4 * MIB + 2 * GIB // 100, "growth holds no data"
    disk = journey.restore(made, journey.point_of(job))
    assert wire.get(disk, COMPUTE)["properties"]["diskSizeBytes"] == 2 * GIB
    sas = journey.grant(disk)
    for offset, expected in ((0, made.image), (8 * MIB, bytes(MIB)),
                             (2 * GIB - MIB, bytes(MIB))):
        got = wire.request("GET", sas, token=None, headers={
            "x-ms-range": f"bytes={offset}-{offset + len(expected) - 1}"})
        assert got.body == expected
    journey.revoke(disk)


def test_what_two_disks_share_is_stored_once(journey):
    image = bytearray(random.Random(5).randbytes(16 * MIB))
    first = journey.protect(image)
    journey.backup(first.instance)
    twin = journey.protect(image)
    job = journey.backup(twin.instance)
    assert detail(job, "BytesRead") >= len(image)
    assert detail(job, "BytesStored") <= MIB, "the bytes are in the store already"
    assert journey.read(journey.restore(twin, journey.point_of(job))) == image


@pytest.mark.parametrize("size", [512, 4096, 4608, UNIT + 512, 16 * MIB, 16 * MIB + 512])
def test_sizes_that_fit_no_grid(journey, size):
    image = bytearray(random.Random(size).randbytes(size))
    made = journey.protect(image)
    point = journey.point_of(journey.backup(made.instance))
    journey.change(made, {size - 512: b"\x31" * 512})
    newer = journey.point_of(journey.backup(made.instance))
    assert journey.read(journey.restore(made, point)) == image
    assert journey.read(journey.restore(made, newer)) == made.image


# ---- a damaged store


@pytest.mark.timeout(600)
def test_a_flipped_byte_in_any_pack_never_restores_a_wrong_disk(new_server, tmp_path):
    """For every pack file: one byte flipped in a copy of the data folder. The restore fails and
    leaves no disk, or the disk is right. At least every data pack must have been noticed."""
    image = bytearray(random.Random(77).randbytes(5 * MIB)) + bytes(MIB)
    whole = tmp_path / "whole" / "data"
    server = new_server(SMALL_PACKS, data=whole)
    server.start()
    journey = Journey(Wire(server.settings))
    made = journey.protect(image)
    point = journey.point_of(journey.backup(made.instance))
    server.stop()
    packs = [path.relative_to(whole) for path in server.packs()]
    big = [path for path in packs if (whole / path).stat().st_size >= 256 * KIB]
    assert len(big) >= 4, f"5 MiB of random bytes in packs of 1 MiB: {packs}"
    noticed, chance = set(), random.Random(1)
    for number, pack in enumerate(packs):
        data = tmp_path / f"flip{number}" / "data"
        shutil.copytree(whole, data, symlinks=True)
        flip(data / pack, chance)
        with Server(data, SMALL_PACKS) as damaged:
            if not restore_is_right(damaged, made, point):
                noticed.add(pack)
        shutil.rmtree(data.parent)
    print(f"{len(packs)} packs, {len(noticed)} flips noticed")
    assert set(big) <= noticed, "a flip in a data pack went unnoticed: is it read at all?"


def flip(path, chance):
    """Flips one bit of one byte in the middle half of a file."""
    size = path.stat().st_size
    path.chmod(0o600)
    with open(path, "r+b") as file:
        at = chance.randrange(size // 4, max(size * 3 // 4, size // 4 + 1))
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << chance.randrange(8))]))


def restore_is_right(server, made, point):
    """True: restored and bit-equal. False: refused, with no disk left. Anything else fails."""
    wire = Wire(server.settings)
    journey = Journey(wire)
    disk = journey.disk_path(made.target)
    reply = wire.request("POST", f"{made.instance}/restore",
                         restore_body(point, disk), DPP)
    if reply.status == 202:
        status = wire.outcome(reply)
        if status["status"] == "Succeeded":
            job = wire.wait_job(status["properties"]["jobId"])["properties"]
            if job["status"] == "Completed":
                assert journey.read(disk) == made.image, "a wrong disk was restored"
                return True
            assert job["status"] == "Failed" and job["errorDetails"], job
    else:
        assert reply.status == 400, reply
    assert wire.request("GET", disk, api=COMPUTE).status == 404, "a failed restore left a disk"
    return False


# ---- the disk of one instant


PAGE = 4 * KIB
PAGES = 48


class Writer(threading.Thread):
    """Writes 1, 2, 3, ... to pages spread over the disk, round and round, each write after the
    one before it was acknowledged."""

    def __init__(self, journey, sas, step):
        super().__init__()
        self.journey, self.sas, self.step = journey, sas, step
        self.written = 0
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        connection = self.journey.wire.connect()
        try:
            while not self.stopping.is_set():
                number = self.written + 1
                reply = self.journey.put_page(self.sas, (number % PAGES) * self.step,
                                              number.to_bytes(8, "big") * (PAGE // 8),
                                              connection)
                assert reply.status == 201, reply
                self.written = number
        except Exception as error:  # the thread's failure is the test's
            self.failure = error
        finally:
            connection.close()

    def end(self):
        """Stops it; the last acknowledged number."""
        self.stopping.set()
        self.join(60)
        assert not self.is_alive() and self.failure is None, self.failure
        return self.written


def instant_of(image, step):
    """The number of the last write that the image holds; fails when it is no one instant."""
    found = []
    for page in range(PAGES):
        data = image[page * step:page * step + PAGE]
        number = int.from_bytes(data[:8], "big")
        assert data == number.to_bytes(8, "big") * (PAGE // 8), f"page {page} is torn"
        found.append(number)
    last = max(found)
    for page, number in enumerate(found):
        expected = last - (last - page) % PAGES
        expected = expected if expected > 0 else 0
        assert number == expected, f"page {page} holds {number}; write {last} is there, so " \
                                   f"it must hold {expected}"
    return last


def test_the_check_for_one_instant_can_fail():
    step = PAGE
    image = bytearray(PAGES * step)
    for number in range(1, 200):
        at = number % PAGES * step
        image[at:at + PAGE] = number.to_bytes(8, "big") * (PAGE // 8)
    assert instant_of(bytes(image), step) == 199
    later = bytearray(image)
    at = 205 % PAGES * step
    later[at:at + PAGE] = (205).to_bytes(8, "big") * (PAGE // 8)
    for wrong in (bytes(later), bytes(image[:8]) + b"\0" * 8 + bytes(image[16:])):
        with pytest.raises(AssertionError, match="must hold|torn"):
            instant_of(wrong, step)


def test_a_backup_while_a_sas_writes_is_of_one_instant(journey):
    """First a full, then two incremental backups under fire; each restores to one instant."""
    size = 96 * MIB
    step = size // PAGES
    image = bytearray(random.Random(8).randbytes(size))
    for page in range(PAGES):
        image[page * step:page * step + PAGE] = bytes(PAGE)
    made = journey.protect(image)
    sas = journey.grant(made.disk, "Write")
    writer = Writer(journey, sas, step)
    writer.start()
    seen = []
    try:
        for _ in range(3):
            before = writer.written
            job = journey.backup(made.instance)
            seen.append((before, journey.point_of(job), writer.written))
    finally:
        written = writer.end()
    journey.revoke(made.disk)
    instants = []
    for before, point, after in seen:
        restored = journey.read(journey.restore(made, point))
        instant = instant_of(restored, step)
        instants.append(instant)
        print(f"written {before} at the request, {instant} in the point, {after} at the end")
        # One write may be in the disk before its acknowledgement has reached the writer.
        assert before <= instant <= after + 1, "the instant lies within the backup"
        for page in range(PAGES):
            end = (page + 1) * step
            assert restored[page * step + PAGE:end] == image[page * step + PAGE:end]
    assert any(instants[n] < after for n, (_, _, after) in enumerate(seen)), \
        "no write came between a freeze and the end of its backup: nothing was tested"
    assert instant_of(journey.read(made.disk), step) == written

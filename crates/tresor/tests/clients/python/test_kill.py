"""The service is killed with SIGKILL in every named step of backup and restore, three times each.

A fail point holds the job in the step, the log says that it is there, then comes the kill. After
a restart the job ends by itself, every point that was listed before restores bit for bit, no
half-made point is listed, and the next backup works.
"""

import random
import urllib.parse

import pytest

from journey import MIB, Journey, backup_body, detail, name_of, restore_body
from tresor_server import Server, binary, field, wait_until
from wire import COMPUTE, DPP, Wire

pytestmark = [pytest.mark.kill, pytest.mark.timeout(600)]

KILLS = 3
SIZE = 8 * MIB
# Several packs for each backup, and each pack is made findable at once.
CONFIG = "[store]\npack_bytes = 524288\ncheckpoint_bytes = 262144\n"
BACKUP = ["backup.freeze", "backup.ingest", "backup.commit", "backup.record", "backup.settle",
          "store.pack.put", "store.point.put"]
RESTORE = ["restore.reserve", "restore.pin", "restore.copy", "restore.verify",
           "restore.publish", "store.restore.write"]
# Some packs and some writes of the job go through, so that it is killed half-way.
PASSED = {"store.pack.put": 3, "store.restore.write": 3}
# A kill between an uploaded pack and the commit: what is uploaded is not uploaded again.
FOUND_AGAIN = ["store.pack.put", "backup.commit", "store.point.put"]
counted = dict.fromkeys(BACKUP + RESTORE, 0)


class Scene:
    """One data folder with a protected disk, and the bytes of each of its points."""

    def __init__(self, folder):
        self.server = Server(folder / "data", CONFIG, binary("TRESOR_FAILPOINTS_BIN"))
        self.chance = random.Random(name_of(str(folder)))
        self.images = {}
        self.start()
        self.made = self.journey.protect(bytearray(self.chance.randbytes(SIZE)))
        self.back_up()

    def start(self, failpoints=None):
        """Starts the service and connects to it."""
        self.server.start(failpoints)
        self.wire = Wire(self.server.settings)
        self.journey = Journey(self.wire)

    def back_up(self):
        """A backup that nothing disturbs."""
        point = self.journey.point_of(self.journey.backup(self.made.instance))
        self.images[point] = bytes(self.made.image)

    def change(self):
        """Changes half of the disk: enough for several packs."""
        self.journey.change(self.made, {
            at: self.chance.randbytes(MIB) for at in range(0, SIZE, 2 * MIB)})

    def kill_in(self, step, url, body):
        """Triggers a job that a fail point holds in `step`, kills the service there, and starts
        it again; (the job's id, the path of the operation's status)."""
        self.server.stop()
        self.start(f"{step}={PASSED[step]}*off->pause" if step in PASSED else f"{step}=pause")
        before = self.amounts()
        reply = self.wire.request("POST", url, body, DPP)
        assert reply.status == 202, reply
        guid = self.reach(step, before)
        self.server.kill()
        counted[step] += 1
        self.start()
        parts = urllib.parse.urlsplit(reply.headers["azure-asyncoperation"])
        return f"{self.made.vault}/backupJobs/{name_of(guid)}", f"{parts.path}?{parts.query}"

    def amounts(self):
        """What the data folder holds: objects of the store, and blocks of the volumes."""
        def files(*folder):
            return [path for path in self.server.data.joinpath(*folder).rglob("*")
                    if path.is_file()]
        return {"packs": len(files("store", "packs")), "index": len(files("store", "index")),
                "points": len(files("store", "points")),
                "blocks": sum(path.stat().st_blocks for path in files("volumes"))}

    def reach(self, step, before):
        """Waits until a job is held in `step`; the job's GUID."""
        passed = PASSED.get(step, 0)
        record = self.server.wait_log(nth=passed + 1, message="step", step=step)
        if not step.startswith("store."):
            return field(record, "job")
        if step == "store.pack.put":
            # Held before the next pack: exactly so many are durable, and findable.
            wait_until(lambda: self.amounts()["packs"] - before["packs"] == passed
                       and self.amounts()["index"] > before["index"], 60, "the first packs")
            last = "backup.ingest"
        elif step == "store.point.put":
            # Held between the end of the ingest and the commit.
            assert self.amounts()["points"] == before["points"], "the commit went through"
            last = "backup.commit"
        else:
            # Held half-way: some blocks of the target are written.
            wait_until(lambda: self.amounts()["blocks"] > before["blocks"], 60, "some blocks")
            last = "restore.copy"
        # The store knows no jobs: its own steps name none.
        records = [record for record in self.server.find_log(message="step")
                   if not field(record, "step").startswith("store.")]
        assert field(records[-1], "step") == last, "the job went on"
        (guid,) = {field(record, "job") for record in records}
        return guid

    def resumed(self, job, operation):
        """The job after its end; its operation knows it, and this process has worked on it."""
        ended = self.wire.wait_job(job)
        assert ended["properties"]["status"] == "Completed", ended
        assert self.wire.poll(operation)["properties"]["jobId"] == job
        assert any(str(field(record, "job")).endswith(name_of(job))
                   for record in self.server.log()), "the job was not taken up again"
        return ended

    def check_points(self):
        """Exactly the committed points are listed, and each restores bit for bit."""
        listed = [point["name"] for point in self.journey.points(self.made.instance)]
        assert sorted(listed) == sorted(self.images), "a half-made or a lost point"
        for point, image in self.images.items():
            disk = self.journey.restore(self.made, point)
            assert self.journey.read(disk) == image, f"point {point} is not what was backed up"
            self.wire.do("DELETE", disk, api=COMPUTE)

    def check_nothing_is_left(self):
        """No job still runs, no disk but the source's is there, and new work is done."""
        jobs = self.wire.list(f"{self.made.vault}/backupJobs", DPP)
        assert {job["properties"]["status"] for job in jobs} == {"Completed"}
        disks = self.wire.list(f"{self.made.target}/providers/Microsoft.Compute/disks", COMPUTE)
        assert disks == []
        snapshots = self.wire.list(
            f"{self.made.snapshots}/providers/Microsoft.Compute/snapshots", COMPUTE)
        assert len(snapshots) == len(self.images), "one snapshot for each point"
        assert self.journey.read(self.made.disk) == self.made.image
        self.change()
        self.back_up()
        self.check_points()


@pytest.fixture
def scene(tmp_path):
    """A scene whose service ends well."""
    made = Scene(tmp_path)
    yield made
    if made.server.process is not None:
        made.server.stop()


@pytest.mark.parametrize("step", BACKUP)
def test_killed_in_a_backup(scene, step):
    for _ in range(KILLS):
        scene.change()
        job, operation = scene.kill_in(step, f"{scene.made.instance}/backup", backup_body())
        listed = {p["name"] for p in scene.journey.points(scene.made.instance)}
        assert listed >= set(scene.images), "a committed point is lost after the kill"
        ended = scene.resumed(job, operation)
        scene.images[scene.journey.point_of(ended)] = bytes(scene.made.image)
        scene.check_points()
        if step in FOUND_AGAIN:
            assert detail(ended, "BytesFoundAgain") > 0, ended
            logged = [int(field(record, "bytes_found_again")) for record in scene.server.log()
                      if field(record, "bytes_found_again") is not None
                      and str(field(record, "job")).endswith(name_of(job))]
            assert logged and max(logged) > 0, "the log does not say what was found again"
    scene.check_nothing_is_left()


@pytest.mark.parametrize("step", RESTORE)
def test_killed_in_a_restore(scene, step):
    scene.change()
    scene.back_up()
    for number in range(KILLS):
        point = sorted(scene.images)[number % len(scene.images)]
        disk = scene.journey.disk_path(scene.made.target, "killed")
        job, operation = scene.kill_in(step, f"{scene.made.instance}/restore",
                                       restore_body(point, disk))
        found = scene.wire.request("GET", disk, api=COMPUTE)
        if found.status == 200:
            running = scene.wire.get(job, DPP)["properties"]["status"]
            assert running in ("InProgress", "Completed"), "a disk without a job that says so"
        ended = scene.resumed(job, operation)
        assert ended["properties"]["extendedInfo"]["recoveryDestination"] == disk
        assert scene.journey.read(disk) == scene.images[point], "the restored disk is wrong"
        scene.wire.do("DELETE", disk, api=COMPUTE)
        scene.check_points()
    scene.check_nothing_is_left()


def test_one_backup_at_a_time(scene):
    """While a backup is held, a second one of the same disk is refused and makes no job; the
    first is none the worse for it."""
    jobs, url = f"{scene.made.vault}/backupJobs", f"{scene.made.instance}/backup"
    scene.change()
    scene.server.stop()
    scene.start("backup.ingest=pause")
    try:
        before = {job["id"] for job in scene.wire.list(jobs, DPP)}
        first = scene.wire.request("POST", url, backup_body(), DPP)
        assert first.status == 202, first
        guid = field(scene.server.wait_log(message="step", step="backup.ingest"), "job")
        second = scene.wire.request("POST", url, backup_body(), DPP)
        assert second.status == 202, second
        status = scene.wire.outcome(second)
        assert status["status"] == "Failed", status
        assert status["error"]["code"] == "UserErrorMaxConcurrentOperationLimitReached", status
        (job,) = {job["id"] for job in scene.wire.list(jobs, DPP)} - before
        assert name_of(job) == name_of(guid), "the job is not the first backup's"
        assert scene.wire.get(job, DPP)["properties"]["status"] == "InProgress"
    finally:
        scene.server.kill()
    scene.start()
    parts = urllib.parse.urlsplit(first.headers["azure-asyncoperation"])
    ended = scene.resumed(job, f"{parts.path}?{parts.query}")
    scene.images[scene.journey.point_of(ended)] = bytes(scene.made.image)
    scene.check_points()


def test_the_table_of_kills():
    """Every step was killed at least three times. Runs last; fails on a zero."""
    print("\nstep                 kills")
    for step, number in counted.items():
        print(f"{step:<20} {number:>5}")
    assert all(number >= KILLS for number in counted.values()), counted

"""What those who test their automation do: they start a service that is thrown away, move its
clock, make its operations fail, and begin anew. The errors are looked at through the SDK."""

import datetime
import os
import signal
import statistics
import subprocess
import time
import types

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.dataprotection import models

from ephemeral_server import START, Ephemeral, Hooks
from journey import Journey, name_of, restore_body, sample
from test_sdk import clients, credential
from tresor_server import STOP_LIMIT, binary, wait_until
from wire import DPP, GROUPS

BUSY = "UserErrorMaxConcurrentOperationLimitReached"
BACKUP = "BackupInstances_AdhocBackup"
RESTORE = "BackupInstances_TriggerRestore"
STARTS = 20


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The service that these tests share, one after the other; it must end with exit code 0."""
    with Ephemeral(tmp_path_factory.mktemp("hooks")) as running:
        before = os.environ.get("REQUESTS_CA_BUNDLE")
        os.environ["REQUESTS_CA_BUNDLE"] = running.settings["CA_FILE"]
        yield running
        if before is None:
            del os.environ["REQUESTS_CA_BUNDLE"]
        else:
            os.environ["REQUESTS_CA_BUNDLE"] = before
        folder = running.folder
        running.stop()
        assert not folder.exists() and not running.ready.exists()


@pytest.fixture
def stage(service):
    """A clean service: its hooks, a journey by raw HTTP and the SDK's clients."""
    hooks = Hooks(service.settings)
    hooks.reset()
    return types.SimpleNamespace(
        hooks=hooks, journey=Journey(hooks.wire), settings=service.settings, service=service,
        sdk=clients(service.settings, credential(service.settings)))


def place(protected):
    """The names with which the SDK calls an instance: group, vault, instance."""
    return name_of(protected.group), name_of(protected.vault), name_of(protected.instance)


def trigger(stage, protected):
    """Triggers a backup by the SDK; its poller."""
    return stage.sdk.backup.backup_instances.begin_adhoc_backup(
        *place(protected), models.TriggerBackupRequest(
            backup_rule_options=models.AdHocBackupRuleOptions(
                rule_name="BackupHourly", trigger_option=models.AdhocBackupTriggerOption(
                    retention_tag_override="Default"))))


def job_of(stage, protected, poller):
    """The job of an operation that succeeded, after everything has come to rest."""
    job_id = poller.result().job_id
    stage.hooks.advance()
    group, vault, _ = place(protected)
    return stage.sdk.backup.jobs.get(group, vault, name_of(job_id)).properties


def time_of(text):
    """An instant of the wire."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")[:19] + "+00:00")


# ---- faults


def test_a_request_that_fails_is_an_exception_with_the_code(stage):
    protected = stage.journey.protect()
    stage.hooks.arm(BACKUP, BUSY)
    with pytest.raises(HttpResponseError) as caught:
        trigger(stage, protected)
    assert caught.value.status_code == 400
    assert caught.value.error.code == BUSY
    assert stage.hooks.armed() == []
    assert job_of(stage, protected, trigger(stage, protected)).status == "Completed"


def test_an_operation_that_fails_is_an_exception_of_the_poller(stage):
    protected = stage.journey.protect()
    stage.hooks.arm(BACKUP, BUSY, "operation")
    poller = trigger(stage, protected)
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert caught.value.error.code == BUSY
    assert poller.status() == "Failed"
    group, vault, _ = place(protected)
    assert list(stage.sdk.backup.jobs.list(group, vault)) == []
    assert job_of(stage, protected, trigger(stage, protected)).status == "Completed"


def test_a_job_that_fails_has_error_details(stage):
    protected = stage.journey.protect()
    stage.hooks.arm(BACKUP, "UserErrorDiskSnapshotNotFound", "job")
    job = job_of(stage, protected, trigger(stage, protected))
    assert job.status == "Failed"
    (error,) = job.error_details
    assert error.code == "UserErrorDiskSnapshotNotFound"
    assert error.recommended_action and "/_tresor/faults" in error.message
    assert stage.journey.points(protected.instance) == []
    assert job_of(stage, protected, trigger(stage, protected)).status == "Completed"


@pytest.mark.parametrize("where", ["request", "operation", "job"])
def test_a_restore_that_fails_leaves_no_disk_and_can_be_tried_again(stage, where):
    protected = stage.journey.protect()
    point = stage.journey.point_of(stage.journey.backup(protected.instance))
    disk = stage.journey.disk_path(protected.target, "restored")
    code = "UserErrorRestoreTargetRGNotFound"
    stage.hooks.arm(RESTORE, code, where)
    begin = stage.sdk.backup.backup_instances.begin_trigger_restore
    body = restore_body(point, disk)
    if where == "job":
        job = job_of(stage, protected, begin(*place(protected), body))
        assert (job.status, job.error_details[0].code) == ("Failed", code)
    else:
        with pytest.raises(HttpResponseError) as caught:
            begin(*place(protected), body).result()
        assert caught.value.error.code == code
    with pytest.raises(ResourceNotFoundError):
        stage.sdk.compute.disks.get(name_of(protected.target), name_of(disk))
    assert job_of(stage, protected, begin(*place(protected), body)).status == "Completed"
    assert stage.journey.read(disk) == protected.image


def test_a_creation_that_fails_makes_nothing(stage):
    group = stage.journey.group()
    stage.hooks.arm("BackupVaults_CreateOrUpdate", "CloudInternalError", "operation")
    poller = stage.sdk.backup.backup_vaults.begin_create_or_update(
        name_of(group), "vault", models.BackupVaultResource(
            location="westus", identity=models.DppIdentityDetails(type="SystemAssigned"),
            properties=models.BackupVault(storage_settings=[models.StorageSetting(
                datastore_type="VaultStore", type="LocallyRedundant")])))
    with pytest.raises(HttpResponseError) as caught:
        poller.result()
    assert caught.value.error.code == "CloudInternalError"
    with pytest.raises(ResourceNotFoundError):
        stage.sdk.backup.backup_vaults.get(name_of(group), "vault")


def test_the_clients_own_retries_go_through(stage):
    """Throttled and unavailable answers are tried again by the SDK itself, as in Azure."""
    group = stage.journey.group()
    stage.hooks.arm("GET /subscriptions/*/resourceGroups/*/providers/Microsoft.Compute/**",
                    "QuotaExceeded")
    assert list(stage.sdk.compute.disks.list_by_resource_group(name_of(group))) == []
    stage.hooks.arm("BackupVaults_GetInResourceGroup", "CloudServiceRetryableError", times=2)
    assert list(stage.sdk.backup.backup_vaults.get_in_resource_group(name_of(group))) == []
    assert stage.hooks.armed() == []


# ---- clock


def test_recovery_points_have_the_times_of_the_clock(stage):
    protected = stage.journey.protect()
    jobs = []
    for _ in range(3):
        stage.journey.start_backup(protected.instance)
        # Ends when the backup has: no polling.
        jobs += stage.hooks.advance(advance="PT4H")["jobs"]
    assert [(job["operation"], job["status"]) for job in jobs] == [("Backup", "Completed")] * 3
    assert all(job["backupInstanceId"] == protected.instance for job in jobs)
    points = list(stage.sdk.backup.recovery_points.list(*place(protected)))
    times = [point.properties.recovery_point_time for point in points]
    # What was begun before the clock moved has the time before.
    assert times == [time_of(START) + datetime.timedelta(hours=hours) for hours in (8, 4, 0)]
    assert stage.hooks.now() == "2030-01-01T12:00:00Z"


def test_soft_delete_counts_days_of_the_clock(stage):
    protected = stage.journey.protect()
    stage.hooks.advance(to="2030-03-01T00:00:00Z")
    stage.sdk.backup.backup_instances.begin_delete(*place(protected)).result()
    group, vault, _ = place(protected)
    (deleted,) = stage.sdk.backup.deleted_backup_instances.list(group, vault)
    info = deleted.properties.deletion_info
    assert time_of(info.deletion_time) == time_of("2030-03-01T00:00:00Z")
    assert time_of(info.scheduled_purge_time) == time_of("2030-03-15T00:00:00Z")


def test_a_failed_job_is_told_by_the_clock(stage):
    protected = stage.journey.protect()
    stage.hooks.arm(BACKUP, BUSY, "job")
    job = stage.journey.start_backup(protected.instance)
    told = stage.hooks.advance(advance="P1D")
    (ended,) = told["jobs"]
    assert (ended["id"], ended["status"], ended["errorCode"]) == (job, "Failed", BUSY)
    assert stage.hooks.advance()["jobs"] == [], "a job is told once"


def test_tokens_do_not_age_with_the_clock(stage):
    stage.hooks.advance(advance="P10Y")
    assert list(stage.sdk.groups.list()) == []
    assert stage.hooks.advance(advance="PT1S")["now"] == "2040-01-01T00:00:01Z"


# ---- reset


def test_a_reset_leaves_nothing(stage):
    """Same credentials, port and subscription; nothing else."""
    protected = stage.journey.protect()
    job = stage.journey.backup(protected.instance)
    stage.journey.restore(protected, stage.journey.point_of(job))
    stage.sdk.backup.backup_instances.begin_delete(*place(protected)).result()
    stage.hooks.arm(BACKUP, BUSY)
    stage.hooks.advance(advance="P1Y")
    wire, root = stage.hooks.wire, stage.journey.root
    token = wire.token()
    took = stage.hooks.reset()
    print(f"reset in {took * 1000:.0f} ms")
    assert wire.token() == token
    assert wire.list(f"{root}/resourceGroups", GROUPS) == []
    assert wire.list(f"{root}/resources", GROUPS) == []
    for path in ("Microsoft.Compute/disks", "Microsoft.Compute/snapshots"):
        assert wire.list(f"{root}/providers/{path}", "2024-03-02") == []
    assert wire.list(f"{root}/providers/Microsoft.DataProtection/backupVaults", DPP) == []
    assignments = wire.list(
        f"{root}/providers/Microsoft.Authorization/roleAssignments", "2022-04-01")
    assert [a["properties"]["scope"] for a in assignments] == ["/"], assignments
    assert stage.hooks.armed() == [] and stage.hooks.now() == START
    assert stage.hooks.advance()["jobs"] == []
    wait_until(lambda: len(list(stage.service.folder.glob("life-*"))) == 1, STOP_LIMIT,
               "the folder of the life before to go")
    (life,) = stage.service.folder.glob("life-*")
    assert [f for f in (life / "store").rglob("packs/**/*") if f.is_file()] == []
    assert [f for f in (life / "volumes").rglob("*") if f.is_file()] == []


def test_the_same_again_after_a_reset(stage):
    """Names can be used again, bytes are new to the store again, and identities are others."""
    seen, principals = [], []
    for _ in range(2):
        protected = stage.journey.protect(sample(seed=7))
        job = stage.journey.backup(protected.instance)
        details = job["properties"]["extendedInfo"]["additionalDetails"]
        seen.append((details["BytesNew"], details["BytesStored"], details["BytesDeduplicated"]))
        principals.append(protected.principal)
        stage.hooks.reset()
    assert seen[0] == seen[1], "a reset service remembers bytes"
    assert principals[0] != principals[1]


def test_a_reset_in_the_middle_of_a_job(stage):
    """What still runs belongs to the life before and touches nothing of the new one."""
    protected = stage.journey.protect()
    for _ in range(3):
        stage.journey.start_backup(protected.instance)
        stage.hooks.reset()
        assert stage.hooks.advance()["jobs"] == []
        protected = stage.journey.protect()
    assert stage.journey.read(protected.disk) == protected.image
    assert stage.journey.backup(protected.instance)["properties"]["status"] == "Completed"


# ---- who may, and when


def test_a_service_that_is_kept_has_no_hooks(wire):
    for method, path in (("GET", "clock"), ("POST", "clock"), ("GET", "faults"),
                         ("POST", "faults"), ("DELETE", "faults"), ("POST", "reset")):
        reply = wire.request(method, f"/_tresor/{path}", {} if method == "POST" else None)
        assert (reply.status, reply.code) == (404, "NotFound"), (method, path)


def test_hooks_take_a_token(stage):
    reply = stage.hooks.wire.request("POST", "/_tresor/reset", token=None)
    assert (reply.status, reply.code) == (401, "AuthenticationFailed")


@pytest.mark.parametrize("flags, words", [
    (["--clock", "manual"], "--ephemeral"),
    (["--ephemeral", "--listen", "0.0.0.0:0"], "this machine only"),
    (["--ephemeral", "--data", "somewhere"], "--data"),
    (["--ephemeral", "--clock", "yesterday"], "yesterday"),
])
def test_what_a_service_for_tests_refuses(flags, words, tmp_path):
    ended = subprocess.run([binary(), "serve", *flags], cwd=tmp_path, capture_output=True,
                           text=True, timeout=60, check=False)
    assert ended.returncode == 2 and words in ended.stderr, ended
    assert list(tmp_path.iterdir()) == []


# ---- the process


def test_tresor_env_works_for_it(stage):
    out = subprocess.run([binary(), "env", "--data", str(stage.service.folder)], check=True,
                         capture_output=True, text=True, timeout=30).stdout
    for name in ("BASE_URL", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "SUBSCRIPTION_ID",
                 "CA_FILE"):
        assert f"export {name}='{stage.settings[name]}'" in out
    assert stage.service.ready.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_after_a_stop(tmp_path, number):
    with Ephemeral(tmp_path, temporary=tmp_path) as running:
        folder = running.folder
        assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
        Journey(Hooks(running.settings).wire).group()
        running.stop(number)
        assert not folder.exists() and not running.ready.exists()


def test_what_a_killed_service_leaves_goes_with_the_next_start(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    with Ephemeral(first, temporary=tmp_path) as killed, \
            Ephemeral(second, temporary=tmp_path) as alive:
        killed.kill()
        assert killed.folder.exists()
        third = tmp_path / "3"
        third.mkdir()
        with Ephemeral(third, temporary=tmp_path) as running:
            wait_until(lambda: not killed.folder.exists(), STOP_LIMIT, "the sweep")
            assert alive.folder.exists() and running.folder.exists()
            assert Hooks(alive.settings).now() == START
            running.stop()
        alive.stop()


def test_how_long_starts_and_resets_take(tmp_path):
    """Figures for the reader; a slow machine is no failure."""
    starts, resets = [], []
    for number in range(STARTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        began = time.monotonic()
        with Ephemeral(folder) as running:
            hooks = Hooks(running.settings)
            assert hooks.wire.list(f"/subscriptions/{hooks.wire.subscription}/resourceGroups",
                                   GROUPS) == []
            starts.append(time.monotonic() - began)
            resets.append(hooks.reset())
            running.stop()
    for what, figures in (("start to first list", starts), ("reset", resets)):
        print(f"{what}: median {statistics.median(figures) * 1000:.0f} ms, "
              f"longest {max(figures) * 1000:.0f} ms of {len(figures)}")

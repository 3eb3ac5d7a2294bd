"""Tests of the automation: the good way, a busy service, a failed job, and the passing of days."""

import datetime

import pytest

from automation import BUSY, BackupFailed, backup_now, overdue

TRIGGER = "BackupInstances_AdhocBackup"


def moment(text):
    """A time of the wire."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_a_backup_makes_a_recovery_point(azure, protected):
    job = backup_now(azure.backup, *protected)
    (point,) = azure.backup.recovery_points.list(*protected)
    assert point.name == job.extended_info.target_recover_point.recovery_point_id


@pytest.mark.parametrize("where", ["request", "operation"])
def test_a_busy_instance_is_tried_again(service, azure, protected, where):
    """The refusal may come at once or with the operation's end; Azure does both."""
    service.fail(TRIGGER, BUSY, where, times=2)
    waits = []

    def wait(seconds):
        # The service's time passes instead of ours, and running jobs end.
        waits.append(seconds)
        service.advance(f"PT{seconds}S")

    assert backup_now(azure.backup, *protected, wait=wait).status == "Completed"
    assert waits[:2] == [30, 30]


def test_patience_ends(service, azure, protected):
    service.fail(TRIGGER, BUSY, times=3)
    with pytest.raises(BackupFailed) as caught:
        backup_now(azure.backup, *protected, wait=lambda _: None)
    assert caught.value.code == BUSY
    assert list(azure.backup.recovery_points.list(*protected)) == []


def test_a_failed_job_is_told_with_its_code(service, azure, protected):
    service.fail(TRIGGER, "UserErrorMissingRequiredPermissions", "job")
    with pytest.raises(BackupFailed) as caught:
        backup_now(azure.backup, *protected, wait=lambda _: service.advance())
    assert caught.value.code == "UserErrorMissingRequiredPermissions"


def test_a_disk_without_a_recent_point_is_overdue(service, azure, protected):
    group, vault, instance = protected

    def late():
        return overdue(azure.backup, group, vault, moment(service.now()))

    assert late() == [instance], "it was never backed up"
    backup_now(azure.backup, *protected)
    assert late() == []
    service.advance("P1D")
    assert late() == []
    service.advance("PT1S")
    assert late() == [instance]


def test_what_another_test_made_is_gone(azure):
    assert list(azure.groups.list()) == []

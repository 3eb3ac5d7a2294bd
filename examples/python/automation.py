"""The automation under test. It knows Azure only: nothing in here is about Tresor or about tests.

Replace it with your own. What it needs from outside, the SDK client and a way to wait, is handed
in, so that the same code runs against Azure and against a local service.
"""

import datetime
import time

from azure.core.exceptions import HttpResponseError
from azure.mgmt.dataprotection import models

BUSY = "UserErrorMaxConcurrentOperationLimitReached"


class BackupFailed(Exception):
    """A backup that did not make a recovery point; `code` says why."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


def backup_now(backup, group, vault, instance, attempts=3, wait=time.sleep):
    """Backs up an instance and returns the completed job. Waits for its turn when another backup
    of the instance runs, at most `attempts` times."""
    request = models.TriggerBackupRequest(backup_rule_options=models.AdHocBackupRuleOptions(
        rule_name="BackupHourly",
        trigger_option=models.AdhocBackupTriggerOption(retention_tag_override="Default")))
    for attempt in range(1, attempts + 1):
        try:
            poller = backup.backup_instances.begin_adhoc_backup(group, vault, instance, request)
            job_id = poller.result().job_id
            break
        except HttpResponseError as error:
            code = error.error.code if error.error else str(error.status_code)
            if code != BUSY or attempt == attempts:
                raise BackupFailed(code, error.message) from error
            wait(30)
    return finished(backup, group, vault, job_id.rsplit("/", 1)[-1], wait)


def finished(backup, group, vault, job, wait):
    """Waits for a job; a failed one is an exception with the first of its errors."""
    while True:
        properties = backup.jobs.get(group, vault, job).properties
        if properties.status == "Completed":
            return properties
        if properties.status != "InProgress":
            error = properties.error_details[0]
            raise BackupFailed(error.code, error.message)
        wait(1)


def overdue(backup, group, vault, now, limit=datetime.timedelta(hours=24)):
    """The names of the instances whose newest recovery point is older than `limit`."""
    late = []
    for instance in backup.backup_instances.list(group, vault):
        points = backup.recovery_points.list(group, vault, instance.name)
        times = [point.properties.recovery_point_time for point in points]
        if not times or now - max(times) > limit:
            late.append(instance.name)
    return late

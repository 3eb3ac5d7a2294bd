"""The operations of azure-mgmt-dataprotection that the journey does not take, on one protected
disk; both generations of the SDK have them under the same names."""

import json
import urllib.parse

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.dataprotection import models
from azure.storage.blob import BlobClient

from journey import LOCATION, name_of, unique
from walk import Walk


class Followed:
    """Begins long operations and keeps the id of the last one."""

    def __init__(self):
        self.id = None

    def __call__(self, response):
        url = response.http_response.headers.get("Azure-AsyncOperation")
        if url:
            self.id = name_of(url.split("?")[0])


class Others:
    """One method a family of operations."""

    def __init__(self, sdk):
        self.sdk = sdk
        self.backup = sdk.backup
        self.walk = Walk(sdk)
        for step in (self.walk.make_groups, self.walk.make_disk, self.walk.make_vault,
                     self.walk.assign_roles, self.walk.protect):
            step()
        self.point = self.walk.backup()
        self.group, self.vault = self.walk.names["rg"], self.walk.names["vault"]
        self.where = (self.group, self.vault, self.walk.instance)

    def vaults(self):
        """Lists, name check and PATCH of a vault."""
        vaults = self.backup.backup_vaults
        assert [v.name for v in vaults.get_in_resource_group(self.group)] == [self.vault]
        kind = "Microsoft.DataProtection/backupVaults"
        for name, free in ((self.vault, False), (unique("free"), True)):
            answer = vaults.check_name_availability(
                self.group, LOCATION, models.CheckNameAvailabilityRequest(name=name, type=kind))
            assert answer.name_available is free
        changed = vaults.begin_update(
            self.group, self.vault, models.PatchResourceRequestInput(tags={"a": "b"})).result()
        assert changed.tags == {"a": "b"}
        assert vaults.get(self.group, self.vault).tags == {"a": "b"}

    def provider(self):
        """What the provider says of itself."""
        answer = self.backup.data_protection.check_feature_support(
            LOCATION, models.FeatureValidationRequest(
                feature_type="DataSourceType", feature_name="Microsoft.Compute/disks"))
        (feature,) = answer.features
        assert feature.support_status == "GenerallyAvailable"
        names = {o.name for o in self.backup.data_protection_operations.list()}
        assert "Microsoft.DataProtection/backupVaults/backupInstances/backup/action" in names

    def reads(self):
        """Lists and single reads of what the journey made."""
        policy = self.backup.backup_policies.get(self.group, self.vault, self.walk.names["policy"])
        assert policy.id == self.walk.policy
        (instance,) = self.backup.backup_instances.list(self.group, self.vault)
        assert instance.name == self.walk.instance
        (job,) = self.backup.jobs.list(self.group, self.vault)
        assert job.properties.status == "Completed"
        (point,) = self.backup.recovery_points.list(*self.where)
        found = self.backup.recovery_points.get(*self.where, self.point)
        assert point.name == found.name == self.point
        assert found.properties.recovery_point_data_stores_details[0].state == "COMMITTED"
        assert list(self.backup.recovery_points.list(
            *self.where, filter="startDate eq '2020-01-01T00:00:00.0000000Z' and "
            "endDate eq '2020-01-02T00:00:00.0000000Z'")) == []
        ranges = self.backup.restorable_time_ranges.find(
            *self.where, models.AzureBackupFindRestorableTimeRangesRequest(
                source_data_store_type="OperationalStore"))
        assert not ranges.properties.restorable_time_ranges

    def pauses(self):
        """Stop, suspend and resume; the state is seen each time."""
        instances = self.backup.backup_instances
        steps = [(instances.begin_suspend_backups, "BackupsSuspended"),
                 (instances.begin_resume_backups, "ProtectionConfigured"),
                 (instances.begin_stop_protection, "ProtectionStopped"),
                 (instances.begin_resume_protection, "ProtectionConfigured"),
                 # Nothing to resume: 200 at once, with an empty body.
                 (instances.begin_resume_protection, "ProtectionConfigured")]
        for begin, state in steps:
            begin(*self.where).result()
            shown = instances.get(*self.where).properties
            assert shown.current_protection_state == state
            assert shown.protection_status.status == state

    def follow(self):
        """An operation is seen at every address that it has."""
        followed = Followed()
        instances = self.backup.backup_instances
        instances.begin_suspend_backups(*self.where, raw_response_hook=followed).result()
        seen = [
            self.backup.operation_status.get(LOCATION, followed.id),
            self.backup.operation_status_backup_vault_context.get(
                self.group, self.vault, followed.id),
            self.backup.operation_status_resource_group_context.get(self.group, followed.id)]
        assert {(s.name, s.status) for s in seen} == {(followed.id, "Succeeded")}
        result = self.backup.operation_result.get(followed.id, LOCATION)
        assert result.object_type == "OperationJobExtendedInfo"
        shown = instances.get_backup_instance_operation_result(*self.where, followed.id)
        assert shown.name == self.walk.instance
        vault = self.backup.backup_vault_operation_results.get(
            self.group, self.vault, followed.id)
        assert vault.name == self.vault
        with pytest.raises(ResourceNotFoundError):
            self.backup.operation_status.get(LOCATION, "bm9uZQ==")
        instances.begin_resume_backups(*self.where).result()

    def guards(self):
        """A guard, its requests, and a vault that comes under it and leaves it again."""
        guards, proxies = self.backup.resource_guards, self.backup.dpp_resource_guard_proxy
        group, name, proxy = self.walk.names["target"], unique("guard"), "DppResourceGuardProxy"
        made = guards.put(group, name, models.ResourceGuardResource(
            location=LOCATION, properties=models.ResourceGuard()))
        assert guards.get(group, name).id == made.id
        for listed in (guards.get_resources_in_resource_group(group),
                       guards.get_resources_in_subscription()):
            assert made.id in [guard.id for guard in listed]
        patched = guards.patch(group, name, models.PatchResourceGuardInput(tags={"a": "b"}))
        assert patched.tags == {"a": "b"}
        (listed,) = guards.get_delete_resource_guard_proxy_requests_objects(group, name)
        one = guards.get_default_delete_resource_guard_proxy_requests_object(
            group, name, "default")
        assert listed.id == one.id
        where = (self.group, self.vault, proxy)
        proxies.create_or_update(*where, models.ResourceGuardProxyBaseResource(
            properties=models.ResourceGuardProxyBase(resource_guard_resource_id=made.id)))
        assert [found.name for found in proxies.list(self.group, self.vault)] == [proxy]
        assert proxies.get(*where).properties.resource_guard_resource_id == made.id
        vault = self.backup.backup_vaults.get(self.group, self.vault)
        assert vault.properties.is_vault_protected_by_resource_guard is True
        with pytest.raises(HttpResponseError, match="BMSUserErrorInvalidInput"):
            # Another request of the guard than the one that stands for this operation.
            self.backup.backup_instances.begin_stop_protection(
                *self.where, parameters=models.StopProtectionRequest(
                    resource_guard_operation_requests=[one.id]))
        answer = proxies.unlock_delete(*where, models.UnlockDeleteRequest(
            resource_guard_operation_requests=[one.id]))
        assert answer.unlock_delete_expiry_time
        proxies.delete(*where)
        guards.delete(group, name)
        with pytest.raises(ResourceNotFoundError):
            guards.get(group, name)

    def standing(self):
        """Sync, the instances of a disk, the export of jobs, a switch of the policy's check."""
        instances = self.backup.backup_instances
        instances.begin_sync_backup_instance(
            *self.where, models.SyncBackupInstanceRequest(sync_type="Default")).result()
        found = self.backup.backup_instances_extension_routing.list(self.walk.disk)
        assert [instance.name for instance in found] == [self.walk.instance]
        first = []
        self.backup.export_jobs.begin_trigger(
            self.group, self.vault,
            raw_response_hook=lambda r: first.append(r.http_response.headers)).result()
        location = next(headers["Location"] for headers in first if "Location" in headers)
        operation = urllib.parse.unquote(name_of(location.split("?")[0]))
        result = self.backup.export_jobs_operation_result.get(self.group, self.vault, operation)
        blob = BlobClient.from_blob_url(result.blob_url + result.blob_sas_key)
        assert len(json.loads(blob.download_blob().readall())["value"]) == 1
        if hasattr(instances, "begin_validate_for_modify_backup"):
            instances.begin_validate_for_modify_backup(
                *self.where, {"backupInstance": self.walk.instance_model()}).result()

    def deleted(self):
        """An instance is deleted, found among the deleted ones, and comes back."""
        instances, gone = self.backup.backup_instances, self.backup.deleted_backup_instances
        instances.begin_delete(*self.where).result()
        (found,) = gone.list(self.group, self.vault)
        assert gone.get(*self.where).id == found.id
        assert found.properties.deletion_info.scheduled_purge_time
        gone.begin_undelete(*self.where).result()
        instances.begin_resume_protection(*self.where).result()
        shown = instances.get(*self.where).properties
        assert shown.current_protection_state == "ProtectionConfigured"
        assert list(gone.list(self.group, self.vault)) == []

    def refused(self):
        """What disks do not have is refused with a code, and the SDK shows it."""
        crr = {"sourceRegion": LOCATION, "sourceBackupInstanceId": self.walk.instance}
        request = {"objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
                   "recoveryPointId": self.point, "sourceDataStoreType": "OperationalStore",
                   "restoreTargetInfo": {"objectType": "RestoreTargetInfo",
                                         "recoveryOption": "FailIfExists"}}
        cross = {"restoreRequestObject": request, "crossRegionRestoreDetails": crr}
        job = {"sourceRegion": LOCATION, "sourceBackupVaultId": self.vault, "jobId": "1"}
        instances = self.backup.backup_instances
        calls = [
            lambda: instances.begin_trigger_rehydrate(*self.where, {
                "recoveryPointId": self.point, "rehydrationRetentionDuration": "P1D"}),
            lambda: instances.begin_trigger_cross_region_restore(self.group, LOCATION, cross),
            lambda: instances.begin_validate_cross_region_restore(self.group, LOCATION, cross),
            lambda: list(self.backup.fetch_secondary_recovery_points.list(
                self.group, LOCATION, crr)),
            lambda: list(self.backup.fetch_cross_region_restore_jobs.list(
                self.group, LOCATION, job)),
            lambda: self.backup.fetch_cross_region_restore_job.get(self.group, LOCATION, job)]
        for call in calls:
            with pytest.raises(HttpResponseError) as caught:
                call()
            assert 400 <= caught.value.status_code < 500, caught.value
            assert caught.value.error.code, caught.value

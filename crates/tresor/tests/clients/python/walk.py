"""The journey by the Azure SDKs: azure-identity, azure-mgmt-resource, -compute, -authorization,
-dataprotection and azure-storage-blob.

Both generations of azure-mgmt-dataprotection take these calls, so both suites walk this way.
"""

import time
import types
import uuid

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.models import RoleAssignmentCreateParameters
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.compute import models as compute_models
from azure.mgmt.dataprotection import DataProtectionMgmtClient
from azure.mgmt.dataprotection import models
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.storage.blob import BlobClient

from journey import LOCATION, MIB, UNIT, name_of, sample, unique

ROLE_NAMES = {"disk": "Disk Backup Reader", "snapshots": "Disk Snapshot Contributor",
              "target": "Disk Restore Operator"}


def credential(settings, tenant=None, secret=None):
    """A credential that asks the service's own authority for tokens."""
    return ClientSecretCredential(
        tenant or settings["TENANT_ID"], settings["CLIENT_ID"],
        secret or settings["CLIENT_SECRET"], authority=settings["BASE_URL"],
        disable_instance_discovery=tenant != "adfs")


def clients(settings, who):
    """The four management clients, pointed at the service."""
    base = settings["BASE_URL"]
    more = {"base_url": base, "credential_scopes": [f"{base}/.default"]}
    subscription = settings["SUBSCRIPTION_ID"]
    return types.SimpleNamespace(
        subscription=subscription,
        groups=ResourceManagementClient(who, subscription, **more).resource_groups,
        compute=ComputeManagementClient(who, subscription, **more),
        roles=AuthorizationManagementClient(who, subscription, **more),
        backup=DataProtectionMgmtClient(who, subscription, **more))


def policy_model():
    """A policy for disks."""
    store = models.DataStoreInfoBase(data_store_type="OperationalStore",
                                     object_type="DataStoreInfoBase")
    tag = models.TaggingCriteria(is_default=True, tagging_priority=99,
                                 tag_info=models.RetentionTag(tag_name="Default"))
    rule = models.AzureBackupRule(
        name="BackupHourly", data_store=store,
        backup_parameters=models.AzureBackupParams(backup_type="Incremental"),
        trigger=models.ScheduleBasedTriggerContext(
            schedule=models.BackupSchedule(
                repeating_time_intervals=["R/2024-01-01T00:00:00+00:00/PT4H"]),
            tagging_criteria=[tag]))
    keep = models.AzureRetentionRule(
        name="Default", is_default=True, lifecycles=[models.SourceLifeCycle(
            delete_after=models.AbsoluteDeleteOption(duration="P7D"), source_data_store=store,
            target_data_store_copy_settings=[])])
    return models.BaseBackupPolicyResource(properties=models.BackupPolicy(
        datasource_types=["Microsoft.Compute/disks"], policy_rules=[rule, keep]))


def datasource(disk):
    """A Datasource that names a disk."""
    return models.Datasource(
        object_type="Datasource", datasource_type="Microsoft.Compute/disks",
        resource_id=disk, resource_name=name_of(disk), resource_uri=disk,
        resource_type="Microsoft.Compute/disks", resource_location=LOCATION)


class Walk:
    """The journey; one method a stage."""

    def __init__(self, sdk):
        self.sdk = sdk
        self.names = {kind: unique(kind) for kind in
                      ("rg", "snap", "target", "disk", "vault", "policy", "restored")}
        self.image = sample(6 * MIB, seed=11)

    def all(self):
        """The whole way, with a change between two backups."""
        self.make_groups()
        self.make_disk()
        self.make_vault()
        self.assign_roles()
        self.protect()
        first = self.backup()
        self.change()
        second = self.backup()
        listed = self.sdk.backup.recovery_points.list(
            self.names["rg"], self.names["vault"], self.instance)
        assert [point.name for point in listed] == [second, first]
        self.restore(second)
        self.compare()
        self.tear_down()

    def group_id(self, kind):
        """The id of one of the three groups."""
        return f"/subscriptions/{self.sdk.subscription}/resourceGroups/{self.names[kind]}"

    def make_groups(self):
        """Three groups, seen by HEAD and in the list."""
        for kind in ("rg", "snap", "target"):
            made = self.sdk.groups.create_or_update(self.names[kind], {"location": LOCATION})
            assert made.id == self.group_id(kind)
            assert self.sdk.groups.check_existence(self.names[kind])
        assert not self.sdk.groups.check_existence(unique("absent"))
        assert {g.name for g in self.sdk.groups.list()} >= {
            self.names[kind] for kind in ("rg", "snap", "target")}

    def blob(self, grant, name, group="rg", access="Read"):
        """A blob client on the SAS of a disk or snapshot."""
        sas = grant(self.names[group], name, compute_models.GrantAccessData(
            access=access, duration_in_seconds=3600)).result().access_sas
        return BlobClient.from_blob_url(sas)

    def make_disk(self):
        """Uploads the disk, by pages."""
        disks, group, name = self.sdk.compute.disks, self.names["rg"], self.names["disk"]
        made = disks.begin_create_or_update(group, name, compute_models.Disk(
            location=LOCATION, sku=compute_models.DiskSku(name="Standard_LRS"),
            properties=compute_models.DiskProperties(creation_data=compute_models.CreationData(
                create_option="Upload", upload_size_bytes=len(self.image) + 512)))).result()
        assert made.properties.provisioning_state == "Succeeded"
        self.disk = made.id
        blob = self.blob(disks.begin_grant_access, name, access="Write")
        for at in range(0, len(self.image), MIB):
            page = bytes(self.image[at:at + MIB])
            if any(page):
                blob.upload_page(page, offset=at, length=len(page))
        assert blob.get_blob_properties().size == len(self.image) + 512
        disks.begin_revoke_access(group, name).result()

    def make_vault(self):
        """A vault with an identity, and a policy."""
        backup, group, vault = self.sdk.backup, self.names["rg"], self.names["vault"]
        made = backup.backup_vaults.begin_create_or_update(
            group, vault, models.BackupVaultResource(
                location=LOCATION, identity=models.DppIdentityDetails(type="SystemAssigned"),
                properties=models.BackupVault(
                    security_settings=models.SecuritySettings(
                        soft_delete_settings=models.SoftDeleteSettings(
                            state="AlwaysOn", retention_duration_in_days=14)),
                    storage_settings=[models.StorageSetting(
                        datastore_type="VaultStore", type="LocallyRedundant")]))).result()
        assert made.properties.provisioning_state == "Succeeded"
        self.principal = made.identity.principal_id
        assert uuid.UUID(self.principal)
        self.policy = backup.backup_policies.create_or_update(
            group, vault, self.names["policy"], policy_model()).id
        assert [p.id for p in backup.backup_policies.list(group, vault)] == [self.policy]
        assert made.id in [v.id for v in backup.backup_vaults.get_in_subscription()]

    def assign_roles(self):
        """The identity's three roles, found by their names."""
        scopes = {"disk": self.disk, "snapshots": self.group_id("snap"),
                  "target": self.group_id("target")}
        for kind, scope in scopes.items():
            (role,) = self.sdk.roles.role_definitions.list(
                scope, filter=f"roleName eq '{ROLE_NAMES[kind]}'")
            made = self.sdk.roles.role_assignments.create(
                scope, str(uuid.uuid4()), RoleAssignmentCreateParameters(
                    role_definition_id=role.id, principal_id=self.principal,
                    principal_type="ServicePrincipal"))
            assert made.scope == scope

    def instance_model(self):
        """The backup instance."""
        return models.BackupInstance(
            object_type="BackupInstance", friendly_name=self.names["disk"],
            data_source_info=datasource(self.disk), policy_info=models.PolicyInfo(
                policy_id=self.policy, policy_parameters=models.PolicyParameters(
                    data_store_parameters_list=[models.AzureOperationalStoreParameters(
                        data_store_type="OperationalStore",
                        resource_group_id=self.group_id("snap"))])))

    def protect(self):
        """Validates, then protects the disk."""
        instances = self.sdk.backup.backup_instances
        group, vault = self.names["rg"], self.names["vault"]
        answer = instances.begin_validate_for_backup(group, vault, {
            "backupInstance": self.instance_model()}).result()
        assert answer.object_type == "OperationJobExtendedInfo"
        self.instance = f"{self.names['disk']}-{uuid.uuid4()}"
        made = instances.begin_create_or_update(
            group, vault, self.instance,
            models.BackupInstanceResource(properties=self.instance_model())).result()
        assert made.properties.provisioning_state == "Succeeded"
        assert made.properties.data_source_info.resource_id == self.disk

    def wait_job(self, job_id):
        """Polls a job to its end; it must have completed."""
        end = time.monotonic() + 120
        while True:
            job = self.sdk.backup.jobs.get(self.names["rg"], self.names["vault"],
                                           name_of(job_id)).properties
            if job.status != "InProgress":
                assert job.status == "Completed", job
                return job
            assert time.monotonic() < end
            time.sleep(0.05)

    def backup(self):
        """One backup; the id of its recovery point."""
        job_id = self.sdk.backup.backup_instances.begin_adhoc_backup(
            self.names["rg"], self.names["vault"], self.instance, models.TriggerBackupRequest(
                backup_rule_options=models.AdHocBackupRuleOptions(
                    rule_name="BackupHourly", trigger_option=models.AdhocBackupTriggerOption(
                        retention_tag_override="Default")))).result().job_id
        return self.wait_job(job_id).extended_info.target_recover_point.recovery_point_id

    def change(self):
        """Changes one unit of the disk and clears another."""
        disks, group, name = self.sdk.compute.disks, self.names["rg"], self.names["disk"]
        blob = self.blob(disks.begin_grant_access, name, access="Write")
        blob.upload_page(b"\x77" * UNIT, offset=5 * UNIT, length=UNIT)
        blob.clear_page(offset=0, length=UNIT)
        self.image[5 * UNIT:6 * UNIT] = b"\x77" * UNIT
        self.image[:UNIT] = bytes(UNIT)
        disks.begin_revoke_access(group, name).result()

    def restore(self, point):
        """Validates and restores a point to a new disk."""
        instances = self.sdk.backup.backup_instances
        where = (self.names["rg"], self.names["vault"], self.instance)
        disk = (f"{self.group_id('target')}/providers/Microsoft.Compute/disks/"
                f"{self.names['restored']}")
        request = models.AzureBackupRecoveryPointBasedRestoreRequest(
            source_data_store_type="OperationalStore", recovery_point_id=point,
            restore_target_info=models.RestoreTargetInfo(
                recovery_option="FailIfExists", restore_location=LOCATION,
                datasource_info=datasource(disk)))
        instances.begin_validate_for_restore(*where, models.ValidateRestoreRequestObject(
            restore_request_object=request)).result()
        job = self.wait_job(instances.begin_trigger_restore(*where, request).result().job_id)
        assert job.extended_info.recovery_destination == disk
        with pytest.raises(HttpResponseError, match="UserErrorSameNameDiskAlreadyExists"):
            instances.begin_validate_for_restore(*where, models.ValidateRestoreRequestObject(
                restore_request_object=request)).result()

    def compare(self):
        """Downloads the restored disk and a snapshot; both hold the right bytes."""
        compute, target = self.sdk.compute, self.names["target"]
        made = compute.disks.get(target, self.names["restored"])
        assert made.properties.disk_size_bytes == len(self.image)
        blob = self.blob(compute.disks.begin_grant_access, self.names["restored"], "target")
        assert blob.download_blob().readall()[:-512] == self.image, "restored bit for bit"
        compute.disks.begin_revoke_access(target, self.names["restored"]).result()
        snapshots = sorted(compute.snapshots.list_by_resource_group(self.names["snap"]),
                           key=lambda s: s.properties.time_created)
        assert len(snapshots) == 2 and all(s.properties.incremental for s in snapshots)
        blob = self.blob(compute.snapshots.begin_grant_access, snapshots[1].name, "snap")
        assert blob.download_blob().readall()[:-512] == self.image
        compute.snapshots.begin_revoke_access(self.names["snap"], snapshots[1].name).result()

    def tear_down(self):
        """Deletes everything, in order."""
        backup, group, vault = self.sdk.backup, self.names["rg"], self.names["vault"]
        backup.backup_instances.begin_delete(group, vault, self.instance).result()
        with pytest.raises(ResourceNotFoundError):
            backup.backup_instances.get(group, vault, self.instance)
        backup.backup_policies.delete(group, vault, self.names["policy"])
        backup.backup_vaults.begin_delete(group, vault).result()
        with pytest.raises(ResourceNotFoundError):
            backup.backup_vaults.get(group, vault)
        for kind in ("rg", "snap", "target"):
            self.sdk.groups.begin_delete(self.names[kind]).result()
            assert not self.sdk.groups.check_existence(self.names[kind])

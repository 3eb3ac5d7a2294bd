"""One service for all tests, made clean before each, and the SDK's clients of it."""

import types
import uuid

import pytest
from azure.identity import ClientSecretCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.models import RoleAssignmentCreateParameters
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.compute.models import CreationData, Disk
from azure.mgmt.dataprotection import DataProtectionMgmtClient, models
from azure.mgmt.resource.resources import ResourceManagementClient

from tresor import Service

GROUP, VAULT, POLICY, DISK = "example", "vault", "policy", "disk"
PLACE = {"location": "westus"}
DISK_BACKUP_READER = "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24"
DISK_SNAPSHOT_CONTRIBUTOR = "7efff54f-a5b4-42b5-a1c5-5411624893ce"


@pytest.fixture(scope="session")
def running():
    """The service of the session."""
    with Service() as service:
        yield service


@pytest.fixture
def service(running):
    """The same, as if it had just been started."""
    running.reset()
    return running


@pytest.fixture
def azure(service):
    """The unmodified SDK clients. Only these lines tell them that this is not Azure."""
    settings = service.settings
    base = settings["BASE_URL"]
    trust = {"connection_verify": settings["CA_FILE"]}
    who = ClientSecretCredential(
        settings["TENANT_ID"], settings["CLIENT_ID"], settings["CLIENT_SECRET"],
        authority=base, disable_instance_discovery=True, **trust)
    more = {"base_url": base, "credential_scopes": [f"{base}/.default"], **trust}
    subscription = settings["SUBSCRIPTION_ID"]
    return types.SimpleNamespace(
        subscription=subscription,
        groups=ResourceManagementClient(who, subscription, **more).resource_groups,
        disks=ComputeManagementClient(who, subscription, **more).disks,
        roles=AuthorizationManagementClient(who, subscription, **more).role_assignments,
        backup=DataProtectionMgmtClient(who, subscription, **more))


@pytest.fixture
def protected(azure):
    """A protected disk; group, vault and instance as the automation names them."""
    group = azure.groups.create_or_update(GROUP, PLACE).id
    disk = azure.disks.begin_create_or_update(GROUP, DISK, Disk(
        **PLACE, creation_data=CreationData(create_option="Empty"), disk_size_gb=1)).result()
    vault = azure.backup.backup_vaults.begin_create_or_update(
        GROUP, VAULT, models.BackupVaultResource(
            **PLACE, identity=models.DppIdentityDetails(type="SystemAssigned"),
            properties=models.BackupVault(storage_settings=[models.StorageSetting(
                datastore_type="VaultStore", type="LocallyRedundant")]))).result()
    for role in (DISK_BACKUP_READER, DISK_SNAPSHOT_CONTRIBUTOR):
        azure.roles.create(group, str(uuid.uuid4()), RoleAssignmentCreateParameters(
            role_definition_id=f"/subscriptions/{azure.subscription}/providers/"
                               f"Microsoft.Authorization/roleDefinitions/{role}",
            principal_id=vault.identity.principal_id, principal_type="ServicePrincipal"))
    policy = azure.backup.backup_policies.create_or_update(GROUP, VAULT, POLICY, policy_model())
    azure.backup.backup_instances.begin_create_or_update(
        GROUP, VAULT, DISK, models.BackupInstanceResource(properties=models.BackupInstance(
            object_type="BackupInstance", friendly_name=DISK,
            data_source_info=models.Datasource(
                object_type="Datasource", datasource_type="Microsoft.Compute/disks",
                resource_type="Microsoft.Compute/disks", resource_id=disk.id,
                resource_name=DISK, resource_uri=disk.id, resource_location="westus"),
            policy_info=models.PolicyInfo(
                policy_id=policy.id, policy_parameters=models.PolicyParameters(
                    data_store_parameters_list=[models.AzureOperationalStoreParameters(
                        data_store_type="OperationalStore",
                        resource_group_id=group)]))))).result()
    return GROUP, VAULT, DISK


def policy_model():
    """Backups every four hours, kept for seven days."""
    store = models.DataStoreInfoBase(data_store_type="OperationalStore",
                                     object_type="DataStoreInfoBase")
    return models.BaseBackupPolicyResource(properties=models.BackupPolicy(
        datasource_types=["Microsoft.Compute/disks"], policy_rules=[
            models.AzureBackupRule(
                name="BackupHourly", data_store=store,
                backup_parameters=models.AzureBackupParams(backup_type="Incremental"),
                trigger=models.ScheduleBasedTriggerContext(
                    schedule=models.BackupSchedule(
                        repeating_time_intervals=["R/2024-01-01T00:00:00+00:00/PT4H"]),
                    tagging_criteria=[models.TaggingCriteria(
                        is_default=True, tagging_priority=99,
                        tag_info=models.RetentionTag(tag_name="Default"))])),
            models.AzureRetentionRule(
                name="Default", is_default=True, lifecycles=[models.SourceLifeCycle(
                    delete_after=models.AbsoluteDeleteOption(duration="P7D"),
                    source_data_store=store, target_data_store_copy_settings=[])])]))

"""The whole journey of Microsoft.DataProtection by `az rest`, with the bodies that the extension
`dataprotection` sends: `resourceId` where the SDKs send `resourceID`, nulls that are written out,
an empty $filter, tags that carry ids."""

import uuid

import pytest

from journey import LOCATION, MIB, UNIT, name_of, sample, unique
from test_compute import download, upload, write
import vhd

API = "2024-04-01"
STORE = {"dataStoreType": "OperationalStore", "objectType": "DataStoreInfoBase"}
ROLES = [("disk", "Disk Backup Reader"), ("snapshots", "Disk Snapshot Contributor"),
         ("target", "Disk Restore Operator")]


def policy():
    """What `backup-policy get-default-policy-template` prints and `create` sends."""
    return {"properties": {
        "datasourceTypes": ["Microsoft.Compute/disks"], "objectType": "BackupPolicy",
        "name": "DiskPolicy", "policyRules": [
            {"backupParameters": {"backupType": "Incremental",
                                  "objectType": "AzureBackupParams"},
             "dataStore": STORE, "name": "BackupHourly", "objectType": "AzureBackupRule",
             "trigger": {
                 "objectType": "ScheduleBasedTriggerContext",
                 "schedule": {"repeatingTimeIntervals": ["R/2020-04-05T13:00:00+00:00/PT4H"]},
                 "taggingCriteria": [{"isDefault": True, "taggingPriority": 99, "tagInfo": {
                     "id": "Default_", "tagName": "Default"}}]}},
            {"isDefault": True, "name": "Default", "objectType": "AzureRetentionRule",
             "lifecycles": [{"deleteAfter": {"duration": "P7D",
                                             "objectType": "AbsoluteDeleteOption"},
                             "sourceDataStore": STORE}]}]}}


def datasource(disk, member):
    """A Datasource; `member` is how the id is spelt."""
    return {"objectType": "Datasource", member: disk, "resourceName": name_of(disk),
            "resourceType": "Microsoft.Compute/disks", "resourceUri": "",
            "resourceLocation": LOCATION, "datasourceType": "Microsoft.Compute/disks"}


class Walk:
    """The journey; one method a stage."""

    def __init__(self, az):
        self.az = az
        self.root = f"/subscriptions/{az.settings['SUBSCRIPTION_ID']}"
        self.group, self.snapshots, self.target = (az.group(kind)
                                                   for kind in ("rg", "snap", "target"))
        self.image = sample(4 * MIB, seed=41)
        self.disk = upload(az, self.group, self.image)
        self.vault = (f"{self.id(self.group)}/providers/Microsoft.DataProtection/backupVaults/"
                      f"{unique('vault')}")

    def id(self, group):
        """The id of a group."""
        return f"{self.root}/resourceGroups/{group}"

    def disk_id(self, group, name):
        """The id of a disk."""
        return f"{self.id(group)}/providers/Microsoft.Compute/disks/{name}"

    def make_vault(self):
        """`backup-vault create --type SystemAssigned`, then `show`, `list` and `update`."""
        body = {"identity": {"type": "SystemAssigned"}, "location": LOCATION, "properties": {
            "securitySettings": {"softDeleteSettings": {
                "retentionDurationInDays": 14.0, "state": "On"}},
            "storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}]}}
        self.az.follow("put", self.vault, body)
        made = self.az.rest("get", self.vault)
        principal = made["identity"]["principalId"]
        made["tags"] = {"use": "test"}
        made["identity"] = {"type": "SystemAssigned"}
        self.az.follow("put", self.vault, made)
        made = self.az.rest("get", self.vault)
        assert (made["tags"], made["identity"]["principalId"]) == ({"use": "test"}, principal)
        for scope in (self.root, self.id(self.group)):
            path = f"{scope}/providers/Microsoft.DataProtection/backupVaults"
            assert made["id"] in [found["id"] for found in self.az.rest("get", path)["value"]]
        return principal

    def make_policy(self):
        """`backup-policy create`, `show` and `list`."""
        path = f"{self.vault}/backupPolicies/{unique('policy')}"
        self.az.rest("put", path, policy())
        assert self.az.rest("get", path)["id"] == path
        listed = self.az.rest("get", f"{self.vault}/backupPolicies")["value"]
        assert [found["id"] for found in listed] == [path]
        return path

    def assign(self, principal):
        """`role assignment create`, by hand as the documentation tells."""
        scopes = {"disk": self.disk_id(self.group, self.disk), "target": self.id(self.target),
                  "snapshots": self.id(self.snapshots)}
        for kind, role in ROLES:
            self.az("role", "assignment", "create", "--role", role, "--scope", scopes[kind],
                    "--assignee-object-id", principal,
                    "--assignee-principal-type", "ServicePrincipal")

    def instance_body(self, member):
        """What `backup-instance initialize` prints."""
        disk = self.disk_id(self.group, self.disk)
        return {"objectType": "BackupInstance", "friendlyName": self.disk,
                "dataSourceInfo": datasource(disk, member), "dataSourceSetInfo": None,
                "datasourceAuthCredentials": None, "policyInfo": {
                    "policyId": self.policy, "policyParameters": {"dataStoreParametersList": [{
                        "objectType": "AzureOperationalStoreParameters",
                        "dataStoreType": "OperationalStore",
                        "resourceGroupId": self.id(self.snapshots)}]}}}

    def protect(self):
        """`backup-instance validate-for-backup`, `create`, `show` and `list`."""
        result = self.az.follow("post", f"{self.vault}/validateForBackup", {
            "backupInstance": self.instance_body("resourceId")})
        assert result == {"objectType": "OperationJobExtendedInfo"}
        self.instance = f"{self.vault}/backupInstances/{self.disk}-{self.disk}-{uuid.uuid4()}"
        self.az.follow("put", self.instance, {"properties": self.instance_body("resourceID")})
        made = self.az.rest("get", self.instance)["properties"]
        assert made["protectionStatus"]["status"] == "ProtectionConfigured"
        assert made["dataSourceInfo"]["resourceID"] == self.disk_id(self.group, self.disk)
        listed = self.az.rest("get", f"{self.vault}/backupInstances")["value"]
        assert [found["id"] for found in listed] == [self.instance]

    def backup(self, trigger):
        """`backup-instance adhoc-backup`; the recovery point."""
        result = self.az.follow("post", f"{self.instance}/backup", {"backupRuleOptions": {
            "ruleName": "BackupHourly", "triggerOption": trigger}})
        job = self.az.job(result["jobId"])["properties"]
        return job["extendedInfo"]["targetRecoverPoint"]["recoveryPointID"]

    def restore(self, point):
        """`backup-instance validate-for-restore` and `restore trigger`; the new disk's name."""
        name = unique("restored")
        request = {
            "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
            "recoveryPointId": point, "sourceDataStoreType": "OperationalStore",
            "sourceResourceId": self.disk_id(self.group, self.disk), "restoreTargetInfo": {
                "objectType": "RestoreTargetInfo", "recoveryOption": "FailIfExists",
                "restoreLocation": LOCATION, "datasourceAuthCredentials": None,
                "datasourceSetInfo": None,
                "datasourceInfo": datasource(self.disk_id(self.target, name), "resourceId")}}
        self.az.follow("post", f"{self.instance}/validateRestore", {
            "restoreRequestObject": request})
        result = self.az.follow("post", f"{self.instance}/restore", request)
        job = self.az.job(result["jobId"])["properties"]
        assert job["operationCategory"] == "Restore"
        return name


@pytest.fixture(scope="module")
def walk(az):
    """The journey up to the protected disk."""
    walk = Walk(az)
    principal = walk.make_vault()
    walk.policy = walk.make_policy()
    walk.assign(principal)
    walk.protect()
    return walk


def test_backup_and_restore(az, walk):
    first = walk.backup({"retentionTagOverride": "Default"})
    image = bytearray(walk.image)
    image[MIB:MIB + UNIT] = b"\x51" * UNIT
    write(az, walk.group, walk.disk, az.file("second.vhd", vhd.fixed(image)))
    second = walk.backup({})
    # `recovery-point list` sends an empty filter.
    listed = az.rest("get", f"{walk.instance}/recoveryPoints?$filter=")["value"]
    assert [point["name"] for point in listed] == [second, first]
    shown = az.rest("get", f"{walk.instance}/recoveryPoints/{first}")
    assert shown["properties"]["retentionTagName"] == "Default"
    restored = walk.restore(first)
    assert download(az, "disk", walk.target, restored) == walk.image
    assert download(az, "disk", walk.target, walk.restore(second)) == image
    jobs = az.rest("get", f"{walk.vault}/backupJobs")["value"]
    assert sorted(j["properties"]["operationCategory"] for j in jobs) == [
        "Backup", "Backup", "Restore", "Restore"]
    listed = az("snapshot", "list", "-g", walk.snapshots)
    assert len(listed) == 2 and all(snapshot["incremental"] for snapshot in listed)


def test_stop_and_resume(az, walk):
    for verb, state in (("stopProtection", "ProtectionStopped"),
                        ("resumeProtection", "ProtectionConfigured"),
                        ("suspendBackups", "BackupsSuspended"),
                        ("resumeBackups", "ProtectionConfigured")):
        az.follow("post", f"{walk.instance}/{verb}")
        shown = az.rest("get", walk.instance)["properties"]
        assert shown["currentProtectionState"] == state


def test_update_policy(az, walk):
    """`backup-instance update-policy`: GET, the same back with another policy, PUT."""
    other = f"{walk.vault}/backupPolicies/{unique('policy')}"
    az.rest("put", other, policy())
    body = az.rest("get", walk.instance)
    body["properties"]["policyInfo"]["policyId"] = other
    az.follow("put", walk.instance, body)
    assert az.rest("get", walk.instance)["properties"]["policyInfo"]["policyId"] == other
    assert "UserErrorDppPolicyObjectInUse" in refusal(az, "delete", other)
    body["properties"]["policyInfo"]["policyId"] = walk.policy
    az.follow("put", walk.instance, body)
    az.rest("delete", other)


def refusal(az, method, path, *more):
    """What `az rest` says of a refused request."""
    return az.refused("rest", "--method", method, "--url", f"{path}?api-version={API}", *more)


def test_a_resource_guard(az, walk):
    """`resource-guard create`, `show`, `list`, `update`; `backup-vault resource-guard-mapping
    create`, `show`, `delete`, and the unlock before it."""
    guard = (f"{walk.id(walk.target)}/providers/Microsoft.DataProtection/resourceGuards/"
             f"{unique('guard')}")
    proxy = f"{walk.vault}/backupResourceGuardProxies/DppResourceGuardProxy"
    az.rest("put", guard, {"location": LOCATION, "properties": {}})
    assert az.rest("patch", guard, {"tags": {"use": "test"}})["tags"] == {"use": "test"}
    assert az.rest("get", guard)["properties"]["resourceGuardOperations"]
    for scope in (walk.root, walk.id(walk.target)):
        path = f"{scope}/providers/Microsoft.DataProtection/resourceGuards"
        assert guard in [found["id"] for found in az.rest("get", path)["value"]]
    requests = f"{guard}/deleteResourceGuardProxyRequests"
    (request,) = az.rest("get", requests)["value"]
    assert az.rest("get", f"{requests}/default")["id"] == request["id"]
    az.rest("put", proxy, {"properties": {"resourceGuardResourceId": guard}})
    assert az.rest("get", proxy)["properties"]["resourceGuardResourceId"] == guard
    assert len(az.rest("get", f"{walk.vault}/backupResourceGuardProxies")["value"]) == 1
    # Another request of the guard than the one that stands for this operation.
    wrong = az.file("body.json", {"resourceGuardOperationRequests": [request["id"]]})
    said = refusal(az, "post", f"{walk.instance}/stopProtection", "--body", f"@{wrong}")
    assert "BMSUserErrorInvalidInput" in said
    answer = az.rest("post", f"{proxy}/unlockDelete", {
        "resourceGuardOperationRequests": [request["id"]]})
    assert answer["unlockDeleteExpiryTime"]
    az.rest("delete", proxy)
    az.rest("delete", guard)


def test_what_was_deleted_comes_back(az, walk):
    """`backup-instance delete`, `deleted-backup-instance list`, `show` and `undelete`."""
    az.follow("delete", walk.instance)
    assert "UserErrorGenericResourceNotFound" in refusal(az, "get", walk.instance)
    (found,) = az.rest("get", f"{walk.vault}/deletedBackupInstances")["value"]
    assert az.rest("get", found["id"])["name"] == name_of(walk.instance)
    az.follow("post", f"{found['id']}/undelete")
    az.follow("post", f"{walk.instance}/resumeProtection")
    shown = az.rest("get", walk.instance)["properties"]
    assert shown["currentProtectionState"] == "ProtectionConfigured"


def test_everything_is_deleted(az, walk):
    """Last in this file: `backup-instance delete`, `backup-policy delete`, `backup-vault
    delete`."""
    az.follow("delete", walk.instance)
    az.rest("delete", walk.policy)
    az.follow("delete", walk.vault)
    assert "ResourceNotFound" in refusal(az, "get", walk.vault)
    for group in (walk.group, walk.snapshots, walk.target):
        az("group", "delete", "-n", group, "--yes", "--no-wait")

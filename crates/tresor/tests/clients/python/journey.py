"""Arranges what a test is about: groups, disks with known bytes, vaults, policies, roles and
protected disks. All by raw HTTP; the names are new each time."""

import dataclasses
import random
import urllib.parse
import uuid

from wire import COMPUTE, DPP, GROUPS, ROLES

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
UNIT = 64 * KIB
PUT_MAX = 4 * MIB
LOCATION = "westus"
DISK_BACKUP_READER = "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24"
DISK_SNAPSHOT_CONTRIBUTOR = "7efff54f-a5b4-42b5-a1c5-5411624893ce"
DISK_RESTORE_OPERATOR = "b50d9833-a0cb-478e-945f-707fcc997c13"
STORAGE_VERSION = {"x-ms-version": "2021-12-02"}
STORE = {"objectType": "DataStoreInfoBase", "dataStoreType": "OperationalStore"}


def unique(kind):
    """A name that no other test uses."""
    return f"{kind}-{uuid.uuid4().hex[:10]}"


def sample(size=4 * MIB, seed=1):
    """A disk's content: random at both ends, text in the middle, the rest zero."""
    chance = random.Random(seed)
    image = bytearray(size)
    image[:size // 4] = chance.randbytes(size // 4)
    text = (b"tresor %d " % seed) * (size // 64)
    image[size // 2:size // 2 + len(text)] = text
    image[-UNIT:] = chance.randbytes(UNIT)
    assert len(image) == size
    return image


def name_of(resource):
    """The last part of an id."""
    return resource.rsplit("/", 1)[-1]


def datasource(disk, location=LOCATION):
    """A Datasource that names a disk."""
    return {"objectType": "Datasource", "datasourceType": "Microsoft.Compute/disks",
            "resourceID": disk, "resourceName": name_of(disk), "resourceUri": disk,
            "resourceType": "Microsoft.Compute/disks", "resourceLocation": location}


def policy_body(interval="R/2024-01-01T00:00:00+00:00/PT4H", duration="P7D"):
    """A policy for disks with one backup rule and the default retention rule."""
    return {"properties": {
        "objectType": "BackupPolicy", "datasourceTypes": ["Microsoft.Compute/disks"],
        "policyRules": [
            {"objectType": "AzureBackupRule", "name": "BackupHourly", "dataStore": STORE,
             "backupParameters": {"objectType": "AzureBackupParams",
                                  "backupType": "Incremental"},
             "trigger": {
                 "objectType": "ScheduleBasedTriggerContext",
                 "schedule": {"repeatingTimeIntervals": [interval], "timeZone": "UTC"},
                 "taggingCriteria": [{"isDefault": True, "taggingPriority": 99,
                                      "tagInfo": {"tagName": "Default"}}]}},
            {"objectType": "AzureRetentionRule", "name": "Default", "isDefault": True,
             "lifecycles": [{"deleteAfter": {"objectType": "AbsoluteDeleteOption",
                                             "duration": duration},
                             "sourceDataStore": STORE, "targetDataStoreCopySettings": []}]}]}}


def vault_body(location=LOCATION, **properties):
    """A vault with a system-assigned identity."""
    return {"location": location, "identity": {"type": "SystemAssigned"}, "properties": {
        "storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}],
        **properties}}


def instance_body(disk, policy, snapshots, location=LOCATION):
    """A BackupInstance of a disk."""
    return {"objectType": "BackupInstance", "friendlyName": name_of(disk),
            "dataSourceInfo": datasource(disk, location),
            "policyInfo": {"policyId": policy, "policyParameters": {
                "dataStoreParametersList": [{
                    "objectType": "AzureOperationalStoreParameters",
                    "dataStoreType": "OperationalStore", "resourceGroupId": snapshots}]}}}


def restore_body(point, disk, location=LOCATION):
    """A restore of a recovery point to a new disk."""
    return {"objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
            "recoveryPointId": point, "sourceDataStoreType": "OperationalStore",
            "restoreTargetInfo": {
                "objectType": "RestoreTargetInfo", "recoveryOption": "FailIfExists",
                "restoreLocation": location, "datasourceInfo": datasource(disk, location)}}


def backup_body(rule="BackupHourly", tag="Default"):
    """An ad-hoc backup."""
    return {"backupRuleOptions": {"ruleName": rule,
                                  "triggerOption": {"retentionTagOverride": tag}}}


@dataclasses.dataclass
class Protected:
    """A protected disk with everything around it (ids), and the bytes that it holds."""

    group: str
    snapshots: str
    target: str
    disk: str
    vault: str
    principal: str
    policy: str
    instance: str
    image: bytearray


class Journey:
    """The steps of the way from a disk to its restored copy."""

    def __init__(self, wire):
        self.wire = wire
        self.root = f"/subscriptions/{wire.subscription}"

    # ---- groups, roles

    def group(self, kind="rg", location=LOCATION):
        """Makes a resource group."""
        path = f"{self.root}/resourceGroups/{unique(kind)}"
        self.wire.do("PUT", path, {"location": location}, GROUPS)
        return path

    def assign(self, scope, role, principal):
        """Assigns a role (its GUID or its id) to a principal; the assignment's id."""
        if "/" not in role:
            role = f"{self.root}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
        reply = self.wire.request("PUT", path, {"properties": {
            "roleDefinitionId": role, "principalId": principal,
            "principalType": "ServicePrincipal"}}, ROLES)
        assert reply.status == 201, reply
        return path

    # ---- disks

    def disk_path(self, group, kind="disk"):
        """The id of a disk that does not exist yet."""
        return f"{group}/providers/Microsoft.Compute/disks/{unique(kind)}"

    def put_disk(self, path, creation, location=LOCATION, **properties):
        """Makes a disk."""
        body = {"location": location, "properties": {"creationData": creation, **properties}}
        self.wire.do("PUT", path, body, COMPUTE)
        return path

    def snapshot(self, group, source):
        """Makes an incremental snapshot of a disk; its id."""
        path = f"{group}/providers/Microsoft.Compute/snapshots/{unique('snap')}"
        self.wire.do("PUT", path, {
            "location": LOCATION, "sku": {"name": "Standard_LRS"}, "properties": {
                "incremental": True,
                "creationData": {"createOption": "Copy", "sourceResourceId": source}}}, COMPUTE)
        return path

    def disk(self, group, image):
        """Uploads a disk: the pages that are not zero, through a SAS."""
        path = self.put_disk(self.disk_path(group), {
            "createOption": "Upload", "uploadSizeBytes": len(image) + 512})
        changes = {at: bytes(image[at:at + UNIT]) for at in range(0, len(image), UNIT)}
        self.write(path, {at: data for at, data in changes.items() if any(data)})
        return path

    def grant(self, resource, access="Read", seconds=3600):
        """The SAS URL of a disk or a snapshot."""
        reply = self.wire.request("POST", f"{resource}/beginGetAccess",
                                  {"access": access, "durationInSeconds": seconds}, COMPUTE)
        assert reply.status in (200, 202), reply
        status = self.wire.finish(reply)
        return status["properties"]["output"]["accessSAS"]

    def revoke(self, resource):
        """Ends all access to a disk or a snapshot."""
        self.wire.do("POST", f"{resource}/endGetAccess", api=COMPUTE)

    def put_page(self, sas, offset, data, connection=None, clear=None):
        """One Put Page (or, with `clear`, a clear of so many bytes); the reply."""
        size = clear or len(data)
        headers = {**STORAGE_VERSION, "x-ms-page-write": "clear" if clear else "update",
                   "x-ms-range": f"bytes={offset}-{offset + size - 1}"}
        url = f"{sas}&comp=page"
        if connection is None:
            return self.wire.request("PUT", url, b"" if clear else data, headers=headers,
                                     token=None)
        parts = urllib.parse.urlsplit(url)
        return connection.send("PUT", f"{parts.path}?{parts.query}", headers,
                               b"" if clear else data)

    def write(self, disk, changes, sas=None):
        """Writes {offset: bytes} to a disk through a Write SAS (its own unless one is given)."""
        own = sas is None
        sas = sas or self.grant(disk, "Write")
        connection = self.wire.connect()
        try:
            for offset, data in changes.items():
                for at in range(0, len(data), PUT_MAX):
                    reply = self.put_page(sas, offset + at, data[at:at + PUT_MAX], connection)
                    assert reply.status == 201, reply
        finally:
            connection.close()
        if own:
            self.revoke(disk)

    def read(self, resource, sas=None):
        """All bytes of a disk or a snapshot, without the 512 bytes of the VHD footer."""
        own = sas is None
        sas = sas or self.grant(resource)
        head = self.wire.request("HEAD", sas, headers=STORAGE_VERSION, token=None)
        assert head.status == 200, head
        size = int(head.headers["content-length"]) - 512
        image = bytearray()
        for at in range(0, size, 8 * MIB):
            end = min(at + 8 * MIB, size) - 1
            reply = self.wire.request("GET", sas, token=None, headers={
                **STORAGE_VERSION, "x-ms-range": f"bytes={at}-{end}"})
            assert reply.status == 206 and len(reply.body) == end + 1 - at, reply.status
            image += reply.body
        if own:
            self.revoke(resource)
        return image

    # ---- vaults, policies, instances

    def vault(self, group, api=DPP, location=LOCATION, **properties):
        """Makes a vault; its id and its identity's principal."""
        path = f"{group}/providers/Microsoft.DataProtection/backupVaults/{unique('vault')}"
        self.wire.do("PUT", path, vault_body(location, **properties), api)
        return path, self.wire.get(path, api)["identity"]["principalId"]

    def policy(self, vault, api=DPP, body=None):
        """Makes a policy."""
        path = f"{vault}/backupPolicies/{unique('policy')}"
        reply = self.wire.request("PUT", path, body or policy_body(), api)
        assert reply.status == 200, reply
        return path

    def instance_path(self, vault, disk):
        """The id of an instance that does not exist yet, named as Azure's portal does."""
        name = name_of(disk)
        return f"{vault}/backupInstances/{name}-{name}-{uuid.uuid4()}"

    def put_instance(self, path, body, api=DPP):
        """Makes or changes an instance, to the end."""
        self.wire.do("PUT", path, {"properties": body}, api)
        return path

    def roles(self, disk, snapshots, target, principal):
        """The three roles that a vault's identity needs."""
        self.assign(disk, DISK_BACKUP_READER, principal)
        self.assign(snapshots, DISK_SNAPSHOT_CONTRIBUTOR, principal)
        self.assign(target, DISK_RESTORE_OPERATOR, principal)

    def protect(self, image=None, api=DPP, **vault_properties):
        """A protected disk in new groups, vault and policy."""
        image = sample() if image is None else image
        group, snapshots, target = self.group(), self.group("snap"), self.group("target")
        disk = self.disk(group, image)
        vault, principal = self.vault(group, api, **vault_properties)
        policy = self.policy(vault, api)
        self.roles(disk, snapshots, target, principal)
        instance = self.put_instance(self.instance_path(vault, disk),
                                     instance_body(disk, policy, snapshots), api)
        return Protected(group, snapshots, target, disk, vault, principal, policy, instance,
                         bytearray(image))

    # ---- backup and restore

    def start_backup(self, instance, api=DPP):
        """Triggers a backup; the job's id."""
        return self.wire.start_job(f"{instance}/backup", backup_body(), api)

    def backup(self, instance, api=DPP):
        """Backs up, to the end; the completed job."""
        job = self.wire.wait_job(self.start_backup(instance, api), api)
        assert job["properties"]["status"] == "Completed", job
        return job

    def points(self, instance, api=DPP):
        """The recovery points, the newest first."""
        return self.wire.list(f"{instance}/recoveryPoints", api)

    def point_of(self, job):
        """The recovery point that a backup job made."""
        return job["properties"]["extendedInfo"]["targetRecoverPoint"]["recoveryPointID"]

    def start_restore(self, instance, point, disk, api=DPP):
        """Triggers a restore; the job's id."""
        return self.wire.start_job(f"{instance}/restore", restore_body(point, disk), api)

    def restore(self, protected, point, disk=None, api=DPP):
        """Restores to a new disk of the target group, to the end; the disk's id."""
        disk = disk or self.disk_path(protected.target, "restored")
        job = self.wire.wait_job(self.start_restore(protected.instance, point, disk, api), api)
        assert job["properties"]["status"] == "Completed", job
        return disk

    def change(self, protected, changes):
        """Writes {offset: bytes} to a protected disk, and to our copy of its bytes."""
        self.write(protected.disk, changes)
        for offset, data in changes.items():
            protected.image[offset:offset + len(data)] = data


def detail(job, name):
    """One of the service's own numbers of a job."""
    return int(job["properties"]["extendedInfo"]["additionalDetails"][name])

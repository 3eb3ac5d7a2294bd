"""What was deleted comes back: instances by undelete, vaults by a PUT that names a deleted one; and
what a deleted group held."""

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.dataprotection import models

from journey import (
    UNIT, instance_body, name_of, sample, unique, vault_body)
from test_sdk import clients, credential
from wire import DPP, GROUPS

SMALL = 1 << 20
NEW = "2025-09-01"
HEADER = "x-ms-deleted-vault-id"


def deleted_of(instance):
    """The id of a deleted instance."""
    return instance.replace("/backupInstances/", "/deletedBackupInstances/")


def undelete(wire, instance):
    """POST undelete, to its end; the status."""
    reply = wire.request("POST", f"{deleted_of(instance)}/undelete", api=DPP)
    assert reply.status == 202 and not reply.body, reply
    wire.finish(reply)
    assert wire.get(reply.headers["location"]) == {"objectType": "OperationJobExtendedInfo"}


def state(wire, instance):
    """(currentProtectionState, protectionStatus.status)."""
    properties = wire.get(instance, DPP)["properties"]
    return properties["currentProtectionState"], properties["protectionStatus"]["status"]


def deleted_vaults(wire, api=NEW):
    """Deleted vaults by the id that they had."""
    root = f"/subscriptions/{wire.subscription}/providers/Microsoft.DataProtection"
    found = {}
    for row in wire.list(f"{root}/locations/westus/deletedVaults", api):
        found.setdefault(row["properties"]["originalBackupVaultId"], []).append(row)
    return found


def emptied(wire, journey, **settings):
    """A protected disk whose instance and policy are deleted, and its point."""
    made = journey.protect(sample(SMALL), **settings)
    point = journey.point_of(journey.backup(made.instance))
    wire.do("DELETE", made.instance, api=DPP)
    assert wire.request("DELETE", made.policy, api=DPP).status == 200
    return made, point


def restore_vault(wire, deleted, vault, api=NEW, **properties):
    """PUT of a vault that names a deleted one; the answer."""
    body = vault_body(**properties)
    body["identity"] = None
    return wire.request("PUT", vault, body, api, headers={HEADER: deleted})


# ---- instances


def test_an_undeleted_instance_goes_on(wire, journey):
    """It is back as stopped with its points; they restore; resumed, it is backed up again."""
    made = journey.protect(sample(SMALL))
    point = journey.point_of(journey.backup(made.instance))
    before, points = wire.get(made.instance, DPP), journey.points(made.instance)
    wire.do("DELETE", made.instance, api=DPP)
    deleted = wire.get(deleted_of(made.instance), DPP)["properties"]
    info = deleted["deletionInfo"]
    assert info["deletionTime"] < info["scheduledPurgeTime"] and info["deleteActivityID"]
    assert deleted["policyInfo"]["policyId"] == made.policy
    undelete(wire, made.instance)
    assert wire.list(f"{made.vault}/deletedBackupInstances", DPP) == []
    assert state(wire, made.instance) == ("ProtectionStopped", "ProtectionStopped")
    after = wire.get(made.instance, DPP)
    for name in ("protectionStatus", "currentProtectionState"):
        before["properties"].pop(name)
        after["properties"].pop(name)
    assert after == before and journey.points(made.instance) == points
    assert journey.read(journey.restore(made, point)) == made.image
    wire.do("POST", f"{made.instance}/resumeProtection", api=DPP)
    assert state(wire, made.instance) == ("ProtectionConfigured", "ProtectionConfigured")
    journey.change(made, {UNIT: b"\x42" * UNIT})
    newer = journey.point_of(journey.backup(made.instance))
    assert journey.read(journey.restore(made, newer)) == made.image
    again = wire.request("POST", f"{deleted_of(made.instance)}/undelete", api=DPP)
    assert (again.status, again.code) == (404, "UserErrorGenericResourceNotFound")


def test_an_instance_whose_place_is_taken_stays_deleted(wire, journey):
    """Its name, or its disk, is another's meanwhile: a conflict that says whose."""
    made = journey.protect(sample(SMALL))
    body = instance_body(made.disk, made.policy, made.snapshots)
    wire.do("DELETE", made.instance, api=DPP)
    path = f"{deleted_of(made.instance)}/undelete"
    journey.put_instance(made.instance, body)
    taken = wire.request("POST", path, {}, DPP)
    assert (taken.status, taken.code) == (409, "UserErrorDppBackupInstanceAlreadyExists"), taken
    assert name_of(made.instance) in taken.text
    wire.do("DELETE", made.instance, api=DPP)
    vault, principal = journey.vault(made.group)
    journey.roles(made.disk, made.snapshots, made.target, principal)
    body = instance_body(made.disk, journey.policy(vault), made.snapshots)
    other = journey.put_instance(journey.instance_path(vault, made.disk), body)
    taken = wire.request("POST", path, {}, DPP)
    assert (taken.status, taken.code) == (400, "UserErrorDppDatasourceAlreadyProtected"), taken
    assert vault in taken.text
    wire.do("DELETE", other, api=DPP)
    undelete(wire, made.instance)


def test_undelete_by_the_sdk(wire, journey, shared_server):
    made = journey.protect(sample(SMALL))
    sdk = clients(shared_server.settings, credential(shared_server.settings)).backup
    where = (name_of(made.group), name_of(made.vault))
    sdk.backup_instances.begin_delete(*where, name_of(made.instance)).result()
    (found,) = sdk.deleted_backup_instances.list(*where)
    assert isinstance(found.properties, models.DeletedBackupInstance)
    assert found.properties.deletion_info.scheduled_purge_time
    one = sdk.deleted_backup_instances.get(*where, found.name)
    assert one.properties.object_type == "DeletedBackupInstance"
    sdk.deleted_backup_instances.begin_undelete(*where, found.name).result()
    back = sdk.backup_instances.get(*where, name_of(made.instance))
    assert back.properties.current_protection_state == "ProtectionStopped"
    sdk.backup_instances.begin_resume_protection(*where, name_of(made.instance)).result()
    back = sdk.backup_instances.get(*where, name_of(made.instance))
    assert back.properties.protection_status.status == "ProtectionConfigured"


# ---- vaults


def test_a_deleted_vault_comes_back(wire, journey):
    """Two deleted vaults of one name, a third alive: each is told apart, and the first comes back
    with identity, settings, instance, points and jobs."""
    made, point = emptied(wire, journey, featureSettings={
        "crossSubscriptionRestoreSettings": {"state": "Disabled"}})
    before, jobs = wire.get(made.vault, DPP), wire.list(f"{made.vault}/backupJobs", DPP)
    wire.do("DELETE", made.vault, api=DPP)
    (first,) = deleted_vaults(wire)[made.vault]
    shown = first["properties"]
    assert shown["originalBackupVaultName"] == name_of(made.vault)
    assert shown["resourceDeletionInfo"]["scheduledPurgeTime"] > \
        shown["resourceDeletionInfo"]["deletionTime"]
    assert wire.get(first["id"], NEW) == first
    alive = {row["id"] for row in wire.list(f"{journey.root}/resources", GROUPS)}
    assert made.vault not in alive and first["id"] not in alive
    wire.do("PUT", made.vault, vault_body(), DPP)
    assert wire.list(f"{made.vault}/backupJobs", DPP) == [], "a new vault has no old jobs"
    taken = restore_vault(wire, first["id"], made.vault)
    assert (taken.status, taken.code) == (409, "UserErrorBackupVaultAlreadyExists"), taken
    wire.do("DELETE", made.vault, api=DPP)
    assert len(deleted_vaults(wire)[made.vault]) == 2
    reply = restore_vault(wire, first["id"], made.vault)
    assert reply.status == 201, reply
    wire.finish(reply)
    assert wire.get(made.vault, DPP) == before
    assert wire.list(f"{made.vault}/backupJobs", DPP) == jobs
    assert wire.request("GET", first["id"], api=NEW).status == 404
    undelete(wire, made.instance)
    journey.assign(made.target, "acdd72a7-3385-48ef-bd42-f606fba81ae7", made.principal)
    assert journey.read(journey.restore(made, point)) == made.image, "the identity has its roles"


@pytest.mark.parametrize("name, header, api, word", [
    ("old", None, DPP, HEADER), ("no-id", "yesterday", NEW, HEADER),
    ("a-vault", "{vault}", NEW, HEADER),
    ("absent", "{root}/providers/Microsoft.DataProtection/locations/westus/deletedVaults/none",
     NEW, "none")])
def test_wrong_restores_of_vaults(wire, journey, name, header, api, word):
    group = journey.group()
    path = f"{group}/providers/Microsoft.DataProtection/backupVaults/{unique(name)}"
    header = (header or "{root}/providers/Microsoft.DataProtection/locations/westus"
              "/deletedVaults/x").format(vault=path, root=journey.root)
    reply = restore_vault(wire, header, path, api)
    assert reply.status in (400, 404) and word in reply.text, reply
    assert wire.request("GET", path, api=DPP).status == 404


def test_deleted_vaults_by_the_sdk(wire, journey, shared_server):
    made, _ = emptied(wire, journey)
    sdk = clients(shared_server.settings, credential(shared_server.settings)).backup
    where = (name_of(made.group), name_of(made.vault))
    sdk.backup_vaults.begin_delete(*where).result()
    (found,) = [row for row in sdk.deleted_backup_vaults.list_by_location("westus")
                if row.properties.original_backup_vault_id == made.vault]
    one = sdk.deleted_backup_vaults.get("westus", found.name)
    assert one.properties.resource_deletion_info.scheduled_purge_time
    body = models.BackupVaultResource(location="westus", properties=models.BackupVault())
    back = sdk.backup_vaults.begin_create_or_update(
        *where, body, x_ms_deleted_vault_id=found.id).result()
    assert back.identity.principal_id == made.principal
    (deleted,) = sdk.deleted_backup_instances.list(*where)
    assert deleted.name == name_of(made.instance)
    with pytest.raises(HttpResponseError):
        sdk.backup_vaults.begin_create_or_update(*where, body, x_ms_deleted_vault_id=found.id)


def test_without_soft_delete_a_vault_is_gone(wire, journey):
    vault, _ = journey.vault(journey.group(), securitySettings={
        "softDeleteSettings": {"state": "Off"}})
    wire.do("DELETE", vault, api=DPP)
    assert vault not in deleted_vaults(wire)


def test_a_deleted_group_keeps_its_vaults(wire, journey):
    """Group, disk, snapshots and vault are deleted with the group: vault, policy, instance and
    bytes come back in another one."""
    made = journey.protect(sample(SMALL))
    point = journey.point_of(journey.backup(made.instance))
    blocked = wire.request("DELETE", made.group, api=GROUPS)
    assert (blocked.status, blocked.code) == (409, "ResourceGroupDeletionBlocked"), blocked
    wire.do("DELETE", made.instance, api=DPP)
    for group in (made.snapshots, made.group):
        wire.finish_by_location(wire.request("DELETE", group, api=GROUPS))
    (deleted,) = deleted_vaults(wire)[made.vault]
    home = journey.group()
    vault = f"{home}/providers/Microsoft.DataProtection/backupVaults/{unique('back')}"
    wire.finish(restore_vault(wire, deleted["id"], vault))
    policy = made.policy.replace(made.vault, vault)
    assert wire.get(policy, DPP)["id"] == policy
    instance = made.instance.replace(made.vault, vault)
    undelete(wire, instance)
    shown = wire.get(instance, DPP)["properties"]
    assert shown["policyInfo"]["policyId"] == policy
    wire.do("PUT", made.snapshots, {"location": "westus"}, GROUPS)
    journey.assign(made.snapshots, "7efff54f-a5b4-42b5-a1c5-5411624893ce", made.principal)
    made.instance = instance
    assert journey.read(journey.restore(made, point)) == made.image

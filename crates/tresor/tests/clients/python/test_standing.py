"""Whether an instance can be backed up: sync, failed backups; instances of a datasource; the
settings of vaults; the questions about points."""

import urllib.parse
import uuid

import pytest

from journey import (
    DISK_BACKUP_READER, backup_body, instance_body, name_of, policy_body, restore_body, sample,
    unique, vault_body)
from test_sdk import clients, credential
from wire import ARTICLE, COMPUTE, DPP, ROLES

SMALL = 1 << 20


@pytest.fixture
def protected(journey):
    """A protected disk of the test's own."""
    return journey.protect(sample(SMALL))


def strip(wire, made):
    """Takes the vault's role on the disk away."""
    path = f"{made.disk}/providers/Microsoft.Authorization/roleAssignments"
    (held,) = [row for row in wire.list(path, ROLES) if row["properties"]["scope"] == made.disk]
    assert wire.request("DELETE", held["id"], api=ROLES).status == 200


def shown(wire, made):
    """The properties of the instance."""
    return wire.get(made.instance, DPP)["properties"]


@pytest.mark.parametrize("body", [None, {}, {"syncType": "Default"}, {"syncType": "forceresync"}])
def test_a_sync_looks_again(wire, journey, protected, body):
    """Roles go and come: the instance shows it, with what is missing, after each sync."""
    path = f"{protected.instance}/sync"
    wire.finish(wire.request("POST", path, body, DPP))
    strip(wire, protected)
    reply = wire.request("POST", path, body, DPP)
    assert reply.status == 202, reply
    status = wire.outcome(reply)
    assert status["status"] == "Failed"
    assert status["error"]["code"] == "UserErrorMissingRequiredPermissions"
    now = shown(wire, protected)
    assert now["currentProtectionState"] == now["protectionStatus"]["status"] == "ProtectionError"
    details = now["protectionErrorDetails"]
    assert details == now["protectionStatus"]["errorDetails"]
    assert "Disk Backup Reader" in str(details["recommendedAction"])
    journey.assign(protected.disk, DISK_BACKUP_READER, protected.principal)
    wire.finish(wire.request("POST", path, body, DPP))
    now = shown(wire, protected)
    assert now["currentProtectionState"] == "ProtectionConfigured"
    assert now.get("protectionErrorDetails") is None


def test_what_is_stopped_is_not_synchronised(wire, protected):
    wire.do("POST", f"{protected.instance}/suspendBackups", api=DPP)
    reply = wire.request("POST", f"{protected.instance}/sync", {}, DPP)
    assert (reply.status, reply.code) == (400, "UserErrorDppInvalidOperationInCurrentState")
    assert shown(wire, protected)["currentProtectionState"] == "BackupsSuspended"


def test_a_failed_backup_shows_with_its_instance(wire, journey, protected):
    strip(wire, protected)
    job = wire.wait_job(journey.start_backup(protected.instance))["properties"]
    assert job["status"] == "Failed"
    now = shown(wire, protected)
    assert now["currentProtectionState"] == "ProtectionError"
    assert now["protectionErrorDetails"]["code"] == job["errorDetails"][0]["code"]
    journey.assign(protected.disk, DISK_BACKUP_READER, protected.principal)
    journey.backup(protected.instance)
    assert shown(wire, protected)["currentProtectionState"] == "ProtectionConfigured"


def test_instances_of_a_datasource(wire, journey, protected, shared_server):
    """Over all vaults, in pages, by HTTP and SDK; each caller sees what it may read."""
    second, _ = journey.vault(protected.group)
    wire.do("POST", f"{protected.instance}/stopProtection", api=DPP)
    wire.do("DELETE", protected.instance, api=DPP)
    # Neither can protect the disk without its role, so both can be there.
    strip(wire, protected)
    made = []
    for vault in (protected.vault, second):
        path = journey.instance_path(vault, protected.disk)
        body = instance_body(protected.disk, journey.policy(vault), protected.snapshots)
        wire.outcome(wire.request("PUT", path, {"properties": body}, DPP))
        made.append(path)
    path = f"{protected.disk}/providers/Microsoft.DataProtection/backupInstances"
    assert sorted(row["id"] for row in wire.list(path, DPP)) == sorted(made)
    assert sorted(row["id"] for row in wire.list(f"{path}?$top=1", DPP)) == sorted(made)
    sdk = clients(shared_server.settings, credential(shared_server.settings)).backup
    found = sdk.backup_instances_extension_routing.list(protected.disk)
    assert sorted(row.id for row in found) == sorted(made)
    nobody = f"{protected.group}/providers/Microsoft.Compute/disks/{unique('none')}"
    assert wire.list(f"{nobody}/providers/Microsoft.DataProtection/backupInstances", DPP) == []
    old = wire.request("GET", path, api=ARTICLE)
    assert (old.status, old.code) == (400, "NoRegisteredProviderFound")


def test_time_ranges_of_disks(wire, protected):
    path = f"{protected.instance}/findRestorableTimeRanges"
    body = {"sourceDataStoreType": "OperationalStore", "startTime": "2026-01-01T00:00:00Z",
            "endTime": "2026-02-01T00:00:00Z"}
    for api in (DPP, ARTICLE):
        reply = wire.request("POST", path, body, api)
        assert reply.status == 200 and reply.json()["properties"]["restorableTimeRanges"] == []
    for wrong, word in (({"sourceDataStoreType": None}, "sourceDataStoreType"),
                        ({"startTime": "soon"}, "startTime"), ({"endTime": 5}, "endTime"),
                        ({"endTime": "2025-01-01T00:00:00Z"}, "endTime")):
        reply = wire.request("POST", path, {**body, **wrong}, DPP)
        assert reply.status == 400 and word in reply.text, reply
    absent = wire.request("POST", path.replace("/backupInstances/", "/backupInstances/no-"),
                          body, DPP)
    assert absent.status == 404, absent


def test_the_filter_of_points(wire, journey, protected):
    for _ in range(2):
        journey.backup(protected.instance)
    points = journey.points(protected.instance)
    store = points[0]["properties"]["recoveryPointDataStoresDetails"][0]["id"]

    def count(text):
        path = f"{protected.instance}/recoveryPoints?$filter={urllib.parse.quote(text)}"
        return len(wire.list(path, DPP))
    when = points[0]["properties"]["recoveryPointTime"]
    assert count(f"startDate eq '{when}'") == 1 and count(f"endDate eq '{when}'") == 2
    assert count("restorePointState eq 'Completed'") == 2
    assert count("restorePointState eq 'Partial'") == 0
    assert count(f"restorePointDataStoreId eq '{store}' and isVisible eq 'true'") == 2
    assert count(f"restorePointDataStoreId eq '{uuid.uuid4()}'") == 0
    assert count("isVisible eq 'false'") == 0 and count("extendedInfo eq 'true'") == 2
    for wrong in ("restorePointState eq 'Lost'", "isVisible eq 'maybe'",
                  "restorePointDataStoreId eq 'x'", "color eq 'red'"):
        path = f"{protected.instance}/recoveryPoints?$filter={urllib.parse.quote(wrong)}"
        reply = wire.request("GET", path, api=DPP)
        assert (reply.status, reply.code) == (400, "BMSUserErrorInvalidInput"), reply


def test_names_of_points_by_version(wire, journey, protected):
    point = journey.point_of(journey.backup(protected.instance))
    path = f"{protected.instance}/recoveryPoints/{point}"
    assert wire.get(path, "2023-01-01")["properties"]["friendlyName"] == point
    snapshot = wire.get(path, "2022-12-01")["properties"]["friendlyName"]
    place = f"{protected.snapshots}/providers/Microsoft.Compute/snapshots/{snapshot}"
    assert wire.get(place, COMPUTE)["tags"]["RecoveryPoint"] == point


def test_a_stopped_instance_moves_to_another_policy(wire, journey, protected):
    """The old point keeps its expiry, the new one has that of the new policy."""
    point = journey.point_of(journey.backup(protected.instance))
    old = wire.get(f"{protected.instance}/recoveryPoints/{point}", DPP)
    wire.do("POST", f"{protected.instance}/stopProtection", api=DPP)
    policy = journey.policy(protected.vault, body=policy_body(duration="P30D"))
    body = instance_body(protected.disk, policy, protected.snapshots)
    reply = wire.request("PUT", protected.instance, {"properties": body}, DPP)
    updating = reply.json()["properties"]
    assert updating["currentProtectionState"] == "UpdatingProtection"
    assert updating["protectionStatus"]["status"] == "ConfiguringProtection"
    wire.finish(reply)
    assert shown(wire, protected)["currentProtectionState"] == "ProtectionStopped"
    assert wire.request("DELETE", protected.policy, api=DPP).status == 200
    wire.do("POST", f"{protected.instance}/resumeProtection", api=DPP)
    assert wire.get(f"{protected.instance}/recoveryPoints/{point}", DPP) == old
    job = wire.wait_job(wire.start_job(f"{protected.instance}/backup", backup_body()))
    newer = wire.get(f"{protected.instance}/recoveryPoints/{journey.point_of(job)}", DPP)
    assert newer["properties"]["expiryTime"] > old["properties"]["expiryTime"]
    assert newer["properties"]["policyName"] == name_of(policy)


# ---- settings of vaults


def test_what_a_vault_shows_can_be_put_back(wire, journey):
    """GET then PUT, with the newest and the oldest api-version: nothing changes."""
    vault, _ = journey.vault(journey.group(), api="2026-06-01", costManagementSettings={
        "granularityLevel": "protecteditemlevel"}, securitySettings={
            "softDeleteSettings": {"state": "AlwaysOn", "retentionDurationInDays": 20}})
    found = wire.get(vault, "2026-06-01")
    properties = found["properties"]
    assert properties["costManagementSettings"] == {"granularityLevel": "ProtectedItemLevel"}
    assert properties["securitySettings"]["encryptionSettings"]["state"] == "Disabled"
    assert properties["secureScore"] == "Adequate" and properties["bcdrSecurityLevel"] == "Poor"
    for api in ("2026-06-01", DPP, ARTICLE):
        wire.do("PUT", vault, found, api)
        assert wire.get(vault, "2026-06-01") == found, api
    patch = {"properties": {"costManagementSettings": {
        "granularityLevel": "ProtectedItemWithParentTag"}}}
    changed = wire.request("PATCH", vault, patch, "2026-06-01").json()["properties"]
    assert changed["costManagementSettings"] == patch["properties"]["costManagementSettings"]


def test_storage_is_optional_for_newer_versions(wire, journey):
    group = journey.group()
    path = f"{group}/providers/Microsoft.DataProtection/backupVaults/{unique('vault')}"
    body = {"location": "westus", "properties": {}}
    old = wire.request("PUT", path, body, "2024-04-01")
    assert old.status == 400 and "storageSettings" in old.text, old
    wire.do("PUT", path, body, DPP)
    assert wire.get(path, DPP)["properties"]["storageSettings"] == [
        {"datastoreType": "VaultStore", "type": "LocallyRedundant"}]


@pytest.mark.parametrize("properties, word", [
    ({"securitySettings": {"encryptionSettings": {"state": "Enabled"}}}, "state"),
    ({"securitySettings": {"encryptionSettings": {
        "keyVaultProperties": {"keyUri": "https://x"}}}}, "keyVaultProperties"),
    ({"securitySettings": {"encryptionSettings": {"infrastructureEncryption": "Enabled"}}},
     "infrastructureEncryption"),
    ({"replicatedRegions": ["eastus"]}, "replicatedRegions"),
    ({"costManagementSettings": {"granularityLevel": "Penny"}}, "granularityLevel"),
    ({"featureSettings": {"crossRegionRestoreSettings": {"state": "Enabled"}}},
     "crossRegionRestoreSettings")])
def test_settings_that_would_mean_nothing_are_refused(wire, journey, properties, word):
    vault, _ = journey.vault(journey.group())
    before = wire.get(vault, DPP)
    for method, body in (("PUT", vault_body(**properties)), ("PATCH", {"properties": properties})):
        reply = wire.request(method, vault, body, DPP)
        assert (reply.status, reply.code) == (400, "BMSUserErrorInvalidInput"), reply
        assert word in reply.json()["error"]["message"], reply
    assert wire.get(vault, DPP) == before


def test_a_patch_changes_what_it_names(wire, journey):
    vault, principal = journey.vault(journey.group())
    before = wire.get(vault, DPP)

    def patch(body):
        reply = wire.request("PATCH", vault, body, DPP)
        assert reply.status == 200 and reply.json() == wire.get(vault, DPP), reply
        return reply.json()
    assert patch({}) == before
    assert patch({"tags": {"a": "b"}}) == {**before, "tags": {"a": "b"}}
    assert patch({"tags": {}, "identity": {"type": "none"}})["identity"] == {"type": "None"}
    again = patch({"identity": {"type": "systemassigned"}})["identity"]
    assert again["type"] == "SystemAssigned" and again["principalId"] != principal
    quiet = patch({"properties": {"monitoringSettings": {
        "azureMonitorAlertSettings": {"alertsForAllJobFailures": "Disabled"}}}})
    assert quiet == {**before, "identity": again, "properties": {
        **before["properties"], "monitoringSettings": {
            "azureMonitorAlertSettings": {"alertsForAllJobFailures": "Disabled"}}}}
    for body, word in (({"properties": {"storageSettings": []}}, "storageSettings"),
                       ({"identity": {"type": "Root"}}, "identity"), ({"tags": 5}, "tags")):
        reply = wire.request("PATCH", vault, body, DPP)
        assert reply.status == 400 and word in reply.text, reply
    assert wire.get(vault, DPP) == quiet


def test_the_switch_for_other_subscriptions(wire, journey, protected):
    """Enabled, Disabled and, for ever, PermanentlyDisabled, at validateRestore and restore."""
    point = journey.point_of(journey.backup(protected.instance))
    other = protected.target.replace(wire.subscription, str(uuid.uuid4()))
    body = restore_body(point, f"{other}/providers/Microsoft.Compute/disks/d")
    setting = "crossSubscriptionRestoreSettings"

    def switch(word):
        return wire.request("PATCH", protected.vault, {"properties": {
            "featureSettings": {setting: {"state": word}}}}, DPP)
    for word, code in (("Enabled", "UserErrorRestoreTargetRGNotFound"),
                       ("Disabled", "UserErrorCrossSubscriptionRestoreNotAllowed"),
                       ("PermanentlyDisabled", "UserErrorCrossSubscriptionRestoreNotAllowed")):
        shown = switch(word).json()["properties"]["featureSettings"]
        assert shown[setting] == {"state": word}
        for path, sent in (("validateRestore", {"restoreRequestObject": body}), ("restore", body)):
            status = wire.outcome(wire.request("POST", f"{protected.instance}/{path}", sent, DPP))
            assert status["status"] == "Failed" and status["error"]["code"] == code, status
    assert switch("Enabled").code == "UserErrorDppOneWaySetting"
    assert journey.read(journey.restore(protected, point)) == protected.image

"""The check of bodies against the SDK's models must itself be able to fail."""

import copy

import pytest

import models

POINT = {
    "id": "/p", "name": "a" * 32,
    "type": "Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints",
    "properties": {
        "objectType": "AzureBackupDiscreteRecoveryPoint", "recoveryPointId": "a" * 32,
        "recoveryPointTime": "2021-08-30T10:02:11.6354913Z", "recoveryPointType": "Incremental",
        "friendlyName": "f", "policyName": "p", "policyVersion": None,
        "recoveryPointDataStoresDetails": [{
            "id": "13e7c1fe-005d-4b80-8532-c58d937132bb", "type": "OperationalStore",
            "creationTime": "2021-08-30T10:02:11.6354913Z",
            "expiryTime": "2021-09-06T10:02:11.6354913Z", "metaData": None, "visible": True,
            "state": "COMMITTED", "rehydrationExpiryTime": None, "rehydrationStatus": None}],
        "retentionTagName": "Default", "retentionTagVersion": "637607428336647408"}}
INSTANCE = {"properties": {"objectType": "BackupInstance", "dataSourceInfo": {"resourceID": "/d"},
                           "policyInfo": {"policyId": "/p"},
                           "currentProtectionState": "BackupsSuspended"}}


def changed(body, path, value=None, drop=False):
    """A copy of `body` with the member at `path` replaced or dropped."""
    body = copy.deepcopy(body)
    inner = body
    for key in path[:-1]:
        inner = inner[key]
    if drop:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return body


def test_good_bodies_pass():
    assert models.problems("AzureBackupRecoveryPointResource", POINT) == []
    assert models.problems("BackupInstanceResource", INSTANCE) == []
    page = {"value": [POINT, POINT], "nextLink": None}
    assert models.problems("AzureBackupRecoveryPointResource", page, many=True) == []


PROPERTY = ("properties",)
STORE = ("properties", "recoveryPointDataStoresDetails", 0)


@pytest.mark.parametrize("path, value, word", [
    (PROPERTY + ("bogus",), 1, "$.properties.bogus: not a member"),
    (PROPERTY + ("Friendlyname",), "f", "spelt friendlyName"),
    (PROPERTY + ("recoveryPointTime",), None, "required, but null"),
    (PROPERTY + ("recoveryPointTime",), "2021-08-30 10:02:11", "not a date-time"),
    (PROPERTY + ("recoveryPointTime",), 5, "expected string, got integer"),
    (PROPERTY + ("recoveryPointState",), "Perfect", "is no RecoveryPointCompletionState"),
    (PROPERTY + ("objectType",), "Nope", "is none of"),
    (PROPERTY, [], "expected an object"),
    (STORE + ("visible",), "true", "expected boolean"),
    (STORE + ("rehydrationStatus",), "created", "is no RehydrationStatus"),
    (("properties", "recoveryPointDataStoresDetails"), {}, "expected array"),
])
def test_one_wrong_member_is_found(path, value, word):
    found = models.problems("AzureBackupRecoveryPointResource", changed(POINT, path, value))
    assert len(found) == 1 and word in found[0], found


@pytest.mark.parametrize("path", [
    PROPERTY + ("recoveryPointTime",),
])
def test_a_missing_member_is_found(path):
    found = models.problems("AzureBackupRecoveryPointResource", changed(POINT, path, drop=True))
    assert found == [f"$.{'.'.join(path)}: required, but missing"]


def test_a_bad_page_is_found():
    def one(page):
        return models.problems("AzureBackupRecoveryPointResource", page, many=True)
    assert len(one({"value": [], "nextLink": "/relative"})) == 1
    assert len(one({"value": [], "count": 0})) == 1
    assert len(one({"nextLink": None})) == 1
    assert "$.value[1].properties.x" in one({"value": [POINT, changed(
        POINT, ("properties", "x"), 1)]})[0]


@pytest.mark.parametrize("path, expected", [
    ("/subscriptions/s/providers/Microsoft.DataProtection/backupVaults?api-version=1",
     ("BackupVaultResource", True)),
    ("/subscriptions/s/resourcegroups/g/providers/microsoft.dataprotection/BACKUPVAULTS/v",
     ("BackupVaultResource", False)),
    ("/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v"
     "/operationStatus/x==", ("OperationResource", False)),
    ("/subscriptions/s/providers/Microsoft.DataProtection/locations/westus/operationStatus/x",
     ("OperationResource", False)),
    ("/subscriptions/s/providers/Microsoft.Compute/disks", None),
])
def test_the_model_follows_from_the_path(path, expected):
    assert models.model_of(path) == expected


def test_every_model_of_the_table_exists_and_is_read():
    for _, name, many in models.VAULT_MODELS:
        assert models.problems(name, {"bogus": 1}, many), name

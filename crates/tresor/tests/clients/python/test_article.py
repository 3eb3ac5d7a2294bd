"""The requests of Microsoft's article "Restore Azure disks using the Azure Data Protection REST
API", to the letter (api-version 2021-01-01), and the shapes of the answers that it prints."""

import base64
import datetime
import re
import types

import pytest

from journey import LOCATION, UNIT, name_of, restore_body
from wire import ARTICLE, COMPUTE

GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,7}Z|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
POINT_MEMBERS = {"objectType", "recoveryPointId", "recoveryPointTime", "recoveryPointType",
                 "friendlyName", "recoveryPointDataStoresDetails", "retentionTagName",
                 "retentionTagVersion", "policyName", "policyVersion"}
STORE_MEMBERS = {"id", "type", "creationTime", "expiryTime", "metaData", "visible", "state",
                 "rehydrationExpiryTime", "rehydrationStatus"}
JOB_MEMBERS = {
    "activityID", "subscriptionId", "backupInstanceId", "policyId", "dataSourceId", "vaultName",
    "backupInstanceFriendlyName", "policyName", "sourceResourceGroup", "dataSourceSetName",
    "dataSourceName", "sourceDataStoreName", "destinationDataStoreName", "progressEnabled",
    "etag", "sourceSubscriptionID", "dataSourceLocation", "startTime", "endTime",
    "dataSourceType", "operationCategory", "operation", "status", "restoreType",
    "isUserTriggered", "rehydrationPriority", "supportedActions", "duration", "progressUrl",
    "errorDetails", "extendedInfo"}
EXTENDED_MEMBERS = {"backupInstanceState", "dataTransferedInBytes", "targetRecoverPoint",
                    "sourceRecoverPoint", "recoveryDestination", "subTasks",
                    "additionalDetails"}


@pytest.fixture(scope="module")
def article(journey):
    """What the article presupposes: a protected disk with two recovery points; everything of
    Microsoft.DataProtection made at the article's api-version."""
    protected = journey.protect(api=ARTICLE)
    first = bytearray(protected.image)
    older = journey.point_of(journey.backup(protected.instance, ARTICLE))
    journey.change(protected, {3 * UNIT: b"\x5a" * UNIT})
    newer = journey.point_of(journey.backup(protected.instance, ARTICLE))
    return types.SimpleNamespace(protected=protected, older=older, newer=newer, first=first)


def printed_info(disk):
    """The article's Datasource: `westUS`, whatever the disk's own spelling is."""
    return {"objectType": "Datasource", "resourceID": disk, "resourceName": name_of(disk),
            "resourceType": "Microsoft.Compute/disks", "resourceLocation": "westUS",
            "resourceUri": disk, "datasourceType": "Microsoft.Compute/disks"}


def validate_body(point, disk):
    """The article's body for validateRestore: the id of the point outside of the inner object,
    `dataSourceInfo`, and the discriminator `restoreTargetInfo`."""
    return {"objectType": "ValidateRestoreRequestObject", "recoveryPointId": point,
            "restoreRequestObject": {
                "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
                "sourceDataStoreType": "OperationalStore",
                "restoreTargetInfo": {
                    "objectType": "restoreTargetInfo", "recoveryOption": "FailIfExists",
                    "dataSourceInfo": printed_info(disk), "restoreLocation": "westUS"}}}


def trigger_body(point, disk):
    """The article's body for restore."""
    return {"objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
            "recoveryPointId": point, "sourceDataStoreType": "OperationalStore",
            "restoreTargetInfo": {
                "datasourceInfo": printed_info(disk), "restoreLocation": "westUS",
                "recoveryOption": "FailIfExists", "objectType": "RestoreTargetInfo"}}


def assert_accepted(wire, reply):
    """202 with the headers that the article prints."""
    assert (reply.status, reply.body) == (202, b""), reply
    assert reply.headers["content-length"] == "0"
    assert int(reply.headers["retry-after"]) >= 1
    prefix = (f"{wire.base}/subscriptions/{wire.subscription}"
              f"/providers/Microsoft.DataProtection/locations/{LOCATION}")
    names = []
    for header, kind in (("azure-asyncoperation", "operationStatus"),
                         ("location", "operationResults")):
        found = re.fullmatch(rf"{re.escape(prefix)}/{kind}/([^/?]+)\?api-version={ARTICLE}",
                             reply.headers[header])
        assert found, reply.headers[header]
        names.append(found[1])
    assert names[0] == names[1]
    assert re.fullmatch(f"{GUID};{GUID}", base64.b64decode(names[0]).decode())
    return names[0]


def assert_status(status, name):
    """A finished status document as the article prints it."""
    assert set(status) >= {"id", "name", "status", "startTime", "endTime"}
    assert status["status"] == "Succeeded", status
    assert status["name"] == name and status["id"].endswith(f"/operationStatus/{name}")
    assert re.fullmatch(TIME, status["startTime"]) and re.fullmatch(TIME, status["endTime"])
    assert status["startTime"][:19] <= status["endTime"][:19]


def test_list_of_recovery_points(wire, article):
    instance = article.protected.instance
    reply = wire.request("GET", f"{instance}/recoveryPoints", api=ARTICLE)
    assert reply.status == 200
    body = reply.json()
    assert [p["name"] for p in body["value"]] == [article.newer, article.older]
    for point in body["value"]:
        assert set(point) == {"id", "name", "type", "properties"}
        assert point["id"] == f"{instance}/recoveryPoints/{point['name']}"
        assert point["type"] == \
            "Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints"
        properties = point["properties"]
        assert set(properties) >= POINT_MEMBERS
        assert re.fullmatch("[0-9a-f]{32}", point["name"])
        assert properties["recoveryPointId"] == point["name"]
        assert properties["objectType"] == "AzureBackupDiscreteRecoveryPoint"
        assert properties["recoveryPointType"] == "Incremental"
        assert re.fullmatch(TIME, properties["recoveryPointTime"])
        assert re.fullmatch(GUID, properties["friendlyName"])
        assert properties["policyName"] == name_of(article.protected.policy)
        assert properties["retentionTagName"] == "Default"
        assert re.fullmatch(r"\d{18}", properties["retentionTagVersion"])
        assert properties["policyVersion"] is None
        (store,) = properties["recoveryPointDataStoresDetails"]
        assert set(store) == STORE_MEMBERS
        assert (store["type"], store["state"]) == ("OperationalStore", "COMMITTED")
        assert store["visible"] is True and store["metaData"] is None
        assert store["creationTime"] == properties["recoveryPointTime"]
        assert days(store["creationTime"], store["expiryTime"]) == 7
    same_store = {p["properties"]["recoveryPointDataStoresDetails"][0]["id"]
                  for p in body["value"]}
    assert len(same_store) == 1, "one store, one id"


def days(first, second):
    """Whole days from one time of day to the same time of day later."""
    assert first[10:] == second[10:], (first, second)
    return (datetime.date.fromisoformat(second[:10])
            - datetime.date.fromisoformat(first[:10])).days


def test_headers_of_an_answer(wire, article):
    reply = wire.request("GET", f"{article.protected.instance}/recoveryPoints", api=ARTICLE)
    headers = reply.headers
    assert headers["content-type"].startswith("application/json")
    assert headers["cache-control"] == "no-cache" and headers["pragma"] == "no-cache"
    assert headers["expires"] == "-1"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert re.search(GUID, headers["x-ms-request-id"])
    assert re.fullmatch(GUID, headers["x-ms-correlation-request-id"])
    assert re.fullmatch(rf"[A-Z0-9]+:\d{{8}}T\d{{6}}Z:{GUID}",
                        headers["x-ms-routing-request-id"])
    assert int(headers["x-ms-ratelimit-remaining-subscription-reads"]) > 0


def test_validate_restore_as_printed(wire, journey, article):
    disk = journey.disk_path(article.protected.target)
    reply = wire.request("POST", f"{article.protected.instance}/validateRestore",
                         validate_body(article.newer, disk), ARTICLE)
    name = assert_accepted(wire, reply)
    status = wire.finish(reply)
    assert_status(status, name)
    assert "properties" not in status
    result = wire.request("GET", reply.headers["location"])
    assert (result.status, result.json()) == (200, {"objectType": "OperationJobExtendedInfo"})
    assert wire.request("GET", disk, api=COMPUTE).status == 404, "validation makes no disk"


def test_the_first_body_of_the_article_has_no_object_type(wire, journey, article):
    body = validate_body(article.newer, journey.disk_path(article.protected.target))
    del body["objectType"]
    wire.finish(wire.request("POST", f"{article.protected.instance}/validateRestore", body,
                             ARTICLE))


@pytest.mark.parametrize("which", ["newer", "older"])
def test_restore_and_its_job(wire, journey, article, which):
    protected, point = article.protected, getattr(article, which)
    disk = journey.disk_path(protected.target, "APITestDisk2")
    reply = wire.request("POST", f"{protected.instance}/restore", trigger_body(point, disk),
                         ARTICLE)
    name = assert_accepted(wire, reply)
    status = wire.finish(reply)
    assert_status(status, name)
    assert status["properties"]["objectType"] == "OperationJobExtendedInfo"
    job_id = status["properties"]["jobId"]
    assert re.fullmatch(rf"{re.escape(protected.vault)}/backupJobs/{GUID}", job_id)
    assert wire.get(reply.headers["location"]) == status["properties"]

    job = wire.wait_job(job_id, ARTICLE)
    assert (job["id"], job["name"]) == (job_id, name_of(job_id))
    assert job["type"].lower() == "microsoft.dataprotection/backupvaults/backupjobs"
    properties = job["properties"]
    assert set(properties) >= JOB_MEMBERS, JOB_MEMBERS - set(properties)
    expected = {
        "status": "Completed", "operation": "Restore", "operationCategory": "Restore",
        "isUserTriggered": True, "supportedActions": [""], "errorDetails": None,
        "subscriptionId": wire.subscription, "sourceSubscriptionID": wire.subscription,
        "backupInstanceId": protected.instance, "policyId": protected.policy,
        "dataSourceId": protected.disk, "vaultName": name_of(protected.vault),
        "backupInstanceFriendlyName": name_of(protected.disk),
        "policyName": name_of(protected.policy), "dataSourceName": name_of(protected.disk),
        "sourceResourceGroup": name_of(protected.group), "dataSourceLocation": LOCATION,
        "dataSourceType": "Microsoft.Compute/disks", "rehydrationPriority": None}
    assert {k: properties[k] for k in expected} == expected
    assert re.fullmatch(r"PT(\d+H)?(\d+M)?\d+(\.\d{1,7})?S", properties["duration"])
    assert re.fullmatch(r"""W/"datetime'[^']+'\"""", properties["etag"])
    assert re.fullmatch(f"{GUID}(-Ibz)?", properties["activityID"])
    extended = properties["extendedInfo"]
    assert set(extended) >= EXTENDED_MEMBERS, EXTENDED_MEMBERS - set(extended)
    assert extended["recoveryDestination"] == disk
    assert extended["targetRecoverPoint"] is None
    assert extended["sourceRecoverPoint"]["recoveryPointID"] == point
    task = extended["subTasks"][0]
    assert (task["taskId"], task["taskName"], task["taskStatus"]) == \
        (1, "Trigger Restore", "Completed")

    made = wire.get(disk, COMPUTE)
    assert (made["id"], made["location"]) == (disk, LOCATION)
    expected_bytes = protected.image if which == "newer" else article.first
    assert journey.read(disk) == expected_bytes, "restored bit for bit"


def test_ids_in_any_letter_case(wire, journey, article):
    """The article's ids say `/Subscriptions/` in places, and its group `TestBkpVaultRG` is also
    written `testBkpVaultRG`."""
    protected = article.protected
    path = protected.instance.replace("/subscriptions/", "/Subscriptions/") \
        .replace("/resourceGroups/", "/resourcegroups/")
    disk = journey.disk_path(protected.target)
    odd = disk.replace("/subscriptions/", "/Subscriptions/").upper() \
        .replace("/SUBSCRIPTIONS/", "/Subscriptions/")
    points = wire.get(f"{path}/recoveryPoints", ARTICLE)["value"]
    assert [p["name"] for p in points] == [article.newer, article.older]
    body = validate_body(article.newer, odd)
    wire.finish(wire.request("POST", f"{path}/validateRestore", body, ARTICLE))
    job = wire.wait_job(wire.start_job(f"{path}/restore", trigger_body(article.newer, odd),
                                       ARTICLE), ARTICLE)
    assert job["properties"]["status"] == "Completed", job
    assert job["properties"]["extendedInfo"]["recoveryDestination"] == odd, "as the client wrote"
    assert journey.read(disk) == protected.image


def test_the_newer_spelling_works_at_the_same_version(wire, journey, article):
    disk = journey.disk_path(article.protected.target)
    wire.finish(wire.request("POST", f"{article.protected.instance}/validateRestore",
                             {"restoreRequestObject": restore_body(article.older, disk)},
                             ARTICLE))


def test_jobs_of_backups(wire, article):
    """The jobs of the two backups, in the list and alone; the list has no extendedInfo."""
    vault, instance = article.protected.vault, article.protected.instance
    jobs = [job for job in wire.list(f"{vault}/backupJobs", ARTICLE)
            if job["properties"]["operation"] == "Backup"]
    assert len(jobs) == 2
    made = set()
    for job in jobs:
        properties = job["properties"]
        assert properties["extendedInfo"] is None and properties["supportedActions"] == []
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{7}", properties["duration"])
        assert (properties["status"], properties["backupInstanceId"]) == ("Completed", instance)
        one = wire.get(job["id"], ARTICLE)["properties"]
        assert one["operationCategory"] == "Backup" and one["supportedActions"] == [""]
        extended = one["extendedInfo"]
        assert extended["additionalDetails"]["RetentionTag"] == "Default"
        assert extended["subTasks"][0]["taskName"] == "Trigger Backup"
        made.add(extended["targetRecoverPoint"]["recoveryPointID"])
    assert made == {article.newer, article.older}


def test_an_absent_point_fails_the_validation(wire, journey, article):
    disk = journey.disk_path(article.protected.target)
    reply = wire.request("POST", f"{article.protected.instance}/validateRestore",
                         validate_body("0" * 32, disk), ARTICLE)
    if reply.status == 202:
        status = wire.outcome(reply)
        assert status["status"] == "Failed", status
        text = str(status["error"])
    else:
        assert reply.status in (400, 404), reply
        text = reply.text
    assert "recoveryPointId" in text or "0" * 32 in text

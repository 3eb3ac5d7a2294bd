"""Resource Graph: the two queries that `az dataprotection` builds, and the refusal of others.

The texts below are put together as the extension does
(Azure/azure-cli-extensions, src/dataprotection, manual/backupcenter_helper.py)."""

import pytest

from journey import name_of, sample
from test_principals import add, make, sign_in

PATH = "/providers/Microsoft.ResourceGraph/resources"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
DISKS = "Microsoft.Compute/disks"


def where(key, *values):
    """A filter as the extension appends it."""
    return f" | where {key} in~ ('" + "','".join(values) + "')"


def instances(*filters):
    """The query of `backup-instance list-from-resourcegraph`."""
    return ("RecoveryServicesResources"
            " | where type =~ 'microsoft.dataprotection/backupvaults/backupinstances'"
            "| extend vaultName = split(split(id, "
            "'/Microsoft.DataProtection/backupVaults/')[1],'/')[0]"
            "| extend protectionState = properties.currentProtectionState"
            "| extend datasourceId = properties.dataSourceInfo.resourceID" + "".join(filters))


def jobs(*filters):
    """The query of `job list-from-resourcegraph`."""
    category, by_user = "properties.operationCategory", "properties.isUserTriggered"
    return ("RecoveryServicesResources"
            " | where type =~ 'microsoft.dataprotection/backupvaults/backupjobs'"
            "| extend vaultName = properties.vaultName"
            "| extend status = properties.status"
            f"| extend operation = case( tolower({category}) startswith 'backup' and {by_user} "
            f"== 'true', strcat('OnDemand',{category})"
            f", tolower({category}) startswith 'backup' and {by_user} == 'false', "
            f"strcat('Scheduled', {category})"
            f", type =~ 'microsoft.dataprotection/backupVaults/backupJobs', {category}, 'Invalid')"
            "| extend datasourceId = properties.dataSourceId" + "".join(filters))


def ask(wire, query, token=None, **options):
    """One request as the SDK of the extension sends it."""
    more = {} if token is None else {"token": token}
    return wire.request("POST", PATH, {
        "subscriptions": [wire.subscription], "query": query,
        "options": {"$top": 1000, "$skip": 0, **options}}, "2021-03-01", **more)


def rows(wire, query, **more):
    """The rows of a query that must be answered whole."""
    reply = ask(wire, query, **more)
    assert reply.status == 200, reply
    body = reply.json()
    assert body["count"] == len(body["data"]) == body["totalRecords"], body
    return body["data"]


@pytest.fixture(scope="module")
def scene(journey):
    """A protected disk with two backups and a restore."""
    made = journey.protect(sample(1 << 20))
    job = [journey.backup(made.instance) for _ in range(2)][-1]
    journey.restore(made, journey.point_of(job))
    return made


def test_instances_are_listed_with_the_filters_of_az(wire, scene):
    vault = where("vaultName", name_of(scene.vault))
    row, = rows(wire, instances(where("properties.dataSourceInfo.datasourceType", DISKS), vault))
    assert row["id"] == scene.instance and row["name"] == name_of(scene.instance)
    assert row["vaultName"] == name_of(scene.vault)
    assert row["protectionState"] == "ProtectionConfigured"
    assert row["datasourceId"] == scene.disk
    assert row["properties"]["friendlyName"] == name_of(scene.disk)
    for found, filters in [
            (1, where("resourceGroup", name_of(scene.group).upper())),
            (1, where("protectionState", "ProtectionStopped", "protectionconfigured")),
            (0, where("protectionState", "ProtectionStopped")),
            (1, where("datasourceId", scene.disk)), (1, where("id", scene.instance)),
            (0, where("name", "other"))]:
        assert len(rows(wire, instances(vault, filters))) == found, filters


def test_jobs_are_listed_with_the_filters_of_az(wire, scene):
    vault = where("vaultName", name_of(scene.vault))
    all_jobs = rows(wire, jobs(where("properties.dataSourceType", DISKS), vault))
    assert sorted(row["operation"] for row in all_jobs) == [
        "OnDemandBackup", "OnDemandBackup", "Restore"]
    assert {row["status"] for row in all_jobs} == {"Completed"}
    listed = {job["id"] for job in wire.list(f"{scene.vault}/backupJobs", "2025-07-01")}
    assert {row["id"] for row in all_jobs} == listed
    newest = all_jobs[0]["properties"]["startTime"]
    for found, filters in [
            (2, where("operation", "OnDemandBackup")), (1, where("operation", "Restore")),
            (0, where("status", "Failed")), (3, where("datasourceId", scene.disk)),
            (3, "| where properties.startTime > datetime(2020-01-01T00:00:00Z)"),
            (0, f"| where properties.startTime > datetime({newest})"),
            (3, "| where properties.endTime > datetime(2020-01-01T00:00:00Z)")]:
        assert len(rows(wire, jobs(vault, filters))) == found, filters


def test_pages_hold_every_row_once(wire, scene):
    query, seen, token = jobs(where("vaultName", name_of(scene.vault))), [], {}
    while True:
        body = ask(wire, query, **{"$top": 2, **token}).json()
        assert body["totalRecords"] >= body["count"] >= 1
        seen += [row["id"] for row in body["data"]]
        if "$skipToken" not in body:
            break
        token = {"$skipToken": body["$skipToken"]}
    assert len(seen) == len(set(seen)) == 3
    other = ask(wire, instances(), **token)
    assert other.status == 400, "a token belongs to its query"


def test_a_caller_sees_what_they_may_read(wire, journey, scene):
    principal = make(wire)
    token = sign_in(wire, principal, add(wire, principal)["secretText"]).json()["access_token"]
    vault = where("vaultName", name_of(scene.vault))
    assert rows(wire, instances(), token=token) == rows(wire, jobs(), token=token) == []
    journey.assign(scene.instance, READER, principal["id"])
    assert len(rows(wire, instances(), token=token)) == 1
    assert rows(wire, jobs(vault), token=token) == []
    journey.assign(scene.vault, READER, principal["id"])
    assert len(rows(wire, jobs(vault), token=token)) == 3
    assert wire.request("POST", PATH, {"query": jobs()}, "2021-03-01", token=None).status == 401


@pytest.mark.parametrize("query", [
    "Resources | project name", "resources | where type =~ 'microsoft.dataprotection/backupvaults'",
    instances(" | take 1"), instances(" | where name in~ ('a') or true"),
    jobs(" | summarize count()"), "", "x" * 100000])
def test_other_queries_are_refused(wire, query):
    reply = ask(wire, query)
    assert reply.status == 400, reply
    if query:
        assert reply.code == "BadRequest"
        assert [d["code"] for d in reply.json()["error"]["details"]][0] == "InvalidQuery"

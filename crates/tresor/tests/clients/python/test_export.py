"""Jobs: the filter of their list, and the export of all of them behind a SAS of its own."""

import json
import urllib.parse

import models
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient
import pytest

from journey import name_of, sample
from test_sdk import clients, credential
from wire import ARTICLE, DPP

SMALL = 1 << 20


@pytest.fixture(scope="module")
def made(wire):
    """A disk with three backups, one restore and one failed backup."""
    from journey import Journey
    walk = Journey(wire)
    made = walk.protect(sample(SMALL))
    points = [walk.point_of(walk.backup(made.instance)) for _ in range(3)]
    walk.restore(made, points[0])
    wire.do("DELETE", made.disk, api="2024-03-02")
    wire.wait_job(walk.start_backup(made.instance))
    return made


def export(wire, vault, api=DPP):
    """POST exportBackupJobs, to its result."""
    reply = wire.request("POST", f"{vault}/exportBackupJobs", api=api)
    assert reply.status == 202 and not reply.body, reply
    assert "azure-asyncoperation" not in reply.headers and reply.headers["retry-after"] == "1"
    assert f"{vault}/backupJobs/operations/" in reply.headers["location"]
    return wire.finish_by_location(reply).json()


def test_an_export_holds_every_job(wire, made):
    listed = wire.list(f"{made.vault}/backupJobs", DPP)
    assert len(listed) == 5
    result = export(wire, made.vault)
    assert result["excelFileBlobUrl"] is None and result["excelFileBlobSasKey"] is None
    url = result["blobUrl"] + result["blobSasKey"]
    reply = wire.request("GET", url, token=None)
    assert reply.status == 200 and reply.headers["content-type"] == "application/json"
    document = json.loads(reply.body)
    assert [job["id"] for job in document["value"]] == [job["id"] for job in listed]
    for job in document["value"]:
        models.assert_model("AzureBackupJobResource", job)
        shown = wire.get(job["id"], DPP)
        assert shown == job, "a job stands there in full"


def test_the_key_opens_one_document_for_reading(wire, made):
    result = export(wire, made.vault)
    other = export(wire, made.vault)
    url, key = result["blobUrl"], result["blobSasKey"]
    head = wire.request("HEAD", url + key, token=None)
    size = int(head.headers["content-length"])
    parts = urllib.parse.urlsplit(url + key)
    connection = wire.connect()
    part = connection.send("GET", f"{parts.path}?{parts.query}", {"x-ms-range": "bytes=0-9"}, None)
    connection.close()
    assert (part.status, part.body) == (206, b'{"value":[')
    assert part.headers["content-range"] == f"bytes 0-9/{size}"
    behind = wire.request("GET", url + key, token=None, headers={"Range": f"bytes={size}-"})
    assert (behind.status, behind.code) == (416, "InvalidRange")
    for method in ("PUT", "POST", "DELETE"):
        wrong = wire.request(method, url + key, b"", token=None)
        assert (wrong.status, wrong.code) == (403, "AuthorizationPermissionMismatch"), wrong
    query = dict(urllib.parse.parse_qsl(key[1:]))
    later = {**query, "se": "2099-01-01T00:00:00Z"}
    for where, sent in ((other["blobUrl"], query), (url, later), (url, {**query, "sig": "AAAA"}),
                        (url, {k: v for k, v in query.items() if k != "sig"}), (url, {})):
        refused = wire.request("GET", f"{where}?{urllib.parse.urlencode(sent)}", token=None)
        assert (refused.status, refused.code) == (403, "AuthenticationFailed"), refused
    bare = wire.request("GET", url + key)
    assert bare.status == 200, "a token beside the key changes nothing"


def test_an_export_by_the_sdks(wire, made, shared_server):
    sdk = clients(shared_server.settings, credential(shared_server.settings)).backup
    where = (name_of(made.group), name_of(made.vault))
    first = []
    poller = sdk.export_jobs.begin_trigger(
        *where, raw_response_hook=lambda r: first.append(r.http_response.headers))
    poller.result()
    location = next(h["Location"] for h in first if "Location" in h)
    operation = urllib.parse.unquote(location.split("?")[0].rsplit("/", 1)[1])
    result = sdk.export_jobs_operation_result.get(*where, operation)
    assert result.excel_file_blob_url is None
    blob = BlobClient.from_blob_url(result.blob_url + result.blob_sas_key)
    document = json.loads(blob.download_blob().readall())
    assert len(document["value"]) == 5
    assert blob.get_blob_properties().blob_type == "BlockBlob"
    with pytest.raises(HttpResponseError):
        blob.upload_blob(b"x", overwrite=True)


def test_what_is_no_export(wire, made):
    for name in ("nonsense", "00000000-0000-0000-0000-000000000001"):
        reply = wire.request("GET", f"{made.vault}/backupJobs/operations/{name}", api=DPP)
        assert (reply.status, reply.code) == (404, "UserErrorGenericResourceNotFound"), reply
    begun = wire.request("POST", f"{made.instance}/stopProtection", api=DPP)
    operation = begun.headers["location"].split("?")[0].rsplit("/", 1)[1]
    reply = wire.request("GET", f"{made.vault}/backupJobs/operations/{operation}", api=DPP)
    assert reply.status == 404, "another operation of the vault is none"
    wire.do("POST", f"{made.instance}/resumeProtection", api=DPP)


@pytest.mark.parametrize("text, count", [
    ("status eq 'Failed'", 1), ("status eq 'completed' and operation eq 'Backup'", 3),
    ("operation eq 'Restore'", 1), ("operation eq 'OnDemandBackup'", 4),
    ("operation eq 'ScheduledBackup'", 0), ("startTime eq '2099-01-01T00:00:00Z'", 0),
    ("endTime eq '2099-01-01T00:00:00Z'", 5), ("dataSourceId eq '{disk}'", 5),
    ("dataSourceId eq '{vault}'", 0)])
def test_the_filter_of_jobs(wire, made, text, count):
    text = urllib.parse.quote(text.format(disk=made.disk, vault=made.vault))
    assert len(wire.list(f"{made.vault}/backupJobs?$filter={text}", DPP)) == count
    assert len(wire.list(f"{made.vault}/backupJobs?$filter={text}&$top=1", DPP)) == count


@pytest.mark.parametrize("text", [
    "status eq 'Lost'", "operation eq 'Hope'", "color eq 'red'", "startTime eq 'soon'",
    "dataSourceId eq 'disk'"])
def test_wrong_filters_of_jobs(wire, made, text):
    reply = wire.request("GET", f"{made.vault}/backupJobs?$filter={urllib.parse.quote(text)}",
                         api=DPP)
    assert (reply.status, reply.code) == (400, "BMSUserErrorInvalidInput"), reply
    assert "$filter" in reply.text


def test_the_spelling_of_lists(wire, made):
    rows = wire.get(f"{made.vault}/backupJobs", ARTICLE)["value"]
    assert {row["type"] for row in rows} == {"Microsoft.DataProtection/BackupVaults/backupJobs"}
    for row in wire.get(f"{made.vault}/backupJobs", DPP)["value"]:
        assert row["type"] == "Microsoft.DataProtection/backupVaults/backupJobs"
        assert ":" in row["properties"]["duration"] and row["properties"]["extendedInfo"] is None

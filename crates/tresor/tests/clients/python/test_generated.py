"""Requests that a generator makes from the OpenAPI document of the API: whatever is sent, the
answer is no fault of the service, comes in time, and has the shape that the SDK's models say."""

import collections
import os
import time
import urllib.parse

import hypothesis
import pytest
import schemathesis

import models
import openapi
from journey import Journey, name_of
from tresor_server import Server
from wire import Wire

pytestmark = pytest.mark.timeout(900)

EXAMPLES = int(os.environ.get("GENERATED_EXAMPLES", "12"))
ANSWER_LIMIT = 30.0
# Thousands of requests of one client within a minute are the point here.
CONFIG = "[rate]\nreads = 0\nwrites = 0\ndeletes = 0\n"


class Target:
    """A service with one of everything, and what it answered."""

    def __init__(self, server):
        self.wire = Wire(server.settings)
        journey = Journey(self.wire)
        made = journey.protect()
        point = journey.point_of(journey.backup(made.instance))
        snapshot = journey.snapshot(made.group, made.disk)
        jobs = self.wire.list(f"{made.vault}/backupJobs", "2025-07-01")
        groups = [made.group, made.snapshots, made.target]
        self.names = {
            "subscriptionId": [self.wire.subscription], "location": ["westus"],
            "resourceGroupName": [name_of(group) for group in groups],
            "vaultName": [name_of(made.vault)], "backupPolicyName": [name_of(made.policy)],
            "backupInstanceName": [name_of(made.instance)], "diskName": [name_of(made.disk)],
            "snapshotName": [name_of(snapshot)], "jobId": [job["name"] for job in jobs],
            "recoveryPointId": [point], "points": [point],
            "namespace": ["Microsoft.Compute", "Microsoft.DataProtection"],
            "ids": [made.disk, made.policy, made.snapshots, made.target, made.vault,
                    journey.disk_path(made.target, "generated")]}
        self.counts = collections.Counter()

    def send(self, case):
        """Sends a generated request and judges its answer."""
        began = time.monotonic()
        answer = case.call(base_url=self.wire.base, verify=self.wire.settings["CA_FILE"],
                           headers={"Authorization": "Bearer " + self.wire.token()},
                           timeout=ANSWER_LIMIT)
        took = time.monotonic() - began
        name = case.operation.definition.raw["operationId"]
        told = (name, case.path_parameters, case.query, case.body, answer.status_code,
                answer.text[:600])
        assert took < ANSWER_LIMIT, told
        assert answer.status_code < 500, told
        self.counts[answer.status_code // 100] += 1
        kind = "".join(answer.headers.get("content-type", [""]))
        if answer.content and kind.startswith("application/json"):
            url = urllib.parse.unquote(urllib.parse.urlsplit(answer.request.url).path)
            models.assert_answer(url, answer.status_code, answer.json())


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A service of this module's own: what is sent here leaves nothing as it was."""
    folder = tmp_path_factory.mktemp("generated")
    with Server(folder / "data", CONFIG) as server:
        target = Target(server)
        openapi.save(folder / "openapi.json", target.names)
        yield target


SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck))


def test_no_generated_request_is_answered_wrongly(target):
    """Every operation of the document, the deletions last."""
    api = schemathesis.openapi.from_dict(openapi.document(target.names))
    wrong = []
    for made in api.get_all_operations():
        operation = made.ok()

        @SETTINGS
        @hypothesis.given(case=operation.as_strategy())
        def send(case):
            target.send(case)

        try:
            send()
        except AssertionError as error:
            wrong.append(f"{operation.label}: {error}")
    assert not wrong, "\n\n".join(wrong)
    # Refusals alone would prove little.
    total = sum(target.counts.values())
    print("answers by class:", dict(target.counts))
    assert total >= 5 * len(list(openapi.operations())), target.counts
    assert target.counts[2] > total // 20, target.counts

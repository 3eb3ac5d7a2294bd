"""Wrong requests: each is refused with the right code and a message that names what is wrong,
and afterwards everything is as it was."""

import re
import urllib.parse

import pytest

from journey import GIB, Journey, name_of, sample, unique
from tresor_server import Server, wait_until
from wire import COMPUTE, DPP, GROUPS, OWN, ROLES, Wire
from wrong_requests import ROWS, WORDLESS

pytestmark = pytest.mark.badinput
# The disk that the rows about pages write to: large enough for a put that is too large.
WRITTEN = 8 << 20


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A service of this module's own: its whole state is compared."""
    with Server(tmp_path_factory.mktemp("badinput") / "data") as server:
        yield Wire(server.settings)


@pytest.fixture(scope="module")
def scene(own):
    """The parts that the rows name."""
    journey = Journey(own)
    made = journey.protect(sample(1 << 20))
    point = journey.point_of(journey.backup(made.instance))
    loose = journey.disk(made.group, sample(1 << 20, seed=2))
    grown = journey.put_disk(journey.disk_path(made.group), {"createOption": "Empty"},
                             diskSizeGB=2)
    parts = {"root": journey.root, "group": made.group, "snap": made.snapshots,
             "target": made.target, "disk": made.disk, "vault": made.vault,
             "policy": made.policy, "instance": made.instance, "point": point, "loose": loose,
             "instance_name": name_of(made.instance), "grown": grown, "principal": made.principal,
             "taken": journey.restore(made, point),
             "new": f"{made.target}/providers/Microsoft.Compute/disks/{unique('new')}",
             "end": WRITTEN + 512, "end511": WRITTEN + 1023, "far": 2 * GIB,
             "far511": 2 * GIB + 511}
    journey.assign(loose, "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24", made.principal)
    parts.update(sas_urls(own, journey, made), loose_name=name_of(loose),
                 new_name=name_of(parts["new"]))
    return parts


def sas_urls(wire, journey, made):
    """SAS URLs of disks that no row needs for anything else: good and bad ones."""
    def disk():
        return journey.disk(made.group, sample(1 << 20, seed=3))
    read, revoked_disk = disk(), disk()
    written = journey.disk(made.group, sample(WRITTEN, seed=3))
    urls = {"write": journey.grant(written, "Write"), "read": journey.grant(read),
            "revoked": journey.grant(revoked_disk), "expired": journey.grant(disk(), seconds=1)}
    journey.revoke(revoked_disk)
    parts = urllib.parse.urlsplit(urls["read"])
    query = dict(urllib.parse.parse_qsl(parts.query))
    last = "A" if query["sig"][0] != "A" else "B"
    for name, wrong in (("tampered", {**query, "sig": last + query["sig"][1:]}),
                        ("unsigned", {k: v for k, v in query.items() if k != "sig"})):
        urls[name] = parts._replace(query=urllib.parse.urlencode(wrong)).geturl()
    wait_until(lambda: wire.request("GET", urls["expired"], token=None, headers={
        "x-ms-range": "bytes=0-511"}).status == 403, 15, "a SAS to expire")
    return urls


def state(wire):
    """Everything that the API shows, without what only reading changes."""
    root = f"/subscriptions/{wire.subscription}"
    shown = {"groups": wire.list(f"{root}/resourcegroups", GROUPS),
             "disks": wire.list(f"{root}/providers/Microsoft.Compute/disks", COMPUTE),
             "snapshots": wire.list(f"{root}/providers/Microsoft.Compute/snapshots", COMPUTE),
             "vaults": wire.list(f"{root}/providers/Microsoft.DataProtection/backupVaults", DPP)}
    for kind in ("roleAssignments", "roleDefinitions"):
        shown[kind] = wire.list(f"{root}/providers/Microsoft.Authorization/{kind}", ROLES)
    for vault in shown["vaults"]:
        for kind in ("backupPolicies", "backupInstances", "backupJobs"):
            shown[vault["id"] + kind] = wire.list(f"{vault['id']}/{kind}", DPP)
        for instance in shown[vault["id"] + "backupInstances"]:
            shown[instance["id"]] = wire.list(f"{instance['id']}/recoveryPoints", DPP)
    return {key: sorted(items, key=lambda item: item["id"]) for key, items in shown.items()}


def filled(value, scene):
    """`value` with the scene's parts in place of their names in braces."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: str(scene[found[1]]), value)
    if isinstance(value, dict):
        return {key: filled(item, scene) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, scene) for item in value]
    return value


@pytest.fixture(scope="module")
def before(own, scene):
    """The state before the first wrong request."""
    return state(own)


def send(wire, row, scene):
    """Sends a row; (status, code, text). A failed operation counts as 400."""
    token = {"owner": OWN, "none": None}.get(row.token, row.token)
    reply = wire.request(row.method, filled(row.path, scene), filled(row.body, scene), row.api,
                         filled(row.headers, scene), token)
    if reply.status not in (201, 202):
        return reply.status, reply.code or "", reply.text
    status = wire.outcome(reply)
    if status["status"] == "Failed":
        return 400, status["error"]["code"], str(status["error"])
    job = (status.get("properties") or {}).get("jobId")
    if job:
        body = wire.wait_job(job)["properties"]
        assert False, f"accepted; its job is {body['status']}: {body['errorDetails']}"
    return reply.status, "", reply.text


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_a_wrong_request_is_refused(own, scene, before, row):
    status, code, text = send(own, row, scene)
    allowed = row.status if isinstance(row.status, tuple) else (row.status,)
    assert status in allowed, f"{status} {code}: {text[:600]}"
    assert re.fullmatch(row.code, code), f"code {code!r}, expected {row.code}: {text[:600]}"
    word = filled(row.word, scene)
    assert word.lower() in text.lower(), f"{word!r} is not named: {text[:600]}"
    # Nothing internal shows.
    for leak in ("panicked", "sqlite", "/src/", "rust", "os error"):
        assert leak not in text.lower(), text[:600]


def test_the_table_is_long_enough():
    assert len(ROWS) >= 80
    assert len({row.name for row in ROWS}) == len(ROWS), "no name twice"
    print(f"{len(ROWS)} wrong requests")


def test_every_row_has_a_word():
    """An answer names what is wrong; the exceptions are listed one by one."""
    assert {row.name for row in ROWS if not row.word} == WORDLESS


def test_nothing_has_changed(own, scene, before):
    """After the whole table the state is the one before it, and so are the bytes."""
    after = state(own)
    assert after.keys() == before.keys()
    for key in before:
        assert [i["id"] for i in after[key]] == [i["id"] for i in before[key]], key
        assert after[key] == before[key], key
    journey = Journey(own)
    assert journey.read(scene["write"], scene["write"]) == sample(WRITTEN, seed=3)
    assert journey.read(scene["loose"]) == sample(1 << 20, seed=2)
    assert name_of(scene["new"]) not in str(after["disks"])

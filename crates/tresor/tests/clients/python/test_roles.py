"""Who may do what: the three roles of a vault's identity, action by action, and callers."""

import uuid

import pytest

from journey import (
    DISK_BACKUP_READER, DISK_RESTORE_OPERATOR, DISK_SNAPSHOT_CONTRIBUTOR, LOCATION, Journey,
    instance_body, name_of, restore_body, sample, unique, vault_body)
from test_principals import OWNER, add, make
from wire import COMPUTE, DPP, GROUPS, ROLES, Wire

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
ROLE_NAMES = {"disk": "Disk Backup Reader", "snapshots": "Disk Snapshot Contributor",
              "target": "Disk Restore Operator"}
ROLE_IDS = {"disk": DISK_BACKUP_READER, "snapshots": DISK_SNAPSHOT_CONTRIBUTOR,
            "target": DISK_RESTORE_OPERATOR}
# What the service does with the identity, by the scope where it does it.
NEEDED = {
    "disk": ["Microsoft.Compute/disks/read", "Microsoft.Compute/disks/beginGetAccess/action"],
    "snapshots": ["Microsoft.Resources/subscriptions/resourceGroups/read",
                  "Microsoft.Compute/snapshots/read", "Microsoft.Compute/snapshots/write",
                  "Microsoft.Compute/snapshots/delete",
                  "Microsoft.Compute/snapshots/beginGetAccess/action",
                  "Microsoft.Compute/snapshots/endGetAccess/action"],
    "target": ["Microsoft.Resources/subscriptions/resourceGroups/read",
               "Microsoft.Compute/disks/read", "Microsoft.Compute/disks/write"],
}


@pytest.fixture(scope="module")
def scene(wire, journey):
    """A disk, three groups, a vault and a policy; nothing is assigned, nothing protected."""
    group, snapshots, target = (journey.group(kind) for kind in ("rg", "snap", "target"))
    disk = journey.disk(group, sample(1 << 20))
    vault, principal = journey.vault(group)
    return {"disk": disk, "snapshots": snapshots, "target": target, "vault": vault,
            "principal": principal, "policy": journey.policy(vault)}


def custom_role(wire, journey, actions, not_actions=()):
    """Makes a role with these actions; its id."""
    name = str(uuid.uuid4())
    path = f"{journey.root}/providers/Microsoft.Authorization/roleDefinitions/{name}"
    reply = wire.request("PUT", path, {"properties": {
        "roleName": unique("role"), "description": "made by a test", "type": "CustomRole",
        "assignableScopes": [journey.root],
        "permissions": [{"actions": list(actions), "notActions": list(not_actions)}]}}, ROLES)
    assert reply.status in (200, 201), reply
    return path


def remove(wire, path):
    """Deletes a role assignment."""
    assert wire.request("DELETE", path, api=ROLES).status == 200


def missing(wire, reply):
    """The (action, scope, role, target) of each permission that a validation misses."""
    status = wire.outcome(reply)
    if status["status"] == "Succeeded":
        return []
    error = status["error"]
    assert error["code"] == "UserErrorMissingRequiredPermissions", error
    inner = error["additionalInfo"][0]["info"]["innerError"]
    assert inner["code"] == "UserErrorMissingRequiredPermissions"
    said = inner["additionalInfo"]["DetailedNonLocalisedMessage"]
    found = []
    for detail in error["details"]:
        assert detail["code"] == "UserErrorMissingRequiredPermissions"
        assert detail["message"] in said
        found.append((detail["message"], detail["target"]))
    return found


def validate_backup(wire, scene):
    """What validateForBackup misses."""
    body = instance_body(scene["disk"], scene["policy"], scene["snapshots"])
    return missing(wire, wire.request("POST", f"{scene['vault']}/validateForBackup",
                                      {"backupInstance": body}, DPP))


def assert_says(found, expected):
    """`found` names exactly the `expected` (action, scope id, role name)."""
    for action, scope, role in expected:
        hits = [text for text, target in found if target.lower() == scope.lower()
                and f"'{action}'" in text and scope.lower() in text.lower() and role in text]
        assert len(hits) == 1, (action, scope, role, found)
    assert len(found) == len(expected), found


def everything(scene, *kinds):
    """All needs at these scopes."""
    return [(action, scene[kind], ROLE_NAMES[kind]) for kind in kinds
            for action in NEEDED[kind]]


def test_without_roles_every_permission_is_named(wire, scene):
    assert_says(validate_backup(wire, scene), everything(scene, "disk", "snapshots"))


@pytest.mark.parametrize("kind", ["disk", "snapshots", "target"])
def test_the_built_in_role_has_what_is_needed(wire, journey, scene, kind):
    definition = wire.get(f"{journey.root}/providers/Microsoft.Authorization/roleDefinitions/"
                          f"{ROLE_IDS[kind]}", ROLES)["properties"]
    assert (definition["roleName"], definition["type"]) == (ROLE_NAMES[kind], "BuiltInRole")
    actions = definition["permissions"][0]["actions"]
    assert set(NEEDED[kind]) <= set(actions), "the table asks for more than the role gives"
    assert "Microsoft.Authorization/*/read" in actions


@pytest.mark.parametrize("kind, action", [
    (kind, action) for kind in ("disk", "snapshots") for action in NEEDED[kind]])
def test_backup_names_the_one_missing_action(wire, journey, scene, kind, action):
    rest = [other for other in NEEDED[kind] if other != action]
    role = custom_role(wire, journey, rest)
    other = "snapshots" if kind == "disk" else "disk"
    made = [journey.assign(scene[kind], role, scene["principal"]),
            journey.assign(scene[other], ROLE_IDS[other], scene["principal"])]
    try:
        assert_says(validate_backup(wire, scene), [(action, scene[kind], ROLE_NAMES[kind])])
        # The same by exclusion: the built-in role's actions without the one.
        broad = custom_role(wire, journey, ["*"], [action])
        made.append(journey.assign(scene[kind], broad, scene["principal"]))
        remove(wire, made.pop(0))
        assert_says(validate_backup(wire, scene), [(action, scene[kind], ROLE_NAMES[kind])])
        made.append(journey.assign(scene[kind], ROLE_IDS[kind], scene["principal"]))
        assert validate_backup(wire, scene) == [], "a role takes effect at once"
    finally:
        for path in made:
            remove(wire, path)
    assert validate_backup(wire, scene) != [], "and its removal too"


@pytest.fixture(scope="module")
def restorable(journey):
    """A protected disk with a recovery point, and the identity's assignment on the target."""
    made = journey.protect(sample(1 << 20))
    point = journey.point_of(journey.backup(made.instance))
    return made, point


def validate_restore(wire, journey, restorable):
    """What validateRestore misses."""
    made, point = restorable
    body = {"restoreRequestObject": restore_body(point, journey.disk_path(made.target))}
    return missing(wire, wire.request("POST", f"{made.instance}/validateRestore", body, DPP))


def assignments(wire, scope, principal):
    """Ids of a principal's assignments at exactly this scope."""
    found = wire.list(f"{scope}/providers/Microsoft.Authorization/roleAssignments", ROLES)
    return [item["id"] for item in found
            if item["properties"]["principalId"] == principal
            and item["properties"]["scope"].lower() == scope.lower()]


@pytest.mark.parametrize("action", NEEDED["target"])
def test_restore_names_the_one_missing_action(wire, journey, restorable, action):
    made, _ = restorable
    (own,) = assignments(wire, made.target, made.principal)
    remove(wire, own)
    role = custom_role(wire, journey, [a for a in NEEDED["target"] if a != action])
    partial = journey.assign(made.target, role, made.principal)
    try:
        assert_says(validate_restore(wire, journey, restorable),
                    [(action, made.target, ROLE_NAMES["target"])])
    finally:
        remove(wire, partial)
        journey.assign(made.target, ROLE_IDS["target"], made.principal)
    assert validate_restore(wire, journey, restorable) == []


def test_restore_needs_the_snapshots_too(wire, journey, restorable):
    made, _ = restorable
    (own,) = assignments(wire, made.snapshots, made.principal)
    remove(wire, own)
    try:
        found = validate_restore(wire, journey, restorable)
        assert found and all(target.lower() == made.snapshots.lower() for _, target in found)
        assert any("'Microsoft.Compute/snapshots/read'" in text for text, _ in found)
    finally:
        journey.assign(made.snapshots, ROLE_IDS["snapshots"], made.principal)


@pytest.mark.parametrize("what", ["backup", "restore"])
def test_a_job_without_its_roles_fails_and_says_so(wire, journey, restorable, what):
    """Roles that go away after the validation stop the job, and nothing is left behind."""
    made, point = restorable
    kind = "disk" if what == "backup" else "target"
    scope = getattr(made, kind)
    (own,) = assignments(wire, scope, made.principal)
    remove(wire, own)
    disk = journey.disk_path(made.target)
    before = [p["name"] for p in journey.points(made.instance)]
    try:
        url, body = ((f"{made.instance}/backup", {"backupRuleOptions": {
            "ruleName": "BackupHourly", "triggerOption": {}}}) if what == "backup"
            else (f"{made.instance}/restore", restore_body(point, disk)))
        reply = wire.request("POST", url, body, DPP)
        if reply.status == 202:
            status = wire.outcome(reply)
            if status["status"] == "Succeeded":
                job = wire.wait_job(status["properties"]["jobId"])["properties"]
                assert job["status"] == "Failed", job
                text = str(job["errorDetails"])
            else:
                text = str(status["error"])
        else:
            assert reply.status == 400, reply
            text = reply.text
        assert "ermission" in text and name_of(scope) in text, text
    finally:
        journey.assign(scope, ROLE_IDS[kind], made.principal)
    assert [p["name"] for p in journey.points(made.instance)] == before
    assert wire.request("GET", disk, api=COMPUTE).status == 404


def test_an_assignment_above_holds_below(wire, journey):
    """A role on the group covers the disk in it; one on the subscription covers all."""
    group = journey.group()
    disk = journey.disk(group, sample(1 << 20))
    vault, principal = journey.vault(group)
    scene = {"disk": disk, "snapshots": group, "vault": vault, "policy": journey.policy(vault)}
    journey.assign(group, DISK_BACKUP_READER, principal)
    path = journey.assign(journey.root, DISK_SNAPSHOT_CONTRIBUTOR, principal)
    assert validate_backup(wire, scene) == []
    remove(wire, path)
    assert len(validate_backup(wire, scene)) == len(NEEDED["snapshots"])


def test_a_vault_without_identity_says_so(wire, journey):
    group = journey.group()
    disk = journey.disk(group, sample(1 << 20))
    vault = f"{group}/providers/Microsoft.DataProtection/backupVaults/{unique('vault')}"
    wire.do("PUT", vault, {**vault_body(), "identity": {"type": "None"}}, DPP)
    body = instance_body(disk, journey.policy(vault), group)
    reply = wire.request("POST", f"{vault}/validateForBackup", {"backupInstance": body}, DPP)
    text = reply.text if reply.status >= 400 else str(wire.outcome(reply)["error"])
    assert "identity" in text.lower(), text


def test_assignments(wire, journey):
    """Making one twice, listing, filters, an unknown role, deleting."""
    group, principal = journey.group(), str(uuid.uuid4())
    path = f"{group}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    body = {"properties": {
        "principalId": principal, "principalType": "ServicePrincipal",
        "roleDefinitionId": f"{journey.root}/providers/Microsoft.Authorization/"
                            f"roleDefinitions/{READER}"}}
    made = wire.request("PUT", path, body, ROLES)
    assert made.status == 201 and made.json()["properties"]["scope"] == group
    assert made.json()["type"] == "Microsoft.Authorization/roleAssignments"
    twin = f"{group}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    again = wire.request("PUT", twin, body, ROLES)
    assert (again.status, again.code) == (409, "RoleAssignmentExists")
    base = f"{group}/providers/Microsoft.Authorization/roleAssignments"
    assert [a["id"] for a in wire.list(f"{base}?$filter=principalId eq '{principal}'",
                                       ROLES)] == [path]
    assert path in [a["id"] for a in wire.list(f"{base}?$filter=atScope()", ROLES)]
    assert wire.get(path, ROLES)["properties"]["principalId"] == principal
    remove(wire, path)
    assert wire.request("DELETE", path, api=ROLES).status == 204
    body["properties"]["roleDefinitionId"] = body["properties"]["roleDefinitionId"].replace(
        READER, str(uuid.uuid4()))
    unknown = wire.request("PUT", path, body, ROLES)
    assert (unknown.status, unknown.code) == (404, "RoleDefinitionDoesNotExist")


# ---- callers


def owner_assignment(wire):
    """The assignment that makes the first service principal an owner."""
    claims = wire.request("GET", "/providers/Microsoft.Authorization/roleAssignments",
                          api=ROLES).json()["value"]
    (own,) = [a for a in claims if a["properties"]["roleDefinitionId"].endswith(
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635")]
    return own


@pytest.fixture
def demoted(new_server, request):
    """A service whose first principal gave its ownership away; it kept the parametrised role."""
    with new_server() as server:
        wire = Wire(server.settings)
        journey = Journey(wire)
        made = journey.protect(sample(1 << 20))
        journey.backup(made.instance)
        owner = owner_assignment(wire)
        # Somebody who can sign in must stay Owner.
        second = make(wire)
        add(wire, second)
        journey.assign("", OWNER, second["id"])
        if request.param:
            journey.assign(journey.root, request.param, owner["properties"]["principalId"])
        remove(wire, owner["id"])
        yield wire, journey, made


def attempts(journey, made):
    """One write of each kind: (method, path, body, api-version, the action it needs)."""
    vaults = "Microsoft.DataProtection/backupVaults"
    body = {"restoreRequestObject": restore_body("0" * 32, journey.disk_path(made.target))}
    return [
        ("PUT", f"{journey.root}/resourceGroups/{unique('rg')}", {"location": LOCATION}, GROUPS,
         "Microsoft.Resources/subscriptions/resourceGroups/write"),
        ("DELETE", made.target, None, GROUPS,
         "Microsoft.Resources/subscriptions/resourceGroups/delete"),
        ("PATCH", made.disk, {"tags": {}}, COMPUTE, "Microsoft.Compute/disks/write"),
        ("DELETE", made.disk, None, COMPUTE, "Microsoft.Compute/disks/delete"),
        ("POST", f"{made.disk}/beginGetAccess", {"access": "Read", "durationInSeconds": 60},
         COMPUTE, "Microsoft.Compute/disks/beginGetAccess/action"),
        ("PUT", made.vault, vault_body(), DPP, f"{vaults}/write"),
        ("DELETE", made.vault, None, DPP, f"{vaults}/delete"),
        ("DELETE", made.policy, None, DPP, f"{vaults}/backupPolicies/delete"),
        ("DELETE", made.instance, None, DPP, f"{vaults}/backupInstances/delete"),
        ("POST", f"{made.instance}/backup", {"backupRuleOptions": {}}, DPP,
         f"{vaults}/backupInstances/backup/action"),
        ("POST", f"{made.instance}/restore", body["restoreRequestObject"], DPP,
         f"{vaults}/backupInstances/restore/action"),
        ("POST", f"{made.instance}/validateRestore", body, DPP,
         f"{vaults}/backupInstances/validateRestore/action"),
        ("POST", f"{made.instance}/stopProtection", None, DPP,
         f"{vaults}/backupInstances/stopProtection/action"),
        ("PUT", f"{made.target}/providers/Microsoft.Authorization/roleAssignments/"
         f"{uuid.uuid4()}", {"properties": {
             "principalId": made.principal, "roleDefinitionId":
             f"{journey.root}/providers/Microsoft.Authorization/roleDefinitions/{READER}"}},
         ROLES, "Microsoft.Authorization/roleAssignments/write"),
    ]


def assert_forbidden(wire, method, path, body, api, action):
    """403 that names the action."""
    reply = wire.request(method, path, body, api)
    assert (reply.status, reply.code) == (403, "AuthorizationFailed"), (method, path, reply)
    assert f"'{action}'".lower() in reply.text.lower(), (action, reply)


@pytest.mark.parametrize("demoted", [READER], indirect=True)
def test_a_reader_reads_and_does_not_write(demoted):
    wire, journey, made = demoted
    for path, api in ((made.group, GROUPS), (made.disk, COMPUTE), (made.vault, DPP),
                      (made.instance, DPP), (f"{made.instance}/recoveryPoints", DPP),
                      (f"{made.vault}/backupJobs", DPP)):
        wire.get(path, api)
    for attempt in attempts(journey, made):
        assert_forbidden(wire, *attempt)
    wire.get(made.instance, DPP)


@pytest.mark.parametrize("demoted", [None], indirect=True)
def test_nothing_is_allowed_by_default(demoted):
    wire, journey, made = demoted
    for attempt in attempts(journey, made):
        assert_forbidden(wire, *attempt)
    vaults = "Microsoft.DataProtection/backupVaults"
    for path, api, action in (
            (made.group, GROUPS, "Microsoft.Resources/subscriptions/resourceGroups/read"),
            (made.disk, COMPUTE, "Microsoft.Compute/disks/read"),
            (made.vault, DPP, f"{vaults}/read"),
            (f"{made.instance}/recoveryPoints", DPP,
             f"{vaults}/backupInstances/recoveryPoints/read")):
        assert_forbidden(wire, "GET", path, None, api, action)

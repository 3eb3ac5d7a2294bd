"""Role definitions and assignments, with and without Microsoft Graph."""

import uuid

import pytest

from journey import DISK_BACKUP_READER, LOCATION, unique, vault_body

NAMELESS = ("--fill-principal-name", "false", "--fill-role-definition-name", "false")


@pytest.fixture(scope="module")
def vault(az, group):
    """A vault with an identity."""
    path = (f"/subscriptions/{az.settings['SUBSCRIPTION_ID']}/resourceGroups/{group}/providers/"
            f"Microsoft.DataProtection/backupVaults/{unique('vault')}")
    az.follow("put", path, vault_body(LOCATION))
    return az.rest("get", path)


def group_id(az, group):
    """The id of a group."""
    return f"/subscriptions/{az.settings['SUBSCRIPTION_ID']}/resourceGroups/{group}"


def assign(az, scope, principal, role):
    """Assigns a role without asking Microsoft Graph for the principal."""
    return az("role", "assignment", "create", "--assignee-object-id", principal,
              "--assignee-principal-type", "ServicePrincipal", "--role", role, "--scope", scope)


@pytest.mark.parametrize("role", ["Disk Backup Reader", DISK_BACKUP_READER])
def test_the_life_of_an_assignment(az, group, vault, role):
    scope, principal = group_id(az, group), vault["identity"]["principalId"]
    made = assign(az, scope, principal, role)
    assert made["roleDefinitionId"].endswith(DISK_BACKUP_READER)
    listed = az("role", "assignment", "list", "--scope", scope, *NAMELESS)
    assert made["id"] in [found["id"] for found in listed]
    mine = az("role", "assignment", "list", "--assignee-object-id", principal, "--all", *NAMELESS)
    assert [found["id"] for found in mine] == [made["id"]]
    az("role", "assignment", "delete", "--ids", made["id"])
    assert az("role", "assignment", "list", "--assignee-object-id", principal, "--all",
              *NAMELESS) == []


def test_an_assignment_twice_is_one(az, group, vault):
    """The service answers 409 RoleAssignmentExists, which `az` takes for success."""
    scope, principal = group_id(az, group), vault["identity"]["principalId"]
    first = assign(az, scope, principal, "Disk Restore Operator")
    again = assign(az, scope, principal, "Disk Restore Operator")
    assert again["id"] == first["id"]
    az("role", "assignment", "delete", "--ids", first["id"])


def test_role_definitions(az):
    (found,) = az("role", "definition", "list", "--name", "Disk Snapshot Contributor")
    assert found["name"] == "7efff54f-a5b4-42b5-a1c5-5411624893ce"
    assert found["roleType"] == "BuiltInRole"
    name = f"test {uuid.uuid4()}"
    own = {"Name": name, "Description": "made by a test",
           "Actions": ["Microsoft.Compute/disks/read"], "NotActions": [],
           "AssignableScopes": [f"/subscriptions/{az.settings['SUBSCRIPTION_ID']}"]}
    az("role", "definition", "create", "--role-definition", f"@{az.file('role.json', own)}")
    (made,) = az("role", "definition", "list", "--name", name, "--custom-role-only", "true")
    assert made["permissions"][0]["actions"] == own["Actions"]
    own["Actions"].append("Microsoft.Compute/snapshots/read")
    az("role", "definition", "update", "--role-definition", f"@{az.file('role.json', own)}")
    (made,) = az("role", "definition", "list", "--name", name)
    assert sorted(made["permissions"][0]["actions"]) == sorted(own["Actions"])
    az("role", "definition", "delete", "--name", name)
    assert az("role", "definition", "list", "--name", name) == []

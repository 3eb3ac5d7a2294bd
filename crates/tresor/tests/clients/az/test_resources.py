"""Groups, providers and lists of resources."""

import pytest

from journey import LOCATION, unique


def test_the_life_of_a_group(az):
    name = az.group()
    assert az("group", "exists", "-n", name) is True
    assert az("group", "exists", "-n", unique("absent")) is False
    assert az("group", "show", "-n", name)["location"] == LOCATION
    assert az("group", "update", "-n", name, "--set", "tags.use=test")["tags"] == {"use": "test"}
    assert name in [found["name"] for found in az("group", "list")]
    assert [g["name"] for g in az("group", "list", "--tag", "use=test")] == [name]
    az("group", "delete", "-n", name, "--yes")
    assert az("group", "exists", "-n", name) is False
    assert "ResourceGroupNotFound" in az.refused("group", "show", "-n", name)


def test_resources_of_a_group(az, group):
    disk = az("disk", "create", "-g", group, "-n", unique("disk"), "--size-gb", "1",
              "--tags", "kind=listed")
    listed = az("resource", "list", "-g", group, "--resource-type", "Microsoft.Compute/disks")
    assert disk["id"].lower() in [found["id"].lower() for found in listed]
    assert disk["name"] in [found["name"] for found in az("resource", "list", "-g", group)]
    assert [f["name"] for f in az("resource", "list", "--tag", "kind=listed")] == [disk["name"]]
    # `az` looks up in the provider which api-version to ask with.
    shown = az("resource", "show", "--ids", disk["id"])
    assert shown["properties"]["diskSizeGB"] == 1
    az("resource", "delete", "--ids", disk["id"])
    assert "ResourceNotFound" in az.refused("disk", "show", "--ids", disk["id"])


@pytest.mark.parametrize("namespace", ["Microsoft.Compute", "Microsoft.DataProtection"])
def test_providers_are_registered(az, namespace):
    shown = az("provider", "show", "-n", namespace)
    assert shown["registrationState"] == "Registered" and shown["resourceTypes"]
    az("provider", "register", "-n", namespace, "--wait")
    assert namespace in [found["namespace"] for found in az("provider", "list")]

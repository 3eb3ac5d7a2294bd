"""The last of the first generation of azure-mgmt-dataprotection: api-version 2024-04-01, other
models, and long operations whose end is read from Location."""

import pytest
from azure.mgmt.dataprotection import _version

from others import Others
from walk import Walk, clients, credential


def test_this_is_the_first_generation():
    assert _version.VERSION == "1.4.0"


@pytest.mark.parametrize("tenant", [None, "adfs"])
def test_the_whole_journey(shared_server, tenant):
    settings = shared_server.settings
    Walk(clients(settings, credential(settings, tenant))).all()


@pytest.fixture(scope="module")
def others(shared_server):
    """A protected disk, for the operations that the journey does not take."""
    settings = shared_server.settings
    return Others(clients(settings, credential(settings)))


@pytest.mark.parametrize("family", [
    "vaults", "provider", "reads", "standing", "pauses", "follow", "guards", "deleted",
    "refused"])
def test_the_other_operations(others, family):
    getattr(others, family)()

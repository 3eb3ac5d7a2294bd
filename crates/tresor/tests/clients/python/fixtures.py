"""Fixtures of all suites: one shared service for the fast tests, and services of a test's own."""

import itertools
import os

import pytest

from journey import Journey
from tresor_server import Server
from wire import Wire


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    """The service that the fast tests share; it must end with exit code 0."""
    folder = tmp_path_factory.mktemp("shared")
    images = folder / "images"
    images.mkdir()
    config = f'[import]\nfolders = ["{images}"]\n'
    with Server(folder / "data", config) as server:
        server.images = images
        # The Azure SDKs' transport takes its certificates from here.
        before = os.environ.get("REQUESTS_CA_BUNDLE")
        os.environ["REQUESTS_CA_BUNDLE"] = server.settings["CA_FILE"]
        yield server
        if before is None:
            del os.environ["REQUESTS_CA_BUNDLE"]
        else:
            os.environ["REQUESTS_CA_BUNDLE"] = before


@pytest.fixture(scope="session")
def wire(shared_server):
    """Raw HTTP to the shared service, as its owner."""
    return Wire(shared_server.settings)


@pytest.fixture(scope="session")
def journey(wire):
    """The steps of a journey on the shared service."""
    return Journey(wire)


@pytest.fixture
def new_server(tmp_path):
    """Makes services of the test's own, each on a data folder of its own."""
    servers, numbers = [], itertools.count()

    def make(config="", program=None, data=None):
        server = Server(data or tmp_path / f"data{next(numbers)}", config, program)
        servers.append(server)
        return server

    yield make
    for server in servers:
        if server.process is not None:
            server.stop()

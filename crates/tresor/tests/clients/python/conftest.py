"""Set-up of the suite: its fixtures, and the check of every answer."""

import pytest

# Before they are imported: what fails in them is to be explained as in a test.
pytest.register_assert_rewrite("fixtures", "journey", "models", "others", "walk", "wire")

import models
from fixtures import journey, new_server, shared_server, wire
from wire import Wire

__all__ = ["journey", "new_server", "shared_server", "wire"]

# Every answer of Microsoft.DataProtection that a test sees is held against the SDK's models.
Wire.check = staticmethod(models.assert_answer)

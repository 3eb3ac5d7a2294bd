"""Checks JSON bodies against the models of azure-mgmt-dataprotection, by introspection.

The SDK's own deserialiser is lenient (an unknown member is kept, a missing one reads as None),
so a client test that only reads a few members would not see a misspelt one. Here every member
of an answer must be a member of the SDK's model, with its type, and every required one present.
"""

import datetime
import enum
import functools
import re
import typing

from azure.mgmt.dataprotection import models
from azure.mgmt.dataprotection._utils.model_base import Model

# Members that the real service sends (recorded in the SDK's and the CLI's test traffic) and that
# the SDK's models do not have.
SERVICE_MEMBERS = {
    "AzureBackupJob": {"sourceDataStoreType", "isCrossRegionRestore", "backupType"},
    "JobExtendedInfo": {"isAutohealJob", "autohealParentFailedJobId", "dataTransferedInBytes"},
    "Error": {"innerError"},
    "ErrorDetail": {"innerError"},
}
# Words that the real service sends in an enumeration that the SDK declares extensible.
SERVICE_WORDS = {
    "Status": {"ProtectionError", "BackupsSuspended"},
    "CurrentProtectionState": {"BackupsSuspended"},
}
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object",
              list: "array", type(None): "null"}

NAMESPACE = "/providers/microsoft.dataprotection/"
VAULT_MODELS = [
    (r"/backupvaults/[^/]+/backupinstances/[^/]+/recoverypoints/[^/]+",
     "AzureBackupRecoveryPointResource", False),
    (r"/backupvaults/[^/]+/backupinstances/[^/]+/recoverypoints",
     "AzureBackupRecoveryPointResource", True),
    (r"/backupvaults/[^/]+/backupinstances/[^/]+", "BackupInstanceResource", False),
    (r"/backupvaults/[^/]+/backupinstances", "BackupInstanceResource", True),
    (r"/backupvaults/[^/]+/deletedbackupinstances/[^/]+", "DeletedBackupInstanceResource", False),
    (r"/backupvaults/[^/]+/deletedbackupinstances", "DeletedBackupInstanceResource", True),
    (r"/backupvaults/[^/]+/backuppolicies/[^/]+", "BaseBackupPolicyResource", False),
    (r"/backupvaults/[^/]+/backuppolicies", "BaseBackupPolicyResource", True),
    (r"/backupvaults/[^/]+/backupjobs/operations/[^/]+", "ExportJobsResult", False),
    (r"/backupvaults/[^/]+/backupjobs/[^/]+", "AzureBackupJobResource", False),
    (r"/backupvaults/[^/]+/backupjobs", "AzureBackupJobResource", True),
    (r"/backupvaults/[^/]+/backupresourceguardproxies/[^/]+/unlockdelete", "UnlockDeleteResponse",
     False),
    (r"/backupvaults/[^/]+/backupresourceguardproxies/[^/]+", "ResourceGuardProxyBaseResource",
     False),
    (r"/backupvaults/[^/]+/backupresourceguardproxies", "ResourceGuardProxyBaseResource", True),
    (r"/resourceguards/[^/]+/[^/]+/[^/]+", "DppBaseResource", False),
    (r"/resourceguards/[^/]+/[^/]+", "DppBaseResource", True),
    (r"/resourceguards/[^/]+", "ResourceGuardResource", False),
    (r"/resourceguards", "ResourceGuardResource", True),
    (r"/backupvaults/[^/]+", "BackupVaultResource", False),
    (r"/backupvaults", "BackupVaultResource", True),
    (r".*/operationstatus/[^/]+", "OperationResource", False),
    (r"/locations/[^/]+/operationresults/[^/]+", "OperationJobExtendedInfo", False),
    (r"/locations/[^/]+/checknameavailability", "CheckNameAvailabilityResult", False),
    (r"/locations/[^/]+/checkfeaturesupport", "FeatureValidationResponse", False),
    (r"/locations/[^/]+/deletedvaults/[^/]+", "DeletedBackupVaultResource", False),
    (r"/locations/[^/]+/deletedvaults", "DeletedBackupVaultResource", True),
    (r".*/findrestorabletimeranges",
     "AzureBackupFindRestorableTimeRangesResponseResource", False),
    (r"/backupinstances", "BackupInstanceResource", True),
    (r"/operations", "Operation", True),
]


def model_of(path):
    """The model's name that an answer of this path must have, and whether it is a page of them;
    None when the path is not one of Microsoft.DataProtection or has no model of its own."""
    lower = path.split("?")[0].lower()
    if NAMESPACE not in lower:
        return None
    tail = "/" + lower.split(NAMESPACE, 1)[1].rstrip("/")
    for pattern, name, many in VAULT_MODELS:
        if re.fullmatch(pattern, tail):
            return name, many
    return None


def problems(name, body, many=False):
    """What is wrong with `body` as a model (or page of models) of the SDK: a list of texts."""
    found = []
    if not hasattr(models, name):
        raise KeyError(f"azure.mgmt.dataprotection.models has no {name}")
    if many:
        _page(getattr(models, name), body, found)
    else:
        _model(getattr(models, name), body, "$", found)
    return found


def assert_model(name, body, many=False):
    """Fails with every problem of `body`."""
    found = problems(name, body, many)
    assert not found, f"not a valid {name}:\n  " + "\n  ".join(found)


def assert_answer(path, status, body):
    """Fails when an answer of Microsoft.DataProtection does not have the shape of the SDK."""
    if status >= 400:
        if NAMESPACE in path.lower():
            assert_model("ErrorResponse", body)
            assert body["error"].get("code") and body["error"].get("message"), body
        return
    expected = model_of(path)
    if expected:
        assert_model(expected[0], body, expected[1])


def _page(cls, body, found):
    if not isinstance(body, dict) or not isinstance(body.get("value"), list):
        found.append("$: a page needs an array in `value`")
        return
    found.extend(f"$.{key}: not a member of a page" for key in body
                 if key not in ("value", "nextLink"))
    link = body.get("nextLink")
    if link is not None and not (isinstance(link, str) and re.match(r"(https://|$)", link)):
        found.append(f"$.nextLink: {link!r} is not an absolute https URL")
    for number, item in enumerate(body["value"]):
        _model(cls, item, f"$.value[{number}]", found)


@functools.lru_cache(maxsize=None)
def _members(cls):
    """wire name -> (type, is discriminator) of one model class."""
    cls({})  # the SDK completes its tables of members when a model is first made
    names = dict(vars(models), _models=models, datetime=datetime)
    hints = typing.get_type_hints(cls, localns=names)
    return {rest._rest_name: (hints[attribute], rest._is_discriminator)
            for attribute, rest in cls._attr_to_rest_field.items()}


def _is_model(hint):
    return isinstance(hint, type) and issubclass(hint, Model)


def _concrete(cls, body, path, found):
    """Follows the discriminators of `body` down to the class that they name; None when unknown."""
    while True:
        wire = next((w for w, (_, disc) in _members(cls).items() if disc), None)
        below = {word: sub for word, sub in getattr(cls, "__mapping__", {}).items()
                 if issubclass(sub, cls) and sub is not cls}
        if wire is None or not below:
            return cls
        word = body.get(wire)
        if word not in below:
            own = typing.get_origin(_members(cls)[wire][0]) is typing.Literal
            if word is not None and not own:
                found.append(f"{path}.{wire}: {word!r} is none of {sorted(below)}")
                return None
            return cls
        cls = below[word]


def _model(cls, body, path, found):
    if not isinstance(body, dict):
        found.append(f"{path}: expected an object ({cls.__name__}), got {_json_type(body)}")
        return
    cls = _concrete(cls, body, path, found)
    if cls is None:
        return
    members = _members(cls)
    for key, value in body.items():
        if key in members:
            hint = members[key][0]
            if value is not None:
                _value(hint, value, f"{path}.{key}", found)
            elif not _is_optional(hint):
                found.append(f"{path}.{key}: required, but null")
        elif not any(key in SERVICE_MEMBERS.get(c.__name__, ()) for c in cls.__mro__):
            twin = next((m for m in members if m.lower() == key.lower()), None)
            hint = f" (it is spelt {twin})" if twin else ""
            found.append(f"{path}.{key}: not a member of {cls.__name__}{hint}")
    found.extend(f"{path}.{key}: required, but missing" for key, (hint, _) in members.items()
                 if key not in body and not _is_optional(hint))


def _is_optional(hint):
    return hint is typing.Any or type(None) in typing.get_args(hint)


def _value(hint, value, path, found):
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is typing.Any:
        return
    if origin is typing.Union:
        _union([a for a in args if a is not type(None)], value, path, found)
    elif origin is typing.Literal:
        words = [getattr(a, "value", a) for a in args]
        if value not in words:
            found.append(f"{path}: {value!r} is none of {words}")
    elif origin is list:
        if _is_type(list, value, path, found):
            for number, item in enumerate(value):
                _value(args[0], item, f"{path}[{number}]", found)
    elif origin is dict:
        if _is_type(dict, value, path, found):
            for key, item in value.items():
                _value(args[1], item, f"{path}.{key}", found)
    elif _is_model(hint):
        _model(hint, value, path, found)
    elif hint is datetime.datetime:
        if _is_type(str, value, path, found) and not DATE_TIME.fullmatch(value):
            found.append(f"{path}: {value!r} is not a date-time of RFC 3339 with a zone")
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        _word(hint, value, path, found)
    elif hint is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            found.append(f"{path}: expected number, got {_json_type(value)}")
    elif hint in (bool, int, str):
        _is_type(hint, value, path, found)
    else:
        raise TypeError(f"{path}: no rule for the SDK's type {hint!r}")


def _union(hints, value, path, found):
    words = [h for h in hints if isinstance(h, type) and issubclass(h, enum.Enum)]
    if words:
        _word(words[0], value, path, found)
    elif len(hints) == 1:
        _value(hints[0], value, path, found)
    else:
        raise TypeError(f"{path}: no rule for the SDK's union {hints!r}")


def _word(hint, value, path, found):
    words = {member.value for member in hint} | SERVICE_WORDS.get(hint.__name__, set())
    if _is_type(str, value, path, found) and value not in words:
        found.append(f"{path}: {value!r} is no {hint.__name__}: {sorted(words)}")


def _is_type(kind, value, path, found):
    if type(value) is kind:
        return True
    found.append(f"{path}: expected {JSON_TYPES[kind]}, got {_json_type(value)}")
    return False


def _json_type(value):
    return JSON_TYPES.get(type(value), type(value).__name__)

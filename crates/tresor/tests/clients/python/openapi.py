"""An OpenAPI document of the served API: its operations from `docs/coverage.md`, which is made
from the service's table, the bodies of Microsoft.DataProtection from the SDK's models.

Names in paths are those of real things or invented ones, so that generated requests reach the
handlers; members that name something get both kinds too.
"""

import datetime
import enum
import json
import pathlib
import re
import typing

import models
from wire import COMPUTE, DPP, GROUPS, ROLES

TABLE = pathlib.Path(__file__).parents[5] / "docs" / "coverage.md"
ROW = re.compile(r"\| (\w+) \| (GET|HEAD|PUT|PATCH|POST|DELETE) `(/[^`]*)` \| (.*?) \| (\w+) \|")
# The word before a name says what it names: (namespace in the path, its api-version).
VERSIONS = [("Microsoft.DataProtection", DPP), ("Microsoft.Compute", COMPUTE),
            ("Microsoft.Authorization", ROLES), ("Microsoft.ManagedIdentity", "2023-01-31"),
            ("Microsoft.Insights", "2015-04-01"), ("Microsoft.ResourceGraph", "2021-03-01")]
BODIES = {
    "BackupVaults_CreateOrUpdate": "BackupVaultResource",
    "BackupVaults_Update": "PatchResourceRequestInput",
    "BackupVaults_CheckNameAvailability": "CheckNameAvailabilityRequest",
    "BackupPolicies_CreateOrUpdate": "BaseBackupPolicyResource",
    "BackupInstances_CreateOrUpdate": "BackupInstanceResource",
    "BackupInstances_ValidateForBackup": "ValidateForBackupRequest",
    "BackupInstances_ValidateForModifyBackup": "ValidateForModifyBackupRequest",
    "BackupInstances_AdhocBackup": "TriggerBackupRequest",
    "BackupInstances_ValidateForRestore": "ValidateRestoreRequestObject",
    "BackupInstances_TriggerRestore": "AzureBackupRestoreRequest",
    "BackupInstances_StopProtection": "StopProtectionRequest",
    "BackupInstances_SuspendBackups": "SuspendBackupRequest",
    "BackupInstances_SyncBackupInstance": "SyncBackupInstanceRequest",
    "BackupInstances_TriggerRehydrate": "AzureBackupRehydrationRequest",
    "BackupInstances_TriggerCrossRegionRestore": "CrossRegionRestoreRequestObject",
    "RestorableTimeRanges_Find": "AzureBackupFindRestorableTimeRangesRequest",
    "DataProtection_CheckFeatureSupport": "FeatureValidationRequestBase",
    "ResourceGuards_Put": "ResourceGuardResource",
    "ResourceGuards_Patch": "PatchResourceGuardInput",
    "DppResourceGuardProxy_CreateOrUpdate": "ResourceGuardProxyBaseResource",
    "DppResourceGuardProxy_UnlockDelete": "UnlockDeleteRequest",
}
# What the other providers' bodies may hold; anything else is ignored or refused by name.
LOOSE = {"type": "object", "properties": {
    "location": {"enum": ["westus", "West US", "nowhere"]},
    "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    "access": {"enum": ["Read", "Write", "None"]},
    "durationInSeconds": {"type": "integer"},
    "sku": {"type": "object", "properties": {"name": {"enum": ["Standard_LRS", "Premium_LRS"]}}},
    "properties": {"type": "object", "properties": {
        "creationData": {"type": "object", "properties": {
            "createOption": {"enum": ["Empty", "Upload", "Copy", "Import", "Restore"]},
            "uploadSizeBytes": {"type": "integer", "maximum": 1 << 22},
            "sourceResourceId": {"type": "string"}, "sourceUri": {"type": "string"}}},
        "diskSizeGB": {"type": "integer", "maximum": 4}, "incremental": {"type": "boolean"},
        "roleDefinitionId": {"type": "string"}, "principalId": {"type": "string"},
        "roleName": {"type": "string"}, "assignableScopes": {
            "type": "array", "items": {"type": "string"}}}}}}


def operations():
    """(name, method, path) of every row of the table that is a path of ARM."""
    rows = [ROW.match(line) for line in TABLE.read_text(encoding="utf-8").splitlines()]
    for name, method, path, needs, _ in (row.groups() for row in rows if row):
        # The token endpoints count wrong secrets, and hooks are not served here.
        if needs != "nothing" and not path.startswith("/_tresor"):
            yield name, method, path


def document(names):
    """The document. `names` are the real names: {parameter of a path: [names]}; under `ids`
    whole ids and under `points` keys of recovery points, for members of bodies."""
    schemas, paths = {}, {}
    rows = sorted(operations(), key=lambda row: (row[1] == "DELETE", row))
    for name, method, path in rows:
        path = re.sub(r"^/\{\*\w+\}", "/subscriptions/{subscriptionId}/resourceGroups"
                                      "/{resourceGroupName}", path)
        operation = {
            "operationId": name, "parameters": parameters(path, names),
            "responses": {"default": {"description": "as the models say"}}}
        if method in ("PUT", "PATCH", "POST"):
            model = BODIES.get(name)
            schema = schema_of(getattr(models.models, model), schemas, names) if model else LOOSE
            operation["requestBody"] = {"required": name in BODIES, "content": {
                "application/json": {"schema": schema}}}
        paths.setdefault(path, {})[method.lower()] = operation
    return {"openapi": "3.0.2", "info": {"title": "Tresor", "version": "0"}, "paths": paths,
            "components": {"schemas": schemas}}


def parameters(path, names):
    """The names in a path, and the api-version."""
    version = next((v for space, v in VERSIONS if f"/providers/{space}" in path), GROUPS)
    found = [{"name": "api-version", "in": "query", "required": True,
              "schema": {"enum": [version]}}]
    if path.endswith(("recoveryPoints", "backupJobs")):
        found.append({"name": "$filter", "in": "query", "required": False,
                      "schema": {"type": "string"}})
    for name in re.findall(r"\{(\w+)\}", path):
        invented = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,40}$"}
        real = {"enum": names[name]} if names.get(name) else invented
        # Mostly real ones: with several names in a path few requests would find anything else.
        kinds = [real] if name in ("subscriptionId", "location") else [real, real, real, invented]
        found.append({"name": name, "in": "path", "required": True, "schema": {"anyOf": kinds}})
    return found


def schema_of(hint, schemas, names, member=""):
    """The JSON schema of a type of the SDK; models go to `schemas`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is typing.Any or hint is dict:
        return {"type": "object"}
    if origin is typing.Union:
        kinds = [a for a in args if a is not type(None)]
        words = [k for k in kinds if isinstance(k, type) and issubclass(k, enum.Enum)]
        return schema_of((words or kinds)[0], schemas, names, member)
    if origin is typing.Literal:
        return {"enum": [getattr(a, "value", a) for a in args]}
    if origin is list:
        items = schema_of(args[0], schemas, names, member)
        return {"type": "array", "items": items, "maxItems": 3}
    if origin is dict:
        values = schema_of(args[1], schemas, names, member)
        return {"type": "object", "additionalProperties": values}
    if isinstance(hint, type) and issubclass(hint, models.Model):
        return model_schema(hint, schemas, names)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [word.value for word in hint]}
    if hint is datetime.datetime:
        return {"type": "string", "format": "date-time"}
    if hint is str:
        return text_schema(member, names)
    return {"type": {bool: "boolean", int: "integer", float: "number"}[hint]}


def text_schema(member, names):
    """A text; where the member's name says that it names something, often a real thing."""
    lower, free = member.lower(), {"type": "string", "maxLength": 60}
    if lower == "recoverypointid":
        return {"anyOf": [{"enum": names["points"]}, free]}
    if lower.endswith(("resourceid", "policyid", "groupid", "uri")):
        return {"anyOf": [{"enum": names["ids"]}, free]}
    known = {"location": "westus", "resourcelocation": "westus", "restorelocation": "westus",
             "duration": "P7D", "rulename": "BackupHourly", "tagname": "Default",
             "retentiontagoverride": "Default", "backuptype": "Incremental",
             "datasourcetype": "Microsoft.Compute/disks", "timezone": "UTC",
             "datasourcetypes": "Microsoft.Compute/disks",
             "repeatingtimeintervals": "R/2024-01-01T00:00:00+00:00/PT4H"}
    return {"anyOf": [{"enum": [known[lower]]}, free]} if lower in known else free


def model_schema(cls, schemas, names):
    """The schema of a model: of its sub-types where a discriminator tells them apart."""
    reference = {"$ref": f"#/components/schemas/{cls.__name__}"}
    if cls.__name__ in schemas:
        return reference
    schemas[cls.__name__] = {}
    below = {word: sub for word, sub in getattr(cls, "__mapping__", {}).items()
             if issubclass(sub, cls) and sub is not cls}
    if below:
        kinds = [model_schema(sub, schemas, names) for sub in below.values()]
        schemas[cls.__name__] = {"anyOf": kinds}
        return reference
    properties, required = {}, []
    for wire, (hint, discriminates) in models._members(cls).items():
        properties[wire] = schema_of(hint, schemas, names, wire)
        if discriminates and typing.get_origin(hint) is not typing.Literal:
            properties[wire] = {"type": "string"}
        if discriminates or not models._is_optional(hint):
            required.append(wire)
    schemas[cls.__name__] = {"type": "object", "properties": properties,
                             **({"required": required} if required else {})}
    return reference


def save(path, names):
    """Writes the document, for whoever wants to look at it."""
    pathlib.Path(path).write_text(json.dumps(document(names), indent=1), encoding="utf-8")

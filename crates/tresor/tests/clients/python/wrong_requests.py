"""The table of wrong requests: what is sent, and the status, code and word of its answer.

A path and every text of a body may name parts of the scene in braces, such as {disk}. A request
that is answered with 202 and fails in the end counts as refused with 400.
"""

import copy
import dataclasses
import typing

import journey
from wire import ARTICLE, COMPUTE, DPP, GROUPS, ROLES

DROP = object()
INVALID = "BMSUserErrorInvalidInput"
PARAMETER = "InvalidParameter"
CONTENT = "InvalidRequestContent"
SAS_VERSION = {"x-ms-version": "2021-12-02"}
PAGE = b"x" * 512
# The rows whose answer must not help to guess what is wrong with a token or a signature.
WORDLESS = {"group bad-token", "page tampered", "page unsigned", "page expired", "page revoked"}


@dataclasses.dataclass
class Row:
    """One wrong request."""

    name: str
    method: str
    path: str
    body: typing.Any
    status: typing.Any
    code: str
    word: str
    api: typing.Optional[str] = DPP
    headers: dict = dataclasses.field(default_factory=dict)
    token: str = "owner"


def but(body, *changes):
    """A copy of `body` with members changed: pairs of a dotted path and a value, or DROP."""
    body = copy.deepcopy(body)
    for path, value in zip(changes[::2], changes[1::2]):
        inner, keys = body, [int(k) if k.isdigit() else k for k in path.split(".")]
        for key in keys[:-1]:
            inner = inner[key]
        if value is DROP:
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = value
    return body


VAULT = journey.vault_body()
POLICY = journey.policy_body()
INSTANCE = but({"properties": journey.instance_body("{loose}", "{policy}", "{snap}")},
               "properties.friendlyName", "loose",
               "properties.dataSourceInfo.resourceName", "{loose_name}")
BACKUP = journey.backup_body()
RESTORE = but(journey.restore_body("{point}", "{new}"),
              "restoreTargetInfo.datasourceInfo.resourceName", "{new_name}")
DISK = {"location": "westus", "properties": {"creationData": {"createOption": "Empty"},
                                             "diskSizeGB": 1}}
SNAPSHOT = {"location": "westus", "properties": {"incremental": True, "creationData": {
    "createOption": "Copy", "sourceResourceId": "{disk}"}}}
GRANT = {"access": "Read", "durationInSeconds": 60}
ASSIGNMENT = {"properties": {
    "principalId": "{principal}", "principalType": "ServicePrincipal", "roleDefinitionId":
    "{root}/providers/Microsoft.Authorization/roleDefinitions/"
    "acdd72a7-3385-48ef-bd42-f606fba81ae7"}}
NEW_VAULT = "{group}/providers/Microsoft.DataProtection/backupVaults/new-vault"
NEW_POLICY = "{vault}/backupPolicies/new-policy"
NEW_INSTANCE = "{vault}/backupInstances/new-instance"
NEW_ASSIGNMENT = ("{group}/providers/Microsoft.Authorization/roleAssignments/"
                  "0a0a0a0a-1111-2222-3333-444444444444")
SNAP = "{snap}/providers/Microsoft.Compute/snapshots/new-snap"
RULE = "properties.policyRules.0"
TRIGGER = f"{RULE}.trigger"
KEEP = "properties.policyRules.1"
SOURCE = "properties.dataSourceInfo"
INFO = "properties.policyInfo"
TARGET = "restoreTargetInfo"


def groups():
    """Wrong requests about groups and about ARM itself."""
    def row(name, method, path, body, status, code, word, api=GROUPS, **more):
        return Row(f"group {name}", method, path, body, status, code, word, api, **more)
    new = "{root}/resourceGroups/new-group"
    good = {"location": "westus"}
    return [
        row("no-location", "PUT", new, {}, 400, PARAMETER, "location"),
        row("null-location", "PUT", new, {"location": None}, 400, PARAMETER, "location"),
        row("number-location", "PUT", new, {"location": 5}, 400, PARAMETER, "location"),
        row("unknown-location", "PUT", new, {"location": "atlantis"}, 400,
            f"{PARAMETER}|LocationNotAvailableForResourceGroup", "atlantis"),
        row("tags-list", "PUT", new, {**good, "tags": []}, 400, PARAMETER, "tags"),
        row("tag-number", "PUT", new, {**good, "tags": {"a": 1}}, 400, PARAMETER, "tags.a"),
        row("moved", "PUT", "{group}", {"location": "eastus"}, 409, "InvalidResourceLocation",
            "location"),
        row("bad-name", "PUT", "{root}/resourceGroups/bad$name", good, 400,
            f"{PARAMETER}|InvalidResourceGroup", "name"),
        row("dot-at-end", "PUT", "{root}/resourceGroups/dot.", good, 400,
            f"{PARAMETER}|InvalidResourceGroup", "name"),
        row("long-name", "PUT", "{root}/resourceGroups/" + "g" * 91, good, 400,
            f"{PARAMETER}|InvalidResourceGroup", "name"),
        row("not-json", "PUT", new, b"{not json", 400, CONTENT, "JSON"),
        row("a-list", "PUT", new, [], 400, CONTENT, "object"),
        row("no-body", "PUT", new, None, 400, CONTENT, "body"),
        row("deep", "PUT", new, b'{"tags":' * 500 + b"1" + b"}" * 500, 400, CONTENT, "JSON"),
        row("not-utf8", "PUT", new, b'{"location": "\xff"}', 400, CONTENT, "JSON"),
        row("huge", "PUT", new, b'{"location":"' + b"w" * (9 << 20) + b'"}', 413,
            "RequestEntityTooLarge|RequestBodyTooLarge", "larger"),
        row("long-url", "GET", "{root}/resourceGroups/" + "g" * 20000, None, (400, 404, 414),
            ".*", "URL"),
        row("no-version", "PUT", new, good, 400, "MissingApiVersionParameter", "api-version",
            api=None),
        row("bad-version", "PUT", new, good, 400, "InvalidApiVersionParameter", "2021-13-01",
            api="2021-13-01"),
        row("other-subscription", "PUT", "/subscriptions/00000000-0000-0000-0000-000000000009"
            "/resourceGroups/g", good, 404, "SubscriptionNotFound", "000000000009"),
        row("no-guid", "GET", "/subscriptions/nonsense/resourceGroups", None, (400, 404),
            "InvalidSubscriptionId|SubscriptionNotFound", "nonsense"),
        row("wrong-method", "POST", new, {}, (404, 405), ".*", "POST"),
        row("no-token", "PUT", new, good, 401, "Authentication.*", "'Authorization'", token="none"),
        row("bad-token", "PUT", new, good, 401, ".*Authentication.*", "", token="nonsense"),
        row("basic", "PUT", new, good, 401, ".*Authentication.*", "'Authorization'", token="none",
            headers={"Authorization": "Basic dXNlcjpwYXNz"}),
        row("skip-token", "GET", "{root}/resourcegroups?$skipToken=x", None, 400, ".*",
            "skipToken"),
        row("no-provider", "PUT", "{group}/providers/Microsoft.Nothing/things/a", good, 404,
            "InvalidResourceNamespace|InvalidResourceType", "Nothing"),
    ]


def compute():
    """Wrong requests about disks and snapshots."""
    def row(name, method, path, body, code, word, status=400, **more):
        return Row(f"compute {name}", method, path, body, status, code, word, COMPUTE, **more)
    option, creation = "properties.creationData.createOption", "properties.creationData"

    def made(name, word, *changes, code=PARAMETER, status=400):
        return row(name, "PUT", "{new}", but(DISK, *changes), code, word, status)
    return [
        made("no-location", "location", "location", DROP),
        made("no-properties", "properties", "properties", DROP),
        made("no-creation", "creationData", creation, DROP),
        made("no-option", "createOption", option, DROP),
        made("unknown-option", "createOption", option, "Conjure"),
        made("unsupported-option", "createOption", option, "FromImage"),
        made("option-number", "createOption", option, 3),
        made("no-size", "diskSizeGB", "properties.diskSizeGB", DROP),
        made("size-0", "diskSizeGB", "properties.diskSizeGB", 0),
        made("size-negative", "diskSizeGB", "properties.diskSizeGB", -1),
        made("size-text", "diskSizeGB", "properties.diskSizeGB", "big"),
        made("size-fraction", "diskSizeGB", "properties.diskSizeGB", 1.5),
        made("size-huge", "diskSizeGB", "properties.diskSizeGB", 1 << 40),
        made("sku", "sku", "sku", {"name": "Gold_LRS"}),
        made("location-elsewhere", "location", "location", "atlantis", code=".*"),
        made("upload-without-size", "uploadSizeBytes", creation, {"createOption": "Upload"}),
        made("upload-unaligned", "uploadSizeBytes", creation,
             {"createOption": "Upload", "uploadSizeBytes": 1048576 + 513}),
        made("upload-footer-only", "uploadSizeBytes", creation,
             {"createOption": "Upload", "uploadSizeBytes": 512}),
        made("copy-of-nothing", "sourceResourceId", creation, {"createOption": "Copy"}),
        made("copy-of-no-id", "sourceResourceId", creation,
             {"createOption": "Copy", "sourceResourceId": "disk1"}),
        made("copy-of-absent", "none", creation, {
            "createOption": "Copy", "sourceResourceId":
            "{group}/providers/Microsoft.Compute/disks/none"}, code=".*", status=(400, 404)),
        made("copy-of-a-vault", "sourceResourceId", creation,
             {"createOption": "Copy", "sourceResourceId": "{vault}"}, code=".*",
             status=(400, 404)),
        made("import-of-nothing", "sourceUri", creation, {"createOption": "Import"}),
        made("import-outside", "sourceUri", creation,
             {"createOption": "Import", "sourceUri": "file:///etc/passwd"}),
        row("group-absent", "PUT", "{root}/resourceGroups/none/providers/Microsoft.Compute/"
            "disks/d", DISK, "ResourceGroupNotFound", "none", 404),
        row("shrink", "PATCH", "{grown}", {"properties": {"diskSizeGB": 1}}, ".*", "diskSizeGB",
            (400, 409)),
        row("moved", "PUT", "{loose}", but(DISK, "location", "eastus"),
            "InvalidResourceLocation", "location", 409),
        row("absent", "GET", "{new}", None, "ResourceNotFound", "{new}", 404),
        row("bad-name", "PUT", "{group}/providers/Microsoft.Compute/disks/bad$name", DISK, ".*",
            "name"),
        row("snapshot-word", "PUT", SNAP, but(SNAPSHOT, "properties.incremental", "partly"),
            PARAMETER, "incremental"),
        row("snapshot-empty", "PUT", SNAP, but(SNAPSHOT, option, "Empty"), ".*",
            "createOption"),
        row("snapshot-of-no-id", "PUT", SNAP, but(
            SNAPSHOT, f"{creation}.sourceResourceId", "x"), PARAMETER, "sourceResourceId"),
        row("grant-nothing", "POST", "{loose}/beginGetAccess", {}, PARAMETER, "access"),
        row("grant-word", "POST", "{loose}/beginGetAccess", {**GRANT, "access": "Own"},
            PARAMETER, "access"),
        row("grant-no-time", "POST", "{loose}/beginGetAccess", {"access": "Read"}, PARAMETER,
            "durationInSeconds"),
        row("grant-0", "POST", "{loose}/beginGetAccess", {**GRANT, "durationInSeconds": 0},
            PARAMETER, "durationInSeconds"),
        row("grant-negative", "POST", "{loose}/beginGetAccess",
            {**GRANT, "durationInSeconds": -5}, PARAMETER, "durationInSeconds"),
        row("grant-text", "POST", "{loose}/beginGetAccess",
            {**GRANT, "durationInSeconds": "long"}, PARAMETER, "durationInSeconds"),
        row("grant-absent", "POST", "{new}/beginGetAccess", GRANT, "ResourceNotFound", "{new}",
            404),
    ]


def pages():
    """Wrong requests to the page blob; {write} and {read} are SAS URLs."""
    def row(name, word, path, body, status, code, method="PUT", **headers):
        sent = {**SAS_VERSION, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return Row(f"page {name}", method, path, body, status, code, word, None, sent, "none")

    def page(name, word, status, code, byte_range, body=PAGE, **headers):
        return row(name, word, "{write}&comp=page", body, status, code, x_ms_range=byte_range,
                   **{"x_ms_page_write": "update", **headers})

    def forged(name):
        return row(name, "", f"{{{name}}}", None, 403, "AuthenticationFailed", "GET")
    pages, header, missing = "InvalidPageRange", "InvalidHeaderValue", "MissingRequiredHeader"
    span, write, length, md5 = "x-ms-range", "x-ms-page-write", "Content-Length", "Content-MD5"
    return [
        page("unaligned-start", span, 416, pages, "bytes=1-512"),
        page("unaligned-end", span, 416, pages, "bytes=0-510", b"x" * 511),
        page("unaligned-both", span, 416, pages, "bytes=100-199", b"x" * 100),
        page("past-the-end", span, 416, pages, "bytes={end}-{end511}"),
        page("backwards", span, 400, header, "bytes=512-0"),
        page("short-body", length, 400, header, "bytes=0-1023"),
        page("long-body", length, 400, header, "bytes=0-511", b"x" * 1024),
        page("no-numbers", span, 400, header, "bytes=a-b"),
        page("no-end", span, 416, pages, "bytes=0-"),
        page("unknown-write", write, 400, header, "bytes=0-511", x_ms_page_write="append"),
        page("clear-with-body", length, 400, header, "bytes=0-511", x_ms_page_write="clear"),
        page("wrong-md5", md5, 400, "Md5Mismatch", "bytes=0-511",
             Content_MD5="AAAAAAAAAAAAAAAAAAAAAA=="),
        page("no-md5", md5, 400, "Md5Mismatch", "bytes=0-511", Content_MD5="nonsense"),
        page("wrong-etag", "If-Match", 412, "ConditionNotMet", "bytes=0-511", If_Match='"0x0"'),
        page("too-much", span, 413, "RequestBodyTooLarge", "bytes=0-5242879",
             b"x" * (5 << 20)),
        row("no-range", span, "{write}&comp=page", PAGE, 400, missing,
            x_ms_page_write="update"),
        row("no-write", write, "{write}&comp=page", PAGE, 400, missing,
            x_ms_range="bytes=0-511"),
        row("unknown-comp", "comp=nonsense", "{write}&comp=nonsense", b"", 400,
            "InvalidQueryParameterValue"),
        row("block-blob", "x-ms-blob-type", "{write}", b"abc", 400, header,
            x_ms_blob_type="BlockBlob"),
        row("wrong-blob-size", "x-ms-blob-content-length", "{write}", b"", 400, header,
            x_ms_blob_type="PageBlob", x_ms_blob_content_length="1024"),
        row("delete", "DELETE", "{write}", None, 405, "UnsupportedHttpVerb", "DELETE"),
        row("read-sas-writes", "reading only", "{read}&comp=page", PAGE, 403,
            "AuthorizationPermissionMismatch", x_ms_range="bytes=0-511",
            x_ms_page_write="update"),
        forged("tampered"), forged("unsigned"), forged("expired"), forged("revoked"),
        row("past-the-end-read", span, "{read}", None, 416, "InvalidRange", "GET",
            x_ms_range="bytes={far}-{far511}"),
    ]


def vaults():
    """Wrong requests about vaults and policies."""
    def vault(name, word, *changes, code=INVALID, status=400, api=DPP):
        return Row(f"vault {name}", "PUT", NEW_VAULT, but(VAULT, *changes), status, code, word,
                   api)

    def policy(name, word, *changes):
        return Row(f"policy {name}", "PUT", NEW_POLICY, but(POLICY, *changes), 400, INVALID,
                   word)
    settings = "properties.storageSettings"
    intervals = f"{TRIGGER}.schedule.repeatingTimeIntervals"
    tag = f"{TRIGGER}.taggingCriteria"
    after = f"{KEEP}.lifecycles.0.deleteAfter"
    return [
        vault("no-location", "location", "location", DROP),
        vault("atlantis", "atlantis", "location", "atlantis", code=".*"),
        vault("no-properties", "properties", "properties", DROP),
        vault("no-storage", "storageSettings", settings, [], api=ARTICLE),
        vault("storage-text", "storageSettings", settings, "VaultStore"),
        vault("store-word", "datastoreType", f"{settings}.0.datastoreType", "Cellar"),
        vault("redundancy-word", "type", f"{settings}.0.type", "Triple"),
        vault("identity-word", "identity", "identity.type", "Root"),
        vault("soft-delete-word", "softDeleteSettings", "properties.securitySettings",
              {"softDeleteSettings": {"state": "Maybe"}}),
        vault("soft-delete-days", "retentionDurationInDays", "properties.securitySettings",
              {"softDeleteSettings": {"state": "On", "retentionDurationInDays": 5}}),
        vault("soft-delete-days-text", "retentionDurationInDays", "properties.securitySettings",
              {"softDeleteSettings": {"state": "On", "retentionDurationInDays": "many"}}),
        vault("immutability-word", "immutabilitySettings", "properties.securitySettings",
              {"immutabilitySettings": {"state": "Stone"}}),
        vault("new-version-soft-delete-off", "softDeleteSettings",
              "properties.securitySettings", {"softDeleteSettings": {"state": "Off"}},
              api="2025-09-01"),
        vault("unknown-version", "2021-01-02", code="NoRegisteredProviderFound",
              api="2021-01-02"),
        Row("vault bad-name", "PUT", NEW_VAULT.replace("new-vault", "1vault_"), VAULT, 400, ".*",
            "name"),
        Row("vault moved", "PUT", "{vault}", but(VAULT, "location", "eastus"), 409,
            "InvalidResourceLocation", "location"),
        Row("vault in-use", "DELETE", "{vault}", None, 400, "UserErrorBackupVaultNotEmpty",
            "{instance_name}"),
        policy("no-properties", "properties", "properties", DROP),
        policy("kind", "objectType", "properties.objectType", "Wish"),
        policy("no-sources", "datasourceTypes", "properties.datasourceTypes", DROP),
        policy("other-source", "datasourceTypes", "properties.datasourceTypes",
               ["Microsoft.Storage/storageAccounts/blobServices"]),
        policy("no-rules", "policyRules", "properties.policyRules", []),
        policy("rules-object", "policyRules", "properties.policyRules", {}),
        policy("too-many-rules", "policyRules", "properties.policyRules", [{}] * 1001),
        policy("no-backup-rule", "policyRules", RULE, DROP),
        policy("no-retention-rule", "policyRules", KEEP, DROP),
        policy("rule-kind", "objectType", f"{RULE}.objectType", "AzureHope"),
        policy("rule-name", "name", f"{RULE}.name", DROP),
        policy("backup-type", "backupType", f"{RULE}.backupParameters.backupType", "Full"),
        policy("vault-store", "dataStoreType", f"{RULE}.dataStore.dataStoreType", "Cellar"),
        policy("no-trigger", "trigger", TRIGGER, DROP),
        policy("no-interval", "repeatingTimeIntervals", intervals, []),
        policy("bad-interval", "repeatingTimeIntervals", intervals, ["every day"]),
        policy("interval-3h", "repeatingTimeIntervals", intervals,
               ["R/2024-01-01T00:00:00+00:00/PT3H"]),
        policy("interval-weekly", "repeatingTimeIntervals", intervals,
               ["R/2024-01-01T00:00:00+00:00/P1W"]),
        policy("bad-zone", "timeZone", f"{TRIGGER}.schedule.timeZone", "Mars Standard Time"),
        policy("no-tags", "taggingCriteria", tag, []),
        policy("no-default-tag", "taggingCriteria", f"{tag}.0.isDefault", False),
        policy("tag-name", "tagName", f"{tag}.0.tagInfo.tagName", DROP),
        policy("tag-priority", "taggingPriority", f"{tag}.0.taggingPriority", "high"),
        policy("duration", "duration", f"{after}.duration", "a week"),
        policy("duration-negative", "duration", f"{after}.duration", "-P1D"),
        policy("delete-kind", "objectType", f"{after}.objectType", "Never"),
        policy("no-lifecycle", "lifecycles", f"{KEEP}.lifecycles", []),
        Row("policy in-use", "DELETE", "{policy}", None, 400, "UserErrorDppPolicyObjectInUse",
            "{instance_name}"),
        Row("policy bad-name", "PUT", "{vault}/backupPolicies/a", POLICY, 400, ".*", "name"),
        Row("policy no-vault", "PUT", NEW_VAULT + "/backupPolicies/p123", POLICY, 404,
            "UserErrorGenericResourceNotFound", "new-vault"),
    ]


def instances():
    """Wrong requests about instances, backups, restores and roles."""
    store = f"{INFO}.policyParameters.dataStoreParametersList"

    def put(name, word, *changes, code=INVALID, status=400):
        return Row(f"instance {name}", "PUT", NEW_INSTANCE, but(INSTANCE, *changes), status,
                   code, word)

    def restore(name, word, *changes, code=INVALID, status=400, path="restore"):
        body = but(RESTORE, *changes)
        return Row(f"restore {name}", "POST", f"{{instance}}/{path}", body, status, code, word)

    def backup(name, word, body, code=INVALID, status=400):
        return Row(f"backup {name}", "POST", "{instance}/backup", body, status, code, word)

    def role(name, word, *changes, code=PARAMETER, status=400):
        return Row(f"role {name}", "PUT", NEW_ASSIGNMENT, but(ASSIGNMENT, *changes), status,
                   code, word, ROLES)
    info = f"{TARGET}.datasourceInfo"
    return [
        put("no-properties", "properties", "properties", DROP),
        put("kind", "objectType", "properties.objectType", "Wish"),
        put("no-source", "dataSourceInfo", SOURCE, DROP),
        put("no-disk", "resourceID", f"{SOURCE}.resourceID", DROP),
        put("disk-no-id", "resourceID", f"{SOURCE}.resourceID", "disk1"),
        put("disk-a-vault", "resourceID", f"{SOURCE}.resourceID", "{vault}",
            code=f"{INVALID}|UserErrorDiskBackupDiskTypeNotSupported"),
        put("disk-number", "resourceID", f"{SOURCE}.resourceID", 7),
        put("source-type", "datasourceType", f"{SOURCE}.datasourceType",
            "Microsoft.DBforPostgreSQL/servers/databases",
            code=f"{INVALID}|UserErrorDiskBackupDiskTypeNotSupported"),
        put("no-policy", "policyInfo", INFO, DROP),
        put("no-policy-id", "policyId", f"{INFO}.policyId", DROP),
        put("policy-no-id", "policyId", f"{INFO}.policyId", "policy1"),
        put("policy-absent", "none", f"{INFO}.policyId", "{vault}/backupPolicies/none",
            code=".*", status=(400, 404)),
        put("no-store", "dataStoreParametersList", store, [],
            code=f"{INVALID}|UserErrorOperationalStoreParametersNotProvided"),
        put("store-type", "dataStoreType", f"{store}.0.dataStoreType", "Cellar"),
        put("group-no-id", "resourceGroupId", f"{store}.0.resourceGroupId", "snap",
            code=f"{INVALID}|UserErrorInvalidOperationalStoreResourceGroup"),
        put("wrong-region", "westus", f"{SOURCE}.resourceLocation", "eastus", code=".*"),
        put("validation-word", "validationType", "properties.validationType", "Hope"),
        Row("instance taken", "PUT", NEW_INSTANCE, but(
            INSTANCE, f"{SOURCE}.resourceID", "{disk}"), 400, "UserErrorDpp.*", "{vault}"),
        Row("instance no-wrapper", "POST", "{vault}/validateForBackup", INSTANCE, 400, INVALID,
            "backupInstance"),
        Row("instance absent", "POST", NEW_INSTANCE + "/backup", BACKUP, 404,
            "UserErrorGenericResourceNotFound", "new-instance"),
        backup("empty", "backupRuleOptions", {}),
        backup("no-rule", "ruleName", but(BACKUP, "backupRuleOptions.ruleName", DROP)),
        backup("unknown-rule", "Nightly",
               but(BACKUP, "backupRuleOptions.ruleName", "Nightly")),
        backup("unknown-tag", "Yearly", but(
            BACKUP, "backupRuleOptions.triggerOption.retentionTagOverride", "Yearly")),
        backup("options-text", "triggerOption",
               but(BACKUP, "backupRuleOptions.triggerOption", "Default")),
        backup("no-body", "body", None, code=f"{INVALID}|{CONTENT}"),
        restore("no-point", "recoveryPointId", "recoveryPointId", DROP),
        restore("point-absent", "0" * 32, "recoveryPointId", "0" * 32, code=".*",
                status=(400, 404)),
        restore("point-no-hex", "recoveryPointId", "recoveryPointId", "../../etc", code=".*",
                status=(400, 404)),
        restore("kind", "objectType", "objectType", "AzureBackupWish"),
        restore("time-based", "objectType", "objectType",
                "AzureBackupRecoveryTimeBasedRestoreRequest", code=".*"),
        restore("no-store", "sourceDataStoreType", "sourceDataStoreType", DROP),
        restore("store-word", "sourceDataStoreType", "sourceDataStoreType", "Cellar"),
        restore("vault-store", "sourceDataStoreType", "sourceDataStoreType", "VaultStore"),
        restore("no-target", "restoreTargetInfo", TARGET, DROP),
        restore("target-kind", "objectType", f"{TARGET}.objectType", "ItemLevelWish"),
        restore("files", "objectType", f"{TARGET}.objectType", "RestoreFilesTargetInfo",
                code=".*"),
        restore("option", "recoveryOption", f"{TARGET}.recoveryOption", "Overwrite"),
        restore("no-option", "recoveryOption", f"{TARGET}.recoveryOption", DROP),
        restore("no-info", "datasourceInfo", info, DROP),
        restore("no-disk", "resourceID", f"{info}.resourceID", DROP),
        restore("disk-no-id", "resourceID", f"{info}.resourceID", "disk2"),
        restore("disk-a-group", "resourceID", f"{info}.resourceID", "{target}"),
        restore("region", "ocation", f"{TARGET}.restoreLocation", "eastus", code=".*"),
        restore("group-absent", "resourceGroups/none", f"{info}.resourceID",
                "{root}/resourceGroups/none/providers/Microsoft.Compute/disks/d",
                code="UserErrorRestoreTargetRGNotFound"),
        restore("no-role-on-target", "Disk Restore Operator", f"{info}.resourceID",
                "{group}/providers/Microsoft.Compute/disks/d",
                code="UserErrorMissingRequiredPermissions"),
        restore("name-taken", "{taken}", f"{info}.resourceID", "{taken}",
                code="UserErrorSameNameDiskAlreadyExists"),
        Row("sync word", "POST", "{instance}/sync", {"syncType": "Hope"}, 400, INVALID, "syncType"),
        Row("sync absent", "POST", NEW_INSTANCE + "/sync", {}, 404,
            "UserErrorGenericResourceNotFound", "new-instance"),
        Row("sync a-list", "POST", "{instance}/sync", [], 400, CONTENT, "object"),
        Row("undelete absent", "POST", "{vault}/deletedBackupInstances/gone/undelete", None, 404,
            "UserErrorGenericResourceNotFound", "gone"),
        Row("undelete old-version", "POST", "{vault}/deletedBackupInstances/gone/undelete", None,
            400, "NoRegisteredProviderFound", "2021-01-01", ARTICLE),
        Row("export no-vault", "POST", NEW_VAULT + "/exportBackupJobs", None, 404,
            "UserErrorGenericResourceNotFound", "new-vault"),
        Row("export a-list", "POST", "{vault}/exportBackupJobs", [], 400, CONTENT, "object"),
        Row("export absent", "GET", "{vault}/backupJobs/operations/gone", None, 404,
            "UserErrorGenericResourceNotFound", "gone"),
        Row("jobs filter", "GET", "{vault}/backupJobs?$filter=status eq 'Lost'", None, 400,
            INVALID, "Lost"),
        Row("ranges no-store", "POST", "{instance}/findRestorableTimeRanges", {}, 400, INVALID,
            "sourceDataStoreType"),
        Row("ranges backwards", "POST", "{instance}/findRestorableTimeRanges", {
            "sourceDataStoreType": "OperationalStore", "startTime": "2026-02-01T00:00:00Z",
            "endTime": "2026-01-01T00:00:00Z"}, 400, INVALID, "endTime"),
        Row("rehydrate", "POST", "{instance}/rehydrate", {
            "recoveryPointId": "{point}", "rehydrationRetentionDuration": "P7D"}, 400,
            "OperationNotSupported", "rehydrating"),
        Row("cross-region", "POST", "{group}/providers/Microsoft.DataProtection/locations/westus"
            "/crossRegionRestore", {}, 400, "OperationNotSupported", "region"),
        Row("instances-of bad-skip", "GET", "{disk}/providers/Microsoft.DataProtection"
            "/backupInstances?$skipToken=x", None, 400, "InvalidSkipToken", "skipToken"),
        Row("deleted-vault absent", "GET", "{root}/providers/Microsoft.DataProtection/locations"
            "/westus/deletedVaults/gone", None, 404, "UserErrorGenericResourceNotFound", "gone",
            "2025-09-01"),
        Row("deleted-vaults nowhere", "GET", "{root}/providers/Microsoft.DataProtection/locations"
            "/atlantis/deletedVaults", None, 400, INVALID, "atlantis", "2025-09-01"),
        Row("restored-vault no-id", "PUT", NEW_VAULT, VAULT, 400, INVALID,
            "x-ms-deleted-vault-id", "2025-09-01", {"x-ms-deleted-vault-id": "yesterday"}),
        Row("restored-vault old-version", "PUT", NEW_VAULT, VAULT, 400, INVALID,
            "x-ms-deleted-vault-id", headers={"x-ms-deleted-vault-id": "{vault}"}),
        Row("restored-vault absent", "PUT", NEW_VAULT, VAULT, 404,
            "UserErrorGenericResourceNotFound", "gone", "2025-09-01", {
                "x-ms-deleted-vault-id": "{root}/providers/Microsoft.DataProtection/locations"
                "/westus/deletedVaults/gone"}),
        Row("validate no-wrapper", "POST", "{instance}/validateRestore", {}, 400, INVALID,
            "restoreRequestObject"),
        Row("points filter-date", "GET",
            "{instance}/recoveryPoints?$filter=startDate eq 'soon'", None, 400, INVALID,
            "startDate"),
        Row("points filter-words", "GET", "{instance}/recoveryPoints?$filter=((", None, 400,
            "InvalidFilterInQueryString", "$filter"),
        role("no-properties", "roleDefinitionId", "properties", DROP),
        role("no-principal", "principalId", "properties.principalId", DROP),
        role("principal-no-guid", "principalId", "properties.principalId", "me"),
        role("no-role", "roleDefinitionId", "properties.roleDefinitionId", DROP),
        role("unknown-role", "roleDefinition", "properties.roleDefinitionId",
             "{root}/providers/Microsoft.Authorization/roleDefinitions/"
             "00000000-0000-0000-0000-00000000dead", code="RoleDefinition.*", status=404),
        Row("role no-guid", "PUT", NEW_ASSIGNMENT[:-36] + "mine", ASSIGNMENT, 400,
            "InvalidRoleAssignmentId", "mine", ROLES),
        Row("name-check no-name", "POST", "{group}/providers/Microsoft.DataProtection/locations"
            "/westus/checkNameAvailability", {"type": "x"}, 400, INVALID, "name"),
    ]


ROWS = groups() + compute() + pages() + vaults() + instances()

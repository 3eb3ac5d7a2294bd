//! The roles that come with the product, with Azure's published ids, names and actions:
//! <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles>.

use crate::model::{ResourceId, RoleDefinition};
use serde::Deserialize;
use std::sync::LazyLock;
use uuid::Uuid;

/// Everything.
pub const OWNER: Uuid = Uuid::from_u128(0x8e3a_f657_a8ff_443c_a75c_2fe8_c4bc_b635);
/// Everything but access.
pub const CONTRIBUTOR: Uuid = Uuid::from_u128(0xb249_88ac_6180_42a0_ab88_20f7_382d_d24c);
/// Reads everything.
pub const READER: Uuid = Uuid::from_u128(0xacdd_72a7_3385_48ef_bd42_f606_fba8_1ae7);
/// Gives access.
pub const USER_ACCESS_ADMINISTRATOR: Uuid =
    Uuid::from_u128(0x18d7_d88d_d35e_4fb5_a5c3_7773_c20a_72d9);
/// Gives access by role assignments.
pub const ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR: Uuid =
    Uuid::from_u128(0xf583_10d9_a9f6_439a_9e8d_f62e_7b41_a168);
/// What a vault's identity needs on a protected disk.
pub const DISK_BACKUP_READER: Uuid = Uuid::from_u128(0x3e5e_47e6_65f7_47ef_90b5_e5dd_4d45_5f24);
/// What a vault's identity needs on the snapshot group.
pub const DISK_SNAPSHOT_CONTRIBUTOR: Uuid =
    Uuid::from_u128(0x7eff_f54f_a5b4_42b5_a1c5_5411_6248_93ce);
/// What a vault's identity needs on the group that a disk is restored into.
pub const DISK_RESTORE_OPERATOR: Uuid = Uuid::from_u128(0xb50d_9833_a0cb_478e_945f_707f_cc99_7c13);

/// One entry of the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    id: Uuid,
    name: String,
    description: String,
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    not_actions: Vec<String>,
    #[serde(default)]
    data_actions: Vec<String>,
    #[serde(default)]
    not_data_actions: Vec<String>,
}

/// The file is part of the program and a test reads it. If it could not be read all the same,
/// there are no built-in roles and everything is refused.
static ROLES: LazyLock<Vec<RoleDefinition>> = LazyLock::new(|| {
    let entries: Vec<Entry> = serde_json::from_str(include_str!("roles.json"))
        .inspect_err(|error| tracing::error!(%error, "the built-in roles cannot be read"))
        .unwrap_or_default();
    entries.into_iter().map(definition).collect()
});

fn definition(entry: Entry) -> RoleDefinition {
    RoleDefinition {
        id: entry.id,
        name: entry.name,
        description: entry.description,
        built_in: true,
        actions: entry.actions,
        not_actions: entry.not_actions,
        data_actions: entry.data_actions,
        not_data_actions: entry.not_data_actions,
        assignable_scopes: vec![ResourceId::root()],
    }
}

/// The built-in roles.
#[must_use]
pub fn built_in() -> &'static [RoleDefinition] {
    &ROLES
}

//! What is protected or restored, in the client's own words.

use crate::wire::body::Field;
use crate::wire::error::ArmError;
use serde_json::{Map, Value};
use tresor_core::model::Datasource;

/// The datasource and resource type of disks.
pub(crate) const DISKS: &str = "Microsoft.Compute/disks";

/// Reads a Datasource or DatasourceSet that must be there.
///
/// # Errors
/// When it is absent, or its `resourceID` is no id.
pub(crate) fn read(field: Field<'_>) -> Result<Datasource, ArmError> {
    field.need_object()?;
    let text = |name: &str| -> Result<Option<String>, ArmError> {
        Ok(field.get(name).str()?.map(str::to_owned))
    };
    Ok(Datasource {
        id: field.get("resourceID").need_id()?,
        name: text("resourceName")?,
        resource_type: text("resourceType")?,
        datasource_type: text("datasourceType")?,
        location: text("resourceLocation")?,
        uri: text("resourceUri")?,
    })
}

/// Reads one that may be absent.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_optional(field: Field<'_>) -> Result<Option<Datasource>, ArmError> {
    if field.object()?.is_none() {
        return Ok(None);
    }
    read(field).map(Some)
}

/// One as ARM shows it; `kind` is `Datasource` or `DatasourceSet`.
pub(crate) fn json(datasource: &Datasource, kind: &str) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: &str| {
        out.insert(name.to_owned(), value.into());
    };
    put("resourceID", datasource.id.as_str());
    if let Some(uri) = &datasource.uri {
        put("resourceUri", uri);
    }
    put("datasourceType", datasource.datasource_type.as_deref().unwrap_or(DISKS));
    put("resourceName", datasource.name.as_deref().unwrap_or(datasource.id.name()));
    put("resourceType", datasource.resource_type.as_deref().unwrap_or(DISKS));
    if let Some(location) = &datasource.location {
        put("resourceLocation", location);
    }
    put("objectType", kind);
    Value::Object(out)
}

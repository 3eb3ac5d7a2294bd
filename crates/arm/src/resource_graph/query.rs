//! The two queries of `az dataprotection`, read stage by stage.
//!
//! A query is a table and stages behind `|`. Known are: `where type =~ '...'` with one of two
//! types, the `extend`s of the two commands, `where NAME in~ ('..','..')` with the names that they
//! filter by, and `where properties.startTime > datetime(..)` (also `endTime`). Blanks outside of
//! quotes do not count. An unknown stage refuses the query.

use jiff::Timestamp;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Instances,
    Jobs,
}

/// What rows are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    DatasourceType,
    Group,
    Vault,
    /// The protection state of an instance.
    State,
    Status,
    Operation,
    DatasourceId,
    Id,
    Name,
}

/// One condition; all of a query must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// The column is one of these texts; case does not count.
    In(Column, Vec<String>),
    /// It began after this time.
    StartedAfter(Timestamp),
    /// It ended after this time.
    EndedAfter(Timestamp),
}

/// A query that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) table: Table,
    pub(super) filters: Vec<Filter>,
}

impl Query {
    /// The time after which jobs began, if the query names one.
    pub(super) fn started_after(&self) -> Option<Timestamp> {
        self.filters.iter().find_map(|filter| match filter {
            Filter::StartedAfter(time) => Some(*time),
            Filter::In(..) | Filter::EndedAfter(_) => None,
        })
    }
}

/// Stages that a query may have.
const STAGES_MAX: usize = 40;
const TABLE: &str = "recoveryservicesresources";

const INSTANCE_EXTENDS: [&str; 3] = [
    "vaultName=split(split(id,'/Microsoft.DataProtection/backupVaults/')[1],'/')[0]",
    "protectionState=properties.currentProtectionState",
    "datasourceId=properties.dataSourceInfo.resourceID",
];
const JOB_EXTENDS: [&str; 4] = [
    "vaultName=properties.vaultName",
    "status=properties.status",
    "operation=case(tolower(properties.operationCategory)startswith'backup'and\
     properties.isUserTriggered=='true',strcat('OnDemand',properties.operationCategory),\
     tolower(properties.operationCategory)startswith'backup'and\
     properties.isUserTriggered=='false',strcat('Scheduled',properties.operationCategory),\
     type=~'microsoft.dataprotection/backupVaults/backupJobs',properties.operationCategory,\
     'Invalid')",
    "datasourceId=properties.dataSourceId",
];
const INSTANCE_COLUMNS: [(&str, Column); 7] = [
    ("properties.dataSourceInfo.datasourceType", Column::DatasourceType),
    ("resourceGroup", Column::Group),
    ("vaultName", Column::Vault),
    ("protectionState", Column::State),
    ("datasourceId", Column::DatasourceId),
    ("id", Column::Id),
    ("name", Column::Name),
];
const JOB_COLUMNS: [(&str, Column); 6] = [
    ("properties.dataSourceType", Column::DatasourceType),
    ("resourceGroup", Column::Group),
    ("vaultName", Column::Vault),
    ("operation", Column::Operation),
    ("status", Column::Status),
    ("datasourceId", Column::DatasourceId),
];

/// Reads a query; the error says which stage is not understood.
pub(super) fn parse(text: &str) -> Result<Query, String> {
    let stages = stages(text).ok_or("A quote is not closed, or the query has an escape.")?;
    if stages.len() > STAGES_MAX {
        return Err(format!("A query has at most {STAGES_MAX} stages."));
    }
    let unknown = |stage: &str| {
        let shown: String = stage.chars().take(200).collect();
        format!("The stage '{shown}' is not understood.")
    };
    let mut stages = stages.iter().map(String::as_str);
    let first = stages.next().unwrap_or_default();
    if !first.eq_ignore_ascii_case(TABLE) {
        return Err(unknown(first));
    }
    let kind = stages.next().unwrap_or_default();
    let table = table(kind).ok_or_else(|| unknown(kind))?;
    let mut filters = vec![];
    for stage in stages {
        if let Some(extension) = stage.strip_prefix("extend") {
            let known = match table {
                Table::Instances => INSTANCE_EXTENDS.as_slice(),
                Table::Jobs => JOB_EXTENDS.as_slice(),
            };
            if !known.contains(&extension) {
                return Err(unknown(stage));
            }
        } else {
            filters.push(filter(table, stage).ok_or_else(|| unknown(stage))?);
        }
    }
    Ok(Query { table, filters })
}

fn table(stage: &str) -> Option<Table> {
    let name = stage.strip_prefix("wheretype=~'")?.strip_suffix('\'')?;
    match name.to_ascii_lowercase().as_str() {
        "microsoft.dataprotection/backupvaults/backupinstances" => Some(Table::Instances),
        "microsoft.dataprotection/backupvaults/backupjobs" => Some(Table::Jobs),
        _ => None,
    }
}

fn filter(table: Table, stage: &str) -> Option<Filter> {
    let condition = stage.strip_prefix("where")?;
    let time = |rest: &str| rest.strip_suffix(')')?.parse::<Timestamp>().ok();
    if table == Table::Jobs {
        if let Some(rest) = condition.strip_prefix("properties.startTime>datetime(") {
            return time(rest).map(Filter::StartedAfter);
        }
        if let Some(rest) = condition.strip_prefix("properties.endTime>datetime(") {
            return time(rest).map(Filter::EndedAfter);
        }
    }
    let (name, values) = condition.split_once("in~('")?;
    let values = values.strip_suffix("')")?;
    let known = match table {
        Table::Instances => INSTANCE_COLUMNS.as_slice(),
        Table::Jobs => JOB_COLUMNS.as_slice(),
    };
    let (_, column) = known.iter().find(|(own, _)| *own == name)?;
    let values: Vec<String> = values.split("','").map(str::to_owned).collect();
    // A quote that is left over would end a text somewhere else.
    let whole = values.iter().all(|value| !value.contains('\''));
    whole.then_some(Filter::In(*column, values))
}

/// The stages without the blanks outside of quotes; None when a quote is not closed or something
/// is escaped.
fn stages(text: &str) -> Option<Vec<String>> {
    let mut all = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '\\' => return None,
            '\'' => quoted = !quoted,
            '|' if !quoted => {
                all.push(String::new());
                continue;
            }
            c if c.is_whitespace() && !quoted => continue,
            _ => {}
        }
        if let Some(stage) = all.last_mut() {
            stage.push(c);
        }
    }
    (!quoted).then_some(all)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As the extension builds it.
    pub(in super::super) fn instances(filters: &str) -> String {
        let mut query = "RecoveryServicesResources | where type =~ \
            'microsoft.dataprotection/backupvaults/backupinstances'"
            .to_owned();
        query += "| extend vaultName = \
            split(split(id, '/Microsoft.DataProtection/backupVaults/')[1],'/')[0]";
        query += "| extend protectionState = properties.currentProtectionState";
        query += "| extend datasourceId = properties.dataSourceInfo.resourceID";
        query + filters
    }

    /// As the extension builds it.
    pub(in super::super) fn jobs(filters: &str) -> String {
        let mut query = "RecoveryServicesResources | where type =~ \
            'microsoft.dataprotection/backupvaults/backupjobs'"
            .to_owned();
        query += "| extend vaultName = properties.vaultName";
        query += "| extend status = properties.status";
        let (category, by_user) = ("properties.operationCategory", "properties.isUserTriggered");
        query += &format!(
            "| extend operation = case( tolower({category}) startswith 'backup' and {by_user} == \
             'true', strcat('OnDemand',{category}), tolower({category}) startswith 'backup' and \
             {by_user} == 'false', strcat('Scheduled', {category}), type =~ \
             'microsoft.dataprotection/backupVaults/backupJobs', {category}, 'Invalid')"
        );
        query += "| extend datasourceId = properties.dataSourceId";
        query + filters
    }

    fn one(text: &str) -> Filter {
        let mut found = parse(text).unwrap().filters;
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn the_queries_of_az_are_understood() {
        let plain = parse(&instances("")).unwrap();
        assert_eq!(plain, Query { table: Table::Instances, filters: vec![] });
        for (name, column) in INSTANCE_COLUMNS {
            let found = one(&instances(&format!(" | where {name} in~ ('A b','c')")));
            assert_eq!(found, Filter::In(column, vec!["A b".into(), "c".into()]), "{name}");
        }
        for (name, column) in JOB_COLUMNS {
            let found = one(&jobs(&format!(" | where {name} in~ ('x')")));
            assert_eq!(found, Filter::In(column, vec!["x".into()]), "{name}");
        }
        let time = "2026-01-02T03:04:05Z".parse().unwrap();
        let after = one(&jobs("| where properties.startTime > datetime(2026-01-02T03:04:05Z)"));
        assert_eq!(after, Filter::StartedAfter(time));
        let after = one(&jobs("| where properties.endTime > datetime(2026-01-02T03:04:05.0Z)"));
        assert_eq!(after, Filter::EndedAfter(time));
        let both = jobs(" | where status in~ ('Failed') | where vaultName in~ ('v')");
        assert_eq!(parse(&both).unwrap().filters.len(), 2);
    }

    #[test]
    fn any_other_query_is_refused() {
        for bad in [
            "",
            "resources",
            "resources | where type =~ 'microsoft.dataprotection/backupvaults'",
            "RecoveryServicesResources",
            "RecoveryServicesResources | where type =~ 'microsoft.recoveryservices/vaults'",
            &instances(" | project id"),
            &instances(" | where name =~ 'x'"),
            &instances(" | where status in~ ('x')"),
            &instances(" | where properties.startTime > datetime(2026-01-02T03:04:05Z)"),
            &instances(" | where name in~ ('a') or true"),
            &instances(" | where name in~ ('a'b')"),
            &instances(" | where name in~ ('a' , b')"),
            &instances(" | where name in~ ('a\\')"),
            &instances(" | extend vaultName = name"),
            &instances(&" | where name in~ ('a')".repeat(STAGES_MAX)),
            &jobs(" | where properties.startTime > datetime(soon)"),
            &jobs(" | extend protectionState = properties.currentProtectionState"),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let said = parse(&instances(" | take 5")).unwrap_err();
        assert!(said.contains("'take5'"), "{said}");
    }
}

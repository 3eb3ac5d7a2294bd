//! api-versions: which a route takes, and how they compare.
//!
//! Microsoft.DataProtection takes exactly the versions that Azure published, because clients may
//! rely on a refusal; the other providers take any well-formed date, because one client run mixes
//! a dozen of them and nothing that we serve there changed its shape.

use super::error::ArmError;
use std::fmt;

/// Published versions of Microsoft.DataProtection, oldest first.
pub(crate) const DATA_PROTECTION: [&str; 36] = [
    "2021-01-01",
    "2021-02-01-preview",
    "2021-06-01-preview",
    "2021-07-01",
    "2021-10-01-preview",
    "2021-12-01-preview",
    "2022-01-01",
    "2022-02-01-preview",
    "2022-03-01",
    "2022-03-31-preview",
    "2022-04-01",
    "2022-05-01",
    "2022-09-01-preview",
    "2022-10-01-preview",
    "2022-11-01-preview",
    "2022-12-01",
    "2023-01-01",
    "2023-04-01-preview",
    "2023-05-01",
    "2023-06-01-preview",
    "2023-08-01-preview",
    "2023-11-01",
    "2023-12-01",
    "2024-02-01-preview",
    "2024-03-01",
    "2024-04-01",
    "2025-01-01",
    "2025-02-01",
    "2025-07-01",
    "2025-08-15-preview",
    "2025-09-01",
    "2026-03-01",
    "2026-04-01-preview",
    "2026-06-01",
    "2026-07-01",
    "2026-08-31-preview",
];

/// Versions that clients of the other providers are told about; any other date is taken too.
pub(crate) const OTHERS: [&str; 12] = [
    "2016-02-01",
    "2021-04-01",
    "2022-03-02",
    "2022-04-01",
    "2022-09-01",
    "2022-12-01",
    "2023-04-02",
    "2023-10-02",
    "2024-11-01",
    "2025-01-02",
    "2025-04-01",
    "2026-03-02",
];

/// The versions that a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    /// The list of [`DATA_PROTECTION`].
    DataProtection,
    /// Any well-formed date, with or without a suffix such as `-preview`.
    AnyDate,
    /// None is needed; one that is sent is not looked at.
    None,
}

/// The version of a request; empty where the route needs none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiVersion(String);

impl ApiVersion {
    /// The version as it goes into URLs.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its date is `date` or later; a preview counts as its date.
    pub(crate) fn at_least(&self, date: &str) -> bool {
        self.0.get(..10).is_some_and(|own| own >= date)
    }

    /// Reads the version of a request for a route of provider type `kind`.
    ///
    /// # Errors
    /// When it is missing, malformed, unknown, or older than the route.
    pub(crate) fn read(
        query: Option<&str>,
        versions: Versions,
        since: Option<&str>,
        kind: &str,
        location: &str,
    ) -> Result<Self, ArmError> {
        if versions == Versions::None {
            return Ok(Self(query.unwrap_or_default().to_owned()));
        }
        let Some(text) = query else {
            return Err(ArmError::bad(
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            ));
        };
        let text = text.to_ascii_lowercase();
        let well_formed = is_version(&text);
        let found = Self(text);
        let new_enough = since.is_none_or(|date| found.at_least(date));
        match versions {
            Versions::DataProtection if DATA_PROTECTION.contains(&found.as_str()) && new_enough => {
                Ok(found)
            }
            Versions::AnyDate if well_formed && new_enough => Ok(found),
            Versions::DataProtection => Err(unregistered(&found, since, kind, location)),
            _ => Err(ArmError::bad(
                "InvalidApiVersionParameter",
                format!(
                    "The api-version '{found}' is invalid. The supported versions are '{}' and \
                     any other date written as YYYY-MM-DD.",
                    OTHERS.join(",")
                ),
            )),
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn unregistered(found: &ApiVersion, since: Option<&str>, kind: &str, location: &str) -> ArmError {
    let known: Vec<&str> = DATA_PROTECTION
        .iter()
        .filter(|v| since.is_none_or(|date| v.get(..10).is_some_and(|own| own >= date)))
        .copied()
        .collect();
    ArmError::bad(
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for location '{location}' and API version \
             '{found}' for type '{kind}'. The supported api-versions are '{}'. The supported \
             locations are '{location}'.",
            known.join(", ")
        ),
    )
}

/// `YYYY-MM-DD` of a real month and day, then nothing or `-word`.
fn is_version(text: &str) -> bool {
    let (date, suffix) = match text.split_at_checked(10) {
        Some(parts) => parts,
        None => return false,
    };
    let suffix_ok = suffix.is_empty()
        || suffix.strip_prefix('-').is_some_and(|word| {
            !word.is_empty() && word.len() <= 20 && word.chars().all(|c| c.is_ascii_alphanumeric())
        });
    suffix_ok
        && date.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && date.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: Option<&str>, versions: Versions) -> Result<ApiVersion, ArmError> {
        ApiVersion::read(text, versions, None, "backupVaults", "westus")
    }

    #[test]
    fn the_list_is_sorted_and_well_formed() {
        assert!(DATA_PROTECTION.is_sorted());
        assert!(DATA_PROTECTION.iter().chain(&OTHERS).all(|v| is_version(v)));
    }

    #[test]
    fn data_protection_takes_its_list_only() {
        let newest = read(Some("2026-08-31-PREVIEW"), Versions::DataProtection).unwrap();
        assert!(newest.at_least("2025-09-01") && !newest.at_least("2026-09-01"));
        let wrong = read(Some("2024-01-01"), Versions::DataProtection).unwrap_err();
        assert_eq!(wrong.code, "NoRegisteredProviderFound");
        assert!(wrong.message.contains("2021-01-01, 2021-02-01-preview"));
        let missing = read(None, Versions::DataProtection).unwrap_err();
        assert_eq!(missing.code, "MissingApiVersionParameter");
    }

    #[test]
    fn a_route_is_absent_before_its_time() {
        let old = ApiVersion::read(
            Some("2021-01-01"),
            Versions::DataProtection,
            Some("2022-01-01"),
            "backupVaults",
            "westus",
        );
        assert!(!old.unwrap_err().message.contains("2021-01-01, "));
    }

    #[test]
    fn others_take_any_real_date() {
        assert!(read(Some("2025-05-31-preview"), Versions::AnyDate).is_ok());
        for bad in ["2025-13-01", "2025-1-1", "x", "2025-01-01-", "2025-01-01preview", "+025-01-01"]
        {
            let error = read(Some(bad), Versions::AnyDate).unwrap_err();
            assert_eq!(error.code, "InvalidApiVersionParameter", "{bad}");
        }
        assert_eq!(read(None, Versions::None).unwrap().as_str(), "");
    }
}

//! The clients of the client tests, and how the log tells one from the other.

/// A client, in the order in which the document names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    /// The Azure command line.
    Az,
    /// The Azure SDKs for Python, the newest.
    Python2,
    /// azure-mgmt-dataprotection 1.4 for Python.
    Python14,
    /// The Azure SDKs for JavaScript.
    Js,
    /// Requests after the rules of Terraform's provider.
    Terraform,
    /// Requests after the rules of azcopy.
    Azcopy,
    /// The service's own command line.
    Cli,
    /// HTTP without a library.
    Raw,
}

impl Client {
    pub(super) const ALL: [Self; 8] = [
        Self::Az,
        Self::Python2,
        Self::Python14,
        Self::Js,
        Self::Terraform,
        Self::Azcopy,
        Self::Cli,
        Self::Raw,
    ];

    /// The name in the document.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Az => "az",
            Self::Python2 => "Python 2",
            Self::Python14 => "Python 1.4",
            Self::Js => "JS",
            Self::Terraform => "Terraform rules",
            Self::Azcopy => "azcopy rules",
            Self::Cli => "CLI",
            Self::Raw => "raw HTTP",
        }
    }

    /// The client of a request, from the part of the tests that ran and its `User-Agent`. A
    /// client that is not known here, such as a generator of requests, proves nothing.
    pub(super) fn of(part: &str, agent: &str) -> Option<Self> {
        let begins = |word: &str| agent.starts_with(word);
        if agent.is_empty() {
            return Some(Self::Raw);
        }
        if begins("terraform-rules/") {
            return Some(Self::Terraform);
        }
        if begins("azcopy-rules/") {
            return Some(Self::Azcopy);
        }
        if begins("tresor/") || begins("tresor-cli/") {
            return Some(Self::Cli);
        }
        if agent.contains("azsdk-python-mgmt-dataprotection/1.") {
            return Some(Self::Python14);
        }
        match part {
            // Its libraries come along with names of their own.
            "az" => Some(Self::Az),
            "js" => Some(Self::Js),
            _ if agent.contains("azsdk-python") => Some(Self::Python2),
            _ => None,
        }
    }
}

//! What an operator can choose about the wire.

use super::limit::Rates;
use std::time::Duration;

/// Choices about the wire; every bound has a default.
#[derive(Clone, Debug)]
pub struct WireSettings {
    /// The address that answers are built with, such as `https://backup.example:8443`; None takes
    /// it from each request's host.
    pub base_url: Option<String>,
    /// What polls are told to wait.
    pub retry_after: RetryAfter,
    /// How long a poll of a running operation is held open.
    pub poll_hold: Duration,
    /// Polls held at once, half of them for one principal; further ones are answered at once.
    pub max_polls: usize,
    /// Bytes of a request body.
    pub max_body: usize,
    /// Bytes of a request's path and query.
    pub max_target: usize,
    /// Requests with a token worked on at once; further ones are told to come back.
    pub max_requests: usize,
    /// Time that one request may take.
    pub request_timeout: Duration,
    /// How long a token is good, from 10 minutes to a day.
    pub token_lifetime: Duration,
    /// How long a key signs tokens before the next one does.
    pub signing_key_lifetime: Duration,
    /// Limits over time.
    pub rates: Rates,
}

impl Default for WireSettings {
    fn default() -> Self {
        Self {
            base_url: None,
            retry_after: RetryAfter::Tresor,
            poll_hold: Duration::from_secs(1),
            max_polls: 256,
            max_body: 4 << 20,
            max_target: 8 << 10,
            max_requests: 1024,
            request_timeout: Duration::from_secs(60),
            token_lifetime: Duration::from_secs(3600),
            signing_key_lifetime: Duration::from_secs(30 * 86_400),
            rates: Rates::default(),
        }
    }
}

/// What polls are told to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// One second: operations here are short.
    Tresor,
    /// Azure's own figures of 10, 15 and 30 seconds.
    Azure,
}

impl RetryAfter {
    /// The seconds to send where Azure sends `azure`; never 0, which clients read as absent.
    pub(crate) fn seconds(self, azure: u32) -> u32 {
        match self {
            Self::Tresor => 1,
            Self::Azure => azure.max(1),
        }
    }
}

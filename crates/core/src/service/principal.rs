//! Principals that sign in with secrets: made, found, given secrets, and deleted.
//!
//! What must always hold: a secret is known to nobody but whoever was given it once; the service
//! keeps its digest. Whether a secret is good is decided by the real clock at each sign-in. Nobody
//! can take away the last way in: somebody who can sign in stays Owner at the root.

use super::{Caller, Service};
use crate::access;
use crate::catalogue::{PAGE_MAX, Page, Write};
use crate::error::{Error, Fault, FaultKind, Result};
use crate::model::{ClientSecret, Principal, PrincipalKind, ResourceId};
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};
use sha2::{Digest, Sha256};
use tresor_store::env::Env;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Secrets that a principal may have at a time.
pub const SECRETS_MAX: usize = 20;
/// Applications and identities, all together; no further application is made beyond it.
pub const PRINCIPALS_MAX: u64 = 5000;
/// Characters of the name of a principal or of a secret.
pub const PRINCIPAL_NAME_MAX: usize = 120;

/// The right to make principals and to give and take secrets, at the root: whoever may give roles
/// there could make an Owner anyway, and nobody else may.
pub const PRINCIPAL_WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
/// The right to delete principals, at the root.
pub const PRINCIPAL_DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";

/// A secret counts as a way in that stays only when it is good for so long.
const STAYS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Years that a secret is good when nobody says.
const YEARS: i64 = 2;

/// A secret as a client wants it.
#[derive(Clone, Debug, Default)]
pub struct SecretSpec {
    /// Name shown to people.
    pub name: Option<String>,
    /// First instant at which it is good; None is now.
    pub starts: Option<Timestamp>,
    /// First instant at which it is not good any more; None is two years after its start.
    pub ends: Option<Timestamp>,
}

/// What a sign-in comes to.
#[derive(Debug)]
pub enum SignIn {
    /// Client and secret fit.
    Granted(Principal),
    /// They fit, but the secret's time has not begun or is over.
    Expired,
    /// They do not fit, or there is no such client.
    Wrong,
}

/// Which principals a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalQuery {
    /// All.
    All,
    /// Those of this name; case does not count.
    Named(String),
    /// Those whose name begins so; case does not count.
    Prefix(String),
}

impl PrincipalQuery {
    fn takes(&self, principal: &Principal) -> bool {
        let name = principal.name.to_lowercase();
        match self {
            Self::All => true,
            Self::Named(wanted) => name == wanted.to_lowercase(),
            Self::Prefix(wanted) => name.starts_with(&wanted.to_lowercase()),
        }
    }
}

/// A change that may take the last way in away.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss<'a> {
    /// Of a principal.
    Principal(Uuid),
    /// Of a secret of a principal.
    Secret(Uuid, Uuid),
    /// Of a role assignment.
    Assignment(&'a ResourceId),
}

impl Service {
    /// Signs in with a client id and secret.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn authenticate(&self, client_id: Uuid, secret: &str) -> Result<SignIn> {
        let found = self.catalogue.principal_by_client(client_id).await?;
        let digest: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let now = self.env.real();
        let Some(principal) = found.filter(|p| p.kind == PrincipalKind::Application) else {
            return Ok(SignIn::Wrong);
        };
        let mut fitting = principal.secrets.iter().filter(|kept| {
            aws_lc_rs::constant_time::verify_slices_are_equal(&kept.digest, &digest).is_ok()
        });
        Ok(match fitting.next().map(|kept| kept.is_good(now)) {
            Some(true) => SignIn::Granted(principal),
            Some(false) => SignIn::Expired,
            None => SignIn::Wrong,
        })
    }

    /// The principal that signs in with this id and secret; None when they do not fit.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn sign_in(&self, client_id: Uuid, secret: &str) -> Result<Option<Principal>> {
        Ok(match self.authenticate(client_id, secret).await? {
            SignIn::Granted(principal) => Some(principal),
            SignIn::Expired | SignIn::Wrong => None,
        })
    }

    /// A principal.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn principal(&self, object_id: Uuid) -> Result<Option<Principal>> {
        Ok(self.catalogue.principal(object_id).await?)
    }

    /// A principal by its client id.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn principal_by_client(&self, client_id: Uuid) -> Result<Option<Principal>> {
        Ok(self.catalogue.principal_by_client(client_id).await?)
    }

    /// Principals in order of their object ids.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn principals(
        &self,
        query: &PrincipalQuery,
        mut after: Option<String>,
        limit: u32,
    ) -> Result<Page<Principal>> {
        let limit = usize::try_from(limit.clamp(1, PAGE_MAX)).unwrap_or(1);
        let mut rows = vec![];
        loop {
            let page = self.catalogue.principals(after.as_deref(), PAGE_MAX).await?;
            for row in page.rows.into_iter().filter(|row| query.takes(row)) {
                // One more than the page holds tells whether there is a next page.
                if rows.len() == limit {
                    let last = rows.last().map(|row: &Principal| row.object_id.to_string());
                    return Ok(Page { rows, after: last });
                }
                rows.push(row);
            }
            match page.after {
                Some(next) => after = Some(next),
                None => return Ok(Page { rows, after: None }),
            }
        }
    }

    /// Makes an application that can sign in once it has a secret.
    ///
    /// # Errors
    /// `Forbidden`, `InvalidInput` with the field, `LimitReached`.
    pub async fn principal_make(&self, caller: &Caller, name: &str) -> Result<Principal> {
        self.allow(caller, PRINCIPAL_WRITE, &ResourceId::root()).await?;
        let name = checked_name("displayName", name)?;
        let _change = self.change.lock().await;
        self.check_principal_count().await?;
        let principal = Principal {
            object_id: self.env.uuid(),
            client_id: self.env.uuid(),
            name,
            kind: PrincipalKind::Application,
            secrets: vec![],
            created: Some(self.env.domain()),
            resource: None,
        };
        self.apply(vec![Write::PutPrincipal(principal.clone())]).await?;
        Ok(principal)
    }

    pub(super) async fn check_principal_count(&self) -> Result<()> {
        if self.catalogue.principal_count().await? < PRINCIPALS_MAX {
            return Ok(());
        }
        let message = format!("There are {PRINCIPALS_MAX} principals; no more can be made.");
        Err(Fault::new(FaultKind::LimitReached, message)
            .advise("Delete those that nobody needs.")
            .into())
    }

    /// Deletes an application with its role assignments; its tokens end at once. False when there
    /// was none.
    ///
    /// # Errors
    /// `Forbidden`, `LastOwner`, and `Unsupported` for a managed identity, which goes with its
    /// resource.
    pub async fn principal_delete(&self, caller: &Caller, object_id: Uuid) -> Result<bool> {
        self.allow(caller, PRINCIPAL_DELETE, &ResourceId::root()).await?;
        let _change = self.change.lock().await;
        let Some(found) = self.catalogue.principal(object_id).await? else {
            return Ok(false);
        };
        application(&found)?;
        self.keep_an_owner(Loss::Principal(object_id)).await?;
        self.apply(vec![Write::DeletePrincipal(object_id)]).await?;
        Ok(true)
    }

    /// Gives an application a new secret beside those it has. The secret is in the answer and
    /// nowhere else.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `LimitReached`, `InvalidInput` with the field.
    pub async fn secret_add(
        &self,
        caller: &Caller,
        object_id: Uuid,
        spec: SecretSpec,
    ) -> Result<(ClientSecret, Zeroizing<String>)> {
        self.allow(caller, PRINCIPAL_WRITE, &ResourceId::root()).await?;
        let _change = self.change.lock().await;
        let mut principal = self.applied(object_id).await?;
        if principal.secrets.len() >= SECRETS_MAX {
            let message = format!("The principal has {SECRETS_MAX} secrets, which is the most.");
            return Err(Fault::new(FaultKind::LimitReached, message)
                .advise("Remove those that are not used any more.")
                .into());
        }
        let field = "passwordCredential.displayName";
        let name = spec.name.map(|name| checked_name(field, &name)).transpose()?;
        let (starts, ends) = times(self.env.real(), spec.starts, spec.ends)?;
        let (kept, secret) = fresh(&self.env, name, starts, Some(ends));
        principal.secrets.push(kept.clone());
        self.apply(vec![Write::PutPrincipal(principal)]).await?;
        Ok((kept, secret))
    }

    /// Takes a secret away. Tokens that were given for it stay good until they end.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`, `LastOwner`.
    pub async fn secret_remove(&self, caller: &Caller, object_id: Uuid, id: Uuid) -> Result<()> {
        self.allow(caller, PRINCIPAL_WRITE, &ResourceId::root()).await?;
        let _change = self.change.lock().await;
        let mut principal = self.applied(object_id).await?;
        let before = principal.secrets.len();
        principal.secrets.retain(|secret| secret.id != id);
        if principal.secrets.len() == before {
            return Err(Fault::not_found("password credential", id).at("keyId").into());
        }
        self.keep_an_owner(Loss::Secret(object_id, id)).await?;
        self.apply(vec![Write::PutPrincipal(principal)]).await
    }

    async fn applied(&self, object_id: Uuid) -> Result<Principal> {
        let found = self.catalogue.principal(object_id).await?;
        let found = found.ok_or_else(|| Fault::not_found("service principal", object_id))?;
        application(&found)?;
        Ok(found)
    }

    /// Refuses a change after which nobody who can sign in is Owner at the root.
    pub(super) async fn keep_an_owner(&self, loss: Loss<'_>) -> Result<()> {
        let root = ResourceId::root();
        let now = self.env.real();
        let later = now.saturating_add(STAYS).unwrap_or(now);
        let (mut before, mut after) = (false, false);
        for given in self.catalogue.assignments_near(&root, false).await? {
            if given.role != access::OWNER || given.scope != root {
                continue;
            }
            let Some(owner) = self.catalogue.principal(given.principal).await? else {
                continue;
            };
            let id = owner.object_id;
            before |= owner.secrets.iter().any(|secret| secret.is_good(now));
            let gone = match loss {
                Loss::Principal(lost) => lost == id,
                Loss::Assignment(lost) => *lost == given.id,
                Loss::Secret(..) => false,
            };
            after |= !gone
                && owner.secrets.iter().any(|secret| {
                    let lost =
                        matches!(loss, Loss::Secret(of, lost) if of == id && lost == secret.id);
                    !lost && secret.is_good(now) && secret.is_good(later)
                });
        }
        if after || !before {
            return Ok(());
        }
        let message = "This would leave nobody who can sign in and is Owner at the scope '/'.";
        Err(Fault::new(FaultKind::LastOwner, message)
            .advise(
                "First give another principal the role Owner at '/', or this one another secret \
                 that is good for more than a week.",
            )
            .into())
    }
}

/// Only applications have secrets and are deleted by themselves.
fn application(principal: &Principal) -> Result<()> {
    if principal.kind == PrincipalKind::Application {
        return Ok(());
    }
    let message = format!(
        "'{}' is a managed identity: it has no secrets and goes with its resource.",
        principal.object_id
    );
    Err(Fault::new(FaultKind::Unsupported, message).into())
}

fn checked_name(field: &str, name: &str) -> Result<String> {
    let name = name.trim();
    let length = name.chars().count();
    if (1..=PRINCIPAL_NAME_MAX).contains(&length) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    let message = format!("{field}: must have 1 to {PRINCIPAL_NAME_MAX} characters.");
    Err(Fault::invalid(field, message).into())
}

/// When a secret is good.
fn times(
    now: Timestamp,
    starts: Option<Timestamp>,
    ends: Option<Timestamp>,
) -> Result<(Timestamp, Timestamp)> {
    let starts = starts.unwrap_or(now);
    let field = "passwordCredential.endDateTime";
    let wrong = |message: &str| Error::from(Fault::invalid(field, message));
    let default = || {
        let later = starts.to_zoned(TimeZone::UTC).checked_add(Span::new().years(YEARS));
        later.map(|at| at.timestamp()).map_err(|_| wrong("endDateTime: it is too far away."))
    };
    let ends = ends.map_or_else(default, Ok)?;
    if ends <= starts || ends <= now {
        return Err(wrong("endDateTime: must come after the start, and after now."));
    }
    Ok((starts, ends))
}

/// A new secret: 64 hex digits, so that no shell and no form changes it.
pub(super) fn fresh(
    env: &Env,
    name: Option<String>,
    starts: Timestamp,
    ends: Option<Timestamp>,
) -> (ClientSecret, Zeroizing<String>) {
    let random = Zeroizing::new(env.bytes::<32>());
    // The whole size is taken at once, so that no half of it stays behind in freed memory.
    let mut secret = Zeroizing::new(String::with_capacity(random.len() * 2));
    for byte in random.iter() {
        for nibble in [byte >> 4, byte & 15] {
            secret.push(char::from_digit(u32::from(nibble), 16).unwrap_or_default());
        }
    }
    let kept = ClientSecret {
        id: env.uuid(),
        name,
        starts,
        ends,
        hint: secret.chars().take(3).collect(),
        digest: Sha256::digest(secret.as_bytes()).into(),
    };
    (kept, secret)
}

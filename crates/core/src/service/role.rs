//! Roles, assignments and the question whether somebody may do something.

use super::principal::Loss;
use super::{Caller, Service};
use crate::access;
use crate::catalogue::Write;
use crate::error::{Fault, FaultKind, Result};
use crate::model::{ResourceId, RoleAssignment, RoleDefinition};
use uuid::Uuid;

/// The right to define a role somewhere.
const ROLE_WRITE: &str = "Microsoft.Authorization/roleDefinitions/write";
/// The right to delete one.
const ROLE_DELETE: &str = "Microsoft.Authorization/roleDefinitions/delete";

/// Custom roles that there may be: every decision reads them.
pub const ROLES_MAX: usize = 500;
/// Role assignments that there may be, as in a subscription of Azure.
pub const ASSIGNMENTS_MAX: usize = 4000;

/// A role assignment as a client wants it.
#[derive(Clone, Debug)]
pub struct AssignmentSpec {
    /// Its id.
    pub id: ResourceId,
    /// Where it holds.
    pub scope: ResourceId,
    /// The role.
    pub role: Uuid,
    /// Who gets it.
    pub principal: Uuid,
    /// `ServicePrincipal`, `User`, ...
    pub principal_type: Option<String>,
    /// Free text.
    pub description: Option<String>,
}

/// What somebody may do, for a question about many things at one moment.
#[derive(Debug)]
pub struct Rights {
    assignments: Vec<RoleAssignment>,
    custom: Vec<RoleDefinition>,
}

impl Rights {
    /// Whether they allow an action at a scope.
    #[must_use]
    pub fn allow(&self, action: &str, scope: &ResourceId) -> bool {
        access::decide(&self.assignments, |id| role_of(&self.custom, id), action, scope)
    }
}

impl Service {
    /// What the caller may do now. Not to be kept: a role that is taken away must count at once.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn rights(&self, caller: &Caller) -> Result<Rights> {
        let assignments = self.catalogue.assignments_of(caller.object_id).await?;
        Ok(Rights { assignments, custom: self.catalogue.roles().await? })
    }

    /// Whether the caller may do `action` at `scope`; a missing right is a fault.
    ///
    /// # Errors
    /// `Forbidden`, with action and scope in the message.
    pub async fn allow(&self, caller: &Caller, action: &str, scope: &ResourceId) -> Result<()> {
        if self.rights(caller).await?.allow(action, scope) {
            return Ok(());
        }
        let message = format!(
            "The client '{}' with object id '{}' does not have authorization to perform action \
             '{action}' over scope '{scope}' or the scope is invalid.",
            caller.client_id, caller.object_id
        );
        Err(Fault::new(FaultKind::Forbidden, message)
            .at(scope.as_str())
            .advise("Ask an owner of the scope for a role assignment that allows the action.")
            .into())
    }

    /// At which of these scopes the caller may do `action`.
    pub(crate) async fn allowed(
        &self,
        caller: &Caller,
        action: &str,
        mut scopes: Vec<ResourceId>,
    ) -> Result<Vec<ResourceId>> {
        let rights = self.rights(caller).await?;
        scopes.retain(|scope| rights.allow(action, scope));
        Ok(scopes)
    }

    /// Which of these needs a principal lacks.
    pub(crate) async fn missing(
        &self,
        principal: Uuid,
        needs: Vec<access::Need>,
    ) -> Result<Vec<access::Need>> {
        let assignments = self.catalogue.assignments_of(principal).await?;
        let custom = self.catalogue.roles().await?;
        Ok(access::missing(&needs, &assignments, |id| role_of(&custom, id)))
    }

    /// All roles, built-in ones first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn role_definitions(&self) -> Result<Vec<RoleDefinition>> {
        let mut roles = access::built_in().to_vec();
        roles.extend(self.catalogue.roles().await?);
        Ok(roles)
    }

    /// Makes or changes a custom role. The caller must be allowed to wherever it can be assigned,
    /// and wherever it could be before: else whoever may define roles in one place could take over
    /// a role that is assigned in another.
    ///
    /// # Errors
    /// When the id is that of a built-in role, the name is taken, or a bound of
    /// [`access::check_role`] does not hold; `LimitReached`, `Forbidden`.
    pub async fn role_put(&self, caller: &Caller, role: RoleDefinition) -> Result<RoleDefinition> {
        access::check_role(&role)?;
        let _change = self.change.lock().await;
        let ours = self.subscription.to_string();
        for at in &role.assignable_scopes {
            if *at != ResourceId::root() && at.subscription() != Some(ours.as_str()) {
                let field = "properties.assignableScopes";
                let message = format!("assignableScopes: '{at}' is not in this subscription.");
                return Err(Fault::invalid(field, message).into());
            }
            self.allow(caller, ROLE_WRITE, at).await?;
        }
        let known = self.role_definitions().await?;
        let custom = known.iter().filter(|known| !known.built_in);
        if custom.clone().all(|known| known.id != role.id) && custom.count() >= ROLES_MAX {
            let message = format!("There are {ROLES_MAX} custom roles; no more can be made.");
            return Err(Fault::new(FaultKind::LimitReached, message).into());
        }
        for other in known {
            if other.id == role.id && other.built_in {
                return Err(Fault::invalid("name", "A built-in role cannot be changed.").into());
            }
            if other.id == role.id {
                for at in &other.assignable_scopes {
                    self.allow(caller, ROLE_WRITE, at).await?;
                }
            }
            if other.id != role.id && other.name.eq_ignore_ascii_case(&role.name) {
                let message = format!("The role name '{}' is taken.", role.name);
                return Err(Fault::new(FaultKind::Conflict, message)
                    .at("properties.roleName")
                    .into());
            }
        }
        self.apply(vec![Write::PutRole(role.clone())]).await?;
        Ok(role)
    }

    /// Deletes a custom role, which the caller must be allowed to wherever it can be assigned; None
    /// when there was none.
    ///
    /// # Errors
    /// When it is built-in or still assigned; `Forbidden`.
    pub async fn role_delete(&self, caller: &Caller, id: Uuid) -> Result<Option<RoleDefinition>> {
        let _change = self.change.lock().await;
        let Some(role) = self.role_definitions().await?.into_iter().find(|r| r.id == id) else {
            return Ok(None);
        };
        if role.built_in {
            return Err(Fault::invalid("name", "A built-in role cannot be deleted.").into());
        }
        for at in &role.assignable_scopes {
            self.allow(caller, ROLE_DELETE, at).await?;
        }
        let everywhere = self.catalogue.assignments_near(&ResourceId::root(), true).await?;
        if everywhere.iter().any(|a| a.role == id) {
            let message = format!("The role '{}' is still assigned.", role.name);
            return Err(Fault::new(FaultKind::RoleDefinitionInUse, message)
                .advise("Delete its role assignments first.")
                .into());
        }
        self.apply(vec![Write::DeleteRole(id)]).await?;
        Ok(Some(role))
    }

    /// Makes a role assignment; false when the very same one was there.
    ///
    /// # Errors
    /// `RoleAssignmentExists` when id or meaning is taken, `RoleDefinitionNotFound`,
    /// `LimitReached`, and `InvalidInput` where the role cannot be assigned.
    pub async fn assignment_put(
        &self,
        caller: &Caller,
        spec: AssignmentSpec,
    ) -> Result<(RoleAssignment, bool)> {
        let _change = self.change.lock().await;
        let known = self.role_definitions().await?;
        let field = "properties.roleDefinitionId";
        let Some(role) = known.iter().find(|r| r.id == spec.role) else {
            let message = format!("The role definition '{}' does not exist.", spec.role);
            return Err(Fault::new(FaultKind::RoleDefinitionNotFound, message).at(field).into());
        };
        if let Some(old) = self.catalogue.assignment(&spec.id).await? {
            let same =
                (&old.scope, old.role, old.principal) == (&spec.scope, spec.role, spec.principal);
            return if same { Ok((old, false)) } else { Err(exists(&old.id)) };
        }
        if !role.built_in && !role.assignable_scopes.iter().any(|s| spec.scope.is_within(s)) {
            let message = format!(
                "roleDefinitionId: the role '{}' cannot be assigned at '{}', which lies in none of \
                 its assignable scopes.",
                role.name, spec.scope
            );
            return Err(Fault::invalid(field, message).into());
        }
        access::check_text("properties.description", spec.description.as_deref().unwrap_or(""))?;
        let everywhere = self.catalogue.assignments_near(&ResourceId::root(), true).await?;
        if everywhere.len() >= ASSIGNMENTS_MAX {
            let message = format!("There are {ASSIGNMENTS_MAX} role assignments; no more fit.");
            return Err(Fault::new(FaultKind::LimitReached, message).into());
        }
        let new = RoleAssignment {
            id: spec.id,
            scope: spec.scope,
            role: spec.role,
            principal: spec.principal,
            principal_type: spec.principal_type.unwrap_or_else(|| "ServicePrincipal".into()),
            description: spec.description,
            created_by: caller.object_id.to_string(),
            created_at: self.env.domain(),
        };
        let held = self.catalogue.assignments_of(new.principal).await?;
        if let Some(old) = held.iter().find(|a| a.role == new.role && a.scope == new.scope) {
            return Err(exists(&old.id));
        }
        self.apply(vec![Write::AddAssignment(new.clone())]).await?;
        Ok((new, true))
    }

    /// Deletes a role assignment; None when there was none.
    ///
    /// # Errors
    /// `LastOwner` when nobody who can sign in would stay Owner at the root.
    pub async fn assignment_delete(
        &self,
        _caller: &Caller,
        id: &ResourceId,
    ) -> Result<Option<RoleAssignment>> {
        let _change = self.change.lock().await;
        let Some(old) = self.catalogue.assignment(id).await? else {
            return Ok(None);
        };
        self.keep_an_owner(Loss::Assignment(&old.id)).await?;
        self.apply(vec![Write::DeleteAssignment(id.clone())]).await?;
        Ok(Some(old))
    }

    /// A role assignment.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn assignment(&self, id: &ResourceId) -> Result<Option<RoleAssignment>> {
        Ok(self.catalogue.assignment(id).await?)
    }

    /// Assignments at or below a scope, or at or above it.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn assignments(
        &self,
        scope: &ResourceId,
        below: bool,
    ) -> Result<Vec<RoleAssignment>> {
        Ok(self.catalogue.assignments_near(scope, below).await?)
    }

    /// All assignments of a principal.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn assignments_of(&self, principal: Uuid) -> Result<Vec<RoleAssignment>> {
        Ok(self.catalogue.assignments_of(principal).await?)
    }
}

pub(super) fn role_of(custom: &[RoleDefinition], id: Uuid) -> Option<&RoleDefinition> {
    access::built_in().iter().chain(custom).find(|r| r.id == id)
}

fn exists(id: &ResourceId) -> crate::error::Error {
    let message = format!("The role assignment already exists: '{id}'.");
    Fault::new(FaultKind::RoleAssignmentExists, message).at(id.as_str()).into()
}

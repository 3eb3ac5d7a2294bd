//! A whole service in a temporary folder, asked over HTTP without a socket.

use crate::table::{Route, Table, routes};
use crate::wire::settings::WireSettings;
use crate::{App, wire};
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tempfile::TempDir;
use tresor_core::audit::AuditSettings;
use tresor_core::hook::Hooks;
use tresor_core::limits::Limits;
use tresor_core::model::{Principal, PrincipalKind};
use tresor_core::service::{FirstStart, Service, Settings};
use tresor_store::StoreConfig;
use tresor_store::env::Env;
use uuid::Uuid;

/// The address that tests ask.
pub(crate) const HOST: &str = "localhost:8443";
/// An api-version that every provider takes.
pub(crate) const VERSION: &str = "2026-06-01";

/// A running service and the owner's token.
pub(crate) struct Site {
    pub(crate) app: Arc<App>,
    pub(crate) first: FirstStart,
    pub(crate) token: String,
    folder: TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answered {
    /// The path and query of a URL of this service in a header.
    pub(crate) fn path(&self, name: &str) -> String {
        let url = self.header(name);
        let path = url.strip_prefix("https://localhost:8443");
        path.unwrap_or_else(|| panic!("{name}: {url}")).to_owned()
    }

    /// The code of an error answer.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// A header.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Site {
    /// A service with every route.
    pub(crate) async fn new() -> Self {
        Self::with(routes(), WireSettings::default()).await
    }

    /// A service with these routes and choices.
    pub(crate) async fn with(routes: Vec<Route>, wire: WireSettings) -> Self {
        let site = Self::idle(routes, wire).await;
        site.app.service.start().await;
        site
    }

    /// The same, whose workers wait to be started.
    pub(crate) async fn idle(routes: Vec<Route>, wire: WireSettings) -> Self {
        Self::of(routes, wire, Env::system()).await
    }

    /// The same with time and chance of the test's own.
    pub(crate) async fn of(routes: Vec<Route>, wire: WireSettings, env: Env) -> Self {
        Self::made(routes, wire, env, Hooks::new(None)).await
    }

    /// The same with this environment and these hooks.
    pub(crate) async fn made(
        routes: Vec<Route>,
        wire: WireSettings,
        env: Env,
        hooks: Hooks,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            pool: folder.path().join("disks"),
            store: folder.path().join("store"),
            import: vec![],
            limits: Limits::None,
            workers: 1,
            locations: vec!["westus".into(), "eastus".into()],
            store_config: StoreConfig::default(),
            volatile: false,
            hooks: Some(Arc::new(hooks)),
            audit: AuditSettings::default(),
        };
        let data = folder.path().join("data");
        let (service, first) = Service::open(&data, settings, env).await.unwrap();
        let mut app = App::open(service, wire).unwrap();
        app.table = Table::new(routes);
        let app = Arc::new(app);
        let first = first.unwrap();
        let mut site = Self { app, first, token: String::new(), folder };
        site.token = site.sign_in().await;
        site
    }

    /// The data folder.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    async fn sign_in(&self) -> String {
        let secret = self.first.client_secret.as_str();
        let found = self.app.service.sign_in(self.first.client_id, secret).await.unwrap();
        self.token_of(&found.unwrap())
    }

    /// A token for a principal.
    pub(crate) fn token_of(&self, who: &Principal) -> String {
        let base = format!("https://{HOST}");
        let now = self.app.service.env().real();
        self.app.authority.issue(who, &base, &base, now).unwrap()
    }

    /// `/subscriptions/{id}` and a tail.
    pub(crate) fn below(&self, tail: &str) -> String {
        format!("/subscriptions/{}{tail}", self.app.service.subscription())
    }

    /// Asks as the owner, with an api-version.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answered {
        self.ask_as(&self.token, method, path, body).await
    }

    /// Asks with a token, with an api-version.
    pub(crate) async fn ask_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answered {
        let joint = if path.contains('?') { '&' } else { '?' };
        let uri = if path.contains("api-version=") {
            path.to_owned()
        } else {
            format!("{path}{joint}api-version={VERSION}")
        };
        let body = body.map_or_else(Body::empty, |value| Body::from(value.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, HOST)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        self.send(request.unwrap()).await
    }

    /// Sends any request, as a client on this machine unless it says otherwise.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answered {
        let peer = ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 50000)));
        request.extensions_mut().get_or_insert(peer);
        let response = wire::entry::serve(Arc::clone(&self.app), request).await;
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answered { status: head.status, headers: head.headers, body }
    }

    /// Makes a group.
    pub(crate) async fn group(&self, name: &str) -> String {
        let path = self.below(&format!("/resourceGroups/{name}"));
        let body = json!({"location": "westus"});
        let answer = self.ask(Method::PUT, &path, Some(body)).await;
        assert!(answer.status.is_success(), "{answer:?}");
        path
    }

    /// Makes a vault with an identity.
    pub(crate) async fn vault(&self, group: &str, name: &str) -> Answered {
        let path = format!("{group}/providers/Microsoft.DataProtection/backupVaults/{name}");
        let body = json!({
            "location": "westus",
            "identity": {"type": "SystemAssigned"},
            "properties": {"storageSettings": [
                {"datastoreType": "VaultStore", "type": "LocallyRedundant"}
            ], "securitySettings": {"softDeleteSettings": {"state": "AlwaysOn"}}},
        });
        self.ask(Method::PUT, &path, Some(body)).await
    }

    /// An application without a role and without a secret, made as clients make one.
    pub(crate) async fn application(&self, name: &str) -> Principal {
        let body = json!({"displayName": name});
        let made = self.ask(Method::POST, "/v1.0/servicePrincipals", Some(body)).await;
        let id = made.body["id"].as_str().unwrap_or_else(|| panic!("{made:?}"));
        let id = Uuid::parse_str(id).unwrap();
        self.app.service.principal(id).await.unwrap().unwrap()
    }

    /// Gives a principal a role at a scope.
    pub(crate) async fn give(&self, who: Uuid, role: &str, scope: &str) -> String {
        let name = self.app.service.env().uuid();
        let at = scope.trim_end_matches('/');
        let path = format!("{at}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let role =
            self.below(&format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"));
        let body = json!({"properties": {"roleDefinitionId": role, "principalId": who}});
        let made = self.ask(Method::PUT, &path, Some(body)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        path
    }

    /// A principal that exists and holds no role: the identity of a vault made for this.
    pub(crate) async fn stranger(&self) -> Principal {
        let group = self.group("strangers").await;
        let answer = self.vault(&group, "stranger").await;
        let id = answer.body["identity"]["principalId"].as_str().unwrap_or_default();
        let id = Uuid::parse_str(id).unwrap_or_else(|_| panic!("{answer:?}"));
        let found = self.app.service.principal(id).await.unwrap().unwrap();
        assert_eq!(found.kind, PrincipalKind::ManagedIdentity);
        found
    }
}

//! Who asks: the bearer token of a request.

use crate::App;
use crate::wire::error::ArmError;
use http::{HeaderMap, StatusCode, header};
use tresor_core::service::Caller;
use uuid::Uuid;

/// The caller of a request.
///
/// # Errors
/// 401 with a challenge that says where to sign in and what is wrong.
pub(crate) async fn caller(
    app: &App,
    headers: &HeaderMap,
    base: &str,
    correlation: Uuid,
) -> Result<Caller, ArmError> {
    let refuse = |why| refusal(app, base, why);
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = sent.next() else {
        return Err(refuse("The 'Authorization' header is not present or provided."));
    };
    let bearer = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let (Some(token), None) = (bearer, sent.next()) else {
        return Err(refuse("The 'Authorization' header must hold one bearer token."));
    };
    let now = app.service.env().real();
    let claims = app.authority.check(token, base, now).map_err(refuse)?;
    // A token does not outlive its principal.
    match app.service.principal(claims.oid).await? {
        Some(who) if who.client_id == claims.appid => Ok(Caller {
            object_id: who.object_id,
            client_id: who.client_id,
            name: who.name,
            correlation,
        }),
        _ => Err(refuse("The access token's principal does not exist any more.")),
    }
}

fn refusal(app: &App, base: &str, why: &str) -> ArmError {
    let tenant = app.authority.tenant();
    let challenge = format!(
        "Bearer authorization_uri=\"{base}/{tenant}\", error=\"invalid_token\", \
         error_description=\"{why}\""
    );
    let text = format!("Authentication failed. {why}");
    ArmError::new(StatusCode::UNAUTHORIZED, "AuthenticationFailed", text)
        .header(header::WWW_AUTHENTICATE, &challenge)
}

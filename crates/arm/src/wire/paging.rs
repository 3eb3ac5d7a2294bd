//! Pages: `nextLink` and the self-contained token in it.
//!
//! Clients take a next link apart, drop blank parameters and put their own api-version in, so the
//! token alone must hold all that the next page needs: the cursor and the filter. It is sealed with
//! a key of this installation and bound to the list's path; one that was changed, or that belongs
//! to another list, is refused.

use super::error::ArmError;
use super::request::Request;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Rows of a page when the client does not say.
const ROWS: u32 = 200;
/// Rows of a page at most.
const ROWS_MAX: u32 = 1000;
/// Bytes of a token at most.
const TOKEN_MAX: usize = 6 << 10;
const TAG: usize = 16;

/// The key that seals tokens.
pub(crate) struct Seal(hmac::Key);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Token {
    /// The cursor.
    c: String,
    /// The filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    f: Option<String>,
}

impl Seal {
    /// A seal of this key.
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn tag(&self, path: &str, text: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(path.to_lowercase().as_bytes());
        context.update(&[0]);
        context.update(text);
        context.sign()
    }

    fn close(&self, path: &str, token: &Token) -> Option<String> {
        let text = serde_json::to_vec(token).ok()?;
        let mut sealed: Vec<u8> =
            self.tag(path, &text).as_ref().iter().take(TAG).copied().collect();
        sealed.extend(text);
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    fn open(&self, path: &str, token: &str) -> Option<Token> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (tag, text) = sealed.split_at_checked(TAG)?;
        let expected = self.tag(path, text);
        let expected = expected.as_ref().get(..TAG)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(tag, expected).ok()?;
        serde_json::from_slice(text).ok()
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

fn token(request: &Request) -> Result<Option<Token>, ArmError> {
    let Some(text) = request.query.get("$skipToken") else {
        return Ok(None);
    };
    let opened = request.app.seal.open(&request.path, text);
    opened.map(Some).ok_or_else(|| {
        ArmError::bad(
            "InvalidSkipToken",
            "The $skipToken is not one that this list gave out; begin again without it.",
        )
    })
}

/// Where the page that is asked for begins.
pub(crate) fn cursor(request: &Request) -> Result<Option<String>, ArmError> {
    Ok(token(request)?.map(|token| token.c))
}

/// The filter that holds: that of the first page.
pub(crate) fn filter(request: &Request) -> Result<Option<String>, ArmError> {
    match token(request)? {
        Some(token) => Ok(token.f),
        None => Ok(request.query.get("$filter").map(str::to_owned)),
    }
}

/// Rows that the page may have.
pub(crate) fn limit(request: &Request) -> Result<u32, ArmError> {
    let Some(text) = request.query.get("$top") else {
        return Ok(ROWS);
    };
    match text.parse::<u32>() {
        Ok(rows) if rows > 0 => Ok(rows.min(ROWS_MAX)),
        _ => Err(ArmError::bad("InvalidQueryParameter", "$top must be a positive whole number.")),
    }
}

/// The token of the page that begins at a cursor, with the filter that holds.
pub(crate) fn sealed(request: &Request, after: Option<String>) -> Result<Option<String>, ArmError> {
    let Some(after) = after else { return Ok(None) };
    let token = Token { c: after, f: filter(request)? };
    Ok(request.app.seal.close(&request.path, &token))
}

/// A token for pages that are asked for in bodies, bound to the request's path and to `bound`.
pub(crate) fn seal_body(request: &Request, cursor: String, bound: &str) -> Option<String> {
    let token = Token { c: cursor, f: Some(digest(bound)) };
    request.app.seal.close(&request.path, &token)
}

/// The cursor in a token that a body brought back.
///
/// # Errors
/// When it is none that was made for this path and `bound`.
pub(crate) fn open_body(request: &Request, text: &str, bound: &str) -> Result<String, ArmError> {
    let opened = request.app.seal.open(&request.path, text);
    let own = opened.filter(|token| token.f.as_ref() == Some(&digest(bound)));
    own.map(|token| token.c).ok_or_else(|| {
        ArmError::bad(
            "InvalidSkipToken",
            "The $skipToken is not one that this query gave out; begin again without it.",
        )
    })
}

fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

/// One page; `after` is the cursor of the next one.
pub(crate) fn page(
    request: &Request,
    rows: Vec<Value>,
    after: Option<String>,
) -> Result<Value, ArmError> {
    let sealed = sealed(request, after)?;
    let link = sealed.map(|sealed| {
        let top = request.query.get("$top").map(|top| format!("&$top={top}")).unwrap_or_default();
        format!("{}{top}&$skipToken={sealed}", request.url(&request.path))
    });
    Ok(json!({ "value": rows, "nextLink": link }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token { c: "/subscriptions/x".into(), f: Some("a eq 'b'".into()) }
    }

    #[test]
    fn a_token_is_read_back_on_its_list_only() {
        let seal = Seal::new(&[7; 32]);
        let text = seal.close("/A/b", &token()).unwrap();
        assert_eq!(seal.open("/a/B", &text), Some(token()));
        assert_eq!(seal.open("/a/c", &text), None);
        assert_eq!(Seal::new(&[8; 32]).open("/a/b", &text), None);
    }

    #[test]
    fn any_changed_character_is_refused() {
        let seal = Seal::new(&[7; 32]);
        let text = seal.close("/a", &token()).unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(seal.open("/a", &changed), None, "{at}");
        }
        for bad in ["", "x", &text[1..], &"A".repeat(TOKEN_MAX + 1)] {
            assert_eq!(seal.open("/a", bad), None);
        }
    }
}

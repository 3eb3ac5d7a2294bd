//! Events: added once, read newest first, forgotten by age.

use super::page::{LAST_KEY, cursor, rows_of};
use super::row::{database, decode, encode, instant};
use crate::catalogue::{EventFilter, PAGE_MAX, Page, Result};
use crate::model::Event;
use jiff::Timestamp;
use sqlx::{SqliteConnection, SqlitePool};

/// Portions of rows that one page looks at, at most. The first is a page, later ones are larger,
/// up to [`PAGE_MAX`].
const LOOKS: usize = 20;

pub(super) const EVENTS: &str = "SELECT at, id, record FROM events \
    WHERE place = ?1 AND (at, id) < (?2, ?3) AND at >= ?4 \
    ORDER BY at DESC, id DESC LIMIT ?5";

pub(super) async fn add(conn: &mut SqliteConnection, event: &Event) -> Result<()> {
    const SQL: &str = "INSERT INTO events (place, at, id, recorded, record) \
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let query = sqlx::query(SQL)
        .bind(event.place())
        .bind(instant(event.at))
        .bind(event.id.to_string())
        .bind(instant(event.recorded))
        .bind(encode(event)?);
    query.execute(conn).await.map_err(database).map(|_| ())
}

pub(super) async fn page(pool: &SqlitePool, filter: &EventFilter) -> Result<Page<Event>> {
    let place = filter.subscription.map(|id| id.to_string()).unwrap_or_default();
    let size = usize::try_from(rows_of(filter.limit)).unwrap_or(usize::MAX);
    let end = (filter.to.map_or(i64::MAX, instant), LAST_KEY.to_owned());
    let mut at = cursor(filter.after.as_deref())?.min(end);
    let mut found = vec![];
    let mut portion = rows_of(filter.limit).saturating_add(1).min(PAGE_MAX);
    for _ in 0..LOOKS {
        let rows: Vec<(i64, String, String)> = sqlx::query_as(EVENTS)
            .bind(&place)
            .bind(at.0)
            .bind(&at.1)
            .bind(filter.from.map_or(i64::MIN, instant))
            .bind(portion)
            .fetch_all(pool)
            .await
            .map_err(database)?;
        let whole = rows.len() == usize::try_from(portion).unwrap_or(usize::MAX);
        portion = portion.saturating_mul(4).min(PAGE_MAX);
        for (time, id, record) in rows {
            let event: Event = decode("an event in a list", &record)?;
            if filter.admits(&event) {
                if found.len() == size {
                    return Ok(Page { rows: found, after: Some(place_of(&at)) });
                }
                found.push(event);
            }
            at = (time, id);
        }
        if !whole {
            return Ok(Page { rows: found, after: None });
        }
    }
    Ok(Page { rows: found, after: Some(place_of(&at)) })
}

fn place_of(at: &(i64, String)) -> String {
    format!("{}.{}", at.0, at.1)
}

pub(super) async fn forget(pool: &SqlitePool, before: Timestamp, limit: u32) -> Result<u64> {
    const SQL: &str = "DELETE FROM events WHERE (place, at, id) IN \
        (SELECT place, at, id FROM events WHERE recorded < ?1 ORDER BY recorded LIMIT ?2)";
    let query = sqlx::query(SQL).bind(instant(before)).bind(limit.min(PAGE_MAX));
    Ok(query.execute(pool).await.map_err(database)?.rows_affected())
}

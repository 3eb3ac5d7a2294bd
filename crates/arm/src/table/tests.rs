//! The router against every route of the table.

use super::*;
use crate::wire::path;
use std::collections::BTreeSet;

fn table() -> Table {
    Table::new(routes())
}

fn find(table: &Table, method: &Method, text: &str) -> Option<(&'static str, Params)> {
    let segments = path::segments(text).unwrap();
    match table.find(method, &segments) {
        Found::Route(route, params) => Some((route.name, params)),
        _ => None,
    }
}

/// A path of the route with made-up names.
fn example(route: &Route) -> String {
    let scope = "subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/Some";
    let segments = route.path.split('/').filter(|s| !s.is_empty()).map(|segment| {
        match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some(name) if name.starts_with('*') => scope.to_owned(),
            Some("subscriptionId") => "11111111-2222-3333-4444-555555555555".to_owned(),
            Some(name) => format!("Some-{name}"),
            None => segment.to_owned(),
        }
    });
    format!("/{}", segments.collect::<Vec<_>>().join("/"))
}

#[test]
fn every_route_is_found_in_any_case() {
    let table = table();
    for route in table.routes() {
        let text = example(route);
        for variant in [text.clone(), text.to_uppercase(), text.to_lowercase(), format!("{text}/")]
        {
            let found = find(&table, &route.method, &variant).map(|(name, _)| name);
            assert_eq!(found, Some(route.name), "{} {variant}", route.method);
        }
    }
}

#[test]
fn routes_are_unique_and_their_actions_well_formed() {
    let mut names = BTreeSet::new();
    let mut places = BTreeSet::new();
    for route in routes() {
        let place = format!("{} {}", route.method, route.path.to_lowercase());
        assert!(places.insert(place.clone()), "{place} stands twice");
        assert!(names.insert(route.name), "{} names two routes", route.name);
        if let Action::Rbac(action) = route.action {
            let ours = action.starts_with("Tresor.") && route.path.starts_with("/_tresor/");
            assert!(action.starts_with("Microsoft.") || ours, "{action}");
            assert!(!action.contains('*'), "{action}");
            let end = action.rsplit('/').next().unwrap();
            assert!(["read", "write", "delete", "action"].contains(&end), "{action}");
            let reads = [Method::GET, Method::HEAD].contains(&route.method);
            assert_eq!(end == "read", reads || action.ends_with("/read"), "{action}");
        }
    }
}

#[test]
fn words_win_over_names() {
    let table = Table::new(
        [("/a/{x}", "name"), ("/a/b", "word"), ("/{*s}/p/{x}", "rest"), ("/a/p/{x}", "plain")]
            .into_iter()
            .map(|(path, name)| Route {
                method: Method::GET,
                path,
                versions: Versions::None,
                since: None,
                action: Action::Public,
                handler: |_| Box::pin(async { Ok(Reply::no_content()) }),
                name,
            })
            .collect(),
    );
    let name = |text: &str| find(&table, &Method::GET, text).map(|(name, _)| name);
    assert_eq!(name("/A/B"), Some("word"));
    assert_eq!(name("/a/c"), Some("name"));
    assert_eq!(name("/p/c"), Some("rest"));
    assert_eq!(name("/q/r/p/c"), Some("rest"));
    assert_eq!(name("/a/p/c"), Some("plain"));
    assert_eq!(name("/a/b/c/d"), None);
    let (_, params) = find(&table, &Method::GET, "/q/r/p/C").unwrap();
    assert_eq!((params.get("s"), params.get("x")), ("q/r", "C"));
    assert!(matches!(
        table.find(&Method::PUT, &["a".into(), "b".into()]),
        Found::Methods(methods) if methods == [Method::GET]
    ));
}

#[test]
fn candidates_for_ids_end_in_names() {
    assert_eq!(named_lengths("/a/{x}/b/{y}/c", 5), [4, 2]);
    assert_eq!(named_lengths("/{*s}/p/{x}", 5), [5, 3]);
    assert_eq!(named_lengths("/{*s}/p/list", 2), [] as [usize; 0]);
}

//! Random lists of writes against a plain model of the same rules.

use super::Ground;
use super::sample::*;
use crate::catalogue::{CatalogueError, Expect, ResourceFilter, Write};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;

/// Names that differ by one character that patterns treat specially, or by case.
const NAMES: [&str; 5] = ["a_b", "aXb", "a.b", "a", "A"];

/// Resource versions and claim holders.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    versions: BTreeMap<String, i64>,
    holders: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
enum Step {
    Make(usize),
    Change(usize, i64),
    Require(usize, i64),
    Delete(usize),
    Claim(usize, usize),
    Release(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        3 => name.clone().prop_map(Step::Make),
        3 => (name.clone(), 1..4_i64).prop_map(|(n, v)| Step::Change(n, v)),
        1 => (name.clone(), 1..3_i64).prop_map(|(n, v)| Step::Require(n, v)),
        1 => name.clone().prop_map(Step::Delete),
        2 => (name.clone(), 0..2_usize).prop_map(|(n, h)| Step::Claim(n, h)),
        2 => (name, 0..2_usize).prop_map(|(n, h)| Step::Release(n, h)),
    ]
}

impl Model {
    /// Makes the change; None when an expectation does not hold.
    fn apply(&mut self, step: &Step) -> Option<()> {
        let key = |name: usize| disk_id(NAMES[name]).key().to_owned();
        let holds = |model: &Self, name, version| model.versions.get(&key(name)) == Some(&version);
        match *step {
            Step::Make(name) => {
                let taken = self.versions.contains_key(&key(name));
                (!taken).then(|| self.versions.insert(key(name), 1))?;
            }
            Step::Change(name, version) => {
                holds(self, name, version).then(|| self.versions.insert(key(name), version + 1))?;
            }
            Step::Require(name, version) => holds(self, name, version).then_some(())?,
            Step::Delete(name) => drop(self.versions.remove(&key(name))),
            Step::Claim(name, holder) => {
                let kept = self.holders.entry(NAMES[name].into()).or_insert(holder.to_string());
                (*kept == holder.to_string()).then_some(())?;
            }
            Step::Release(name, holder) => {
                if self.holders.get(NAMES[name]) == Some(&holder.to_string()) {
                    self.holders.remove(NAMES[name]);
                }
            }
        }
        Some(())
    }
}

fn write(step: &Step) -> Write {
    match *step {
        Step::Make(name) => put(&disk(NAMES[name])),
        Step::Change(name, version) => {
            Write::PutResource(disk(NAMES[name]), Expect::Version(version))
        }
        Step::Require(name, version) => Write::RequireResource(disk_id(NAMES[name]), version),
        Step::Delete(name) => Write::DeleteResource(disk_id(NAMES[name])),
        Step::Claim(name, holder) => {
            Write::Claim { name: NAMES[name].into(), holder: holder.to_string() }
        }
        Step::Release(name, holder) => {
            Write::Release { name: NAMES[name].into(), holder: holder.to_string() }
        }
    }
}

pub(super) async fn random_lists_behave_as_the_model(ground: &dyn Ground) {
    let catalogue = ground.open().await;
    let mut model = Model::default();
    let mut runner = TestRunner::new(Config::default());
    let lists = proptest::collection::vec(step(), 1..5);
    let (mut applied, mut refused) = (0, 0);
    for _ in 0..400 {
        let list = lists.new_tree(&mut runner).unwrap().current();
        let mut next = model.clone();
        let fits = list.iter().try_for_each(|step| next.apply(step)).is_some();
        match catalogue.apply(list.iter().map(write).collect()).await {
            Ok(()) => {
                assert!(fits, "{list:?} on {model:?}");
                model = next;
                applied += 1;
            }
            Err(CatalogueError::Conflict(_)) => {
                assert!(!fits, "{list:?} on {model:?}");
                refused += 1;
            }
            Err(error) => panic!("{error} after {list:?}"),
        }
        let all = ResourceFilter { limit: 100, ..ResourceFilter::default() };
        let rows = catalogue.resources(&all).await.unwrap().rows;
        let versions: BTreeMap<String, i64> =
            rows.iter().map(|row| (row.id.key().to_owned(), row.version)).collect();
        assert_eq!(versions, model.versions, "after {list:?}");
        for name in NAMES {
            let holder = catalogue.holder(name).await.unwrap();
            assert_eq!(holder.as_ref(), model.holders.get(name), "after {list:?}");
        }
    }
    assert!(applied > 20 && refused > 20, "{applied} applied, {refused} refused");
}

//! Campaigns: random steps and power losses, with every sync and with each kind of them left out.

use super::model::{Cut, Run, SIZE, Step};
use crate::SECTOR;
use crate::changed::{UNIT, WINDOW};
use crate::durable::power::{self, Omit};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

fn some_step() -> impl Strategy<Value = Step> {
    let at = 0..SIZE / SECTOR;
    // Mostly a few units at the ends and in the middle of windows, where borders are.
    let near = prop_oneof![
        at.clone(),
        0..300u64,
        (WINDOW - 2 * UNIT) / SECTOR..(WINDOW + 2 * UNIT) / SECTOR,
        (SIZE - 3 * UNIT) / SECTOR..SIZE / SECTOR,
    ];
    prop_oneof![
        12 => (near.clone(), 1u64..9).prop_map(|(at, length)| Step::Write(at, length)),
        2 => (near.clone(), 100u64..300).prop_map(|(at, length)| Step::Write(at, length)),
        3 => (near.clone(), 1u64..500).prop_map(|(at, length)| Step::Clear(at, length)),
        1 => (at, 1u64..WINDOW / SECTOR).prop_map(|(at, length)| Step::Clear(at, length)),
        1 => (1u64..200).prop_map(Step::Grow),
        3 => Just(Step::Flush),
        1 => Just(Step::Close),
        5 => Just(Step::Freeze),
        2 => Just(Step::Copy),
        3 => (near, 1u64..2000).prop_map(|(at, length)| Step::ReadDone(at, length)),
        3 => Just(Step::Adopt),
        2 => Just(Step::Abandon),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => Just(Step::PowerLoss),
    ]
}

/// Steps, and for some of them after how many inner steps the power fails or the process ends.
fn some_steps() -> impl Strategy<Value = Vec<(Step, Option<Cut>)>> {
    let cut = prop_oneof![
        12 => Just(None),
        2 => (0u64..12).prop_map(|after| Some(Cut::Power(after))),
        1 => (0u64..12).prop_map(|after| Some(Cut::Kill(after))),
    ];
    prop::collection::vec((some_step(), cut), 1..60)
}

fn campaign(steps: Vec<(Step, Option<Cut>)>, seed: u64, omit: Omit) {
    let mut run = Run::new(seed);
    power::omit(omit);
    for (step, cut) in steps {
        match cut {
            Some(cut) => run.step_cut(step, cut),
            None => run.step(step).unwrap(),
        }
    }
    run.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn the_marks_cover_and_views_stand_still(steps in some_steps(), seed in any::<u64>()) {
        campaign(steps, seed, Omit::Nothing);
    }
}

#[test]
fn what_once_failed_does_not_fail_again() {
    campaign(vec![(Step::Freeze, None), (Step::ReadDone(0, 128), None)], 0, Omit::Nothing);
    let power = Some(Cut::Power(1));
    let steps = vec![
        (Step::Freeze, None),
        (Step::Adopt, None),
        (Step::Write(10, 1), None),
        (Step::Grow(1), None),
        (Step::Write(6, 7), power),
        (Step::Write(0, 120), None),
        (Step::Write(32512, 1), None),
        (Step::Write(65795, 1), power),
        (Step::Write(65795, 1), None),
        (Step::Copy, Some(Cut::Power(0))),
    ];
    for seed in [2_104_002_355_264_835_454, 0, 1, 2, 3, 4, 5, 6, 7] {
        campaign(steps.clone(), seed, Omit::Nothing);
    }
}

/// A process is killed after it wrote an intent and before the sync: the next one finds the intent
/// and must not rely on it before it is durable.
#[test]
fn what_a_killed_process_left_is_made_durable_before_it_is_believed() {
    for (seed, after) in (0..16).flat_map(|seed| (0..12).map(move |after| (seed, after))) {
        for last in [Step::Write(0, 1), Step::Adopt] {
            let mut run = Run::new(seed);
            for step in [Step::Freeze, Step::Adopt, Step::Write(300, 1), Step::Freeze] {
                run.step(step).unwrap();
            }
            run.step_cut(last, Cut::Kill(after));
            for step in [Step::Write(0, 1), Step::Flush, Step::PowerLoss] {
                run.step(step).unwrap();
            }
            run.finish();
        }
    }
}

/// Leaves one kind of sync out; some campaign must notice.
fn is_noticed(omit: Omit) -> bool {
    let mut runner = TestRunner::deterministic();
    let strategy = (some_steps(), any::<u64>());
    (0..400).any(|_| {
        let (steps, seed) = strategy.new_tree(&mut runner).unwrap().current();
        std::panic::catch_unwind(|| campaign(steps, seed, omit)).is_err()
    })
}

#[test]
fn the_syncs_of_the_data_are_needed() {
    assert!(is_noticed(Omit::Data));
}

#[test]
fn the_sync_of_a_new_map_is_needed() {
    assert!(is_noticed(Omit::Map));
}

#[test]
fn the_syncs_of_marks_are_needed() {
    assert!(is_noticed(Omit::Mark));
}

#[test]
fn the_syncs_of_the_folder_are_needed() {
    assert!(is_noticed(Omit::Folder));
}

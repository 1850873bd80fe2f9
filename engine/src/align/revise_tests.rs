//! Bundles that are emitted before they are final. Times are milliseconds; a sample is a number.

use std::time::Duration;

use super::testing::{Rig, quick_pair};
use super::*;

const PIVOT: u16 = 0;
const OTHER: u16 = 1;

/// Idle after 100 and waiting 1 000, with the lateness added for final bundles.
fn rig(join: Join, missing: Missing, lateness: u64, early: bool) -> Rig {
    let revise = Revise { allowed_lateness: Duration::from_millis(lateness), early };
    Rig::new(AlignPolicy { revise, ..quick_pair(join, missing) })
}

const fn window(before: u64) -> Join {
    Join::Window { before: Duration::from_millis(before), after: Duration::ZERO }
}

const fn nearest(tolerance: u64, reuse: bool) -> Join {
    Join::Nearest { tolerance: Duration::from_millis(tolerance), reuse }
}

#[test]
fn a_late_sample_makes_a_new_revision_and_the_last_one_is_final() {
    let mut rig = rig(window(50), Missing::Emit, 100, false);
    rig.push(OTHER, 60, 0);
    assert_eq!(rig.push(PIVOT, 100, 0), "");
    assert_eq!(rig.push(OTHER, 100, 0), "100:[100][60] r0");
    assert_eq!(rig.push(OTHER, 80, 0), "100:[100][60, 80] r1", "20 late");
    assert_eq!(rig.push(OTHER, 40, 0), "", "late, but nothing of this bundle");
    assert_eq!(rig.push(PIVOT, 201, 0), "40x0");
    assert_eq!(rig.push(OTHER, 90, 0), "100:[100][60, 80, 90] r2");
    let emitted = rig.push(OTHER, 201, 0);
    assert_eq!(emitted, "100:[100][60, 80, 90] r2 final again 100x4 201:[201][] r0");
    assert_eq!(rig.finish(0), "201:[201][] r0 final again 201x2 60x4 80x3 90x2 100x0 201x0");
}

#[test]
fn a_late_sample_changes_all_bundles_that_it_belongs_to() {
    let mut rig = rig(nearest(50, true), Missing::Emit, 10, false);
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.push(OTHER, 151, 0), "100:[100][] r0");
    assert_eq!(rig.push(PIVOT, 110, 0), "110:[110][151] r0");
    assert_eq!(rig.push(OTHER, 145, 0), "100:[100][145] r1 110:[110][145] r1");
}

#[test]
fn a_bundle_is_emitted_early_when_it_has_enough_and_when_final() {
    let mut rig = rig(nearest(50, true), Missing::Emit, 0, true);
    rig.push(OTHER, 60, 0);
    assert_eq!(rig.push(PIVOT, 100, 0), "100:[100][60] r0");
    assert_eq!(rig.push(OTHER, 90, 0), "60x1", "better, but not yet the best");
    assert_eq!(rig.push(OTHER, 108, 0), "90x0 100:[100][108] r1 final 100x2");
    assert_eq!(rig.push(PIVOT, 108, 0), "108:[108][108] r0 final 108x1", "at once final");
    assert_eq!(rig.push(PIVOT, 120, 0), "120:[120][108] r0");
}

#[test]
fn a_bundle_that_would_be_dropped_is_emitted_only_when_final() {
    let mut rig = rig(nearest(5, true), Missing::Drop, 100, false);
    rig.push(PIVOT, 100, 0);
    rig.push(PIVOT, 150, 0);
    assert_eq!(rig.push(OTHER, 120, 0), "");
    assert_eq!(rig.push(OTHER, 156, 0), "");
    assert_eq!(rig.push(OTHER, 151, 0), "150:[150][151] r0");
    assert_eq!(rig.push(PIVOT, 206, 0), "");
    assert_eq!(rig.push(OTHER, 206, 0), "dropped 100:[100][] r0 final by 1 100x1 206:[206][206] r0");
}

#[test]
fn a_late_pivot_changes_what_the_next_one_has() {
    let mut rig =
        rig(Join::AllBetweenPivots { max_age: Duration::from_millis(100) }, Missing::Emit, 100, false);
    for time in [70, 80, 90] {
        rig.push(OTHER, time, 0);
    }
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.push(OTHER, 101, 0), "100:[100][70, 80, 90] r0");
    assert_eq!(rig.push(PIVOT, 80, 0), "80:[80][70, 80] r0 100:[100][90] r1");
}

#[test]
fn a_bundle_waits_for_a_silent_input_whose_late_samples_count() {
    let mut rig = rig(window(50), Missing::Emit, 200, false);
    rig.push(PIVOT, 100, 0);
    assert_eq!(rig.due(), Some(100));
    assert_eq!(rig.tick(100), "100:[100][] r0");
    assert_eq!(rig.push(OTHER, 80, 150), "100:[100][80] r1");
    assert_eq!(rig.tick(449), "");
    assert_eq!(rig.tick(450), "100:[100][80] r1 final again 100x3");
}

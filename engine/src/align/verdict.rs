//! What becomes of a bundle that has closed.

use super::bundle::Bundle;
use super::event::Event;
use super::policy::Missing;
use super::rules::Rules;
use crate::position::InputId;

/// Judges a bundle by the inputs that brought nothing. The graver verdict wins: a dead letter keeps what
/// dropping would lose.
pub(super) fn judge<T>(rules: &Rules, bundle: Bundle<T>) -> Event<T> {
    let mut dropped = None;
    let mut dead = None;
    for (input, (part, rule)) in (0_u16..).zip(bundle.parts.iter().zip(&rules.inputs)) {
        if part.samples.is_empty() {
            match rule.missing {
                Missing::Emit => {}
                Missing::Drop => dropped = dropped.or(Some(InputId(input))),
                Missing::DeadLetter => dead = dead.or(Some(InputId(input))),
            }
        }
    }
    match (dead, dropped) {
        (Some(missing), _) => Event::DeadLetter { bundle, missing },
        (None, Some(missing)) => Event::Dropped { bundle, missing },
        (None, None) => Event::Bundle(bundle),
    }
}

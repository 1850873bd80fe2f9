//! What becomes of a bundle that has closed.

use super::bundle::{Bundle, Part};
use super::event::Event;
use super::policy::Missing;
use super::rules::Rules;
use crate::position::InputId;

/// Whether a bundle goes on, and if not, the first input to blame.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Goes,
    Dropped(InputId),
    DeadLetter(InputId),
}

impl Verdict {
    /// Judges by the inputs that brought nothing. The graver verdict wins: a dead letter keeps what dropping would lose.
    pub(super) fn on<T>(rules: &Rules, parts: &[Part<T>]) -> Self {
        let mut verdict = Self::Goes;
        for (input, (part, rule)) in (0_u16..).zip(parts.iter().zip(&rules.inputs)) {
            if part.samples.is_empty() {
                match (rule.missing, verdict) {
                    (Missing::Drop, Self::Goes) => verdict = Self::Dropped(InputId(input)),
                    (Missing::DeadLetter, Self::Goes | Self::Dropped(_)) => {
                        verdict = Self::DeadLetter(InputId(input));
                    }
                    _ => {}
                }
            }
        }
        verdict
    }

    /// Says so.
    #[inline]
    pub(super) fn tell<T>(self, bundle: Bundle<T>) -> Event<T> {
        match self {
            Self::Goes => Event::Bundle(bundle),
            Self::Dropped(missing) => Event::Dropped { bundle, missing },
            Self::DeadLetter(missing) => Event::DeadLetter { bundle, missing },
        }
    }
}

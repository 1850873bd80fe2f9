//! A wall clock that tests step: `LOCKSTEP_WALL_CLOCK` names a file that says how many nanoseconds it is ahead of the real one.
//! In builds with debug assertions alone, as fault points are.

use std::time::Duration;

use lockstep_engine::time::step_wall;

/// The interval at which the file is read.
const LOOK: Duration = Duration::from_millis(10);

/// Follows the file, if one is named.
pub(crate) fn follow() {
    let Ok(file) = std::env::var("LOCKSTEP_WALL_CLOCK") else { return };
    let mut ahead_ns = 0;
    let follow = move || loop {
        let said = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<i64>().ok());
        if let Some(said) = said.filter(|said| *said != ahead_ns) {
            ahead_ns = said;
            step_wall(ahead_ns);
            tracing::warn!(ahead_ns, "a test has stepped the wall clock");
        }
        std::thread::park_timeout(LOOK);
    };
    if let Err(error) = std::thread::Builder::new().name("wall-clock".into()).spawn(follow) {
        tracing::error!(%error, "wall clock not stepped");
    }
}

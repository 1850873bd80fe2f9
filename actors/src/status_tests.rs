use super::*;

#[test]
fn readiness_follows_conditions_by_progress_alone() {
    let status = Status::default();
    status.running.store(true, Ordering::Relaxed);
    assert!(status.is_ready());
    let denied = || Cause::lasting("the right WRITE on topic r is missing", "grant it");
    status.report(Work::Publish, "r", denied());
    assert!(!status.is_ready());
    status.done(Work::Read, "r");
    status.done(Work::Publish, "other");
    assert!(!status.is_ready(), "progress of something else says nothing of it");
    assert_eq!(status.conditions()[0].cause, denied());
    status.done(Work::Publish, "r");
    assert!(status.is_ready() && status.conditions().is_empty());
    status.report(Work::Commit, "", Cause::passing("no answer", ""));
    assert!(status.is_ready(), "it may pass in a moment");
    status.begin();
    assert!(status.conditions().is_empty(), "who reported it has been replaced");
}

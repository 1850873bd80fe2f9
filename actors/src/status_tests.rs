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
    assert!(!status.is_ready(), "progress of another topic does not end it");
    assert_eq!(status.conditions()[0].cause, denied());
    status.done(Work::Publish, "r");
    assert!(status.is_ready() && status.conditions().is_empty());
    status.report(Work::Commit, "", Cause::passing("no answer", ""));
    assert!(status.is_ready(), "it may pass in a moment");
    status.begin();
    assert!(status.conditions().is_empty(), "the pipeline that reported it has been replaced");
}

#[test]
fn status_of_a_new_pipeline_ignores_the_old_ones_actors() {
    let status = Arc::new(Status::default());
    status.begin();
    let (old, _reports) = crate::failure::Failures::new(status.clone());
    let counted = status.count_bundles();
    counted.fetch_add(3, Ordering::Relaxed);
    old.running("infer-a-0");
    old.failed("infer-a-1", "the device is gone");
    status.begin();
    let (new, _reports) = crate::failure::Failures::new(status.clone());
    status.running(PIPELINE);
    status.running.store(true, Ordering::Relaxed);
    new.running("infer-a-0");
    assert!(status.is_ready(), "the second instance is of the pipeline before");
    assert!(!status.actors().contains_key("infer-a-1"));
    new.starting("infer-a-1");
    let again = &status.actors()["infer-a-1"];
    assert_eq!((again.restarts, again.last_error.as_deref()), (1, Some("the device is gone")));
    new.running("infer-a-1");
    old.failed("infer-a-1", "it came back late");
    old.starting("infer-a-0");
    old.ended("infer-a-0");
    assert!(status.is_ready() && status.actors().contains_key("infer-a-0"));
    counted.fetch_sub(3, Ordering::Relaxed);
    assert_eq!(status.bundles_in_flight(), 0);
    status.count_bundles().fetch_add(1, Ordering::Relaxed);
    counted.fetch_sub(1, Ordering::Relaxed);
    assert_eq!((status.bundles_in_flight(), status.is_busy()), (1, true));
}

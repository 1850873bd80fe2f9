//! A line for each look, for files and programs.

use crate::plot::course::Moment;

/// The heading of the lines.
pub(super) fn head() -> String {
    let counts = format!("{:>8}{:>11}{:>11}{:>10}{:>10}", "s", "arrive/s", "results/s", "lag", "oldest s");
    format!("{counts}{:>8}{:>8}{:>13}{:>11}\n", "shards", "wanted", "p99 up to s", "processes")
}

/// The line of a look.
pub(super) fn line(moment: &Moment) -> String {
    let number = |value: f64, digits: usize| match value.is_nan() {
        true => "-".to_owned(),
        false => format!("{value:.digits$}"),
    };
    let Moment { at, arrivals, results, lag, age, shards, latency, replicas, .. } = moment;
    let columns = [
        (8, number(*at, 1)),
        (11, number(*arrivals, 1)),
        (11, number(*results, 1)),
        (10, number(*lag, 0)),
        (10, number(*age, 1)),
        (8, number(shards.now, 0)),
        (8, number(shards.wanted, 0)),
        (13, number(*latency, 3)),
        (11, number(*replicas, 2)),
    ];
    let columns: String = columns.iter().map(|(width, text)| format!("{text:>width$}")).collect();
    format!("{columns}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::course::Count;

    #[test]
    fn lines_align_with_their_heading_and_show_unknown_as_dash() {
        let known = Moment {
            results: 99.95,
            lag: 1_234.0,
            shards: Count { now: 2.0, wanted: 3.0 },
            latency: 0.05,
            ..Moment::unknown(61.5)
        };
        let (head, line) = (head(), line(&known));
        assert_eq!(head.len(), line.len());
        assert!(head.ends_with("processes\n") && line.ends_with(" -\n"), "{line}");
        for (name, number) in [("s", "61.5"), ("lag", "1234"), ("wanted", "3"), ("p99 up to s", "0.050")] {
            let end = |text: &str, word: &str| text.find(&format!(" {word}")).map(|at| at + word.len());
            assert_eq!(end(&head, name), end(&line, number), "{name}: {number}");
        }
    }
}

//! Metrics as a process serves them: Prometheus' text format.
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::BTreeMap;

type Labels = BTreeMap<String, String>;

/// The metrics of a process at one time.
#[derive(Debug, Default)]
pub struct Scrape {
    /// The series with their labels, by name.
    families: BTreeMap<String, Vec<(Labels, f64)>>,
}

impl Scrape {
    /// Parses the lines that are series, and skips all others.
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, labels, value)) = series(line) {
                scrape.families.entry(name).or_default().push((labels, value));
            }
        }
        scrape
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &(Labels, f64)> {
        self.families.get(name).into_iter().flatten().filter(|(_, value)| value.is_finite())
    }

    /// The sum of all series. None if there are none.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.values(name).map(|(_, value)| *value).reduce(|a, b| a + b)
    }

    /// The series of each value of a label, joined.
    pub fn by(&self, name: &str, label: &str, join: fn(f64, f64) -> f64) -> BTreeMap<String, f64> {
        let mut found: BTreeMap<String, f64> = BTreeMap::new();
        for (labels, value) in self.values(name) {
            if let Some(of) = labels.get(label) {
                found.entry(of.clone()).and_modify(|all| *all = join(*all, *value)).or_insert(*value);
            }
        }
        found
    }

    /// The growth of a counter since an earlier time; its whole value if the process restarted.
    pub fn grown(&self, before: &Self, name: &str) -> f64 {
        let (now, then) = (self.sum(name).unwrap_or(0.0), before.sum(name).unwrap_or(0.0));
        if now >= then { now - then } else { now }
    }

    /// The mean and the 99th percentile of a histogram since an earlier time, for a label if one is named. The percentile is
    /// the bound of its bucket. None if nothing was recorded.
    pub fn recorded(&self, before: &Self, name: &str, label: Option<(&str, &str)>) -> Option<(f64, f64)> {
        let of = |scrape: &Self, suffix: &str| {
            let name = format!("{name}{suffix}");
            let has = |labels: &Labels| {
                label.is_none_or(|(label, value)| labels.get(label).is_some_and(|it| it == value))
            };
            scrape
                .values(&name)
                .filter(|(labels, _)| has(labels))
                .map(|(labels, value)| (labels.get("le").cloned().unwrap_or_default(), *value))
                .collect::<Vec<_>>()
        };
        let total =
            |scrape: &Self, suffix: &str| of(scrape, suffix).iter().map(|(_, value)| value).sum::<f64>();
        let count = total(self, "_count") - total(before, "_count");
        if count <= 0.0 {
            return None;
        }
        let mean = (total(self, "_sum") - total(before, "_sum")) / count;
        let then: BTreeMap<String, f64> = of(before, "_bucket").into_iter().collect();
        let mut buckets: Vec<(f64, f64)> = of(self, "_bucket")
            .into_iter()
            .filter_map(|(bound, value)| {
                Some((bound.parse().ok()?, value - then.get(&bound).copied().unwrap_or(0.0)))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let p99 = buckets
            .iter()
            .find(|(_, below)| *below >= 0.99 * count)
            .map_or(f64::INFINITY, |(bound, _)| *bound);
        Some((mean, p99))
    }
}

/// `name{label="value",…} number`
fn series(line: &str) -> Option<(String, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at_checked(end)?;
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquoted(quoted)?;
            labels.insert(label.trim_matches([',', ' ']).to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name.to_owned(), labels, value))
}

/// Splits at the closing quote: the value without escapes, and the rest.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(place + 1..)?)),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrape_reads_series_and_skips_other_lines() {
        let scrape = Scrape::parse(
            "# TYPE lag gauge\nlag{input=\"a\\\"b\",partition=\"0\"} 3\nlag{input=\"a\\\"b\",partition=\"1\"} 4\n\
             lag{input=\"c\"} NaN\nup 1\nbroken{x=\"1\nworse\n\n",
        );
        assert_eq!(scrape.sum("lag"), Some(7.0));
        assert_eq!(
            scrape.by("lag", "input", f64::max).into_iter().collect::<Vec<_>>(),
            [("a\"b".to_owned(), 4.0)]
        );
        assert_eq!((scrape.sum("up"), scrape.sum("broken")), (Some(1.0), None));
    }

    #[test]
    fn histogram_covers_the_time_since_the_last_look() {
        let at = |counts: [u32; 3], sum: f64| {
            let [a, b, c] = counts;
            Scrape::parse(&format!(
                "t_bucket{{part=\"x\",le=\"0.1\"}} {a}\nt_bucket{{part=\"x\",le=\"1\"}} {b}\nt_bucket{{part=\"x\",le=\"+Inf\"}} {c}\n\
                 t_sum{{part=\"x\"}} {sum}\nt_count{{part=\"x\"}} {c}\n"
            ))
        };
        let (before, now) = (at([100, 100, 100], 5.0), at([150, 200, 200], 30.0));
        assert_eq!(now.recorded(&before, "t", Some(("part", "x"))), Some((0.25, 1.0)));
        assert_eq!(now.recorded(&now, "t", Some(("part", "x"))), None);
        assert_eq!(now.recorded(&before, "t", Some(("part", "y"))), None);
        assert_eq!(now.recorded(&before, "t", None), Some((0.25, 1.0)));
    }

    #[test]
    fn counter_of_a_restarted_process_has_not_shrunk() {
        let (before, now) = (Scrape::parse("n 100"), Scrape::parse("n 7"));
        assert_eq!((now.grown(&before, "n"), before.grown(&now, "n")), (7.0, 93.0));
    }
}

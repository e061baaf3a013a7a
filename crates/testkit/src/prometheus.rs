//! Reads what a process tells Prometheus, as strictly as the text format
//! (version 0.0.4) is written down. Refuses whatever a lenient reader would
//! guess at: an unknown escape, a series that comes twice, a sample before its
//! type, buckets that do not add up.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};

/// Everything that was told at once.
#[derive(Debug, Default)]
pub struct Scrape {
    types: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// With the suffix of a histogram's parts.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

impl Scrape {
    /// Reads a whole answer.
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(text.is_empty() || text.ends_with('\n'), "the last line does not end");
        let mut scrape = Self::default();
        let mut seen = BTreeSet::new();
        for (at, line) in text.lines().enumerate() {
            let read = scrape.line(line, &mut seen);
            read.with_context(|| format!("line {}: {line}", at + 1))?;
        }
        scrape.histograms_add_up()?;
        Ok(scrape)
    }

    /// Every number.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The names of all metrics, and what kind they are of.
    pub fn types(&self) -> &BTreeMap<String, String> {
        &self.types
    }

    /// The sum of all numbers of that name that have these labels among theirs;
    /// 0 without any.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|it| it.value).sum()
    }

    /// Whether there is a number of that name with these labels among its own.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.matching(name, labels).next().is_some()
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        let fits = move |it: &&Sample| {
            let has = |(label, value): &(&str, &str)| {
                it.labels.get(*label).is_some_and(|its| its == value)
            };
            it.name == name && labels.iter().all(has)
        };
        self.samples.iter().filter(fits)
    }

    fn line(&mut self, line: &str, seen: &mut BTreeSet<String>) -> Result<()> {
        if line.is_empty() {
            return Ok(());
        }
        if let Some(comment) = line.strip_prefix("# ") {
            return self.comment(comment);
        }
        let sample = sample(line)?;
        let base = self.base(&sample.name).context("a sample without a type before it")?;
        if self.types[base] == "counter" {
            ensure!(sample.value >= 0.0, "a counter below zero");
        }
        let key = format!("{} {:?}", sample.name, sample.labels);
        ensure!(seen.insert(key), "a series that comes twice");
        self.samples.push(sample);
        Ok(())
    }

    fn comment(&mut self, comment: &str) -> Result<()> {
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(name), Some(_)) => ensure!(is_name(name, ":"), "a bad name"),
            (Some("TYPE"), Some(name), Some(kind @ ("counter" | "gauge" | "histogram"))) => {
                ensure!(is_name(name, ":"), "a bad name");
                let before = self.types.insert(name.to_owned(), kind.to_owned());
                ensure!(before.is_none(), "a type that is told twice");
            }
            _other => bail!("a comment that is neither help nor a known type"),
        }
        Ok(())
    }

    /// The metric that a sample is of.
    fn base<'a>(&self, name: &'a str) -> Option<&'a str> {
        if self.types.get(name).is_some_and(|it| it != "histogram") {
            return Some(name);
        }
        let parts = ["_bucket", "_sum", "_count"].into_iter();
        let mut bases = parts.filter_map(|it| name.strip_suffix(it));
        bases.find(|it| self.types.get(*it).is_some_and(|kind| kind == "histogram"))
    }

    fn histograms_add_up(&self) -> Result<()> {
        let histograms = self.types.iter().filter(|(_, kind)| *kind == "histogram");
        for (name, _) in histograms {
            let (bucket, count) = (format!("{name}_bucket"), format!("{name}_count"));
            for total in self.samples.iter().filter(|it| it.name == count) {
                let mut before = (f64::NEG_INFINITY, 0.0);
                let parts = self.samples.iter().filter(|it| it.name == bucket);
                for part in parts.filter(|it| without_bound(it) == total.labels) {
                    let bound = number(part.labels.get("le").context("a bucket without a bound")?)?;
                    ensure!(
                        bound > before.0 && part.value >= before.1,
                        "{name}: buckets in no order"
                    );
                    before = (bound, part.value);
                }
                let whole = before.0 == f64::INFINITY && same(before.1, total.value);
                ensure!(whole, "{name}: buckets that are not the whole: {before:?} {total:?}");
            }
        }
        Ok(())
    }
}

fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < f64::EPSILON
}

fn without_bound(sample: &Sample) -> BTreeMap<String, String> {
    let mut labels = sample.labels.clone();
    labels.remove("le");
    labels
}

fn is_name(name: &str, also: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || also.contains(c);
    name.chars().next().is_some_and(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

fn number(text: &str) -> Result<f64> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        text => {
            ensure!(
                text.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c)),
                "no number"
            );
            Ok(text.parse()?)
        }
    }
}

fn sample(line: &str) -> Result<Sample> {
    let end = line.find(['{', ' ']).context("a name without a number")?;
    let (name, rest) = line.split_at(end);
    ensure!(is_name(name, ":"), "a bad name");
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.strip_prefix(' ').context("no space before the number")?;
    Ok(Sample { name: name.to_owned(), labels, value: number(value)? })
}

/// Labels up to their closing brace, and what comes after it.
fn labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, after) = rest.split_once("=\"").context("a label without a value")?;
        ensure!(is_name(name, ""), "a bad label");
        let (value, after) = quoted(after)?;
        ensure!(labels.insert(name.to_owned(), value).is_none(), "a label that comes twice");
        rest = after.strip_prefix(',').unwrap_or(after);
        ensure!(rest.len() < after.len() || rest.starts_with('}'), "labels without a comma");
    }
}

/// A value up to its closing quote, and what comes after it.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, '\\')) => value.push('\\'),
                Some((_, '"')) => value.push('"'),
                Some((_, 'n')) => value.push('\n'),
                other => bail!("an unknown escape: {other:?}"),
            },
            other => value.push(other),
        }
    }
    bail!("a value without an end")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_total what it is: \\\\ and \\n\n# TYPE a_total counter\n\
        a_total{route=\"/x/{y}\",odd=\"q\\\"\\\\\\n}, \"} 2\na_total 1e3\n\n# TYPE g gauge\ng -1.5\n\
        # TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 7\nh_count 3\n";

    #[test]
    fn what_is_well_written_is_read() {
        let scrape = Scrape::parse(GOOD).unwrap();
        assert_eq!(scrape.samples().len(), 7);
        assert_eq!(scrape.samples()[0].labels["odd"], "q\"\\\n}, ");
        assert!(same(scrape.sum("a_total", &[]), 1002.0));
        assert!(same(scrape.sum("a_total", &[("route", "/x/{y}")]), 2.0));
        assert!(same(scrape.sum("h_bucket", &[("le", "+Inf")]), 3.0));
        assert!(scrape.has("g", &[]) && !scrape.has("g", &[("x", "y")]));
        assert_eq!(scrape.types()["h"], "histogram");
    }

    #[test]
    fn what_is_not_well_written_is_refused() {
        for bad in [
            "a 1\n",
            "# TYPE a counter\na 1",
            "# TYPE a counter\na -1\n",
            "# TYPE a counter\na 1\na 1\n",
            "# TYPE a counter\n# TYPE a counter\n",
            "# TYPE a thing\n",
            "# note\n",
            "# TYPE a counter\na{x=\"1\",x=\"2\"} 1\n",
            "# TYPE a counter\na{x=\"1\"y=\"2\"} 1\n",
            "# TYPE a counter\na{x=\"\\t\"} 1\n",
            "# TYPE a counter\na{x=\"1} 1\n",
            "# TYPE a counter\na{0x=\"1\"} 1\n",
            "# TYPE a counter\na one\n",
            "# TYPE a counter\na  1\n",
            "# TYPE a counter\n1a 1\n",
            "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
        ] {
            assert!(Scrape::parse(bad).is_err(), "{bad}");
        }
    }
}

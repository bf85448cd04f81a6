//! The table at the end.

use std::fmt::Write as _;
use std::time::Duration;

/// One line of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) seconds: f64,
    pub(crate) good: bool,
    pub(crate) tests: Option<usize>,
}

impl Row {
    pub(crate) fn of(name: &str, took: Duration, good: bool, tests: Option<usize>) -> Self {
        Self {
            name: name.to_owned(),
            seconds: took.as_secs_f64(),
            good,
            tests,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// All rows under each other.
pub(crate) fn table(rows: &[Row]) -> String {
    let longest = rows.iter().map(|r| r.name.chars().count()).max();
    let width = longest.unwrap_or(0).max(5);
    let mut text = format!("{:width$}  {:>8}  {:>6}\n", "group", "seconds", "tests");
    for row in rows {
        let tests = row.tests.map_or(String::new(), |n| n.to_string());
        let mark = if row.good { "" } else { "  FAILED" };
        let line = format!("{:width$}  {:8.1}  {tests:>6}{mark}", row.name, row.seconds);
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Row, table};
    use std::time::Duration;

    #[test]
    fn it_names_each_group_with_its_time_and_marks_what_failed() {
        let rows = [
            Row::of("format", Duration::from_millis(1234), true, None),
            Row::of("domain", Duration::from_secs(61), false, Some(512)),
        ];
        assert_eq!(
            table(&rows),
            "group    seconds   tests\n\
             format       1.2\n\
             domain      61.0     512  FAILED\n"
        );
    }
}

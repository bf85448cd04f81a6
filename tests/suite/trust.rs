//! The figures in `docs/TRUST.md`: what ran, how much of it, and how it ended. `make trust` writes them; what did not run
//! this time stays as it was, with its own date.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::table::Row;

const FROM: &str = "<!-- figures, by make trust -->\n";
const TO: &str = "<!-- end of the figures -->";

const RAN: &str = "| What ran | Tests | Seconds | Ended | On |\n| --- | --: | --: | --- | --- |\n";
const FIGURES: &str = "| Figure | Value | On |\n| --- | --: | --- |\n";

/// Writes the rows and figures into the page, in place of those of the same names. `figures` has one a line: name, value,
/// unit.
pub(crate) fn write(page: &Path, date: &str, rows: &[Row], figures: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(page)?;
    let places = text.find(FROM).zip(text.find(TO));
    let Some((from, to)) = places.filter(|(from, to)| from < to) else {
        return Err(std::io::Error::other(format!(
            "{} has no place for the figures",
            page.display()
        )));
    };
    let from = from + FROM.len();
    let old = &text[from..to];
    let mut ran = lines(old, RAN);
    for row in rows {
        let tests = row.tests.map_or("–".to_owned(), |n| n.to_string());
        let ended = if row.good { "good" } else { "**failed**" };
        let line = format!("{tests} | {:.0} | {ended} | {date} |", row.seconds);
        ran.insert(row.name().to_owned(), line);
    }
    let mut measured = lines(old, FIGURES);
    for line in figures.lines() {
        if let Some((name, value)) = line.split_once(' ') {
            measured.insert(name.replace('_', " "), format!("{value} | {date} |"));
        }
    }
    let mut new = String::new();
    for (head, lines) in [(RAN, ran), (FIGURES, measured)] {
        if lines.is_empty() {
            continue;
        }
        let _ = write!(new, "\n{head}");
        for (name, line) in lines {
            // Writing to a text cannot fail.
            let _ = writeln!(new, "| {name} | {line}");
        }
    }
    std::fs::write(page, format!("{}{new}\n{}", &text[..from], &text[to..]))
}

/// The lines of the table with this head, by their first column.
fn lines(text: &str, head: &str) -> BTreeMap<String, String> {
    let Some((_, table)) = text.split_once(head) else {
        return BTreeMap::new();
    };
    table
        .lines()
        .map_while(|line| line.strip_prefix("| "))
        .filter_map(|line| line.split_once(" | "))
        .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_figures_take_the_place_of_the_old_ones_and_the_words_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let page = folder.path().join("page.md");
        std::fs::write(&page, format!("# Page\n\n{FROM}old\n{TO}\n\nEnd.\n")).expect("written");
        let rows = [
            Row::of("fuzz", Duration::from_secs(61), true, Some(14)),
            Row::of("look", Duration::from_secs(2), false, None),
        ];
        write(&page, "2026-11-27", &rows, "inputs_metrics 1500 inputs\n").expect("written");
        let text = std::fs::read_to_string(&page).expect("read");
        assert!(
            text.starts_with("# Page\n") && text.ends_with("\n\nEnd.\n"),
            "{text}"
        );
        assert!(!text.contains("old"));
        assert!(text.contains(
            "| fuzz | 14 | 61 | good | 2026-11-27 |\n| look | – | 2 | **failed** | 2026-11-27 |\n"
        ));
        assert!(text.contains("| inputs metrics | 1500 inputs | 2026-11-27 |\n"));

        let again = [Row::of("look", Duration::from_secs(3), true, None)];
        write(&page, "2026-11-28", &again, "").expect("written");
        let text = std::fs::read_to_string(&page).expect("read");
        assert!(text.contains(
            "| fuzz | 14 | 61 | good | 2026-11-27 |\n| look | – | 3 | good | 2026-11-28 |\n"
        ));
        assert!(text.contains("| inputs metrics | 1500 inputs | 2026-11-27 |\n"));
        std::fs::write(&page, "# Page\n").expect("written");
        assert!(write(&page, "2026-11-27", &rows, "").is_err(), "no place");
    }
}

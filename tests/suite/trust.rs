//! The figures in `docs/TRUST.md`: what ran, how much of it, and how it ended. `make trust` writes them.

use std::fmt::Write as _;
use std::path::Path;

use crate::table::Row;

const FROM: &str = "<!-- figures, by make trust -->\n";
const TO: &str = "<!-- end of the figures -->";

/// Writes the rows and figures into the page, in place of what stood there. `figures` has one a line: name, value, unit.
pub(crate) fn write(page: &Path, date: &str, rows: &[Row], figures: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(page)?;
    let places = text.find(FROM).zip(text.find(TO));
    let Some((from, to)) = places.filter(|(from, to)| from < to) else {
        return Err(std::io::Error::other(format!(
            "{} has no place for the figures",
            page.display()
        )));
    };
    let table = table(date, rows, figures);
    let new = format!("{}{table}{}", &text[..from + FROM.len()], &text[to..]);
    std::fs::write(page, new)
}

fn table(date: &str, rows: &[Row], figures: &str) -> String {
    let mut text = format!(
        "\nOf {date}.\n\n| What ran | Tests | Seconds | Ended |\n| --- | --: | --: | --- |\n"
    );
    for row in rows {
        let tests = row.tests.map_or("–".to_owned(), |n| n.to_string());
        let ended = if row.good { "good" } else { "**failed**" };
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "| {} | {tests} | {:.0} | {ended} |",
            row.name(),
            row.seconds
        );
    }
    let mut lines: Vec<&str> = figures.lines().collect();
    lines.sort_unstable();
    if !lines.is_empty() {
        text.push_str("\n| Figure | Value |\n| --- | --: |\n");
        for line in lines {
            if let Some((name, value)) = line.split_once(' ') {
                let _ = writeln!(text, "| {} | {value} |", name.replace('_', " "));
            }
        }
    }
    text.push('\n');
    text
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
        assert!(text.contains("| fuzz | 14 | 61 | good |\n| look | – | 2 | **failed** |\n"));
        assert!(text.contains("| inputs metrics | 1500 inputs |\n"));
        std::fs::write(&page, "# Page\n").expect("written");
        assert!(write(&page, "2026-11-27", &rows, "").is_err(), "no place");
    }
}

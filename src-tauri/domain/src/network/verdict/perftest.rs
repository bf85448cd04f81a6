//! Reading what `ib_write_bw --report_gbits` prints, with a count of messages or a duration.

/// What stand-ins print in their first line, so that nobody takes their numbers for a link's.
pub const STAND_IN: &str = "stand-in";

/// What one run of the tool measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Perftest {
    /// Gb/s on average, the mean over all rows of results.
    pub gbps: f64,
    /// Bytes of RDMA's own packets: 4096 where the link's MTU is 9000, 1024 where it is 1500.
    pub mtu: Option<u32>,
    /// Whether a stand-in for the hardware printed it.
    pub simulated: bool,
}

/// Reads the tool's output.
///
/// `None` where there is no row of results. With a wrong GID index some versions print the header
/// alone and end with 0, so that a missing row is the failure and not the exit status.
pub fn parse(text: &str) -> Option<Perftest> {
    let mut average = None;
    let mut rows = Vec::new();
    let mut mtu = None;
    for line in text.lines() {
        if line.trim_start().starts_with("#bytes") {
            average = column(line);
        } else if let Some(value) = line.trim().strip_prefix("Mtu") {
            let digits = value.trim_start_matches([' ', ':']);
            mtu = digits.split('[').next().and_then(|d| d.trim().parse().ok());
        } else if let Some(column) = average {
            let row: Option<Vec<f64>> = line.split_whitespace().map(|w| w.parse().ok()).collect();
            // Behind the average there is at least the rate of messages; more with --cpu_util.
            rows.extend(
                row.filter(|r| r.len() > column + 1)
                    .map(|r| r[column])
                    .filter(|g| g.is_finite()),
            );
        }
    }
    let simulated = text.lines().take(3).any(|l| l.contains(STAND_IN));
    (!rows.is_empty()).then(|| Perftest {
        gbps: rows.iter().sum::<f64>() / rows.len() as f64,
        mtu,
        simulated,
    })
}

/// Which column of the table holds the average in Gb/s. The names of columns hold spaces, so that the
/// places of their brackets are counted.
fn column(header: &str) -> Option<usize> {
    // `#bytes` and `#iterations` have no unit; every further column ends with one in brackets.
    let units = header.match_indices(']').count();
    let average = header.find("BW average[Gb/sec]")?;
    let before = header[..average].matches(']').count();
    (units > before).then_some(2 + before)
}

/// The tool's own last words where it measured nothing.
pub fn complaint(stdout: &str, stderr: &str) -> String {
    let said = stderr
        .lines()
        .chain(stdout.lines())
        .map(str::trim)
        .rfind(|l| {
            ["fail", "unable", "couldn't", "not found", "error", "down"]
                .iter()
                .any(|word| l.to_lowercase().contains(word))
        });
    said.unwrap_or("it printed no result")
        .trim_end_matches('.')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::{complaint, parse};

    #[test]
    fn a_unit_of_another_kind_is_no_average() {
        let text = " #bytes #iterations BW peak[MB/sec] BW average[MB/sec] MsgRate[Mpps]\n 65536 5000 11000.0 10900.0 0.17\n";
        assert_eq!(parse(text), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("65536 1 2 3 4"), None, "a row before its header");
    }

    #[test]
    fn a_stand_in_is_known_by_its_first_lines() {
        let table = " #bytes #iterations BW peak[Gb/sec] BW average[Gb/sec] MsgRate[Mpps]\n 65536 10 0.00 98.04 0.1\n";
        let read = parse(&format!("ib_write_bw: a stand-in\n{table}")).expect("a row");
        assert!(read.simulated);
        assert!(!parse(table).expect("a row").simulated);
    }

    #[test]
    fn a_run_without_a_row_says_its_last_complaint() {
        let said = complaint(
            "Mtu : 1024[B]\n",
            "Couldn't connect to 192.168.100.11:18515\n",
        );
        assert_eq!(said, "Couldn't connect to 192.168.100.11:18515");
        assert_eq!(complaint("header", ""), "it printed no result");
    }
}

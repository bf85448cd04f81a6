//! Reading what a collective between the two machines reports: the tables of nccl-tests, and the line
//! in which NCCL says which network it uses.

/// What one run of a collective measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Collective {
    /// Gb/s of bus bandwidth at the largest message. Smaller messages wait more than they carry, so
    /// that an average over all sizes says less of the link.
    pub gbps: f64,
    /// Bytes of that message.
    pub size: u64,
    /// Wrong elements in any row.
    pub wrong: u64,
}

/// Reads a table of nccl-tests; `None` where it holds no row.
///
/// Out of place and in place are two measurements of the same; their mean counts.
pub fn parse(text: &str) -> Option<Collective> {
    let mut best: Option<Collective> = None;
    let mut all_wrong = 0;
    for line in text.lines().filter(|l| !l.trim_start().starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        // size count type redop root, then twice: time algbw busbw wrong.
        let [
            size,
            _,
            _,
            _,
            _,
            _,
            _,
            out,
            out_wrong,
            _,
            _,
            inside,
            in_wrong,
        ] = words.as_slice()
        else {
            continue;
        };
        let (Ok(size), Ok(out), Ok(inside)) =
            (size.parse(), out.parse::<f64>(), inside.parse::<f64>())
        else {
            continue;
        };
        for count in [out_wrong, in_wrong] {
            all_wrong += count.parse::<u64>().unwrap_or(0);
        }
        if best.as_ref().is_none_or(|b| size >= b.size) {
            // nccl-tests counts in GB/s.
            let gbps = (out + inside) / 2.0 * 8.0;
            best = Some(Collective {
                gbps,
                size,
                wrong: 0,
            });
        }
    }
    best.map(|b| Collective {
        wrong: all_wrong,
        ..b
    })
}

/// Whether NCCL used RDMA, by its own words with `NCCL_DEBUG=INFO`; `None` where it does not say.
pub fn used_rdma(log: &str) -> Option<bool> {
    log.lines().find_map(|line| {
        let (_, network) = line.split_once("Using network ")?;
        match network.split_whitespace().next()? {
            "IB" => Some(true),
            "Socket" => Some(false),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{parse, used_rdma};

    #[test]
    fn the_largest_message_counts_and_wrong_elements_are_told() {
        let text = "# head\n 1024 256 float none -1 1 1 2.0 0 1 1 2.0 3\n 4096 1024 float none -1 1 1 22.0 0 1 1 23.0 0\n";
        let read = parse(text).expect("two rows");
        assert_eq!((read.size, read.wrong), (4096, 3));
        assert!((read.gbps - 180.0).abs() < 1e-9);
        assert_eq!(parse("# only words\n"), None);
    }

    #[test]
    fn a_log_without_the_line_says_nothing() {
        assert_eq!(used_rdma("NCCL INFO NET/IB : No device found."), None);
    }
}

//! Which of the Hub's two roads the bytes of a file take: ranges of the finished file, or Xet.
//!
//! For Xet the Hub's storage keeps a file as chunks of about 64 KiB, each compressed, many of them in one
//! object. The Hub's bridge puts them together for whoever asks for ranges. Whoever asks the storage for
//! the chunks gets them compressed, and past the bridge. Ranges work everywhere, chunks mostly bring fewer
//! bytes over the line; so chunks are taken where the Hub offers them, and ranges wherever they fail.

/// A file smaller than this comes in one answer. Two questions before it would take longer than they save.
pub const LEAST: u64 = 4 << 20;

/// The longest chunk there is, in bytes before compression.
pub const LONGEST_CHUNK: u64 = 128 << 10;

/// What is known about a file before its first byte is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The Hub says which chunks it is made of, and where to ask for leave to read them.
    pub offered: bool,
    /// Bytes.
    pub size: u64,
    /// The user wants ranges only.
    pub ranges_only: bool,
    /// `HF_HUB_DISABLE_XET` is set where the fetch runs.
    pub disabled: bool,
}

/// How the bytes of a file come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// As compressed chunks from the storage.
    Chunks,
    /// As ranges of the finished file.
    Ranges(Why),
}

/// Why ranges are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The Hub, or the mirror in its place, has nothing else.
    NotOffered,
    /// See [`LEAST`].
    Small,
    /// See [`Offer::ranges_only`].
    Chosen,
    /// See [`Offer::disabled`].
    Environment,
}

/// Chooses the road of a file.
pub fn road(offer: Offer) -> Road {
    match offer {
        Offer {
            ranges_only: true, ..
        } => Road::Ranges(Why::Chosen),
        Offer { disabled: true, .. } => Road::Ranges(Why::Environment),
        Offer { offered: false, .. } => Road::Ranges(Why::NotOffered),
        Offer { size, .. } if size < LEAST => Road::Ranges(Why::Small),
        _ => Road::Chunks,
    }
}

/// Says once for a whole fetch which road its files take. `None` where there is nothing to tell: nothing
/// is offered, or every file is small.
pub fn words(roads: &[Road]) -> Option<String> {
    let has = |road: Road| roads.contains(&road);
    if has(Road::Ranges(Why::Chosen)) {
        return None; // Told by the person who reads this.
    }
    if has(Road::Ranges(Why::Environment)) {
        return Some(
            "HF_HUB_DISABLE_XET is set on this machine, so the files come by ranges.".into(),
        );
    }
    let chunks = roads.iter().filter(|r| **r == Road::Chunks).count();
    let files = match chunks {
        0 => return None,
        1 => "One large file comes".to_owned(),
        n => format!("{n} large files come"),
    };
    Some(format!(
        "{files} through Xet: compressed and straight from the Hub's storage."
    ))
}

/// Whether the chunks of a stretch are worth it: `planned` bytes have to cross the line for `wanted` bytes
/// of the file. Chunks that lie between others in their object are sent along with them; where that makes
/// it more than the stretch itself, the bridge is the shorter way.
pub fn worth_it(planned: u64, wanted: u64) -> bool {
    // The first and the last chunk may be cut by the stretch, and incompressible ones have a header each.
    planned <= wanted + wanted / 50 + 2 * LONGEST_CHUNK
}

/// Whether a value of `HF_HUB_DISABLE_XET` means yes, as `huggingface_hub` reads it.
pub fn disables(value: Option<&str>) -> bool {
    value.is_some_and(|v| matches!(v.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: Offer = Offer {
        offered: true,
        size: 5 << 30,
        ranges_only: false,
        disabled: false,
    };

    #[test]
    fn chunks_where_they_are_offered_and_nobody_is_against_it() {
        assert_eq!(road(SHARD), Road::Chunks);
        for (offer, why) in [
            (
                Offer {
                    offered: false,
                    ..SHARD
                },
                Why::NotOffered,
            ),
            (
                Offer {
                    size: LEAST - 1,
                    ..SHARD
                },
                Why::Small,
            ),
            (
                Offer {
                    disabled: true,
                    ..SHARD
                },
                Why::Environment,
            ),
            (
                Offer {
                    ranges_only: true,
                    disabled: true,
                    ..SHARD
                },
                Why::Chosen,
            ),
        ] {
            assert_eq!(road(offer), Road::Ranges(why));
        }
    }

    #[test]
    fn the_log_tells_what_cannot_be_guessed() {
        let small = Road::Ranges(Why::Small);
        assert_eq!(words(&[small, Road::Ranges(Why::NotOffered)]), None);
        let told = words(&[small, Road::Chunks, Road::Chunks]).unwrap();
        assert!(told.starts_with("2 large files come through Xet"), "{told}");
        let told = words(&[small, Road::Ranges(Why::Environment)]).unwrap();
        assert!(told.contains("HF_HUB_DISABLE_XET"), "{told}");
        assert_eq!(words(&[Road::Ranges(Why::Chosen)]), None);
    }

    #[test]
    fn chunks_that_bring_much_along_are_not_worth_it() {
        let stretch = 64 << 20;
        assert!(worth_it(stretch / 2, stretch), "compressed to a half");
        assert!(worth_it(stretch + 16 * 1024, stretch), "incompressible");
        assert!(worth_it(3 * LONGEST_CHUNK, 1 << 20), "cut at both ends");
        assert!(!worth_it(2 * stretch, stretch), "twice over the line");
    }

    #[test]
    fn the_environment_is_read_as_the_hub_s_own_client_does() {
        for yes in ["1", "true", "Yes", "ON"] {
            assert!(disables(Some(yes)), "{yes}");
        }
        for no in [None, Some(""), Some("0"), Some("false")] {
            assert!(!disables(no), "{no:?}");
        }
    }
}

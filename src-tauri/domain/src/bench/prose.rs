//! Sentences that are drawn, for prompts that are longer than the story.
//!
//! They go on with the story's harbour. A sentence is drawn anew where it would make eight words in a row stand twice:
//! a drafter would guess the second time, and a prefix would be found again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::bench::random::Random;

/// Words in a row that stand once.
const RUN: usize = 8;

/// Forms of sentences. A capital letter stands for a word that is drawn; see [`drawn`].
const FORMS: [&str; 14] = [
    "In M the A N of P V the A N, and W V Q Ns beside the N.",
    "W of P had V Q A Ns before the N was V.",
    "Nobody in P V why the A N V the N in M.",
    "The A N that W V in M was V by Q Ns from P.",
    "When the A N V, W V the N and Q A Ns were V.",
    "Between P and P the A N V the N of W.",
    "Q Ns were V, but the A N near P V the A N.",
    "W V the N of P, for the A N had V Q Ns in M.",
    "It was W who V the A N, while Q A Ns V at P.",
    "After the N of M the A N of W V Q Ns.",
    "From the A N at P one V Q Ns and the N of W.",
    "W wrote that the A N V Q Ns, and that P V the N.",
    "No A N of P was V so often as the N that W V in M.",
    "Before M the N at P V, and Q A Ns V with W.",
];

const NOUNS: [&str; 56] = [
    "anchor", "barge", "basket", "beacon", "bell", "boat", "book", "bridge", "buoy", "cable",
    "candle", "cargo", "chain", "chart", "clock", "compass", "crane", "current", "deck", "dock",
    "drum", "ferry", "flag", "gate", "glass", "harbour", "hatch", "hull", "island", "jetty",
    "keel", "ladder", "lamp", "ledger", "letter", "light", "market", "mast", "mill", "net", "oar",
    "pier", "pilot", "pump", "quay", "raft", "rope", "rudder", "sail", "scale", "signal", "stair",
    "tide", "tower", "wharf", "window",
];

const ADJECTIVES: [&str; 48] = [
    "ancient", "bitter", "blue", "brass", "broad", "broken", "careful", "cheap", "clean", "cold",
    "crooked", "dark", "deep", "distant", "double", "early", "empty", "faded", "famous", "flat",
    "foreign", "heavy", "hidden", "hollow", "honest", "iron", "late", "leaning", "loud", "lower",
    "narrow", "northern", "painted", "patient", "quiet", "rusty", "sealed", "second", "silver",
    "slow", "southern", "steep", "stubborn", "tall", "upper", "western", "wet", "wooden",
];

const VERBS: [&str; 48] = [
    "answered",
    "bought",
    "carried",
    "changed",
    "closed",
    "copied",
    "counted",
    "covered",
    "crossed",
    "divided",
    "doubled",
    "emptied",
    "feared",
    "filled",
    "followed",
    "forgot",
    "found",
    "gathered",
    "guarded",
    "heard",
    "hoisted",
    "kept",
    "lifted",
    "lost",
    "lowered",
    "measured",
    "mended",
    "missed",
    "moved",
    "named",
    "opened",
    "painted",
    "passed",
    "praised",
    "pulled",
    "raised",
    "reached",
    "refused",
    "remembered",
    "sold",
    "stopped",
    "studied",
    "trusted",
    "turned",
    "watched",
    "weighed",
    "wished",
    "wrote",
];

const PEOPLE: [&str; 40] = [
    "Abel", "Agnes", "Anton", "Bertil", "Brita", "Carla", "Cosmo", "Dagny", "Doris", "Edda",
    "Emil", "Esther", "Felix", "Frida", "Gerta", "Gustav", "Hanna", "Henrik", "Ida", "Ines", "Ivo",
    "Jonas", "Judith", "Karin", "Klaus", "Lena", "Lukas", "Marta", "Milan", "Nadia", "Nils",
    "Olga", "Oskar", "Petra", "Ruben", "Sigrid", "Tobias", "Ulla", "Vera", "Wanda",
];

const PLACES: [&str; 36] = [
    "Alderhaven",
    "Brackwater",
    "Carrow",
    "Coldmouth",
    "Dunmere",
    "Eastlock",
    "Elmsund",
    "Farholm",
    "Fenwick",
    "Gullsand",
    "Hallow",
    "Harrowgate",
    "Innisford",
    "Keld",
    "Kingsferry",
    "Lorne",
    "Marrick",
    "Millbay",
    "Netherby",
    "Norrland",
    "Oakness",
    "Overstrand",
    "Pellow",
    "Quernside",
    "Ravensey",
    "Saltmarsh",
    "Selby",
    "Skerry",
    "Stenhouse",
    "Tarn",
    "Thornwick",
    "Ulverton",
    "Vellmouth",
    "Westray",
    "Wickham",
    "Yarrow",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const QUANTITIES: [&str; 24] = [
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "ninety",
];

/// Appends sentences to `words` until there are `count` of them or a few more.
pub(crate) fn prose(words: &mut Vec<String>, count: usize, random: &mut Random) {
    let state = RandomState::new();
    // "The" and "the" are one word here, and so are "tide." and "tide".
    let key = |word: &String| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        state.hash_one(bare.to_lowercase())
    };
    let mut keys: Vec<u64> = words.iter().map(key).collect();
    let mut runs: HashSet<u64> = keys.windows(RUN).map(|run| state.hash_one(run)).collect();
    while words.len() < count {
        let from = words.len();
        let form = FORMS[random.below(FORMS.len())];
        words.extend(form.split(' ').map(|word| drawn(word, random)));
        keys.extend(words[from..].iter().map(key));
        let begin = from.saturating_sub(RUN - 1);
        let made: Vec<u64> = keys[begin..]
            .windows(RUN)
            .map(|run| state.hash_one(run))
            .collect();
        if made.iter().any(|run| runs.contains(run)) {
            words.truncate(from);
            keys.truncate(from);
        } else {
            runs.extend(made);
        }
    }
}

/// The word of a form, or one of its kind where it is a capital letter, with what follows the letter.
fn drawn(word: &str, random: &mut Random) -> String {
    let (letter, rest) = word.split_at(1);
    let kinds: &[&str] = match letter {
        "N" => &NOUNS,
        "A" => &ADJECTIVES,
        "V" => &VERBS,
        "W" => &PEOPLE,
        "P" => &PLACES,
        "M" => &MONTHS,
        "Q" => &QUANTITIES,
        _ => return word.to_owned(),
    };
    // "When" begins with the letter of a kind, and is none.
    if !matches!(rest, "" | "s" | "." | "," | "s." | "s,") {
        return word.to_owned();
    }
    format!("{}{rest}", kinds[random.below(kinds.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_keeps_its_own_words() {
        let mut words = Vec::new();
        prose(&mut words, 2000, &mut Random(1));
        assert!(
            words.iter().all(|w| w.len() > 1 || w == "a"),
            "no letter is left"
        );
        assert!(words.iter().any(|w| w == "When") && words.iter().any(|w| w == "Nobody"));
        assert!(
            words.iter().all(|w| w.is_ascii()),
            "tokenizers split it alike"
        );
        assert!(words[words.len() - 1].ends_with('.'), "sentences are whole");
    }
}

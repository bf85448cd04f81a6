//! How many words make the wanted number of tokens, by the served model's own tokenizer.

use crate::bench::text::TOKENS_PER_WORD;

/// So far a size may be off: a tokenizer joins letters over the border of two words.
pub(crate) const OFF: u32 = 1;

/// So often the tokenizer is asked for one prompt.
const TRIES: u32 = 24;

/// Words that are put behind the others where one more of those would be too long.
const SHORT: [&str; 8] = ["it", "is", "a", "so", "we", "at", "I", "by"];

/// The search for a prompt's words. Each of its texts is to be counted, and its tokens told.
#[derive(Debug)]
pub(crate) struct SizeSearch<'a> {
    words: &'a [String],
    wanted: u32,
    /// The most words that are known to be too few, with their tokens.
    low: (usize, u32),
    /// The fewest words that are known to be too many.
    high: usize,
    at: At,
    tries: u32,
    /// The nearest so far, with its tokens.
    best: Option<(String, u32)>,
}

/// What is counted next.
#[derive(Debug, Clone)]
enum At {
    Words(usize),
    /// The words that are too few, and of the short ones these, the last of them on trial.
    Tail(Vec<usize>),
}

impl<'a> SizeSearch<'a> {
    /// A search in these words, of which there are enough.
    pub(crate) fn new(words: &'a [String], wanted: u32) -> Self {
        let first = (f64::from(wanted) / TOKENS_PER_WORD) as usize;
        Self {
            words,
            wanted,
            low: (0, 0),
            high: words.len() + 1,
            at: At::Words(first.clamp(1, words.len().max(1))),
            tries: 0,
            best: None,
        }
    }

    /// The text whose tokens are to be counted next.
    pub(crate) fn text(&self) -> String {
        match &self.at {
            At::Words(n) => self.words[..*n].join(" "),
            At::Tail(tail) => {
                let low = self.words[..self.low.0].iter().map(String::as_str);
                let tail = tail.iter().map(|at| SHORT[*at]);
                low.chain(tail).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// Takes the tokens of [`text`](Self::text) in. Gives the nearest text and its tokens where the search has ended.
    pub(crate) fn hear(&mut self, tokens: u32) -> Option<(String, u32)> {
        self.tries += 1;
        let off = |tokens: u32| tokens.abs_diff(self.wanted);
        if self
            .best
            .as_ref()
            .is_none_or(|(_, best)| off(tokens) < off(*best))
        {
            self.best = Some((self.text(), tokens));
        }
        if off(tokens) <= OFF || self.tries >= TRIES {
            return self.best.take();
        }
        let next = match self.at.clone() {
            At::Words(n) => {
                if tokens > self.wanted {
                    self.high = self.high.min(n);
                } else {
                    self.low = self.low.max((n, tokens));
                }
                if self.high > self.low.0 + 1 {
                    let each = (f64::from(tokens) / n as f64).max(0.1);
                    let more = f64::from(self.wanted - self.low.1) / each;
                    let next = self.low.0 + more as usize;
                    At::Words(next.clamp(self.low.0 + 1, self.high - 1))
                } else {
                    At::Tail(vec![0])
                }
            }
            At::Tail(mut tail) => {
                let last = tail.last().copied().unwrap_or_default();
                if tokens > self.wanted {
                    tail.pop();
                }
                if last + 1 == SHORT.len() {
                    return self.best.take();
                }
                tail.push(last + 1);
                At::Tail(tail)
            }
        };
        self.at = next;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::text::words;

    /// Runs the search against a tokenizer; gives the text's tokens and how often it was counted.
    fn fitted(number: u32, wanted: u32, tokenizer: fn(&str) -> u32) -> (u32, u32) {
        let words = words(number, wanted as usize);
        let mut fit = SizeSearch::new(&words, wanted);
        let mut asked = 0;
        loop {
            asked += 1;
            let text = fit.text();
            if let Some((text, tokens)) = fit.hear(tokenizer(&text)) {
                assert_eq!(tokenizer(&text), tokens);
                return (tokens, asked);
            }
        }
    }

    /// Letters, words, and what lies between, as of real tokenizers.
    #[test]
    fn every_size_is_met_within_a_token_by_every_tokenizer() {
        let pieces: fn(&str) -> u32 = |text| {
            let of = |word: &str| {
                word.len().div_ceil(4).max(1) as u32 + u32::from(word.ends_with(['.', ',']))
            };
            text.split_whitespace().map(of).sum()
        };
        let tokenizers: [fn(&str) -> u32; 3] = [
            |text| text.len() as u32,
            |text| text.split_whitespace().count() as u32,
            pieces,
        ];
        for tokenizer in tokenizers {
            for wanted in [16, 64, 128, 512, 2048, 8192, 131_072] {
                for number in [0, 1, 2, 3] {
                    let (tokens, asked) = fitted(number, wanted, tokenizer);
                    assert!(tokens.abs_diff(wanted) <= OFF, "{tokens} for {wanted}");
                    assert!(asked <= 20, "{asked} questions for {wanted}");
                    if wanted > 10_000 {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn a_tokenizer_that_makes_no_sense_ends_the_search() {
        let (tokens, _) = fitted(1, 512, |_| 7);
        assert_eq!(tokens, 7);
        let (tokens, _) = fitted(1, 512, |_| 0);
        assert_eq!(tokens, 0);
        let (tokens, _) = fitted(1, 512, |text| text.len() as u32 * 1000);
        assert!(tokens > 512);
    }
}

//! The two changes that some images' vLLM needs before it can draft with BF16 layers, as small edits of
//! one file whose text is known.
//!
//! The file is read out of the image, compared by its sha256 with the texts that were looked at, changed
//! here, and mounted read-only over the original. A text that is not known is refused: an edit that fits
//! by chance could do anything. Nothing is ever changed inside a container.
//!
//! The hashes are those of vLLM's releases on PyPI from 0.21.0 to 0.33.0. The file mounted has another
//! size and time than the original, so Python compiles it again.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The file of vLLM that loads the MTP layers, below its package's folder.
pub const DRAFTER: &str = "model_executor/models/step3p5_mtp.py";

/// What a text of [`DRAFTER`] is changed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatchKind {
    /// Before vLLM PR 48883 the head of an MTP layer has no name there, so no list of exceptions reaches
    /// it, and beside NVFP4 experts it is built packed (2048 wide instead of 4096).
    Head,
    /// Beside experts of compressed-tensors (MXFP4) the layers are given scales and zero points of a
    /// quantized KV cache, which no checkpoint holds, and the loader asks for them.
    Scales,
}

impl PatchKind {
    fn edit(self) -> Edit {
        match self {
            Self::Head => Edit {
                find: "        quant_config = vllm_config.quant_config\n",
                put: "        # Tandem: the MTP layers are BF16 in these checkpoints, whatever the experts are.\n        quant_config = None\n",
            },
            Self::Scales => Edit {
                find: "            if name.endswith((\".k_scale\", \".v_scale\", \".q_scale\", \".prob_scale\"))\n            and getattr(param, \"numel\", lambda: 0)() == 1\n            and getattr(param, \"requires_grad\", False) is False\n",
                put: "            # Tandem: what the KV cache's quantization would fill; the MTP layers have none.\n            if name.endswith(tuple(f\".{of}_scale\" for of in (\"k\", \"v\", \"q\", \"prob\")))\n            or name.endswith(tuple(f\".{of}_zero_point\" for of in (\"k\", \"v\", \"q\")))\n",
            },
        }
    }

    /// What it does, for people.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Head => {
                "builds the MTP layers as BF16 although the experts are NVFP4 (vLLM PR 48883)"
            }
            Self::Scales => {
                "lets the MTP layers be without scales of a quantized KV cache, which MXFP4 checkpoints lack"
            }
        }
    }
}

/// Lines that are there exactly once, and what takes their place.
struct Edit {
    find: &'static str,
    put: &'static str,
}

/// A text of [`DRAFTER`] that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The releases that have it.
    pub vllm: &'static str,
    /// Its sha256, hex.
    pub sha256: &'static str,
    /// Whether it has the change of PR 48883.
    pub sound: bool,
    /// sha256 after [`PatchKind::Head`].
    head: &'static str,
    /// sha256 after [`PatchKind::Scales`].
    scales: &'static str,
}

impl Known {
    fn after(&self, kind: PatchKind) -> &'static str {
        match kind {
            PatchKind::Head => self.head,
            PatchKind::Scales => self.scales,
        }
    }
}

const KNOWN: [Known; 6] = [
    Known {
        vllm: "0.21.0 to 0.25.1",
        sha256: "9290cc54b17188817026a58a7fec3f8b385e5c18c12fc0388f5ee6a87570368d",
        sound: false,
        head: "6a15ee23abfec9cde3ef24c534193f5b1e8d18026ada1746f65bce11fe09b5d9",
        scales: "c8fc25193b76ef16b6f4959c1abf0b427384505d00414ed8e017d74d60538208",
    },
    Known {
        vllm: "0.26.0",
        sha256: "90271b42e8401a9f1b424f46579134ad8db2599905a64dfd1e34ae841f4dfeb1",
        sound: false,
        head: "47dc688020d6b9f534a1022e069622267b64844badda06686605ab203cb29db5",
        scales: "0d2561fbab59d97fa0afb00210cd44f342f209325fac64c3fdab3dd04ca4aa5f",
    },
    Known {
        vllm: "0.27.0 to 0.29.0",
        sha256: "12c67160ed8a8882599c1748ea440ef15e5218cb32d89ca00f840c720ec83ffc",
        sound: true,
        head: "a3a1bd17989a0e11d87f1e193be737622c63f19bdf8d3cf50c5160cdb765c7ea",
        scales: "b87761d5b9410e7dd9d067a47e576c9cfa977d0b372a7d5525accc2f49bd05ab",
    },
    Known {
        vllm: "0.30.0",
        sha256: "bdc5b04bb27d3b026d70f6f6e98c6cb1e5522ff547c668274e76f80d4d078f19",
        sound: true,
        head: "95ecdfc853c29a18a470f3e285dcebc2c0bb0abc77105852152d9e2737096b68",
        scales: "b6b8e7d9c4840be36e310329e789e8c1fb7b9f97ce03278bd53aae6eb0ee6452",
    },
    Known {
        vllm: "0.31.0",
        sha256: "ce9f26627e2cc7e9d7f6566d408c94010c5df305c7e35e0492ca3994f59cbade",
        sound: true,
        head: "2be7b3a1bf9569c1b21510776345c231e8ca85f4b39f7b5fc7e4a8c56fe5f96b",
        scales: "41834fe49249636706905f111abc97701ab6b1697e630a14e27602c10a200403",
    },
    Known {
        vllm: "0.32.0 and 0.33.0",
        sha256: "8b86edb87d3fcc9b74d45bb94917380fe85d933f1ae1f9c087ac2dbae10ac6e6",
        sound: true,
        head: "6c40ccf63cc66231aa0aa82242f6e065dd511b7d8ac9f9455694f1a63afb31ca",
        scales: "9383128c638e92f86046a3dcc2bea387d93efa135cb71c60a946d651a18d2cfd",
    },
];

/// The sha256 of a text, hex.
pub fn sha256(text: &[u8]) -> String {
    let bytes = Sha256::digest(text);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is known of a text; `None` if nobody has looked at it.
pub fn known(text: &str) -> Option<&'static Known> {
    let found = sha256(text.as_bytes());
    KNOWN.iter().find(|k| k.sha256 == found)
}

/// A changed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patched {
    /// The text.
    pub text: String,
    /// sha256 of the original, hex.
    pub before: String,
    /// sha256 of this one, hex.
    pub after: String,
}

/// Why a text was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchRefused {
    /// It is none of those that were looked at.
    #[error("its {DRAFTER} is a text that Tandem does not know (sha256 {sha256})")]
    Unknown {
        /// Its sha256.
        sha256: String,
    },
    /// The edits do not give what they gave when they were made.
    #[error("the change of its {DRAFTER} came out differently than expected")]
    Differs,
}

/// Changes a text that is known.
pub fn apply(text: &str, kind: PatchKind) -> Result<Patched, PatchRefused> {
    patch_one_of(text, kind, &KNOWN)
}

fn patch_one_of(text: &str, kind: PatchKind, all: &[Known]) -> Result<Patched, PatchRefused> {
    let before = sha256(text.as_bytes());
    let known = all.iter().find(|k| k.sha256 == before);
    let Some(known) = known else {
        return Err(PatchRefused::Unknown { sha256: before });
    };
    let edit = kind.edit();
    if text.matches(edit.find).count() != 1 {
        return Err(PatchRefused::Differs);
    }
    let text = text.replacen(edit.find, edit.put, 1);
    let after = sha256(text.as_bytes());
    if after != known.after(kind) {
        return Err(PatchRefused::Differs);
    }
    Ok(Patched {
        text,
        before,
        after,
    })
}

/// A changed file where it lies and where it is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchFile {
    /// On the machine, absolute.
    pub source: String,
    /// In the container: the original's place.
    pub target: String,
    /// What it was changed for.
    #[serde(rename = "mend")]
    pub kind: PatchKind,
    /// sha256 of the original, hex.
    pub before: String,
    /// sha256 of the file, hex.
    pub after: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines around the two places, in our own words.
    fn text() -> String {
        let head = PatchKind::Head.edit().find;
        let scales = PatchKind::Scales.edit().find;
        format!(
            "class Layer:\n    def __init__(self):\n{head}        self.head = 1\n\n    def load(self):\n        optional = {{\n            name\n            for name, param in all.items()\n{scales}        }}\n"
        )
    }

    fn table(text: &str) -> Known {
        let leak = |s: String| -> &'static str { Box::leak(s.into_boxed_str()) };
        let after = |kind: PatchKind| {
            let edit = kind.edit();
            leak(sha256(text.replacen(edit.find, edit.put, 1).as_bytes()))
        };
        Known {
            vllm: "test",
            sha256: leak(sha256(text.as_bytes())),
            sound: false,
            head: after(PatchKind::Head),
            scales: after(PatchKind::Scales),
        }
    }

    #[test]
    fn a_known_text_gets_exactly_the_edit() {
        let text = text();
        let known = [table(&text)];
        for kind in [PatchKind::Head, PatchKind::Scales] {
            let patched = patch_one_of(&text, kind, &known).unwrap();
            assert_eq!(patched.before, known[0].sha256);
            assert_eq!(patched.after, sha256(patched.text.as_bytes()));
            assert!(patched.text.contains(kind.edit().put), "{}", patched.text);
            assert!(!patched.text.contains(kind.edit().find));
            let lines = |text: &str| text.lines().count();
            let grown = lines(kind.edit().put) - lines(kind.edit().find);
            assert_eq!(lines(&patched.text), lines(&text) + grown, "nothing else");
        }
    }

    #[test]
    fn a_text_that_differs_in_one_byte_is_refused() {
        let text = text();
        let known = [table(&text)];
        for at in [0, text.len() / 2, text.len() - 1] {
            let mut other = text.clone().into_bytes();
            other[at] ^= 1;
            let other = String::from_utf8(other).unwrap();
            assert!(
                matches!(
                    patch_one_of(&other, PatchKind::Head, &known),
                    Err(PatchRefused::Unknown { .. })
                ),
                "byte {at}"
            );
        }
        let refused = apply(&text, PatchKind::Head).unwrap_err();
        assert!(refused.to_string().contains(&sha256(text.as_bytes())));
    }

    #[test]
    fn an_edit_that_comes_out_differently_is_refused() {
        let text = text();
        let twice = format!("{text}{}", PatchKind::Head.edit().find);
        let known = [table(&twice)];
        assert_eq!(
            patch_one_of(&twice, PatchKind::Head, &known),
            Err(PatchRefused::Differs),
            "the lines are there twice"
        );
        let wrong = Known {
            head: "00",
            ..table(&text)
        };
        assert_eq!(
            patch_one_of(&text, PatchKind::Head, &[wrong]),
            Err(PatchRefused::Differs)
        );
    }

    #[test]
    fn the_texts_that_were_looked_at_are_told_apart() {
        for (i, one) in KNOWN.iter().enumerate() {
            for hash in [one.sha256, one.head, one.scales] {
                assert_eq!(hash.len(), 64, "{}", one.vllm);
            }
            assert!(KNOWN[i + 1..].iter().all(|k| k.sha256 != one.sha256));
        }
        assert_eq!(
            KNOWN.iter().filter(|k| !k.sound).count(),
            2,
            "before 0.27.0 the head has no name"
        );
    }
}

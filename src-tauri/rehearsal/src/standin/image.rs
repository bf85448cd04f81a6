//! Looks into an image far enough to say what it is and how large.

use base64::Engine as _;

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) kind: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl std::fmt::Display for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "an image of {} × {} ({})",
            self.width, self.height, self.kind
        )
    }
}

/// Decodes a `data:` URL.
pub(crate) fn from_url(url: &str) -> Result<Picture, String> {
    let Some(rest) = url.strip_prefix("data:") else {
        return Err("The URL must be either a HTTP, data or file URL. (The stand-in reaches no network: send a data URL.)".into());
    };
    let data = rest
        .split_once(";base64,")
        .map(|(_, data)| data)
        .ok_or("Only base64 data URLs are supported for now.")?;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(data)
        .map_err(|_| "Incorrect padding")?;
    look(&bytes).ok_or_else(|| "cannot identify image file <_io.BytesIO object>".into())
}

fn look(b: &[u8]) -> Option<Picture> {
    let be16 = |i: usize| {
        Some(u32::from(u16::from_be_bytes(
            b.get(i..i + 2)?.try_into().ok()?,
        )))
    };
    let be32 = |i: usize| Some(u32::from_be_bytes(b.get(i..i + 4)?.try_into().ok()?));
    let le16 = |i: usize| {
        Some(u32::from(u16::from_le_bytes(
            b.get(i..i + 2)?.try_into().ok()?,
        )))
    };
    let le24 = |i: usize| Some(le16(i)? | u32::from(*b.get(i + 2)?) << 16);
    let picture = |kind, width, height| Picture {
        kind,
        width,
        height,
    };
    if b.starts_with(b"\x89PNG\r\n\x1a\n") && b.get(12..16) == Some(b"IHDR") {
        return Some(picture("PNG", be32(16)?, be32(20)?));
    }
    if b.starts_with(b"GIF8") {
        return Some(picture("GIF", le16(6)?, le16(8)?));
    }
    if b.starts_with(b"RIFF") && b.get(8..12) == Some(b"WEBP") {
        return match b.get(12..16)? {
            b"VP8X" => Some(picture("WebP", le24(24)? + 1, le24(27)? + 1)),
            b"VP8L" => {
                let bits = le16(21)? | le16(23)? << 16;
                Some(picture(
                    "WebP",
                    (bits & 0x3fff) + 1,
                    (bits >> 14 & 0x3fff) + 1,
                ))
            }
            b"VP8 " => Some(picture("WebP", le16(26)? & 0x3fff, le16(28)? & 0x3fff)),
            _ => None,
        };
    }
    if b.starts_with(b"\xff\xd8") {
        let mut i = 2;
        while *b.get(i)? == 0xff {
            let marker = *b.get(i + 1)?;
            if (0xc0..=0xcf).contains(&marker) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
                return Some(picture("JPEG", be16(i + 7)?, be16(i + 5)?));
            }
            i += if marker == 0xff {
                1
            } else {
                2 + be16(i + 2)? as usize
            };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{from_url, look};

    #[test]
    fn the_size_is_read_from_the_front() {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        png.extend([0, 0, 2, 128, 0, 0, 1, 224]);
        assert_eq!(
            look(&png).expect("PNG").to_string(),
            "an image of 640 × 480 (PNG)"
        );
        let jpeg = [
            0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xc0, 0, 17, 8, 0, 3, 0, 5,
        ];
        assert_eq!(look(&jpeg).map(|p| (p.width, p.height)), Some((5, 3)));
        assert_eq!(look(b"hello"), None);
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert!(
            from_url("data:image/png;base64,aGVsbG8=")
                .expect_err("text")
                .contains("cannot identify")
        );
        assert!(from_url("https://example.org/a.png").is_err());
    }
}

//! A picture from a file, made fit to be kept and sent to the model.
//!
//! What comes in is whatever a person dropped on the window. What goes out is a JPEG or a PNG of a
//! bounded size, upright, without the place and time that cameras write into their files.

use std::borrow::Cow;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits};
use tandem_domain::problem::{Code, Problem, bytes as bytes_text};

/// The longer side after the bounding, in pixels.
///
/// The model's encoder sees a picture as one view of 728 px and crops of up to 728 px beside it, so
/// about two crops a side carry all that it can read (2 × 728 = 1456, and 1568 keeps whole patches of
/// 14 px). More would cost bytes on the way and tokens in the prompt, and show it nothing.
pub const LONGER_SIDE: u32 = 1568;

/// The largest file that is read.
pub const MAX_BYTES: u64 = 25_000_000;

/// The longest side that is decoded. Resizing works on whole rows, with 16 bytes a pixel.
const MAX_SIDE: u32 = 32_768;

/// What a picture may take in memory once it is decoded, in bytes: 89 million pixels of a photo. Telephones make 50.
const MAX_MEMORY: u64 = 256 << 20;

/// The shortest side that goes out, in pixels. Encoders that work on patches refuse what is smaller than one.
const SHORTER_SIDE: u32 = 28;

/// How many times as long as wide a picture may be. Encoders refuse more with an error that ends the request.
const MOST_TIMES: u32 = 200;

/// One picture at a time, whoever asks, so that several take no more memory than one.
static ONE: Mutex<()> = Mutex::new(());

/// Where JPEG's loss is not seen and text stays readable.
const JPEG_QUALITY: u8 = 88;

/// A picture that is fit to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedImage {
    /// `image/jpeg`, or `image/png` where something is transparent.
    pub mime: &'static str,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The file.
    pub bytes: Vec<u8>,
    /// What the person should know of it, in sentences.
    pub notices: Vec<String>,
}

/// Why a picture cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The file could not be read.
    #[error("could not read `{}`: {detail}", path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The file is too large.
    #[error("the file has {size} bytes")]
    TooLarge {
        /// Its bytes.
        size: u64,
    },
    /// A side is too long, or one is too long beside the other.
    #[error("the picture has {width} × {height} pixels")]
    Sides {
        /// Across.
        width: u32,
        /// Down.
        height: u32,
    },
    /// Decoded, it would take more memory than Tandem gives to a picture.
    #[error("the picture would take more than {most} bytes of memory")]
    TooMuchMemory {
        /// What it may take.
        most: u64,
    },
    /// It is no picture, or of a kind we do not read.
    #[error("the file is not a picture that Tandem reads{}", kind.map(|k| format!(" but {k}")).unwrap_or_default())]
    UnknownKind {
        /// What it is, where that is known: `HEIC`.
        kind: Option<&'static str>,
    },
    /// It is a picture, and broken.
    #[error("the picture is damaged: {detail}")]
    Damaged {
        /// In the decoder's words.
        detail: String,
    },
}

impl ImageError {
    /// The error in words.
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(Code::BadImage, "The picture was not added.");
        match self {
            Self::Unread { path, detail } => problem
                .cause(format!("`{}` could not be read: {detail}.", path.display()))
                .fix("Check that the file is still there and that you may read it."),
            Self::TooLarge { size } => problem
                .cause(format!(
                    "The file has {}; {} is the most.",
                    bytes_text(*size),
                    bytes_text(MAX_BYTES)
                ))
                .fix("Save it smaller, then add that."),
            Self::Sides { width, height } => problem
                .cause(format!(
                    "It has {width} × {height} pixels; {MAX_SIDE} a side are the most, and {MOST_TIMES} times as long as wide."
                ))
                .fix("Cut out the part that matters, then add that."),
            Self::TooMuchMemory { most } => problem
                .cause(format!(
                    "Decoded it would take more than {} of memory.",
                    bytes_text(*most)
                ))
                .fix("Save it smaller, or with 8 bits a channel, then add that."),
            Self::UnknownKind { kind: Some(HEIC) } => problem
                .cause("It is an HEIC picture, as telephones make them.")
                .fix("Export it as JPEG, then add that."),
            Self::UnknownKind { kind: Some(kind) } => problem
                .cause(format!("It is of the kind {kind}, which Tandem does not read."))
                .fix("Save it as PNG or JPEG, then add that."),
            Self::UnknownKind { kind: None } => problem
                .cause("The file is not a PNG, JPEG, WebP, GIF, BMP or TIFF picture.")
                .fix("Save it as one of these, then add that."),
            Self::Damaged { detail } => problem
                .cause(format!("The file is damaged: {detail}."))
                .fix("Open it in an image viewer; if it shows there, save it again and add that."),
        }
    }
}

impl PreparedImage {
    /// The picture as a `data:` URL, as requests carry it.
    pub fn data_url(&self) -> String {
        data_url(self.mime, &self.bytes)
    }
}

/// A file as a `data:` URL.
pub fn data_url(mime: &str, bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("data:{mime};base64,{text}")
}

/// A file as the window hands it over: a list of numbers would take four times as much room, and time.
pub fn from_base64(text: &str) -> Result<Vec<u8>, ImageError> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    bytes.map_err(|e| ImageError::Damaged {
        detail: e.to_string(),
    })
}

/// Reads a file and prepares it, away from the threads that keep the window going.
pub async fn prepare_file(path: impl AsRef<Path>) -> Result<PreparedImage, ImageError> {
    let path = path.as_ref().to_owned();
    let unread = |detail: String| ImageError::Unread {
        path: path.clone(),
        detail,
    };
    let size = tokio::fs::metadata(&path)
        .await
        .map_err(|e| unread(e.to_string()))?
        .len();
    // Looked at before reading, so that a film is not taken into memory to be refused.
    if size > MAX_BYTES {
        return Err(ImageError::TooLarge { size });
    }
    let bytes = tokio::fs::read(&path)
        .await
        .map_err(|e| unread(e.to_string()))?;
    tokio::task::spawn_blocking(move || prepare(&bytes))
        .await
        .unwrap_or_else(|e| {
            Err(ImageError::Damaged {
                detail: format!("reading it ended in a panic ({e})"),
            })
        })
}

/// Checks a picture, turns it upright, bounds it and encodes it again. Of an animation, the first frame.
pub fn prepare(bytes: &[u8]) -> Result<PreparedImage, ImageError> {
    let size = bytes.len() as u64;
    if size > MAX_BYTES {
        return Err(ImageError::TooLarge { size });
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let damaged = |e: image::ImageError| match e {
        image::ImageError::Limits(_) => ImageError::TooMuchMemory { most: MAX_MEMORY },
        e => ImageError::Damaged {
            detail: e.to_string(),
        },
    };
    let bytes = &without_packed_notes(bytes)[..];
    // By its content: names lie, and pasted pictures have none.
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| ImageError::Damaged {
            detail: e.to_string(),
        })?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let format = reader.format();
    let Some(format) = format.filter(|f| READABLE.contains(f)) else {
        return Err(ImageError::UnknownKind {
            kind: kind_of(bytes),
        });
    };
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    // Before decoding: a few kilobytes can unfold to gigabytes.
    let (short, long) = (width.min(height), width.max(height));
    if long > MAX_SIDE || long > short.saturating_mul(MOST_TIMES) {
        return Err(ImageError::Sides { width, height });
    }
    if decoder.total_bytes() > MAX_MEMORY {
        return Err(ImageError::TooMuchMemory { most: MAX_MEMORY });
    }
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut picture = eight_bits(DynamicImage::from_decoder(decoder).map_err(damaged)?);
    // First coarsely, with next to no memory: a fine look at every pixel takes 16 bytes for each.
    if picture.width().max(picture.height()) > 2 * LONGER_SIDE {
        picture = picture.thumbnail(2 * LONGER_SIDE, 2 * LONGER_SIDE);
    }
    picture.apply_orientation(orientation);
    if picture.width().max(picture.height()) > LONGER_SIDE {
        // Keeps the proportions.
        picture = picture.resize(
            LONGER_SIDE,
            LONGER_SIDE,
            image::imageops::FilterType::Lanczos3,
        );
    }
    let notices = [
        (format == ImageFormat::Jpeg && !has_end_of_jpeg(bytes)).then(|| {
            "The file is cut off, so a part of the picture is missing. Get it again to have all of it.".to_owned()
        }),
        small_text(short, long, picture.width(), picture.height()),
    ];
    Ok(PreparedImage {
        notices: notices.into_iter().flatten().collect(),
        ..encode(&with_least_sides(picture))?
    })
}

/// A picture that is tall or wide loses most where it is made smaller: a page of text, for one.
fn small_text(short: u32, long: u32, width: u32, height: u32) -> Option<String> {
    let times = f64::from(long) / f64::from(width.max(height));
    let tall = long >= 4 * short;
    (tall && times > 1.5).then(|| {
        format!(
            "It is sent as {width} × {height} pixels, {times:.1} times smaller, so small text in it cannot be read. Cut it into parts to show more."
        )
    })
}

/// The picture on a ground that is as large as encoders need it.
fn with_least_sides(picture: DynamicImage) -> DynamicImage {
    let (width, height) = (picture.width(), picture.height());
    if width.min(height) >= SHORTER_SIDE {
        return picture;
    }
    let (w, h) = (width.max(SHORTER_SIDE), height.max(SHORTER_SIDE));
    let alpha = if is_transparent(&picture) { 0 } else { u8::MAX };
    let white = image::Rgba([u8::MAX, u8::MAX, u8::MAX, alpha]);
    let mut ground = image::RgbaImage::from_pixel(w, h, white);
    let at = (i64::from(w - width) / 2, i64::from(h - height) / 2);
    image::imageops::overlay(&mut ground, &picture.to_rgba8(), at.0, at.1);
    ground.into()
}

/// Whether a JPEG has its end. Within a scan the two bytes of a mark never stand together.
fn has_end_of_jpeg(bytes: &[u8]) -> bool {
    const SCAN: u8 = 0xda;
    let mut at = 2;
    // Segments before the first scan tell their length; one of them may hold a whole small JPEG.
    while let Some([0xff, mark, high, low]) = bytes.get(at..at + 4) {
        if *mark == SCAN {
            return bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]);
        }
        at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    // Of another build: the decoder decides.
    true
}

/// The same with 8 bits a channel, which is what goes out.
fn eight_bits(picture: DynamicImage) -> DynamicImage {
    match picture {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_) => picture,
        wider if wider.color().has_alpha() => wider.into_rgba8().into(),
        wider => wider.into_rgb8().into(),
    }
}

/// A PNG without its colour profile and its texts, which are packed and may unfold to gigabytes. Neither is needed:
/// the picture that goes out has none. Other files, and those that are no sound PNG, stay as they are.
fn without_packed_notes(bytes: &[u8]) -> Cow<'_, [u8]> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    const PACKED: [&[u8]; 3] = [b"iCCP", b"zTXt", b"iTXt"];
    let Some(mut rest) = bytes.strip_prefix(SIGNATURE) else {
        return Cow::Borrowed(bytes);
    };
    let mut kept = SIGNATURE.to_vec();
    while let Some((length, _)) = rest.split_first_chunk() {
        // Length, name, data and checksum.
        let whole = (u32::from_be_bytes(*length) as usize).saturating_add(12);
        let Some((chunk, after)) = rest.split_at_checked(whole) else {
            break;
        };
        if !PACKED.contains(&&chunk[4..8]) {
            kept.extend_from_slice(chunk);
        }
        rest = after;
    }
    kept.extend_from_slice(rest);
    Cow::Owned(kept)
}

fn encode(picture: &DynamicImage) -> Result<PreparedImage, ImageError> {
    let mut bytes = Vec::new();
    let mime = if is_transparent(picture) {
        picture
            .to_rgba8()
            .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
            .map(|()| "image/png")
    } else {
        JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
            .encode_image(&picture.to_rgb8())
            .map(|()| "image/jpeg")
    }
    .map_err(|e| ImageError::Damaged {
        detail: e.to_string(),
    })?;
    Ok(PreparedImage {
        mime,
        width: picture.width(),
        height: picture.height(),
        bytes,
        notices: Vec::new(),
    })
}

/// Whether any pixel lets the ground shine through. Many files have the channel and do not use it.
fn is_transparent(picture: &DynamicImage) -> bool {
    picture.color().has_alpha() && picture.to_rgba8().pixels().any(|p| p.0[3] < u8::MAX)
}

const READABLE: [ImageFormat; 6] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::WebP,
    ImageFormat::Gif,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
];

const HEIC: &str = "HEIC";

/// What a file is that is not read.
fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    let begins = |with: &[u8]| bytes.starts_with(with);
    if bytes.get(4..8) == Some(b"ftyp") {
        return kind_of_brands(bytes);
    }
    let text = bytes.trim_ascii_start();
    match () {
        () if begins(b"%PDF-") => Some("PDF"),
        () if begins(b"\xff\x0a") || begins(b"\0\0\0\x0cJXL ") => Some("JPEG XL"),
        () if begins(b"8BPS") => Some("PSD"),
        () if text.starts_with(b"<svg") => Some("SVG"),
        () => None,
    }
}

/// By the brands in the first box of the ISO container that HEIC, AVIF and films share.
fn kind_of_brands(bytes: &[u8]) -> Option<&'static str> {
    let length = bytes.first_chunk().map_or(0, |n| u32::from_be_bytes(*n));
    let end = bytes.len().min(length as usize).min(256);
    // The second four bytes behind the name are a version.
    let others = bytes.get(16..end).unwrap_or_default().chunks_exact(4);
    let brands: Vec<&[u8]> = bytes.get(8..12).into_iter().chain(others).collect();
    let has = |known: &[&[u8; 4]]| brands.iter().any(|b| known.iter().any(|k| k[..] == **b));
    if has(&[b"avif", b"avis"]) {
        Some("AVIF")
    } else if has(&[
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1",
    ]) {
        Some(HEIC)
    } else {
        Some("video")
    }
}

#[cfg(test)]
#[path = "image_resize_tests.rs"]
mod tests;

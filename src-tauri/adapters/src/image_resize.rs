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
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    fn file(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture
            .write_to(&mut Cursor::new(&mut bytes), format)
            .expect("the picture can be written");
        bytes
    }

    /// Red on the left, blue on the right.
    fn two_halves(width: u32, height: u32) -> DynamicImage {
        RgbImage::from_fn(width, height, |x, _| {
            if x < width / 2 {
                Rgb([250, 0, 0])
            } else {
                Rgb([0, 0, 250])
            }
        })
        .into()
    }

    fn decoded(prepared: &PreparedImage) -> RgbImage {
        image::load_from_memory(&prepared.bytes)
            .expect("it can be read again")
            .to_rgb8()
    }

    #[test]
    fn every_kind_is_read_and_small_ones_keep_their_size() {
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::WebP,
            ImageFormat::Gif,
            ImageFormat::Bmp,
            ImageFormat::Tiff,
        ] {
            let prepared = prepare(&file(&two_halves(60, 40), format))
                .unwrap_or_else(|e| panic!("{format:?}: {e}"));
            assert_eq!((prepared.width, prepared.height), (60, 40), "{format:?}");
            assert_eq!(
                prepared.mime, "image/jpeg",
                "{format:?} without transparency"
            );
            let seen = decoded(&prepared);
            assert!(
                seen.get_pixel(5, 20).0[0] > 200,
                "{format:?}: red on the left"
            );
            assert!(
                seen.get_pixel(55, 20).0[2] > 200,
                "{format:?}: blue on the right"
            );
        }
    }

    #[test]
    fn large_ones_are_bounded_in_proportion() {
        let prepared =
            prepare(&file(&two_halves(3136, 1000), ImageFormat::Jpeg)).expect("it is read");
        assert_eq!((prepared.width, prepared.height), (LONGER_SIDE, 500));
        assert_eq!(decoded(&prepared).dimensions(), (LONGER_SIDE, 500));
        assert_eq!(prepared.notices, [""; 0]);
    }

    #[test]
    fn a_photo_of_a_telephone_in_full_resolution_is_made_fit() {
        let prepared = prepare(&file(&two_halves(8160, 6120), ImageFormat::Jpeg));
        let prepared = prepared.expect("it is read");
        assert_eq!((prepared.width, prepared.height), (LONGER_SIDE, 1176));
        assert!(prepared.notices.is_empty());
        assert!(decoded(&prepared).get_pixel(1500, 600).0[2] > 200);
    }

    #[test]
    fn strips_and_specks_are_made_fit_or_refused() {
        let refused = |width, height| prepare(&file(&two_halves(width, height), ImageFormat::Png));
        let sides = |width, height| Err(ImageError::Sides { width, height });
        assert_eq!(refused(5001, 25), sides(5001, 25));
        assert_eq!(refused(1, 300), sides(1, 300));
        for (width, height, out) in [
            (5000, 25, (LONGER_SIDE, SHORTER_SIDE)),
            (1, 1, (SHORTER_SIDE, SHORTER_SIDE)),
            (60, 10, (60, SHORTER_SIDE)),
        ] {
            let png = file(&two_halves(width, height), ImageFormat::Png);
            let prepared = prepare(&png).expect("it is read");
            assert_eq!((prepared.width, prepared.height), out);
        }
        let speck = prepare(&file(&two_halves(60, 10), ImageFormat::Png)).expect("it is read");
        let seen = decoded(&speck);
        assert!(seen.get_pixel(5, 14).0[1] < 100, "red in the middle");
        assert!(seen.get_pixel(5, 1).0[1] > 200, "on a white ground");
    }

    #[test]
    fn a_tall_page_is_told_to_be_small_and_a_cut_file_to_be_cut() {
        let notices = |bytes: &[u8]| prepare(bytes).expect("it is read").notices;
        let page = notices(&file(&two_halves(1000, 8000), ImageFormat::Png));
        assert!(
            page[0].contains("196 × 1568") && page[0].contains("5.1 times"),
            "{page:?}"
        );
        assert!(notices(&file(&two_halves(300, 1500), ImageFormat::Png)).is_empty());
        let jpeg = file(&two_halves(400, 300), ImageFormat::Jpeg);
        assert!(notices(&jpeg).is_empty());
        // With a small picture of its own inside, as cameras write it.
        let small = turned(&jpeg, 1);
        assert!(notices(&small).is_empty());
        let cut = notices(&jpeg[..jpeg.len() * 9 / 10]);
        assert!(cut[0].contains("cut off"), "{cut:?}");
    }

    #[test]
    fn transparency_is_kept_only_where_it_is_used() {
        let see_through: DynamicImage = RgbaImage::from_pixel(8, 8, Rgba([1, 2, 3, 100])).into();
        assert_eq!(
            prepare(&file(&see_through, ImageFormat::Png))
                .expect("it is read")
                .mime,
            "image/png"
        );
        let solid: DynamicImage = RgbaImage::from_pixel(8, 8, Rgba([1, 2, 3, 255])).into();
        assert_eq!(
            prepare(&file(&solid, ImageFormat::Png))
                .expect("it is read")
                .mime,
            "image/jpeg",
            "a channel that hides nothing"
        );
    }

    /// Puts an EXIF block with this orientation behind the start of a JPEG file.
    fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let length = (exif.len() as u16 + 2).to_be_bytes();
        [&jpeg[..2], b"\xff\xe1", &length, &exif, &jpeg[2..]].concat()
    }

    #[test]
    fn pictures_stand_upright_and_forget_their_camera() {
        let jpeg = file(&two_halves(60, 40), ImageFormat::Jpeg);
        // 6: the camera was held so that the picture must be turned to the right.
        let prepared = prepare(&turned(&jpeg, 6)).expect("it is read");
        assert_eq!((prepared.width, prepared.height), (40, 60));
        let seen = decoded(&prepared);
        assert!(seen.get_pixel(20, 5).0[0] > 200, "what was left is above");
        assert!(seen.get_pixel(20, 55).0[2] > 200, "what was right is below");
        assert!(
            !prepared.bytes.windows(4).any(|w| w == b"Exif"),
            "what the camera wrote does not go on"
        );
    }

    #[test]
    fn what_cannot_be_used_is_said_in_words() {
        let causes = |bytes: &[u8]| {
            let problem = prepare(bytes).expect_err("it is refused").problem();
            assert_eq!(problem.code, Code::BadImage);
            assert!(problem.fix.is_some(), "there is something to do");
            problem.cause.expect("there is a cause")
        };
        assert!(causes(b"%PDF-1.7 and so on").contains("PDF"));
        assert!(causes(b"some words").contains("not a PNG, JPEG, WebP, GIF, BMP or TIFF"));
        for brand in ["heic", "heis", "hevm", "hevs", "msf1"] {
            let bytes = format!("\0\0\0\x18ftyp{brand}\0\0\0\0abcdefgh");
            assert!(causes(bytes.as_bytes()).contains("HEIC"), "{brand}");
        }
        assert!(causes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif").contains("AVIF"));
        assert!(causes(b"\0\0\0\x18ftypisom\0\0\0\0mp42mp41").contains("video"));
        assert!(causes(b"").contains("not a PNG"));
        let png = file(&two_halves(60, 40), ImageFormat::Png);
        assert!(causes(&png[..png.len() / 2]).contains("damaged"));
        assert!(causes(&vec![0; MAX_BYTES as usize + 1]).contains("25.0 MB is the most"));
    }

    #[test]
    fn a_small_file_of_many_pixels_is_refused_before_it_unfolds() {
        let mut png = file(&two_halves(10, 10), ImageFormat::Png);
        // Width and height stand at a fixed place of a PNG, under a checksum of their block.
        png[16..20].copy_from_slice(&100_000u32.to_be_bytes());
        png[20..24].copy_from_slice(&100_000u32.to_be_bytes());
        let checksum = crc32(&png[12..29]).to_be_bytes();
        png[29..33].copy_from_slice(&checksum);
        assert_eq!(
            prepare(&png),
            Err(ImageError::Sides {
                width: 100_000,
                height: 100_000
            })
        );
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |c, _| {
                if c & 1 == 1 {
                    (c >> 1) ^ 0xedb8_8320
                } else {
                    c >> 1
                }
            })
        })
    }

    #[test]
    fn a_side_without_an_end_and_too_much_depth_are_refused() {
        let thin = RgbImage::new(MAX_SIDE + 1, 300).into();
        assert_eq!(
            prepare(&file(&thin, ImageFormat::Png)),
            Err(ImageError::Sides {
                width: MAX_SIDE + 1,
                height: 300
            })
        );
        // Its header alone: it is refused before anything is unpacked.
        let mut deep = file(
            &image::ImageBuffer::<Rgba<u16>, _>::new(1, 1).into(),
            ImageFormat::Png,
        );
        deep[16..20].copy_from_slice(&6_000u32.to_be_bytes());
        deep[20..24].copy_from_slice(&6_000u32.to_be_bytes());
        let sum = crc32(&deep[12..29]).to_be_bytes();
        deep[29..33].copy_from_slice(&sum);
        let refused = prepare(&deep);
        assert_eq!(refused, Err(ImageError::TooMuchMemory { most: MAX_MEMORY }));
    }

    #[test]
    fn a_packed_profile_is_left_out_before_it_unfolds() {
        use image::ImageEncoder as _;
        let picture = two_halves(32, 32).to_rgb8();
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        let profile = vec![0; 1 << 20];
        encoder
            .set_icc_profile(profile)
            .expect("a PNG may have one");
        let colour = image::ExtendedColorType::Rgb8;
        let written = encoder.write_image(picture.as_raw(), 32, 32, colour);
        written.expect("it is written");
        let has = |bytes: &[u8]| bytes.windows(4).any(|w| w == b"iCCP");
        assert!(has(&bytes));
        assert!(!has(&without_packed_notes(&bytes)));
        assert_eq!(prepare(&bytes).expect("it is read").width, 32);
        let cut = &bytes[..bytes.len() - 3];
        assert!(without_packed_notes(cut).ends_with(&cut[cut.len() - 5..]));
    }

    #[tokio::test]
    async fn files_are_read_and_missing_ones_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cable.png");
        std::fs::write(&path, file(&two_halves(6, 4), ImageFormat::Png)).expect("it is written");
        let prepared = prepare_file(&path).await.expect("it is read");
        assert!(
            prepared
                .data_url()
                .starts_with("data:image/jpeg;base64,/9j/")
        );
        let missing = prepare_file(folder.path().join("gone.png")).await;
        let cause = missing.expect_err("there is none").problem().cause;
        assert!(cause.is_some_and(|c| c.contains("gone.png")));
    }
}

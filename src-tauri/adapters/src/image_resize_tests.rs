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
    let prepared = prepare(&file(&two_halves(3136, 1000), ImageFormat::Jpeg)).expect("it is read");
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

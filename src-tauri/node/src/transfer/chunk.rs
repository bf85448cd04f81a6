//! One chunk as the Hub's storage keeps it: a header of eight bytes, then its bytes, mostly compressed.
//!
//! The header and the ways of compression are `xet-core-structures`' knowledge. What this adds is that no
//! chunk can take more memory than its header admits, however its compressed bytes were made.

use std::io::{self, Cursor, Write};

use xet_core_structures::xorb_object::byte_grouping::bg4::bg4_regroup;
use xet_core_structures::xorb_object::{
    CompressionScheme, XORB_CHUNK_HEADER_LENGTH, XorbChunkHeader, parse_chunk_header,
};

/// Bytes of a header.
pub(super) const HEADER: usize = XORB_CHUNK_HEADER_LENGTH;

/// What a header says.
pub(super) struct Head {
    /// Bytes that follow.
    pub(super) packed: usize,
    /// Bytes that they are.
    pub(super) len: usize,
    scheme: CompressionScheme,
}

/// Reads a header. Sizes that no chunk has are refused, with why as part of a sentence.
pub(super) fn head(bytes: [u8; HEADER]) -> Result<Head, String> {
    let header: XorbChunkHeader =
        parse_chunk_header(bytes).map_err(|e| format!("a chunk's header is wrong ({e})"))?;
    let scheme = header
        .get_compression_scheme()
        .ok()
        .filter(|s| *s != CompressionScheme::Auto)
        .ok_or("a chunk is compressed in an unknown way")?;
    let head = Head {
        packed: header.get_compressed_length() as usize,
        len: header.get_uncompressed_length() as usize,
        scheme,
    };
    // What would not become smaller is kept as it is.
    if head.packed > head.len || head.len == 0 {
        return Err("a chunk's sizes do not fit each other".into());
    }
    Ok(head)
}

impl Head {
    /// Unpacks a chunk.
    pub(super) fn unpack(&self, packed: &[u8]) -> Result<Vec<u8>, String> {
        let bytes = match self.scheme {
            CompressionScheme::None => packed.to_vec(),
            CompressionScheme::ByteGrouping4LZ4 => bg4_regroup(&self.lz4(packed)?),
            _ => self.lz4(packed)?,
        };
        if bytes.len() == self.len {
            Ok(bytes)
        } else {
            Err("a chunk has another size than its header says".into())
        }
    }

    fn lz4(&self, packed: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Bounded {
            bytes: Vec::with_capacity(self.len),
            most: self.len,
        };
        CompressionScheme::LZ4
            .decompress_from_reader(&mut Cursor::new(packed), &mut out)
            .map_err(|e| format!("a chunk cannot be unpacked ({e})"))?;
        Ok(out.bytes)
    }
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.most {
            return Err(io::Error::other("it holds more than its header says"));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use xet_core_structures::xorb_object::{serialize_chunk, write_chunk_header};

    use super::*;

    const WAYS: [CompressionScheme; 3] = [
        CompressionScheme::None,
        CompressionScheme::LZ4,
        CompressionScheme::ByteGrouping4LZ4,
    ];

    fn packed(bytes: &[u8], way: CompressionScheme) -> Vec<u8> {
        let mut out = Vec::new();
        serialize_chunk(bytes, &mut out, way).unwrap();
        out
    }

    fn unpacked(chunk: &[u8]) -> Result<Vec<u8>, String> {
        let head = head(chunk[..HEADER].try_into().unwrap())?;
        assert_eq!(head.packed, chunk.len() - HEADER);
        head.unpack(&chunk[HEADER..])
    }

    #[test]
    fn a_chunk_comes_out_as_it_went_in_however_it_was_packed() {
        let numbers: Vec<u8> = (0_u32..20_000)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        for way in WAYS {
            for bytes in [&numbers[..], &numbers[..40_001], &[7]] {
                assert_eq!(unpacked(&packed(bytes, way)).unwrap(), bytes, "{way}");
            }
        }
    }

    #[test]
    fn a_chunk_that_unpacks_to_more_than_it_says_is_refused_before_it_is_in_memory() {
        for way in [CompressionScheme::LZ4, CompressionScheme::ByteGrouping4LZ4] {
            let whole = packed(&vec![0; 8 << 20], way);
            let inside = &whole[HEADER..];
            let head = Head {
                packed: inside.len(),
                len: 64 << 10,
                scheme: way,
            };
            let why = head.unpack(inside).unwrap_err();
            assert!(why.contains("more than its header says"), "{why}");
        }
    }

    #[test]
    fn a_chunk_that_is_broken_is_refused() {
        let bytes = [3; 50_000];
        for way in WAYS {
            let good = packed(&bytes, way);
            let mut short = head(good[..HEADER].try_into().unwrap()).unwrap();
            short.len += 1;
            assert!(short.unpack(&good[HEADER..]).is_err(), "{way}: length");
            let mut version = good.clone();
            version[0] ^= 1;
            assert!(unpacked(&version).is_err(), "{way}: header");
        }
        let mut torn = packed(&bytes, CompressionScheme::LZ4);
        torn[HEADER] ^= 0xff;
        assert!(unpacked(&torn).is_err());
        // The end of an object where a chunk should be, and sizes that nobody packs.
        assert!(head(*b"XETBLOB\0").is_err());
        let mut wide = Vec::new();
        let header = XorbChunkHeader::new(CompressionScheme::LZ4, 200_000, 100_000);
        write_chunk_header(&mut wide, &header).unwrap();
        assert!(head(wide[..].try_into().unwrap()).is_err());
    }
}

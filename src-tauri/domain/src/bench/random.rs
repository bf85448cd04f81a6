//! Numbers for drawing, the same for the same beginning.

/// Spreads the bits of one number over the next (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

/// The step of the generator; any odd number with many bits would do.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`; 0 where that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The upper half of a product of 128 bits spreads evenly enough for thousands.
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }
}

// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Chance that is the same again from the same seed (SplitMix64, Steele and
//! others 2014): each fault has dice of its own, so that no fault depends on
//! what another one threw.

/// Dice of one fault.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 on, less than 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from 0 on, less than `limit`; 0 where that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The remainder's bias is below 2^-32 for the limits in use here.
        self.next().checked_rem(limit).unwrap_or(0)
    }

    /// A number of the normal distribution with mean 0 and deviation 1 (Box and
    /// Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let (first, second) = (1.0 - self.unit(), self.unit());
        (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_numbers() {
        let throw = |seed| {
            let mut dice = Dice::new(seed);
            [(); 8].map(|()| dice.next())
        };
        assert_eq!(throw(7), throw(7));
        assert_ne!(throw(7), throw(8));
    }

    #[test]
    fn numbers_fill_their_range_evenly() {
        let mut dice = Dice::new(1);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[(dice.unit() * 10.0) as usize] += 1;
        }
        for count in counts {
            assert!((9_500..10_500).contains(&count), "{counts:?}");
        }
        assert!((0..1000).all(|_| dice.below(3) < 3));
        assert_eq!(dice.below(0), 0);
    }
}

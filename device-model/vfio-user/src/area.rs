// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Parts of regions, which may overlap or hold an access.

/// A part of a region, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Offset in the region, and in its file.
    pub offset: u64,
    /// Length.
    pub size: u64,
}

impl Area {
    /// Offset behind the last byte, unless that overflows.
    #[must_use]
    pub const fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.size)
    }

    /// Whether the two have a byte in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let before =
            |first: &Self, second: &Self| first.end().is_some_and(|end| end <= second.offset);
        !before(self, other) && !before(other, self)
    }

    /// Whether an access lies wholly inside.
    #[must_use]
    pub fn holds(&self, offset: u64, len: u64) -> bool {
        match (offset.checked_add(len), self.end()) {
            (Some(end), Some(own_end)) => offset >= self.offset && end <= own_end,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Area;

    #[test]
    fn an_area_does_not_hold_an_access_that_overflows() {
        let area = Area {
            offset: 0x1000,
            size: 0x1000,
        };
        assert!(area.holds(0x1000, 0x1000));
        assert!(!area.holds(0x1fff, 2));
        assert!(!area.holds(u64::MAX, 2));
    }
}

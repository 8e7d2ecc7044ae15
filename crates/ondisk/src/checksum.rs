//! The checksum of leaders and dblocks.

/// How many of a leader's first bytes its checksum covers: those before the checksum itself.
pub const LEADER_CHECKSUM_LEN: usize = 168;

/// How many of a dblock's first bytes its checksum covers: those before the checksum itself.
pub const DBLOCK_CHECKSUM_LEN: usize = 48;

/// The bare CRC-32C register after `covered`, started at `0xfffffffe` and not inverted at the end.
///
/// Learnt from sanlock's `leader_checksum` and checked against sectors of its binary.
pub fn checksum(covered: &[u8]) -> u32 {
    // The crate inverts its start value and its result: 1 starts the register at !1.
    !crc32c::crc32c_append(1, covered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The textbook algorithm: a table of the reflected polynomial 0x1EDC6F41, byte by byte.
    fn reference(bytes: &[u8]) -> u32 {
        let table: Vec<u32> = (0..256_u32)
            .map(|byte| {
                (0..8).fold(byte, |register, _| {
                    (register >> 1) ^ if register & 1 == 1 { 0x82f6_3b78 } else { 0 }
                })
            })
            .collect();
        bytes.iter().fold(!1, |register, byte| {
            table[((register ^ u32::from(*byte)) & 0xff) as usize] ^ (register >> 8)
        })
    }

    #[test]
    fn known_values() {
        assert_eq!(checksum(&[]), 0xffff_fffe);
        assert_eq!(checksum(&[0; 48]), reference(&[0; 48]));
        assert_ne!(
            checksum(&[0; 48]),
            0,
            "an erased dblock differs from an untouched one"
        );
    }

    proptest! {
        #[test]
        fn agrees_with_the_textbook(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(checksum(&bytes), reference(&bytes));
        }
    }
}

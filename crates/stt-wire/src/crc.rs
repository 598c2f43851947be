//! The two checksums of a packet (PROTOCOL.md §1). They tell a packet that a network damaged from
//! one that was forged or malformed, before any cryptography is spent; they protect nothing.

/// CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, not reflected, no final XOR.
///
/// Two bytes a step: the header's 22 bytes cost eleven dependent look-ups.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0xFFFF_u16;
    let (pairs, rest) = bytes.as_chunks::<2>();
    for [first, second] in pairs {
        let high = (crc >> 8) as u8 ^ first;
        let low = crc as u8 ^ second;
        crc = TABLES[1][usize::from(high)] ^ TABLES[0][usize::from(low)];
    }
    for byte in rest {
        crc = (crc << 8) ^ TABLES[0][usize::from((crc >> 8) as u8 ^ byte)];
    }
    crc
}

/// CRC-32 (IEEE 802.3), with the processor's instructions where it has them.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// `TABLES[n][b]`: what byte `b` contributes when `n` more bytes follow it.
static TABLES: [[u16; 256]; 2] = tables();

const fn tables() -> [[u16; 256]; 2] {
    let mut tables = [[0_u16; 256]; 2];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut byte = 0;
    while byte < 256 {
        let crc = tables[0][byte];
        tables[1][byte] = (crc << 8) ^ tables[0][(crc >> 8) as usize];
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitwise(bytes: &[u8]) -> u16 {
        let mut crc = 0xFFFF_u16;
        for byte in bytes {
            crc ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            }
        }
        crc
    }

    #[test]
    fn catalogue_check_values() {
        assert_eq!(crc16(b"123456789"), 0x29B1);
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn two_bytes_a_step_equal_one_bit_a_step() {
        let bytes: [u8; 64] = core::array::from_fn(|index| (index * 151 + 7) as u8);
        for length in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..length]), bitwise(&bytes[..length]), "{length} bytes");
        }
    }
}

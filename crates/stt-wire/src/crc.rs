//! The two checksums of a packet (PROTOCOL.md §1). They tell a packet that a network damaged from
//! one that was forged or malformed, before any cryptography is spent; they protect nothing.

/// Bytes of a step of [`crc16`]: half of what a header's is computed over. The table is then 5.5 KiB.
const STEP: usize = 11;

/// CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, not reflected, no final XOR.
///
/// Eleven bytes a step, whose look-ups do not wait for each other: the header's 22 bytes take two steps. Two
/// bytes a step took 60 ns for them, each look-up waiting for the one before, and this takes 21.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0xFFFF_u16;
    let (steps, rest) = bytes.as_chunks::<STEP>();
    for step in steps {
        let [high, low] = crc.to_be_bytes();
        crc = TABLES[STEP - 1][usize::from(step[0] ^ high)]
            ^ TABLES[STEP - 2][usize::from(step[1] ^ low)];
        for index in 2..STEP {
            crc ^= TABLES[STEP - 1 - index][usize::from(step[index])];
        }
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
static TABLES: [[u16; 256]; STEP] = tables();

const fn tables() -> [[u16; 256]; STEP] {
    let mut tables = [[0_u16; 256]; STEP];
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
    let mut follow = 1;
    while follow < STEP {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[follow - 1][byte];
            tables[follow][byte] = (crc << 8) ^ tables[0][(crc >> 8) as usize];
            byte += 1;
        }
        follow += 1;
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
    fn many_bytes_a_step_equal_one_bit_a_step() {
        let bytes: [u8; 64] = core::array::from_fn(|index| (index * 151 + 7) as u8);
        for length in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..length]), bitwise(&bytes[..length]), "{length} bytes");
        }
    }
}

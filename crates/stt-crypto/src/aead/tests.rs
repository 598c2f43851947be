use super::*;
use crate::schedule::TrafficSecrets;

fn keys(aead: Aead) -> (SealKey, OpenKey) {
    let secrets = TrafficSecrets::new([1; 32], ([2; 32], [3; 32]));
    (secrets.keys(true, aead).0.key, secrets.keys(false, aead).1.key)
}

fn sealed(key: &SealKey, number: u64, header: &[u8], text: &[u8]) -> Vec<u8> {
    let mut packet = text.to_vec();
    packet.resize(text.len() + AEAD_TAG_LEN, 0);
    key.seal_in_place(number, header, &mut packet);
    packet
}

#[test]
fn every_flipped_bit_of_header_and_payload_fails() {
    for aead in Aead::ALL {
        let (seal, open) = keys(aead);
        let header = [0x81; 22];
        let packet = sealed(&seal, 77, &header, b"forty bytes of payload, more or less ...");
        for bit in 0..header.len() * 8 {
            let mut header = header;
            header[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open.open_in_place(77, &header, &mut packet.clone()), Err(OpenFailed));
        }
        for bit in 0..packet.len() * 8 {
            let mut packet = packet.clone();
            packet[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open.open_in_place(77, &header, &mut packet), Err(OpenFailed));
        }
        for bit in 0..62 {
            assert_eq!(
                open.open_in_place(77 ^ (1 << bit), &header, &mut packet.clone()),
                Err(OpenFailed)
            );
        }
        assert_eq!(open.open_in_place(77, &header, &mut packet.clone()), Ok(40));
    }
}

#[test]
fn packets_of_any_length_open_and_truncated_ones_do_not() {
    for aead in Aead::ALL {
        let (seal, open) = keys(aead);
        for len in 0..100 {
            let text: Vec<u8> = (0..len).collect();
            let packet = sealed(&seal, u64::from(len), b"h", &text);
            for cut in 0..packet.len() {
                assert_eq!(
                    open.open_in_place(u64::from(len), b"h", &mut packet[..cut].to_vec()),
                    Err(OpenFailed)
                );
            }
            let mut opened = packet;
            assert_eq!(open.open_in_place(u64::from(len), b"h", &mut opened), Ok(text.len()));
            assert_eq!(opened[..text.len()], text);
        }
    }
}

#[test]
fn phases_do_not_open_each_other() {
    for aead in Aead::ALL {
        let (mut seal, mut open) = keys(aead);
        for _ in 0..5 {
            let (next_seal, next_open) = (seal.next(), open.next());
            assert_eq!(
                open.open_in_place(1, b"", &mut sealed(&next_seal, 1, b"", b"x")),
                Err(OpenFailed)
            );
            assert_eq!(
                next_open.open_in_place(1, b"", &mut sealed(&seal, 1, b"", b"x")),
                Err(OpenFailed)
            );
            assert_eq!(
                next_open.open_in_place(1, b"", &mut sealed(&next_seal, 1, b"", b"x")),
                Ok(1)
            );
            (seal, open) = (next_seal, next_open);
        }
    }
}

#[test]
fn an_aead_is_chosen_from_what_is_offered() {
    assert_eq!(Aead::supported_bitmap(), 0b11);
    assert_eq!(Aead::choose(0b11), Some(Aead::preferred()));
    assert_eq!(Aead::choose(0b01), Some(Aead::Aes256Gcm));
    assert_eq!(Aead::choose(0b10), Some(Aead::ChaCha20Poly1305));
    assert_eq!(Aead::choose(0xfffc), None);
    assert_eq!(Aead::from_bit(0b11), None);
    assert_eq!(Aead::from_bit(0), None);
    assert!(Aead::ALL.iter().all(|aead| Aead::from_bit(aead.bit()) == Some(*aead)));
}

#[test]
fn debug_shows_no_secret() {
    let (seal, open) = keys(Aead::Aes256Gcm);
    assert_eq!(
        format!("{seal:?} {open:?}"),
        "SealKey { aead: Aes256Gcm, .. } OpenKey { aead: Aes256Gcm, .. }"
    );
}

#[test]
fn the_secrets_of_a_key_log_are_enough_to_speak_and_to_read() {
    let secrets = TrafficSecrets::new([1; 32], ([2; 32], [3; 32]));
    for aead in Aead::ALL {
        for (is_initiator, secret) in [true, false].into_iter().zip(secrets.first_secrets()) {
            let (seal, open) =
                (SealKeys::from_secret(aead, secret), OpenKeys::from_secret(aead, secret));
            let (theirs, _) = secrets.keys(is_initiator, aead);
            let mut packet = sealed(&theirs.key.next(), 5, b"header", b"payload");
            assert_eq!(open.key.next().open_in_place(5, b"header", &mut packet), Ok(7));
            assert_eq!(sealed(&seal.key, 6, b"h", b"text"), sealed(&theirs.key, 6, b"h", b"text"));
            assert_eq!(open.header.mask(&[9; 16]), theirs.header.mask(&[9; 16]));
        }
    }
}

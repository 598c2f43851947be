//! Known answers of the primitives themselves, so that a fault shows where it is.

use super::*;
use crate::kdf::Prk;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// RFC 7748 section 6.1.
#[test]
fn x25519_of_rfc_7748() {
    let private = |text: &str| X25519Private::from_bytes(&hex(text).try_into().unwrap());
    let alice = private("77076d0a7318a57d3c16c17251b26645df4c2f92ebc099920b6d38e8ba4c2a5e");
    let bob = private("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    assert_eq!(
        bob.public()[..],
        hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    );
    let shared = alice.agree(bob.public()).unwrap();
    assert_eq!(shared, bob.agree(alice.public()).unwrap());
}

/// RFC 7748 section 5.2, first vector.
#[test]
fn x25519_scalar_of_rfc_7748() {
    let key = X25519Private::from_bytes(
        &hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
            .try_into()
            .unwrap(),
    );
    let point =
        hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c").try_into().unwrap();
    let shared = key.agree(&point).unwrap();
    assert_eq!(shared[..], hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"));
}

#[test]
fn x25519_refuses_points_of_small_order() {
    let key = X25519Private::from_bytes(&[0x42; 32]);
    let mut one = [0; 32];
    one[0] = 1;
    assert_eq!(key.agree(&[0; 32]).err(), Some(Refused));
    assert_eq!(key.agree(&one).err(), Some(Refused));
}

/// RFC 5869 appendix A.1, as far as one block reaches.
#[test]
fn hkdf_of_rfc_5869() {
    let prk = Prk::extract(&hex("000102030405060708090a0b0c"), &[0x0b; 22]);
    let okm = prk.expand::<32>(&hex("f0f1f2f3f4f5f6f7f8f9"));
    assert_eq!(okm[..], hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"));
}

/// RFC 4231 section 4.3.
#[test]
fn hmac_of_rfc_4231() {
    let mac = HmacKey::new(b"Jefe").mac(&[b"what do ya want ", b"for nothing?"]);
    assert_eq!(mac[..], hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
}

/// FIPS 180-4, the message "abc".
#[test]
fn sha256_of_fips_180() {
    let mut hash = Sha256::new();
    hash.update(b"a");
    hash.update(b"bc");
    assert_eq!(
        hash.finish()[..],
        hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    );
}

/// RFC 8439 section 2.8.2.
#[test]
fn chacha20_poly1305_of_rfc_8439() {
    let key: [u8; 32] = core::array::from_fn(|i| 0x80 + i as u8);
    let nonce = hex("070000004041424344454647").try_into().unwrap();
    let mut text = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    let tag = AeadKey::new(crate::Aead::ChaCha20Poly1305, &key)
        .seal(nonce, &hex("50515253c0c1c2c3c4c5c6c7"), &mut text)
        .unwrap();
    assert_eq!(text[..8], hex("d31a8d34648e60db"));
    assert_eq!(tag[..], hex("1ae10b594f09e26a7e902ecbd0600691"));
}

/// The GCM specification (McGrew and Viega), test case 16: AES-256 with associated data.
#[test]
fn aes_256_gcm_of_the_gcm_specification() {
    let key =
        hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308").try_into().unwrap();
    let nonce = hex("cafebabefacedbaddecaf888").try_into().unwrap();
    let mut text = hex(concat!(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    ));
    let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let tag = AeadKey::new(crate::Aead::Aes256Gcm, &key).seal(nonce, &aad, &mut text).unwrap();
    assert_eq!(text[..8], hex("522dc1f099567d07"));
    assert_eq!(tag[..], hex("76fc6ece0f4e1768cddf8853bb2d551b"));
}

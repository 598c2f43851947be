//! Providers of AEADs and of X25519 side by side, on one core, at the sizes that packets have: which of them the core
//! should use is read off here (docs/adr/0130).
//!
//! ```text
//! taskset -c 1 cargo run --release --locked --manifest-path benchmark/primitives/Cargo.toml
//! ```
//!
//! Every row is measured in turns with all others, `ROUNDS` times, by the CPU time of the thread, so that others on the
//! same machine count for little; the median is printed, and the range. Sealing is in
//! place, with 18 bytes of header as associated data and a nonce that counts, as packets are sealed; opening restores
//! the sealed bytes by a copy of its own, which is part of the figure for all alike.

use std::hint::black_box;
use std::time::Duration;

/// Two datagrams of Ethernet, and the largest record of TLS.
const SIZES: [usize; 3] = [1350, 1452, 16_384];
/// What is authenticated beside the payload: the header of a packet.
const HEADER: [u8; 18] = [0x40; 18];
/// Bytes of a tag.
const TAG: usize = 16;
/// Turns of every row.
const ROUNDS: usize = 11;
/// How long a turn lasts.
const TURN: Duration = Duration::from_millis(20);

/// Seals in place, and returns the tag.
type Seal = Box<dyn Fn(u64, &mut [u8]) -> [u8; TAG]>;
/// Opens in place what has its tag behind it, or panics: what was sealed has to open.
type Open = Box<dyn Fn(u64, &mut [u8])>;

struct Aead {
    suite: &'static str,
    provider: &'static str,
    seal: Seal,
    open: Open,
}

/// CPU time of this thread, as `Instant` is for the time of day.
struct Cpu(Duration);

impl Cpu {
    fn now() -> Self {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the structure is there for the call to fill.
        let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        assert_eq!(result, 0, "the clock of this thread");
        Self(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    fn elapsed(&self) -> Duration {
        Self::now().0 - self.0
    }
}

fn main() {
    aeads();
    agreements();
}

fn aeads() {
    let all = [
        aws_lc("AES-256-GCM", &aws_lc_rs::aead::AES_256_GCM),
        ring("AES-256-GCM", &ring::aead::AES_256_GCM),
        graviola_gcm(),
        rustcrypto_gcm(),
        aws_lc("ChaCha20-Poly1305", &aws_lc_rs::aead::CHACHA20_POLY1305),
        ring("ChaCha20-Poly1305", &ring::aead::CHACHA20_POLY1305),
        graviola_chacha(),
        rustcrypto_chacha(),
        aegis_128x2(),
        aegis_128x4(),
    ];
    println!("| suite | provider | bytes | seal, GB/s | open, GB/s |");
    println!("| --- | --- | ---: | ---: | ---: |");
    for size in SIZES {
        let mut rates = vec![(Vec::new(), Vec::new()); all.len()];
        for _ in 0..ROUNDS {
            for (aead, (seals, opens)) in all.iter().zip(&mut rates) {
                seals.push(sealing(aead, size));
                opens.push(opening(aead, size));
            }
        }
        for (Aead { suite, provider, .. }, (seals, opens)) in all.iter().zip(rates) {
            println!("| {suite} | {provider} | {size} | {} | {} |", shown(seals), shown(opens));
        }
    }
}

/// GB/s of sealing.
fn sealing(aead: &Aead, size: usize) -> f64 {
    let mut buffer = vec![0x5a; size];
    let started = Cpu::now();
    let mut count = 0_u64;
    while started.elapsed() < TURN {
        for _ in 0..16 {
            count += 1;
            black_box((aead.seal)(count, black_box(&mut buffer)));
        }
    }
    (count * size as u64) as f64 / 1e9 / started.elapsed().as_secs_f64()
}

/// GB/s of opening.
fn opening(aead: &Aead, size: usize) -> f64 {
    let mut sealed = vec![0x5a; size];
    let tag = (aead.seal)(7, &mut sealed);
    sealed.extend(tag);
    let mut buffer = sealed.clone();
    let started = Cpu::now();
    let mut count = 0_u64;
    while started.elapsed() < TURN {
        for _ in 0..16 {
            count += 1;
            buffer.copy_from_slice(&sealed);
            (aead.open)(7, black_box(&mut buffer));
        }
    }
    (count * size as u64) as f64 / 1e9 / started.elapsed().as_secs_f64()
}

/// The median, and the range of all.
fn shown(mut rates: Vec<f64>) -> String {
    rates.sort_by(f64::total_cmp);
    let (least, most) = (rates[0], rates[rates.len() - 1]);
    format!("{:.2} ({least:.2} to {most:.2})", rates[rates.len() / 2])
}

fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce
}

/// What was sealed, and its tag.
fn parts(buffer: &mut [u8]) -> (&mut [u8], &mut [u8]) {
    buffer.split_at_mut(buffer.len() - TAG)
}

fn aws_lc(suite: &'static str, algorithm: &'static aws_lc_rs::aead::Algorithm) -> Aead {
    use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
    let key = || LessSafeKey::new(UnboundKey::new(algorithm, &[7; 32]).unwrap());
    let (sealing, opening) = (key(), key());
    Aead {
        suite,
        provider: "aws-lc-rs",
        seal: Box::new(move |number, buffer| {
            let nonce = Nonce::assume_unique_for_key(nonce(number));
            let tag = sealing.seal_in_place_separate_tag(nonce, Aad::from(HEADER), buffer);
            tag.unwrap().as_ref().try_into().unwrap()
        }),
        open: Box::new(move |number, buffer| {
            let nonce = Nonce::assume_unique_for_key(nonce(number));
            opening.open_in_place(nonce, Aad::from(HEADER), buffer).unwrap();
        }),
    }
}

fn ring(suite: &'static str, algorithm: &'static ring::aead::Algorithm) -> Aead {
    use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
    let key = || LessSafeKey::new(UnboundKey::new(algorithm, &[7; 32]).unwrap());
    let (sealing, opening) = (key(), key());
    Aead {
        suite,
        provider: "ring",
        seal: Box::new(move |number, buffer| {
            let nonce = Nonce::assume_unique_for_key(nonce(number));
            let tag = sealing.seal_in_place_separate_tag(nonce, Aad::from(HEADER), buffer);
            tag.unwrap().as_ref().try_into().unwrap()
        }),
        open: Box::new(move |number, buffer| {
            let nonce = Nonce::assume_unique_for_key(nonce(number));
            opening.open_in_place(nonce, Aad::from(HEADER), buffer).unwrap();
        }),
    }
}

fn graviola_gcm() -> Aead {
    let key = || graviola::aead::AesGcm::new(&[7; 32]);
    let (sealing, opening) = (key(), key());
    Aead {
        suite: "AES-256-GCM",
        provider: "graviola",
        seal: Box::new(move |number, buffer| {
            let mut tag = [0; 16];
            sealing.encrypt(&nonce(number), &HEADER, buffer, &mut tag);
            tag
        }),
        open: Box::new(move |number, buffer| {
            let (buffer, tag) = parts(buffer);
            opening.decrypt(&nonce(number), &HEADER, buffer, tag).unwrap();
        }),
    }
}

fn graviola_chacha() -> Aead {
    let key = || graviola::aead::ChaCha20Poly1305::new([7; 32]);
    let (sealing, opening) = (key(), key());
    Aead {
        suite: "ChaCha20-Poly1305",
        provider: "graviola",
        seal: Box::new(move |number, buffer| {
            let mut tag = [0; 16];
            sealing.encrypt(&nonce(number), &HEADER, buffer, &mut tag);
            tag
        }),
        open: Box::new(move |number, buffer| {
            let (buffer, tag) = parts(buffer);
            opening.decrypt(&nonce(number), &HEADER, buffer, tag).unwrap();
        }),
    }
}

fn rustcrypto_gcm() -> Aead {
    use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
    let key = || Aes256Gcm::new(&[7; 32].into());
    let (sealing, opening) = (key(), key());
    Aead {
        suite: "AES-256-GCM",
        provider: "RustCrypto",
        seal: Box::new(move |number, buffer| {
            let nonce = nonce(number).into();
            let tag = sealing.encrypt_inout_detached(&nonce, &HEADER, buffer.into());
            tag.unwrap().into()
        }),
        open: Box::new(move |number, buffer| {
            let (buffer, tag) = parts(buffer);
            let tag = (&*tag).try_into().unwrap();
            let nonce = nonce(number).into();
            opening.decrypt_inout_detached(&nonce, &HEADER, buffer.into(), tag).unwrap();
        }),
    }
}

fn rustcrypto_chacha() -> Aead {
    use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
    let key = || ChaCha20Poly1305::new(&[7; 32].into());
    let (sealing, opening) = (key(), key());
    Aead {
        suite: "ChaCha20-Poly1305",
        provider: "RustCrypto",
        seal: Box::new(move |number, buffer| {
            let nonce = nonce(number).into();
            let tag = sealing.encrypt_inout_detached(&nonce, &HEADER, buffer.into());
            tag.unwrap().into()
        }),
        open: Box::new(move |number, buffer| {
            let (buffer, tag) = parts(buffer);
            let tag = (&*tag).try_into().unwrap();
            let nonce = nonce(number).into();
            opening.decrypt_inout_detached(&nonce, &HEADER, buffer.into(), tag).unwrap();
        }),
    }
}

/// The nonce of AEGIS-128 has 16 bytes.
fn wide(number: u64) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[..12].copy_from_slice(&nonce(number));
    wide
}

fn aegis_128x2() -> Aead {
    use aegis::aegis128x2::Aegis128X2;
    Aead {
        suite: "AEGIS-128X2",
        provider: "aegis (libaegis)",
        seal: Box::new(|number, buffer| {
            Aegis128X2::<16>::new(&[7; 16], &wide(number)).encrypt_in_place(buffer, &HEADER)
        }),
        open: Box::new(|number, buffer| {
            let (buffer, tag) = parts(buffer);
            let tag = (&*tag).try_into().unwrap();
            let state = Aegis128X2::<16>::new(&[7; 16], &wide(number));
            state.decrypt_in_place(buffer, &tag, &HEADER).unwrap();
        }),
    }
}

fn aegis_128x4() -> Aead {
    use aegis::aegis128x4::Aegis128X4;
    Aead {
        suite: "AEGIS-128X4",
        provider: "aegis (libaegis)",
        seal: Box::new(|number, buffer| {
            Aegis128X4::<16>::new(&[7; 16], &wide(number)).encrypt_in_place(buffer, &HEADER)
        }),
        open: Box::new(|number, buffer| {
            let (buffer, tag) = parts(buffer);
            let tag = (&*tag).try_into().unwrap();
            let state = Aegis128X4::<16>::new(&[7; 16], &wide(number));
            state.decrypt_in_place(buffer, &tag, &HEADER).unwrap();
        }),
    }
}

/// One agreement with a key that was made before, as three of the four of a handshake's side are.
type Agree = Box<dyn Fn() -> u8>;

fn agreements() {
    let theirs =
        x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([9; 32])).to_bytes();
    let aws =
        aws_lc_rs::agreement::PrivateKey::from_private_key(&aws_lc_rs::agreement::X25519, &[7; 32])
            .unwrap();
    let dalek = x25519_dalek::StaticSecret::from([7; 32]);
    let graviola =
        graviola::key_agreement::x25519::StaticPrivateKey::try_from_slice(&[7; 32]).unwrap();
    let all: [(&str, Agree); 3] = [
        (
            "aws-lc-rs",
            Box::new(move || {
                let peer = aws_lc_rs::agreement::UnparsedPublicKey::new(
                    &aws_lc_rs::agreement::X25519,
                    &theirs,
                );
                aws_lc_rs::agreement::agree(&aws, peer, (), |secret| Ok(secret[0])).unwrap()
            }),
        ),
        ("x25519-dalek", Box::new(move || dalek.diffie_hellman(&theirs.into()).as_bytes()[0])),
        (
            "graviola",
            Box::new(move || {
                let peer =
                    graviola::key_agreement::x25519::PublicKey::try_from_slice(&theirs).unwrap();
                graviola.diffie_hellman(&peer).unwrap().0[0]
            }),
        ),
    ];
    assert!(all.iter().all(|(_, agree)| agree() == all[0].1()), "they agree on what they agree");
    let mut rates = vec![Vec::new(); all.len()];
    for _ in 0..ROUNDS {
        for ((_, agree), rates) in all.iter().zip(&mut rates) {
            let started = Cpu::now();
            let mut count = 0_u64;
            while started.elapsed() < TURN {
                count += 1;
                black_box(agree());
            }
            rates.push(count as f64 / 1e3 / started.elapsed().as_secs_f64());
        }
    }
    println!("\n| X25519 | agreements, thousands a second |");
    println!("| --- | ---: |");
    for ((provider, _), rates) in all.iter().zip(rates) {
        println!("| {provider} | {} |", shown(rates));
    }
}

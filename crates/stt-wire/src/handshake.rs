//! The payloads of the clear packets (PROTOCOL.md §2). Offsets are fixed, so that nothing of a
//! stranger's is parsed further than its checksum and its MAC need.

use core::ops::Range;

use crate::{
    CLEAR_OVERHEAD, HELLO_LEN, TOKEN_LEN,
    header::PathId,
    params::TransportParams,
    reader::{Reader, UnexpectedEnd},
    writer::{NoRoom, Writer},
};

/// Bytes of an X25519 public key.
pub const KEY_LEN: usize = 32;
/// Bytes that a Noise AEAD adds.
const NOISE_TAG: usize = 16;

/// Bytes of Noise message 1 of XXpsk2: the ephemeral key and the tag of an empty payload.
pub const NOISE_1_LEN: usize = KEY_LEN + NOISE_TAG;
/// Bytes of the payload that Noise message 2 seals.
pub const CHALLENGE_SEALED_LEN: usize = 8 + 2 + 8 + TransportParams::LEN;
/// Bytes of a CHALLENGE's payload: Noise message 2.
pub const CHALLENGE_LEN: usize = KEY_LEN + KEY_LEN + NOISE_TAG + CHALLENGE_SEALED_LEN + NOISE_TAG;
/// Bytes of the payload that Noise message 3 seals.
pub const PROOF_SEALED_LEN: usize = 8 + 8 + TransportParams::LEN + TOKEN_LEN;
/// Bytes of Noise message 3.
pub const NOISE_3_LEN: usize = KEY_LEN + NOISE_TAG + PROOF_SEALED_LEN + NOISE_TAG;
/// Bytes of an AUTH_PROOF's payload: Noise message 3 and mac2.
pub const AUTH_PROOF_LEN: usize = NOISE_3_LEN + TOKEN_LEN;
/// Bytes of a HELLO's payload.
pub const HELLO_PAYLOAD_LEN: usize = HELLO_LEN - CLEAR_OVERHEAD;
/// Bytes of a RETRY's payload: cookie and MAC.
pub const RETRY_LEN: usize = 2 * TOKEN_LEN;

/// Noise_XXpsk2_25519_AESGCM_SHA256.
pub const SUITE_AESGCM: u16 = 1;
/// Noise_XXpsk2_25519_ChaChaPoly_SHA256.
pub const SUITE_CHACHAPOLY: u16 = 2;
/// Traffic AEAD bit: AES-256-GCM.
pub const AEAD_AES_256_GCM: u16 = 1 << 0;
/// Traffic AEAD bit: ChaCha20-Poly1305.
pub const AEAD_CHACHA20_POLY1305: u16 = 1 << 1;

/// A clear packet's payload is not what its type wants: INVALID_FRAME (0x0401).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<UnexpectedEnd> for Malformed {
    fn from(_: UnexpectedEnd) -> Self {
        Self
    }
}

/// The fields that a HELLO and a RESUME begin with, which the Noise prologue covers (PROTOCOL.md
/// §1.7).
#[derive(Clone, Copy, Debug)]
pub struct HelloFields<'a>(pub &'a [u8; Hello::PROLOGUE.end]);

impl HelloFields<'_> {
    /// The Noise suite.
    #[must_use]
    pub fn suite(&self) -> u16 {
        u16::from_le_bytes([self.0[0], self.0[1]])
    }

    /// The traffic AEADs that the initiator has, as a bitmap.
    #[must_use]
    pub fn aeads(&self) -> u16 {
        u16::from_le_bytes([self.0[2], self.0[3]])
    }

    /// The initiator's clock, milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(&self) -> u64 {
        u64::from_le_bytes(self.array(4))
    }

    /// Where answers go: the initiator's path id. Its place never changes across versions.
    #[must_use]
    pub fn path_id(&self) -> PathId {
        PathId(self.array(12))
    }

    fn array(&self, at: usize) -> [u8; 8] {
        core::array::from_fn(|index| self.0[at + index])
    }
}

/// A HELLO's payload: always [`HELLO_PAYLOAD_LEN`] bytes.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    payload: &'a [u8; HELLO_PAYLOAD_LEN],
}

impl<'a> Hello<'a> {
    /// What the Noise prologue covers, after `STT/1`: suite to path id.
    pub const PROLOGUE: Range<usize> = 0..20;
    /// What mac1 covers, after the header's first 22 bytes.
    pub const MAC1_INPUT: Range<usize> = 0..68;
    /// Where mac1 stands.
    pub const MAC1: Range<usize> = 68..84;
    /// Where the cookie stands; it is in no MAC, so that a RETRY changes nothing else.
    pub const COOKIE: Range<usize> = 84..100;
    /// Where the ephemeral key stands.
    pub const EPHEMERAL: Range<usize> = 20..52;

    /// Checks length and padding.
    ///
    /// # Errors
    /// [`Malformed`] when the payload has another length or a padding byte that is not zero.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let payload: &[u8; HELLO_PAYLOAD_LEN] = payload.try_into().map_err(|_| Malformed)?;
        if payload[Self::COOKIE.end..].iter().any(|byte| *byte != 0) {
            return Err(Malformed);
        }
        Ok(Self { payload })
    }

    /// What it has in common with RESUME.
    #[must_use]
    pub fn fields(&self) -> HelloFields<'a> {
        const EMPTY: &[u8; Hello::PROLOGUE.end] = &[0; Hello::PROLOGUE.end];
        HelloFields(self.payload.first_chunk().unwrap_or(EMPTY))
    }

    /// Noise message 1.
    #[must_use]
    pub fn noise(&self) -> &'a [u8; NOISE_1_LEN] {
        const EMPTY: &[u8; NOISE_1_LEN] = &[0; NOISE_1_LEN];
        self.payload[20..].first_chunk().unwrap_or(EMPTY)
    }

    /// The initiator's ephemeral public key.
    #[must_use]
    pub fn ephemeral(&self) -> [u8; KEY_LEN] {
        self.array(20)
    }

    /// The MAC under the seed.
    #[must_use]
    pub fn mac1(&self) -> [u8; TOKEN_LEN] {
        self.array(68)
    }

    /// The cookie of a RETRY, `None` where it is all zero.
    #[must_use]
    pub fn cookie(&self) -> Option<[u8; TOKEN_LEN]> {
        let cookie = self.array(84);
        (cookie != [0; TOKEN_LEN]).then_some(cookie)
    }

    /// The whole payload.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8; HELLO_PAYLOAD_LEN] {
        self.payload
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.payload[at..at + N]);
        out
    }
}

/// Writes a HELLO's payload but for mac1, which covers what is written here; cookie zero.
pub fn write_hello(
    out: &mut [u8; HELLO_PAYLOAD_LEN],
    suite: u16,
    aeads: u16,
    timestamp_ms: u64,
    path_id: PathId,
    noise: &[u8; NOISE_1_LEN],
) {
    out.fill(0);
    write_hello_fields(&mut out[Hello::PROLOGUE], suite, aeads, timestamp_ms, path_id);
    out[20..68].copy_from_slice(noise);
}

/// Writes the fields of a HELLO or RESUME before its Noise message, which the prologue covers.
/// `out` has 20 bytes.
pub fn write_hello_fields(
    out: &mut [u8],
    suite: u16,
    aeads: u16,
    timestamp_ms: u64,
    path_id: PathId,
) {
    let mut fields = Writer::new(out);
    let written = fields
        .u16(suite)
        .and_then(|()| fields.u16(aeads))
        .and_then(|()| fields.u64(timestamp_ms))
        .and_then(|()| fields.bytes(&path_id.0));
    debug_assert!(written.is_ok(), "the fields take 20 bytes");
}

/// What CHALLENGE seals. Nothing in it is confidential: a stranger who later learns the PSK can open
/// it (§2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChallengeSealed {
    /// The responder's path id.
    pub path_id: PathId,
    /// The traffic AEAD it chose: one bit of HELLO's bitmap.
    pub aead: u16,
    /// The responder's clock, milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The responder's limits.
    pub params: TransportParams,
}

impl ChallengeSealed {
    /// Writes [`CHALLENGE_SEALED_LEN`] bytes.
    ///
    /// # Errors
    /// [`NoRoom`] when they do not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        out.bytes(&self.path_id.0)?;
        out.u16(self.aead)?;
        out.u64(self.timestamp_ms)?;
        self.params.write(out)
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] when the length is another.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(bytes);
        let sealed = Self {
            path_id: PathId(input.array()?),
            aead: input.u16()?,
            timestamp_ms: input.u64()?,
            params: TransportParams::read(&mut input)?,
        };
        if input.is_empty() { Ok(sealed) } else { Err(Malformed) }
    }
}

/// What AUTH_PROOF seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofSealed {
    /// The initiator's path id, once more.
    pub initiator_path_id: PathId,
    /// The responder's path id, once more.
    pub responder_path_id: PathId,
    /// The initiator's limits.
    pub params: TransportParams,
    /// Token for a reset of the path id that the responder sends to.
    pub reset_token: [u8; TOKEN_LEN],
}

impl ProofSealed {
    /// Writes [`PROOF_SEALED_LEN`] bytes.
    ///
    /// # Errors
    /// [`NoRoom`] when they do not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        out.bytes(&self.initiator_path_id.0)?;
        out.bytes(&self.responder_path_id.0)?;
        self.params.write(out)?;
        out.bytes(&self.reset_token)
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] when the length is another.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(bytes);
        let sealed = Self {
            initiator_path_id: PathId(input.array()?),
            responder_path_id: PathId(input.array()?),
            params: TransportParams::read(&mut input)?,
            reset_token: input.array()?,
        };
        if input.is_empty() { Ok(sealed) } else { Err(Malformed) }
    }
}

/// An AUTH_PROOF's payload.
#[derive(Clone, Copy, Debug)]
pub struct AuthProof<'a> {
    /// What mac2 covers, after the handshake hash and the header's first 22 bytes: Noise message 3.
    pub noise: &'a [u8],
    /// The MAC under the seed and the handshake hash after message 2.
    pub mac2: [u8; TOKEN_LEN],
}

impl<'a> AuthProof<'a> {
    /// Splits the payload.
    ///
    /// # Errors
    /// [`Malformed`] when it has another length than [`AUTH_PROOF_LEN`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        match payload.split_last_chunk::<TOKEN_LEN>() {
            Some((noise, mac2)) if noise.len() == NOISE_3_LEN => Ok(Self { noise, mac2: *mac2 }),
            _ => Err(Malformed),
        }
    }
}

/// A RETRY's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// To be sent back in the next HELLO.
    pub cookie: [u8; TOKEN_LEN],
    /// HMAC under the seed over e, type and cookie (§2).
    pub mac: [u8; TOKEN_LEN],
}

impl Retry {
    /// Reads the payload.
    ///
    /// # Errors
    /// [`Malformed`] when it has another length than [`RETRY_LEN`].
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(payload);
        let retry = Self { cookie: input.array()?, mac: input.array()? };
        if input.is_empty() { Ok(retry) } else { Err(Malformed) }
    }

    /// Writes the payload.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        out.bytes(&self.cookie)?;
        out.bytes(&self.mac)
    }
}

/// An ERROR's payload: `kind u8, code u16, subcode u8`, then what the kind wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorPacket<'a> {
    /// Kind 0: the answer to a HELLO that holds the seed. `timestamp u64, mac 16`.
    Refusal {
        /// An error code.
        code: u16,
        /// Its sub-code, or 0.
        subcode: u8,
        /// The responder's clock, milliseconds since 1970: tells how far the clocks are apart.
        timestamp_ms: u64,
        /// HMAC under the seed over e, type and the bytes before it (§2).
        mac: [u8; TOKEN_LEN],
    },
    /// Kind 1: the answer to another version; code 0x0105. `count u8, version u8 ...`. A hint only.
    Versions {
        /// The versions that the responder speaks.
        versions: &'a [u8],
    },
    /// Kind 2: SESSION_NOT_FOUND; code 0x0204. `token 16`. The packet's path id is that of the
    /// packet that drew it, so the whole has 48 bytes, fewer than any packet that draws one.
    Reset {
        /// The reset token of that path id.
        token: [u8; TOKEN_LEN],
    },
}

impl<'a> ErrorPacket<'a> {
    const REFUSAL: u8 = 0;
    const VERSIONS: u8 = 1;
    const RESET: u8 = 2;
    /// Bytes of a refusal before its MAC.
    pub const REFUSAL_MAC_AT: usize = 12;

    /// Reads the payload.
    ///
    /// # Errors
    /// [`Malformed`] when kind, code or length do not fit.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(payload);
        let (kind, code, subcode) = (input.u8()?, input.u16()?, input.u8()?);
        let error = match (kind, code) {
            (Self::REFUSAL, _) => {
                Self::Refusal { code, subcode, timestamp_ms: input.u64()?, mac: input.array()? }
            }
            (Self::VERSIONS, 0x0105) => {
                let count = usize::from(input.u8()?);
                Self::Versions { versions: input.bytes(count)? }
            }
            (Self::RESET, 0x0204) => Self::Reset { token: input.array()? },
            _ => return Err(Malformed),
        };
        if input.is_empty() { Ok(error) } else { Err(Malformed) }
    }

    /// Writes the payload.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit, or there are more than 255 versions.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        match *self {
            Self::Refusal { code, subcode, timestamp_ms, mac } => {
                out.u8(Self::REFUSAL)?;
                out.u16(code)?;
                out.u8(subcode)?;
                out.u64(timestamp_ms)?;
                out.bytes(&mac)
            }
            Self::Versions { versions } => {
                out.u8(Self::VERSIONS)?;
                out.u16(0x0105)?;
                out.u8(0)?;
                out.u8(u8::try_from(versions.len()).map_err(|_| NoRoom)?)?;
                out.bytes(versions)
            }
            Self::Reset { token } => {
                out.u8(Self::RESET)?;
                out.u16(0x0204)?;
                out.u8(0)?;
                out.bytes(&token)
            }
        }
    }
}

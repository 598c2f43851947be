//! The payloads of RESUME and RESUME_REPLY (PROTOCOL.md §2.7).

use crate::{
    TOKEN_LEN,
    frame::control::MAX_TICKET,
    handshake::{HELLO_PAYLOAD_LEN, Hello, HelloFields, KEY_LEN, Malformed, write_hello_fields},
    header::PathId,
    params::TransportParams,
    reader::Reader,
    writer::{NoRoom, Writer},
};

/// Bytes that a Noise message of NNpsk0 adds to its payload: an ephemeral key and a tag.
const NOISE_OVERHEAD: usize = KEY_LEN + 16;

/// A RESUME's payload: HELLO's fields, `ticket_len u16, ticket, noise_len u16`, Noise message 1 of
/// NNpsk0, mac1, cookie, zeros to 1200 UDP bytes.
#[derive(Clone, Copy, Debug)]
pub struct Resume<'a> {
    /// What it has in common with HELLO.
    pub fields: HelloFields<'a>,
    /// The ticket, also in the prologue.
    pub ticket: &'a [u8],
    /// Noise message 1.
    pub noise: &'a [u8],
    /// What mac1 covers, after the header's first 22 bytes.
    pub mac1_input: &'a [u8],
    /// The MAC under the seed.
    pub mac1: [u8; TOKEN_LEN],
    /// The cookie of a RETRY, or zeros.
    pub cookie: [u8; TOKEN_LEN],
}

/// Where a RESUME's mac1 stands; what is before it is what it covers, and the cookie follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeLayout {
    /// Offset of mac1 in the payload.
    pub mac1: usize,
    /// Offset of the cookie in the payload.
    pub cookie: usize,
}

impl<'a> Resume<'a> {
    /// Bytes of the Noise message without any early data.
    pub const MIN_NOISE_LEN: usize = NOISE_OVERHEAD + ResumeSealed::FIXED_LEN;

    /// Bytes of early data that a RESUME with a ticket of `ticket_len` bytes has room for.
    #[must_use]
    pub const fn early_capacity(ticket_len: usize) -> usize {
        let rest = Hello::PROLOGUE.end + 2 + 2 + Self::MIN_NOISE_LEN + 2 * TOKEN_LEN;
        HELLO_PAYLOAD_LEN.saturating_sub(rest + ticket_len)
    }

    /// Splits the payload and checks its padding.
    ///
    /// # Errors
    /// [`Malformed`] when a length does not fit or a padding byte is not zero.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        if payload.len() != HELLO_PAYLOAD_LEN {
            return Err(Malformed);
        }
        let mut input = Reader::new(payload);
        let fields = input.bytes(Hello::PROLOGUE.end)?;
        let fields = HelloFields(fields.first_chunk().ok_or(Malformed)?);
        let ticket_len = usize::from(input.u16()?);
        let ticket = input.bytes(ticket_len)?;
        let noise_len = usize::from(input.u16()?);
        let noise = input.bytes(noise_len)?;
        if ticket_len > MAX_TICKET || noise_len < Self::MIN_NOISE_LEN {
            return Err(Malformed);
        }
        let mac1_input = &payload[..payload.len() - input.remaining()];
        let (mac1, cookie) = (input.array()?, input.array()?);
        if input.rest().iter().any(|byte| *byte != 0) {
            return Err(Malformed);
        }
        Ok(Self { fields, ticket, noise, mac1_input, mac1, cookie })
    }

    /// The initiator's ephemeral public key.
    #[must_use]
    pub fn ephemeral(&self) -> [u8; KEY_LEN] {
        let mut key = [0; KEY_LEN];
        key.copy_from_slice(&self.noise[..KEY_LEN]);
        key
    }

    /// The cookie of a RETRY, `None` where it is all zero.
    #[must_use]
    pub fn cookie(&self) -> Option<[u8; TOKEN_LEN]> {
        (self.cookie != [0; TOKEN_LEN]).then_some(self.cookie)
    }
}

/// Writes a RESUME's payload but for mac1 and the cookie, which stay zero, and says where they stand.
///
/// # Errors
/// [`NoRoom`] when ticket and Noise message do not fit.
pub fn write_resume(
    out: &mut [u8; HELLO_PAYLOAD_LEN],
    suite: u16,
    aeads: u16,
    timestamp_ms: u64,
    path_id: PathId,
    ticket: &[u8],
    noise: &[u8],
) -> Result<ResumeLayout, NoRoom> {
    out.fill(0);
    write_hello_fields(&mut out[Hello::PROLOGUE], suite, aeads, timestamp_ms, path_id);
    let mut rest = Writer::new(&mut out[Hello::PROLOGUE.end..]);
    rest.u16(u16::try_from(ticket.len()).map_err(|_| NoRoom)?)?;
    rest.bytes(ticket)?;
    rest.u16(u16::try_from(noise.len()).map_err(|_| NoRoom)?)?;
    rest.bytes(noise)?;
    let mac1 = Hello::PROLOGUE.end + rest.len();
    if mac1 + 2 * TOKEN_LEN > HELLO_PAYLOAD_LEN {
        return Err(NoRoom);
    }
    Ok(ResumeLayout { mac1, cookie: mac1 + TOKEN_LEN })
}

/// What RESUME seals in Noise message 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeSealed<'a> {
    /// The initiator's limits.
    pub params: TransportParams,
    /// Token for a reset of the initiator's path id.
    pub reset_token: [u8; TOKEN_LEN],
    /// Early data; empty = none.
    pub early: &'a [u8],
}

impl<'a> ResumeSealed<'a> {
    /// Bytes before the early data.
    pub const FIXED_LEN: usize = TransportParams::LEN + TOKEN_LEN;

    /// Writes the fields.
    ///
    /// # Errors
    /// [`NoRoom`] when they do not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        self.params.write(out)?;
        out.bytes(&self.reset_token)?;
        out.bytes(self.early)
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before the early data may begin.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(bytes);
        Ok(Self {
            params: TransportParams::read(&mut input)?,
            reset_token: input.array()?,
            early: input.rest(),
        })
    }
}

/// What RESUME_REPLY seals in Noise message 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeReplySealed {
    /// The responder's path id.
    pub path_id: PathId,
    /// The traffic AEAD it chose.
    pub aead: u16,
    /// Whether the early data was taken: bit 0 of the flags, whose others are sent as zero and
    /// ignored.
    pub early_accepted: bool,
    /// The responder's limits.
    pub params: TransportParams,
}

impl ResumeReplySealed {
    /// Bytes of the fields.
    pub const LEN: usize = 8 + 2 + 1 + TransportParams::LEN;
    /// Bytes of a RESUME_REPLY's payload: ephemeral key, sealed fields, tag.
    pub const PAYLOAD_LEN: usize = NOISE_OVERHEAD + Self::LEN;

    /// Writes the fields.
    ///
    /// # Errors
    /// [`NoRoom`] when they do not fit.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        out.bytes(&self.path_id.0)?;
        out.u16(self.aead)?;
        out.u8(u8::from(self.early_accepted))?;
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
            early_accepted: input.u8()? & 1 == 1,
            params: TransportParams::read(&mut input)?,
        };
        if input.is_empty() { Ok(sealed) } else { Err(Malformed) }
    }
}

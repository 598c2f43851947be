//! A session's keys and socket: seals whatever it is given, opens what comes, acknowledges it.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use serde_json::json;
use stt_crypto::{AEAD_TAG_LEN, OpenKeys, SAMPLE_LEN, SealKeys};
use stt_wire::{
    CRC32_LEN, Flags, Frame, FrameType, HEADER_LEN, Header, PathId, Writer,
    frame::{self, ack::write_ack},
    header, packet,
};

use crate::{Failure, tell};

/// Longest datagram that this program reads or writes.
pub(crate) const MAX_DATAGRAM: usize = 2048;
/// Plaintext that makes an ack-eliciting packet long enough (section 1.1).
const MIN_PLAINTEXT: usize = 8;
/// How long a look at the socket takes when nothing has come.
const LOOK: Duration = Duration::from_millis(20);

/// What a peer said that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// FINAL with this status.
    Final { status: u16 },
    /// SESSION_CLOSE.
    Closed,
}

/// One side of a session, as far as an attacker needs it.
pub(crate) struct Peer {
    socket: UdpSocket,
    remote: SocketAddr,
    remote_id: PathId,
    seal: SealKeys,
    open: OpenKeys,
    next_number: u64,
    received: BTreeSet<u64>,
}

impl Peer {
    pub(crate) fn new(
        socket: UdpSocket,
        remote: SocketAddr,
        remote_id: PathId,
        (seal, open): (SealKeys, OpenKeys),
    ) -> Result<Self, Failure> {
        socket.set_read_timeout(Some(LOOK))?;
        let received = BTreeSet::new();
        Ok(Self { socket, remote, remote_id, seal, open, next_number: 0, received })
    }

    /// A sealed packet with this plaintext, under the next number.
    pub(crate) fn seal(
        &mut self,
        frame_type: FrameType,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let number = self.next_number;
        self.next_number += 1;
        let payload_len = plaintext.len() + AEAD_TAG_LEN;
        let mut bytes = vec![0; HEADER_LEN + payload_len + CRC32_LEN];
        let (head, rest) = bytes.split_first_chunk_mut::<HEADER_LEN>().ok_or("a short packet")?;
        let length = u16::try_from(payload_len)?;
        Header::sealed(frame_type, Flags::NONE, self.remote_id, 0, number, length).write(head);
        let payload = &mut rest[..payload_len];
        payload[..plaintext.len()].copy_from_slice(plaintext);
        self.seal.key.seal_in_place(number, &header::aad(head), payload);
        let sample = payload.first_chunk::<SAMPLE_LEN>().ok_or("a short payload")?;
        header::apply_mask(head, &self.seal.header.mask(sample));
        packet::seal_checksums(&mut bytes);
        Ok(bytes)
    }

    /// Sends bytes as they are.
    pub(crate) fn transmit(&self, datagram: &[u8]) -> Result<(), Failure> {
        match self.socket.send_to(datagram, self.remote) {
            Ok(_) => Ok(()),
            // What a closed port answered to an earlier one.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends the parts of a BUNDLE in one packet.
    pub(crate) fn send(&mut self, parts: &[u8]) -> Result<(), Failure> {
        let mut plaintext = parts.to_vec();
        plaintext.resize(parts.len().max(MIN_PLAINTEXT), FrameType::PADDING.0);
        let datagram = self.seal(FrameType::BUNDLE, &plaintext)?;
        self.transmit(&datagram)
    }

    /// Reads what has come, and answers what must be answered; `None` where nothing of interest came.
    pub(crate) fn listen(&mut self) -> Result<Option<Heard>, Failure> {
        let mut datagram = [0; MAX_DATAGRAM];
        let (length, from) = match self.socket.recv_from(&mut datagram) {
            Ok(received) => received,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::WouldBlock
                    | ErrorKind::TimedOut
                    | ErrorKind::Interrupted
                    | ErrorKind::ConnectionRefused => Ok(None),
                    _ => Err(error.into()),
                };
            }
        };
        if from != self.remote {
            return Ok(None);
        }
        self.open_packet(&mut datagram[..length])
    }

    fn open_packet(&mut self, datagram: &mut [u8]) -> Result<Option<Heard>, Failure> {
        let Ok(outer) = packet::parse_outer(datagram) else { return Ok(None) };
        if !outer.sealed {
            return Ok(None);
        }
        let Some((head, rest)) = datagram.split_first_chunk_mut::<HEADER_LEN>() else {
            return Ok(None);
        };
        let payload = &mut rest[..outer.payload_len];
        let Some(sample) = payload.first_chunk::<SAMPLE_LEN>() else { return Ok(None) };
        header::apply_mask(head, &self.open.header.mask(sample));
        let fields = Header::read(head);
        let largest = self.received.last().copied();
        let number = stt_wire::decode_packet_number(largest, fields.packet_number);
        let Ok(length) = self.open.key.open_in_place(number, &header::aad(head), payload) else {
            return Ok(None);
        };
        self.received.insert(number);
        let plaintext = &payload[..length];
        let Ok(parsed) = frame::parse(fields.frame_type, fields.flags, fields.stream_id, plaintext)
        else {
            return Err("the peer sent a frame that cannot be".into());
        };
        if parsed.is_ack_eliciting() {
            self.acknowledge()?;
        }
        let mut heard = None;
        match &parsed {
            Frame::Bundle(bundle) => {
                for part in bundle.parts() {
                    heard = self.act(&part.frame)?.or(heard);
                }
            }
            other => heard = self.act(other)?,
        }
        Ok(heard)
    }

    fn act(&mut self, frame: &Frame<'_>) -> Result<Option<Heard>, Failure> {
        match frame {
            Frame::Final(verdict) => {
                let (status, subcode) = (verdict.status, verdict.subcode);
                tell(&json!({ "event": "final", "status": status, "subcode": subcode }));
                Ok(Some(Heard::Final { status }))
            }
            Frame::KeepAlive(alive) => {
                let mut body = [0; 16];
                let mut out = Writer::new(&mut body);
                alive.write(&mut out).map_err(|_| "no room")?;
                let length = out.len();
                self.send(&part(FrameType::KEEP_ALIVE_ACK, 0, &body[..length])?)?;
                Ok(None)
            }
            Frame::SessionClose(close) => {
                let (reason, code) = (close.reason as u8, close.code);
                let message = close.message;
                tell(
                    &json!({ "event": "closed", "reason": reason, "code": code, "message": message }),
                );
                Ok(Some(Heard::Closed))
            }
            _ => Ok(None),
        }
    }

    /// Acknowledges the largest number and those directly below it; what lies behind a gap is for the peer to repeat.
    fn acknowledge(&mut self) -> Result<(), Failure> {
        let Some(&largest) = self.received.last() else { return Ok(()) };
        let mut smallest = largest;
        while smallest > 0 && self.received.contains(&(smallest - 1)) {
            smallest -= 1;
        }
        let mut body = [0; 32];
        let mut out = Writer::new(&mut body);
        write_ack(&mut out, 0, std::iter::once(smallest..=largest), None).map_err(|_| "no room")?;
        let length = out.len();
        self.send(&part(FrameType::ACK, 0, &body[..length])?)
    }
}

/// One part of a BUNDLE, whatever its type and body (section 1.6).
pub(crate) fn part(frame_type: FrameType, stream_id: u32, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; body.len() + 16];
    let mut out = Writer::new(&mut bytes);
    let written = out
        .u8(frame_type.0)
        .and_then(|()| out.u8(0))
        .and_then(|()| out.varint(u64::from(stream_id)));
    written.map_err(|_| "no room")?;
    out.u16(u16::try_from(body.len())?).map_err(|_| "no room")?;
    out.bytes(body).map_err(|_| "no room")?;
    let length = out.len();
    bytes.truncate(length);
    Ok(bytes)
}

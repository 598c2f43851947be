//! What the machine allows: UDP with segmentation and receive offload, no protocol at all.
//!
//! `Work::None` only moves bytes. `Work::Sealed`, the bound, does what no secure transport can leave out: the sender
//! copies, adds a CRC-32 and seals each datagram, the receiver opens it, checks the CRC-32 and copies it out. Nothing is
//! sent again, so a window keeps the receiver's socket from overflowing: it says how much may be under way, and tells every few datagrams how much it has.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use serde_json::json;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::report::{Meter, say};
use crate::{BLOCK, Failure, WARM_UP};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    None,
    Sealed,
}

pub(crate) const ETHERNET: usize = 1452;
pub(crate) const JUMBO: usize = 8952;

const SOCKET_BUFFER: usize = 4 << 20;
/// Of a receive buffer, as the system counts it, this share may be under way: it counts its own bookkeeping too.
const SHARE: u64 = 4;
/// A receiver tells what it has so many times a window.
const TOLD: u64 = 8;
/// A batch is what one send may hold.
const MAX_BATCH: usize = 65_000;
const MAX_SEGMENTS: usize = 64;

const TAG: usize = 16;
const CRC: usize = 4;
const KEY: [u8; 32] = [7; 32];

/// How long a sender waits for a word of its receiver.
const PATIENCE_MS: i32 = 30_000;

/// Datagrams begin with how many they are.
const COUNTER: usize = 8;

struct Wire {
    socket: UdpSocket,
    state: UdpSocketState,
    key: LessSafeKey,
    work: Work,
}

impl Wire {
    fn bind(work: Work) -> Result<Self, Failure> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let socket: UdpSocket = socket.into();
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let key = UnboundKey::new(&AES_256_GCM, &KEY).map_err(|_| "the key")?;
        Ok(Self { socket, state, key: LessSafeKey::new(key), work })
    }

    /// Bytes of a datagram that are not payload.
    fn overhead(&self) -> usize {
        if self.work == Work::Sealed { COUNTER + CRC + TAG } else { COUNTER }
    }

    fn nonce(counter: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&counter.to_le_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    /// Writes one datagram.
    fn fill(&self, datagram: &mut [u8], counter: u64, payload: &[u8]) -> Result<(), Failure> {
        let (head, body) = datagram.split_at_mut(COUNTER);
        head.copy_from_slice(&counter.to_le_bytes());
        body[..payload.len()].copy_from_slice(payload);
        if self.work == Work::None {
            return Ok(());
        }
        let (text, rest) = body.split_at_mut(payload.len() + CRC);
        let crc = crc32fast::hash(&text[..payload.len()]);
        text[payload.len()..].copy_from_slice(&crc.to_le_bytes());
        let aad = Aad::from(&*head);
        let tag = self
            .key
            .seal_in_place_separate_tag(Self::nonce(counter), aad, text)
            .map_err(|_| "sealing")?;
        rest.copy_from_slice(tag.as_ref());
        Ok(())
    }

    /// Takes one datagram; how much payload it had.
    fn take(&self, datagram: &mut [u8], out: &mut [u8]) -> Result<usize, Failure> {
        let (head, body) = datagram.split_at_mut(COUNTER);
        let payload = if self.work == Work::Sealed {
            let counter = u64::from_le_bytes((&*head).try_into()?);
            let aad = Aad::from(&*head);
            let text = self
                .key
                .open_in_place(Self::nonce(counter), aad, body)
                .map_err(|_| "a datagram does not open")?;
            let (payload, crc) = text.split_at(text.len() - CRC);
            if crc32fast::hash(payload).to_le_bytes() != crc {
                return Err("a CRC-32 is wrong".into());
            }
            payload
        } else {
            body
        };
        out[..payload.len()].copy_from_slice(payload);
        Ok(payload.len())
    }
}

pub(crate) fn serve(work: Work) -> Result<(), Failure> {
    let wire = Wire::bind(work)?;
    say(&json!({ "target": wire.socket.local_addr()?.to_string() }));
    let window = SockRef::from(&wire.socket).recv_buffer_size()? as u64 / SHARE;
    const BUFFERS: usize = 8;
    let mut storage = vec![0; BUFFERS * BLOCK];
    let mut out = vec![0; BLOCK];
    let mut meta = [RecvMeta::default(); BUFFERS];
    loop {
        // A transfer begins with its length, alone in a datagram.
        let mut first = [0; 8];
        wire.readable(-1)?;
        let (length, peer) = wire.socket.recv_from(&mut first)?;
        if length != first.len() {
            return Err("a transfer that does not begin".into());
        }
        let total = u64::from_le_bytes(first);
        wire.socket.send_to(&window.to_le_bytes(), peer)?;
        let meter = Meter::start();
        let (mut bytes, mut told) = (0, 0);
        while bytes < total {
            let mut chunks = storage.chunks_mut(BLOCK);
            let mut slices: [IoSliceMut<'_>; BUFFERS] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            wire.readable(-1)?;
            let filled = wire.state.recv(UdpSockRef::from(&wire.socket), &mut slices, &mut meta)?;
            for (slice, meta) in slices.iter_mut().zip(&meta).take(filled) {
                for datagram in slice[..meta.len].chunks_mut(meta.stride) {
                    bytes += wire.take(datagram, &mut out)? as u64;
                }
            }
            if bytes - told >= window / TOLD || bytes == total {
                told = bytes;
                wire.socket.send_to(&bytes.to_le_bytes(), peer)?;
            }
        }
        meter.report(bytes);
    }
}

pub(crate) fn send(target: &str, bytes: u64, work: Work, datagram: usize) -> Result<(), Failure> {
    let wire = Wire::bind(work)?;
    let target: SocketAddr = target.parse()?;
    wire.socket.connect(target)?;
    let payload = datagram - wire.overhead();
    let segments = (MAX_BATCH / datagram).min(MAX_SEGMENTS);
    let block = vec![0x5a; payload];
    let mut batch = vec![0; segments * datagram];
    let mut counter = 0;
    for bytes in [WARM_UP, bytes] {
        let meter = Meter::start();
        wire.socket.send(&bytes.to_le_bytes())?;
        let window = wire.hear()?;
        let (mut heard, mut sent) = (0, 0);
        while sent < bytes {
            while sent - heard + MAX_BATCH as u64 > window {
                heard = wire.hear()?;
            }
            let mut filled = 0;
            while filled < batch.len() && sent < bytes {
                let part = &block[..payload.min((bytes - sent) as usize)];
                let end = filled + part.len() + wire.overhead();
                wire.fill(&mut batch[filled..end], counter, part)?;
                counter += 1;
                sent += part.len() as u64;
                filled = end;
            }
            wire.state.try_send(
                UdpSockRef::from(&wire.socket),
                &Transmit {
                    destination: target,
                    ecn: None,
                    contents: &batch[..filled],
                    segment_size: (filled > datagram).then_some(datagram),
                    src_ip: None,
                },
            )?;
        }
        while heard < bytes {
            heard = wire.hear()?;
        }
        meter.report(bytes);
    }
    Ok(())
}

impl Wire {
    /// Waits until there is something to read; -1 is for ever.
    fn readable(&self, milliseconds: i32) -> Result<(), Failure> {
        let mut poll =
            libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd that lives until the call returns.
        match unsafe { libc::poll(&raw mut poll, 1, milliseconds) } {
            1.. => Ok(()),
            0 => {
                Err("the receiver says nothing: datagrams were lost, its window is too large here"
                    .into())
            }
            _ => Err(std::io::Error::last_os_error().into()),
        }
    }

    /// The latest of what the receiver told.
    fn hear(&self) -> Result<u64, Failure> {
        let mut told = [0; 8];
        self.readable(PATIENCE_MS)?;
        let length = self.socket.recv(&mut told)?;
        if length != told.len() {
            return Err("what the receiver told is cut".into());
        }
        Ok(u64::from_le_bytes(told))
    }
}

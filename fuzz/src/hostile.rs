//! A peer that holds the keys of a session and keeps to no rule: whatever it says is sealed as it should be.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use stt_crypto::{Aead, HeaderKey, OpenKey, OpenKeys, SealKey, SealKeys};
use stt_proto::{
    Now,
    trace::{SessionTrace, SessionTraceStart, TracedSecret, Tracer},
};
use stt_wire::{
    AAD_LEN, CRC32_LEN, Flags, Frame, FrameType, HEADER_LEN, Header, PathId, TAG_LEN,
    decode_packet_number, frame,
    header::apply_mask,
    packet::{parse_outer, seal_checksums},
};

/// Packet numbers, nonces and path ids of the victim that are remembered, of each.
const REMEMBERED: usize = 64;

/// What a key log says of one direction.
#[derive(Clone, Copy)]
pub struct Direction {
    path_id: PathId,
    aead: Aead,
    secret: [u8; 32],
}

/// Collects the secrets of a session from the endpoint that it is set at, the initiator's direction
/// first.
#[derive(Clone, Default)]
pub struct Tap(Arc<Mutex<Vec<Direction>>>);

impl Tap {
    /// Both directions, once there are keys.
    pub fn directions(&self) -> Option<[Direction; 2]> {
        let told = self.0.lock().ok()?;
        told.first_chunk().copied()
    }
}

impl Tracer for Tap {
    fn session(&mut self, _: Now, _: &SessionTraceStart) -> Option<Box<dyn SessionTrace>> {
        None
    }

    fn wants_secrets(&self) -> bool {
        true
    }

    fn secret(&mut self, secret: &TracedSecret<'_>) {
        let TracedSecret::Traffic { path_id, aead, secret } = secret else { return };
        let aead = Aead::from_bit(*aead).expect("an AEAD that was agreed on");
        let direction = Direction { path_id: *path_id, aead, secret: **secret };
        self.0.lock().expect("one thread").push(direction);
    }
}

/// A frame as it is to stand in a packet, right or wrong.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its type.
    pub kind: FrameType,
    /// Flag bits.
    pub flags: u16,
    /// The stream it names.
    pub stream: u32,
    /// What it says.
    pub body: Vec<u8>,
}

/// How a packet is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Packet numbers left out before it.
    pub skip: u32,
    /// How far behind the newest number it goes back; such a number may have been used before.
    pub back: u16,
    /// Under the next key.
    pub next_key: bool,
    /// To which of the victim's path ids, of those known.
    pub id: usize,
}

/// See the module.
pub struct HostilePeer {
    seal: SealKey,
    header_seal: HeaderKey,
    phase: bool,
    is_phase_used: bool,
    open: OpenKey,
    next_open: OpenKey,
    header_open: HeaderKey,
    open_phase: bool,
    /// Where the victim listens.
    ids: Vec<PathId>,
    next: u64,
    largest: Option<u64>,
    heard: Vec<u64>,
    nonces: Vec<[u8; 8]>,
    /// Credit that the victim gave, by stream, 0 for the session.
    limits: BTreeMap<u32, u64>,
}

impl HostilePeer {
    /// One that takes the place of the side that sends in direction `own`, 0 for the initiator.
    pub fn new(directions: [Direction; 2], own: usize) -> Self {
        let (own, theirs) = (directions[own], directions[1 - own]);
        let seal = SealKeys::from_secret(own.aead, &own.secret);
        let open = OpenKeys::from_secret(theirs.aead, &theirs.secret);
        Self {
            seal: seal.key,
            header_seal: seal.header,
            phase: false,
            is_phase_used: false,
            next_open: open.key.next(),
            open: open.key,
            header_open: open.header,
            open_phase: false,
            ids: vec![own.path_id],
            // Above all that the side sent whose place it takes.
            next: 1_000,
            largest: None,
            heard: Vec::new(),
            nonces: Vec::new(),
            limits: BTreeMap::new(),
        }
    }

    /// Reads what the victim sends.
    ///
    /// # Panics
    /// If the victim repeats a packet number, or says what is not well formed.
    pub fn hear(&mut self, datagram: &mut [u8]) {
        let Ok(outer) = parse_outer(datagram) else { panic!("a packet of the victim is broken") };
        let Some((head, body)) = datagram.split_first_chunk_mut::<HEADER_LEN>() else { return };
        let Some(sample) = body.first_chunk().filter(|_| outer.sealed) else { return };
        apply_mask(head, &self.header_open.mask(sample));
        let header = Header::read(head);
        let number = decode_packet_number(self.largest, header.packet_number);
        let phase = header.flags.contains(Flags::KEY_PHASE);
        let key = if phase == self.open_phase { &self.open } else { &self.next_open };
        let body = &mut body[..outer.payload_len];
        // A reset that is not to be told from a packet opens as little as one of a session before.
        let Ok(len) = key.open_in_place(number, &head[..AAD_LEN], body) else { return };
        assert!(self.largest.is_none_or(|largest| number > largest), "number {number} again");
        self.largest = Some(number);
        if phase != self.open_phase {
            self.open_phase = phase;
            let next = self.next_open.next();
            self.open = std::mem::replace(&mut self.next_open, next);
        }
        remember(&mut self.heard, number);
        match frame::parse(header.frame_type, header.flags, header.stream_id, &body[..len]) {
            Ok(Frame::Bundle(bundle)) => {
                bundle.parts().for_each(|part| self.note(part.stream_id, &part.frame));
            }
            Ok(frame) => self.note(header.stream_id, &frame),
            Err(error) => panic!("the victim says {:?}: {error:?}", header.frame_type),
        }
    }

    fn note(&mut self, stream: u32, frame: &Frame<'_>) {
        match frame {
            Frame::NewId(new) => remember(&mut self.ids, new.path_id),
            Frame::KeepAlive(probe) => remember(&mut self.nonces, probe.nonce),
            Frame::Window { limit } => {
                let told = self.limits.insert(stream, *limit);
                assert!(
                    told <= Some(*limit),
                    "credit of {stream} shrinks from {told:?} to {limit}"
                );
            }
            _ => {}
        }
    }

    /// The credit that the victim gave last, for a stream or, with 0, for the session.
    pub fn limit(&self, stream: u32) -> Option<u64> {
        self.limits.get(&stream).copied()
    }

    /// Packet numbers of the victim, the newest last.
    pub fn heard(&self) -> &[u64] {
        &self.heard
    }

    /// What the victim wants echoed: one of the newest.
    pub fn nonce(&self, which: usize) -> Option<[u8; 8]> {
        self.nonces.get(which % self.nonces.len().max(1)).copied()
    }

    /// Flips its key phase for what it sends from now on.
    pub fn update_key(&mut self) {
        self.seal = self.seal.next();
        self.phase = !self.phase;
        self.is_phase_used = false;
    }

    /// Whether a packet was sealed since the key phase was flipped last.
    pub const fn is_phase_used(&self) -> bool {
        self.is_phase_used
    }

    /// A datagram of one packet with these frames: a BUNDLE where there are several.
    pub fn say(&mut self, parts: &[Part], manner: Manner) -> Vec<u8> {
        match parts {
            [part] => self.seal(part, manner),
            parts => {
                let mut body = Vec::new();
                for part in parts {
                    body.extend([part.kind.0, part.flags as u8]);
                    write_varint(&mut body, u64::from(part.stream));
                    body.extend((part.body.len() as u16).to_le_bytes());
                    body.extend(&part.body);
                }
                self.seal(&Part { kind: FrameType::BUNDLE, flags: 0, stream: 0, body }, manner)
            }
        }
    }

    fn seal(&mut self, part: &Part, manner: Manner) -> Vec<u8> {
        let number = match manner.back {
            0 => {
                let number = self.next + u64::from(manner.skip);
                self.next = number + 1;
                number
            }
            back => self.next.saturating_sub(u64::from(back)),
        };
        let sealed_len = part.body.len() + TAG_LEN;
        let mut packet = vec![0; HEADER_LEN];
        packet.extend(&part.body);
        packet.resize(HEADER_LEN + sealed_len + CRC32_LEN, 0);
        let next = manner.next_key.then(|| self.seal.next());
        let phase = self.phase != next.is_some();
        self.is_phase_used |= next.is_none();
        let header = Header::sealed(
            part.kind,
            Flags::from_bits(part.flags).with_if(phase, Flags::KEY_PHASE),
            self.ids[manner.id % self.ids.len()],
            part.stream,
            number,
            sealed_len as u16,
        );
        if let Some((head, body)) = packet.split_first_chunk_mut::<HEADER_LEN>() {
            header.write(head);
            let key = next.as_ref().unwrap_or(&self.seal);
            let body = &mut body[..sealed_len];
            key.seal_in_place(number, &head[..AAD_LEN], body);
            if let Some(sample) = body.first_chunk() {
                apply_mask(head, &self.header_seal.mask(sample));
            }
        }
        seal_checksums(&mut packet);
        packet
    }
}

/// Appends a varint, the shortest there is; what none can say becomes the largest.
pub fn write_varint(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; 8];
    let len = stt_wire::VarInt::saturating(value).write(&mut bytes).expect("eight bytes hold any");
    out.extend(&bytes[..len]);
}

fn remember<T>(list: &mut Vec<T>, value: T) {
    if list.len() == REMEMBERED {
        list.remove(0);
    }
    list.push(value);
}

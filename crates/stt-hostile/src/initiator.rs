//! The side that sends HELLO (sections 2.1 to 2.3).

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use stt_crypto::{Aead, Initiator, NetworkKeys, NodeIdentity, Suite};
use stt_wire::{
    AAD_LEN, CRC32_LEN, FrameType, HEADER_LEN, Header, PathId, TransportParams, Writer,
    handshake::{
        AUTH_PROOF_LEN, CHALLENGE_SEALED_LEN, ChallengeSealed, HELLO_PAYLOAD_LEN, Hello,
        NOISE_3_LEN, PROOF_SEALED_LEN, ProofSealed, write_hello,
    },
    packet,
};

use crate::{
    Failure,
    options::{Mode, Options},
    peer::{Heard, MAX_DATAGRAM, Peer},
    random, unix_ms,
};

/// What Noise's prologue begins with (section 2.1).
pub(crate) const PROLOGUE: &[u8; 5] = b"STT/1";
/// Pause between two copies of the same packet.
const REPEAT: Duration = Duration::from_millis(300);
/// How long a handshake may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);
const ALL_AEADS: u16 = 3;

/// Shakes hands with a peer on 127.0.0.1, and returns with its FINAL.
pub(crate) fn connect(options: &Options) -> Result<Peer, Failure> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let network = NetworkKeys::new(&options.shared_seed);
    let identity = NodeIdentity::from_seed(&options.node_seed);
    let own_id = PathId(random()?);

    let mut fields = [0; Hello::PROLOGUE.end];
    let suite = Suite::AesGcm;
    let now = unix_ms();
    stt_wire::handshake::write_hello_fields(&mut fields, suite.id(), ALL_AEADS, now, own_id);
    let prologue = [&PROLOGUE[..], &fields].concat();
    let mut noise = Initiator::new(suite, &network, &identity, &prologue, random()?)
        .map_err(|error| error.to_string())?;

    let mut payload = [0; HELLO_PAYLOAD_LEN];
    let message1 = noise.write_message1();
    write_hello(&mut payload, suite.id(), ALL_AEADS, now, own_id, &message1);
    let mut hello = clear_packet(FrameType::HELLO, PathId::ZERO, &payload)?;
    let mac1 = network.mac1(&[&hello[..AAD_LEN], &payload[Hello::MAC1_INPUT]]);
    let at = HEADER_LEN + Hello::MAC1.start;
    hello[at..at + mac1.len()].copy_from_slice(&mac1);
    packet::seal_checksums(&mut hello);

    let challenge = exchange(&socket, remote, &hello)?;
    let mut sealed = [0; CHALLENGE_SEALED_LEN];
    noise.read_message2(&challenge, &mut sealed).map_err(|error| error.to_string())?;
    let answer = ChallengeSealed::read(&sealed).map_err(|_| "CHALLENGE cannot be read")?;
    let aead = Aead::from_bit(answer.aead).ok_or("an AEAD that was not offered")?;

    let proof = auth_proof(options, &network, &identity, &mut noise, own_id, &answer)?;
    let secrets = noise.finish().map_err(|error| error.to_string())?;
    let keys = secrets.keys(true, aead);
    let mut peer = Peer::new(socket, remote, answer.path_id, keys)?;
    let until = Instant::now() + LIMIT;
    let mut sent: Option<Instant> = None;
    while Instant::now() < until {
        if sent.is_none_or(|at| at.elapsed() > REPEAT) {
            peer.transmit(&proof)?;
            sent = Some(Instant::now());
        }
        if let Some(Heard::Final { .. }) = peer.listen()? {
            return Ok(peer);
        }
    }
    Err("no FINAL came".into())
}

/// AUTH_PROOF, true or with the path ids of another association.
fn auth_proof(
    options: &Options,
    network: &NetworkKeys,
    identity: &NodeIdentity,
    noise: &mut Initiator,
    own_id: PathId,
    answer: &ChallengeSealed,
) -> Result<Vec<u8>, Failure> {
    let hash = noise.handshake_hash().ok_or("message 2 has not been read")?;
    let named = if options.mode == Mode::WrongProofPathId { PathId(random()?) } else { own_id };
    let inner = ProofSealed {
        initiator_path_id: named,
        responder_path_id: answer.path_id,
        params: params(),
        reset_token: identity.reset_token(&own_id.0),
    };
    let mut plain = [0; PROOF_SEALED_LEN];
    inner.write(&mut Writer::new(&mut plain)).map_err(|_| "no room")?;
    let mut message3 = [0; NOISE_3_LEN];
    noise.write_message3(&plain, &mut message3).map_err(|error| error.to_string())?;
    let mut proof = clear_packet(FrameType::AUTH_PROOF, answer.path_id, &[0; AUTH_PROOF_LEN])?;
    let mac2 = network.mac2(&[&hash, &proof[..AAD_LEN], &message3]);
    proof[HEADER_LEN..HEADER_LEN + NOISE_3_LEN].copy_from_slice(&message3);
    let at = HEADER_LEN + NOISE_3_LEN;
    proof[at..at + mac2.len()].copy_from_slice(&mac2);
    packet::seal_checksums(&mut proof);
    Ok(proof)
}

/// Sends HELLO until something answers, and returns the payload of CHALLENGE.
fn exchange(socket: &UdpSocket, remote: SocketAddr, hello: &[u8]) -> Result<Vec<u8>, Failure> {
    socket.set_read_timeout(Some(REPEAT))?;
    let until = Instant::now() + LIMIT;
    let mut datagram = [0; MAX_DATAGRAM];
    while Instant::now() < until {
        socket.send_to(hello, remote)?;
        let Ok((length, from)) = socket.recv_from(&mut datagram) else { continue };
        let Ok(outer) = packet::parse_outer(&datagram[..length]) else { continue };
        if from != remote || outer.sealed {
            continue;
        }
        if datagram[1] != FrameType::CHALLENGE.0 {
            return Err(
                format!("a packet of type {} came in place of CHALLENGE", datagram[1]).into()
            );
        }
        return Ok(datagram[HEADER_LEN..HEADER_LEN + outer.payload_len].to_vec());
    }
    Err("no CHALLENGE came".into())
}

/// A clear packet with this payload; its checksums are still to be written.
pub(crate) fn clear_packet(
    frame_type: FrameType,
    path_id: PathId,
    payload: &[u8],
) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; HEADER_LEN + payload.len() + CRC32_LEN];
    let (head, rest) = bytes.split_first_chunk_mut::<HEADER_LEN>().ok_or("a short packet")?;
    Header::clear(frame_type, path_id, u16::try_from(payload.len())?).write(head);
    rest[..payload.len()].copy_from_slice(payload);
    Ok(bytes)
}

/// What this side allows: enough for whatever the peer does.
pub(crate) fn params() -> TransportParams {
    TransportParams {
        max_idle_ms: 30_000,
        session_window: 1 << 20,
        stream_window: 1 << 20,
        max_bidi_streams: 100,
        max_uni_streams: 100,
        max_ack_delay_us: 25_000,
        max_udp_payload: 1472,
        max_message: 1200,
    }
}

//! The side that answers HELLO (section 2.4), and refuses the proof, good as it is.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use serde_json::json;
use stt_crypto::{Aead, NetworkKeys, NodeIdentity, Responder, Suite};
use stt_wire::{
    AAD_LEN, ErrorCode, FrameType, HEADER_LEN, HandshakeSubcode, PathId, Writer,
    frame::Final,
    handshake::{
        AuthProof, CHALLENGE_LEN, CHALLENGE_SEALED_LEN, ChallengeSealed, Hello, PROOF_SEALED_LEN,
        ProofSealed,
    },
    packet,
};

use crate::{
    Failure,
    initiator::{LIMIT, PROLOGUE, clear_packet, params},
    options::Options,
    peer::{Heard, MAX_DATAGRAM, Peer, part},
    random, tell, unix_ms,
};

/// Pause between two copies of FINAL.
const REPEAT: Duration = Duration::from_millis(200);

/// Answers one HELLO after another; each proof that holds is refused with 0x0405, sub-code 4. Ends after `--count` of them.
pub(crate) fn refuse_proof(options: &Options) -> Result<(), Failure> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, options.port))?;
    let identity = NodeIdentity::from_seed(&options.node_seed);
    let node_id: String =
        identity.node_id().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    tell(&json!({ "event": "listening", "port": socket.local_addr()?.port(), "nodeId": node_id }));
    let until = Instant::now() + options.limit;
    let mut refused = 0;
    while refused < options.count && Instant::now() < until {
        if refuse_one(options, &socket, &identity, until)? {
            refused += 1;
        }
    }
    Ok(())
}

/// One handshake, from HELLO to the answer to FINAL; false where it did not come that far.
fn refuse_one(
    options: &Options,
    socket: &UdpSocket,
    identity: &NodeIdentity,
    until: Instant,
) -> Result<bool, Failure> {
    let network = NetworkKeys::new(&options.shared_seed);
    let mut datagram = [0; MAX_DATAGRAM];
    let Some((length, remote)) = receive(socket, &mut datagram, FrameType::HELLO, until)? else {
        return Ok(false);
    };
    let (head, payload) = (&datagram[..AAD_LEN], &datagram[HEADER_LEN..length]);
    let Ok(hello) = Hello::parse(payload) else { return Ok(false) };
    if !network.verify_mac1(&[head, &payload[Hello::MAC1_INPUT]], &hello.mac1()) {
        return Ok(false);
    }
    let fields = hello.fields();
    let suite = Suite::from_id(fields.suite()).ok_or("an unknown suite")?;
    let aead = Aead::choose(fields.aeads()).ok_or("no AEAD in common")?;
    let prologue = [&PROLOGUE[..], &payload[Hello::PROLOGUE]].concat();
    let mut noise = Responder::new(suite, &network, identity, &prologue, random()?);
    noise.read_message1(hello.noise()).map_err(|error| error.to_string())?;
    let own_id = PathId(random()?);
    let sealed = ChallengeSealed {
        path_id: own_id,
        aead: aead.bit(),
        timestamp_ms: unix_ms(),
        params: params(),
    };
    let mut plain = [0; CHALLENGE_SEALED_LEN];
    sealed.write(&mut Writer::new(&mut plain)).map_err(|_| "no room")?;
    let mut message2 = [0; CHALLENGE_LEN];
    noise.write_message2(&plain, &mut message2).map_err(|error| error.to_string())?;
    let remote_id = fields.path_id();
    let mut challenge = clear_packet(FrameType::CHALLENGE, remote_id, &message2)?;
    packet::seal_checksums(&mut challenge);
    socket.send_to(&challenge, remote)?;

    let Some((length, _)) = receive(socket, &mut datagram, FrameType::AUTH_PROOF, until)? else {
        return Ok(false);
    };
    let (head, payload) = (&datagram[..AAD_LEN], &datagram[HEADER_LEN..length]);
    let proof = AuthProof::parse(payload).map_err(|_| "AUTH_PROOF cannot be read")?;
    let hash = noise.handshake_hash().ok_or("message 2 has not been written")?;
    if !network.verify_mac2(&[&hash, head, proof.noise], &proof.mac2) {
        return Ok(false);
    }
    let mut inner = [0; PROOF_SEALED_LEN];
    noise.read_message3(proof.noise, &mut inner).map_err(|error| error.to_string())?;
    ProofSealed::read(&inner).map_err(|_| "the proof cannot be read")?;
    let keys = noise.finish().map_err(|error| error.to_string())?.keys(false, aead);
    let mut peer = Peer::new(socket.try_clone()?, remote, remote_id, keys)?;
    refuse(&mut peer, identity, own_id)
}

/// Sends FINAL until it is answered by SESSION_CLOSE.
fn refuse(peer: &mut Peer, identity: &NodeIdentity, own_id: PathId) -> Result<bool, Failure> {
    let verdict = Final {
        status: ErrorCode::HandshakeFailure as u16,
        subcode: HandshakeSubcode::ProofVerificationFailed as u8,
        reset_token: identity.reset_token(&own_id.0),
        ticket: &[],
    };
    let mut body = [0; 64];
    let mut out = Writer::new(&mut body);
    verdict.write(&mut out).map_err(|_| "no room")?;
    let length = out.len();
    let refusal = part(FrameType::FINAL, 0, &body[..length])?;
    let until = Instant::now() + LIMIT;
    let mut sent: Option<Instant> = None;
    while Instant::now() < until {
        if sent.is_none_or(|at| at.elapsed() > REPEAT) {
            peer.send(&refusal)?;
            sent = Some(Instant::now());
        }
        if peer.listen()? == Some(Heard::Closed) {
            tell(
                &json!({ "event": "refused", "code": verdict.status, "subcode": verdict.subcode }),
            );
            return Ok(true);
        }
    }
    Ok(false)
}

/// The next clear packet of a type: the end of its payload in the buffer, and its sender.
fn receive(
    socket: &UdpSocket,
    datagram: &mut [u8],
    wanted: FrameType,
    until: Instant,
) -> Result<Option<(usize, std::net::SocketAddr)>, Failure> {
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    while Instant::now() < until {
        let Ok((length, from)) = socket.recv_from(datagram) else { continue };
        let Ok(outer) = packet::parse_outer(&datagram[..length]) else { continue };
        if !outer.sealed && datagram[1] == wanted.0 {
            return Ok(Some((HEADER_LEN + outer.payload_len, from)));
        }
    }
    Ok(None)
}

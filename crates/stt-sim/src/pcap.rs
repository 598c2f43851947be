//! Captures that tcpdump and Wireshark read: the classic libpcap format with nanoseconds, raw IP
//! packets (LINKTYPE_RAW), each a UDP datagram as it left its sender.

use std::net::{IpAddr, SocketAddr};

use stt_proto::{Ecn, Instant};

use crate::world::EPOCH_UNIX_MS;

/// Magic number of the format with nanoseconds, in the writer's byte order.
const MAGIC_NANOSECONDS: u32 = 0xA1B2_3C4D;
/// Packets that begin with the IP header.
const LINKTYPE_RAW: u32 = 101;
/// A capture stops growing here; what led to a failure at its end is worth less than the disk.
const MAX_BYTES: usize = 256 << 20;
/// Bytes of each packet that are kept.
const SNAPLEN: u32 = 65_535;
const UDP: u8 = 17;
const HOPS: u8 = 64;

/// A capture in memory.
pub(crate) struct Pcap {
    out: Vec<u8>,
}

impl Default for Pcap {
    fn default() -> Self {
        Self::new()
    }
}

impl Pcap {
    pub(crate) fn new() -> Self {
        let mut out = Vec::new();
        out.extend(MAGIC_NANOSECONDS.to_le_bytes());
        // Version 2.4; no correction of time, no accuracy.
        out.extend(2_u16.to_le_bytes());
        out.extend(4_u16.to_le_bytes());
        out.extend([0; 8]);
        out.extend(SNAPLEN.to_le_bytes());
        out.extend(LINKTYPE_RAW.to_le_bytes());
        Self { out }
    }

    pub(crate) fn record(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        ecn: Option<Ecn>,
        payload: &[u8],
    ) {
        if self.out.len() > MAX_BYTES {
            return;
        }
        let mut packet = ip_header(from, to, ecn, payload.len());
        let udp = udp_header(from, to, payload);
        packet.extend(udp);
        packet.extend(payload);
        let nanos = EPOCH_UNIX_MS * 1_000_000 + now.as_nanos();
        let len = packet.len() as u32;
        for word in [(nanos / 1_000_000_000) as u32, (nanos % 1_000_000_000) as u32, len, len] {
            self.out.extend(word.to_le_bytes());
        }
        self.out.extend(packet);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

fn codepoint(ecn: Option<Ecn>) -> u8 {
    match ecn {
        None => 0,
        Some(Ecn::Ect1) => 1,
        Some(Ecn::Ect0) => 2,
        Some(Ecn::Ce) => 3,
    }
}

/// RFC 791 and RFC 8200.
fn ip_header(from: SocketAddr, to: SocketAddr, ecn: Option<Ecn>, payload: usize) -> Vec<u8> {
    let udp_len = (payload + 8) as u16;
    let mut out = Vec::with_capacity(48 + payload);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.extend([0x45, codepoint(ecn)]);
            out.extend((udp_len + 20).to_be_bytes());
            // No identification; "don't fragment".
            out.extend([0, 0, 0x40, 0, HOPS, UDP, 0, 0]);
            out.extend(source.octets());
            out.extend(destination.octets());
            let checksum = finish(sum(&out));
            out[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        _ => {
            out.extend([0x60, codepoint(ecn) << 4, 0, 0]);
            out.extend(udp_len.to_be_bytes());
            out.extend([UDP, HOPS]);
            out.extend(octets(from.ip()));
            out.extend(octets(to.ip()));
        }
    }
    out
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// RFC 768.
fn udp_header(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> [u8; 8] {
    let len = (payload.len() + 8) as u16;
    let mut header = [0; 8];
    header[..2].copy_from_slice(&from.port().to_be_bytes());
    header[2..4].copy_from_slice(&to.port().to_be_bytes());
    header[4..6].copy_from_slice(&len.to_be_bytes());
    let pseudo = sum(&octets(from.ip())) + sum(&octets(to.ip())) + u64::from(UDP) + u64::from(len);
    let checksum = match finish(pseudo + sum(&header) + sum(payload)) {
        0 => 0xFFFF,
        checksum => checksum,
    };
    header[6..].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// Sum of big-endian words (RFC 1071), not folded yet.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2);
    words.map(|w| u64::from(w[0]) << 8 | u64::from(w.get(1).copied().unwrap_or(0))).sum()
}

fn finish(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_whole_and_their_checksums_hold() {
        let mut pcap = Pcap::new();
        let (from, to) = (([10, 0, 0, 1], 7788).into(), ([10, 0, 0, 2], 9).into());
        pcap.record(Instant::from_nanos(1_500_000_001), from, to, Some(Ecn::Ect0), b"hello");
        let bytes = pcap.into_bytes();
        assert_eq!(bytes.len(), 24 + 16 + 20 + 8 + 5);
        assert_eq!(bytes[..4], MAGIC_NANOSECONDS.to_le_bytes());
        assert_eq!(bytes[28..32], 500_000_001_u32.to_le_bytes());
        let packet = &bytes[40..];
        assert_eq!(finish(sum(&packet[..20])), 0);
        let pseudo = sum(&packet[12..20]) + 17 + 13;
        assert_eq!(finish(pseudo + sum(&packet[20..])), 0);
        assert_eq!(packet[1], 2);
    }

    #[test]
    fn ipv6_has_its_own_header() {
        let mut pcap = Pcap::new();
        let from: SocketAddr = "[fd00::1]:7788".parse().unwrap_or(([0; 4], 0).into());
        pcap.record(Instant::from_nanos(0), from, from, None, b"abc");
        let bytes = pcap.into_bytes();
        assert_eq!(bytes[40] >> 4, 6);
        let packet = &bytes[40..];
        assert_eq!(finish(sum(&packet[8..40]) + 17 + 11 + sum(&packet[40..])), 0);
    }
}

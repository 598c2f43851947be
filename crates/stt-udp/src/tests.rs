//! Loopback tests of the socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use crate::{
    EcnCodepoint, MAX_BATCH_BYTES, RecvBatch, SendError, SocketOptions, Transmit, UdpSocket,
};

const WANTED: SocketOptions =
    SocketOptions { send_buffer: 1 << 20, recv_buffer: 1 << 20, busy_poll: 0 };
const LIMIT: Duration = Duration::from_secs(60);

fn bind(address: impl Into<SocketAddr>) -> UdpSocket {
    UdpSocket::bind(address.into(), WANTED).unwrap()
}

/// A port where nobody listens, and what keeps it so: a socket that takes from itself alone.
#[cfg(target_os = "linux")]
fn closed(address: impl Into<SocketAddr>) -> (SocketAddr, std::net::UdpSocket) {
    let socket = std::net::UdpSocket::bind(address.into()).unwrap();
    let address = socket.local_addr().unwrap();
    socket.connect(address).unwrap();
    (address, socket)
}

/// Waits until `step` gives something, sleeping in the poller between tries.
fn wait_for<T>(socket: &mut UdpSocket, mut step: impl FnMut(&UdpSocket) -> Option<T>) -> T {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    poll.registry().register(socket, Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = step(socket) {
            poll.registry().deregister(socket).unwrap();
            return found;
        }
        let left = end.checked_duration_since(Instant::now()).expect("nothing came in time");
        poll.poll(&mut events, Some(left)).unwrap();
    }
}

/// Everything that arrives until `bytes` are there: (peer, stride, ecn, contents).
fn collect(
    socket: &mut UdpSocket,
    bytes: usize,
) -> Vec<(SocketAddr, Option<EcnCodepoint>, Vec<u8>)> {
    let mut batch = RecvBatch::new();
    let mut all = Vec::new();
    let mut total = 0;
    wait_for(socket, |socket| {
        loop {
            match socket.recv(&mut batch) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => panic!("{error}"),
            }
            for received in socket.received(&mut batch) {
                for datagram in received.bytes.chunks(received.stride) {
                    total += datagram.len();
                    all.push((received.remote, received.ecn, datagram.to_vec()));
                }
            }
            if total >= bytes {
                return Some(());
            }
        }
    });
    all
}

#[test]
fn a_batch_arrives_as_its_datagrams_with_the_ecn_mark() {
    let sender = bind((Ipv4Addr::LOCALHOST, 0));
    let mut receiver = bind((Ipv4Addr::LOCALHOST, 0));
    let segments = sender.max_segments().min(MAX_BATCH_BYTES / 1452);
    let bytes: Vec<u8> = (0..segments * 1452 - 100).map(|i| (i / 1452) as u8).collect();
    for part in bytes.chunks(segments * 1452) {
        let transmit = Transmit {
            remote: receiver.local_addr(),
            local: None,
            ecn: Some(EcnCodepoint::Ect0),
            segment_size: Some(1452),
            bytes: part,
        };
        sender.send(&transmit).unwrap();
    }
    let datagrams = collect(&mut receiver, bytes.len());
    assert_eq!(datagrams.len(), segments);
    for (index, (remote, ecn, datagram)) in datagrams.iter().enumerate() {
        assert_eq!(*remote, sender.local_addr());
        assert_eq!(*ecn, Some(EcnCodepoint::Ect0));
        let expected = if index + 1 == segments { 1352 } else { 1452 };
        assert_eq!(datagram.len(), expected);
        assert!(datagram.iter().all(|byte| usize::from(*byte) == index));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn batches_are_sent_and_received_with_offload() {
    let sender = bind((Ipv4Addr::LOCALHOST, 0));
    let mut receiver = bind((Ipv4Addr::LOCALHOST, 0));
    assert_eq!(sender.max_segments(), 64);
    let bytes = vec![7; 40 * 1452];
    let transmit = Transmit {
        remote: receiver.local_addr(),
        local: None,
        ecn: None,
        segment_size: Some(1452),
        bytes: &bytes,
    };
    sender.send(&transmit).unwrap();
    let mut batch = RecvBatch::new();
    wait_for(&mut receiver, |socket| socket.recv(&mut batch).ok());
    let first = receiver.received(&mut batch).next().unwrap();
    assert_eq!((first.stride, first.bytes.len()), (1452, bytes.len()), "coalesced into one buffer");
}

#[test]
fn datagrams_sent_singly_when_offload_is_off_arrive_alike() {
    let sender = bind((Ipv4Addr::LOCALHOST, 0));
    sender.offload.store(false, Ordering::Relaxed);
    assert_eq!(sender.max_segments(), 1);
    let mut receiver = bind((Ipv4Addr::LOCALHOST, 0));
    let bytes = vec![1; 2500];
    let transmit = Transmit {
        remote: receiver.local_addr(),
        local: None,
        ecn: None,
        segment_size: Some(1000),
        bytes: &bytes,
    };
    sender.send(&transmit).unwrap();
    let sizes: Vec<usize> =
        collect(&mut receiver, bytes.len()).iter().map(|(.., d)| d.len()).collect();
    assert_eq!(sizes, [1000, 1000, 500]);
}

#[test]
fn a_wildcard_socket_serves_both_families_and_answers_from_the_address_asked() {
    let mut server = bind((Ipv6Addr::UNSPECIFIED, 0));
    let port = server.local_addr().port();
    for client_ip in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()] {
        let mut client = bind(client_ip);
        let target = SocketAddr::new(client_ip.ip(), port);
        let ask =
            Transmit { remote: target, local: None, ecn: None, segment_size: None, bytes: b"ask" };
        client.send(&ask).unwrap();
        let mut batch = RecvBatch::new();
        wait_for(&mut server, |socket| socket.recv(&mut batch).ok());
        let asked = server.received(&mut batch).next().unwrap();
        assert_eq!(asked.remote, client.local_addr());
        if cfg!(target_os = "linux") {
            assert_eq!(asked.local, Some(client_ip.ip()));
        }
        let answer = Transmit {
            remote: asked.remote,
            local: asked.local,
            ecn: None,
            segment_size: None,
            bytes: b"answer",
        };
        server.send(&answer).unwrap();
        let got = collect(&mut client, 6);
        assert_eq!(got[0].0, target);
    }
}

#[test]
fn the_granted_buffers_are_reported() {
    let socket = bind((Ipv4Addr::LOCALHOST, 0));
    assert!(socket.options().send_buffer > 0 && socket.options().recv_buffer > 0);
}

#[test]
fn busy_polling_that_is_not_granted_is_reported_and_no_error() {
    // More than the system's number holds, which none grants.
    let options = SocketOptions { busy_poll: u32::MAX, ..WANTED };
    let plain = bind((Ipv4Addr::LOCALHOST, 0));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), options).unwrap();
    assert_eq!(socket.options().busy_poll, plain.options().busy_poll);
}

#[cfg(target_os = "linux")]
mod busy_polling {
    use super::*;

    /// Whether this process has CAP_NET_ADMIN outside of containers of their own users.
    fn may_raise_it() -> bool {
        const CAP_NET_ADMIN: u32 = 12;
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        let effective = u64::from_str_radix(effective.trim(), 16).unwrap();
        let users = std::fs::read_to_string("/proc/self/uid_map").unwrap();
        let outermost = users.split_whitespace().eq(["0", "0", "4294967295"]);
        effective >> CAP_NET_ADMIN & 1 == 1 && outermost
    }

    #[test]
    fn the_system_says_that_busy_polling_is_set() {
        let options = SocketOptions { busy_poll: 50, ..WANTED };
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into(), options).unwrap();
        let duplicate = std::net::UdpSocket::from(socket.duplicate().unwrap());
        let set = crate::busy_poll::get(&duplicate).unwrap();
        assert_eq!(set, socket.options().busy_poll);
        if may_raise_it() {
            assert_eq!(set, 50);
        } else {
            println!("skipped in part: old kernels want CAP_NET_ADMIN for SO_BUSY_POLL");
        }
    }
}

#[test]
fn a_busy_port_is_the_systems_own_error() {
    let first = bind((Ipv4Addr::LOCALHOST, 0));
    let error = UdpSocket::bind(first.local_addr(), WANTED).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[cfg(all(target_os = "linux", not(feature = "no-error-queue")))]
#[test]
fn a_refused_port_is_told_within_milliseconds_with_the_quoted_datagram() {
    for ip in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()] {
        // Others may have the processor: the best of many counts.
        let quickest =
            (0..200).map(|_| refused(ip)).find(|took| *took < Duration::from_millis(500));
        assert!(quickest.is_some(), "{ip}");
    }
}

/// How soon a refusal is told, and that it says all that it should.
#[cfg(all(target_os = "linux", not(feature = "no-error-queue")))]
fn refused(ip: SocketAddr) -> Duration {
    let mut sender = bind(ip);
    let (closed, _held) = closed(ip);
    let bytes: Vec<u8> = (0..1200u32).map(|i| i as u8).collect();
    let transmit =
        Transmit { remote: closed, local: None, ecn: None, segment_size: None, bytes: &bytes };
    let started = Instant::now();
    sender.send(&transmit).unwrap();
    let mut quoted = [0; 256];
    let error = wait_for(&mut sender, |socket| socket.recv_path_error(&mut quoted));
    let took = started.elapsed();
    assert_eq!((error.remote, error.kind), (closed, crate::PathErrorKind::Refused));
    assert!(error.quoted >= 24, "enough to read a packet header: {}", error.quoted);
    assert_eq!(quoted[..error.quoted], bytes[..error.quoted]);
    took
}

#[test]
fn a_socket_that_is_told_nothing_has_nothing_to_tell() {
    let queue = cfg!(any(target_os = "linux", target_os = "android"));
    let socket = bind((Ipv4Addr::LOCALHOST, 0));
    assert_eq!(socket.tells_refusals(), queue && !cfg!(feature = "no-error-queue"));
    assert_eq!(socket.recv_path_error(&mut [0; 64]), None);
}

#[cfg(target_os = "linux")]
#[test]
fn a_refusal_by_one_peer_does_not_fail_a_send_to_another() {
    let mut sender = bind((Ipv4Addr::LOCALHOST, 0));
    let (closed, _held) = closed((Ipv4Addr::LOCALHOST, 0));
    let mut receiver = bind((Ipv4Addr::LOCALHOST, 0));
    let refused =
        Transmit { remote: closed, local: None, ecn: None, segment_size: None, bytes: b"nobody" };
    sender.send(&refused).unwrap();
    let mut poll = Poll::new().unwrap();
    poll.registry().register(&mut sender, Token(0), Interest::READABLE).unwrap();
    poll.poll(&mut Events::with_capacity(1), Some(LIMIT)).unwrap();
    let good = Transmit { remote: receiver.local_addr(), bytes: b"somebody", ..refused };
    sender.send(&good).unwrap();
    assert_eq!(collect(&mut receiver, 8)[0].2, b"somebody");
}

#[cfg(target_os = "linux")]
#[test]
fn a_flood_of_refusals_does_not_fail_a_send_to_another() {
    const SENDS: usize = 50_000;
    let sender = bind((Ipv4Addr::LOCALHOST, 0));
    let (closed, _held) = closed((Ipv4Addr::LOCALHOST, 0));
    let receiver = bind((Ipv4Addr::LOCALHOST, 0));
    let refused =
        Transmit { remote: closed, local: None, ecn: None, segment_size: None, bytes: b"nobody" };
    let good = Transmit { remote: receiver.local_addr(), bytes: b"somebody", ..refused };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // Each draws a report, as whoever forges them would send.
                while !over.load(Ordering::Relaxed) {
                    let _ = sender.send(&refused);
                }
            });
        }
        let failed = (0..SENDS).filter_map(|_| sender.send(&good).err()).collect::<Vec<_>>();
        over.store(true, Ordering::Relaxed);
        assert_eq!(failed, [], "of {SENDS} sends");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_datagram_that_no_interface_carries_is_too_long() {
    let sender = bind((Ipv4Addr::LOCALHOST, 0));
    let receiver = bind((Ipv4Addr::LOCALHOST, 0));
    let bytes = vec![0; MAX_BATCH_BYTES + 1];
    let transmit = Transmit {
        remote: receiver.local_addr(),
        local: None,
        ecn: None,
        segment_size: None,
        bytes: &bytes,
    };
    assert!(matches!(sender.send(&transmit), Err(SendError::MessageTooLong(errno)) if errno != 0));
}

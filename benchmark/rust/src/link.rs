//! A link between two network namespaces: so many bits a second, a delay, a queue, and losses by chance, for whatever speaks IP.
//!
//! Each end is a TUN device in a namespace of its own. What a side sends is read here, dropped by chance or for want of room in
//! the queue, held for as long as the link takes, and written to the other side. Both directions have the same of all.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Failure;
use crate::report::say;

/// What the devices are called, each in its namespace.
const DEVICE: &str = "link0";
/// Room for a packet of the largest MTU that the devices may be given.
const PACKET: usize = 9216;
/// Packets read of one side before the other has its turn.
const BURST: usize = 64;

pub(crate) struct Properties {
    pub(crate) bits_a_second: f64,
    /// One way.
    pub(crate) delay: Duration,
    /// Of a million packets.
    pub(crate) lost: u64,
    pub(crate) seed: u64,
}

/// Forwards between the namespaces named until it is killed.
pub(crate) fn run(namespaces: [&str; 2], link: &Properties) -> Result<(), Failure> {
    // What a machine does beside is no property of the link; where this may not be, it is one.
    // SAFETY: a system call without pointers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    let mut ends = [device(namespaces[0])?, device(namespaces[1])?];
    let mut chance = Chance(link.seed);
    let mut ways = [Way::new(link), Way::new(link)];
    say(&json!({ "device": DEVICE }));
    loop {
        let now = Instant::now();
        let mut quiet = true;
        for (way, (from, to)) in ways.iter_mut().zip([(0, 1), (1, 0)]) {
            for _ in 0..BURST {
                let mut packet = way.spare.pop().unwrap_or_else(|| vec![0; PACKET]);
                match ends[from].read(&mut packet) {
                    Ok(length) => {
                        quiet = false;
                        way.take(packet, length, now, chance.hits(link.lost));
                    }
                    // Nothing waits, or the device is down: it is being set up.
                    Err(_) => {
                        way.spare.push(packet);
                        break;
                    }
                }
            }
            quiet &= !way.deliver(&mut ends[to], now);
        }
        if quiet {
            let next = ways.iter().filter_map(|way| way.queue.front()).map(|held| held.due).min();
            wait(&ends, next.map(|due| due.saturating_duration_since(Instant::now())))?;
        }
    }
}

struct Held {
    due: Instant,
    packet: Vec<u8>,
    length: usize,
}

/// One direction.
struct Way {
    bits_a_second: f64,
    delay: Duration,
    /// How long the last byte of a full queue waits: a round trip, as queues are often made.
    longest: Duration,
    /// When the last packet taken has left the queue.
    free: Instant,
    queue: VecDeque<Held>,
    spare: Vec<Vec<u8>>,
}

impl Way {
    fn new(link: &Properties) -> Self {
        Self {
            bits_a_second: link.bits_a_second,
            delay: link.delay,
            longest: 2 * link.delay,
            free: Instant::now(),
            queue: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    fn take(&mut self, packet: Vec<u8>, length: usize, now: Instant, lost: bool) {
        let begin = self.free.max(now);
        if begin - now > self.longest {
            self.spare.push(packet);
            return;
        }
        // One that is lost on the way has taken its time on the link.
        self.free = begin + Duration::from_secs_f64(length as f64 * 8.0 / self.bits_a_second);
        if lost {
            self.spare.push(packet);
        } else {
            self.queue.push_back(Held { due: self.free + self.delay, packet, length });
        }
    }

    /// Hands over what is due; whether there was any.
    fn deliver(&mut self, to: &mut File, now: Instant) -> bool {
        let mut any = false;
        while let Some(Held { packet, length, .. }) =
            self.queue.pop_front_if(|held| held.due <= now)
        {
            // A device that takes no more loses it, as one that is down does.
            let _ = to.write(&packet[..length]);
            self.spare.push(packet);
            any = true;
        }
        any
    }
}

/// xorshift64*: the same losses for the same seed and the same packets.
struct Chance(u64);

impl Chance {
    fn hits(&mut self, of_a_million: u64) -> bool {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let upper = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        (upper * 1_000_000) >> 32 < of_a_million
    }
}

/// A TUN device in a namespace: it stays there when this thread goes on to the next.
fn device(namespace: &str) -> Result<File, Failure> {
    let place = File::open(format!("/run/netns/{namespace}"))?;
    // SAFETY: the descriptor is open, and of a network namespace or the call fails.
    if unsafe { libc::setns(place.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    // SAFETY: ifreq is plain data, for which zeros are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open, and the request lives until the call returns.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(file)
}

/// Until a side has something to say, or `until` has passed.
fn wait(ends: &[File; 2], until: Option<Duration>) -> Result<(), Failure> {
    let mut wanted = ends.each_ref().map(|end| libc::pollfd {
        fd: end.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let until = until.unwrap_or(Duration::from_millis(100));
    let time = libc::timespec {
        tv_sec: until.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(until.subsec_nanos()),
    };
    // SAFETY: both live until the call returns, and the number is that of the descriptors.
    let ready = unsafe { libc::ppoll(wanted.as_mut_ptr(), 2, &raw const time, std::ptr::null()) };
    if ready < 0 {
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error.into());
        }
    }
    Ok(())
}

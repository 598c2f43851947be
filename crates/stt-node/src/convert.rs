//! Numbers and addresses, from JavaScript's form to Rust's and back.

use std::io;
use std::net::{IpAddr, SocketAddr};

use napi::{Error, Result, Status};
use stt_engine::StartError;
use stt_proto::{Fault, FaultDetail, NodeId, Shortage};

use crate::options::StartFailure;

/// An IP literal and a port.
pub(crate) fn socket_address(address: &str, port: u32) -> Result<SocketAddr> {
    let ip = ip_address(address)?;
    let port = u16::try_from(port).map_err(|_| misuse(format!("{port} is no port")))?;
    Ok(SocketAddr::new(ip, port))
}

/// An IP literal.
pub(crate) fn ip_address(address: &str) -> Result<IpAddr> {
    address.parse().map_err(|_| misuse(format!("{address:?} is no IP address")))
}

/// 32 bytes that name a node.
pub(crate) fn node_id(bytes: &[u8]) -> Result<NodeId> {
    bytes.try_into().map(NodeId).map_err(|_| misuse("a node id has 32 bytes".to_owned()))
}

/// What is thrown when the TypeScript layer breaks the contract.
pub(crate) fn misuse(message: String) -> Error {
    Error::new(Status::InvalidArg, message)
}

/// Five numbers for a fault: origin, code and sub-code, the cause's code and sub-code, the kind of
/// detail, and two numbers that depend on it.
pub(crate) fn fault_numbers(fault: &Fault) -> [f64; 5] {
    let (cause, cause_subcode) = fault.cause.map_or((0, 0), |(code, sub)| (code as u16, sub));
    let (kind, first, second) = match fault.detail {
        FaultDetail::Limit { limit, local } => (1.0, limit as f64, f64::from(u8::from(local))),
        FaultDetail::Waited { ms } => (2.0, ms as f64, 0.0),
        FaultDetail::Versions { list, count } => {
            // Six bytes are what a double holds exactly; no peer speaks more versions.
            let count = count.min(6);
            let packed = list[..usize::from(count)].iter().rev();
            let packed = packed.fold(0u64, |packed, version| packed << 8 | u64::from(*version));
            (3.0, packed as f64, f64::from(count))
        }
        FaultDetail::ClockSkew { ms } => (4.0, ms as f64, 0.0),
        FaultDetail::Os { errno, ms } => (5.0, f64::from(errno), ms as f64),
        FaultDetail::Refused { count, ms } => (10.0, count as f64, ms as f64),
        FaultDetail::Count { count } => (6.0, count as f64, 0.0),
        // The node id stands beside the numbers, where there is one.
        FaultDetail::Answered { .. } => (7.0, 0.0, 0.0),
        FaultDetail::Revoked => (8.0, 0.0, 0.0),
        FaultDetail::Memory(shortage) => {
            let (limit, packed) = shortage_numbers(&shortage);
            (11.0, limit, packed)
        }
        FaultDetail::Seeds { count } => (9.0, f64::from(count), 0.0),
        _ => (0.0, 0.0, 0.0),
    };
    [
        f64::from(
            u32::from(fault.origin as u8) << 24
                | u32::from(fault.code as u16) << 8
                | u32::from(fault.subcode),
        ),
        f64::from(u32::from(cause) << 8 | u32::from(cause_subcode)),
        kind,
        first,
        second,
    ]
}

/// A shortage in two numbers: the ceiling in bytes; and KiB in use, with those that were asked for in the
/// lowest 20 bits.
fn shortage_numbers(shortage: &Shortage) -> (f64, f64) {
    const KIB: u64 = 1024;
    let asked = shortage.asked.div_ceil(KIB).min((1 << 20) - 1);
    let used = shortage.used.div_ceil(KIB).min((1 << 32) - 1);
    (shortage.limit as f64, (used << 20 | asked) as f64)
}

/// A start that failed, as data.
pub(crate) fn start_failure(error: &StartError) -> StartFailure {
    let stage = match error {
        StartError::Bind(_) => "bind",
        StartError::Thread(_) => "thread",
        StartError::Log(_) => "log",
        _ => "poller",
    };
    let io = error.io();
    let code = match io.kind() {
        io::ErrorKind::AddrInUse => "EADDRINUSE",
        io::ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
        io::ErrorKind::PermissionDenied => "EACCES",
        io::ErrorKind::OutOfMemory => "ENOMEM",
        io::ErrorKind::NotFound => "ENOENT",
        io::ErrorKind::NotADirectory => "ENOTDIR",
        io::ErrorKind::AlreadyExists => "EEXIST",
        _ => "",
    };
    StartFailure {
        stage: stage.to_owned(),
        code: code.to_owned(),
        errno: io.raw_os_error().unwrap_or(0),
        message: error.to_string(),
    }
}

//! Systems that tell an unconnected socket nothing.

use std::io;

use quinn_udp::UdpSocketState;

use crate::error::PathError;

/// There is nothing to ask for.
#[expect(clippy::unnecessary_wraps, reason = "where there is a queue, asking for it can fail")]
pub(crate) fn enable(_state: &UdpSocketState, _socket: &std::net::UdpSocket) -> io::Result<()> {
    Ok(())
}

/// There is nothing to take.
pub(crate) fn recv(_socket: &mio::net::UdpSocket, _quoted: &mut [u8]) -> Option<PathError> {
    None
}

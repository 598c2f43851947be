//! What the network reported about datagrams that had already left.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::recv;

/// Other systems do not tell an unconnected socket.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn recv(
    _socket: &mio::net::UdpSocket,
    _quoted: &mut [u8],
) -> Option<crate::error::PathError> {
    None
}

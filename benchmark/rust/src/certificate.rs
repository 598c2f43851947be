//! A certificate for QUIC's sake: the target of a peer that needs one is `ADDRESS CERTIFICATE`, the latter as the peer's
//! library wants it (DER or PEM), in hex.

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::Failure;

pub(crate) const HOST: &str = "localhost";

pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

pub(crate) fn make() -> Result<Identity, Failure> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([HOST.to_owned()])?;
    Ok(Identity { certificate: cert.der().to_vec(), key: signing_key.serialize_der() })
}

pub(crate) fn make_pem() -> Result<Identity, Failure> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([HOST.to_owned()])?;
    let (certificate, key) = (cert.pem().into_bytes(), signing_key.serialize_pem().into_bytes());
    Ok(Identity { certificate, key })
}

pub(crate) fn target(address: impl std::fmt::Display, certificate: &[u8]) -> String {
    let hex: String = certificate.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{address} {hex}")
}

pub(crate) fn parse(target: &str) -> Result<(std::net::SocketAddr, Vec<u8>), Failure> {
    let (address, hex) = target.split_once(' ').ok_or("a target is ADDRESS CERTIFICATE")?;
    let certificate = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16))
        .collect::<Result<_, _>>()?;
    Ok((address.parse()?, certificate))
}

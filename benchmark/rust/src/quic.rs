//! quinn, as it comes and tuned.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, TransportConfig};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::JoinSet;

use crate::report::{Meter, say};
use crate::{BLOCK, Failure, WARM_UP, certificate};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tuning {
    Default,
    /// Windows of 16 MiB, the full datagram from the start, and larger socket buffers.
    Tuned,
}

const WINDOW: u32 = 16 << 20;
const SOCKET_BUFFER: usize = 4 << 20;

fn transport(tuning: Tuning) -> TransportConfig {
    let mut config = TransportConfig::default();
    if tuning == Tuning::Tuned {
        config.stream_receive_window(WINDOW.into());
        config.receive_window(WINDOW.into());
        config.send_window(WINDOW.into());
        config.initial_mtu(1452);
    }
    config
}

fn endpoint(server: Option<ServerConfig>, tuning: Tuning) -> Result<Endpoint, Failure> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    if tuning == Tuning::Tuned {
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
    }
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let runtime = Arc::new(TokioRuntime);
    Ok(Endpoint::new(EndpointConfig::default(), server, socket.into(), runtime)?)
}

fn client_config(certificate: Vec<u8>, tuning: Tuning) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport(tuning)));
    Ok(config)
}

fn on_one_thread<T>(run: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // quinn takes the process' provider of cryptography for its tokens; both sides use the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run)
}

pub(crate) fn serve(tuning: Tuning) -> Result<(), Failure> {
    on_one_thread(async {
        let identity = certificate::make()?;
        let key = PrivatePkcs8KeyDer::from(identity.key);
        let chain = vec![CertificateDer::from(identity.certificate.clone())];
        let mut config = ServerConfig::with_single_cert(chain, key.into())?;
        config.transport_config(Arc::new(transport(tuning)));
        let endpoint = endpoint(Some(config), tuning)?;
        let target = certificate::target(endpoint.local_addr()?, &identity.certificate);
        say(&json!({ "target": target }));
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let connection = incoming.await?;
                while let Ok((mut reply, mut stream)) = connection.accept_bi().await {
                    let meter = Meter::start();
                    let mut bytes = 0;
                    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await? {
                        bytes += chunk.bytes.len() as u64;
                    }
                    meter.report(bytes);
                    reply.write_all(&bytes.to_le_bytes()).await?;
                    reply.finish()?;
                }
                Ok::<(), Failure>(())
            });
        }
        Ok(())
    })
}

pub(crate) fn send(target: &str, bytes: u64, tuning: Tuning) -> Result<(), Failure> {
    on_one_thread(async {
        let (address, certificate) = certificate::parse(target)?;
        let endpoint = endpoint(None, tuning)?;
        let config = client_config(certificate, tuning)?;
        let connection = endpoint.connect_with(config, address, certificate::HOST)?.await?;
        let block = vec![0x5a; BLOCK];
        for bytes in [WARM_UP, bytes] {
            let meter = Meter::start();
            let (mut stream, mut reply) = connection.open_bi().await?;
            let mut left = bytes;
            while left > 0 {
                let part = &block[..BLOCK.min(left as usize)];
                stream.write_all(part).await?;
                left -= part.len() as u64;
            }
            stream.finish()?;
            let heard = reply.read_to_end(8).await?;
            if heard != bytes.to_le_bytes() {
                return Err("not all has arrived".into());
            }
            meter.report(bytes);
        }
        connection.close(0u8.into(), b"");
        endpoint.wait_idle().await;
        Ok(())
    })
}

pub(crate) fn connect(target: &str, count: usize, at_once: usize) -> Result<(), Failure> {
    on_one_thread(async {
        let (address, certificate) = certificate::parse(target)?;
        let endpoint = endpoint(None, Tuning::Default)?;
        let mut config = client_config(certificate, Tuning::Default)?;
        // A ticket of the first session would make the others cheaper.
        config.token_store(Arc::new(quinn::NoneTokenStore));
        let meter = Meter::start();
        let mut running = JoinSet::new();
        for begun in 0..count + at_once {
            if begun >= at_once {
                running.join_next().await.ok_or("a connect too few")???;
            }
            if begun < count {
                let connecting =
                    endpoint.connect_with(config.clone(), address, certificate::HOST)?;
                running.spawn(async move {
                    connecting.await?.close(0u8.into(), b"");
                    Ok::<(), Failure>(())
                });
            }
        }
        meter.report_count(count);
        Ok(())
    })
}

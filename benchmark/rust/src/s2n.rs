//! s2n-quic, as it comes and with large datagrams.

use std::net::Ipv4Addr;
use std::str::from_utf8;

use s2n_quic::client::Connect;
use s2n_quic::provider::io::tokio::Provider as Io;
use s2n_quic::provider::tls::default::{Client as TlsClient, Server as TlsServer};
use s2n_quic::{Client, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::report::{Meter, say};
use crate::{BLOCK, Failure, WARM_UP, certificate};

pub(crate) const DEFAULT_MTU: u16 = 1500;
pub(crate) const JUMBO_MTU: u16 = 9000;

fn io(mtu: u16) -> Result<Io, Failure> {
    let builder = Io::builder().with_receive_address((Ipv4Addr::LOCALHOST, 0).into())?;
    Ok(builder.with_max_mtu(mtu)?.build()?)
}

fn on_one_thread<T>(run: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run)
}

pub(crate) fn serve(mtu: u16) -> Result<(), Failure> {
    on_one_thread(async {
        let identity = certificate::make_pem()?;
        let tls = TlsServer::builder()
            .with_certificate(from_utf8(&identity.certificate)?, from_utf8(&identity.key)?)?
            .build()?;
        let mut server = Server::builder().with_tls(tls)?.with_io(io(mtu)?)?.start()?;
        let target = certificate::target(server.local_addr()?, &identity.certificate);
        say(&json!({ "target": target }));
        while let Some(mut connection) = server.accept().await {
            tokio::spawn(async move {
                while let Some(mut stream) = connection.accept_bidirectional_stream().await? {
                    let meter = Meter::start();
                    let mut bytes = 0;
                    while let Some(chunk) = stream.receive().await? {
                        bytes += chunk.len() as u64;
                    }
                    meter.report(bytes);
                    stream.write_all(&bytes.to_le_bytes()).await?;
                    stream.finish()?;
                }
                Ok::<(), Failure>(())
            });
        }
        Ok(())
    })
}

pub(crate) fn send(target: &str, bytes: u64, mtu: u16) -> Result<(), Failure> {
    on_one_thread(async {
        let (address, certificate) = certificate::parse(target)?;
        let tls = TlsClient::builder().with_certificate(from_utf8(&certificate)?)?.build()?;
        let client = Client::builder().with_tls(tls)?.with_io(io(mtu)?)?.start()?;
        let to = Connect::new(address).with_server_name(certificate::HOST);
        let mut connection = client.connect(to).await?;
        connection.keep_alive(true)?;
        let block = bytes::Bytes::from(vec![0x5a; BLOCK]);
        for bytes in [WARM_UP, bytes] {
            let meter = Meter::start();
            let mut stream = connection.open_bidirectional_stream().await?;
            let mut left = bytes;
            while left > 0 {
                let part = block.slice(..BLOCK.min(left as usize));
                left -= part.len() as u64;
                stream.send(part).await?;
            }
            stream.finish()?;
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await?;
            if heard != bytes.to_le_bytes() {
                return Err("not all has arrived".into());
            }
            meter.report(bytes);
        }
        Ok(())
    })
}

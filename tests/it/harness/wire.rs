//! A connection that is cut behind the commit, with the answer still on its way.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// A wire to the server on which answers to appends get lost: of those that have been carried out, every third.
pub(crate) struct Wire {
    options: PgConnectOptions,
    lost: Arc<AtomicUsize>,
}

impl Wire {
    /// One to this server, which it reaches by a port of this machine.
    pub(crate) async fn to(server: PgConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Made anew, because what names a socket goes there, whatever host it is given besides.
        let database = server.get_database().unwrap_or_default();
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).database(database).ssl_mode(PgSslMode::Disable);
        let wire = Self { options, lost: Arc::default() };
        let (lost, answers) = (Arc::clone(&wire.lost), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (lost, answers) = (Arc::clone(&lost), Arc::clone(&answers));
                match server.get_socket() {
                    Some(dir) => {
                        let server = UnixStream::connect(dir.join(format!(".s.PGSQL.{}", server.get_port()))).await.unwrap();
                        tokio::spawn(carry(client, server, lost, answers));
                    }
                    None => {
                        let server = TcpStream::connect((server.get_host(), server.get_port())).await.unwrap();
                        tokio::spawn(carry(client, server, lost, answers));
                    }
                }
            }
        });
        wire
    }

    /// The way to the same database over this wire.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// How many answers have got lost.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

async fn carry(mut client: TcpStream, mut server: impl AsyncRead + AsyncWrite + Unpin, lost: Arc<AtomicUsize>, answers: Arc<AtomicUsize>) {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let (mut appends, mut prepared) = (false, false);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                appends |= asked[..read].windows(18).any(|text| text == b"event_store.append");
                if server.write_all(&asked[..read]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                // The first answer on such a connection describes the statement; each later one is a transaction's.
                if appends && prepared && answers.fetch_add(1, Ordering::SeqCst) % 3 == 2 {
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                prepared |= appends;
                if client.write_all(&answered[..read]).await.is_err() { return }
            }
        }
    }
}

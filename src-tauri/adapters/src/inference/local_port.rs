//! A port of this computer's loopback that leads to a server elsewhere, for programs that are not Tandem.

use std::io;
use std::sync::Arc;

use tandem_domain::ports::{ApiError, LocalPort};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::Connect;

/// Connections at a time; one more is closed at once.
const MOST: usize = 64;

/// See the module. Dropping it closes the port and every connection that goes through it.
pub struct OpenPort {
    port: u16,
    task: JoinHandle<()>,
}

impl OpenPort {
    /// Opens the port of this number; another one where that is taken here.
    pub async fn open(road: Arc<dyn Connect>, wished: u16) -> Result<Self, ApiError> {
        Self::bind(road, wished)
            .await
            .map_err(|e| ApiError::NotListening {
                detail: format!("this computer gives no port: {e}"),
            })
    }

    async fn bind(road: Arc<dyn Connect>, wished: u16) -> io::Result<Self> {
        let listener = match TcpListener::bind(("127.0.0.1", wished)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind(("127.0.0.1", 0)).await?,
        };
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(accept(listener, road));
        Ok(Self { port, task })
    }
}

impl LocalPort for OpenPort {
    fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves until it is aborted, which ends all connections with it.
async fn accept(listener: TcpListener, road: Arc<dyn Connect>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if open.len() < MOST => {
                    open.spawn(relay(stream, road.clone()));
                }
                Ok(_) => {}
                // The system has no descriptor left; one comes back when a connection ends.
                Err(_) if open.is_empty() => return,
                Err(_) => {
                    open.join_next().await;
                }
            },
            Some(_) = open.join_next() => {}
        }
    }
}

/// Moves bytes until either side ends. Where the way there is closed, so is this one.
async fn relay(mut here: TcpStream, road: Arc<dyn Connect>) {
    let Ok(mut there) = road.connect().await else {
        return;
    };
    // That a side broke off is seen by the other one.
    let _ = copy_bidirectional(&mut here, &mut there).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::inference::tcp;

    /// A server that says what it heard, in capitals, until its caller ends.
    async fn loud() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut heard = [0; 64];
                    while let Ok(n @ 1..) = stream.read(&mut heard).await {
                        let said = heard[..n].to_ascii_uppercase();
                        let _ = stream.write_all(&said).await;
                    }
                });
            }
        });
        port
    }

    async fn says(stream: &mut TcpStream, text: &str) -> String {
        stream.write_all(text.as_bytes()).await.expect("it is sent");
        let mut heard = vec![0; text.len()];
        stream.read_exact(&mut heard).await.expect("it is answered");
        String::from_utf8(heard).expect("a text")
    }

    #[tokio::test]
    async fn what_is_said_here_is_heard_there_and_closing_ends_all_of_it() {
        let there = loud().await;
        let open = OpenPort::open(Arc::new(tcp("127.0.0.1", there)), 0).await;
        let open = open.expect("it opens");
        let at = ("127.0.0.1", open.port());
        let mut first = TcpStream::connect(at).await.expect("it listens");
        let mut second = TcpStream::connect(at).await.expect("it listens");
        assert_eq!(says(&mut first, "one").await, "ONE");
        assert_eq!(says(&mut second, "two").await, "TWO");
        drop(open);
        let mut rest = Vec::new();
        let ended = first.read_to_end(&mut rest).await;
        assert!(ended.is_err() || rest.is_empty(), "it is closed");
        assert!(TcpStream::connect(at).await.is_err(), "nobody listens");
    }

    #[tokio::test]
    async fn a_number_that_is_taken_gives_way_to_another_and_only_loopback_listens() {
        let there = loud().await;
        let road: Arc<dyn Connect> = Arc::new(tcp("127.0.0.1", there));
        let open = OpenPort::open(road.clone(), there).await.expect("it opens");
        assert_ne!(open.port(), there);
        let same = OpenPort::open(road, open.port()).await.expect("it opens");
        assert_ne!(same.port(), open.port());
        let other = TcpStream::connect(("127.0.0.2", open.port())).await;
        assert!(other.is_err(), "it listens at 127.0.0.1 alone");
    }

    #[tokio::test]
    async fn where_nothing_answers_there_the_connection_ends_here() {
        let road = Arc::new(tcp("127.0.0.1", 1));
        let open = OpenPort::open(road, 0).await.expect("it opens");
        let mut stream = TcpStream::connect(("127.0.0.1", open.port()))
            .await
            .expect("it listens");
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest).await;
        assert!(ended.is_err() || rest.is_empty());
    }
}

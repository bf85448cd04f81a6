//! A TCP relay in front of a server, whose line a test can cut or freeze.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the line does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    Cut,
    Frozen,
}

/// Relays every connection to one port of this computer.
pub(crate) struct Relay {
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    line: Arc<watch::Sender<Line>>,
}

impl Relay {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let line = Arc::new(watch::Sender::new(Line::Open));
        let watched = Arc::clone(&line);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let line = watched.subscribe();
                tokio::spawn(carry(client, port, line));
            }
        });
        Self { port: own, line }
    }

    /// Ends every connection, and every new one at once.
    pub(crate) fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    /// Carries nothing any more and ends nothing, as a pulled cable does.
    pub(crate) fn freeze(&self) {
        self.line.send_replace(Line::Frozen);
    }

    pub(crate) fn mend(&self) {
        self.line.send_replace(Line::Open);
    }
}

async fn carry(mut client: TcpStream, port: u16, mut line: watch::Receiver<Line>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let changed = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        changed = line.wait_for(|l| *l != Line::Open) => changed.map(|l| *l),
    };
    if matches!(changed, Ok(Line::Frozen)) {
        // Both ends are held and neither hears anything.
        let _ = line.wait_for(|l| *l != Line::Frozen).await;
    }
}

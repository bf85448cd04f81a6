//! A desk with the app on it: a display without a screen, the driver, the window, and a home of its own.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tandem_tests::{LabError, built, until};

/// How long the window may take to answer to a click; most waits are far shorter.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A program that ends with the desk.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An open window and what drives it.
pub(crate) struct Window {
    /// The session.
    pub(crate) client: Client,
    driver: Program,
    app: Pid,
}

/// See the module.
pub(crate) struct Desk {
    /// The app's data, its home and what the programs wrote.
    folder: tempfile::TempDir,
    journey: &'static str,
    app: PathBuf,
    display: String,
    hub: Option<String>,
    lives: u32,
    window: Option<Window>,
    _screen: Program,
}

impl Desk {
    /// A desk for a journey, with a new home and nothing in it. `hub` is where the weights come from.
    pub(crate) async fn new(journey: &'static str, hub: Option<String>) -> Result<Self, LabError> {
        let folder = tempfile::tempdir().expect("a folder can be made");
        std::fs::create_dir(folder.path().join("home")).expect("a folder can be made");
        let app = built("tandem").await?;
        built("tandem-standin").await?;
        // The display chooses its own number and says which.
        let said = folder.path().join("display");
        let screen = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "1600x1200x24",
                "-nolisten",
                "tcp",
            ])
            .stdin(Stdio::null())
            .stdout(File::create(&said).expect("a file can be made"))
            .stderr(output(folder.path(), "xvfb"))
            .spawn()
            .expect("Xvfb starts (apt-get install xvfb)");
        let screen = Program(screen);
        let number = until("a display", SOON, || async {
            let number = std::fs::read_to_string(&said).ok()?;
            number.ends_with('\n').then(|| number.trim().to_owned())
        });
        Ok(Self {
            journey,
            app,
            display: format!(":{}", number.await?),
            hub,
            lives: 0,
            window: None,
            _screen: screen,
            folder,
        })
    }

    /// The app's database, which a journey may fill before the first start.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("data/tandem.db")
    }

    /// Starts the app, as a person would.
    pub(crate) async fn open(&mut self) -> Result<(), LabError> {
        self.lives += 1;
        let port = free_port();
        let mut driver = Command::new("WebKitWebDriver");
        driver
            .arg(format!("--port={port}"))
            .env("DISPLAY", &self.display)
            .env("TAURI_AUTOMATION", "true")
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            .env("TANDEM_DATA", self.folder.path().join("data"))
            .env("HOME", self.folder.path().join("home"))
            .env("RUST_LOG", "info")
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("HF_TOKEN")
            .env_remove("WAYLAND_DISPLAY")
            // What outlives the driver must not hold the outputs of the tests.
            .stdin(Stdio::null())
            .stdout(output(
                self.folder.path(),
                &format!("life-{}.out", self.lives),
            ))
            .stderr(output(self.folder.path(), &format!("life-{}", self.lives)));
        if let Some(hub) = &self.hub {
            driver.env("HF_ENDPOINT", hub);
        }
        let driver = Program(
            driver
                .spawn()
                .expect("the driver starts (apt-get install webkit2gtk-driver)"),
        );
        until("the driver", SOON, || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
        })
        .await?;
        let wanted = json!({
            "browserName": "wry",
            "webkitgtk:browserOptions": { "binary": self.app, "args": [] },
        });
        let wanted = wanted.as_object().expect("it is one").clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap_or_else(|e| panic!("the window did not open: {e}\n{}", self.told()));
        let driver_id = driver.0.id();
        let app = until("the app's process", SOON, || async {
            child(driver_id, &self.app)
        })
        .await?;
        self.window = Some(Window {
            client,
            driver,
            app,
        });
        self.resize(1280, 800).await;
        Ok(())
    }

    /// The open window.
    pub(crate) fn client(&self) -> &Client {
        &self.window.as_ref().expect("the window is open").client
    }

    /// Gives the page this size and waits until it is drawn so.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let client = self.client();
        client
            .set_window_size(width, height)
            .await
            .expect("the window takes a size");
        let drawn = until("the window's size", SOON, || async {
            let size = client
                .execute("return [innerWidth, innerHeight]", vec![])
                .await
                .ok()?;
            (size == json!([width, height])).then_some(())
        });
        drawn.await.expect("the window is drawn");
    }

    /// Closes the window; the driver goes after the app.
    pub(crate) async fn close(&mut self) {
        let Some(Window {
            client,
            driver,
            app,
        }) = self.window.take()
        else {
            return;
        };
        // A session whose app is gone cannot be ended any more.
        let _ = client.close().await;
        if gone(app).await.is_err() {
            let _ = kill_process(app, Signal::KILL);
        }
        drop(driver);
        self.is_private();
    }

    /// What the app keeps is its user's alone, though the window's own engine writes into the same folder.
    fn is_private(&self) {
        let data = self.folder.path().join("data");
        let others = |path: &Path| {
            let found = std::fs::metadata(path).expect("it is there");
            found.permissions().mode() & 0o077
        };
        assert_eq!(others(&data), 0, "the folder");
        for entry in std::fs::read_dir(&data).expect("it is listed") {
            let path = entry.expect("it is listed").path();
            assert_eq!(others(&path), 0, "{}", path.display());
        }
    }

    /// Kills the app as a power cut would, in the middle of whatever it does.
    pub(crate) async fn kill(&mut self) {
        let window = self.window.as_ref().expect("the window is open");
        kill_process(window.app, Signal::KILL).expect("the app is there");
        gone(window.app).await.expect("it is killed");
        self.close().await;
    }

    /// What the app wrote, in all its lives.
    pub(crate) fn told(&self) -> String {
        let lives = (1..=self.lives).map(|n| self.folder.path().join(format!("life-{n}.log")));
        lives
            .filter_map(|p| std::fs::read_to_string(p).ok())
            .collect()
    }

    /// Keeps a screenshot under this name.
    pub(crate) async fn picture(&self, name: &str) {
        let png = self.settled_screenshot().await;
        keep(&format!("{}-{name}.png", self.journey), &png);
    }

    /// A screenshot once the fonts are there and what was asked for is drawn.
    pub(crate) async fn settled_screenshot(&self) -> Vec<u8> {
        let drawn = "const done = arguments[arguments.length - 1]; \
            document.fonts.ready.then(() => requestAnimationFrame(() => requestAnimationFrame(() => done(null))));";
        let client = self.client();
        client
            .execute_async(drawn, vec![])
            .await
            .expect("the page draws");
        client.screenshot().await.expect("the window can be seen")
    }

    /// Keeps what helps to understand a failure: the picture, the page, the database and what the app wrote.
    pub(crate) async fn keep_evidence(&self) {
        let name = |what: &str| format!("{}-failed{what}", self.journey);
        if let Some(window) = &self.window {
            if let Ok(png) = window.client.screenshot().await {
                keep(&name(".png"), &png);
            }
            if let Ok(page) = window.client.source().await {
                keep(&name(".html"), page.as_bytes());
            }
        }
        keep(&name(".log"), self.told().as_bytes());
        for world in ["", "rehearsal"] {
            for part in ["db", "db-wal"] {
                let file = format!("tandem.{part}");
                let file = self.folder.path().join("data").join(world).join(file);
                if let Ok(bytes) = std::fs::read(file) {
                    keep(&name(&format!("-{world}.{part}")), &bytes);
                }
            }
        }
    }
}

/// Writes one of the kept files of the tests.
fn keep(name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../test-artifacts");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    std::fs::write(folder.join(name), bytes).expect("a file can be written");
}

fn output(folder: &Path, name: &str) -> File {
    File::create(folder.join(format!("{name}.log"))).expect("a file can be made")
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
    socket.local_addr().expect("it is bound").port()
}

/// The process that runs `program` right below `parent`.
fn child(parent: u32, program: &Path) -> Option<Pid> {
    let all = std::fs::read_dir(format!("/proc/{parent}/task")).ok()?;
    let mut children = all
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
    let pid = children.find(|pid| {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program)
    })?;
    Pid::from_raw(pid.parse().ok()?)
}

/// Waits until a process has ended. One that nobody has collected yet has ended too.
async fn gone(pid: Pid) -> Result<(), LabError> {
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    until("the app to end", SOON, || async {
        match std::fs::read_to_string(&stat) {
            Ok(text) => text
                .rsplit(") ")
                .next()
                .is_some_and(|t| t.starts_with('Z'))
                .then_some(()),
            Err(_) => Some(()),
        }
    })
    .await
}

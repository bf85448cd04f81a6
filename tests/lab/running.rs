//! The lab as a whole: up, down, fresh again.

use std::net::SocketAddr;

use tandem_rehearsal::checkpoint;
use tandem_rehearsal::hub::{Hub, HubConfig};
use tokio::sync::OnceCell;

use crate::base::{self, Base};
use crate::built::built;
use crate::error::{Context as _, LabError};
use crate::host::{cache, missing, state, text};
use crate::lock::Lock;
use crate::machine;
use crate::spark::Spark;
use crate::{daemon, managed, network, process, registry, standin};

/// Where the lab's Hub listens on the box.
pub const HUB_PORT: u16 = 8077;

/// The running lab, for one user at a time. Dropping it takes it down, unless `TANDEM_LAB_KEEP=1` asks to
/// keep it for the next test binary.
#[derive(Debug)]
pub struct Lab {
    base: Base,
    keep: bool,
    _lock: Lock,
}

/// What `lab status` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of a lab is there.
    Down,
    /// Both machines have booted and the registry answers.
    Up,
    /// Something is there, but not all of it. `lab up` and `lab down` both clear it away.
    Broken,
}

impl Lab {
    /// Waits for whoever uses the lab, then gives two machines as on their first day.
    pub async fn start() -> Result<Self, LabError> {
        Self::begin(&say).await?.fresh().await
    }

    /// The same with NetworkManager on both machines, which owns the private ports as on the desktop of
    /// DGX OS: an automatic profile each, asking for DHCP.
    pub async fn start_managed() -> Result<Self, LabError> {
        let mut lab = Self::begin(&say).await?;
        let making = Lock::of_making(&cache()).await?;
        lab.base.managed = Some(managed::ensure(&lab.base, &say).await?);
        drop(making);
        lab.fresh().await
    }

    async fn fresh(self) -> Result<Self, LabError> {
        // Two machines that an earlier test kept are made fresh, which is quicker than all again.
        if standing().await == Standing::Up {
            self.reset().await?;
        } else {
            clear(true).await?;
            self.boot_all().await?;
        }
        Ok(self)
    }

    /// Brings the lab up for a person, with a Hub, and leaves it so.
    pub async fn up(note: &dyn Fn(&str)) -> Result<(), LabError> {
        let mut lab = Self::begin(note).await?;
        let hub = built("tandem-hub").await?;
        clear(true).await?;
        lab.boot_all().await?;
        let repos = cache().join("repos");
        let at = format!("{}:{HUB_PORT}", network::BOX_ADDRESS);
        daemon::start(
            "hub",
            &[text(&hub), "--bind", &at, "--repos", text(&repos)],
            &at,
        )
        .await?;
        lab.keep = true;
        Ok(())
    }

    /// Makes what all machines start from, NetworkManager's layer included, as far as it is missing. It
    /// needs the internet, which a pair in a network of its own does not have.
    pub async fn prepare(note: &dyn Fn(&str)) -> Result<(), LabError> {
        possible()?;
        let base = shared(note).await?;
        let _making = Lock::of_making(&cache()).await?;
        managed::ensure(&base, note).await.map(|_| ())
    }

    /// Takes down whatever is there of a lab.
    pub async fn down() -> Result<(), LabError> {
        let _lock = Lock::of_pair().await?;
        clear(true).await
    }

    /// Says what is there.
    pub async fn status() -> Standing {
        standing().await
    }

    async fn begin(note: &dyn Fn(&str)) -> Result<Self, LabError> {
        possible()?;
        let lock = Lock::of_pair().await?;
        let keep = std::env::var_os("TANDEM_LAB_KEEP").is_some_and(|v| v == "1");
        Ok(Self {
            base: shared(note).await?,
            keep,
            _lock: lock,
        })
    }

    /// Makes both machines as on their first day: disks, links, processes, groups, images. Their host keys
    /// and ids stay as they were when the lab was brought up.
    pub async fn reset(&self) -> Result<(), LabError> {
        clear(false).await?;
        self.boot_all().await
    }

    async fn boot_all(&self) -> Result<(), LabError> {
        std::fs::create_dir_all(state())
            .context(|| format!("`{}` could not be made", state().display()))?;
        network::lay().await?;
        registry::start().await?;
        for spark in Spark::BOTH {
            machine::prepare(spark, &self.base).await?;
            machine::switch_on(spark).await?;
        }
        for spark in Spark::BOTH {
            machine::booted(spark).await?;
        }
        Ok(())
    }

    /// The Hub of the lab, as the machines reach it: [`Lab::hub`] starts it.
    pub fn hub_endpoint(&self) -> String {
        format!("http://{}:{HUB_PORT}", network::BOX_ADDRESS)
    }

    /// Starts the Hub in this process, over the repositories below `repos`, with the tiny checkpoints among
    /// them. Its faults and counters are its own methods. It ends when it is dropped, and outlives a reset.
    pub async fn hub(&self, repos: &std::path::Path) -> Result<Hub, LabError> {
        let what = || "the Hub did not start".to_owned();
        checkpoint::write_all(repos).context(what)?;
        let at = |port: u16| {
            let ip = network::BOX_ADDRESS
                .parse()
                .expect("the box's address is one");
            SocketAddr::new(ip, port)
        };
        Hub::start(HubConfig {
            bind: at(HUB_PORT),
            cdn: Some(at(HUB_PORT + 1)),
            repos: repos.to_owned(),
        })
        .await
        .context(what)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // Here may be no runtime, or one that must not be blocked, so the work has a thread of its own.
        let work = std::thread::spawn(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context(|| "no runtime".to_owned())?
                .block_on(clear(true))
        });
        match work.join() {
            Ok(Ok(())) => {}
            Ok(Err(e)) => eprintln!("lab: not all of it could be taken down: {e}"),
            Err(_) => eprintln!("lab: taking it down broke off"),
        }
    }
}

fn possible() -> Result<(), LabError> {
    let lacking = missing();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(LabError::new(
        "the lab cannot start here",
        lacking.join("\n"),
    ))
}

/// What all machines start from, and the image in the registry.
async fn shared(note: &dyn Fn(&str)) -> Result<Base, LabError> {
    let _making = Lock::of_making(&cache()).await?;
    let base = base::ensure(note).await?;
    // Once per process is enough: the registry's storage outlives each lab.
    static PUSHED: OnceCell<()> = OnceCell::const_new();
    PUSHED.get_or_try_init(standin::push_standin).await?;
    Ok(base)
}

fn say(line: &str) {
    eprintln!("lab: {line}");
}

/// Removes both machines, the cables and the registry's process, from whatever state they are in.
async fn clear(identity_too: bool) -> Result<(), LabError> {
    for spark in Spark::BOTH {
        machine::remove(spark, identity_too).await?;
    }
    for name in ["hub", "registry"] {
        daemon::stop(name);
    }
    network::remove().await?;
    let _ = std::fs::remove_dir_all(state());
    Ok(())
}

async fn standing() -> Standing {
    let there = [network::CABLES, Spark::A.namespace(), Spark::B.namespace()]
        .iter()
        .any(|n| std::path::Path::new("/run/netns").join(n).exists())
        || Spark::A.disk().join("root/etc").exists();
    if !there {
        return Standing::Down;
    }
    for spark in Spark::BOTH {
        let said = process::exec(spark, &["systemctl", "is-system-running"], b"").await;
        if said.map_or(String::new(), |o| o.stdout).trim() != "running" {
            return Standing::Broken;
        }
    }
    match tokio::net::TcpStream::connect(registry::REGISTRY).await {
        Ok(_) => Standing::Up,
        Err(_) => Standing::Broken,
    }
}

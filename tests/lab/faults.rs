//! What can go wrong on a Spark, made to go wrong, and put right again. [`Lab::reset`] puts right whatever
//! a test left.

use crate::error::LabError;
use crate::host::Output;
use crate::machine::{USER, booted};
use crate::network::{self, Link};
use crate::process::{exec, leader};
use crate::running::Lab;
use crate::snapshot::Snapshot;
use crate::spark::Spark;

impl Lab {
    /// Runs a program on a machine as root, not over SSH; any status is an answer.
    pub async fn exec(&self, spark: Spark, argv: &[&str]) -> Result<Output, LabError> {
        exec(spark, argv, b"").await
    }

    /// The same with something on stdin.
    pub async fn exec_with(
        &self,
        spark: Spark,
        argv: &[&str],
        input: &[u8],
    ) -> Result<Output, LabError> {
        exec(spark, argv, input).await
    }

    /// The same for a program that has to succeed; gives back its stdout.
    pub async fn must(&self, spark: Spark, argv: &[&str]) -> Result<String, LabError> {
        let said = exec(spark, argv, b"").await?;
        if said.ok() {
            return Ok(said.stdout);
        }
        Err(LabError::new(
            format!(
                "`{}` on {} ended with {}",
                argv.join(" "),
                spark.name(),
                said.status
            ),
            said.stderr,
        ))
    }

    /// Everything a set-up could change on a machine, for comparing.
    pub async fn snapshot(&self, spark: Spark) -> Result<Snapshot, LabError> {
        Snapshot::take(spark).await
    }

    /// Pulls a cable: both ends lose their carrier.
    pub async fn cut(&self, link: Link) -> Result<(), LabError> {
        network::cut(link).await
    }

    /// Plugs it in again.
    pub async fn mend(&self, link: Link) -> Result<(), LabError> {
        network::mend(link).await
    }

    /// Holds every frame this many milliseconds in each direction; 0 ends it.
    pub async fn delay(&self, link: Link, ms: u32) -> Result<(), LabError> {
        network::delay(link, ms).await
    }

    /// Lets this many Mbit/s through towards each machine on it; `None` ends it. What a machine sends to
    /// the box is not slowed down.
    pub async fn rate(&self, link: Link, mbit: Option<u32>) -> Result<(), LabError> {
        network::rate(link, mbit).await
    }

    /// Loses every frame larger than this without a word, as a switch with a small MTU does; 9216 ends it.
    pub async fn shrink(&self, link: Link, mtu: u32) -> Result<(), LabError> {
        network::shrink(link, mtu).await
    }

    /// Fills the disk of the user's home until this many bytes are left.
    pub async fn fill_disk(&self, spark: Spark, leave: u64) -> Result<(), LabError> {
        self.free_disk(spark).await?;
        let said = self
            .must(spark, &["df", "--output=avail", "-B1", "/home"])
            .await?;
        let free: u64 = said
            .lines()
            .last()
            .and_then(|l| l.trim().parse().ok())
            .unwrap_or(0);
        let size = free.saturating_sub(leave);
        if size > 0 {
            self.must(
                spark,
                &["fallocate", "-l", &size.to_string(), "/home/.lab-filler"],
            )
            .await?;
        }
        Ok(())
    }

    /// Ends [`Lab::fill_disk`].
    pub async fn free_disk(&self, spark: Spark) -> Result<(), LabError> {
        self.must(spark, &["rm", "-f", "/home/.lab-filler"])
            .await
            .map(drop)
    }

    /// Refuses new connections; those that are open stay.
    pub async fn stop_sshd(&self, spark: Spark) -> Result<(), LabError> {
        self.must(spark, &["systemctl", "stop", "ssh.service"])
            .await
            .map(drop)
    }

    /// Ends [`Lab::stop_sshd`].
    pub async fn start_sshd(&self, spark: Spark) -> Result<(), LabError> {
        self.must(spark, &["systemctl", "start", "ssh.service"])
            .await
            .map(drop)
    }

    /// Ends all open SSH connections; new ones are welcome.
    pub async fn drop_sessions(&self, spark: Spark) -> Result<(), LabError> {
        // The one that listens is called `sshd: /usr/sbin/sshd ... [listener]`, and must stay.
        self.kill(spark, "^sshd: [^/]").await.map(drop)
    }

    /// Gives it another host key, as if it had been installed afresh.
    pub async fn swap_host_key(&self, spark: Spark) -> Result<(), LabError> {
        self.must(
            spark,
            &[
                "sh", "-ec",
                "for kind in ed25519 ecdsa; do f=/etc/ssh/ssh_host_${kind}_key; rm -f $f $f.pub; ssh-keygen -q -t $kind -N '' -f $f; done; systemctl restart ssh.service",
            ],
        )
        .await
        .map(drop)
    }

    /// Takes the user out of group sudo. Sessions that are open keep their groups.
    pub async fn revoke_sudo(&self, spark: Spark) -> Result<(), LabError> {
        self.member(spark, USER, "sudo", false).await
    }

    /// Puts the user back into group sudo.
    pub async fn grant_sudo(&self, spark: Spark) -> Result<(), LabError> {
        self.member(spark, USER, "sudo", true).await
    }

    /// Puts a user into group docker, or takes it out. Holds for sessions that begin later.
    pub async fn docker_group(
        &self,
        spark: Spark,
        user: &str,
        member: bool,
    ) -> Result<(), LabError> {
        self.member(spark, user, "docker", member).await
    }

    async fn member(
        &self,
        spark: Spark,
        user: &str,
        group: &str,
        member: bool,
    ) -> Result<(), LabError> {
        let is = self
            .must(spark, &["id", "-nG", user])
            .await?
            .split_whitespace()
            .any(|g| g == group);
        if is != member {
            let flag = if member { "-a" } else { "-d" };
            self.must(spark, &["gpasswd", flag, user, group]).await?;
        }
        Ok(())
    }

    /// Stops Docker; its socket is gone with it, as after `systemctl stop docker.socket docker`.
    pub async fn stop_docker(&self, spark: Spark) -> Result<(), LabError> {
        self.must(
            spark,
            &["systemctl", "stop", "docker.socket", "docker.service"],
        )
        .await
        .map(drop)
    }

    /// Ends [`Lab::stop_docker`].
    pub async fn start_docker(&self, spark: Spark) -> Result<(), LabError> {
        self.must(
            spark,
            &["systemctl", "start", "docker.socket", "docker.service"],
        )
        .await
        .map(drop)
    }

    /// Ends with SIGKILL all processes of a machine whose command line matches; says whether there were any.
    pub async fn kill(&self, spark: Spark, pattern: &str) -> Result<bool, LabError> {
        let said = self
            .exec(spark, &["pkill", "-KILL", "-f", "--", pattern])
            .await?;
        match said.status {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(LabError::new(
                format!("`{pattern}` was not ended"),
                said.stderr,
            )),
        }
    }

    /// Lets something foreign hold a TCP port on all addresses, until [`Lab::unlisten`] or a reset.
    pub async fn listen(&self, spark: Spark, port: u16) -> Result<(), LabError> {
        let unit = format!("--unit=lab-listen-{port}");
        let program = format!(
            "import os,socket\ns=socket.create_server(('',{port}))\n\
             n=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\nn.connect(os.environ['NOTIFY_SOCKET'])\n\
             n.send(b'READY=1')\nwhile True: s.accept()"
        );
        // Of type notify, so that it holds the port when this returns.
        self.must(
            spark,
            &[
                "systemd-run",
                "--quiet",
                "--collect",
                "--service-type=notify",
                &unit,
                "python3",
                "-c",
                &program,
            ],
        )
        .await
        .map(drop)
    }

    /// Ends [`Lab::listen`].
    pub async fn unlisten(&self, spark: Spark, port: u16) -> Result<(), LabError> {
        self.must(
            spark,
            &["systemctl", "stop", &format!("lab-listen-{port}.service")],
        )
        .await
        .map(drop)
    }

    /// Reboots it and waits until it is up again. What was only in memory is gone: processes, addresses
    /// set by hand, /run, /tmp.
    pub async fn reboot(&self, spark: Spark) -> Result<(), LabError> {
        self.reboot_without_waiting(spark).await?;
        self.wait_booted(spark).await
    }

    /// Reboots it and comes back when it has gone down.
    pub async fn reboot_without_waiting(&self, spark: Spark) -> Result<(), LabError> {
        let before = leader(spark).await?;
        self.must(spark, &["systemctl", "reboot", "--no-block"])
            .await?;
        crate::host::until(
            &format!("{} to go down", spark.name()),
            std::time::Duration::from_secs(120),
            || async { (leader(spark).await.ok() != Some(before)).then_some(()) },
        )
        .await
    }

    /// Waits until it has booted.
    pub async fn wait_booted(&self, spark: Spark) -> Result<(), LabError> {
        booted(spark).await
    }
}

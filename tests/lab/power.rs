//! A loss of power. What was not flushed to the disk of /home is lost with it, as on a real machine; the rest
//! of the system lies on a disk of the box, which keeps it.

use crate::error::{Context as _, LabError};
use crate::host::{run, text};
use crate::machine::{self, booted};
use crate::network;
use crate::running::Lab;
use crate::spark::Spark;

/// Makes a mounted ext4 drop everything that it has not flushed and refuse everything from then on: the
/// call by which file systems are tested against a loss of power (`EXT4_IOC_SHUTDOWN` without a flush of
/// its journal).
const LOSE: &str = "import fcntl,os,struct,sys\n\
    fcntl.ioctl(os.open(sys.argv[1],os.O_RDONLY),0x8004587d,struct.pack('I',2))";

impl Lab {
    /// Cuts a machine's power in the middle of whatever it does. It stays off until [`Lab::power_on`].
    pub async fn power_off(&self, spark: Spark) -> Result<(), LabError> {
        let home = spark.disk().join("home");
        run(&["python3", "-c", LOSE, text(&home)]).await?;
        machine::pull_plug(spark).await?;
        machine::let_go(&home).await?;
        // The other machine's mounts may still hold the old file system, and a mount of the same image would
        // find that one again. What a loss of power leaves is what is in the image now.
        let (image, left) = (
            spark.disk().join("home.img"),
            spark.disk().join("home.left"),
        );
        run(&["cp", "--sparse=always", text(&image), text(&left)]).await?;
        std::fs::rename(&left, &image)
            .context(|| "the disk could not be put in its place".to_owned())
    }

    /// Ends [`Lab::power_off`] and waits until it has booted. As after a restart, addresses that were set by
    /// hand are gone.
    pub async fn power_on(&self, spark: Spark) -> Result<(), LabError> {
        // The journal of /home is replayed here, as a boot would.
        machine::mount_home(spark).await?;
        network::forget(spark).await?;
        machine::switch_on(spark).await?;
        booted(spark).await
    }
}

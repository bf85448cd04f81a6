//! Addresses on the cable for what needs no set-up, only a link: set by hand, and gone with a restart.

use crate::error::LabError;
use crate::hardware::RAILS;
use crate::running::Lab;
use crate::{Link, Spark};

/// The network of each rail.
pub const NETS: [&str; 2] = ["192.168.100", "192.168.101"];

/// The addresses of a machine, one for each rail.
pub fn addresses(spark: Spark) -> [String; 2] {
    let host = match spark {
        Spark::A => 10,
        Spark::B => 11,
    };
    NETS.map(|net| format!("{net}.{host}"))
}

impl Lab {
    /// Gives the rails of both machines their addresses and the frames of a Spark; whatever was there is
    /// replaced.
    pub async fn address_rails(&self) -> Result<(), LabError> {
        for spark in Spark::BOTH {
            for (interface, address) in RAILS.iter().zip(addresses(spark)) {
                let address = format!("{address}/24");
                self.must(
                    spark,
                    &["ip", "link", "set", interface, "up", "mtu", "9000"],
                )
                .await?;
                self.must(
                    spark,
                    &["ip", "addr", "replace", &address, "dev", interface],
                )
                .await?;
            }
        }
        Ok(())
    }

    /// Bytes that a machine has received over the cable since it was laid, frames and repeats included. A
    /// restart of the machine does not set them back.
    pub async fn received(&self, spark: Spark, link: Link) -> Result<u64, LabError> {
        let mut bytes = 0;
        for interface in link.rails() {
            let file = format!("/sys/class/net/{interface}/statistics/rx_bytes");
            let said = self.must(spark, &["cat", &file]).await?;
            bytes += said.trim().parse::<u64>().unwrap_or(0);
        }
        Ok(bytes)
    }
}

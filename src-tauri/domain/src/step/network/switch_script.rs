//! The switch's own program, run by a real shell as far as it decides.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that runs the program in a folder of its own"
)]

use super::*;
use crate::run::RunId;

#[test]
fn a_switch_goes_off_for_its_own_run_and_not_a_day_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("tandem-network");
    let was = PortsBefore {
        file: None,
        mode: None,
        ports: vec![],
    };
    let own = RunId("0123abcd".into());
    // Only what decides is run: the beginning, on a folder of the test, with what it would do told instead.
    let script = switch::script(&was, &own);
    let decides = script
        .split("rm -f /etc/netplan")
        .next()
        .expect("it begins");
    let decides = decides.replace(switch::FOLDER, &root.to_string_lossy());
    let decides = format!("systemctl() {{ :; }}\n{decides}\necho goes off");
    let went_off = |flag: &str, age_hours: u32| {
        std::fs::create_dir_all(&root).expect("made");
        let path = root.join(flag);
        std::fs::write(&path, "").expect("written");
        let touch = ["-d", &format!("{age_hours} hours ago")].map(str::to_owned);
        let touched = std::process::Command::new("touch")
            .args(touch)
            .arg(&path)
            .status();
        assert!(touched.expect("touch runs").success());
        let ran = std::process::Command::new("sh")
            .args(["-c", &decides])
            .output();
        let ran = ran.expect("sh runs");
        let off = String::from_utf8_lossy(&ran.stdout).contains("goes off");
        let left = root.exists();
        let _ = std::fs::remove_dir_all(&root);
        (off, left)
    };
    assert_eq!(went_off("armed-0123abcd", 0), (true, true));
    assert_eq!(went_off("armed-ffff", 0), (false, true), "another's");
    assert_eq!(went_off("armed-0123abcd", 23), (true, true));
    assert_eq!(went_off("armed-0123abcd", 25), (false, false), "too old");
}

//! Captures of real machines, the states they stand for, and the table of them in the docs.

mod cases;
mod read;
mod tree;

use std::path::Path;

use tandem_domain::machine::{Facts, Owner};
use tandem_domain::network::cabling::cabling;
use tandem_domain::network::health::findings;
use tandem_node::facts::parse;

use cases::{CASES, Case, NO_STATE};

/// A named state with its words.
#[derive(PartialEq)]
struct Said {
    state: String,
    says: String,
    cure: String,
}

/// What Tandem says of a case: of the cable for captures of the link, then every finding.
fn said(case: &Case, [a, b]: &[Facts; 2]) -> Vec<Said> {
    let cable = cabling(&[a, b]).expect("two machines");
    let state = serde_json::to_value(cable.state).expect("a name");
    let mut all = Vec::new();
    let of_the_cable = case.capture.starts_with("link/") || case.capture.ends_with(".yaml");
    if of_the_cable {
        all.push(Said {
            state: state.as_str().expect("a name").to_owned(),
            says: cable.seen,
            cure: cable.next,
        });
    }
    all.extend(findings(&[a, b]).into_iter().map(|f| Said {
        state: f.state,
        says: format!("{} {}", f.title, f.meaning),
        cure: f.cure,
    }));
    if all.is_empty() {
        all.push(Said {
            state: "healthy".into(),
            says: "Nothing.".into(),
            cure: String::new(),
        });
    }
    all
}

fn cases() -> impl Iterator<Item = (&'static Case, Vec<Said>)> {
    CASES.iter().map(|case| {
        let machines = (case.machines)(&read::capture(case.capture));
        (case, said(case, &machines))
    })
}

#[test]
fn each_capture_is_named() {
    for (case, said) in cases() {
        let states: Vec<&str> = said.iter().map(|s| s.state.as_str()).collect();
        assert_eq!(states, case.states, "{} {}", case.capture, case.but);
        for s in &said {
            let settled = ["good", "healthy", "gid-differs"].contains(&s.state.as_str());
            assert_eq!(s.cure.is_empty(), settled, "{}: {}", case.capture, s.state);
        }
    }
}

#[test]
fn no_capture_is_forgotten() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    let known: Vec<&str> = CASES
        .iter()
        .map(|c| c.capture)
        .chain(NO_STATE.iter().map(|(capture, _)| *capture))
        .collect();
    let mut seen = 0;
    for folder in ["link", "netplan", "os"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("captures") {
            let name = entry.expect("an entry").file_name();
            let path = format!("{folder}/{}", name.to_string_lossy());
            assert!(known.contains(&path.as_str()), "{path} stands for no case");
            seen += 1;
        }
    }
    assert!(seen > 25, "the captures were found");
}

#[test]
fn gids_are_looked_up_and_not_assumed() {
    let gid = |path: &str, tree: fn(&str) -> tree::Tree, name: &str| {
        let facts = tree(&read::capture(path)).facts("spark-a");
        let interface = facts.interfaces.into_iter().find(|i| i.name == name);
        interface.expect(name).gid
    };
    let show = "link/show_gids.ipv4-on-two-twins.txt";
    assert_eq!(gid(show, read::show_gids, "enP2p1s0f0np0"), Some(3));
    assert_eq!(
        gid(show, read::show_gids, "enp1s0f1np1"),
        None,
        "no IPv4, no index"
    );
    let five = "link/gid-table.index5-case.txt";
    assert_eq!(gid(five, read::gid_table, "enp1s0f0np0"), Some(5));
    let sysfs = "link/sysfs-infiniband.txt";
    assert_eq!(gid(sysfs, read::sysfs, "enp1s0f1np1"), Some(3));
}

#[test]
fn profiles_are_found_by_device() {
    let text = read::nmcli(&read::capture("link/nmcli-con-show.txt"));
    let list = parse::nmcli_devices(&text);
    let of = |device: &str| {
        list.iter()
            .find(|(d, _)| d == device)
            .map(|(_, o)| o.clone())
    };
    assert_eq!(
        of("enP7s7"),
        Some(Owner::NetworkManager {
            profile: Some("fc66a9f2-9f93-388b-b8a8-3e36f21c6947".into()),
            name: Some("Wired connection 3".into()),
        })
    );
    assert_eq!(of("enp1s0f1np1"), None, "no profile is active on the ports");
}

/// Between these two lines of the docs stands what this test writes.
const BEGIN: &str = "<!-- captures of link, netplan and os: begin -->";
const END: &str = "<!-- captures of link, netplan and os: end -->";

fn table() -> String {
    let mut text =
        String::from("| Capture | State | What Tandem says | Cure |\n| --- | --- | --- | --- |\n");
    for (case, said) in cases() {
        let mut capture = format!("`{}`", case.capture);
        if !case.but.is_empty() {
            capture.push_str(&format!(", but {}", case.but));
        }
        let mut told: Vec<&str> = Vec::new();
        for s in &said {
            // What both machines have is said of each; once is enough here.
            if told.contains(&s.state.as_str()) {
                continue;
            }
            told.push(&s.state);
            let cure = if s.cure.is_empty() { "–" } else { &s.cure };
            text.push_str(&format!(
                "| {capture} | `{}` | {} | {cure} |\n",
                s.state, s.says
            ));
        }
    }
    text.push_str(
        "\nCaptures that no state can be told from:\n\n| Capture | Why |\n| --- | --- |\n",
    );
    for (capture, why) in NO_STATE {
        text.push_str(&format!("| `{capture}` | {why} |\n"));
    }
    text
}

/// With `TANDEM_WRITE_DOCS=1` it writes the table instead.
#[test]
fn the_table_in_the_docs_is_this() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/STATES.md"));
    let docs = std::fs::read_to_string(path).expect("docs/STATES.md");
    let (before, rest) = docs.split_once(BEGIN).expect("where the table begins");
    let (between, after) = rest.split_once(END).expect("where the table ends");
    let wanted = format!("\n\n{}\n", table());
    if std::env::var_os("TANDEM_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("written");
        return;
    }
    assert!(
        between == wanted,
        "docs/STATES.md says something else; write it anew with `TANDEM_WRITE_DOCS=1 cargo test --workspace \
         --test states`:\n{wanted}"
    );
}

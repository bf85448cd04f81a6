//! Notes as older versions kept them, in plain lines: a path, a folder with `/` at its end, a reference with `=`
//! and the commit it had before, and a checkpoint after `graft:`.
//!
//! A file whose name held a line break made two lines of them, so a line counts only in one of these forms.

use std::collections::BTreeSet;

use tandem_domain::repository::is_commit;

use super::CreatedPath;

/// All lines as entries; `None` where one of them has no known form.
pub(super) fn entries(lines: &[&[u8]]) -> Option<BTreeSet<CreatedPath>> {
    let mut entries = BTreeSet::new();
    for line in lines {
        let line = std::str::from_utf8(line).ok()?;
        if let Some(checkpoint) = line.strip_prefix("graft:") {
            // Its folders were not noted and went when they were empty.
            let folder = checkpoint.rsplit_once('/')?.0;
            entries.insert(CreatedPath::Folder("tandem".to_owned()));
            entries.insert(CreatedPath::Folder(folder.to_owned()));
            entries.insert(CreatedPath::Checkpoint(checkpoint.to_owned()));
        } else {
            entries.insert(entry(line)?);
        }
    }
    Some(entries)
}

fn entry(line: &str) -> Option<CreatedPath> {
    if let Some(folder) = line.strip_suffix('/') {
        return Some(CreatedPath::Folder(folder.to_owned()));
    }
    let path = line.to_owned();
    let (_, within) = line.strip_prefix("hub/")?.split_once('/')?;
    let (kind, name) = within.split_once('/').unwrap_or(("", within));
    Some(match kind {
        "blobs" if name.contains('.') => CreatedPath::File(path),
        "blobs" => CreatedPath::Blob(path),
        "snapshots" => CreatedPath::Link(path),
        "refs" => match line.rsplit_once('=') {
            Some((path, was)) if is_commit(was) => CreatedPath::Reference {
                path: path.to_owned(),
                was: Some(was.to_owned()),
            },
            Some(_) => return None,
            None => CreatedPath::Reference { path, was: None },
        },
        "tandem-selections" => CreatedPath::File(path),
        // `hub/.locks/models--OWNER--NAME/tandem.lock`
        "" => return None,
        _ if name == "tandem.lock" => CreatedPath::File(path),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<BTreeSet<CreatedPath>> {
        let lines: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
        entries(&lines).filter(|all| all.iter().all(|e| e.is_of(&["o/n".to_owned()])))
    }

    #[test]
    fn what_an_older_version_wrote_is_read() {
        let commit = "c".repeat(40);
        let text = format!(
            "../\n./\nhub/\nhub/.locks/\nhub/.locks/models--o--n/\nhub/.locks/models--o--n/tandem.lock\n\
             hub/models--o--n/\nhub/models--o--n/blobs/\nhub/models--o--n/blobs/e\n\
             hub/models--o--n/blobs/e.tandem-notes\nhub/models--o--n/blobs/e.tandem-partial\n\
             hub/models--o--n/refs/main={commit}\nhub/models--o--n/snapshots/{commit}/\n\
             hub/models--o--n/snapshots/{commit}/config.json\nhub/models--o--n/tandem-selections/{commit}-1.json\n\
             graft:tandem/o--n/{commit}-mtp\n"
        );
        let entries = read(&text).expect("every line is known");
        assert_eq!(entries.len(), 18);
        assert!(entries.contains(&CreatedPath::Checkpoint(format!(
            "tandem/o--n/{commit}-mtp"
        ))));
        assert!(entries.contains(&CreatedPath::Reference {
            path: "hub/models--o--n/refs/main".into(),
            was: Some(commit),
        }));
    }

    #[test]
    fn a_line_that_a_name_made_refuses_all_of_them() {
        let commit = "b".repeat(40);
        let good = format!("hub/models--o--n/snapshots/{commit}/x\n");
        assert!(read(&good).is_some());
        for made_by_a_name in [
            "token".to_owned(),
            format!("hub/models--me--private/refs/main={commit}"),
            "graft:tandem/me--mine".to_owned(),
            format!("graft:tandem/me--mine/{commit}-mtp"),
            "{\"file\":\"hub/models--o--n/blobs/e\"}".to_owned(),
            "hub/models--o--n/refs/main=x".to_owned(),
            "hub/models--o--n/config.json".to_owned(),
        ] {
            assert_eq!(
                read(&format!("{good}{made_by_a_name}\n")),
                None,
                "{made_by_a_name}"
            );
        }
    }
}

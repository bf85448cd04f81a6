//! Whether two machines are one, whatever their addresses are.

use crate::machine::Facts;

/// Says whether two machines are one, by what they are and not by their addresses.
pub fn same_machine(a: &Facts, b: &Facts) -> bool {
    !a.machine_id.is_empty() && a.machine_id == b.machine_id
}

/// Says whether two machines that carry one machine id are two all the same: both have network adapters,
/// and none in common. That happens where one was made from a copy of the other's disk.
pub fn cloned(a: &Facts, b: &Facts) -> bool {
    let of = |facts: &Facts| -> Vec<String> {
        let adapters = facts.interfaces.iter().filter(|i| burnt_in(&i.mac));
        adapters.map(|i| i.mac.to_lowercase()).collect()
    };
    let (on_a, on_b) = (of(a), of(b));
    same_machine(a, b)
        && !on_a.is_empty()
        && !on_b.is_empty()
        && !on_a.iter().any(|mac| on_b.contains(mac))
}

/// The id under which a machine was known here before it was removed, if it was. Its runs name it by that id.
pub fn known_before<'a, Id>(now: &Facts, removed: &'a [(Id, Facts)]) -> Option<&'a Id> {
    let is_it = |before: &Facts| same_machine(before, now) && !cloned(before, now);
    let known = removed.iter().find(|(_, before)| is_it(before));
    known.map(|(id, _)| id)
}

/// Whether a MAC address is an adapter's own and not made up by software, as bridges have them.
fn burnt_in(mac: &str) -> bool {
    let first = mac.split(':').next().unwrap_or_default();
    mac.bytes().any(|b| b.is_ascii_hexdigit() && b != b'0')
        && u8::from_str_radix(first, 16).is_ok_and(|b| b & 0b10 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Interface;

    fn machine(id: &str, macs: &[&str]) -> Facts {
        Facts {
            machine_id: id.into(),
            interfaces: macs
                .iter()
                .map(|mac| Interface {
                    mac: (*mac).into(),
                    ..Interface::default()
                })
                .collect(),
            ..Facts::default()
        }
    }

    #[test]
    fn one_machine_is_told_from_a_copy_of_it() {
        let a = machine("1", &["4c:bb:47:2f:fb:97", "02:42:ac:11:00:02"]);
        let asleep = machine("1", &["4C:BB:47:2F:FB:97"]);
        assert!(same_machine(&a, &asleep) && !cloned(&a, &asleep));
        let copy = machine("1", &["3c:6d:66:cc:b3:b7", "02:42:ac:11:00:02"]);
        assert!(
            cloned(&a, &copy),
            "a bridge's made-up address counts for nothing"
        );
        let blind = machine("1", &["00:00:00:00:00:00", "02:42:ac:11:00:03"]);
        assert!(
            !cloned(&a, &blind),
            "without an adapter there is no telling"
        );
        let removed = [("b", machine("2", &[])), ("a", a.clone())];
        assert_eq!(known_before(&asleep, &removed), Some(&"a"));
        assert_eq!(known_before(&copy, &removed), None, "a copy is another");
        let other = machine("2", &["3c:6d:66:cc:b3:b7"]);
        assert!(!same_machine(&a, &other) && !cloned(&a, &other));
    }
}

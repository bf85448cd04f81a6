//! `configuration_step3p7.py`, of which two forms circulate.
//!
//! One shows the strict validator of Transformers a list cut to the decoder's layers and then puts
//! the whole list back; the other leaves it cut, and the MTP layers then have no entries. Only the
//! text can be looked at here, so the verdict has three values.

/// The file's name.
pub const FILE: &str = "configuration_step3p7.py";

/// What the file does with the per-layer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It leaves the entries of the MTP layers alone, or puts them back.
    Keeps,
    /// It cuts them off.
    Truncates,
}

/// Reads which form a file has.
///
/// A cut is a slice up to the number of hidden layers, under whatever names the number and the list
/// go by. What tells the forms apart is what the object holds at the end of the constructor, so the
/// last assignment decides.
pub fn form(text: &str) -> Form {
    let mut reading = PythonReading::default();
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or_default().trim();
        reading.line(code);
    }
    if reading.object_is_cut {
        Form::Truncates
    } else {
        Form::Keeps
    }
}

/// What is known at one line of the file.
#[derive(Default)]
struct PythonReading {
    /// Names of variables that hold the number of hidden layers.
    limits: Vec<String>,
    /// Names of variables that hold a cut list.
    cut: Vec<String>,
    /// Names of mappings that hold whole per-layer lists.
    whole: Vec<String>,
    /// Whether a list on the object is cut.
    object_is_cut: bool,
}

impl PythonReading {
    fn line(&mut self, code: &str) {
        if code.starts_with("class ") || code.starts_with("def ") {
            self.cut.clear();
            self.limits.clear();
            self.whole.clear();
        }
        if let Some(rest) = code.strip_prefix("for ") {
            self.each(rest);
        } else if let Some(arguments) = code.strip_prefix("setattr(self,") {
            self.set(arguments);
        } else if code.starts_with("del ") && code.contains("layers:]") {
            self.object_is_cut = true;
        } else if let Some((left, right)) = assignment(code) {
            self.assign(left, right, code.ends_with(','));
        } else if per_layer(code) && self.slices(code) && code.contains("__init__(") {
            self.object_is_cut = true;
        }
    }

    /// `for name, list in lists.items():` hands on what is known of `lists`.
    fn each(&mut self, rest: &str) {
        let Some((names, from)) = rest.split_once(" in ") else {
            return;
        };
        let Some(value) = names.split(',').next_back().map(str::trim) else {
            return;
        };
        let value = value.to_owned();
        let from_cut = self.cut.iter().any(|name| mentions(from, name));
        let from_whole = self.whole.iter().any(|name| mentions(from, name));
        self.cut.retain(|name| *name != value);
        self.whole.retain(|name| *name != value);
        if from_cut {
            self.cut.push(value);
        } else if from_whole {
            self.whole.push(value);
        }
    }

    /// `setattr(self, name, value)`.
    fn set(&mut self, arguments: &str) {
        let Some((name, value)) = arguments.split_once(',') else {
            return;
        };
        if self.is_cut(value) {
            self.object_is_cut = true;
        } else if per_layer(name) || self.whole.iter().any(|w| mentions(value, w)) {
            self.object_is_cut = false;
        }
    }

    fn assign(&mut self, left: &str, right: &str, argument: bool) {
        let is_cut = self.is_cut(right);
        if right.contains("num_hidden_layers") && !right.contains("[:") && is_name(left) && !is_cut
        {
            // `n = values.get("num_hidden_layers", 45)` makes `n` another name of the limit.
            self.limits.push(left.to_owned());
        }
        if left == "self.layer_types" || (argument && per_layer(left)) {
            self.object_is_cut = is_cut;
        } else if left.starts_with("self.") {
            self.object_is_cut |= is_cut && per_layer(left);
        } else {
            self.cut.retain(|name| name != left);
            self.whole.retain(|name| name != left);
            if is_cut {
                self.cut.push(left.to_owned());
            } else if right.starts_with('{') && (per_layer(right) || right.contains("PER_LAYER")) {
                self.whole.push(left.to_owned());
            }
        }
    }

    fn is_cut(&self, expression: &str) -> bool {
        self.slices(expression) || self.cut.iter().any(|name| mentions(expression, name))
    }

    /// Whether there is a slice `[: limit]` with any spacing.
    fn slices(&self, expression: &str) -> bool {
        let dense: String = expression.chars().filter(|c| !c.is_whitespace()).collect();
        ["num_hidden_layers", "self.num_hidden_layers"]
            .into_iter()
            .chain(self.limits.iter().map(String::as_str))
            .any(|limit| {
                dense.contains(&format!("[:{limit}]")) || dense.contains(&format!("[0:{limit}]"))
            })
    }
}

fn per_layer(name: &str) -> bool {
    [
        "layer_types",
        "rope_theta",
        "partial_rotary_factors",
        "swiglu_limits",
    ]
    .iter()
    .any(|list| name.contains(list))
}

/// `left = right` with a plain left side; comparisons and keyword arguments are none.
fn assignment(code: &str) -> Option<(&str, &str)> {
    let (left, right) = code.split_once('=')?;
    let left = left.trim();
    if right.starts_with('=') || left.ends_with(['!', '<', '>', '+', '-', '*']) {
        return None;
    }
    let left = left.split(':').next().unwrap_or_default().trim();
    let plain = left
        .strip_prefix("self.")
        .unwrap_or(left)
        .strip_suffix(']')
        .map_or(left.strip_prefix("self.").unwrap_or(left), |s| {
            s.split('[').next().unwrap_or_default()
        });
    is_name(plain).then_some((left, right.trim()))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn mentions(right: &str, name: &str) -> bool {
    right
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
        .any(|word| word == name || word.strip_prefix(name).is_some_and(|r| r.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUTS: &str = r#"
class Step3p7TextConfig(PretrainedConfig):
    def __init__(self, num_hidden_layers=45, layer_types=None, **kwargs):
        self.num_hidden_layers = num_hidden_layers
        if layer_types is not None:
            layer_types = layer_types[: self.num_hidden_layers]
        self.layer_types = layer_types
        super().__init__(**kwargs)
"#;
    const PUTS_BACK: &str = r#"
class Step3p7TextConfig(PretrainedConfig):
    def __init__(self, **kw):
        layer_types = kw.pop("layer_types", None)
        n = kw.get("num_hidden_layers", 45)
        self.layer_types = list(layer_types)[:n] if layer_types else None
        super().__init__(**kw)
        self.layer_types = layer_types  # the whole list again
"#;
    const PLAIN: &str = r#"
class Step3p7TextConfig(PretrainedConfig):
    def __init__(self, num_hidden_layers=45, layer_types=None, **kwargs):
        self.num_hidden_layers = num_hidden_layers
        self.layer_types = layer_types
"#;
    const CUTS_BY_OTHER_NAME: &str = r#"
class T(PretrainedConfig):
    def __init__(self, **kw):
        n = kw["num_hidden_layers"]
        lists = kw.pop("layer_types")
        short = list(lists)[:n]
        self.layer_types = short
"#;

    #[test]
    fn the_last_word_on_the_list_decides() {
        assert_eq!(form(CUTS), Form::Truncates);
        assert_eq!(form(PUTS_BACK), Form::Keeps);
        assert_eq!(form(PLAIN), Form::Keeps);
        assert_eq!(form(""), Form::Keeps);
    }

    const LOOP: &str = r#"
PER_LAYER = ("layer_types", "rope_theta")
class T(PretrainedConfig):
    def __init__(self, **values):
        per_layer = {name: values.pop(name) for name in PER_LAYER if name in values}
        for name in ("num_hidden_layers", "hidden_size"):
            setattr(self, name, values[name])
        super().__init__(**values)
        for name, entries in per_layer.items():
            setattr(self, name, entries)
"#;

    #[test]
    fn a_loop_over_the_lists_is_followed() {
        assert_eq!(form(LOOP), Form::Keeps);
        let cuts = LOOP.replace(
            "setattr(self, name, entries)",
            "setattr(self, name, entries[: self.num_hidden_layers])",
        );
        assert_eq!(form(&cuts), Form::Truncates);
        let cuts_then_puts_back = LOOP.replace(
            "        super()",
            "        self.layer_types = per_layer[\"layer_types\"][: self.num_hidden_layers]\n        super()",
        );
        assert_eq!(form(&cuts_then_puts_back), Form::Keeps);
    }

    #[test]
    fn a_cut_under_another_name_is_seen() {
        assert_eq!(form(CUTS_BY_OTHER_NAME), Form::Truncates);
    }
}

//! Splits the text of a command into words as a shell would, without a shell.
//!
//! Whatever a shell would do beyond splitting is refused with its reason: nothing is run, and nothing is dropped without a
//! word. Words are split before anything is put into them, so no value can become two words.

use crate::foreign_text::is_unseen;

/// The longest text that is split, in bytes.
const LONGEST: usize = 256 * 1024;

/// The most words of a text.
const MOST_WORDS: usize = 4000;

/// How a piece of a word is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// Not at all.
    None,
    /// By single quotes.
    Single,
    /// By double quotes.
    Double,
}

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands for itself.
    Text(String, Quote),
    /// A variable of the shell, by its name.
    Variable(String),
}

/// A word: one argument.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word(pub Vec<Piece>);

/// A command: a line, with the lines that continue it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandWords {
    /// Its words.
    pub words: Vec<Word>,
    /// The line it begins in, from 1.
    pub line: usize,
}

/// Why a text is not split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSplit {
    /// The line, from 1.
    pub line: usize,
    /// Why, as a sentence.
    pub why: String,
}

impl Word {
    /// A word that stands for itself.
    pub fn plain(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into(), Quote::None)])
    }

    /// Its text where no variable is part of it.
    pub fn literal(&self) -> Option<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text, _) => out.push_str(text),
                Piece::Variable(_) => return None,
            }
        }
        Some(out)
    }

    /// As it is shown: variables by their name.
    pub fn shown(&self) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text, _) => out.push_str(text),
                Piece::Variable(name) => {
                    out.push_str("${");
                    out.push_str(name);
                    out.push('}');
                }
            }
        }
        out
    }

    /// The variables that are part of it.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name.as_str()),
            Piece::Text(..) => None,
        })
    }
}

/// Splits a text into commands and their words.
pub fn split(text: &str) -> Result<Vec<CommandWords>, NotSplit> {
    if text.len() > LONGEST {
        let why = format!("It is longer than {LONGEST} bytes.");
        return Err(NotSplit { line: 1, why });
    }
    let mut splitter = Splitter {
        rest: text.chars().collect::<Vec<_>>().into_iter().peekable(),
        line: 1,
        command: Vec::new(),
        begins: 1,
        word: None,
        commands: Vec::new(),
        count: 0,
    };
    splitter.run()?;
    Ok(splitter.commands)
}

struct Splitter {
    rest: std::iter::Peekable<std::vec::IntoIter<char>>,
    line: usize,
    command: Vec<Word>,
    begins: usize,
    /// The word that is being read.
    word: Option<Word>,
    commands: Vec<CommandWords>,
    count: usize,
}

impl Splitter {
    fn run(&mut self) -> Result<(), NotSplit> {
        while let Some(c) = self.rest.next() {
            self.seen(c)?;
            match c {
                ' ' | '\t' => self.end_word()?,
                '\r' if self.rest.peek() == Some(&'\n') => {}
                '\n' => {
                    self.end_command()?;
                    self.line += 1;
                }
                '#' if self.word.is_none() => self.comment(),
                '\'' => self.single()?,
                '"' => self.double()?,
                '\\' => self.backslash()?,
                '$' => self.dollar(Quote::None)?,
                '`' => return self.refuse("A command in backquotes would be run."),
                ';' => return self.refuse("`;` begins another command."),
                '&' => {
                    return self
                        .refuse("`&` begins another command or sends one to the background.");
                }
                '|' => return self.refuse("`|` hands what is printed to another command."),
                '<' if self.place() => {}
                '<' | '>' => return self.refuse("A redirection reads or writes a file."),
                '(' | ')' => return self.refuse("Parentheses begin a shell of their own."),
                c => self.push(c, Quote::None),
            }
        }
        self.end_command()
    }

    fn refuse<T>(&self, why: &str) -> Result<T, NotSplit> {
        let line = self.line;
        Err(NotSplit {
            line,
            why: why.into(),
        })
    }

    fn seen(&self, c: char) -> Result<(), NotSplit> {
        if is_unseen(c) && !matches!(c, '\n' | '\r' | '\t') {
            let why = format!(
                "It holds a character that cannot be seen, U+{:04X}.",
                c as u32
            );
            return Err(NotSplit {
                line: self.line,
                why,
            });
        }
        match c {
            '“' | '”' | '‘' | '’' => self
                .refuse("Its quotation marks are typographic ones, which a shell does not know."),
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => {
                self.refuse("It holds a space at which a shell parts no words.")
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, c: char, quote: Quote) {
        let word = self.word.get_or_insert_default();
        match word.0.last_mut() {
            Some(Piece::Text(text, of)) if *of == quote => text.push(c),
            _ => word.0.push(Piece::Text(c.to_string(), quote)),
        }
    }

    /// An empty quoted piece makes a word too.
    fn open(&mut self, quote: Quote) {
        let word = self.word.get_or_insert_default();
        if !matches!(word.0.last(), Some(Piece::Text(_, of)) if *of == quote) {
            word.0.push(Piece::Text(String::new(), quote));
        }
    }

    fn end_word(&mut self) -> Result<(), NotSplit> {
        let Some(word) = self.word.take() else {
            return Ok(());
        };
        if expands(&word) {
            return self.refuse(
                "A shell would make several words of braces with a comma that stand without quotes.",
            );
        }
        self.count += 1;
        if self.count > MOST_WORDS {
            return self.refuse("It has too many words.");
        }
        if self.command.is_empty() {
            self.begins = self.line;
        }
        self.command.push(word);
        Ok(())
    }

    fn end_command(&mut self) -> Result<(), NotSplit> {
        self.end_word()?;
        if !self.command.is_empty() {
            self.commands.push(CommandWords {
                words: std::mem::take(&mut self.command),
                line: self.begins,
            });
        }
        Ok(())
    }

    fn comment(&mut self) {
        while self.rest.next_if(|c| *c != '\n').is_some() {}
    }

    fn single(&mut self) -> Result<(), NotSplit> {
        self.open(Quote::Single);
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(()),
                Some('\n' | '\r') => return self.refuse("A line break stands within quotes."),
                Some(c) => {
                    self.seen(c)?;
                    self.push(c, Quote::Single);
                }
                None => return self.refuse("A single quote is not closed."),
            }
        }
    }

    fn double(&mut self) -> Result<(), NotSplit> {
        self.open(Quote::Double);
        loop {
            match self.rest.next() {
                Some('"') => return Ok(()),
                Some('\n' | '\r') => return self.refuse("A line break stands within quotes."),
                Some('`') => return self.refuse("A command in backquotes would be run."),
                Some('$') => self.dollar(Quote::Double)?,
                Some('\\') => match self.rest.next() {
                    Some(c @ ('"' | '\\' | '$' | '`')) => self.push(c, Quote::Double),
                    Some('\n') => self.line += 1,
                    Some(c) => {
                        self.seen(c)?;
                        self.push('\\', Quote::Double);
                        self.push(c, Quote::Double);
                    }
                    None => return self.refuse("A double quote is not closed."),
                },
                Some(c) => {
                    self.seen(c)?;
                    self.push(c, Quote::Double);
                }
                None => return self.refuse("A double quote is not closed."),
            }
        }
    }

    /// `<head-ip>`: a place for a value of the reader's own, as guides write it. It is taken as a variable.
    fn place(&mut self) -> bool {
        let mut ahead = self.rest.clone();
        let mut name = String::new();
        while let Some(c) = ahead.next_if(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)) {
            name.push(c);
        }
        let closed = !name.is_empty() && ahead.next() == Some('>');
        let ends = ahead.peek().is_none_or(|c| " \t\r\n\"',:/".contains(*c));
        if closed && ends {
            self.rest = ahead;
            self.word
                .get_or_insert_default()
                .0
                .push(Piece::Variable(name));
        }
        closed && ends
    }

    /// A backslash and the end of the line, also with blanks between: the command goes on.
    fn backslash(&mut self) -> Result<(), NotSplit> {
        let mut ahead = self.rest.clone();
        while ahead.next_if(|c| matches!(c, ' ' | '\t' | '\r')).is_some() {}
        match ahead.peek() {
            Some('\n') => {
                ahead.next();
                self.rest = ahead;
                self.line += 1;
            }
            None => self.rest = ahead,
            Some(_) => {
                if let Some(c) = self.rest.next() {
                    self.seen(c)?;
                    // As good as quoted: what stands behind a backslash stands for itself.
                    self.push(c, Quote::Single);
                }
            }
        }
        Ok(())
    }

    fn dollar(&mut self, quote: Quote) -> Result<(), NotSplit> {
        let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let mut name = String::new();
        match self.rest.peek() {
            Some('(') => return self.refuse("`$(` runs a command, or calculates."),
            Some('\'' | '"') if quote == Quote::None => {
                return self.refuse("`$` before quotes asks for escapes that only a shell knows.");
            }
            Some('{') => {
                self.rest.next();
                while let Some(c) = self.rest.next_if(is_name) {
                    name.push(c);
                }
                if self.rest.next() != Some('}') || !is_variable(&name) {
                    return self.refuse("`${…}` asks for more than the value of a variable.");
                }
            }
            Some(c) if c.is_ascii_alphabetic() || *c == '_' => {
                while let Some(c) = self.rest.next_if(is_name) {
                    name.push(c);
                }
            }
            Some(' ' | '\t' | '\n') | None => {
                self.push('$', quote);
                return Ok(());
            }
            Some(_) => return self.refuse("`$` asks for something that only a shell knows."),
        }
        let word = self.word.get_or_insert_default();
        word.0.push(Piece::Variable(name));
        Ok(())
    }
}

/// Whether this is a name of a variable.
pub fn is_variable(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a shell would make several words of it: a comma between unquoted braces.
fn expands(word: &Word) -> bool {
    let mut depth = 0_u32;
    let unquoted = word.0.iter().filter_map(|piece| match piece {
        Piece::Text(text, Quote::None) => Some(text.as_str()),
        _ => None,
    });
    for c in unquoted.flat_map(str::chars) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth > 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;

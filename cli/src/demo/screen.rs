//! Draws text in place of what was drawn before, so that the table stays where it is.

use std::io::{self, IsTerminal, Write};

/// Columns of the terminal on standard output; `None`: it is none.
pub fn width() -> Option<u16> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0)
}

/// Breaks a line where it would be wider than the terminal, so that its end can be read too.
pub fn wrap(line: &str, width: Option<u16>) -> String {
    let Some(width) = width.map(usize::from).filter(|width| *width > 0) else { return line.to_owned() };
    let characters: Vec<char> = line.chars().collect();
    let rows: Vec<String> = characters.chunks(width).map(|row| row.iter().collect()).collect();
    rows.join("\n")
}

/// The terminal, or nothing when the output goes elsewhere.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
    drawn: usize,
}

impl Screen {
    /// Draws on standard output if that is a terminal.
    pub fn new() -> Screen {
        Screen { terminal: io::stdout().is_terminal(), drawn: 0 }
    }

    /// Replaces what was drawn before.
    pub fn draw(&mut self, text: &str) {
        if self.terminal {
            self.write(text);
        }
    }

    /// Leaves this text as the last, on whatever the output is.
    pub fn finish(&mut self, text: &str) {
        self.write(text);
        self.drawn = 0;
    }

    fn write(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        // Up to where the last text began, and clear from there (ECMA-48 CUU and ED).
        let back = if self.drawn > 0 { format!("\r\x1b[{}A\x1b[J", self.drawn) } else { String::new() };
        // A line too long for the window is cut, not wrapped (DECAWM): else a text had more lines than we count.
        let (cut, wrap) = if self.terminal { ("\x1b[?7l", "\x1b[?7h") } else { ("", "") };
        let _ = write!(out, "{back}{cut}{text}{wrap}");
        let _ = out.flush();
        self.drawn = if self.terminal { text.lines().count() } else { 0 };
    }
}

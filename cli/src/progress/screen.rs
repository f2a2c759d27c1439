//! A line at the bottom of a terminal that is drawn over.

use std::io;

use crate::plain::Lines;
use crate::say::CLEAR;

/// What can be drawn on.
pub(super) trait Terminal {
    /// Columns; it may change at any time.
    fn width(&self) -> usize;

    /// Writes text and control sequences.
    fn write(&mut self, text: &str) -> io::Result<()>;
}

/// A terminal of an unknown width is taken for one of 80 columns.
impl Terminal for console::Term {
    fn width(&self) -> usize {
        self.size_checked().map_or(80, |(_, columns)| usize::from(columns))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }
}

/// The line, which is gone once this is dropped.
pub(super) struct Screen<T: Terminal> {
    terminal: T,
    line: String,
}

impl<T: Terminal> Screen<T> {
    pub(super) const fn new(terminal: T) -> Self {
        Self { terminal, line: String::new() }
    }

    /// Draws the line anew; it is made for a width.
    pub(super) fn draw(&mut self, line: impl FnOnce(usize) -> String) {
        self.line = line(self.terminal.width());
        self.write(&format!("{CLEAR}{}", self.line));
    }

    /// Prints lines above it, in which there may be text of a stranger.
    pub(super) fn above(&mut self, text: &str) {
        self.write(&format!("{CLEAR}{}\n{}", Lines(text), self.line));
    }

    fn write(&mut self, text: &str) {
        // A terminal that is gone shows nothing; the work goes on.
        let _ = self.terminal.write(text);
    }
}

impl<T: Terminal> Drop for Screen<T> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.write(CLEAR);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use bitswap_core::chunk::Progress;

    use super::super::line;
    use super::*;

    /// A terminal that knows lines, columns, and how to clear the rest of a line.
    #[derive(Clone)]
    struct Fake {
        width: usize,
        lines: Rc<RefCell<Vec<String>>>,
    }

    impl Fake {
        fn new(width: usize) -> Self {
            Self { width, lines: Rc::new(RefCell::new(vec![String::new()])) }
        }

        fn lines(&self) -> Vec<String> {
            self.lines.borrow().iter().map(|line| line.trim_end().to_owned()).collect()
        }
    }

    impl Terminal for Fake {
        fn width(&self) -> usize {
            self.width
        }

        fn write(&mut self, text: &str) -> io::Result<()> {
            let mut lines = self.lines.borrow_mut();
            let text = text.replace(CLEAR, "\r");
            for c in text.chars() {
                match c {
                    // Here only ever together with clearing the line.
                    '\r' => lines.last_mut().unwrap().clear(),
                    '\n' => lines.push(String::new()),
                    '\x1b' => panic!("a control sequence that this terminal does not know"),
                    _ if lines.last().unwrap().chars().count() == self.width => {
                        lines.push(c.to_string());
                    }
                    _ => lines.last_mut().unwrap().push(c),
                }
            }
            Ok(())
        }
    }

    fn draw(screen: &mut Screen<Fake>, done: u64) {
        let eta = Some(Duration::from_secs(3_599));
        let progress = Progress { done, total: 1 << 30, rate: 123 << 20, eta };
        screen.draw(|width| line::bar("", &progress, "2/3 seeders", width));
    }

    #[test]
    fn the_line_stays_one_line_whatever_the_width_and_is_gone_at_the_end() {
        for width in [20, 40, 80, 200] {
            let terminal = Fake::new(width);
            let mut screen = Screen::new(terminal.clone());
            for done in 0..1024 {
                draw(&mut screen, done << 20);
                assert_eq!(terminal.lines().len(), 1, "{width}: {:?}", terminal.lines());
            }
            assert!(terminal.lines()[0].contains("99 %"));
            drop(screen);
            assert_eq!(terminal.lines(), [""]);
        }
    }

    #[test]
    fn what_is_printed_stands_above_the_line() {
        let terminal = Fake::new(20);
        let mut screen = Screen::new(terminal.clone());
        draw(&mut screen, 1 << 29);
        screen.above("waiting");
        assert_eq!(terminal.lines(), ["waiting", " 50 %"]);
        screen.above("a\x1b[2J");
        assert_eq!(terminal.lines(), ["waiting", "a\\u{1b}[2J", " 50 %"]);
        drop(screen);
        assert_eq!(terminal.lines(), ["waiting", "a\\u{1b}[2J", ""]);
    }

    #[test]
    fn a_terminal_that_becomes_narrow_gets_a_shorter_line() {
        let mut screen = Screen::new(Fake::new(200));
        draw(&mut screen, 0);
        screen.terminal.width = 20;
        draw(&mut screen, 0);
        assert_eq!(screen.terminal.lines(), ["  0 %"]);
    }
}

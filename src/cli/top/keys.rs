//! Pure: what is on the screen beside the run itself, and what a key does to it.

use crate::client::odata::percent;
use crate::control::status::RunStatus;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What is shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The run when it was last heard of.
    pub(super) status: RunStatus,
    /// The load the cursor is on, in job order.
    pub(super) selected: usize,
    /// Whether the next key answers if the run is to be drained.
    pub(super) asks_to_drain: bool,
    /// What came of the last key; empty when there is nothing to say.
    pub(super) note: String,
}

/// What a key asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// Nothing but a new picture.
    Look,
    /// The end of the show; the load goes on.
    Quit,
    /// This is sent to the load.
    Post(String),
}

impl View {
    pub(super) const fn new(status: RunStatus) -> Self {
        Self { status, selected: 0, asks_to_drain: false, note: String::new() }
    }

    /// Takes a newer state of the run in.
    pub(super) fn hear(&mut self, status: RunStatus) {
        self.selected = self.selected.min(status.loads.len().saturating_sub(1));
        self.status = status;
    }

    /// Does what a key asks for.
    pub(super) fn key(&mut self, key: KeyEvent) -> Act {
        if key.kind == KeyEventKind::Release {
            return Act::Look;
        }
        self.note.clear();
        if std::mem::take(&mut self.asks_to_drain) {
            return match key.code {
                KeyCode::Char('y' | 'Y') => self.post("drain", ""),
                _ => Act::Look,
            };
        }
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Act::Quit,
            KeyCode::Char('q') | KeyCode::Esc => Act::Quit,
            KeyCode::Char('p') => self.post("pause", ""),
            KeyCode::Char('r') => self.post("resume", ""),
            KeyCode::Char('d') => {
                self.asks_to_drain = true;
                Act::Look
            }
            KeyCode::Up | KeyCode::Char('k') => {
                self.selected = self.selected.saturating_sub(1);
                Act::Look
            }
            KeyCode::Down | KeyCode::Char('j') => {
                let last = self.status.loads.len().saturating_sub(1);
                self.selected = (self.selected + 1).min(last);
                Act::Look
            }
            KeyCode::Char(' ') => self.turn_load(),
            _ => Act::Look,
        }
    }

    /// Pauses the load the cursor is on, or lets it go on.
    fn turn_load(&mut self) -> Act {
        let Some(load) = self.status.loads.get(self.selected) else { return Act::Look };
        let is_paused = load.tuning.as_ref().is_some_and(|tuning| tuning.paused);
        let query = format!("?table={}", percent(&load.name));
        self.post(if is_paused { "resume" } else { "pause" }, &query)
    }

    fn post(&mut self, wish: &str, query: &str) -> Act {
        self.note = format!("asked to {wish}");
        Act::Post(format!("/{wish}{query}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::screen::tests::status;

    fn press(view: &mut View, code: KeyCode) -> Act {
        view.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn a_drain_asks_before_it_is_sent() {
        let mut view = View::new(status());
        assert_eq!(press(&mut view, KeyCode::Char('d')), Act::Look);
        assert!(view.asks_to_drain);
        assert_eq!(press(&mut view, KeyCode::Char('q')), Act::Look, "any other key means no");
        assert!(!view.asks_to_drain);
        press(&mut view, KeyCode::Char('d'));
        assert_eq!(press(&mut view, KeyCode::Char('y')), Act::Post("/drain".into()));
        assert_eq!(press(&mut view, KeyCode::Char('y')), Act::Look, "asked anew each time");
    }

    #[test]
    fn the_cursor_stays_on_the_loads_and_space_turns_the_one_below_it() {
        let mut view = View::new(status());
        press(&mut view, KeyCode::Up);
        assert_eq!(view.selected, 0);
        for _ in 0..9 {
            press(&mut view, KeyCode::Down);
        }
        assert_eq!(view.selected, 2);
        assert_eq!(
            press(&mut view, KeyCode::Char(' ')),
            Act::Post("/resume?table=a%26b%20%C3%A4".into()),
            "it is paused, and its name is no query"
        );
        press(&mut view, KeyCode::Up);
        assert_eq!(press(&mut view, KeyCode::Char(' ')), Act::Post("/pause?table=contact".into()));
        view.hear(RunStatus { loads: vec![], ..status() });
        assert_eq!((view.selected, press(&mut view, KeyCode::Char(' '))), (0, Act::Look));
        press(&mut view, KeyCode::Down);
        assert_eq!(view.selected, 0);
    }

    #[test]
    fn the_show_ends_by_q_escape_and_interrupt() {
        let mut view = View::new(status());
        assert_eq!(press(&mut view, KeyCode::Char('q')), Act::Quit);
        assert_eq!(press(&mut view, KeyCode::Esc), Act::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.key(interrupt), Act::Quit);
        assert_eq!(press(&mut view, KeyCode::Char('c')), Act::Look);
        assert_eq!(press(&mut view, KeyCode::Char('p')), Act::Post("/pause".into()));
        assert_eq!(view.note, "asked to pause");
        let mut release = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        release.kind = KeyEventKind::Release;
        assert_eq!(view.key(release), Act::Look);
    }
}

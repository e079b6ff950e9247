//! `dvbulk top`: a running load on the whole terminal, asked through its socket once a second.

mod keys;
mod screen;

use crate::cli::args::JobArgs;
use crate::cli::exit;
use crate::cli::top::keys::{Act, View};
use crate::control::ask::{AskFailed, ask};
use crate::control::status::RunStatus;
use crate::runtime::signals::{Came, Signals};
use hyper::Method;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEvent};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How often the load is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How often the thread that reads keys looks whether it should end.
const KEYS_EVERY: Duration = Duration::from_millis(100);
/// Keys and answers that wait to be shown.
const QUEUE: usize = 16;

/// How the show ended.
enum End {
    /// A key.
    Quit,
    /// A signal.
    Signal(Came),
    /// Nobody listens any more.
    Over,
}

/// What was heard of the load.
enum Heard {
    Status(Box<RunStatus>),
    Refused(String),
    Gone,
}

/// What a terminal reports.
enum Touch {
    Key(KeyEvent),
    Resized,
}

/// `dvbulk top`.
///
/// # Errors
/// When there is no terminal, the job file cannot be read, or no load of it is running here.
pub(super) async fn run(args: &JobArgs) -> anyhow::Result<u8> {
    let job = crate::config::read::load(&args.job)?;
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        anyhow::bail!(
            "`dvbulk top` needs a terminal; `dvbulk status {} --json` prints the same as data",
            args.job.display()
        );
    }
    let mut view = View::new(ask(&job.ledger_folder, Method::GET, "/status").await?);
    let mut signals = Signals::listen()?;
    // Also restores the terminal should anything panic.
    let mut terminal = ratatui::try_init()?;
    let end = show(&mut terminal, &mut view, &mut signals, job.ledger_folder).await;
    ratatui::try_restore()?;
    match end? {
        End::Quit => Ok(exit::DONE),
        End::Signal(Came::Interrupt) => Ok(exit::INTERRUPTED),
        End::Signal(Came::Terminate) => Ok(exit::TERMINATED),
        End::Over => {
            crate::cli::run::print(&over(&view.status))?;
            Ok(exit::DONE)
        }
    }
}

/// What is said of a run that ended meanwhile.
fn over(status: &RunStatus) -> String {
    let sum = |of: fn(&crate::control::status::LoadStatus) -> u64| {
        status.loads.iter().map(of).sum::<u64>()
    };
    format!(
        "{} has ended; when last seen it was {}, with {} rows settled and {} of them refused. Its summary stands where it was started.\n",
        status.job,
        status.state,
        sum(|load| load.settled()),
        sum(|load| load.refused())
    )
}

/// Shows the load until it or the show ends.
async fn show(
    terminal: &mut DefaultTerminal,
    view: &mut View,
    signals: &mut Signals,
    ledger_folder: PathBuf,
) -> io::Result<End> {
    let (wishes, asked) = mpsc::channel(QUEUE);
    let (told, mut heard) = mpsc::channel(QUEUE);
    let asker = tokio::spawn(converse(ledger_folder, asked, told));
    let mut touches = Touches::listen()?;
    let end = loop {
        terminal.draw(|frame| screen::draw(frame, view))?;
        tokio::select! {
            touch = touches.next.recv() => match touch {
                Some(Touch::Key(key)) => match view.key(key) {
                    Act::Look => {}
                    Act::Quit => break End::Quit,
                    Act::Post(path) => {
                        if wishes.try_send(path).is_err() {
                            view.note = "still waiting for the last answer".to_owned();
                        }
                    }
                },
                Some(Touch::Resized) => {}
                // The terminal is gone.
                None => break End::Quit,
            },
            news = heard.recv() => match news {
                Some(Heard::Status(status)) => view.hear(*status),
                Some(Heard::Refused(why)) => view.note = why,
                Some(Heard::Gone) | None => break End::Over,
            },
            came = signals.next() => break End::Signal(came),
        }
    };
    asker.abort();
    Ok(end)
}

/// Asks how the load is, and hands wishes on, until nobody listens on either end.
async fn converse(folder: PathBuf, mut asked: mpsc::Receiver<String>, told: mpsc::Sender<Heard>) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let heard = tokio::select! {
            wish = asked.recv() => match wish {
                Some(path) => listen(&folder, Method::POST, &path).await,
                None => return,
            },
            _ = tick.tick() => listen(&folder, Method::GET, "/status").await,
        };
        if told.send(heard).await.is_err() {
            return;
        }
    }
}

async fn listen(folder: &Path, verb: Method, path: &str) -> Heard {
    match ask(folder, verb, path).await {
        Ok(status) => Heard::Status(Box::new(status)),
        Err(AskFailed::NotRunning { .. }) => Heard::Gone,
        Err(error @ (AskFailed::NoAnswer(_) | AskFailed::Refused(_))) => {
            Heard::Refused(error.to_string())
        }
    }
}

/// Keys and changes of size, read by a thread of their own; it ends when this is dropped.
struct Touches {
    next: mpsc::Receiver<Touch>,
    ending: Arc<AtomicBool>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Touches {
    fn listen() -> io::Result<Self> {
        let (sender, next) = mpsc::channel(QUEUE);
        let ending = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ending);
        let reader =
            thread::Builder::new().name("keys".to_owned()).spawn(move || read(&sender, &told))?;
        Ok(Self { next, ending, reader: Some(reader) })
    }
}

impl Drop for Touches {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        // A full queue would hold the thread.
        self.next.close();
        if let Some(reader) = self.reader.take()
            && reader.join().is_err()
        {
            tracing::warn!("the thread that reads keys ended with a panic");
        }
    }
}

fn read(touches: &mpsc::Sender<Touch>, ending: &AtomicBool) {
    while !ending.load(Ordering::Acquire) {
        let touch = match event::poll(KEYS_EVERY).and_then(|any| any.then(event::read).transpose())
        {
            Ok(Some(Event::Key(key))) => Touch::Key(key),
            Ok(Some(Event::Resize(..))) => Touch::Resized,
            Ok(_) => continue,
            Err(error) => {
                tracing::debug!(%error, "no more keys");
                return;
            }
        };
        if touches.blocking_send(touch).is_err() {
            return;
        }
    }
}

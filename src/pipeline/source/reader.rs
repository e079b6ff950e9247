//! The thread a source is read on, and the bounded channel its chunks come out of.

use super::{Source, SourceError};
use crate::record::chunk::RawChunk;
use crossbeam::channel::{Receiver, bounded};
use std::io;
use std::thread;

/// Reads `source` to its end on a thread of its own, at most `chunks_max` chunks ahead. The
/// channel closes after the last chunk or the first error; dropping the receiver stops the
/// thread. Receive outside async tasks only.
///
/// # Errors
/// If no thread can be started.
pub fn read_on_thread(
    mut source: Box<dyn Source>,
    chunks_max: usize,
) -> io::Result<Receiver<Result<RawChunk, SourceError>>> {
    let (send, receive) = bounded(chunks_max);
    thread::Builder::new().name("reader".to_owned()).spawn(move || {
        while let Some(next) = source.next_chunk().transpose() {
            let failed = next.is_err();
            if send.send(next).is_err() || failed {
                break;
            }
        }
    })?;
    Ok(receive)
}

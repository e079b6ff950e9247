//! Pure: the bytes of the row being written. A row is some forty short pieces; copying each
//! through `memcpy` costs more than the bytes do, so short pieces are copied as one or two
//! overlapping blocks of fixed size.

/// Longest piece copied in blocks.
const SHORT_MAX: usize = 64;
/// Block copied when more than the piece may be read.
const FRONT: usize = 48;

/// Grows like a `Vec`, but keeps initialised room behind its end.
#[derive(Clone, Default, Debug)]
pub struct RowBuffer {
    room: Vec<u8>,
    len: usize,
}

impl RowBuffer {
    /// What was written.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// Bytes written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes off everything behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Takes out byte `at`; for rare repairs.
    ///
    /// # Panics
    /// If so many were not written.
    pub fn remove(&mut self, at: usize) {
        self.room.copy_within(at + 1..self.len, at);
        self.len -= 1;
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        if let Some(place) = self.room.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        } else {
            self.grow(&[byte]);
        }
    }

    /// Appends the first `n` bytes of `behind`, the longer the better: one block is copied and
    /// the surplus overwritten later.
    ///
    /// # Panics
    /// If `behind` is shorter than `n`.
    #[inline]
    pub fn extend_from_front(&mut self, behind: &[u8], n: usize) {
        let room = self.room.get_mut(self.len..).and_then(|r| r.first_chunk_mut::<FRONT>());
        match (room, behind.first_chunk::<FRONT>()) {
            (Some(room), Some(front)) if n <= FRONT => {
                *room = *front;
                self.len += n;
            }
            _ => self.extend_from_slice(&behind[..n]),
        }
    }

    /// Appends `fixed`.
    #[inline]
    pub fn extend_fixed(&mut self, fixed: &Fixed) {
        match self.room.get_mut(self.len..).and_then(|r| r.first_chunk_mut::<SHORT_MAX>()) {
            Some(room) if fixed.len <= SHORT_MAX => {
                *room = fixed.block;
                self.len += fixed.len;
            }
            _ => self.grow(fixed.as_slice()),
        }
    }

    /// Appends `piece`.
    #[inline]
    pub fn extend_from_slice(&mut self, piece: &[u8]) {
        let n = piece.len();
        match self.room.get_mut(self.len..).and_then(|r| r.first_chunk_mut::<SHORT_MAX>()) {
            Some(room) if n <= SHORT_MAX => {
                if n > 32 {
                    ends::<32>(piece, room);
                } else if n > 16 {
                    ends::<16>(piece, room);
                } else if n >= 8 {
                    ends::<8>(piece, room);
                } else if n >= 4 {
                    ends::<4>(piece, room);
                } else if n >= 2 {
                    ends::<2>(piece, room);
                } else if n == 1 {
                    room[0] = piece[0];
                }
                self.len += n;
            }
            _ => self.grow(piece),
        }
    }

    #[inline(never)]
    fn grow(&mut self, piece: &[u8]) {
        let end = self.len + piece.len();
        if self.room.len() < end {
            self.room.resize((end + SHORT_MAX) * 2, 0);
        }
        self.room[self.len..end].copy_from_slice(piece);
        self.len = end;
    }
}

/// Text that stands in many rows, kept so that it is copied as one block.
#[derive(Clone, Debug)]
pub struct Fixed {
    block: [u8; SHORT_MAX],
    len: usize,
    /// The whole text when it is too long for a block.
    long: Vec<u8>,
}

impl Fixed {
    /// Of `text`.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let mut block = [0; SHORT_MAX];
        match block.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text);
                Self { block, len: text.len(), long: Vec::new() }
            }
            None => Self { block, len: usize::MAX, long: text.to_vec() },
        }
    }

    /// The text.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.block.get(..self.len).unwrap_or(&self.long)
    }
}

/// Copies the first and the last `B` bytes of `piece`, which together are all of it.
#[inline]
fn ends<const B: usize>(piece: &[u8], room: &mut [u8; SHORT_MAX]) {
    if let (Some(first), Some(last)) = (piece.first_chunk::<B>(), piece.last_chunk::<B>()) {
        room[..B].copy_from_slice(first);
        let at = piece.len() - B;
        room[at..at + B].copy_from_slice(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_vec(
            pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..90), any::<bool>()), 0..12),
        ) {
            let (mut buffer, mut model) = (RowBuffer::default(), Vec::new());
            for (piece, cut) in pieces {
                buffer.extend_from_slice(&piece);
                model.extend_from_slice(&piece);
                buffer.push(7);
                model.push(7);
                buffer.extend_from_front(&piece, piece.len() / 2);
                model.extend_from_slice(&piece[..piece.len() / 2]);
                buffer.extend_fixed(&Fixed::new(&piece));
                model.extend_from_slice(&piece);
                if cut {
                    buffer.truncate(model.len() / 2);
                    model.truncate(model.len() / 2);
                    if !model.is_empty() {
                        buffer.remove(model.len() / 3);
                        model.remove(model.len() / 3);
                    }
                }
                prop_assert_eq!(buffer.as_slice(), model.as_slice());
                prop_assert_eq!(buffer.len(), model.len());
            }
        }
    }
}

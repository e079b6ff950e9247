//! What an answer means for each row.

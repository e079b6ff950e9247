//! The one truth: what was intended and what became of it, on durable storage.

//! What a run tells people: metrics, progress, logs.

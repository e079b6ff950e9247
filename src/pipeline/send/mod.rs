//! When and through which identity a request leaves.

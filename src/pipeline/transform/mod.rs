//! From source values to Web API values.

//! How people watch and steer a running load.

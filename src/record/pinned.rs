//! Pure: ids chosen by the loader, ordered the way SQL Server orders them.

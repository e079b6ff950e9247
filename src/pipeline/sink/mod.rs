//! Success and error files: projections of the ledger.

//! dvbulk: loads staged records into Microsoft Dataverse.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dvbulk::cli::main()
}

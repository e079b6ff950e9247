//! dvbulk: loads staged records into Microsoft Dataverse.

fn main() {}

//! What this process has used so far, as the kernel counts it. Zeros where there is no `/proc`.

use std::fs;

/// Processor time and memory of this process.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    /// User and system time of all threads, seconds.
    pub cpu_secs: f64,
    /// Most memory resident at once, bytes.
    pub resident_bytes_max: u64,
}

/// Ticks a second of the times in `/proc`; fixed to 100 for programs on Linux.
const TICKS: f64 = 100.0;

/// Reads the kernel's counters.
#[must_use]
pub fn now() -> Usage {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Usage { cpu_secs: cpu_secs(&stat), resident_bytes_max: resident_bytes_max(&status) }
}

/// Fields 14 and 15 of the line, counted behind the name in parentheses, which may hold blanks.
fn cpu_secs(stat: &str) -> f64 {
    let behind = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let mut fields = behind.split(' ').skip(11);
    let mut tick = || fields.next().and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (tick() + tick()) / TICKS
}

fn resident_bytes_max(status: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let stat = "17 (odd) name) S 1 17 17 0 -1 4194560 5000 0 0 0 250 150 0 0 20 0 9 0 1 1 1";
        assert_eq!(cpu_secs(stat), 4.0);
        assert_eq!(resident_bytes_max("Name:\tx\nVmHWM:\t    2048 kB\n"), 2 << 20);
        assert_eq!((cpu_secs(""), resident_bytes_max("")), (0.0, 0));
    }
}

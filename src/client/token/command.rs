//! Tokens printed by a program of the user's choice.

use crate::client::attempt::TokenFailure;
use crate::client::fault::printable;
use crate::client::token::Granted;
use crate::client::token::answer::read_token;
use crate::runtime::clock;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// Longest a program may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Most it may print, bytes.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;
/// How much of its complaints is shown, bytes.
const COMPLAINT_BYTES_MAX: u64 = 2 << 10;

/// Runs `argv` and reads the token from its standard output; nothing of that output is ever shown.
pub(super) async fn fetch(argv: &[String]) -> Result<Granted, TokenFailure> {
    run(argv, TIMEOUT).await
}

async fn run(argv: &[String], timeout: Duration) -> Result<Granted, TokenFailure> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(TokenFailure::Refused("the token command is empty".to_owned()));
    };
    let refused = |what: String| TokenFailure::Refused(format!("token command {program}: {what}"));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| refused(format!("cannot be started: {e}")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (printed, complaint) = tokio::join!(
            read_some(stdout, OUTPUT_BYTES_MAX + 1),
            read_some(stderr, COMPLAINT_BYTES_MAX)
        );
        (printed, complaint, child.wait().await)
    };
    let (printed, complaint, status) = tokio::time::timeout(timeout, work).await.map_err(|_| {
        TokenFailure::Unreachable(format!("token command {program}: not done within {timeout:?}"))
    })?;
    let status = status.map_err(|e| refused(e.to_string()))?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        let last = complaint.trim().lines().last().unwrap_or("no complaint");
        let shown: String = last.chars().take(300).collect();
        // A tool that could not reach its service also ends like this, so asking again may help.
        return Err(TokenFailure::Unreachable(format!(
            "token command {program}: {status}: {}",
            printable(&shown)
        )));
    }
    if printed.len() as u64 > OUTPUT_BYTES_MAX {
        return Err(refused(format!("prints more than {OUTPUT_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8_lossy(&printed);
    read_token(&text, clock::wall_ms(), &jiff::tz::TimeZone::system())
        .map_err(|detail| refused(detail.to_owned()))
}

/// The first `bytes_max` bytes; the rest is drained so that the program is not held up.
async fn read_some(from: Option<impl AsyncRead + Unpin>, bytes_max: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        // A pipe that breaks shows in the exit status.
        let _ = (&mut from).take(bytes_max).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    async fn sh(script: &str) -> Result<String, TokenFailure> {
        let argv: Vec<String> = ["sh", "-c", script].map(str::to_owned).to_vec();
        let granted = run(&argv, Duration::from_secs(5)).await?;
        Ok(format!("{} {}", granted.token.expose_secret(), granted.lifetime.as_secs()))
    }

    #[tokio::test]
    async fn plain_and_json_output() {
        assert_eq!(sh("echo tok").await.unwrap(), "tok 600");
        let json = r#"echo warn >&2; echo '{"accessToken":"tok","expires_in":60}'"#;
        assert_eq!(sh(json).await.unwrap(), "tok 60");
    }

    #[tokio::test]
    async fn failures_show_the_complaint_but_never_the_output() {
        let failure = sh("echo s3cret; echo a >&2; echo offline >&2; exit 3").await.unwrap_err();
        let TokenFailure::Unreachable(text) = failure else { panic!("{failure}") };
        assert!(text.contains("offline") && !text.contains("s3cret"), "{text}");
        let failure = sh("echo s3cret words").await.unwrap_err();
        let TokenFailure::Refused(text) = failure else { panic!("{failure}") };
        assert!(!text.contains("s3cret"), "{text}");
        let flood = sh("head -c 300000 /dev/zero | tr '\\0' x").await.unwrap_err();
        assert!(matches!(flood, TokenFailure::Refused(_)), "{flood}");
        let missing = run(&["/no/such/program".to_owned()], TIMEOUT).await.err().unwrap();
        assert!(missing.to_string().contains("cannot be started"), "{missing}");
        assert!(run(&[], TIMEOUT).await.is_err());
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_left() {
        let argv: Vec<String> = ["sleep", "30"].map(str::to_owned).to_vec();
        let failure = run(&argv, Duration::from_millis(50)).await.err().unwrap();
        assert!(matches!(failure, TokenFailure::Unreachable(_)), "{failure}");
    }
}

//! `dvbulk simulate`: the local Dataverse alone, until a signal or `/_sim/shutdown` ends it.

use super::args::SimulateArgs;
use super::exit;
use crate::runtime::signals::Signals;
use crate::simulator::serve::Simulator;
use crate::simulator::settings::Settings;
use anyhow::{Context, Result};
use std::io::Write;
use std::path::Path;

/// Runs a local Dataverse; says on standard output, in one line of JSON, how to reach it.
///
/// # Errors
/// The settings file cannot be read or used, or the address is taken.
pub async fn run(args: &SimulateArgs) -> Result<u8> {
    let settings = match &args.settings {
        Some(path) => read(path)?,
        None => Settings::default(),
    };
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let listen = settings.listen;
    let simulator = Simulator::start(settings, listen).await?;
    say(&greeting(&simulator)).context("cannot write to standard output")?;
    tokio::select! {
        came = signals.next() => tracing::info!(?came, "stopping"),
        () = simulator.stopped() => tracing::info!("told to stop"),
    }
    simulator.stop().await;
    Ok(exit::DONE)
}

fn say(line: &serde_json::Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Reads a settings file; paths inside it count from its folder.
fn read(path: &Path) -> Result<Settings> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let mut settings = Settings::parse(&text).with_context(|| format!("{shown} cannot be used"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let certificates = settings.users.iter_mut().filter_map(|u| u.certificate_file.as_mut());
    for inner in settings.tables_files.iter_mut().chain(certificates) {
        *inner = folder.join(&*inner).to_string_lossy().into_owned();
    }
    Ok(settings)
}

/// Where it is and how to get in. The secrets are pretended ones of the settings file.
fn greeting(simulator: &Simulator) -> serde_json::Value {
    let (settings, url) = (simulator.settings(), simulator.url());
    let users: Vec<_> = settings
        .users
        .iter()
        .map(|u| {
            serde_json::json!({
                "name": u.name, "client_id": u.client_id, "client_secret": u.secret,
                "system_user_id": u.system_user_id,
            })
        })
        .collect();
    serde_json::json!({
        "url": url,
        "api": format!("{url}/api/data/v9.2/"),
        "organization_id": settings.environment.organization_id,
        "tenant_id": settings.tenant,
        "token_url": simulator.token_url(),
        "scope": format!("{url}/.default"),
        "users": users,
        "stats": format!("{url}/_sim/stats"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;

    #[test]
    fn the_example_says_what_it_sets_and_reads() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/simulate.toml");
        let settings = read(&path).expect("the example is valid");
        assert_eq!(settings.listen.port(), 8765);
        assert_eq!(settings.protection.servers, 2);
        assert!(!settings.faults.is_empty());
    }

    #[test]
    fn a_bad_file_is_named_with_line_and_key() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("sim.toml");
        std::fs::write(&path, "seed = 1\nsped = 2\n").expect("written");
        let text = format!("{:#}", read(&path).expect_err("refused"));
        assert!(text.contains("sim.toml") && text.contains("line 2"), "{text}");
    }

    #[test]
    fn paths_count_from_the_folder_of_the_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("sim.toml");
        std::fs::write(&path, "tables_files = ['own.toml']").expect("written");
        let settings = read(&path).expect("valid");
        assert_eq!(Path::new(&settings.tables_files[0]), folder.path().join("own.toml"));
    }

    #[tokio::test]
    async fn the_greeting_opens_the_door() {
        let settings = Settings::default();
        let listen = settings.listen;
        let simulator = Simulator::start(settings, listen).await.expect("starts");
        let hello = greeting(&simulator);
        assert_ne!(simulator.addr().port(), 0);
        assert_eq!(hello["users"][1]["client_secret"], "pretended-secret-2");
        assert!(hello["token_url"].as_str().expect("text").ends_with("/oauth2/v2.0/token"));
        simulator.stop().await;
    }

    #[tokio::test]
    async fn the_command_runs_until_it_is_told_to_stop() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("sim.toml");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = free.local_addr().expect("address");
        drop(free);
        std::fs::write(&path, format!("listen = '{addr}'")).expect("written");
        let args = SimulateArgs { settings: Some(path) };
        let command = tokio::spawn(async move { run(&args).await });
        let mut stream = loop {
            match TcpStream::connect(addr).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let ask = "POST /_sim/shutdown HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(ask.as_bytes()).await.expect("sent");
        let ended = tokio::time::timeout(Duration::from_secs(5), command).await;
        let code = ended.expect("in time").expect("no panic").expect("no error");
        assert_eq!(code, exit::DONE);
    }
}

//! The program itself: its configuration, its start, its end.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::support::{ENCRYPTION_KEY, fresh_database};

fn idm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idm"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // What the tests' own shell has set is not for it.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TUTTI_")) {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> (bool, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = idm(arguments).output().unwrap();
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (status.success(), text.concat())
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn the_configuration_is_checked_and_what_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let url = file(
        folder.path(),
        "url",
        "postgres://idm:hidden-word@db.example.com/idm",
    );
    let key = file(
        folder.path(),
        "key",
        "a-hidden-key-of-more-than-32-characters",
    );
    let (is_well, said) = run(&[
        "--database-url-file",
        &url,
        "--encryption-key-file",
        &key,
        "--public-url",
        "https://id.example.com",
        "--check-config",
    ]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(is_well, "{said}");
    for line in [
        &*format!("--database-url-file {url}  (flag)"),
        "--public-url https://id.example.com  (flag)",
        "--brand-colour '#2f6fed'  (default)",
        "--watch-cluster  (not set)",
    ] {
        assert!(lines.contains(&line), "{line}: {said}");
    }
    assert!(!said.contains("hidden-"), "{said}");
    let by_environment = idm(&[
        "--encryption-key-file",
        &key,
        "--public-url",
        "https://id.example.com",
        "--check-config",
    ])
    .env("TUTTI_DATABASE_URL", "postgres://idm:hidden-word@db/idm")
    .output()
    .unwrap();
    let said = String::from_utf8(by_environment.stdout).unwrap();
    assert!(
        said.contains("TUTTI_DATABASE_URL  (environment, not shown)")
            && !said.contains("hidden-word"),
        "{said}"
    );
    for (arguments, flag) in [
        (
            &["--public-url", "https://id.example.com", "--check-config"][..],
            "--database-url-file",
        ),
        (
            &["--database-url-file", &url, "--check-config"],
            "--public-url",
        ),
        (
            &["--database-url-file", "/nowhere", "--check-config"],
            "/nowhere cannot be read",
        ),
        (
            &[
                "--database-url-file",
                &url,
                "--public-url",
                "https://id.example.com",
            ],
            "--encryption-key-file",
        ),
        (&["--database-url-file", &url], "--public-url"),
        (&["admin", "verify-audit"], "--database-url-file"),
    ] {
        let (is_well, said) = run(arguments);
        assert!(!is_well && said.contains(flag), "{arguments:?}: {said}");
    }
}

/// Killed when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_serves_and_ends_when_it_is_told_to_and_makes_an_administrator() {
    let folder = tempfile::tempdir().unwrap();
    let url = file(folder.path(), "url", &fresh_database().await);
    let code = file(folder.path(), "code", "one-time");
    let key = file(folder.path(), "key", ENCRYPTION_KEY);
    let (listen, admin) = (
        format!("127.0.0.1:{}", free_port()),
        format!("127.0.0.1:{}", free_port()),
    );
    let mut command = idm(&["--database-url-file", &url, "--bootstrap-code-file", &code]);
    command.args([
        "--public-url",
        "https://id.example.com",
        "--drain-delay",
        "0",
        "--encryption-key-file",
        &key,
    ]);
    command
        .args(["--listen", &listen, "--admin-listen", &admin])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let ask = async |address: &str, path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    let end = Instant::now() + Duration::from_secs(60);
    while ask(&admin, "/readyz")
        .await
        .is_none_or(|(status, _)| status != 200)
    {
        assert!(Instant::now() < end, "it is not ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        ask(&listen, "/v1/bootstrap").await.unwrap().1,
        r#"{"needed":true}"#
    );
    let create = [
        "admin",
        "create",
        "--email",
        "root@example.com",
        "--name",
        "Root",
    ];
    let mut arguments = vec!["--database-url-file", &url];
    arguments.extend(create);
    let (is_well, said) = tokio::task::block_in_place(|| run(&arguments));
    assert!(is_well && said.contains("password  "), "{said}");
    assert_eq!(
        ask(&listen, "/v1/bootstrap").await.unwrap().1,
        r#"{"needed":false}"#
    );
    let metrics = ask(&admin, "/metrics").await.unwrap().1;
    assert!(
        metrics.contains(r#"idm_requests_total{route="/v1/bootstrap",status="200"} 2"#),
        "{metrics}"
    );

    let pid = running.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let end = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < end, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
}

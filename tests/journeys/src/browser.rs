//! Chromium, driven over WebDriver. It trusts the lab's authority by its own database of
//! certificates, in a HOME of its own, so that a certificate that is wrong is seen to be wrong.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use fantoccini::{Client, ClientBuilder, Locator, wd::TimeoutConfiguration};
use lab::{Lab, kill_by_word};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{output_folder, wait::within, wordpress::PICTURE};

/// Programs, and the Debian packages that bring them.
const NEEDED: [(&str, &str); 3] = [
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("certutil", "libnss3-tools"),
];

/// A browser of a story's own. When it is dropped the driver ends, and the browser with it.
pub struct Browser {
    client: Client,
    home: TempDir,
    _driver: Child,
}

impl Drop for Browser {
    /// Ends what a story that failed has not closed: Chromium outlives its driver.
    fn drop(&mut self) {
        kill_by_word(&self.home.path().display().to_string());
    }
}

impl Browser {
    /// Starts one; installs what is missing.
    pub async fn start(lab: &Lab) -> Result<Self> {
        install_missing().await?;
        let home = tempfile::Builder::new()
            .prefix("tutti-browser-")
            .tempdir()?;
        trust(home.path(), &lab.trust).await?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("HOME", home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("chromedriver cannot be run")?;
        let profile = format!("--user-data-dir={}", home.path().join("profile").display());
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--no-proxy-server",
                "--window-size=1280,1000", profile,
            ]},
        });
        let Value::Object(capabilities) = capabilities else {
            bail!("capabilities are an object");
        };
        let address = format!("http://127.0.0.1:{port}");
        let client = within(60, "Chromium starts", || async {
            let connector = hyper_util::client::legacy::connect::HttpConnector::new();
            Ok(ClientBuilder::new(connector)
                .capabilities(capabilities.clone())
                .connect(&address)
                .await?)
        })
        .await?;
        let patience = Duration::from_secs(60);
        let timeouts = TimeoutConfiguration::new(Some(patience), Some(patience), None);
        client.update_timeouts(timeouts).await?;
        Ok(Self {
            client,
            home,
            _driver: driver,
        })
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) -> Result<()> {
        let opened = self.client.goto(url).await;
        opened.with_context(|| format!("Chromium cannot open {url}"))
    }

    /// The address of the present page.
    pub async fn address(&self) -> Result<String> {
        Ok(self.client.current_url().await?.to_string())
    }

    /// The source of the present page.
    pub async fn source(&self) -> Result<String> {
        Ok(self.client.source().await?)
    }

    /// Types into a field, or chooses a file for it.
    pub async fn fill(&self, css: &str, text: &str) -> Result<()> {
        let field = self.find(css).await?;
        Ok(field.send_keys(text).await?)
    }

    /// Sets a field's value at once, whatever a script of the page does meanwhile.
    pub async fn set(&self, css: &str, text: &str) -> Result<()> {
        self.find(css).await?;
        let script = "document.querySelector(arguments[0]).value = arguments[1]";
        let arguments = vec![json!(css), json!(text)];
        self.client.execute(script, arguments).await?;
        Ok(())
    }

    /// The text of what the selector names, when it is there.
    pub async fn find_text(&self, css: &str) -> Result<String> {
        Ok(self.find(css).await?.text().await?.trim().to_owned())
    }

    /// Clicks on what the selector names, when it is there.
    pub async fn click(&self, css: &str) -> Result<()> {
        Ok(self.find(css).await?.click().await?)
    }

    async fn find(&self, css: &str) -> Result<fantoccini::elements::Element> {
        let wait = self.client.wait().at_most(Duration::from_secs(30));
        let found = wait.for_element(Locator::Css(css)).await;
        found.with_context(|| format!("{css} is not on the page"))
    }

    /// Runs a script and returns what it returns.
    pub async fn run(&self, script: &str) -> Result<Value> {
        Ok(self.client.execute(script, vec![]).await?)
    }

    /// Runs the body of an async function and returns what it returns; what it throws is an error.
    pub async fn run_async(&self, body: &str, arguments: Vec<Value>) -> Result<Value> {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             (async (...args) => {{ {body} }})(...arguments)
                 .then(value => done({{value}}), error => done({{error: String(error)}}));"
        );
        let answer = self.client.execute_async(&script, arguments).await?;
        ensure!(
            answer["error"].is_null(),
            "in the page: {}",
            answer["error"]
        );
        Ok(answer["value"].clone())
    }

    /// Waits until a script returns true.
    pub async fn until(&self, seconds: u64, script: &str) -> Result<()> {
        within(seconds, script, || async {
            let answer = self.run(&format!("return {script}")).await?;
            ensure!(answer == true, "{answer} at {}", self.address().await?);
            Ok(())
        })
        .await
    }

    /// A file that the browser can choose; it goes with the browser.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.home.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.display().to_string())
    }

    /// The picture as a file.
    pub fn picture(&self) -> Result<String> {
        self.file("dot.png", &BASE64_STANDARD.decode(PICTURE)?)
    }

    /// Hands an outcome on; when it is a failure, first keeps a picture of what was on the screen.
    pub async fn witness<T>(&self, story: &str, outcome: Result<T>) -> Result<T> {
        let Err(error) = outcome else {
            return outcome;
        };
        let folder = output_folder();
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{story}.png"));
        let address = self.address().await.unwrap_or_default();
        if let Ok(screen) = self.client.screenshot().await {
            std::fs::write(&path, screen)?;
        }
        Err(error.context(format!("at {address}; see {}", path.display())))
    }

    /// Ends the session.
    pub async fn close(self) -> Result<()> {
        Ok(self.client.clone().close().await?)
    }
}

/// Makes a database of certificates that holds the lab's authority.
/// Each of them by itself: `certutil` takes the first of a file only.
async fn trust(home: &Path, authorities: &Path) -> Result<()> {
    let database = home.join(".pki/nssdb");
    std::fs::create_dir_all(&database)?;
    let database = format!("sql:{}", database.display());
    certutil(&["-d", &database, "-N", "--empty-password"]).await?;
    let all = std::fs::read_to_string(authorities)?;
    let end = "-----END CERTIFICATE-----";
    for (number, pem) in all.split_inclusive(end).enumerate() {
        let file = home.join("authority.crt");
        if !pem.ends_with(end) {
            continue;
        }
        std::fs::write(&file, pem)?;
        let (name, file) = (format!("lab-{number}"), file.display().to_string());
        certutil(&["-d", &database, "-A", "-n", &name, "-t", "C,,", "-i", &file]).await?;
    }
    Ok(())
}

async fn certutil(arguments: &[&str]) -> Result<()> {
    let output = Command::new("certutil").args(arguments).output().await?;
    ensure!(
        output.status.success(),
        "certutil: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

async fn install_missing() -> Result<()> {
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _guard = ONE_AT_A_TIME.lock().await;
    let is_missing = |program: &str| !Path::new("/usr/bin").join(program).exists();
    let missing = NEEDED.iter().filter(|(program, _)| is_missing(program));
    let missing: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let start = Instant::now();
    eprintln!("installing {} with apt-get", missing.join(", "));
    let install = [&["install", "-y", "--no-install-recommends"][..], &missing].concat();
    for arguments in [&["update"][..], &install] {
        let output = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .await
            .context("a browser is missing, and there is no apt-get to install one")?;
        ensure!(
            output.status.success(),
            "apt-get {} (as root?): {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    crate::took("installing the browser", start);
    Ok(())
}

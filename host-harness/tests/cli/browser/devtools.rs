// SPDX-License-Identifier: Apache-2.0 OR MIT
//! As much of the Chrome DevTools Protocol as the tests need, over a pipe:
//! messages are JSON with a zero byte behind each.

use std::{
    env, fs,
    io::{BufRead, BufReader, PipeReader, PipeWriter, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};

use crate::sandbox::{HANG, Sandbox};

/// The system's Chromium, else the one that `images/setup.sh chromium` fetched.
pub fn chromium() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.irqbed/chromium/bin/chromium");
    let path = env::var_os("PATH").unwrap_or_default();
    let system = env::split_paths(&path).map(|folder| folder.join("chromium"));
    system.chain([own]).find(|program| program.is_file())
}

/// A running browser, ended with this.
pub struct Browser {
    child: Child,
    to: PipeWriter,
    from: BufReader<PipeReader>,
    last: u64,
}

impl Browser {
    pub fn start(program: &Path, sandbox: &Sandbox) -> Self {
        let (its_input, to) = std::io::pipe().expect("a pipe");
        let (from, its_output) = std::io::pipe().expect("a pipe");
        let profile = sandbox.own("profile");
        let log = fs::File::create(sandbox.own("chromium.log")).expect("a file");
        let mapping = |fd: OwnedFd, child_fd| FdMapping {
            parent_fd: fd,
            child_fd,
        };
        let mut command = Command::new(program);
        command
            .arg("--headless")
            .arg("--remote-debugging-pipe")
            // It shows our own pages alone, and may not have its own sandbox
            // where it runs.
            .arg("--no-sandbox")
            .args(["--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .env("TMPDIR", sandbox.tmp())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .fd_mappings(vec![
                mapping(its_input.into(), 3),
                mapping(its_output.into(), 4),
            ])
            .expect("no descriptor is given twice");
        let child = command.spawn().expect("chromium runs");
        // The pipes end with it.
        drop(command);
        Self {
            child,
            to,
            from: BufReader::new(from),
            last: 0,
        }
    }

    /// An empty page of some width, in light or dark.
    pub fn page(&mut self, width: u32, scheme: &str) -> Page<'_> {
        let target = self.call(
            None,
            "Target.createTarget",
            json!({ "url": "about:blank" }),
            &mut Vec::new(),
        );
        let id = target["targetId"].clone();
        let attach = json!({ "targetId": id, "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach, &mut Vec::new());
        let session = session["sessionId"].as_str().expect("a name").to_owned();
        let mut page = Page {
            browser: self,
            session,
            width,
            scheme: scheme.to_owned(),
            events: Vec::new(),
        };
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            page.call(domain, json!({}));
        }
        let metrics =
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
        page.call("Emulation.setDeviceMetricsOverride", metrics);
        page.media("screen");
        page
    }

    /// Calls and waits for the answer; events that come before it are kept.
    fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
        events: &mut Vec<Value>,
    ) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("chromium listens");
        loop {
            let message = self.next();
            if message["id"] == self.last {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            events.push(message);
        }
    }

    fn next(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).expect("chromium talks");
        assert_eq!(bytes.pop(), Some(0), "chromium ended");
        serde_json::from_slice(&bytes).expect("JSON")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let mut bytes = json!({ "id": 0, "method": "Browser.close" })
            .to_string()
            .into_bytes();
        bytes.push(0);
        let _ = self.to.write_all(&bytes);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A page that is looked at.
pub struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
    /// Pixels of the screen: a phone makes a page that is too wide smaller.
    pub width: u32,
    scheme: String,
    events: Vec<Value>,
}

impl Page<'_> {
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        let session = self.session.clone();
        self.browser
            .call(Some(&session), method, parameters, &mut self.events)
    }

    fn media(&mut self, media: &str) {
        let scheme = json!([{ "name": "prefers-color-scheme", "value": self.scheme }]);
        let media = json!({ "media": media, "features": scheme });
        self.call("Emulation.setEmulatedMedia", media);
    }

    /// Opens an address and waits until all of it is there.
    pub fn open(&mut self, address: &str) {
        let opened = self.call("Page.navigate", json!({ "url": address }));
        assert!(opened.get("errorText").is_none(), "{opened}");
        let is_loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_loaded) {
            let event = self.browser.next();
            self.events.push(event);
        }
    }

    /// The value of an expression.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    #[track_caller]
    pub fn number(&mut self, expression: &str) -> f64 {
        let value = self.evaluate(expression);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{expression}: {value}"))
    }

    /// Presses a key and lets it go.
    pub fn press(&mut self, key: &str) {
        let code = if key == "Tab" { 9 } else { 13 };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Shows the page as it is printed.
    pub fn print(&mut self) {
        self.media("print");
    }

    /// How long after its address was opened something was seen, ms.
    pub fn first_paint(&mut self) -> f64 {
        let paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1";
        let deadline = Instant::now() + HANG;
        loop {
            let after = self.number(paint);
            if after >= 0.0 {
                return after;
            }
            assert!(Instant::now() < deadline, "nothing is painted");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is seen, as PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let data = picture["data"].as_str().expect("a picture");
        STANDARD.decode(data).expect("base64")
    }

    /// What the browser finds wrong with the page.
    pub fn complaints(&mut self) -> Vec<String> {
        let wrong = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        self.events
            .iter()
            .filter(wrong)
            .map(Value::to_string)
            .collect()
    }
}

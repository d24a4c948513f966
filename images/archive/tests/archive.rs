// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program beside an archive of a mirror's shape that is made on the spot, signed by
//! a key of its own, and then damaged in each of the ways that an archive can be.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest},
    signature::{Ed25519KeyPair, KeyPair},
};
use tempfile::TempDir;

/// Signs as an archive does, by Ed25519.
struct Signer {
    pair: Ed25519KeyPair,
    /// The public key's packet, without its head.
    public: Vec<u8>,
}

fn now() -> u32 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    u32::try_from(now.as_secs()).expect("before 2106")
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xc0 | kind, 0xff];
    packet.extend((body.len() as u32).to_be_bytes());
    packet.extend(body);
    packet
}

impl Signer {
    fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key");
        let mut public = vec![4];
        public.extend(1_000_u32.to_be_bytes());
        public.extend([22, 9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1]);
        public.extend([1, 7, 0x40]);
        public.extend(pair.public_key().as_ref());
        Self { pair, public }
    }

    fn keyring(&self) -> Vec<u8> {
        packet(6, &self.public)
    }

    fn sign(&self, text: &str) -> String {
        let mut named = vec![0x99, 0, self.public.len() as u8];
        named.extend(&self.public);
        let fingerprint = digest(&SHA1_FOR_LEGACY_USE_ONLY, &named);
        let mut subpackets = vec![5, 2];
        subpackets.extend(now().to_be_bytes());
        subpackets.extend([22, 33, 4]);
        subpackets.extend(fingerprint.as_ref());
        let mut body = vec![4, 1, 22, 8, 0, subpackets.len() as u8];
        body.extend(subpackets);

        let mut signed = text.trim_end().replace('\n', "\r\n").into_bytes();
        signed.extend(&body);
        signed.extend([4, 0xff, 0, 0, 0, body.len() as u8]);
        let hash = digest(&SHA256, &signed);
        let signature = self.pair.sign(hash.as_ref());
        body.extend([0, 0]);
        body.extend(&hash.as_ref()[..2]);
        for half in signature.as_ref().chunks(32) {
            body.extend([1, 0]);
            body.extend(half);
        }
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{}\n\
             -----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n",
            text.trim_end(),
            BASE64_STANDARD.encode(packet(2, &body))
        )
    }
}

fn hash(content: &[u8]) -> String {
    let hash = digest(&SHA256, content);
    hash.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A package with one file.
fn package(name: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(6);
    header.set_mode(0o755);
    let path = format!("./usr/bin/{name}");
    archive
        .append_data(&mut header, path, &b"hello\n"[..])
        .expect("memory");
    let data = archive.into_inner().expect("memory");
    let mut deb = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", &b"2.0\n"[..]), ("data.tar", &data)] {
        deb.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                644,
                content.len()
            )
            .bytes(),
        );
        deb.extend(content);
        if content.len() % 2 == 1 {
            deb.push(b'\n');
        }
    }
    deb
}

/// An archive of some suites.
struct Archive {
    folder: TempDir,
    signer: Signer,
}

impl Archive {
    /// With these versions of `some-tool` in each suite.
    fn new(suites: &[(&str, &[&str])]) -> Self {
        let suites = suites.iter().map(|(suite, versions)| {
            let versions: Vec<_> = versions
                .iter()
                .map(|version| ("some-tool".to_owned(), (*version).to_owned()))
                .collect();
            (*suite, versions)
        });
        Self::of(&suites.collect::<Vec<_>>())
    }

    /// With these packages, name and version, in each suite.
    fn of(suites: &[(&str, Vec<(String, String)>)]) -> Self {
        let archive = Self {
            folder: tempfile::tempdir().expect("a folder"),
            signer: Signer::new(1),
        };
        fs::write(archive.path("keys"), archive.signer.keyring()).expect("a file");
        fs::create_dir_all(archive.path("mirror/pool")).expect("a folder");
        for (suite, packages) in suites {
            let mut list = String::new();
            for (name, version) in packages {
                let deb = package(name);
                let file = format!("pool/{name}_{version}_amd64.deb");
                write!(
                    list,
                    "Package: {name}\nVersion: {version}\nArchitecture: amd64\nInstalled-Size: 2048\n\
                     Filename: {file}\nSize: {}\nSHA256: {}\nDescription: a tool\n\n",
                    deb.len(),
                    hash(&deb)
                )
                .expect("a string takes all");
                fs::write(archive.path("mirror").join(file), deb).expect("a file");
            }
            archive.publish(suite, &list, "");
        }
        archive
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn suite(&self, suite: &str) -> PathBuf {
        self.path("mirror/dists").join(suite)
    }

    /// Publishes a list of packages, with more fields in the description of its suite.
    fn publish(&self, suite: &str, list: &str, fields: &str) {
        let folder = self.suite(suite);
        let index = "main/binary-amd64/Packages";
        fs::create_dir_all(folder.join("main/binary-amd64")).expect("a folder");
        fs::write(folder.join(index), list).expect("a file");
        let release = format!(
            "Suite: {suite}\nCodename: {suite}\n{fields}SHA256:\n {} {} {index}\n",
            hash(list.as_bytes()),
            list.len()
        );
        fs::write(folder.join("InRelease"), self.signer.sign(&release)).expect("a file");
    }

    fn ask_at(&self, mirror: &str, suites: &str, question: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_irqbed-archive"))
            .arg("--keys")
            .arg(self.path("keys"))
            .arg("--store")
            .arg(self.path("store"))
            .args(["--suites", suites])
            .args(question)
            .env("IRQBED_DEBIAN_MIRROR", mirror)
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .output()
            .expect("the program runs")
    }

    fn ask(&self, suites: &str, question: &[&str]) -> Output {
        let mirror = format!("file://{}", self.path("mirror").display());
        self.ask_at(&mirror, suites, question)
    }

    fn pinned(&self, version: &str, suites: &str) -> Output {
        let suite = suites.rsplit('/').next().expect("a suite");
        self.ask(suites, &["pinned", "tool", "some-tool", version, suite])
    }
}

#[track_caller]
fn assert_answers(output: &Output, answer: &str, says: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout.trim(), answer, "{stderr}");
    assert_eq!(stderr.trim(), says);
}

/// One line with all of these words.
#[track_caller]
fn assert_refused(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let errors: Vec<_> = stderr
        .lines()
        .filter(|line| line.contains("error: "))
        .collect();
    let [line] = errors[..] else {
        panic!("{stderr}")
    };
    for word in words {
        assert!(line.contains(word), "no {word:?}: {line}");
    }
}

const OLD: &str = "1:1.2.0-1";
const NEW: &str = "1:1.3.0+ds-1~bpo13+1";

#[test]
fn a_version_that_the_archive_has_is_taken_even_if_it_is_not_the_newest() {
    let archive = Archive::new(&[("stable", &[OLD, NEW])]);
    assert_answers(&archive.pinned(OLD, "main/stable"), OLD, "");
    assert_answers(&archive.pinned(NEW, "main/stable"), NEW, "");
}

#[test]
fn the_newest_version_replaces_one_that_the_archive_lacks() {
    let archive = Archive::new(&[("stable", &[OLD, NEW])]);
    // A part of a version, or more than one, is another version.
    for gone in [
        "1:11.9.9+ds-1",
        "1:1.3.0+ds-1",
        "1:1.3.0+ds-1~bpo13+1+b1",
        "1.2.0-1",
    ] {
        let says = format!("setup: tool: the archive has moved on from {gone} to {NEW}");
        assert_answers(&archive.pinned(gone, "main/stable"), NEW, &says);
    }
}

#[test]
fn the_newest_version_is_that_of_the_suite() {
    let archive = Archive::new(&[("stable", &[OLD]), ("backports", &[NEW])]);
    for (suites, newest) in [
        ("main/backports main/stable", OLD),
        ("main/stable main/backports", NEW),
    ] {
        let says = format!("setup: tool: the archive has moved on from 1:0.9 to {newest}");
        assert_answers(&archive.pinned("1:0.9", suites), newest, &says);
    }
}

#[test]
fn an_archive_without_the_package_answers_nothing() {
    let archive = Archive::new(&[("stable", &[])]);
    assert_answers(&archive.pinned(OLD, "main/stable"), "", "");
    assert_refused(
        &archive.ask("main/stable", &["closure", "stable", "some-tool=1"]),
        &["the archive has no some-tool=1"],
    );
}

#[test]
fn a_kernel_is_replaced_by_the_newest_of_its_series_and_flavour() {
    let packages = [
        "linux-headers-7.3.4+deb13-amd64",
        "linux-headers-7.3.4+deb13-rt-amd64",
        "linux-headers-7.3.9+deb13-amd64",
        "linux-headers-7.3.10+deb13-amd64",
        "linux-headers-7.3.11+deb13-rt-amd64",
        "linux-headers-7.3.12+deb13-common",
        "linux-headers-7.30.1+deb13-amd64",
        "linux-headers-6.1.0-9-amd64",
        "linux-headers-6.1.0-10-rt-amd64",
        // Nothing can be built for one that is left without headers.
        "linux-image-7.3.13+deb13-amd64",
    ];
    let packages = packages
        .map(|name| (name.to_owned(), "1".to_owned()))
        .to_vec();
    let archive = Archive::of(&[("stable", packages)]);
    let kernel =
        |number, rest| archive.ask("main/stable", &["pinned-kernel", "7.3.", number, rest]);
    assert_answers(&kernel("4", "+deb13-amd64"), "7.3.4+deb13-amd64", "");
    for (rest, newest) in [
        ("+deb13-amd64", "7.3.10+deb13-amd64"),
        ("+deb13-rt-amd64", "7.3.11+deb13-rt-amd64"),
    ] {
        let says = format!("setup: kernel: the archive has moved on from 7.3.3{rest} to {newest}");
        assert_answers(&kernel("3", rest), newest, &says);
    }
    assert_answers(&kernel("4", "+deb13-cloud-amd64"), "", "");
    let question = ["pinned-kernel", "6.1.0-", "9", "-amd64"];
    assert_answers(&archive.ask("main/stable", &question), "6.1.0-9-amd64", "");
}

fn unpack(archive: &Archive, mirror: Option<&str>) -> Output {
    let into = archive.path("into");
    let question = [
        "unpack",
        "tool: fetching it",
        into.to_str().expect("UTF-8"),
        "some-tool",
    ];
    match mirror {
        Some(mirror) => archive.ask_at(mirror, "main/stable", &question),
        None => archive.ask("main/stable", &question),
    }
}

fn assert_unpacked(archive: &Archive) {
    let file = archive.path("into/usr/bin/some-tool");
    assert_eq!(fs::read(&file).expect("it is there"), b"hello\n");
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    // What was fetched is needed no more.
    let left = fs::read_dir(archive.path("store/packages")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

#[test]
fn a_package_is_unpacked() {
    let archive = Archive::new(&[("stable", &[OLD])]);
    assert_answers(
        &unpack(&archive, None),
        "",
        "setup: tool: fetching it (1 MB)",
    );
    assert_unpacked(&archive);
    let size = archive.ask("main/stable", &["size", "some-tool"]);
    assert_answers(&size, "2", "");
}

#[test]
fn what_is_not_as_it_was_signed_is_refused() {
    let damaged = |damage: &dyn Fn(&Archive), words: &[&str]| {
        let archive = Archive::new(&[("stable", &[OLD])]);
        damage(&archive);
        assert_refused(&unpack(&archive, None), words);
        assert!(!archive.path("into/usr").exists());
    };
    let change = |path: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(path).expect("a text");
        assert!(text.contains(from));
        fs::write(path, text.replacen(from, to, 1)).expect("a file");
    };
    let lists = "cannot have the list of stable";
    damaged(
        &|archive| {
            change(
                &archive.suite("stable/InRelease"),
                "Codename: s",
                "Codename: S",
            )
        },
        &[lists, "its signature does not fit"],
    );
    damaged(
        &|archive| {
            let release = archive.suite("stable/InRelease");
            fs::write(release, Signer::new(2).sign("Suite: stable")).expect("a file");
        },
        &[lists, "none of the trusted keys signed it"],
    );
    damaged(
        &|archive| {
            change(
                &archive.suite("stable/main/binary-amd64/Packages"),
                OLD,
                "1:1.2.0-2",
            )
        },
        &[lists, "damaged or changed on its way"],
    );
    damaged(
        &|archive| {
            let release = archive.suite("stable/main/binary-amd64/Packages");
            fs::write(release, "Package: some-tool\n").expect("a file");
        },
        &[lists, "broke off"],
    );
    damaged(
        &|archive| {
            fs::rename(archive.suite("stable"), archive.suite("other")).expect("a folder");
        },
        &[lists, "InRelease is not there"],
    );
    damaged(
        &|archive| archive.publish("stable/../stable", "", ""),
        &["has another suite in the place of stable"],
    );
    let file = format!("mirror/pool/some-tool_{OLD}_amd64.deb");
    damaged(
        &|archive| {
            let mut deb = package("some-tool");
            *deb.last_mut().expect("bytes") ^= 1;
            fs::write(archive.path(&file), deb).expect("a file");
        },
        &["cannot fetch tool", "damaged or changed on its way"],
    );
    damaged(
        &|archive| fs::remove_file(archive.path(&file)).expect("a file"),
        &["cannot fetch tool", "is not there"],
    );
}

#[test]
fn lists_that_were_damaged_on_disk_are_fetched_anew() {
    let archive = Archive::new(&[("stable", &[OLD])]);
    assert_answers(&archive.pinned(OLD, "main/stable"), OLD, "");
    for file in fs::read_dir(archive.path("store/lists")).expect("a folder") {
        fs::write(file.expect("an entry").path(), "damaged").expect("a file");
        assert_answers(&archive.pinned(OLD, "main/stable"), OLD, "");
    }
}

#[test]
fn a_package_that_is_gone_is_looked_for_in_new_lists() {
    let archive = Archive::new(&[("stable", &[OLD])]);
    assert_answers(&archive.pinned(OLD, "main/stable"), OLD, "");
    // The mirror has a newer one, and the old one no more.
    let deb = package("some-tool");
    let list = format!(
        "Package: some-tool\nVersion: {NEW}\nFilename: pool/new.deb\nSize: {}\nSHA256: {}\n",
        deb.len(),
        hash(&deb)
    );
    archive.publish("stable", &list, "");
    fs::write(archive.path("mirror/pool/new.deb"), deb).expect("a file");
    fs::remove_file(archive.path(&format!("mirror/pool/some-tool_{OLD}_amd64.deb")))
        .expect("a file");
    assert_answers(
        &unpack(&archive, None),
        "",
        "setup: tool: fetching it (1 MB)",
    );
    assert_unpacked(&archive);
}

#[test]
fn a_mirror_that_a_user_names_may_be_of_former_times() {
    let archive = Archive::new(&[("stable", &[OLD])]);
    archive.publish("stable", "", "Valid-Until: Sat, 05 Dec 2020 14:09:31 UTC\n");
    assert_answers(&archive.pinned(OLD, "main/stable"), "", "");
}

#[test]
fn a_mirror_that_is_not_reached_is_named() {
    let archive = Archive::new(&[]);
    let mirror = "http://127.0.0.1:9/debian";
    let words = [
        "cannot have the list of stable",
        "http://127.0.0.1:9/debian/dists/stable/InRelease",
        "refused",
    ];
    assert_refused(
        &archive.ask_at(mirror, "main/stable", &["size", "some-tool"]),
        &words,
    );
}

#[test]
fn what_is_no_address_is_refused() {
    let archive = Archive::new(&[]);
    for mirror in ["nonsense", "ftp://127.0.0.1/debian"] {
        let output = archive.ask_at(mirror, "main/stable", &["size", "some-tool"]);
        assert_refused(
            &output,
            &["IRQBED_DEBIAN_MIRROR", mirror, "http://HOST/debian"],
        );
    }
}

/// Serves a folder, and breaks off each answer after so many bytes.
fn serve(folder: PathBuf, most: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).expect("a request");
            let path = request
                .split(' ')
                .nth(1)
                .expect("a path")
                .trim_start_matches('/');
            let lower = request.to_lowercase();
            let from = lower
                .split_once("range: bytes=")
                .and_then(|(_, rest)| rest.split('-').next()?.parse::<usize>().ok());
            let Ok(content) = fs::read(folder.join(path)) else {
                let _ = stream.write_all(
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
                continue;
            };
            let status = if from.is_some() {
                "206 Partial Content"
            } else {
                "200 OK"
            };
            let rest = &content[from.unwrap_or(0).min(content.len())..];
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                rest.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&rest[..rest.len().min(most)]);
        }
    });
    format!("http://{address}")
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let archive = Archive::new(&[("stable", &[OLD])]);
    // The description comes as a whole, a package in pieces.
    let mirror = serve(archive.path("mirror"), 1_000);
    let output = unpack(&archive, Some(&mirror));
    assert_answers(&output, "", "setup: tool: fetching it (1 MB)");
    assert_unpacked(&archive);
}

#[test]
fn a_mirror_that_never_ends_an_answer_is_given_up() {
    let archive = Archive::new(&[("stable", &[OLD])]);
    let mirror = serve(archive.path("mirror"), 20);
    assert_refused(
        &unpack(&archive, Some(&mirror)),
        &["cannot have the list of stable"],
    );
}

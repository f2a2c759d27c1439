//! WebSocket within TLS, whose certificate the command is given.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

use super::{HELLO, path, run};
#[cfg(feature = "websocket")]
use super::{bitswap, process::lines, sharing::Sharing};

/// The certificate of an authority, one of its for 127.0.0.1, and the private key of that one, each in a file.
fn certified(directory: &Path, name: &str) -> [String; 3] {
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut root = CertificateParams::default();
    root.distinguished_name.push(DnType::CommonName, name);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = root.self_signed(&root_key).unwrap();
    let host = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let host = host.signed_by(&key, &root, &root_key).unwrap();
    let texts = [("root", root.pem()), ("host", host.pem()), ("key", key.serialize_pem())];
    texts.map(|(kind, text)| {
        let file = directory.join(format!("{name}-{kind}.pem"));
        std::fs::write(&file, text).unwrap();
        path(&file).to_owned()
    })
}

const ANY: &str = "/ip4/127.0.0.1/tcp/0/wss";
#[cfg(feature = "websocket")]
const TEXT: [&str; 2] = ["--text", "Hello World"];

#[cfg(feature = "websocket")]
#[test]
fn a_share_over_wss_is_got_by_whoever_believes_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let [root, host, key] = certified(directory.path(), "ours");
    let [other, ..] = certified(directory.path(), "other");
    let options = ["--wss-certificate", &host, "--wss-key", &key];
    for (at, end) in [(ANY, "/wss/p2p/"), ("/ip4/127.0.0.1/tcp/0/tls/ws", "/tls/ws/p2p/")] {
        let sharing = Sharing::start_at(at, &[&TEXT[..], &options].concat());
        assert!(sharing.address.contains(end), "{}", sharing.address);
        let cat = ["cat", HELLO, "--from", &sharing.address];
        for runtime in ["tokio", "async-std", "smol"] {
            let trust = ["--wss-authority", &other, "--wss-authority", &root, "--runtime", runtime];
            let output = run(&[&cat[..], &trust].concat());
            assert_eq!(output.stdout, b"Hello World", "{runtime}: {output:?}");
        }
        for trust in [&[][..], &["--wss-authority", &other]] {
            let output = run(&[&cat[..], trust].concat());
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(7), "{said}");
            assert!(said.contains("of an authority that is not believed here"), "{said}");
        }
        assert_eq!(sharing.stop(), 0);
    }
    let doctor = ["doctor", path(directory.path()), "--listen", ANY];
    let output = run(&[&doctor[..], &options].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    // Where every option may be.
    let config = directory.path().join("config.toml");
    std::fs::write(&config, format!("wss-authority = [{root:?}]\n[share]\nwss-key = {key:?}\n"))
        .unwrap();
    let mut share = bitswap();
    share.args(["share", "--json", "--no-mdns", "--listen", ANY, "--config", path(&config)]);
    let mut share = share.args(TEXT).env("BITSWAP_WSS_CERTIFICATE", &host).spawn().unwrap();
    let shared = lines(&mut share).find(|line| line["event"] == "shared").unwrap();
    let address = shared["addresses"][0].as_str().unwrap();
    let output = run(&["cat", HELLO, "--from", address, "--config", path(&config)]);
    assert_eq!(output.stdout, b"Hello World", "{output:?}");
}

#[cfg(feature = "websocket")]
#[test]
fn what_is_wrong_with_the_certificate_of_wss_names_the_option_to_change() {
    let directory = tempfile::tempdir().unwrap();
    let [root, host, key] = certified(directory.path(), "ours");
    let [.., other] = certified(directory.path(), "other");
    let file = |name: &str, bytes: &[u8]| {
        let file = directory.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        path(&file).to_owned()
    };
    let (missing, large) = (directory.path().join("missing"), vec![b'\n'; (1 << 20) + 1]);
    let (missing, large, empty) = (path(&missing), file("large", &large), file("empty", b""));
    let folder = path(directory.path());
    let (certificate, of_key) = ("--wss-certificate", "--wss-key");
    let too_large = "it cannot be read: it has more than 1.0 MiB; is it the right one?";
    let no_key = "there is no private key in it";
    for (host, key, option, why) in [
        (missing, &*key, certificate, "it cannot be read: "),
        (folder, &key, certificate, "it cannot be read: it is a folder; name a file"),
        (&large, &key, certificate, too_large),
        (&empty, &key, certificate, "there is no certificate in it"),
        (&key, &key, certificate, "there is no certificate in it"),
        (&host, missing, of_key, "it cannot be read: "),
        (&host, &large, of_key, too_large),
        (&host, &host, of_key, no_key),
        (&host, &other, of_key, "it is not the private key of the first certificate"),
        (&root, &key, of_key, "it is not the private key of the first certificate"),
    ] {
        let options = ["share", "--listen", ANY, certificate, host, of_key, key];
        let output = run(&[&options[..], &TEXT].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let wrong = if option == of_key { key } else { host };
        assert!(said.contains(&format!("{wrong} given with {option}: {why}")), "{said}");
    }
    for (authority, why) in [(missing, "cannot be read"), (&key, "there is no certificate in it")] {
        let output = run(&["cat", HELLO, "--wss-authority", authority]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("{authority} given with --wss-authority: ")), "{said}");
        assert!(said.contains(why), "{said}");
    }
    for (alone, file, lacks) in [(certificate, &host, of_key), (of_key, &key, certificate)] {
        let output = run(&["share", "--text", "x", "--listen", ANY, alone, file]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("{lacks} <FILE>")), "{said}");
    }
    for command in [&["share", "--text", "x"][..], &["doctor"]] {
        for at in [ANY, "/ip4/127.0.0.1/tcp/0/tls/ws"] {
            let output = run(&[command, &["--listen", at]].concat());
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            let what = format!("{at} takes a certificate and its private key");
            assert!(said.contains(&what), "{said}");
            assert!(said.contains("--wss-certificate and --wss-key"), "{said}");
        }
    }
}

#[cfg(not(feature = "websocket"))]
#[test]
fn a_build_without_websocket_takes_no_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let [root, host, key] = certified(directory.path(), "ours");
    let share = ["share", "--text", "x", "--listen", ANY];
    for (arguments, code, why) in [
        (
            &[&share[..], &["--wss-certificate", &host, "--wss-key", &key]].concat()[..],
            2,
            "is of WebSocket",
        ),
        (&["cat", HELLO, "--wss-authority", &root], 2, "is of WebSocket"),
        (&share, 7, "this build has no WebSocket"),
    ] {
        let output = run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(why) && said.contains("feature `websocket`"), "{said}");
    }
}

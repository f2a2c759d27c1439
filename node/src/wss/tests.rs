use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SignatureAlgorithm};

use super::*;

/// A certificate that vouches for itself, and its private key.
fn made(kind: &'static SignatureAlgorithm) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate_for(kind).unwrap();
    let about = CertificateParams::new(vec!["host.test".to_owned()]).unwrap();
    (about.self_signed(&key).unwrap(), key)
}

fn ecdsa() -> (rcgen::Certificate, KeyPair) {
    made(&rcgen::PKCS_ECDSA_P256_SHA256)
}

fn read(certificates: &str, key: &str) -> Result<usize, WssError> {
    let read = WssCertificate::from_pem(certificates.as_bytes(), key.as_bytes());
    read.map(|read| read.chain.len())
}

#[test]
fn a_certificate_is_read_with_its_chain_and_its_key_also_from_one_text() {
    for kind in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let (certificate, key) = made(kind);
        let (pem, key_pem) = (certificate.pem(), key.serialize_pem());
        assert_eq!(read(&pem, &key_pem), Ok(1));
        let both = format!("what is not PEM\n{key_pem}{pem}{}", ecdsa().0.pem());
        assert_eq!(read(&both, &both), Ok(2));
        let windows = both.replace('\n', "\r\n");
        assert_eq!(read(&windows, &windows), Ok(2));
        let (chain, key) = ([certificate.der().to_vec()], key.serialize_der());
        assert_eq!(WssCertificate::from_der(chain, key).unwrap().chain.len(), 1);
    }
}

#[test]
fn what_is_wrong_with_a_certificate_or_its_key_is_said() {
    let (certificate, key) = ecdsa();
    let (pem, key_pem) = (certificate.pem(), key.serialize_pem());
    let other = ecdsa();
    let encrypted = key_pem.replace(" PRIVATE", " ENCRYPTED PRIVATE");
    let of_something_else = key_pem.replace("PRIVATE KEY", "CERTIFICATE");
    for (certificates, key, fault, is_of_key) in [
        ("", &*key_pem, WssError::NoCertificate, false),
        (&key_pem, &key_pem, WssError::NoCertificate, false),
        (&of_something_else, &key_pem, WssError::Certificate, false),
        (&pem[..pem.len() / 2], &key_pem, WssError::Certificate, false),
        (&pem, "", WssError::NoKey, true),
        (&pem, &pem, WssError::NoKey, true),
        (&pem, &encrypted, WssError::NoKey, true),
        (&pem, &key_pem[..key_pem.len() / 2], WssError::Key, true),
        (&pem, &pem.replace("CERTIFICATE", "PRIVATE KEY"), WssError::Key, true),
        (&pem, &other.1.serialize_pem(), WssError::OtherKey, true),
        (&format!("{}{pem}", other.0.pem()), &key_pem, WssError::OtherKey, true),
    ] {
        assert_eq!(read(certificates, key), Err(fault), "{certificates}\n{key}");
        assert_eq!(fault.is_of_key(), is_of_key, "{fault}");
    }
    let from_der = |chain: &[&[u8]], key: &[u8]| {
        let chain = chain.iter().map(|certificate| certificate.to_vec());
        WssCertificate::from_der(chain, key.to_vec()).unwrap_err()
    };
    let key = key.serialize_der();
    assert_eq!(from_der(&[], &key), WssError::NoCertificate);
    assert_eq!(from_der(&[b"junk"], &key), WssError::Certificate);
    for junk in [&b""[..], b"junk", &key[..9], &key[..key.len() - 1]] {
        assert_eq!(from_der(&[certificate.der()], junk), WssError::Key, "{junk:?}");
    }
}

#[test]
fn authorities_are_read_and_what_is_none_is_refused() {
    let read = |pem: &str| WssAuthorities::from_pem(pem.as_bytes()).map(|read| read.0.len());
    let ((one, key), (other, _)) = (ecdsa(), ecdsa());
    assert_eq!(read(&format!("{}{}", one.pem(), other.pem())), Ok(2));
    assert_eq!(read(""), Err(WssError::NoCertificate));
    assert_eq!(read(&key.serialize_pem()), Err(WssError::NoCertificate));
    let junk = key.serialize_pem().replace("PRIVATE KEY", "CERTIFICATE");
    assert_eq!(read(&format!("{}{junk}", one.pem())), Err(WssError::Certificate));
    assert_eq!(WssAuthorities::from_der([]).unwrap_err(), WssError::NoCertificate);
}

#[test]
fn nothing_of_a_private_key_is_shown() {
    let (certificate, key) = ecdsa();
    let read =
        WssCertificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
    assert_eq!(format!("{:?}", read.unwrap()), "WssCertificate(1 in its chain)");
}

#[test]
fn a_certificate_is_needed_for_a_websocket_within_tls_alone() {
    for (address, is_needed) in [
        ("/ip4/127.0.0.1/tcp/0/wss", true),
        ("/ip6/::1/tcp/0/tls/ws", true),
        ("/ip4/127.0.0.1/tcp/0/ws", false),
        ("/ip4/127.0.0.1/tcp/0", false),
        ("/ip4/127.0.0.1/udp/0/quic-v1", false),
        ("/ip4/127.0.0.1/tcp/0/tls/sni/host.test/ws", false),
    ] {
        assert_eq!(
            WssCertificate::is_needed_for(&address.parse().unwrap()),
            is_needed,
            "{address}"
        );
    }
    assert!(!WssCertificate::is_needed_for(&Multiaddr::empty()));
}

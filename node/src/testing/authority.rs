//! An authority for certificates, which nobody believes unless told to.

use std::fmt;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, KeyPair};

/// An authority that was made for a test.
pub struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// A new one. Others tell it from another by its name.
    ///
    /// # Panics
    ///
    /// When the system gives no random numbers.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut about = CertificateParams::default();
        about.distinguished_name.push(DnType::CommonName, name);
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { certificate: about.self_signed(&key).unwrap(), key }
    }

    /// Its own certificate, as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for hosts, by names and IP addresses, and its private key, both as PEM.
    ///
    /// # Panics
    ///
    /// When a host has no name that a certificate can have.
    #[must_use]
    pub fn certify(&self, hosts: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().copied().map(str::to_owned).collect();
        let about = CertificateParams::new(hosts).unwrap();
        let certificate = about.signed_by(&key, &self.certificate, &self.key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

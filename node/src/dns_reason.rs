//! What a resolver of names says, in the words of people.
//!
//! Resolvers belong to the runtimes, and ours are all made with one crate: its errors are recognised by their type, however
//! deep they lie. Where several addresses were tried, libp2p hands out the type of the last error only, and the others are
//! recognised by their text. Everything else is left as it is.

use std::error::Error;
use std::fmt::Display;
use std::io;

use hickory_net::{DnsError, NetError};

const SILENT: &str = "the DNS server does not answer; try another network or server";
const UNREACHABLE: &str = "the DNS server cannot be reached; try another network or server";

/// Says in plain words what is wrong, if a resolver's error lies in this one.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<String> {
    match resolver(error)? {
        NetError::Timeout => Some(SILENT.to_owned()),
        NetError::NoConnections => Some(UNREACHABLE.to_owned()),
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            let (name, kind) = (none.query.name().to_string(), none.query.query_type());
            Some(missing(&name, &kind.to_string()))
        }
        NetError::Dns(DnsError::ResponseCode(code)) => Some(failed(code)),
        _ => None,
    }
}

/// The resolver's error in this one.
fn resolver<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a NetError> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What an I/O error is made of is not its source: that is the source of what it is made of.
        let within = error.downcast_ref().and_then(io::Error::get_ref);
        at = within.map_or_else(|| error.source(), |within| Some(within));
    }
    None
}

/// Says in plain words what is wrong, if this is the text of a resolver's error.
pub(crate) fn in_words(text: &str) -> Option<String> {
    if let Some((_, query)) = text.split_once("no records found for Query {") {
        let name = between(query, "Name(\"", "\"")?;
        return Some(missing(name, between(query, "query_type: ", ",")?));
    }
    let (_, last) = text.rsplit_once(": ").unwrap_or(("", text));
    Some(match last {
        "request timed out" => SILENT.to_owned(),
        "no connections available" => UNREACHABLE.to_owned(),
        code if text.contains("DNS error: error response: ") => failed(code),
        _ => return None,
    })
}

fn missing(name: &str, kind: &str) -> String {
    let name = name.trim_end_matches('.');
    match kind {
        "A" => format!("no such host: the DNS has no IPv4 address of {name}"),
        "AAAA" => format!("no such host: the DNS has no IPv6 address of {name}"),
        kind => format!("the DNS has no {kind} record of {name}"),
    }
}

fn failed(code: impl Display) -> String {
    format!("the DNS server has failed to look it up, and says: {code}")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(between, _)| between)
}

#[cfg(test)]
mod tests {
    use hickory_net::NoRecords;
    use hickory_net::proto::op::{Query, ResponseCode};
    use hickory_net::proto::rr::{Name, RecordType};

    use super::*;

    /// An error of a transport around a resolver's, as several layers make it.
    #[derive(Debug, thiserror::Error)]
    #[error("words that nobody knows")]
    struct Layer {
        source: io::Error,
    }

    #[test]
    fn what_a_resolver_says_is_known_by_its_type_however_deep_it_lies() {
        let none = |kind| {
            let query = Query::query(Name::from_ascii("a.test.").unwrap(), kind);
            NetError::from(NoRecords::new(query, ResponseCode::NXDomain))
        };
        for (error, words) in [
            (none(RecordType::A), "no such host: the DNS has no IPv4 address of a.test"),
            (none(RecordType::AAAA), "no such host: the DNS has no IPv6 address of a.test"),
            (none(RecordType::TXT), "the DNS has no TXT record of a.test"),
            (NetError::Timeout, SILENT),
            (NetError::NoConnections, UNREACHABLE),
            (
                DnsError::ResponseCode(ResponseCode::ServFail).into(),
                "the DNS server has failed to look it up, and says: Server Failure",
            ),
        ] {
            // The texts say the same of the types as they are now.
            assert_eq!(in_words(&error.to_string()).unwrap(), words);
            assert_eq!(of(&error).unwrap(), words);
            let kind = io::ErrorKind::NotFound;
            let deep = io::Error::other(Layer { source: io::Error::new(kind, error) });
            assert_eq!(of(&deep).unwrap(), words);
        }
        assert_eq!(of(&NetError::Busy), None);
        assert_eq!(of(&io::Error::other("request timed out")), None);
        assert_eq!(of(&io::Error::from_raw_os_error(2)), None);
    }

    #[test]
    fn what_a_resolver_says_is_told_in_plain_words() {
        let query = |kind: &str| {
            format!(
                "DNS error: no records found for Query {{ name: Name(\"a.test.\"), query_type: {kind}, \
                 query_class: IN, mdns_unicast_response: false }}"
            )
        };
        for (text, words) in [
            (&query("A"), "no such host: the DNS has no IPv4 address of a.test"),
            (&query("AAAA"), "no such host: the DNS has no IPv6 address of a.test"),
            (&query("TXT"), "the DNS has no TXT record of a.test"),
            (
                &format!("cannot resolve a.test: {}", query("A")),
                "no such host: the DNS has no IPv4",
            ),
            (&"request timed out".to_owned(), "the DNS server does not answer"),
            (&"cannot resolve a.test: request timed out".to_owned(), "the DNS server does not"),
            (&"no connections available".to_owned(), "the DNS server cannot be reached"),
            (
                &"DNS error: error response: Server Failure".to_owned(),
                "the DNS server has failed to look it up, and says: Server Failure",
            ),
        ] {
            let said = in_words(text).unwrap();
            assert!(said.starts_with(words), "{text}: {said}");
        }
        for other in ["Connection refused (os error 111)", "", "connection timed out: later"] {
            assert_eq!(in_words(other), None);
        }
    }
}

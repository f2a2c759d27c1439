//! As much of HTTP/1.1 as a scrape needs: one request, one answer, and the connection ends.

use httparse::{EMPTY_HEADER, Error as ParseError, Request, Status};

/// Bytes of a request's head at most.
pub(super) const HEAD_MAX: usize = 8 << 10;

/// Header fields of a request at most.
const HEADERS_MAX: usize = 64;

/// Where the metrics are.
pub(super) const PATH: &str = "/metrics";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The head has not come to its end yet.
    Unfinished,
    /// The metrics, or with HEAD only what would be said of them.
    Metrics {
        /// Whether the body is wanted too.
        body: bool,
    },
    /// Something that is answered with this status.
    Refused(u16, &'static str),
}

/// What the beginning of a request asks for.
pub(super) fn asked(head: &[u8]) -> Asked {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) if head.len() < HEAD_MAX => return Asked::Unfinished,
        Ok(Status::Partial) | Err(ParseError::TooManyHeaders) => {
            return Asked::Refused(431, "Request Header Fields Too Large");
        }
        Err(_) => return Asked::Refused(400, "Bad Request"),
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    match request.method {
        _ if path != PATH => Asked::Refused(404, "Not Found"),
        Some("GET") => Asked::Metrics { body: true },
        Some("HEAD") => Asked::Metrics { body: false },
        _ => Asked::Refused(405, "Method Not Allowed"),
    }
}

/// The answer with the metrics.
pub(super) fn metrics(text: &str, body: bool) -> String {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let head = head(200, "OK", kind, text.len());
    if body { head + text } else { head }
}

/// An answer without them. What is wrong is said in its body too.
pub(super) fn refusal(status: u16, reason: &str) -> String {
    let body = format!("{reason}: the metrics are at {PATH}\n");
    head(status, reason, "text/plain; charset=utf-8", body.len()) + &body
}

fn head(status: u16, reason: &str, kind: &str, len: usize) -> String {
    let allow = if status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n{allow}\
         Connection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_the_metrics_or_is_refused_with_the_status_that_says_why() {
        let request = |first: &str| format!("{first}\r\nHost: a\r\n\r\n");
        for (first, expected) in [
            ("GET /metrics HTTP/1.1", Asked::Metrics { body: true }),
            ("GET /metrics?name=a HTTP/1.0", Asked::Metrics { body: true }),
            ("HEAD /metrics HTTP/1.1", Asked::Metrics { body: false }),
            ("POST /metrics HTTP/1.1", Asked::Refused(405, "Method Not Allowed")),
            ("GET / HTTP/1.1", Asked::Refused(404, "Not Found")),
            ("GET /metricsx HTTP/1.1", Asked::Refused(404, "Not Found")),
            ("nonsense", Asked::Refused(400, "Bad Request")),
        ] {
            assert_eq!(asked(request(first).as_bytes()), expected, "{first}");
        }
    }

    #[test]
    fn a_head_may_come_in_pieces_and_has_an_end() {
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..request.len() {
            assert_eq!(asked(&request[..end]), Asked::Unfinished, "{end}");
        }
        let mut long = b"GET /metrics HTTP/1.1\r\nX: ".to_vec();
        long.resize(HEAD_MAX, b'x');
        assert!(matches!(asked(&long), Asked::Refused(431, _)));
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(matches!(asked(many.as_bytes()), Asked::Refused(431, _)));
    }

    #[test]
    fn an_answer_says_how_long_it_is_and_that_the_connection_ends() {
        let answer = metrics("a 1\n", true);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Length: 4\r\n") && head.ends_with("Connection: close"));
        assert_eq!(body, "a 1\n");
        assert!(metrics("a 1\n", false).ends_with("\r\n\r\n"));
        assert!(refusal(405, "Method Not Allowed").contains("\r\nAllow: GET, HEAD\r\n"));
    }
}

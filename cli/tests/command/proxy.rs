//! A TCP proxy in the test's process, whose connections can be slowed, swallowed and cut.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How bytes go from the machine that shares to the one that gets.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Open,
    /// So many bytes in a millisecond.
    Slow(usize),
    /// So many bytes in all, then none.
    Only(usize),
}

pub(crate) struct Proxy {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
    way: Arc<Mutex<Way>>,
}

impl Proxy {
    /// Leads to a port of loopback.
    pub(crate) fn start(to: u16, way: Way) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(Mutex::new(Vec::new()));
        let way = Arc::new(Mutex::new(way));
        let (of_thread, way_of_thread) = (open.clone(), way.clone());
        // It ends with the test's process: nothing waits for it.
        thread::spawn(move || {
            for from in listener.incoming().flatten() {
                // Nobody may be there for now: then the connection ends.
                let Ok(to) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
                let both = [from.try_clone().unwrap(), to.try_clone().unwrap()];
                of_thread.lock().unwrap().extend(both);
                pump(from.try_clone().unwrap(), to.try_clone().unwrap(), Way::Open);
                pump(to, from, *way_of_thread.lock().unwrap());
            }
        });
        Self { port, open, way }
    }

    /// The address to give with `--from`: it does not say of whom it is.
    pub(crate) fn address(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.port)
    }

    /// Closes all connections; new ones go this way.
    pub(crate) fn cut(&self, way: Way) {
        *self.way.lock().unwrap() = way;
        for stream in self.open.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, way: Way) {
    thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        let mut left = if let Way::Only(bytes) = way { bytes } else { usize::MAX };
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let read = read.min(left);
            left -= read;
            if let Way::Slow(per_ms) = way {
                // The link's speed, and no waiting for something.
                thread::sleep(Duration::from_millis((read / per_ms) as u64));
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// The port in a multiaddress.
pub(crate) fn port(address: &str) -> u16 {
    let mut parts = address.split('/').skip_while(|part| *part != "tcp");
    parts.nth(1).unwrap().parse().unwrap()
}

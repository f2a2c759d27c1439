//! A node in a process that may have few descriptors, and more connections than it has descriptors.
//!
//! The process is this test, started again by a shell that lowers its limit.

#[cfg(not(unix))]
fn main() {
    println!("nothing to do: there is no such limit here");
}

#[cfg(unix)]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["serve"] {
        return limited::serve();
    }
    bare_connects_keep_no_descriptor_from_an_honest_get();
    println!("test bare_connects_keep_no_descriptor_from_an_honest_get ... ok");
}

#[cfg(unix)]
fn bare_connects_keep_no_descriptor_from_an_honest_get() {
    limited::connect_and_get();
}

#[cfg(unix)]
mod limited {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::net::TcpStream;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use bitswap_node::Node;
    use bitswap_runtime_tokio::Tokio;
    use cid::Cid;
    use libp2p::Multiaddr;
    use libp2p::multiaddr::Protocol;
    use tokio::runtime::Runtime;

    /// Descriptors that the node's process may have.
    const DESCRIPTORS: u32 = 64;
    const CONNECTS: usize = 500;
    const BLOCK: &[u8] = b"for who asks";
    /// How long anything may take.
    const LIMIT: Duration = Duration::from_secs(60);

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// Serves a block until the other process closes our input.
    pub(super) fn serve() {
        runtime().block_on(async {
            let loopback = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
            let node = Node::builder(Tokio::current())
                .with_listen_address(loopback)
                .start()
                .await
                .unwrap();
            let cid = node.put(BLOCK).await.unwrap();
            println!("{} {cid}", node.addresses().await.unwrap().remove(0));
            let until_closed = || std::io::stdin().read_to_end(&mut Vec::new());
            tokio::task::spawn_blocking(until_closed).await.unwrap().unwrap();
        });
    }

    /// Ends with this value.
    struct Server(Child);

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    pub(super) fn connect_and_get() {
        let lowered = format!("ulimit -n {DESCRIPTORS} && exec \"$0\" serve");
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(lowered).arg(std::env::current_exe().unwrap());
        let server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut server = Server(server);
        let mut line = String::new();
        let output = server.0.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let (address, cid) = line.trim().split_once(' ').unwrap();
        let (address, cid): (Multiaddr, Cid) = (address.parse().unwrap(), cid.parse().unwrap());
        let port = address.iter().find_map(|part| match part {
            Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        let to = (std::net::Ipv4Addr::LOCALHOST, port.unwrap()).into();
        let connect = || TcpStream::connect_timeout(&to, LIMIT).unwrap();
        let held: Vec<TcpStream> = std::iter::repeat_with(connect).take(CONNECTS).collect();
        let got = runtime().block_on(async {
            let get = async {
                let honest = Node::builder(Tokio::current()).start().await.unwrap();
                honest.connect(address).await.unwrap();
                honest.get(cid).await.unwrap()
            };
            tokio::time::timeout(LIMIT, get).await.expect("an honest get finds no room")
        });
        assert_eq!(got.data(), BLOCK);
        drop(held);
    }
}

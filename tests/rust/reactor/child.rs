//! Tests that need a process of their own: descriptors and memory are counted by process.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use gateway_core::protocol::Timeouts;
use gateway_core::reactor::{Config, Event};

use super::support::{App, CLOSE, Peer, REQUEST, TEXT};

/// Set in the child: how many more descriptors it may have than it has at the start; 0 is no limit.
const VARIABLE: &str = "GATEWAY_TEST_DESCRIPTORS";

/// An echo gateway in a child process, which answers `fds`, `cpu` and `rss` on its standard input.
struct EchoServer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl EchoServer {
    fn start(descriptors: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "child::serve_echo_when_asked_to",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(VARIABLE, descriptors.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let input = child.stdin.take();
        let mut server = Self {
            output: BufReader::new(child.stdout.take().expect("piped")),
            child,
            input,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        server.address = server.answer("listening ").parse().expect("an address");
        server
    }

    /// What the child says next after `prefix`.
    fn answer(&mut self, prefix: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.output.read_line(&mut line).expect("text"),
                0,
                "the child has ended"
            );
            if let Some((_, answer)) = line.trim().split_once(prefix) {
                return answer.to_owned();
            }
        }
    }

    fn ask(&mut self, question: &str) -> u64 {
        writeln!(self.input.as_mut().expect("open"), "{question}").expect("the child reads");
        self.answer(&format!("{question}=")).parse().expect("a number")
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// Not a test of its own: the child's part of the others.
#[test]
fn serve_echo_when_asked_to() {
    let Ok(descriptors) = std::env::var(VARIABLE) else {
        return;
    };
    let timeouts = Timeouts {
        close_timeout: Duration::from_millis(200),
        ..Config::default().timeouts
    };
    let mut app = App::start(Config {
        timeouts,
        ..Config::default()
    });
    match descriptors.parse::<usize>().expect("a number") {
        0 => {}
        more => limit_descriptors(open_descriptors() + more),
    }
    println!("\nlistening {}", app.gateway.address());
    let (sender, questions) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let _ = sender.send(line.expect("text"));
        }
    });
    loop {
        match questions.try_recv() {
            Ok(question) if question == "fds" => println!("fds={}", open_descriptors()),
            Ok(question) if question == "rss" => println!("rss={}", resident_pages()),
            Ok(_) => println!("cpu={}", cpu_millis()),
            Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
            Err(std::sync::mpsc::TryRecvError::Empty) => {}
        }
        for event in app.poll(Duration::from_millis(10)) {
            let _ = match event {
                Event::Opened { id, .. } => app.gateway.accept(id, None, ""),
                Event::Received { id, payload, is_text } => app.gateway.send(id, &payload, is_text),
                _ => Ok(false),
            };
        }
    }
}

fn echo(peer: &mut Peer, text: &str) {
    peer.send_frame(TEXT, text.as_bytes());
    assert_eq!(peer.message(), text);
}

fn connect(address: SocketAddr) -> Peer {
    let mut peer = Peer::connect(address);
    peer.send(REQUEST);
    assert!(peer.head().starts_with("HTTP/1.1 101 "));
    peer
}

#[test]
fn without_descriptors_accepting_pauses_and_nobody_else_notices() {
    let mut server = EchoServer::start(10);
    let mut first = connect(server.address);
    // The kernel completes these connections; most of them wait for a descriptor.
    let mut crowd: Vec<_> = (0..30).map(|_| Peer::connect(server.address)).collect();
    crowd.iter_mut().for_each(|peer| peer.send(REQUEST));
    assert!(crowd[0].head().starts_with("HTTP/1.1 101 "));
    let before = server.ask("cpu");
    let watch = std::time::Instant::now();
    while watch.elapsed() < Duration::from_secs(1) {
        echo(&mut first, "still served");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert!(server.ask("cpu") - before < 300, "it spins");
    // As descriptors come back, everybody gets in.
    for mut peer in crowd.split_off(1) {
        drop(crowd.pop());
        assert!(peer.head().starts_with("HTTP/1.1 101 "));
        crowd.push(peer);
    }
    echo(&mut first, "and goes on");
}

#[test]
fn no_descriptor_leaks_whatever_the_end_of_a_connection() {
    let mut server = EchoServer::start(0);
    drop(connect(server.address));
    let before = server.ask("fds");
    for round in 0..1000 {
        let mut peer = if round % 5 == 0 {
            Peer::connect(server.address)
        } else {
            connect(server.address)
        };
        match round % 5 {
            0 => peer.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
            1 => drop(peer),
            2 => {
                peer.send_frame(CLOSE, &1000u16.to_be_bytes());
                assert_eq!(peer.close_code(), 1000);
                assert!(peer.end().is_empty());
            }
            3 => peer.send_frame(3, b"no such opcode"),
            _ => echo(&mut peer, "hello"),
        }
    }
    let deadline = std::time::Instant::now() + super::support::WAIT;
    while server.ask("fds") > before {
        assert!(
            std::time::Instant::now() < deadline,
            "{} more descriptors",
            server.ask("fds") - before
        );
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn memory_comes_back_when_thousands_have_gone() {
    const CROWD: usize = 3_000;
    raise_descriptor_limit();
    let mut server = EchoServer::start(0);
    echo(&mut connect(server.address), "hello");
    let before = server.ask("rss");
    for _ in 0..3 {
        let mut crowd: Vec<_> = (0..CROWD).map(|_| connect(server.address)).collect();
        echo(&mut crowd[0], "hello");
        let most = server.ask("rss") - before;
        drop(crowd);
        let deadline = std::time::Instant::now() + super::support::WAIT;
        while server.ask("rss").saturating_sub(before) > most / 2 {
            assert!(
                std::time::Instant::now() < deadline,
                "{before} pages, {most} more, and then still {} more",
                server.ask("rss") - before
            );
        }
    }
}

/// Pages of memory that this process has in use; 0 where the system does not tell.
fn resident_pages() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1);
    pages.map_or(0, |pages| pages.parse().expect("a number"))
}

/// As many descriptors as the system allows; child processes inherit that.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn raise_descriptor_limit() {
    // SAFETY: all zero is a valid rlimit.
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: a valid pointer, in both calls.
    let results = unsafe {
        let got = libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        [got, libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)]
    };
    assert_eq!(results, [0, 0]);
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .or_else(|_| std::fs::read_dir("/dev/fd"))
        .expect("a list")
        .count()
}

fn limit_descriptors(limit: usize) {
    let limit = libc::rlimit {
        rlim_cur: limit as libc::rlim_t,
        rlim_max: limit as libc::rlim_t,
    };
    // SAFETY: a valid pointer.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0);
}

/// CPU time of this process.
fn cpu_millis() -> i64 {
    // SAFETY: all zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a valid pointer.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let millis = |time: libc::timeval| time.tv_sec * 1000 + time.tv_usec / 1000;
    millis(usage.ru_utime) + millis(usage.ru_stime)
}

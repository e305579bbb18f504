//! Load for WebSocket servers, thin enough not to be the bottleneck, that checks what it receives.
//!
//! `control` says how a harness steers it; by hand, with standard input from `/dev/null`, it runs by itself and
//! prints its report.

mod chat;
mod content;
mod control;
mod deflate;
mod dialect;
mod engine;
mod raw;
mod report;
mod tally;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The server, as address:port.
    #[arg(long)]
    target: SocketAddr,
    /// The address to connect from; each has about 28,000 ports.
    #[arg(long)]
    source: Option<IpAddr>,
    /// Handshakes under way at once.
    #[arg(long, default_value_t = 256)]
    handshakes: usize,
    /// Seconds to measure; 0 only opens.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Offer permessage-deflate.
    #[arg(long)]
    deflate: bool,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Any server that sends what it gets to all its connections, or back, or counts it.
    Raw {
        /// Sockets to open.
        #[arg(long)]
        connections: usize,
        /// What they do.
        #[arg(long, value_enum, default_value = "broadcast")]
        pattern: raw::Pattern,
        /// How broadcasts are wrapped.
        #[arg(long, value_enum, default_value = "plain")]
        dialect: dialect::Dialect,
        /// What the handshake asks for.
        #[arg(long, default_value = "/ws")]
        path: String,
        /// Bytes a message, at least 112.
        #[arg(long, default_value_t = 128)]
        payload_bytes: usize,
        /// Broadcasts under way at once; for a sink the messages between two receipts.
        #[arg(long, default_value_t = 1)]
        window: u64,
        /// Broadcasts a second, instead of a window.
        #[arg(long)]
        rate: Option<f64>,
        /// So many sockets never read.
        #[arg(long, default_value_t = 0)]
        slow: usize,
    },
    /// A chat-gateway node.
    Chat {
        /// JSON lines {"token": …, "rooms": [ids …]}, a connection each.
        #[arg(long)]
        users: PathBuf,
        /// Bytes of text a message.
        #[arg(long, default_value_t = 128)]
        text_bytes: usize,
        #[command(flatten)]
        pace: PaceArguments,
        /// `typing` commands a second.
        #[arg(long, default_value_t = 0.0)]
        typing: f64,
        /// Pages of history asked for in a second.
        #[arg(long, default_value_t = 0.0)]
        histories: f64,
        /// Connections cut each second; they come back and resume.
        #[arg(long, default_value_t = 0.0)]
        cuts: f64,
        /// Cut all connections at once, in the middle.
        #[arg(long)]
        storm: bool,
    },
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct PaceArguments {
    /// Messages a second.
    #[arg(long)]
    rate: Option<f64>,
    /// Deliveries a second, all rooms together.
    #[arg(long)]
    deliveries: Option<f64>,
    /// So many users publish, each when the last message was acknowledged.
    #[arg(long)]
    publishers: Option<usize>,
}

impl PaceArguments {
    fn pace(&self) -> chat::Pace {
        match (self.rate, self.deliveries) {
            (Some(rate), _) => chat::Pace::Messages(rate),
            (_, Some(rate)) => chat::Pace::Deliveries(rate),
            _ => chat::Pace::Acknowledged(self.publishers.unwrap_or(1)),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let host = arguments.target.to_string();
    let duration = Duration::try_from_secs_f64(arguments.seconds)?;
    let mut sockets = engine::Sockets::new(arguments.target, arguments.source)?;
    let harness = control::Harness::new();
    match arguments.mode {
        Mode::Raw {
            connections,
            pattern,
            dialect,
            path,
            payload_bytes,
            window,
            rate,
            slow,
        } => {
            let plan = raw::Plan {
                host,
                path,
                pattern,
                dialect,
                connections,
                handshakes: arguments.handshakes,
                payload_bytes,
                window,
                rate,
                deflate: arguments.deflate,
                duration,
                slow,
            };
            let mut scenario = raw::Raw::new(plan, harness);
            engine::run(&mut sockets, &mut scenario)?;
            control::emit("report", &scenario.tally.report(&sockets.traffic));
        }
        Mode::Chat {
            users,
            text_bytes,
            pace,
            typing,
            histories,
            cuts,
            storm,
        } => {
            let lines = std::fs::read_to_string(users)?;
            let users = lines.lines().map(serde_json::from_str);
            let plan = chat::Plan {
                host,
                users: users.collect::<Result<_, _>>()?,
                handshakes: arguments.handshakes,
                text_bytes,
                pace: pace.pace(),
                typing,
                histories,
                duration,
                cuts,
                storm,
                deflate: arguments.deflate,
            };
            let mut scenario = chat::Chat::new(plan, harness);
            engine::run(&mut sockets, &mut scenario)?;
            control::emit("report", &scenario.tally.report(&sockets.traffic));
        }
    }
    Ok(())
}

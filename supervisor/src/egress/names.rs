//! Looking names up: by the name servers of the machine, over sockets of our own, never by the C library.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hickory_resolver::Resolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime};
use hickory_resolver::system_conf::parse_resolv_conf;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tokio::net::{TcpStream, UdpSocket};

use super::limits::LOOK_UP;

/// Answers that are remembered for as long as they say.
const KEPT: u64 = 256;

/// Whoever knows the addresses of names. What it says may differ each time, and is looked at each time.
pub(crate) trait Names: Send + Sync {
    /// Every address; none: there is no such name, or nobody knows.
    fn look_up<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<Vec<IpAddr>>>;
}

/// The machine's name servers.
pub(super) struct Dns(Option<Resolver<Sockets>>);

impl Dns {
    /// Asks whom `/etc/resolv.conf` names, and in its own words: a machine without any asks itself.
    pub(super) fn new(resolv_conf: &[u8]) -> Self {
        let here = || parse_resolv_conf("nameserver 127.0.0.1\n");
        let resolver =
            parse_resolv_conf(resolv_conf).or_else(|_| here()).and_then(|(config, mut options)| {
                options.use_hosts_file = ResolveHosts::Never;
                options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
                options.cache_size = KEPT;
                options.timeout = options.timeout.clamp(Duration::from_millis(500), LOOK_UP / 2);
                options.attempts = options.attempts.clamp(1, 3);
                let mut builder = Resolver::builder_with_config(config, Sockets::default());
                *builder.options_mut() = options;
                builder.build()
            });
        Self(resolver.ok())
    }
}

impl Names for Dns {
    fn look_up<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Option<Vec<IpAddr>>> {
        Box::pin(async move {
            // With the dot it is whole: nothing of the machine's own domain is tried behind it.
            let answer = self.0.as_ref()?.lookup_ip(format!("{host}."));
            let found = tokio::time::timeout(LOOK_UP, answer).await.ok()?.ok()?;
            Some(found.iter().collect())
        })
    }
}

/// Sockets that are bound to nothing before they are used: binding is forbidden here, and the system picks a port that
/// cannot be guessed.
#[derive(Clone, Default)]
pub(super) struct Sockets(TokioRuntimeProvider);

impl RuntimeProvider for Sockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = UdpSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        self.0.connect_tcp(server, None, timeout)
    }

    fn bind_udp(
        &self,
        _: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        Box::pin(async move {
            let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
            UdpSocket::from_std(socket.into())
        })
    }
}

/// Names that stand for this machine wherever they are asked for (RFC 6761): nobody is asked.
pub(super) fn of_this_machine(host: &str) -> Option<Vec<IpAddr>> {
    (host == "localhost" || host.ends_with(".localhost")).then(|| vec![Ipv4Addr::LOCALHOST.into()])
}

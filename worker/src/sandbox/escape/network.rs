//! Escapes to the network and to other sockets.

use super::{attacks, bytes, call, room};

const UNIX: u64 = 1;
const INET: u64 = 2;
const STREAM: u64 = 1;
const DATAGRAM: u64 = 2;

/// A new socket, connected to where `address` says.
fn connect(family: u64, kind: u64, address: &[u8]) -> i64 {
    let socket = call(libc::SYS_socket, &[family, kind, 0]);
    if socket < 0 {
        return socket;
    }
    call(libc::SYS_connect, &[socket as u64, bytes(address), address.len() as u64])
}

/// A datagram from a new socket to where `address` says.
fn send(family: u64, address: &[u8]) -> i64 {
    let socket = call(libc::SYS_socket, &[family, DATAGRAM, 0]);
    if socket < 0 {
        return socket;
    }
    call(libc::SYS_sendto, &[socket as u64, bytes(b"x"), 1, 0, bytes(address), address.len() as u64])
}

/// 127.0.0.1, or another IPv4 address.
const fn inet(port: u16, host: [u8; 4]) -> [u8; 16] {
    let [high, low] = port.to_be_bytes();
    let [a, b, c, d] = host;
    [2, 0, high, low, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// `msghdr` with one empty vector and a control message that passes descriptor 3.
fn pass_descriptor(number: libc::c_long) -> i64 {
    let control: [u64; 3] = [20, 0x1_0000_0001, 3];
    let header: [u64; 7] = [0, 0, 0, 0, control.as_ptr() as u64, 24, 0];
    call(number, &[3, header.as_ptr() as u64, 0])
}

attacks! {
    "connect TCP to this machine" => connect(INET, STREAM, &inet(80, [127, 0, 0, 1])),
    "connect TCP to the cloud's metadata" => connect(INET, STREAM, &inet(80, [169, 254, 169, 254])),
    "send UDP to a resolver" => send(INET, &inet(53, [1, 1, 1, 1])),
    "connect UDP to this machine" => connect(INET, DATAGRAM, &inet(53, [127, 0, 0, 53])),
    "connect an abstract Unix socket" => connect(UNIX, STREAM, b"\x01\0\0fazt"),
    "connect the system bus" => connect(UNIX, STREAM, b"\x01\0/run/dbus/system_bus_socket\0"),
    "connect the control socket" => connect(UNIX, STREAM, b"\x01\0/var/lib/fazt/run/control.sock\0"),
    "send a Unix datagram to the log" => send(UNIX, b"\x01\0/dev/log\0"),
    "socket IPv6" => call(libc::SYS_socket, &[10, STREAM, 0]),
    "socket raw IPv4" => call(libc::SYS_socket, &[INET, 3, 1]),
    "socket packet" => call(libc::SYS_socket, &[17, 3, 0x300]),
    "socket netlink" => call(libc::SYS_socket, &[16, 3, 0]),
    "socket netfilter" => call(libc::SYS_socket, &[16, 3, 12]),
    "socket kernel crypto" => call(libc::SYS_socket, &[38, 5, 0]),
    "socket vsock to the host" => call(libc::SYS_socket, &[40, STREAM, 0]),
    "socket express data path" => call(libc::SYS_socket, &[44, 3, 0]),
    "socketpair" => call(libc::SYS_socketpair, &[UNIX, STREAM, 0, room()]),
    "bind the socket" => call(libc::SYS_bind, &[3, bytes(b"\x01\0\0x"), 4]),
    "listen on the socket" => call(libc::SYS_listen, &[3, 1]),
    "accept4" => call(libc::SYS_accept4, &[3, 0, 0, 0]),
    "connect fd 3 elsewhere" => call(libc::SYS_connect, &[3, bytes(b"\x01\0\0x"), 4]),
    "sendto on fd 3" => call(libc::SYS_sendto, &[3, bytes(b"x"), 1, 0, 0, 0]),
    "recvfrom on fd 3" => call(libc::SYS_recvfrom, &[3, room(), 1, 0x40, 0, 0]),
    "sendmsg with SCM_RIGHTS" => pass_descriptor(libc::SYS_sendmsg),
    "recvmsg for SCM_RIGHTS" => pass_descriptor(libc::SYS_recvmsg),
    "sendmmsg" => call(libc::SYS_sendmmsg, &[3, room(), 1, 0]),
    "recvmmsg" => call(libc::SYS_recvmmsg, &[3, room(), 1, 0x40, 0]),
    "getsockopt SO_PEERCRED" => call(libc::SYS_getsockopt, &[3, 1, 17, room(), bytes(&[12, 0, 0, 0])]),
    "setsockopt SO_PASSCRED" => call(libc::SYS_setsockopt, &[3, 1, 16, bytes(&[1, 0, 0, 0]), 4]),
    "getsockname" => call(libc::SYS_getsockname, &[3, room(), room() + 256]),
    "getpeername" => call(libc::SYS_getpeername, &[3, room(), room() + 256]),
    "shutdown" => call(libc::SYS_shutdown, &[3, 2]),
}
